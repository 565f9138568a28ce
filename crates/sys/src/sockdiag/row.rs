//! One socket as the kernel tells of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AF_INET, AF_INET6};
use crate::netlink::{Attribute, Malformed, attributes, u32_at};

/// `idiag_state`: the state of a socket in TCP's words.
///
/// UDP and raw sockets are `CLOSE` when unconnected and `ESTABLISHED` when connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State(pub u8);

macro_rules! states {
    ($($number:literal $name:ident $doc:literal,)*) => {
        impl State {
            $(#[doc = $doc] pub const $name: State = State($number);)*

            /// Every state this list names, in the kernel's order.
            pub const NAMED: &[State] = &[$(State::$name,)*];

            /// The kernel's name without its prefix; `None` for a number this list lacks.
            pub const fn name(self) -> Option<&'static str> {
                match self { $(State::$name => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

states! {
    1 ESTABLISHED "Connected.",
    2 SYN_SENT "Connecting.",
    3 SYN_RECV "A client's connection that is not yet established; it has no file.",
    4 FIN_WAIT1 "Closed by this side, not yet acknowledged.",
    5 FIN_WAIT2 "Closed by this side, acknowledged.",
    6 TIME_WAIT "Gone, but the kernel keeps the port; it has no file, and its uid reads 0.",
    7 CLOSE "Neither listening nor connected.",
    8 CLOSE_WAIT "Closed by the other side only.",
    9 LAST_ACK "Closed by both sides, the other one first.",
    10 LISTEN "Listening.",
    11 CLOSING "Closed by both sides at once.",
    12 NEW_SYN_RECV "What the kernel calls `SYN_RECV` inside; rows say `SYN_RECV`.",
    13 BOUND_INACTIVE "To ask with only (≥ 6.8): bound TCP sockets that neither listen nor connect. \
        Their rows say `CLOSE`. Older kernels ignore the bit and show nothing, without a word; \
        see [`super::SockDiag::probe_bound_inactive`].",
}

impl State {
    /// The bit of [`super::SocketQuery::states`] that asks for this state.
    pub const fn bit(self) -> u32 {
        if self.0 < 32 { 1 << self.0 } else { 0 }
    }
}

/// `idiag_timer`: what the timer of a TCP socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A retransmission.
    Retransmit,
    /// A keep-alive probe, or the end of `FIN_WAIT2`.
    KeepAlive,
    /// The end of `TIME_WAIT`.
    TimeWait,
    /// A probe of a zero window.
    ZeroWindow,
    /// A number this list lacks.
    Other(u8),
}

/// `INET_DIAG_SOCKOPT` (≥ 5.10): the options sock_diag tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// `IP_FREEBIND` or `IPV6_FREEBIND`.
    pub freebind: bool,
    /// `IP_TRANSPARENT` or `IPV6_TRANSPARENT`.
    pub transparent: bool,
    /// `IP_BIND_ADDRESS_NO_PORT`.
    pub bind_address_no_port: bool,
    /// `IP_HDRINCL`.
    pub hdrincl: bool,
    /// `IP_NODEFRAG`.
    pub nodefrag: bool,
    /// `IP_MULTICAST_ALL`.
    pub multicast_all: bool,
    /// TCP Fast Open delayed the connection to the first write.
    pub defer_connect: bool,
}

/// One row of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagSocket {
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u8,
    /// The protocol that was asked for.
    pub protocol: u16,
    /// The number a raw socket was made with (`INET_DIAG_PROTOCOL`).
    pub raw_protocol: Option<u8>,
    /// The state.
    pub state: State,
    /// The local address, unspecified for a wildcard. Raw sockets have the protocol as port.
    pub local: (IpAddr, u16),
    /// The remote address, unspecified with port 0 if there is none.
    pub remote: (IpAddr, u16),
    /// The interface the socket is bound to (`SO_BINDTODEVICE`, or the zone of a link-local
    /// address); 0 if to none.
    pub interface: u32,
    /// The uid of the owner, in the user namespace of the caller (65534: not mapped there).
    pub uid: u32,
    /// The inode of the socket's file, as `/proc/PID/fd` shows it; 0 if no process has one.
    pub inode: u64,
    /// A number the kernel gives each socket once (`SO_COOKIE`).
    pub cookie: u64,
    /// Bytes not yet read; of a TCP listener the connections not yet accepted.
    pub rqueue: u32,
    /// Bytes not yet acknowledged; of a TCP listener the backlog.
    pub wqueue: u32,
    /// The running timer and the milliseconds it has left.
    pub timer: Option<(Timer, u32)>,
    /// `RCV_SHUTDOWN` (1) and `SEND_SHUTDOWN` (2).
    pub shutdown: Option<u8>,
    /// `IPV6_V6ONLY`; told of IPv6 sockets that listen or are closed. A socket bound to a
    /// specific IPv6 address reads true even if the option was never set.
    pub v6only: Option<bool>,
    /// `SO_MARK`; told to `CAP_NET_ADMIN` only.
    pub mark: Option<u32>,
    /// The inode of the cgroup v2 the socket belongs to (≥ 5.9).
    pub cgroup: Option<u64>,
    /// The options the kernel tells of.
    pub options: Option<SocketOptions>,
}

/// Reads the payload of one row, an `inet_diag_msg` and its attributes.
///
/// # Errors
/// [`Malformed`] if it is too short or of another family than IPv4 and IPv6.
pub fn parse(protocol: u16, payload: &[u8]) -> Result<DiagSocket, Malformed> {
    let fixed: &[u8; 72] = payload.first_chunk().ok_or(Malformed)?;
    let family = fixed[0];
    let port = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let word = |at: usize| u32_at(fixed, at).ok_or(Malformed);
    let mut socket = DiagSocket {
        family,
        protocol,
        raw_protocol: None,
        state: State(fixed[1]),
        local: (address(family, &fixed[8..24])?, port(4)),
        remote: (address(family, &fixed[24..40])?, port(6)),
        interface: word(40)?,
        cookie: u64::from(word(44)?) | u64::from(word(48)?) << 32,
        timer: timer(fixed[2]).map(|timer| Ok((timer, word(52)?))).transpose()?,
        rqueue: word(56)?,
        wqueue: word(60)?,
        uid: word(64)?,
        inode: word(68)?.into(),
        shutdown: None,
        v6only: None,
        mark: None,
        cgroup: None,
        options: None,
    };
    for attribute in attributes(&payload[fixed.len()..]) {
        read_attribute(&mut socket, &attribute);
    }
    Ok(socket)
}

fn read_attribute(socket: &mut DiagSocket, attribute: &Attribute<'_>) {
    match attribute.kind {
        8 => socket.shutdown = attribute.u8(),
        10 => socket.raw_protocol = attribute.u8(),
        11 => socket.v6only = attribute.u8().map(|value| value != 0),
        15 => socket.mark = attribute.u32(),
        21 => socket.cgroup = attribute.u64(),
        22 => socket.options = attribute.payload.first_chunk().map(options),
        _ => {}
    }
}

fn address(family: u8, bytes: &[u8]) -> Result<IpAddr, Malformed> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|b| Ipv4Addr::from(*b).into()).ok_or(Malformed),
        AF_INET6 => bytes.first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into()).ok_or(Malformed),
        _ => Err(Malformed),
    }
}

fn timer(number: u8) -> Option<Timer> {
    match number {
        0 => None,
        1 => Some(Timer::Retransmit),
        2 => Some(Timer::KeepAlive),
        3 => Some(Timer::TimeWait),
        4 => Some(Timer::ZeroWindow),
        other => Some(Timer::Other(other)),
    }
}

/// `inet_diag_sockopt`: bit fields, filled from the low end on little-endian machines and from
/// the high end on big-endian ones.
fn options(bytes: &[u8; 2]) -> SocketOptions {
    let bit = |byte: usize, number: u8| {
        let number = if cfg!(target_endian = "little") { number } else { 7 - number };
        bytes[byte] & 1 << number != 0
    };
    SocketOptions {
        freebind: bit(0, 2),
        hdrincl: bit(0, 3),
        transparent: bit(0, 5),
        multicast_all: bit(0, 6),
        nodefrag: bit(0, 7),
        bind_address_no_port: bit(1, 0),
        defer_connect: bit(1, 2),
    }
}
