//! What Linux remembers about sharing a TCP port, beyond the sockets that hold it. No interface
//! shows it; a [`Machine`](crate::Machine) that saw every call knows it.

use alloc::collections::BTreeMap;

use super::conflict::{addresses_meet, both};
use crate::{Family, Socket, State};

/// The memory of every port that has an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Buckets(BTreeMap<u16, Bucket>);

/// The memory of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bucket {
    /// The last `SO_REUSEPORT` socket that was accepted, as it was then. Cleared when a socket
    /// without the option is accepted.
    accepted: Option<Socket>,
    /// That socket was the first of the port, and its address does not matter (before 6.8).
    #[cfg_attr(feature = "serde", serde(default))]
    any_address: bool,
    /// Every socket that was accepted said `SO_REUSEADDR` and did not listen (before 6.8).
    #[cfg_attr(feature = "serde", serde(default))]
    reuse: bool,
    /// Of the sockets on the wildcard of IPv4, the first was one of IPv6. They are filed together.
    #[cfg_attr(feature = "serde", serde(default))]
    any_by_v6: bool,
}

impl Bucket {
    /// Returns whether `asking` is accepted without a look at the owners of the port.
    pub(super) fn remembers(&self, asking: &Socket) -> bool {
        self.reuse && reuses(asking) == Some(true) || self.shares(asking)
    }

    /// Whether the sockets on the wildcard of IPv4 are filed as those of IPv6.
    pub(super) fn any_is_v6(&self) -> bool {
        self.any_by_v6
    }

    /// It belongs to the same user as the remembered socket, and has its address or one under its
    /// wildcard. Devices are not compared.
    fn shares(&self, asking: &Socket) -> bool {
        self.accepted.as_ref().is_some_and(|last| {
            asking.options.reuseport == Some(true)
                && last.uid == asking.uid
                && (self.any_address || addresses_meet(last, asking, true, false))
        })
    }
}

/// Whether a socket, as it is when it is accepted, could share by `SO_REUSEADDR`.
pub(super) fn reuses(socket: &Socket) -> Option<bool> {
    both(socket.options.reuseaddr, Some(socket.state != State::Listen))
}

impl Buckets {
    /// Returns the memory of `port`.
    pub fn on(&self, port: u16) -> Option<&Bucket> {
        self.0.get(&port)
    }

    /// Remembers that `socket` was accepted on its port by `bind` or `listen`. `starts` says that
    /// nobody was there before it, and that the kernel makes more of the first than of others.
    pub(super) fn accepted(&mut self, socket: &Socket, starts: bool) {
        let bucket = self.0.entry(socket.port).or_default();
        let reuses = reuses(socket) == Some(true);
        bucket.reuse = reuses && (starts || bucket.reuse);
        if socket.options.reuseport != Some(true) {
            bucket.accepted = None;
        } else if !bucket.shares(socket) {
            bucket.accepted = Some(*socket);
            bucket.any_address = starts;
        }
    }

    /// Remembers that `socket` is the first on the wildcard of IPv4.
    pub(super) fn any_taken(&mut self, socket: &Socket) {
        self.0.entry(socket.port).or_default().any_by_v6 = socket.family == Family::Inet6;
    }

    /// Forgets what was said about sharing `port`, which still has owners.
    pub(super) fn forget(&mut self, port: u16) {
        if let Some(bucket) = self.0.get_mut(&port) {
            (bucket.accepted, bucket.reuse) = (None, false);
        }
    }

    /// Drops the memory of `port`, which has no owner any more.
    pub(super) fn remove(&mut self, port: u16) {
        self.0.remove(&port);
    }
}
