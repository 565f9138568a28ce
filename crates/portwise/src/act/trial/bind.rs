//! Calls made for real, by a thread that is the asker.

use std::net::{IpAddr, SocketAddr};

use portwise_model::{Call, Family, Protocol, Request, SockAddr, Socket as Model};
use portwise_sys::{
    Errno,
    process::Credentials,
    sock::{Address, Socket, SocketOption},
    sockdiag::{AF_INET, AF_INET6},
};

use super::{report::Answered, room::Room};

/// `SOCK_STREAM`, socket(2).
pub(super) const SOCK_STREAM: i32 = 1;
/// `SOCK_DGRAM`, socket(2).
pub(super) const SOCK_DGRAM: i32 = 2;
/// `SOCK_NONBLOCK`, socket(2).
pub(super) const SOCK_NONBLOCK: i32 = 0o4000;

/// How many connections may wait: more than are made.
pub(super) const BACKLOG: i32 = 128;

/// A socket on which calls were made.
pub(super) struct Tried {
    /// The answer to the call that failed, or to the last one.
    pub(super) answered: Answered,
    /// The socket, if every call succeeded.
    pub(super) socket: Option<Socket>,
    /// Its address.
    pub(super) local: Option<SocketAddr>,
}

/// Makes the socket of `request`, binds it, and listens if it is for TCP.
pub(super) fn try_bind(room: &Room, who: &Credentials, request: &Request) -> Tried {
    let (who, request) = (who.clone(), *request);
    room.run_apart(move || {
        if let Err(errno) = who.take() {
            return Tried::failed("setresuid", errno);
        }
        attempt(&request)
    })
}

impl Tried {
    fn failed(call: &'static str, errno: Errno) -> Tried {
        Tried { answered: Answered::new(call, Err(errno)), socket: None, local: None }
    }
}

fn attempt(request: &Request) -> Tried {
    let Call::Bind(addr) = request.call else { unreachable!("only bind is tried") };
    let socket = match create(request.socket.family, request.socket.protocol) {
        Ok(socket) => socket,
        Err(errno) => return Tried::failed("socket", errno),
    };
    if let Err(errno) = configure(&socket, &request.socket) {
        return Tried::failed("setsockopt", errno);
    }
    if let Err(errno) = socket.bind(&address(&addr)) {
        return Tried::failed("bind", errno);
    }
    let mut call = "bind";
    if request.socket.protocol == Protocol::Tcp {
        call = "listen";
        if let Err(errno) = socket.listen(BACKLOG) {
            return Tried::failed("listen", errno);
        }
    }
    let local = socket.local_address().ok().and_then(|local| local.to_socket_addr());
    Tried { answered: Answered::new(call, Ok(())), socket: Some(socket), local }
}

/// A socket that does not wait.
pub(in crate::act) fn create(family: Family, protocol: Protocol) -> Result<Socket, Errno> {
    let kind = match protocol {
        Protocol::Tcp => SOCK_STREAM,
        Protocol::Udp => SOCK_DGRAM,
    };
    let family = match family {
        Family::Inet => AF_INET,
        Family::Inet6 => AF_INET6,
    };
    Socket::new(family.into(), kind | SOCK_NONBLOCK, 0)
}

/// Sets the options of a fresh socket. What is off by default is not touched.
pub(in crate::act) fn configure(socket: &Socket, wanted: &Model) -> Result<(), Errno> {
    let on = |option: SocketOption| socket.set(option, 1);
    if wanted.options.reuseaddr == Some(true) {
        on(SocketOption::SO_REUSEADDR)?;
    }
    if wanted.options.reuseport == Some(true) {
        on(SocketOption::SO_REUSEPORT)?;
    }
    if wanted.options.freebind {
        on(match wanted.family {
            Family::Inet => SocketOption::IP_FREEBIND,
            Family::Inet6 => SocketOption::IPV6_FREEBIND,
        })?;
    }
    if wanted.family == Family::Inet6 {
        socket.set(SocketOption::IPV6_V6ONLY, wanted.v6only.into())?;
    }
    if wanted.device != 0 {
        socket.set(SocketOption::SO_BINDTOIFINDEX, wanted.device.cast_signed())?;
    }
    Ok(())
}

/// The bytes of an address.
pub(in crate::act) fn address(addr: &SockAddr) -> Address {
    let mut bytes = [0; 28];
    bytes[0..2].copy_from_slice(&addr.family.to_ne_bytes());
    bytes[2..4].copy_from_slice(&addr.port.to_be_bytes());
    bytes[4..8].copy_from_slice(&addr.word);
    bytes[8..24].copy_from_slice(&addr.wide);
    bytes[24..28].copy_from_slice(&addr.scope.to_ne_bytes());
    let whole = Address::from_bytes(&bytes).expect("28 bytes are not too many");
    whole.with_length(addr.len as usize)
}

/// The address of a socket to connect to; a zone where one is needed.
pub(super) fn destination(ip: IpAddr, port: u16, zone: u32) -> Address {
    address(&SockAddr::new(ip, port, zone))
}
