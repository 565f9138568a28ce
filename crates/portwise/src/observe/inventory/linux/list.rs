//! The sockets of the thread's network namespace, by sock_diag(7).

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use portwise_model::{Family, is_unspecified};
use portwise_sys::{
    Error,
    proc::Proc,
    rtnetlink::RtNetlink,
    sockdiag::{self, ALL_STATES, DiagSocket, Exact, SockDiag, SocketQuery, State as Diag, Timer},
};

use super::{Listed, bound::Idle};
use crate::observe::{
    host,
    inventory::{Query, Socket, State, States, Transport},
    sockets::SHOWS_BOUND,
};

/// Whether this kernel shows TCP sockets that are bound and do nothing.
pub(super) fn shows_bound() -> bool {
    host::kernel().is_ok_and(|kernel| kernel.version >= SHOWS_BOUND)
}

/// Lists what the query asks for, in the thread's namespace, whose inode is `netns`. What was just
/// listed of TCP and UDP there may be `known`, with sockets of other ports.
pub(super) fn list(
    query: &Query,
    netns: u64,
    known: Option<&[DiagSocket]>,
) -> Result<Listed, Error> {
    list_with(query, netns, known, Idle::With, None)
}

/// The same, with or without the TCP sockets that are bound and do nothing. `in_use` is how many the
/// namespace has of others.
pub(super) fn list_part(
    query: &Query,
    netns: u64,
    idle: Idle,
    in_use: Option<u64>,
) -> Result<Listed, Error> {
    list_with(query, netns, None, idle, in_use)
}

/// Both.
pub(super) fn list_with(
    query: &Query,
    netns: u64,
    known: Option<&[DiagSocket]>,
    idle: Idle,
    in_use: Option<u64>,
) -> Result<Listed, Error> {
    let mut diag = SockDiag::open()?;
    let mut listed = Listed::default();
    let counts = counts(query);
    for &transport in &query.transports {
        let is_none = match transport {
            // To list what is not there takes the kernel half a millisecond.
            Transport::Tcp => idle == Idle::Without && in_use == Some(0),
            _ => counts.as_ref().is_some_and(|counts| has_none(counts, transport)),
        };
        if is_none || transport == Transport::Raw && query.port.is_some() {
            continue;
        }
        let is_known = matches!(transport, Transport::Tcp | Transport::Udp);
        let rows = match known.filter(|_| is_known) {
            Some(known) => Ok(of_known(known, query, transport, netns)),
            None => rows(&mut diag, query, transport, netns, idle, in_use),
        };
        match rows {
            Ok(Rows { four, six, .. }) => {
                append(&mut listed.sockets, four);
                append(&mut listed.sockets, six);
            }
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

/// Appends without a copy where there was nothing.
pub(super) fn append(sockets: &mut Vec<Socket>, mut more: Vec<Socket>) {
    if sockets.is_empty() {
        *sockets = more;
    } else {
        sockets.append(&mut more);
    }
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

/// What a dump gives, by family.
#[derive(Default)]
struct Rows {
    four: Vec<Socket>,
    six: Vec<Socket>,
    /// The cookies of those before. A dump is no snapshot and may show a socket twice, soon after.
    recent: [u64; 32],
    next: usize,
}

impl Rows {
    fn take_in(&mut self, row: &DiagSocket, transport: Transport, netns: u64) {
        if self.recent.contains(&row.cookie) {
            return;
        }
        let list = if row.family == sockdiag::AF_INET { &mut self.four } else { &mut self.six };
        if let Some(socket) = socket(row, transport, netns) {
            self.recent[self.next % self.recent.len()] = row.cookie;
            self.next += 1;
            list.push(socket);
        }
    }
}

/// What is known of a protocol.
fn of_known(known: &[DiagSocket], query: &Query, transport: Transport, netns: u64) -> Rows {
    let mut rows = Rows::default();
    let protocol = number(transport);
    let is_on_port = |row: &&DiagSocket| query.port.is_none_or(|port| row.local.1 == port);
    for row in known.iter().filter(|row| row.protocol == protocol).filter(is_on_port) {
        rows.take_in(row, transport, netns);
    }
    rows
}

fn rows(
    diag: &mut SockDiag,
    query: &Query,
    transport: Transport,
    netns: u64,
    idle: Idle,
    expected: Option<u64>,
) -> Result<Rows, Error> {
    let is_tcp = matches!(transport, Transport::Tcp | Transport::Mptcp);
    let states = match query.states {
        States::All => ALL_STATES,
        States::Bound if transport == Transport::Tcp => match idle {
            Idle::With => Diag::LISTEN.bit() | Diag::BOUND_INACTIVE.bit(),
            Idle::Without => Diag::LISTEN.bit(),
            Idle::Only => Diag::BOUND_INACTIVE.bit(),
        },
        States::Bound if is_tcp => Diag::LISTEN.bit() | Diag::BOUND_INACTIVE.bit(),
        States::Bound => Diag::CLOSE.bit(),
    };
    // Those of IPv6 are appended to those of IPv4 in the end.
    const MOST: u64 = 1 << 14;
    let room =
        if transport == Transport::Tcp { expected.unwrap_or(0).min(MOST) as usize } else { 0 };
    let take_in = |rows: &mut Rows, row: DiagSocket| {
        if rows.four.capacity() == 0 {
            rows.four.reserve_exact(room);
        }
        rows.take_in(&row, transport, netns);
    };
    if transport == Transport::Tcp && query.family.is_none() {
        return diag.tcp_into(states, query.port, take_in);
    }
    let mut both = Rows::default();
    for family in [Family::Inet, Family::Inet6] {
        if query.family.is_none_or(|asked| asked == family) {
            let is_four = family == Family::Inet;
            let family = if is_four { sockdiag::AF_INET } else { sockdiag::AF_INET6 };
            let protocol = number(transport);
            let query = SocketQuery { family, protocol, states, local_port: query.port };
            let rows: Rows = diag.query_into(&query, take_in)?;
            (both.four, both.six) =
                if is_four { (rows.four, both.six) } else { (both.four, rows.six) };
        }
    }
    Ok(both)
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

/// The cookies of those of these sockets that the kernel finds by their addresses: others may be
/// there too.
pub(super) fn there(sockets: &[&Socket]) -> Result<HashSet<u64>, Error> {
    let mut diag = SockDiag::open()?;
    let mut found = HashSet::new();
    for socket in sockets {
        let is_four = socket.family == Family::Inet;
        let any = if is_four { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let exact = Exact {
            family: if is_four { sockdiag::AF_INET } else { sockdiag::AF_INET6 },
            protocol: number(socket.transport),
            local: (socket.ip, socket.port),
            remote: socket.remote.map_or((any, 0), |remote| (remote.ip(), remote.port())),
            interface: socket.device,
            cookie: socket.cookie,
        };
        if diag.has(&exact)? {
            found.insert(socket.cookie);
        }
    }
    Ok(found)
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
