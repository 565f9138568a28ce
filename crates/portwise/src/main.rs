//! The `portwise` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    portwise_sys::allocator::ask_seldom();
    portwise::cli::main()
}
