//! Why a program may or may not bind an address and port.
#![forbid(unsafe_code)]
