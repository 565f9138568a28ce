//! The `portwise` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    portwise::cli::main()
}
