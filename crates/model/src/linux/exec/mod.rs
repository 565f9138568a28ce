//! `execve`, read beside `fs/exec.c` and `security/commoncap.c`: whether a program can be started,
//! and with which ids and capabilities it then runs.
//!
//! Not here, because no fact of the model tells them apart: files open for writing (ETXTBSY),
//! processes that share their working directory (CLONE_FS without threads), capabilities of files
//! turned off by the boot option `no_file_caps`, programs reached through another process's mount
//! namespace, and security modules that deny or change an execution.

pub mod effect;
pub mod file;
pub mod grant;

pub use effect::{Executed, exec};
pub use grant::{Grant, Source, Void};

use crate::Rule;

/// `execve`. What is wrong with an earlier file of the chain comes before what is wrong with a
/// later one: the rules about files stop only at the first that is in the way.
pub static EXEC: &[&Rule] = &[
    &file::DIRECTORIES,
    &file::FOUND,
    &file::REGULAR_FILE,
    &file::NOEXEC,
    &file::PERMISSION,
    &file::FORMAT,
    &file::INTERPRETER_DEPTH,
    &effect::FILE_CAPABILITIES,
];
