//! The sockets of the network namespace, by sock_diag.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use portwise_model::{
    Coverage, FactKey, Family, Membership, Missing, Protocol, Socket, SocketId, Sockets, State,
    Text, Version, fix::suggested_port, is_unspecified, v4_mapped,
};
use portwise_sys::{
    Error,
    pidfd::PidFd,
    proc::Proc,
    sock,
    sockdiag::{self, ALL_STATES, DiagSocket, LocalPorts, SockDiag, SocketQuery},
};

use super::{
    holders,
    host::unread,
    inventory::{Holder, How},
    is_orphan, orphan,
};

/// The first version that shows TCP sockets which are bound and do not listen.
pub(super) const SHOWS_BOUND: Version = Version::new(6, 8, 0);

const FROM: Text = Text::Borrowed("sock_diag");

/// The sockets that hold `port`, IPv4 before IPv6, each in the kernel's order.
pub(super) fn on(diag: &mut SockDiag, port: u16) -> Result<Vec<Socket>, Error> {
    list(diag, Some(port))
}

/// The sockets of the port a question is about, and those of ports that may be free instead. Where
/// there are very many sockets each look at the kernel's tables takes long, so there is one for
/// the port and for the first one that nobody listens at; of others the listeners will do.
#[derive(Default)]
pub(super) struct Near {
    /// Everything on the port, and what else was listed with it.
    pub rows: Vec<DiagSocket>,
    whole: BTreeMap<u16, Vec<Socket>>,
    listeners: BTreeMap<u16, Vec<Socket>>,
}

impl Near {
    pub(super) fn look(diag: &mut SockDiag, port: u16) -> Result<Near, Error> {
        const PORTS: u16 = 20;
        let mut near = Near::default();
        let first = suggested_port(port);
        let last = first.saturating_add(PORTS - 1);
        let listening = sockdiag::State::LISTEN.bit();
        let ports = LocalPorts::Range(first, last);
        let rows: Vec<DiagSocket> = diag.tcp_into(listening, ports, Vec::push)?;
        for socket in rows.iter().filter_map(socket) {
            near.listeners.entry(socket.port).or_default().push(socket);
        }
        let is_quiet = |other: &u16| *other != port && !near.listeners.contains_key(other);
        let quiet = (first..=last).find(is_quiet).unwrap_or(port);
        near.rows = diag.tcp_into(ALL_STATES, LocalPorts::Either(port, quiet), Vec::push)?;
        portwise_model::sort::sort_by_key(&mut near.rows, |row| row.family);
        for port in [Some(port), (quiet != port).then_some(quiet)].into_iter().flatten() {
            near.rows.extend(udp(diag, Some(port))?);
            near.whole.insert(port, Vec::new());
        }
        for socket in distinct(&near.rows) {
            near.whole.entry(socket.port).or_default().push(socket);
        }
        Ok(near)
    }

    /// Puts the sockets of a port into their place, if they are known.
    pub(super) fn put(&self, sockets: &mut Sockets, port: u16, version: Version) -> bool {
        let key = FactKey::Sockets(port);
        let (list, hidden) = match (self.whole.get(&port), self.listeners.get(&port)) {
            (Some(list), _) => (list, hidden(key, version)),
            (None, Some(list)) => {
                let why = "only who listens there was looked at";
                (list, Some(Missing::new(key, why, "try it")))
            }
            (None, None) => return false,
        };
        (sockets.from, sockets.hidden) = (FROM, hidden);
        sockets.set_port(port, list.clone());
        true
    }
}

/// Every socket that holds a port.
pub(super) fn all(diag: &mut SockDiag) -> Result<Vec<Socket>, Error> {
    list(diag, None)
}

fn list(diag: &mut SockDiag, local_port: Option<u16>) -> Result<Vec<Socket>, Error> {
    let mut rows = diag.tcp(ALL_STATES, local_port)?;
    rows.extend(udp(diag, local_port)?);
    Ok(distinct(&rows))
}

fn udp(diag: &mut SockDiag, local_port: Option<u16>) -> Result<Vec<DiagSocket>, Error> {
    let mut rows = Vec::new();
    for family in [sockdiag::AF_INET, sockdiag::AF_INET6] {
        let protocol = sockdiag::UDP;
        let query = SocketQuery { family, protocol, states: ALL_STATES, local_port };
        rows.extend(diag.query(&query)?);
    }
    Ok(rows)
}

fn distinct(rows: &[DiagSocket]) -> Vec<Socket> {
    let mut sockets: Vec<Socket> = Vec::with_capacity(rows.len());
    for socket in rows.iter().filter_map(socket) {
        // A dump is no snapshot and may show a socket twice.
        if !sockets.iter().rev().take(64).any(|s| s.id == socket.id) {
            sockets.push(socket);
        }
    }
    sockets
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
    (socket.group, socket.ip_by_bind) = (Membership::Unseen, !is_unspecified(ip));
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

/// Reads `SO_REUSEADDR` and `SO_REUSEPORT` of every socket seen that a process has open, since
/// finding the processes costs the same for one. Returns why those of `id` cannot be read.
pub(super) fn options(
    proc: &Proc,
    sockets: &mut Sockets,
    id: SocketId,
    is_root: bool,
) -> Result<(), Missing> {
    let missing = |why: String, reveal: &'static str| {
        Err(Missing::new(FactKey::SocketOptions(id), why, reveal))
    };
    let more_rights = if is_root { "try it" } else { "root can read them" };
    if is_orphan(id) {
        let why = "no program has that socket open any more, so nobody can read its options";
        return missing(why.into(), "try it");
    }
    let unread: Vec<Socket> =
        sockets.observed().filter(|s| s.options.reuseaddr.is_none()).copied().collect();
    let found = holders::find(proc, &unread, true);
    let mut read = HashMap::new();
    let mut refused = None;
    for hold in &found.holds {
        if read.contains_key(&hold.inode) {
            continue;
        }
        match holders::options(hold) {
            Some(Ok(options)) => drop(read.insert(hold.inode, options)),
            Some(Err(error)) if hold.inode == id.0 => refused = Some(error),
            Some(Err(_)) | None => {}
        }
    }
    fill_in(sockets, &read);
    match (sockets.get(id).and_then(|s| s.options.reuseaddr), refused) {
        (Some(_), _) => Ok(()),
        (None, Some(error)) if error.is_denied() => {
            missing(format!("its options cannot be read: {error}"), more_rights)
        }
        (None, Some(error)) => missing(format!("its options cannot be read: {error}"), "try it"),
        (None, None) if found.hidden > 0 || found.hidepid => missing(
            "its options are to be read from the process that holds it, which I cannot see".into(),
            more_rights,
        ),
        (None, None) => missing("no process that I can see has it open".into(), "try it"),
    }
}

fn fill_in(sockets: &mut Sockets, read: &HashMap<u64, (bool, bool)>) {
    let mut ports: Vec<u16> = sockets.observed().map(|s| s.port).collect();
    ports.dedup();
    for port in ports {
        let mut list = sockets.on(port).unwrap_or_default().to_vec();
        for socket in &mut list {
            if let Some((reuseaddr, reuseport)) = read.get(&socket.id.0) {
                socket.options.reuseaddr = Some(*reuseaddr);
                socket.options.reuseport = Some(*reuseport);
            }
        }
        sockets.set_port(port, list);
    }
}

/// Reads `SO_REUSEADDR` and `SO_REUSEPORT` through the first descriptor that lets it be read.
pub(super) fn of_descriptors(holders: &[Holder]) -> Option<(bool, bool)> {
    let mut open = holders.iter().filter(|holder| holder.how == How::Open);
    open.find_map(|holder| of_descriptor(holder.pid, holder.fd).ok())
}

/// Reads `SO_REUSEADDR` and `SO_REUSEPORT` through the descriptor of another process.
pub(super) fn of_descriptor(pid: u32, fd: u32) -> Result<(bool, bool), Error> {
    let socket = sock::Socket::from(PidFd::open(pid)?.get_fd(fd)?);
    let read = |option: sock::SocketOption| match socket.get(option) {
        Ok(value) => Ok(value != 0),
        Err(errno) => Err(Error::about("getsockopt", errno, option.name)),
    };
    Ok((read(sock::SocketOption::SO_REUSEADDR)?, read(sock::SocketOption::SO_REUSEPORT)?))
}
