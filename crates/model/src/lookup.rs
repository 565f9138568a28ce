//! Who gets an arriving packet: the question, and the answer of a kernel's socket lookup.
//!
//! Routing, firewalls and queues come before and after; here a packet has reached the socket
//! layer of the host it is for.

use alloc::vec::Vec;
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::{
    Basis, Cite, FactKey, Host, KernelFamily, Missing, Protocol, SocketId, freebsd, linux, xnu,
};

/// A packet as the socket layer sees it: after address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its protocol. A TCP packet is one that opens a connection.
    pub protocol: Protocol,
    /// Where it comes from.
    pub src: SocketAddr,
    /// Where it goes to.
    pub dst: SocketAddr,
    /// The index of the interface on which it counts as arrived. For a packet of this host to
    /// itself that is the interface which has the address, not `lo`.
    pub device: u32,
    /// The index of the VRF of that interface, 0 for none.
    pub vrf: u32,
    /// Whether `dst` is a broadcast address here.
    pub broadcast: bool,
}

impl Packet {
    /// Whether the packet is for every socket that wants it, and not for one.
    pub fn is_for_all(&self) -> bool {
        self.broadcast || self.dst.ip().is_multicast()
    }
}

/// How a kernel came to its choice: one step of its lookup.
pub struct Choice {
    /// Stable name, `kernel.lookup.what`. Never reused.
    pub id: &'static str,
    /// What gets the packet, one line.
    pub title: &'static str,
    /// Where it can be read.
    pub cites: &'static [Cite],
    /// How it is known.
    pub basis: Basis,
    /// The page. Markdown.
    pub page: &'static str,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl PartialEq for Choice {
    fn eq(&self, other: &Choice) -> bool {
        self.id == other.id
    }
}

/// Who gets a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receivers {
    /// No socket.
    Nobody,
    /// This socket.
    One(SocketId),
    /// One of these, by a hash of both addresses and ports or by a program.
    OneOf(Vec<SocketId>),
    /// Each of these gets a copy.
    All(Vec<SocketId>),
}

impl Receivers {
    /// Every socket that gets the packet or may get it.
    pub fn ids(&self) -> &[SocketId] {
        match self {
            Receivers::Nobody => &[],
            Receivers::One(id) => core::slice::from_ref(id),
            Receivers::OneOf(ids) | Receivers::All(ids) => ids,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Who gets it.
    pub to: Receivers,
    /// The step of the lookup that said so.
    pub by: &'static Choice,
}

/// Returns who gets `packet` on `host`.
///
/// # Errors
/// The fact that is missing, such as the options of sockets that may share the port. Programs
/// that steer packets (`sk_lookup` of Linux) are taken not to be there unless
/// [`Host::policies`] names them.
pub fn lookup(host: &Host, packet: &Packet) -> Result<Found, Missing> {
    match host.kernel.family {
        KernelFamily::Linux => linux::lookup(host, packet),
        KernelFamily::Xnu => xnu::lookup(host, packet),
        KernelFamily::Freebsd => freebsd::lookup(host, packet),
        _ => Err(Missing::new(
            FactKey::Feature("lookup".into()),
            "which socket gets a packet on this kernel was not read",
            "try it on that system",
        )),
    }
}

/// An address as lookups compare it: an IPv4-mapped one is the IPv4 address in it.
pub(crate) fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
