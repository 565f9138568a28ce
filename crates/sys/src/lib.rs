//! Every system call portwise makes, one file per kernel interface, named as its man page.
//!
//! This crate decides nothing: it reads and returns. It is the only one with `unsafe`.
#![allow(unsafe_code)]
