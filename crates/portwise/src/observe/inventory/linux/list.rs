//! The sockets of the thread's network namespace, by sock_diag(7).

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use portwise_model::{Family, is_unspecified};
use portwise_sys::{
    Error,
    proc::Proc,
    rtnetlink::RtNetlink,
    sockdiag::{self, ALL_STATES, DiagSocket, SockDiag, SocketQuery, State as Diag, Timer},
};

use super::Listed;
use crate::observe::{
    host,
    inventory::{Query, Socket, State, States, Transport},
    sockets::SHOWS_BOUND,
};

/// Whether this kernel shows TCP sockets that are bound and do nothing.
pub(super) fn shows_bound() -> bool {
    host::kernel().is_ok_and(|kernel| kernel.version >= SHOWS_BOUND)
}

/// Lists what the query asks for, in the thread's namespace, whose inode is `netns`.
pub(super) fn list(query: &Query, netns: u64) -> Result<Listed, Error> {
    let mut diag = SockDiag::open()?;
    let mut listed = Listed { sockets: Vec::new(), failed: Vec::new() };
    let counts = counts(query);
    for &transport in &query.transports {
        let is_none = counts.as_ref().is_some_and(|counts| has_none(counts, transport));
        if is_none || transport == Transport::Raw && query.port.is_some() {
            continue;
        }
        match rows(&mut diag, query, transport) {
            Ok(rows) => take_in(&mut listed.sockets, &rows, transport, netns),
            // Without this protocol there are no sockets of it that matter to others.
            Err(error) if transport != Transport::Tcp => {
                listed.failed.push((transport, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    name_devices(&mut listed.sockets);
    Ok(listed)
}

/// The numbers of sockets of each protocol, if they can save a list of them.
fn counts(query: &Query) -> Option<Vec<(String, Option<u32>)>> {
    let is_rare = |t: &Transport| !matches!(t, Transport::Tcp | Transport::Udp);
    query.transports.iter().any(is_rare).then(|| Proc::default().protocols().ok()).flatten()
}

/// Whether there is surely no socket of a protocol that few programs use: asking for a list costs
/// more than reading that. The others are listed anyhow.
fn has_none(counts: &[(String, Option<u32>)], transport: Transport) -> bool {
    let names = match transport {
        Transport::Tcp | Transport::Udp => return false,
        Transport::UdpLite => ["UDP-Lite", "UDPLITEv6"],
        Transport::Raw => ["RAW", "RAWv6"],
        Transport::Mptcp => ["MPTCP", "MPTCPv6"],
    };
    let of = |name: &&str| counts.iter().find(|(known, _)| known == name).map(|(_, n)| *n);
    // A protocol that is not in the list is not in the kernel.
    names.iter().filter_map(of).all(|count| count == Some(0))
}

fn rows(
    diag: &mut SockDiag,
    query: &Query,
    transport: Transport,
) -> Result<Vec<DiagSocket>, Error> {
    let is_tcp = matches!(transport, Transport::Tcp | Transport::Mptcp);
    let states = match query.states {
        States::All => ALL_STATES,
        States::Bound if is_tcp => Diag::LISTEN.bit() | Diag::BOUND_INACTIVE.bit(),
        States::Bound => Diag::CLOSE.bit(),
    };
    if transport == Transport::Tcp && query.family.is_none() {
        return diag.tcp(states, query.port);
    }
    let mut rows = Vec::new();
    for family in [Family::Inet, Family::Inet6] {
        if query.family.is_none_or(|asked| asked == family) {
            let family = match family {
                Family::Inet => sockdiag::AF_INET,
                Family::Inet6 => sockdiag::AF_INET6,
            };
            let protocol = number(transport);
            let query = SocketQuery { family, protocol, states, local_port: query.port };
            rows.extend(diag.query(&query)?);
        }
    }
    Ok(rows)
}

fn number(transport: Transport) -> u16 {
    match transport {
        Transport::Tcp => sockdiag::TCP,
        Transport::Udp => sockdiag::UDP,
        Transport::UdpLite => sockdiag::UDPLITE,
        Transport::Raw => sockdiag::RAW,
        Transport::Mptcp => sockdiag::MPTCP,
    }
}

fn take_in(sockets: &mut Vec<Socket>, rows: &[DiagSocket], transport: Transport, netns: u64) {
    // A dump is no snapshot and may show a socket twice, soon after.
    let (mut recent, mut next) = ([0; 64], 0);
    sockets.reserve(rows.len());
    for row in rows {
        if let Some(socket) = socket(row, transport, netns)
            && !recent.contains(&socket.cookie)
        {
            recent[next % 64] = socket.cookie;
            next += 1;
            sockets.push(socket);
        }
    }
}

/// The socket of a row; `None` for one that holds no port.
fn socket(row: &DiagSocket, transport: Transport, netns: u64) -> Option<Socket> {
    let is_raw = transport == Transport::Raw;
    let (ip, port) = row.local;
    if port == 0 && !is_raw {
        return None;
    }
    let has_peer = row.remote.1 != 0 || !is_unspecified(row.remote.0);
    let inode = (row.inode != 0).then_some(row.inode);
    let remaining = row.timer.filter(|(timer, _)| *timer == Timer::TimeWait);
    let mut socket = Socket {
        transport,
        raw: row.raw_protocol.filter(|_| is_raw),
        family: if row.family == sockdiag::AF_INET { Family::Inet } else { Family::Inet6 },
        state: state(row.state),
        ip,
        port: if is_raw { 0 } else { port },
        remote: has_peer.then(|| SocketAddr::from(row.remote)),
        device: row.interface,
        device_name: None,
        v6only: row.v6only.filter(|_| row.family == sockdiag::AF_INET6),
        reuseaddr: None,
        reuseport: None,
        group: None,
        // What the kernel fills in with 0 for a socket without a file says nothing.
        uid: inode.is_some().then_some(row.uid),
        inode,
        cookie: row.cookie,
        rqueue: row.rqueue,
        wqueue: row.wqueue,
        remaining: remaining.map(|(_, ms)| Duration::from_millis(ms.into())),
        cgroup: row.cgroup.filter(|&id| id != 0),
        netns,
        holders: Vec::new(),
        no_holder: None,
    };
    socket.no_holder = Some(super::unsought(&socket));
    Some(socket)
}

fn state(state: Diag) -> State {
    match state {
        Diag::LISTEN => State::Listen,
        Diag::CLOSE | Diag::BOUND_INACTIVE => State::Bound,
        Diag::ESTABLISHED => State::Established,
        Diag::SYN_SENT => State::SynSent,
        Diag::SYN_RECV | Diag::NEW_SYN_RECV => State::SynRecv,
        Diag::FIN_WAIT1 => State::FinWait1,
        Diag::FIN_WAIT2 => State::FinWait2,
        Diag::TIME_WAIT => State::TimeWait,
        Diag::CLOSE_WAIT => State::CloseWait,
        Diag::LAST_ACK => State::LastAck,
        Diag::CLOSING => State::Closing,
        Diag(other) => State::Other(other),
    }
}

/// Gives interfaces their names, which are those of this namespace.
fn name_devices(sockets: &mut [Socket]) {
    if sockets.iter().all(|socket| socket.device == 0) {
        return;
    }
    let links = RtNetlink::open().and_then(|mut netlink| netlink.links()).unwrap_or_default();
    let names: HashMap<u32, String> =
        links.into_iter().map(|link| (link.index, link.name)).collect();
    for socket in sockets {
        socket.device_name = names.get(&socket.device).cloned();
    }
}
