//! The sockets of the network namespace, by sock_diag.

use std::{collections::BTreeMap, net::SocketAddr};

use portwise_model::{
    Coverage, FactKey, Family, Missing, Protocol, Socket, SocketId, Sockets, State, Text, Version,
    is_unspecified, v4_mapped,
};
use portwise_sys::{
    Error,
    sockdiag::{self, ALL_STATES, DiagSocket, SockDiag, SocketQuery},
};

use super::{host::unread, is_orphan, orphan};

/// The first version that shows TCP sockets which are bound and do not listen.
const SHOWS_BOUND: Version = Version::new(6, 8, 0);

const FROM: Text = Text::Borrowed("sock_diag");

/// The sockets that hold `port`, IPv4 before IPv6, each in the kernel's order.
pub(super) fn on(diag: &mut SockDiag, port: u16) -> Result<Vec<Socket>, Error> {
    list(diag, Some(port))
}

/// Every socket that holds a port.
pub(super) fn all(diag: &mut SockDiag) -> Result<Vec<Socket>, Error> {
    list(diag, None)
}

fn list(diag: &mut SockDiag, local_port: Option<u16>) -> Result<Vec<Socket>, Error> {
    let mut sockets: Vec<Socket> = Vec::new();
    for protocol in [sockdiag::TCP, sockdiag::UDP] {
        for family in [sockdiag::AF_INET, sockdiag::AF_INET6] {
            let query = SocketQuery { family, protocol, states: ALL_STATES, local_port };
            let start = sockets.len();
            for row in diag.query(&query)? {
                let Some(socket) = socket(&row) else { continue };
                // A dump is no snapshot and may show a socket twice.
                if !sockets[start..].iter().rev().take(64).any(|s| s.id == socket.id) {
                    sockets.push(socket);
                }
            }
        }
    }
    Ok(sockets)
}

/// The socket that a row describes; `None` for one that holds no port of its own.
fn socket(row: &DiagSocket) -> Option<Socket> {
    let is_request = row.state == sockdiag::State::SYN_RECV && row.inode == 0;
    if row.local.1 == 0 || is_request {
        return None;
    }
    let id = if row.inode == 0 { orphan(row.cookie) } else { SocketId(row.inode) };
    let family = if row.family == sockdiag::AF_INET { Family::Inet } else { Family::Inet6 };
    let protocol = if row.protocol == sockdiag::TCP { Protocol::Tcp } else { Protocol::Udp };
    let (ip, port) = row.local;
    let is_one_v6 = match ip {
        std::net::IpAddr::V6(v6) => !v6.is_unspecified() && v4_mapped(v6).is_none(),
        std::net::IpAddr::V4(_) => false,
    };
    let mut socket = Socket::new(id, family, protocol, row.uid);
    (socket.ip, socket.port, socket.device) = (ip, port, row.interface);
    socket.v6only = row.v6only.unwrap_or(is_one_v6);
    socket.state = state(row.state);
    let has_peer = row.remote.1 != 0 || !is_unspecified(row.remote.0);
    socket.remote = has_peer.then(|| SocketAddr::from(row.remote));
    // What the kernel fills in with 0 for a socket without a file says nothing.
    socket.uid = (row.inode != 0).then_some(row.uid);
    (socket.port_by_connect, socket.port_by_bind) = (None, None);
    (socket.options.reuseaddr, socket.options.reuseport) = (None, None);
    if let Some(options) = row.options {
        socket.options.freebind = options.freebind;
        socket.options.transparent = options.transparent;
        socket.options.bind_address_no_port = options.bind_address_no_port;
    }
    Some(socket)
}

fn state(state: sockdiag::State) -> State {
    use sockdiag::State as Diag;
    match state {
        Diag::CLOSE | Diag::BOUND_INACTIVE => State::Closed,
        Diag::LISTEN => State::Listen,
        Diag::FIN_WAIT1 | Diag::FIN_WAIT2 | Diag::LAST_ACK | Diag::CLOSING => State::Closing,
        Diag::CLOSE_WAIT => State::CloseWait,
        Diag::TIME_WAIT => State::TimeWait,
        _ => State::Established,
    }
}

/// Puts the sockets of one port into their place, or why they could not be read.
pub(super) fn put(
    sockets: &mut Sockets,
    port: u16,
    read: Result<Vec<Socket>, Error>,
    version: Version,
) -> Result<(), Missing> {
    let key = FactKey::Sockets(port);
    match read {
        Ok(list) => {
            sockets.from = FROM;
            sockets.hidden = hidden(key, version);
            sockets.set_port(port, list);
            Ok(())
        }
        Err(error) => Err(none(sockets, key, &error)),
    }
}

/// Puts every socket into its place, or why they could not be read.
pub(super) fn put_all(
    sockets: &mut Sockets,
    read: Result<Vec<Socket>, Error>,
    version: Version,
) -> Result<(), Missing> {
    let list = match read {
        Ok(list) => list,
        Err(error) => return Err(none(sockets, FactKey::AllSockets, &error)),
    };
    let mut by_port: BTreeMap<u16, Vec<Socket>> = BTreeMap::new();
    for socket in list {
        by_port.entry(socket.port).or_default().push(socket);
    }
    *sockets = Sockets::none(FROM);
    sockets.hidden = hidden(FactKey::AllSockets, version);
    for (port, list) in by_port {
        sockets.set_port(port, list);
    }
    Ok(())
}

fn none(sockets: &mut Sockets, key: FactKey, error: &Error) -> Missing {
    let missing = unread(&key, error);
    sockets.coverage = Coverage::None(missing.clone());
    missing
}

fn hidden(key: FactKey, version: Version) -> Option<Missing> {
    (version < SHOWS_BOUND).then(|| {
        Missing::new(
            key,
            "before Linux 6.8 nothing shows TCP sockets that are bound and do not listen",
            "try it",
        )
    })
}

/// Says that the options of other processes' sockets are not read.
pub(super) fn options(id: SocketId) -> Missing {
    let why = match is_orphan(id) {
        true => "no program has that socket open any more, so nobody can read its options",
        false => "the options of other programs' sockets are not read by this version",
    };
    Missing::new(FactKey::SocketOptions(id), why, "try it")
}
