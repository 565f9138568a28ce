//! Credentials beyond the effective capabilities: what `execve` reckons with (Linux).

use alloc::vec::Vec;

use crate::{CapSet, Fact, FactKey};

/// Four ids of one kind, see `credentials(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ids {
    /// Who started the process.
    pub real: u32,
    /// What most checks look at.
    pub effective: u32,
    /// What the process may return to.
    pub saved: u32,
    /// What checks on files look at, and who owns the sockets it makes.
    pub filesystem: u32,
}

impl Ids {
    /// All four alike.
    pub const fn all(id: u32) -> Ids {
        Ids { real: id, effective: id, saved: id, filesystem: id }
    }
}

/// What `execve` makes the credentials of the new program from, see `capabilities(7)`. Ids are
/// those of the user namespace of whoever observed the process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Credentials {
    /// User ids.
    pub uids: Ids,
    /// Group ids.
    pub gids: Ids,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// What may be made effective.
    pub permitted: CapSet,
    /// What a file with an inheritable set may give.
    pub inheritable: CapSet,
    /// What a file may give at most.
    pub bounding: CapSet,
    /// What plain programs keep.
    pub ambient: CapSet,
    /// Whether `execve` gives nothing any more (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
    /// Whether a debugger or tracer is attached.
    pub traced: bool,
    /// `securebits`, as bits.
    pub securebits: Fact<u32>,
    /// The ids that the process's user namespace knows.
    pub ids: Fact<IdMap>,
}

/// The ids that a user namespace knows, as numbers of the observer's, see `user_namespaces(7)`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IdMap {
    /// The uid that is root in it, if one is.
    pub root: Option<u32>,
    /// The uids that are root in the namespaces it was made in, as far as they can be seen.
    pub roots_around: Vec<u32>,
    /// Ranges of uids that it maps, both ends included.
    pub uids: Vec<(u32, u32)>,
    /// Ranges of gids that it maps, both ends included.
    pub gids: Vec<(u32, u32)>,
}

impl IdMap {
    /// The initial user namespace, which maps every id to itself.
    pub fn initial() -> IdMap {
        let all = Vec::from([(0, u32::MAX - 1)]);
        IdMap { root: Some(0), roots_around: Vec::new(), uids: all.clone(), gids: all }
    }

    /// Returns whether it maps both the owner and the group of a file.
    pub fn maps(&self, uid: u32, gid: u32) -> bool {
        let within = |ranges: &[(u32, u32)], id| ranges.iter().any(|r| (r.0..=r.1).contains(&id));
        within(&self.uids, uid) && within(&self.gids, gid)
    }

    /// Returns whether `uid` is root in it or in one that it was made in.
    pub fn is_root(&self, uid: u32) -> bool {
        self.root == Some(uid) || self.roots_around.contains(&uid)
    }
}

impl Credentials {
    /// The securebit that takes uid 0 its privilege at `execve`.
    pub const SECBIT_NOROOT: u32 = 1;
    /// The securebit that `execve` clears.
    pub const SECBIT_KEEP_CAPS: u32 = 1 << 4;

    /// Those of a login process: every capability for root, none for others, nothing restricted.
    pub fn login(uid: u32, gid: u32, groups: Vec<u32>) -> Credentials {
        const FROM: &str = "as a login process has them";
        let permitted = if uid == 0 { CapSet::ALL } else { CapSet::NONE };
        Credentials {
            uids: Ids::all(uid),
            gids: Ids::all(gid),
            groups,
            permitted,
            inheritable: CapSet::NONE,
            bounding: CapSet::ALL,
            ambient: CapSet::NONE,
            no_new_privs: false,
            traced: false,
            securebits: Fact::known(0, FROM),
            ids: Fact::not_asked(FactKey::IdMap),
        }
    }

    /// Returns whether `gid` is one of the groups that checks on files look at.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gids.filesystem == gid || self.groups.contains(&gid)
    }
}
