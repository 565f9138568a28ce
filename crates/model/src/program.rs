//! Programs, as `execve(2)` finds them (Linux).

use alloc::vec::Vec;

use crate::{CapSet, Fact, Text};

/// A program that a process is about to become.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Program {
    /// The name it was called by.
    pub name: Text,
    /// The file, the interpreter its `#!` line names, the interpreter of that one, and so on. The
    /// last is the binary, or the first that the kernel cannot run.
    pub files: Vec<Executable>,
    /// The dynamic loader the binary asks for; none if it is static.
    pub loader: Option<Executable>,
    /// Entries of its run path with `$ORIGIN`, which its loader ignores in secure mode.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub origin: Vec<Text>,
    /// Libraries it needs that are not where its loader looks in secure mode.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub elsewhere: Vec<Text>,
}

impl Program {
    /// Whether the binary is there and has its libraries built in; `None` if that is not known.
    pub fn is_static(&self) -> Option<bool> {
        let format = self.binary()?.format.value()?;
        (*format == Format::Elf).then_some(self.loader.is_none())
    }

    /// The file whose capabilities and set-id bits count: the binary, never a script.
    pub fn binary(&self) -> Option<&Executable> {
        self.files.last()
    }

    /// The files in the order in which the kernel opens them.
    pub fn opened(&self) -> impl Iterator<Item = &Executable> {
        self.files.iter().chain(&self.loader)
    }
}

/// A file that is to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Executable {
    /// Its path, without symbolic links.
    pub path: Text,
    /// The directories searched on the way to it, those of symbolic links too.
    pub directories: Vec<Inode>,
    /// The file; `None` if there is none.
    pub inode: Fact<Option<Inode>>,
    /// How the file system it is on is mounted.
    pub mount: Fact<Mount>,
    /// Its capabilities (`security.capability`), if it has any.
    pub capabilities: Fact<Option<FileCapabilities>>,
    /// What it is by its first bytes.
    pub format: Fact<Format>,
}

/// What permission checks look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Inode {
    /// The path it was found by.
    pub path: Text,
    /// What it is.
    pub kind: FileKind,
    /// Permission and set-id bits, the low twelve of `st_mode`.
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Whether it has a POSIX access control list.
    pub acl: bool,
}

impl Inode {
    /// The set-user-id bit.
    pub const SET_UID: u16 = 0o4000;
    /// The set-group-id bit.
    pub const SET_GID: u16 = 0o2000;
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// How a file system is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mount {
    /// Where, if that is known.
    pub at: Option<Text>,
    /// Its programs gain nothing by set-id bits or file capabilities.
    pub nosuid: bool,
    /// Nothing on it may be executed.
    pub noexec: bool,
}

/// The capabilities of a file, see `capabilities(7)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FileCapabilities {
    /// What the program gets as far as the bounding set has it.
    pub permitted: CapSet,
    /// What the program gets as far as the process has it in its inheritable set.
    pub inheritable: CapSet,
    /// Whether the program starts with them effective.
    pub effective: bool,
    /// The root user of the user namespaces they are meant for; 0 for all.
    pub rootid: u32,
}

/// What a file is by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Format {
    /// A script whose `#!` line names an interpreter.
    Script,
    /// A script without such a line, which C libraries and shells give to `/bin/sh`.
    Text,
    /// A binary for this machine.
    Elf,
    /// Nothing the kernel runs.
    Unknown,
}
