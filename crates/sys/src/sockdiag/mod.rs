//! sock_diag(7): the sockets of a network namespace, as the kernel lists them.
//!
//! Needs no privilege: every user sees every socket of the namespace, with its owner's uid and
//! inode. Only [`DiagSocket::mark`] is kept for `CAP_NET_ADMIN`.
//!
//! What a dump does not show, whoever asks: TCP sockets that are bound and neither listen nor
//! connect (unless [`State::BOUND_INACTIVE`] is asked for, see there), and `SO_REUSEADDR` and
//! `SO_REUSEPORT` of any socket.

mod row;

pub use row::{DiagSocket, SocketOptions, State, Timer, parse};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::netlink::{NETLINK_SOCK_DIAG, Netlink, Request};
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

// The request of inet_diag before there was sock_diag: of every family, TCP only.
const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_REQ_PROTOCOL: u16 = 3;

const INET_DIAG_BC_JMP: u8 = 1;
const INET_DIAG_BC_S_GE: u8 = 2;
const INET_DIAG_BC_S_LE: u8 = 3;

// No protocol has this number: kernels that do not know
// INET_DIAG_REQ_PROTOCOL find no handler and say so, instead of answering with TCP sockets.
const NO_SUCH_PROTOCOL: u8 = 254;

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
        self.query_into(query, Vec::push)
    }

    /// The same, but `take_in` puts each socket where it likes.
    ///
    /// # Errors
    /// Those of [`SockDiag::query`].
    pub fn query_into<R: Default>(
        &mut self,
        query: &SocketQuery,
        take_in: impl FnMut(&mut R, DiagSocket),
    ) -> Result<R, Error> {
        self.dump(&query_request(query), SOCK_DIAG_BY_FAMILY, query.protocol, take_in)
    }

    fn dump<R: Default>(
        &mut self,
        request: &Request,
        kind: u16,
        protocol: u16,
        mut take_in: impl FnMut(&mut R, DiagSocket),
    ) -> Result<R, Error> {
        self.netlink.dump_into(request, |rows, message| {
            if message.kind == kind {
                take_in(rows, parse(protocol, message.payload)?);
            }
            Ok(())
        })
    }

    /// Lists the TCP sockets of both families, IPv4 before IPv6, in these states (an or of
    /// [`State::bit`]) and, if given, with this local port.
    ///
    /// Each walk over the kernel's tables takes milliseconds on a machine with much memory, even
    /// if they are empty. So the older request is sent, which walks once for both families.
    ///
    /// # Errors
    /// Those of [`SockDiag::query`].
    pub fn tcp(&mut self, states: u32, local_port: Option<u16>) -> Result<Vec<DiagSocket>, Error> {
        let mut rows: Vec<DiagSocket> = self.tcp_into(states, local_port, Vec::push)?;
        rows.sort_by_key(|row| row.family);
        Ok(rows)
    }

    /// The same, but the families are mixed, and `take_in` puts each socket where it likes.
    ///
    /// # Errors
    /// Those of [`SockDiag::query`].
    pub fn tcp_into<R: Default>(
        &mut self,
        states: u32,
        ports: impl Into<LocalPorts>,
        mut take_in: impl FnMut(&mut R, DiagSocket),
    ) -> Result<R, Error> {
        let ports = ports.into();
        let request = filtered(Request::new(TCPDIAG_GETSOCK, &older_fixed(states)), ports);
        if let Ok(rows) = self.dump(&request, TCPDIAG_GETSOCK, TCP, &mut take_in) {
            return Ok(rows);
        }
        let mut rows = R::default();
        for family in [AF_INET, AF_INET6] {
            let request = Request::new(SOCK_DIAG_BY_FAMILY, &fixed_part(family, TCP, states));
            let request = filtered(request, ports);
            let of_family: Vec<_> = self.dump(&request, SOCK_DIAG_BY_FAMILY, TCP, Vec::push)?;
            of_family.into_iter().for_each(|row| take_in(&mut rows, row));
        }
        Ok(rows)
    }

    /// Whether the kernel finds this very socket by its addresses, which takes microseconds. A
    /// listener, a connection or a UDP socket it does not find may be there nevertheless: of
    /// several with the same address it looks at one only.
    ///
    /// # Errors
    /// Those of netlink(7), but for `ENOENT`.
    pub fn has(&mut self, socket: &Exact) -> Result<bool, Error> {
        let fixed = socket.fixed_part();
        let request = Request::new(SOCK_DIAG_BY_FAMILY, &fixed);
        let request = with_protocol(request, socket.protocol);
        match self.netlink.request(&request, 0, |_| Ok(Some(()))) {
            Ok(found) => Ok(!found.is_empty()),
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ESTALE) => Ok(false),
            Err(error) => Err(error),
        }
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
        self.destroy_one(&Exact {
            family: socket.family,
            protocol: socket.protocol,
            local: socket.local,
            remote: socket.remote,
            interface: socket.interface,
            cookie: socket.cookie,
        })
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
        let cookie = NO_COOKIE;
        self.destroy_one(&Exact { family, protocol, local, remote, interface, cookie })
    }

    fn destroy_one(&mut self, socket: &Exact) -> Result<(), Error> {
        let request = Request::new(SOCK_DESTROY, &socket.fixed_part());
        let request = with_protocol(request, socket.protocol);
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

/// What tells a socket from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u8,
    /// [`TCP`], [`UDP`], …
    pub protocol: u16,
    /// The local address and port.
    pub local: (IpAddr, u16),
    /// The remote address and port; unspecified with port 0 if there is none.
    pub remote: (IpAddr, u16),
    /// The interface it is bound to; 0 if to none.
    pub interface: u32,
    /// Its cookie.
    pub cookie: u64,
}

impl Exact {
    fn fixed_part(&self) -> [u8; 56] {
        let mut fixed = fixed_part(self.family, self.protocol, u32::MAX);
        fixed[8..10].copy_from_slice(&self.local.1.to_be_bytes());
        fixed[10..12].copy_from_slice(&self.remote.1.to_be_bytes());
        put_address(&mut fixed[12..28], self.local.0);
        put_address(&mut fixed[28..44], self.remote.0);
        fixed[44..48].copy_from_slice(&self.interface.to_ne_bytes());
        fixed[48..52].copy_from_slice(&(self.cookie as u32).to_ne_bytes());
        fixed[52..56].copy_from_slice(&((self.cookie >> 32) as u32).to_ne_bytes());
        fixed
    }
}

/// `inet_diag_req_v2`, 56 bytes.
fn fixed_part(family: u8, protocol: u16, states: u32) -> [u8; 56] {
    let mut fixed = [0; 56];
    fixed[0] = family;
    fixed[1] = u8::try_from(protocol).unwrap_or(NO_SUCH_PROTOCOL);
    fixed[4..8].copy_from_slice(&states.to_ne_bytes());
    fixed
}

/// `inet_diag_req`, 60 bytes.
fn older_fixed(states: u32) -> [u8; 60] {
    let mut fixed = [0; 60];
    fixed[52..56].copy_from_slice(&states.to_ne_bytes());
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
    filtered(request, query.local_port.into())
}

/// Which local ports to list; the kernel filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPorts {
    /// All.
    Any,
    /// From this one to that one.
    Range(u16, u16),
    /// This one or that one.
    Either(u16, u16),
}

impl From<Option<u16>> for LocalPorts {
    fn from(port: Option<u16>) -> LocalPorts {
        port.map_or(LocalPorts::Any, |port| LocalPorts::Range(port, port))
    }
}

fn filtered(request: Request, ports: LocalPorts) -> Request {
    // The kernel's own field for a port is no use: dumps of bound-inactive sockets ignore it. And
    // to ask whether it is equal needs a newer kernel.
    match ports {
        LocalPorts::Any => request,
        LocalPorts::Range(low, high) => {
            let code = [at_least(low, 20), at_most(high, 12)].concat();
            request.with(INET_DIAG_REQ_BYTECODE, &code)
        }
        LocalPorts::Either(one, other) => {
            let accept = instruction(INET_DIAG_BC_JMP, 4, 20);
            let one = [at_least(one, 20), at_most(one, 12)].concat();
            let other = [at_least(other, 20), at_most(other, 12)].concat();
            request.with(INET_DIAG_REQ_BYTECODE, &[one, accept.into(), other].concat())
        }
    }
}

/// An instruction: code, bytes to the next one if true, bytes if false; beyond the end by four
/// means reject. The next one in order has to be the one that follows if true.
fn instruction(operation: u8, if_true: u8, if_false: u16) -> [u8; 4] {
    let [low, high] = if_false.to_ne_bytes();
    [operation, if_true, low, high]
}

fn at_least(port: u16, if_false: u16) -> [u8; 8] {
    with_port(instruction(INET_DIAG_BC_S_GE, 8, if_false), port)
}

fn at_most(port: u16, if_false: u16) -> [u8; 8] {
    with_port(instruction(INET_DIAG_BC_S_LE, 8, if_false), port)
}

/// A port is in the second half of a further instruction.
fn with_port([operation, if_true, low, high]: [u8; 4], port: u16) -> [u8; 8] {
    let [port_low, port_high] = port.to_ne_bytes();
    [operation, if_true, low, high, 0, 0, port_low, port_high]
}
