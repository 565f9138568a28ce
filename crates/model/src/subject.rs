//! Who asks.

use crate::{Fact, FactKey, Text};

/// A set of Linux capabilities, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CapSet(pub u64);

/// One Linux capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Its number in `capability.h`.
    pub bit: u8,
    /// Its name.
    pub name: &'static str,
}

/// Lets a process bind ports below the limit.
pub const CAP_NET_BIND_SERVICE: Cap = Cap { bit: 10, name: "CAP_NET_BIND_SERVICE" };
/// Lets a process change the network; enough for `IP_TRANSPARENT`.
pub const CAP_NET_ADMIN: Cap = Cap { bit: 12, name: "CAP_NET_ADMIN" };
/// Lets a process use raw sockets; enough for `IP_TRANSPARENT` and to change `SO_BINDTODEVICE`.
pub const CAP_NET_RAW: Cap = Cap { bit: 13, name: "CAP_NET_RAW" };

impl CapSet {
    /// No capability.
    pub const NONE: CapSet = CapSet(0);
    /// Every capability there is or will be.
    pub const ALL: CapSet = CapSet(u64::MAX);

    /// Returns whether `cap` is in the set.
    pub const fn has(self, cap: Cap) -> bool {
        self.0 & (1 << cap.bit) != 0
    }

    /// Returns the set with `cap` added.
    pub const fn with(self, cap: Cap) -> CapSet {
        CapSet(self.0 | (1 << cap.bit))
    }
}

/// How the subject's user namespace relates to the one that owns the network namespace: the
/// kernel asks for a capability in the owner, whatever the subject holds elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum UserNs {
    /// The subject is in the owner itself.
    Owner,
    /// The owner is a descendant of the subject's user namespace: capabilities count there too.
    Ancestor,
    /// The subject is the user who created the owner, and is in its parent: it has every
    /// capability there.
    Creator,
    /// None of these: no capability of the subject counts.
    Foreign,
}

/// The process that asks, as far as rules look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Subject {
    /// Effective user id. On Linux the file system user id, which owns the sockets it makes.
    pub uid: u32,
    /// The user's name, if it has one.
    pub user: Option<Text>,
    /// Effective capabilities (Linux).
    pub capabilities: Fact<CapSet>,
    /// Which user namespace they count in (Linux).
    pub userns: Fact<UserNs>,
}

impl Subject {
    /// A process of `uid` in the user namespace that owns the network: every capability for uid
    /// 0, none for others.
    pub fn plain(uid: u32, from: impl Into<Text> + Clone) -> Subject {
        let capabilities = if uid == 0 { CapSet::ALL } else { CapSet::NONE };
        Subject {
            uid,
            user: None,
            capabilities: Fact::known(capabilities, from.clone()),
            userns: Fact::known(UserNs::Owner, from),
        }
    }

    /// A process of `uid` of which nothing else was asked yet.
    pub const fn not_asked(uid: u32) -> Subject {
        Subject {
            uid,
            user: None,
            capabilities: Fact::not_asked(FactKey::Capabilities),
            userns: Fact::not_asked(FactKey::UserNs),
        }
    }
}
