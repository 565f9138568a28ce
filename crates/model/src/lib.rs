//! What a kernel answers to bind and listen, and why: pure rules, no I/O.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
