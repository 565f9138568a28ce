//! Facts: known, with where they were read, or missing, with why and what would reveal them.

use alloc::borrow::Cow;
use core::net::IpAddr;

use crate::SocketId;

/// Text that is usually a constant and sometimes read from a file.
pub type Text = Cow<'static, str>;

/// Names a fact, so that whoever observes a machine can be asked for just this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum FactKey {
    /// The interfaces, their addresses and the states of those.
    Interfaces,
    /// The routes of Linux's table `local`, which make an IPv4 address the host's own.
    LocalRoutes,
    /// Whether this one address is the host's.
    LocalAddress(IpAddr),
    /// A sysctl of the network namespace, by its name.
    Sysctl(Text),
    /// The range that automatic ports come from, and the ports reserved in it.
    LocalPorts,
    /// The sockets that hold this port.
    Sockets(u16),
    /// All sockets of the network namespace.
    AllSockets,
    /// `SO_REUSEADDR`, `SO_REUSEPORT` and the owner of one socket.
    SocketOptions(SocketId),
    /// What the kernel remembers about sharing a TCP port beyond the sockets that hold it.
    BindBucket(u16),
    /// The effective capabilities of the subject.
    Capabilities,
    /// How the subject's user namespace relates to the one that owns the network namespace.
    UserNs,
    /// The ids and capability sets of the subject.
    Credentials,
    /// The `securebits` of the subject.
    Securebits,
    /// The ids that the subject's user namespace maps.
    IdMap,
    /// Something about a file that is to be executed, by its path.
    File(Text),
    /// Which gates the calls of the subject have to pass.
    Gates,
    /// A feature that neither the version nor a probe decides.
    Feature(Text),
    /// Which gates the host has that answer by rules nobody can read from here.
    Policies,
    /// Such a gate, by its name.
    Policy(Text),
}

/// A fact that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Missing {
    /// Which fact.
    pub key: FactKey,
    /// Why it is not known.
    pub why: Text,
    /// What would reveal it; empty if nothing is known to.
    pub reveal: Text,
}

impl Missing {
    /// A fact that nobody has asked for yet.
    pub const fn not_asked(key: FactKey) -> Missing {
        Missing { key, why: Cow::Borrowed("not observed"), reveal: Cow::Borrowed("") }
    }

    /// A fact that is not known because of `why`; `reveal` says what would show it.
    pub fn new(key: FactKey, why: impl Into<Text>, reveal: impl Into<Text>) -> Missing {
        Missing { key, why: why.into(), reveal: reveal.into() }
    }
}

/// One fact about a machine or a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Fact<T> {
    /// The value, and where it was read.
    Known {
        /// The value.
        value: T,
        /// Where it was read: a file, a kernel interface, `assumed`, `given`.
        from: Text,
    },
    /// Not known.
    Missing(Missing),
}

impl<T> Fact<T> {
    /// A fact read from `from`.
    pub fn known(value: T, from: impl Into<Text>) -> Fact<T> {
        Fact::Known { value, from: from.into() }
    }

    /// A fact nobody has asked for yet.
    pub const fn not_asked(key: FactKey) -> Fact<T> {
        Fact::Missing(Missing::not_asked(key))
    }

    /// Returns the value, or what is missing.
    pub fn get(&self) -> Result<&T, Missing> {
        match self {
            Fact::Known { value, .. } => Ok(value),
            Fact::Missing(missing) => Err(missing.clone()),
        }
    }

    /// Returns the value if it is known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Fact::Known { value, .. } => Some(value),
            Fact::Missing(_) => None,
        }
    }

    /// Returns where the value was read, or why it was not.
    pub fn source(&self) -> &str {
        match self {
            Fact::Known { from, .. } => from,
            Fact::Missing(missing) => &missing.why,
        }
    }
}
