//! `completions SHELL`: what makes a shell complete the command line.

use clap::ValueEnum;
use clap_complete::{
    generate,
    shells::{Bash, Fish, Zsh},
};

use crate::cli::{self, Output};

/// Arguments of `completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash(1).
    Bash,
    /// zsh(1).
    Zsh,
    /// fish(1).
    Fish,
}

/// The script for a shell.
pub fn script(shell: Shell) -> String {
    let (mut command, mut script) = (cli::verbs(), Vec::new());
    match shell {
        Shell::Bash => generate(Bash, &mut command, "portwise", &mut script),
        Shell::Zsh => generate(Zsh, &mut command, "portwise", &mut script),
        Shell::Fish => generate(Fish, &mut command, "portwise", &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, output: &mut Output<'_>) -> u8 {
    output.data(&script(args.shell));
    0
}
