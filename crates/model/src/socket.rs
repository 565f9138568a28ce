//! Sockets as the rules see them, and the table of those that hold ports.

use alloc::{collections::BTreeMap, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use crate::{FactKey, Family, Missing, Text};

/// Tells sockets apart: a number given by whoever fills the table. Inode numbers serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SocketId(pub u64);

impl SocketId {
    /// The socket of the question itself, which does not exist yet.
    pub const ASKING: SocketId = SocketId(u64::MAX);
}

/// The transport protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Protocol {
    /// TCP, `SOCK_STREAM`.
    Tcp,
    /// UDP, `SOCK_DGRAM`.
    Udp,
}

impl Protocol {
    /// The name as in `/etc/protocols`.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// The state of a socket, in TCP's words. A UDP socket is `Closed` or `Established`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum State {
    /// Neither listening nor connected; it may be bound.
    Closed,
    /// Listening.
    Listen,
    /// Connected, or on the way to it.
    Established,
    /// Closed by this side; the other side has not finished (`FIN_WAIT1`, `FIN_WAIT2`, `LAST_ACK`, `CLOSING`).
    Closing,
    /// Closed by the other side; this side still holds it open (`CLOSE_WAIT`).
    CloseWait,
    /// Gone, but the kernel keeps the port for late packets.
    TimeWait,
}

/// The options of a socket that rules look at. `None`: not observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Options {
    /// `SO_REUSEADDR`.
    pub reuseaddr: Option<bool>,
    /// `SO_REUSEPORT`.
    pub reuseport: Option<bool>,
    /// `SO_REUSESHAREUID` of XNU.
    pub shareuid: bool,
    /// `IP_FREEBIND` or `IPV6_FREEBIND`.
    pub freebind: bool,
    /// `IP_TRANSPARENT` or `IPV6_TRANSPARENT`.
    pub transparent: bool,
    /// `IP_BIND_ADDRESS_NO_PORT`.
    pub bind_address_no_port: bool,
    /// `IP_LOCAL_PORT_RANGE`, lowest and highest port; `None` if not set.
    pub local_port_range: Option<(u16, u16)>,
    /// `IP_PORTRANGE_LOW` of the BSDs and XNU.
    pub portrange_low: bool,
    /// `SO_BROADCAST`.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub broadcast: bool,
    /// `SO_REUSEPORT_LB` (FreeBSD).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub reuseport_lb: bool,
    /// `SO_EXCLUSIVEADDRUSE` (Windows) or `TCP_EXCLBIND` (illumos).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub exclusive: bool,
}

impl Options {
    /// The options of a fresh socket: everything known and off.
    pub const NONE: Options = Options {
        reuseaddr: Some(false),
        reuseport: Some(false),
        shareuid: false,
        freebind: false,
        transparent: false,
        bind_address_no_port: false,
        local_port_range: None,
        portrange_low: false,
        broadcast: false,
        reuseport_lb: false,
        exclusive: false,
    };
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Socket {
    /// Which one.
    pub id: SocketId,
    /// Its family.
    pub family: Family,
    /// Its protocol.
    pub protocol: Protocol,
    /// The user it belongs to: on Linux the owner of its inode. `None`: not observed.
    pub uid: Option<u32>,
    /// Its options.
    pub options: Options,
    /// `IPV6_V6ONLY`. Linux sets it by itself when a socket is bound to one IPv6 address.
    pub v6only: bool,
    /// The interface index it is bound to, 0 for none.
    pub device: u32,
    /// Its state.
    pub state: State,
    /// Its local address; unspecified if it has none.
    pub ip: IpAddr,
    /// The local port it owns; 0 if none.
    pub port: u16,
    /// The other end, if it is connected.
    pub remote: Option<SocketAddr>,
    /// Whether `connect` chose the port, not `bind`. `None`: not observed.
    pub port_by_connect: Option<bool>,
    /// Whether `bind` named this port (Linux: `SOCK_BINDPORT_LOCK`). `None`: not observed.
    pub port_by_bind: Option<bool>,
    /// Whether `bind` named this address (Linux: `SOCK_BINDADDR_LOCK`).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub ip_by_bind: bool,
    /// Whether it had a connection that the other end reset: the file is connected still
    /// (`SS_CONNECTED`) until `connect` with `AF_UNSPEC` (Linux).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub spent: bool,
    /// The address that an IPv6 UDP socket was connected to before `connect` with `AF_UNSPEC`: it
    /// goes on hearing IPv6 from there only (Linux).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub heard: Option<IpAddr>,
    /// Its place among the UDP sockets of one connection (Linux): the greater one is met first. 0
    /// if it was not seen to be connected.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub met: i64,
    /// The group that shares its port by `SO_REUSEPORT` (Linux).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub group: Membership,
    /// Its place among the sockets of its address: a lookup meets the greater one first, and of
    /// equals the one that stands first in its table. It rises with each `bind`, `listen` or
    /// `connect` that files the socket anew.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub filed: i64,
}

/// Whether a socket is in a group that shares its port by `SO_REUSEPORT`. Nothing shows it; whoever
/// saw every call knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// Not seen: the options, the owner and the address tell which sockets would be together.
    #[default]
    Unseen,
    /// It is in none.
    None,
    /// It is in the group of this number.
    Group(u64),
}

impl Socket {
    /// A fresh socket of this family and protocol, with no option set, owned by `uid`.
    pub const fn new(id: SocketId, family: Family, protocol: Protocol, uid: u32) -> Socket {
        Socket {
            id,
            family,
            protocol,
            uid: Some(uid),
            options: Options::NONE,
            v6only: false,
            device: 0,
            state: State::Closed,
            ip: family.unspecified(),
            port: 0,
            remote: None,
            port_by_connect: Some(false),
            port_by_bind: Some(false),
            ip_by_bind: false,
            spent: false,
            heard: None,
            met: 0,
            group: Membership::None,
            filed: 0,
        }
    }
}

/// How much of the host's sockets a [`Sockets`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Coverage {
    /// Every socket.
    All,
    /// The sockets of these ports only.
    Ports(Vec<u16>),
    /// None could be observed.
    None(Missing),
}

/// The sockets of a host, by port. Those of one port stand in the order in which the kernel
/// walks them, which Linux's UDP rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sockets {
    by_port: BTreeMap<u16, Vec<Socket>>,
    /// What was observed.
    pub coverage: Coverage,
    /// Where it was read.
    pub from: Text,
    /// Owners of ports that the observation cannot show, if there may be any.
    pub hidden: Option<Missing>,
    /// The numbers of the `SO_REUSEPORT` groups of which a member was connected (Linux, UDP).
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) groups_with_connections: Vec<u64>,
    /// How many groups and places were given.
    #[cfg_attr(feature = "serde", serde(skip))]
    given: u64,
}

impl Sockets {
    /// No socket observed, none asked for.
    pub const fn not_asked() -> Sockets {
        Sockets {
            by_port: BTreeMap::new(),
            coverage: Coverage::Ports(Vec::new()),
            from: Text::Borrowed("not observed"),
            hidden: None,
            groups_with_connections: Vec::new(),
            given: 0,
        }
    }

    /// A host without any socket, known from `from`.
    pub fn none(from: impl Into<Text>) -> Sockets {
        Sockets {
            by_port: BTreeMap::new(),
            coverage: Coverage::All,
            from: from.into(),
            hidden: None,
            groups_with_connections: Vec::new(),
            given: 0,
        }
    }

    /// Returns the sockets that hold `port`, in the kernel's order.
    pub fn on(&self, port: u16) -> Result<&[Socket], Missing> {
        let known = match &self.coverage {
            Coverage::All => true,
            Coverage::Ports(ports) => ports.contains(&port),
            Coverage::None(missing) => {
                return Err(Missing { key: FactKey::Sockets(port), ..missing.clone() });
            }
        };
        if !known {
            return Err(Missing::not_asked(FactKey::Sockets(port)));
        }
        Ok(self.by_port.get(&port).map_or(&[], Vec::as_slice))
    }

    /// Returns every port that has a socket, with its sockets, if all were observed.
    pub fn all(&self) -> Result<impl Iterator<Item = (u16, &[Socket])>, Missing> {
        match &self.coverage {
            Coverage::All => Ok(self.by_port.iter().map(|(&port, list)| (port, list.as_slice()))),
            Coverage::Ports(_) => Err(Missing::not_asked(FactKey::AllSockets)),
            Coverage::None(missing) => Err(Missing { key: FactKey::AllSockets, ..missing.clone() }),
        }
    }

    /// Returns every socket that was observed.
    pub fn observed(&self) -> impl Iterator<Item = &Socket> {
        self.by_port.values().flatten()
    }

    /// Says that the sockets of `port` were observed: `list`, in the kernel's order.
    pub fn set_port(&mut self, port: u16, list: Vec<Socket>) {
        if let Coverage::Ports(ports) = &mut self.coverage
            && !ports.contains(&port)
        {
            ports.push(port);
        }
        self.by_port.insert(port, list);
    }

    /// Returns the socket with this id.
    pub fn get(&self, id: SocketId) -> Option<&Socket> {
        self.observed().find(|s| s.id == id)
    }

    /// Returns the socket with this id on `port`, to change what it knows.
    pub fn get_mut(&mut self, port: u16, id: SocketId) -> Option<&mut Socket> {
        self.by_port.get_mut(&port)?.iter_mut().find(|s| s.id == id)
    }

    /// The number of a new `SO_REUSEPORT` group.
    pub(crate) fn new_group(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// A place before all others ([`Socket::filed`]), or behind them.
    pub(crate) fn place(&mut self, first: bool) -> i64 {
        self.given += 1;
        let place = self.given as i64;
        if first { place } else { -place }
    }

    /// Adds a socket in front of those of its port, and returns it as it is there.
    pub fn push_front(&mut self, mut socket: Socket) -> Socket {
        socket.filed = self.place(true);
        self.by_port.entry(socket.port).or_default().insert(0, socket);
        socket
    }

    /// Adds a socket behind those of its port, and returns it as it is there.
    pub fn push_back(&mut self, mut socket: Socket) -> Socket {
        socket.filed = self.place(false);
        self.by_port.entry(socket.port).or_default().push(socket);
        socket
    }

    /// Removes and returns the socket with this id from `port`.
    pub fn remove(&mut self, port: u16, id: SocketId) -> Option<Socket> {
        let list = self.by_port.get_mut(&port)?;
        let at = list.iter().position(|s| s.id == id)?;
        let socket = list.remove(at);
        if list.is_empty() {
            self.by_port.remove(&port);
        }
        Some(socket)
    }

    /// Forgets every socket, keeping what was said about coverage.
    pub fn clear(&mut self) {
        self.by_port.clear();
        self.groups_with_connections.clear();
    }
}
