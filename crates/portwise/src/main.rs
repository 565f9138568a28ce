//! The `portwise` command.
#![forbid(unsafe_code)]
fn main() {}
