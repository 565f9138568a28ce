//! What could give a program rights, and what becomes of it: the story that is told beside the
//! bare sets.

use crate::{CapSet, FileCapabilities, Text};

/// Something that gives, or would give, the new program ids or capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file it belongs to.
    pub path: Text,
    /// What it is.
    pub grant: Grant,
    /// Why it has no effect; `None` if it has.
    pub void: Option<Void>,
}

/// A way to rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The capabilities of the file.
    File(FileCapabilities),
    /// The set-user-id bit with the file's owner.
    SetUid(u32),
    /// The set-group-id bit with the file's group.
    SetGid(u32),
    /// The user is root.
    Root,
    /// The ambient set.
    Ambient(CapSet),
}

/// Why a grant has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    /// The file system is mounted with `nosuid`.
    Nosuid,
    /// The process has `no_new_privs`.
    NoNewPrivs,
    /// The file is a script: its interpreter counts.
    Script,
    /// It is meant for another user namespace.
    OtherUserNs,
    /// The bounding set lacks what it gives.
    Bounding,
    /// The inheritable set of the process lacks what it gives.
    Inheritable,
    /// The capabilities are not effective from the start, and the program has to raise them.
    NotEffective,
    /// The securebit `SECBIT_NOROOT` takes root its privilege.
    Noroot,
    /// The file has capabilities of its own, or changes the user or group.
    Privileged,
    /// The file also has capabilities, which count instead.
    FileInstead,
}
