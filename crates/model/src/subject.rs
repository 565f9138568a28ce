//! Who asks.

use alloc::vec::Vec;

use crate::{Credentials, Fact, FactKey, Program, Text};

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

/// Lets a process read, write and execute files whatever their permission bits say.
pub const CAP_DAC_OVERRIDE: Cap = Cap { bit: 1, name: "CAP_DAC_OVERRIDE" };
/// Lets a process read files and search directories whatever their permission bits say.
pub const CAP_DAC_READ_SEARCH: Cap = Cap { bit: 2, name: "CAP_DAC_READ_SEARCH" };
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

    /// Returns the set without `cap`.
    pub const fn without(self, cap: Cap) -> CapSet {
        CapSet(self.0 & !(1 << cap.bit))
    }

    /// Returns what is in either set.
    pub const fn or(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    /// Returns what is in both sets.
    pub const fn and(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    /// Returns whether every capability of the set is in `other` too.
    pub const fn is_within(self, other: CapSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Returns whether the set has no capability.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
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

/// A gate that answers by rules of its own, which cannot be read from here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gate {
    /// Its name, as the kernel's rules call it.
    pub name: Text,
    /// What is known about it, such as the profile in force.
    pub what: Text,
    /// What would reveal how it answers.
    pub reveal: Text,
    /// Whether it was seen to refuse, with the error that its rule names.
    pub refuses: bool,
}

/// The gates that the calls of one process have to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gates {
    /// Those that are there.
    pub present: Vec<Gate>,
    /// Those of which it could not be seen whether they are there. They are taken not to be.
    pub unseen: Vec<Gate>,
}

impl Gates {
    /// Facts of nobody who looked for gates.
    #[cfg(feature = "serde")]
    fn not_given() -> Fact<Gates> {
        Fact::known(Gates::default(), "the facts given name none")
    }
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
    /// What `execve` reckons with (Linux).
    #[cfg_attr(feature = "serde", serde(default = "Subject::no_credentials"))]
    pub credentials: Fact<Credentials>,
    /// The gates in front of its calls (Linux).
    #[cfg_attr(feature = "serde", serde(default = "Gates::not_given"))]
    pub gates: Fact<Gates>,
    /// The programs it executes, one after the other, before it makes the call (Linux).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub programs: Vec<Program>,
}

impl Subject {
    /// A process of `uid` in the user namespace that owns the network, with every capability for
    /// uid 0 and none for others, and with no gate in its way.
    pub fn plain(uid: u32, from: impl Into<Text> + Clone) -> Subject {
        let capabilities = if uid == 0 { CapSet::ALL } else { CapSet::NONE };
        Subject {
            capabilities: Fact::known(capabilities, from.clone()),
            userns: Fact::known(UserNs::Owner, from.clone()),
            gates: Fact::known(Gates::default(), from),
            ..Subject::not_asked(uid)
        }
    }

    /// A process of `uid` of which nothing else was asked yet.
    pub const fn not_asked(uid: u32) -> Subject {
        Subject {
            uid,
            user: None,
            capabilities: Fact::not_asked(FactKey::Capabilities),
            userns: Fact::not_asked(FactKey::UserNs),
            credentials: Subject::no_credentials(),
            gates: Fact::not_asked(FactKey::Gates),
            programs: Vec::new(),
        }
    }

    const fn no_credentials() -> Fact<Credentials> {
        Fact::not_asked(FactKey::Credentials)
    }
}
