//! What Linux remembers about sharing a TCP port, beyond the sockets that hold it. No interface
//! shows it; a [`Machine`](crate::Machine) that saw every call knows it.

use alloc::collections::BTreeMap;

use super::conflict::addresses_meet;
use crate::Socket;

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
}

impl Bucket {
    /// Returns whether `asking` is accepted without a look at the owners of the port: it belongs
    /// to the same user as the remembered socket, and has its address or one under its wildcard.
    /// Devices are not compared.
    pub(super) fn remembers(&self, asking: &Socket) -> bool {
        self.accepted
            .as_ref()
            .is_some_and(|last| last.uid == asking.uid && addresses_meet(last, asking, true, false))
    }
}

impl Buckets {
    /// Returns the memory of `port`.
    pub fn on(&self, port: u16) -> Option<&Bucket> {
        self.0.get(&port)
    }

    /// Remembers that `socket` was accepted on its port by `bind` or `listen`.
    pub(super) fn accepted(&mut self, socket: &Socket) {
        let bucket = self.0.entry(socket.port).or_default();
        if socket.options.reuseport != Some(true) {
            bucket.accepted = None;
        } else if !bucket.remembers(socket) {
            bucket.accepted = Some(*socket);
        }
    }

    /// Forgets what was said about sharing `port`, which still has owners.
    pub(super) fn forget(&mut self, port: u16) {
        if let Some(bucket) = self.0.get_mut(&port) {
            bucket.accepted = None;
        }
    }

    /// Drops the memory of `port`, which has no owner any more.
    pub(super) fn remove(&mut self, port: u16) {
        self.0.remove(&port);
    }
}
