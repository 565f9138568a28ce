//! sock_diag(7): the sockets of a network namespace, as the kernel lists them.
//!
//! Needs no privilege: every user sees every socket of the namespace, with its owner's uid and
//! inode. Only [`DiagSocket::mark`] is kept for `CAP_NET_ADMIN`.
//!
//! What a dump does not show, whoever asks: TCP sockets that are bound and neither listen nor
//! connect (unless [`State::BOUND_INACTIVE`] is asked for, see there), and `SO_REUSEADDR` and
//! `SO_REUSEPORT` of any socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::netlink::{self, Attribute, Malformed, NETLINK_SOCK_DIAG, Netlink, Request, u32_at};
use crate::sock::{Address, Socket};
use crate::{Errno, Error};

/// IPv4, the value of [`SocketQuery::family`].
pub const AF_INET: u8 = libc::AF_INET as u8;
/// IPv6, the value of [`SocketQuery::family`].
pub const AF_INET6: u8 = libc::AF_INET6 as u8;

/// `IPPROTO_TCP`, the value of [`SocketQuery::protocol`].
pub const TCP: u16 = libc::IPPROTO_TCP as u16;
/// `IPPROTO_UDP`.
pub const UDP: u16 = libc::IPPROTO_UDP as u16;
/// `IPPROTO_UDPLITE`.
pub const UDPLITE: u16 = libc::IPPROTO_UDPLITE as u16;
/// `IPPROTO_RAW`: raw sockets of every protocol.
pub const RAW: u16 = libc::IPPROTO_RAW as u16;
/// `IPPROTO_MPTCP` (≥ 5.9). Its subflows are rows of [`TCP`].
pub const MPTCP: u16 = libc::IPPROTO_MPTCP as u16;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_REQ_PROTOCOL: u16 = 3;

const INET_DIAG_BC_S_GE: u8 = 2;
const INET_DIAG_BC_S_LE: u8 = 3;

// No protocol has this number: kernels that do not know
// INET_DIAG_REQ_PROTOCOL find no handler and say so, instead of answering with TCP sockets.
const NO_SUCH_PROTOCOL: u8 = 254;

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
        see [`SockDiag::probe_bound_inactive`].",
}

impl State {
    /// The bit of [`SocketQuery::states`] that asks for this state.
    pub const fn bit(self) -> u32 {
        if self.0 < 32 { 1 << self.0 } else { 0 }
    }
}

/// Every state, bound-inactive included: the widest value of [`SocketQuery::states`].
pub const ALL_STATES: u32 = 0x3ffe;

/// Which sockets to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketQuery {
    /// [`AF_INET`] or [`AF_INET6`]: the socket's own family, so a dual-stack wildcard is in the
    /// second list only.
    pub family: u8,
    /// [`TCP`], [`UDP`], [`UDPLITE`], [`RAW`] or [`MPTCP`].
    pub protocol: u16,
    /// An or of [`State::bit`].
    pub states: u32,
    /// Only sockets with this local port; the kernel filters.
    pub local_port: Option<u16>,
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

/// A socket that asks for sockets, those of the network namespace it was opened in.
#[derive(Debug)]
pub struct SockDiag {
    netlink: Netlink,
}

impl SockDiag {
    /// Opens it in the thread's network namespace. Needs no privilege.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` if the kernel has no sock_diag.
    pub fn open() -> Result<SockDiag, Error> {
        Ok(SockDiag { netlink: Netlink::open(NETLINK_SOCK_DIAG, "sock_diag")? })
    }

    /// Lists the sockets of `query`, in the kernel's order.
    ///
    /// For UDP that is the order of the chains hashed by port: of sockets with one port and one
    /// family, the one bound last comes first.
    ///
    /// A dump is no snapshot: sockets that come or go meanwhile may be missing or be there twice
    /// (same [`DiagSocket::cookie`]).
    ///
    /// # Errors
    /// `ENOENT`: the kernel cannot list this protocol (not built in, module not loaded and not
    /// loadable by the caller). That says nothing about whether there are such sockets.
    pub fn query(&mut self, query: &SocketQuery) -> Result<Vec<DiagSocket>, Error> {
        let protocol = query.protocol;
        self.netlink.dump(&query_request(query), |message| {
            if message.kind != SOCK_DIAG_BY_FAMILY {
                return Ok(None);
            }
            parse(protocol, message.payload).map(Some)
        })
    }

    /// Closes a socket of another process (`SOCK_DESTROY`); its owner gets `ECONNABORTED`.
    ///
    /// The cookie makes sure it is this very socket. Needs `CAP_NET_ADMIN` over the network
    /// namespace and a kernel with `CONFIG_INET_DIAG_DESTROY`. A connection in `TIME_WAIT` can be
    /// ended this way too.
    ///
    /// # Errors
    /// `EPERM`; `EOPNOTSUPP` without the kernel option or for this protocol; `ENOENT` if it is
    /// gone or cannot be looked up (bound-inactive sockets never can).
    pub fn destroy(&mut self, socket: &DiagSocket) -> Result<(), Error> {
        let ends = Ends { local: socket.local, remote: socket.remote, interface: socket.interface };
        self.destroy_one(socket.family, socket.protocol, &ends, socket.cookie)
    }

    /// Closes the socket the kernel finds for these addresses, whichever it is.
    ///
    /// An unspecified remote address with port 0 finds a listener. `interface` is that of
    /// [`DiagSocket::interface`].
    ///
    /// # Errors
    /// Those of [`SockDiag::destroy`]; `EINVAL` if the addresses are of two families.
    pub fn destroy_by_address(
        &mut self,
        protocol: u16,
        local: SocketAddr,
        remote: SocketAddr,
        interface: u32,
    ) -> Result<(), Error> {
        const NO_COOKIE: u64 = u64::MAX;
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(Error::about("sock_diag", Errno::EINVAL, "addresses of two families"));
        }
        let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
        let (local, remote) = ((local.ip(), local.port()), (remote.ip(), remote.port()));
        self.destroy_one(family, protocol, &Ends { local, remote, interface }, NO_COOKIE)
    }

    fn destroy_one(
        &mut self,
        family: u8,
        protocol: u16,
        ends: &Ends,
        cookie: u64,
    ) -> Result<(), Error> {
        let mut fixed = fixed_part(family, protocol, u32::MAX);
        fixed[8..10].copy_from_slice(&ends.local.1.to_be_bytes());
        fixed[10..12].copy_from_slice(&ends.remote.1.to_be_bytes());
        put_address(&mut fixed[12..28], ends.local.0);
        put_address(&mut fixed[28..44], ends.remote.0);
        fixed[44..48].copy_from_slice(&ends.interface.to_ne_bytes());
        fixed[48..52].copy_from_slice(&(cookie as u32).to_ne_bytes());
        fixed[52..56].copy_from_slice(&((cookie >> 32) as u32).to_ne_bytes());
        let request = with_protocol(Request::new(SOCK_DESTROY, &fixed), protocol);
        self.netlink.request(&request, 0, |_| Ok(None::<()>)).map(drop)
    }

    /// Finds out whether this kernel shows bound-inactive sockets, by binding one and looking.
    ///
    /// The kernel has no other way to tell: where the state is unknown its bit is ignored. The
    /// socket takes an automatic port of the thread's namespace for the time of one dump and
    /// cannot be reached; a caller that must leave the namespace alone calls this from a
    /// private one. A row that a query with [`State::BOUND_INACTIVE`] alone returned is proof
    /// as well; an empty answer is none.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2), and of [`SockDiag::query`].
    pub fn probe_bound_inactive(&mut self) -> Result<bool, Error> {
        let failed = |call| move |errno| Error::new(call, errno);
        let socket = Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).map_err(failed("socket"))?;
        let any = Address::new((Ipv4Addr::UNSPECIFIED, 0).into());
        socket.bind(&any).map_err(failed("bind"))?;
        let address = socket.local_address().map_err(failed("getsockname"))?;
        let port = address.to_socket_addr().map(|address| address.port());
        let query = SocketQuery {
            family: AF_INET,
            protocol: TCP,
            states: State::BOUND_INACTIVE.bit(),
            local_port: port,
        };
        let seen = !self.query(&query)?.is_empty();
        drop(socket);
        Ok(seen)
    }
}

/// What tells sockets of one family and protocol apart, but for the cookie.
struct Ends {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    interface: u32,
}

/// `inet_diag_req_v2`, 56 bytes.
fn fixed_part(family: u8, protocol: u16, states: u32) -> [u8; 56] {
    let mut fixed = [0; 56];
    fixed[0] = family;
    fixed[1] = u8::try_from(protocol).unwrap_or(NO_SUCH_PROTOCOL);
    fixed[4..8].copy_from_slice(&states.to_ne_bytes());
    fixed
}

fn with_protocol(request: Request, protocol: u16) -> Request {
    if protocol <= u16::from(u8::MAX) {
        return request;
    }
    request.with(INET_DIAG_REQ_PROTOCOL, &u32::from(protocol).to_ne_bytes())
}

fn put_address(field: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(v4) => field[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => field.copy_from_slice(&v6.octets()),
    }
}

fn query_request(query: &SocketQuery) -> Request {
    let fixed = fixed_part(query.family, query.protocol, query.states);
    let request = with_protocol(Request::new(SOCK_DIAG_BY_FAMILY, &fixed), query.protocol);
    match query.local_port {
        Some(port) => request.with(INET_DIAG_REQ_BYTECODE, &source_port_is(port)),
        None => request,
    }
}

/// The filter "port ≤ local port ≤ port": equality needs a newer kernel.
///
/// The kernel's own field for a port is no use: dumps of bound-inactive sockets ignore it.
fn source_port_is(port: u16) -> [u8; 16] {
    // An instruction: code, bytes to the next one if true, bytes if false; beyond the end by
    // four means reject. Its port is in the second half of a further instruction.
    let mut code = [0; 16];
    for (at, operation, reject) in [(0, INET_DIAG_BC_S_GE, 20u16), (8, INET_DIAG_BC_S_LE, 12)] {
        code[at] = operation;
        code[at + 1] = 8;
        code[at + 2..at + 4].copy_from_slice(&reject.to_ne_bytes());
        code[at + 6..at + 8].copy_from_slice(&port.to_ne_bytes());
    }
    code
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
    for attribute in netlink::attributes(&payload[fixed.len()..]) {
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
