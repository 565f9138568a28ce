//! What a scenario is played on.

use alloc::{format, string::String, vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use crate::{Call, CapSet, Family, Outcome, Protocol, Receivers, SockAddr, SocketId};

/// The effective user and capabilities under which a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Effective user id.
    pub uid: u32,
    /// Effective capabilities; `None`: all for uid 0, none for others.
    pub caps: Option<CapSet>,
}

impl Who {
    /// The superuser.
    pub const ROOT: Who = Who { uid: 0, caps: None };

    /// The effective capabilities.
    pub fn capabilities(self) -> CapSet {
        self.caps.unwrap_or(if self.uid == 0 { CapSet::ALL } else { CapSet::NONE })
    }
}

/// What `socket(2)` is asked for where it is neither TCP nor UDP over IPv4 or IPv6, in Linux's
/// numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// `AF_INET`, `AF_INET6`, `AF_UNIX` or `AF_UNSPEC`.
    pub domain: u16,
    /// `SOCK_STREAM` and so on.
    pub kind: u8,
    /// The protocol, 0 for none.
    pub protocol: u16,
}

impl Special {
    /// `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_RAW` and `SOCK_SEQPACKET`, in that order.
    pub const KINDS: [(&'static str, u8); 4] =
        [("stream", 1), ("dgram", 2), ("raw", 3), ("seqpacket", 5)];
    /// Protocols by name.
    pub const PROTOCOLS: [(&'static str, u16); 7] = [
        ("tcp", 6),
        ("udp", 17),
        ("mptcp", 262),
        ("sctp", 132),
        ("udplite", 136),
        ("icmp", 1),
        ("icmpv6", 58),
    ];
}

/// A Landlock domain: the rights it handles, and what it allows by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// Rights by name.
    pub handled: Vec<String>,
    /// A right with the port for which it is allowed.
    pub rules: Vec<(String, u16)>,
}

/// Something a backend does not do, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(pub String);

/// What a call answered, or may answer.
pub type Answer = Result<Vec<Outcome>, Unsupported>;

/// A packet from a client that is made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The family of the client's socket.
    pub family: Family,
    /// TCP connects, UDP sends.
    pub protocol: Protocol,
    /// Where to.
    pub addr: SockAddr,
    /// From where: the address and port the client is bound to.
    pub src: (Option<IpAddr>, u16),
    /// Whether the client is in the peer namespace.
    pub from_peer: bool,
    /// How long it waits, in milliseconds.
    pub timeout: u64,
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// One of these got it: by chance, if there are several.
    OneOf(Vec<SocketId>),
    /// Each of these got it.
    All(Vec<SocketId>),
    /// Nobody got it, and the client was told this.
    Nobody(Outcome),
}

impl Reached {
    /// What a lookup came to; `told` is what the client is told if nobody is there.
    pub(super) fn of(to: Receivers, told: Outcome) -> Reached {
        match to {
            Receivers::One(id) => Reached::OneOf(vec![id]),
            Receivers::OneOf(ids) => Reached::OneOf(ids),
            Receivers::All(ids) => Reached::All(ids),
            Receivers::Nobody => Reached::Nobody(told),
        }
    }
}

/// The model, or a kernel. Calls are made on sockets named by ids that the caller chooses.
pub trait Backend {
    /// `socket(2)`.
    fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, who: Who) -> Answer;

    /// `socket(2)` of anything else.
    fn special(&mut self, id: SocketId, special: Special, who: Who) -> Answer {
        let _ = (id, who);
        let Special { domain, kind, protocol } = special;
        Err(Unsupported(format!("a socket of family {domain}, type {kind}, protocol {protocol}")))
    }

    /// `bind(2)`, `listen(2)` or `setsockopt(2)`. Where several outcomes are possible, or a port
    /// is chosen, [`Backend::settle`] says which it was.
    fn call(&mut self, id: SocketId, call: Call, who: Who) -> Answer;

    /// `setsockopt(2)` of `SO_MARK`.
    fn mark(&mut self, id: SocketId, value: i64, who: Who) -> Answer {
        let _ = (id, value, who);
        Err(Unsupported("option mark".into()))
    }

    /// Says what the last call answered. `port` is the one that was chosen, if known.
    fn settle(&mut self, id: SocketId, call: Call, outcome: Outcome, port: Option<u16>);

    /// `getsockname(2)`: address, zone and port.
    fn local(&mut self, id: SocketId) -> Result<(IpAddr, u32, u16), Unsupported>;

    /// `getsockopt(2)`, by the name of the option in scenario files.
    fn option(&mut self, id: SocketId, name: &str) -> Result<i64, Unsupported>;

    /// `close(2)`.
    fn close(&mut self, id: SocketId);

    /// `connect(2)` of a TCP socket, waiting for the answer.
    fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Answer;

    /// `accept(2)`; the new socket is `child`.
    fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Answer;

    /// `send(2)`, or `sendto(2)` an address.
    fn send(&mut self, id: SocketId, addr: Option<SockAddr>, who: Who) -> Answer {
        let _ = (id, addr, who);
        Err(Unsupported("op send".into()))
    }

    /// `recv(2)` of 16 bytes, waiting for a moment.
    fn receive(&mut self, id: SocketId, who: Who) -> Answer {
        let _ = (id, who);
        Err(Unsupported("op recv".into()))
    }

    /// `shutdown(2)`, reading and writing.
    fn shutdown(&mut self, id: SocketId, read: bool, write: bool, who: Who) -> Answer {
        let _ = (id, read, write, who);
        Err(Unsupported("op shutdown".into()))
    }

    /// `getpeername(2)`: address and port, if it is connected.
    fn peer(&mut self, id: SocketId) -> Result<Option<(IpAddr, u16)>, Unsupported> {
        let _ = id;
        Err(Unsupported("op getpeername".into()))
    }

    /// Sends a packet and says who got it.
    fn probe(&mut self, probe: &Probe, who: Who) -> Result<Reached, Unsupported> {
        let _ = (probe, who);
        Err(Unsupported("op probe".into()))
    }

    /// Which socket gets a packet to an address and port of this host, and whether it listens;
    /// a pure question.
    fn lookup(
        &mut self,
        protocol: Protocol,
        to: SocketAddr,
    ) -> Result<(Reached, bool), Unsupported> {
        let _ = (protocol, to);
        Err(Unsupported("op lookup".into()))
    }

    /// The index of the interface with this name.
    fn device(&mut self, name: &str) -> Option<u32>;

    /// Writes a sysctl.
    fn sysctl(&mut self, key: &str, value: &str) -> Answer;

    /// Puts this process into a Landlock domain.
    fn landlock(&mut self, domain: Domain) -> Answer {
        let _ = domain;
        Err(Unsupported("op landlock".into()))
    }

    /// Runs a shell command that changes the network.
    fn command(&mut self, command: &str) -> Result<(), Unsupported>;

    /// Waits, in milliseconds.
    fn sleep(&mut self, milliseconds: u64);

    /// A port that is free, for a variable that has none yet.
    fn free_port(&mut self) -> u16;
}
