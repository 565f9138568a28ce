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
        let protocol = query.protocol;
        self.netlink.dump(&query_request(query), |message| {
            if message.kind != SOCK_DIAG_BY_FAMILY {
                return Ok(None);
            }
            parse(protocol, message.payload).map(Some)
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
        let request = filtered(Request::new(TCPDIAG_GETSOCK, &older_fixed(states)), local_port);
        let both = self.netlink.dump(&request, |message| {
            if message.kind != TCPDIAG_GETSOCK {
                return Ok(None);
            }
            parse(TCP, message.payload).map(Some)
        });
        if let Ok(mut rows) = both {
            rows.sort_by_key(|row| row.family);
            return Ok(rows);
        }
        let mut rows = Vec::new();
        for family in [AF_INET, AF_INET6] {
            rows.extend(self.query(&SocketQuery { family, protocol: TCP, states, local_port })?);
        }
        Ok(rows)
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
    filtered(request, query.local_port)
}

fn filtered(request: Request, local_port: Option<u16>) -> Request {
    match local_port {
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
