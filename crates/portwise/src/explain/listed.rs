//! The sockets of an inventory as `list` shows them.

use std::{collections::BTreeMap, net::IpAddr};

use portwise_model::{Family, is_unspecified};
use serde::Serialize;

use super::owner::About;
use crate::{
    endpoint::shown,
    halves::in_halves,
    observe::{
        exposure::{BoundTo, Exposure, Networks},
        inventory::{How, Inventory, NoHolder, Path, Process, Socket, Transport},
    },
};

/// Of more sockets two threads describe each one half.
pub const MANY: usize = 2000;

/// Everything `list` says.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// Whether root has looked.
    #[serde(skip)]
    pub is_root: bool,
    /// The network namespaces looked into, and those that could not be.
    pub namespaces: Vec<NamespaceReport>,
    /// The sockets, by namespace and port.
    pub sockets: Vec<ListedSocket>,
    /// Who holds them, by number.
    pub processes: Vec<ListedProcess>,
    /// What could not be seen.
    pub unseen: UnseenReport,
    /// How the holders were found: `bpf`, `proc` or `none`.
    pub path: &'static str,
    /// Why not in a faster way.
    pub why_not_faster: Option<String>,
}

/// A network namespace.
#[derive(Clone, Debug, Serialize)]
pub struct NamespaceReport {
    /// Its inode.
    pub inode: u64,
    /// Whether it is the one this program runs in.
    pub own: bool,
    /// Its name, as ip-netns(8) knows it.
    pub name: Option<String>,
    /// The lowest pid in it.
    pub pid: Option<u32>,
    /// How many processes were seen in it.
    pub processes: u32,
    /// Why its sockets are not listed.
    pub closed: Option<String>,
    /// Why its firewall was not reckoned with; null if it was, or that was not asked.
    pub unread_firewall: Option<String>,
}

/// What could not be seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UnseenReport {
    /// Processes that could not be looked into.
    pub processes: u32,
    /// Whether `/proc` hides processes.
    pub hidepid: bool,
    /// Whether there are processes outside this pid namespace.
    pub outside: bool,
    /// Processes whose network namespace is not known.
    pub namespaces: u32,
    /// Whether this kernel hides TCP sockets that are bound and do nothing.
    pub bound_tcp: bool,
    /// Protocols that could not be listed, and why.
    pub protocols: BTreeMap<&'static str, String>,
}

/// What a socket covers by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// Every address of both families.
    DualStack,
    /// Every IPv4 address.
    Ipv4,
    /// Every IPv6 address and no IPv4.
    Ipv6Only,
    /// One address.
    Address,
}

impl Coverage {
    /// One word for it, for columns.
    pub const fn name(self) -> &'static str {
        match self {
            Coverage::DualStack => "dual-stack",
            Coverage::Ipv4 => "all-IPv4",
            Coverage::Ipv6Only => "IPv6-only",
            Coverage::Address => "address",
        }
    }

    /// A few words for it.
    pub const fn words(self) -> &'static str {
        match self {
            Coverage::DualStack => "IPv4+IPv6",
            Coverage::Ipv4 => "all IPv4",
            Coverage::Ipv6Only => "IPv6 only",
            Coverage::Address => "1 address",
        }
    }
}

/// One socket.
#[derive(Clone, Debug, Serialize)]
pub struct ListedSocket {
    /// `tcp`, `udp`, `udplite`, `raw` or `mptcp`.
    pub protocol: &'static str,
    /// The protocol number of a raw socket.
    pub raw: Option<u8>,
    /// Its family.
    pub family: Family,
    /// Its state, as the kernel calls it; `BOUND` if it is bound and does nothing.
    pub state: &'static str,
    /// Its address and port as `ss` prints them.
    pub local: String,
    /// The address alone.
    pub ip: IpAddr,
    /// The port; 0 for a raw socket.
    pub port: u16,
    /// The other end.
    pub remote: Option<String>,
    /// What it covers.
    pub covers: Coverage,
    /// Who can send to it, as far as addresses and routes decide.
    pub exposure: Exposure,
    /// Who reaches it past the firewall; null if that was not asked or is not known.
    pub reached: Option<Exposure>,
    /// The interface it is bound to.
    pub device: Option<String>,
    /// `SO_REUSEADDR`; null if not known.
    pub reuseaddr: Option<bool>,
    /// `SO_REUSEPORT`; null if not known.
    pub reuseport: Option<bool>,
    /// The number of the group that shares the port.
    pub group: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// The login name of its owner.
    pub user: Option<String>,
    /// The number of its file.
    pub inode: Option<u64>,
    /// The number the kernel gave it.
    pub cookie: u64,
    /// Of a listener the connections not yet accepted, otherwise bytes not yet read.
    pub received: u32,
    /// Of a TCP listener its backlog, otherwise bytes not yet acknowledged.
    pub unsent: u32,
    /// How many milliseconds the kernel keeps it.
    pub remaining_ms: Option<u64>,
    /// The inode of its network namespace.
    pub netns: u64,
    /// The processes that hold it.
    pub holders: Vec<ListedHolder>,
    /// Why no process is named, in a word.
    pub no_holder: Option<&'static str>,
    /// The same in words.
    pub no_holder_words: Option<String>,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedHolder {
    /// Its number.
    pub pid: u32,
    /// Its descriptors.
    pub fds: Vec<u32>,
    /// Whether the socket is on its way to it and not received yet.
    pub in_flight: bool,
}

/// A process that holds some of the sockets.
#[derive(Clone, Debug, Serialize)]
pub struct ListedProcess {
    /// Its number.
    pub pid: u32,
    /// The name of its program: not to be trusted.
    pub command: String,
    /// Its effective user.
    pub uid: u32,
    /// The login name of that user.
    pub user: Option<String>,
    /// What else is known.
    pub about: About,
}

impl From<&Process> for ListedProcess {
    fn from(process: &Process) -> ListedProcess {
        ListedProcess {
            pid: process.identity.pid,
            command: process.command.clone(),
            uid: process.uid,
            user: process.user.clone(),
            about: About::from(process),
        }
    }
}

impl Listing {
    /// Describes an inventory; `networks` are those of each namespace that could be read.
    pub fn new(
        inventory: &Inventory,
        networks: &BTreeMap<u64, Networks>,
        users: &BTreeMap<u32, String>,
        is_root: bool,
    ) -> Listing {
        let ordered = in_order(inventory);
        let all = |sockets: &[&Socket]| {
            // The first part is to have room for the others.
            let mut all = Vec::with_capacity(ordered.len());
            let one = |socket: &&Socket| listed(socket, networks.get(&socket.netns), users);
            all.extend(sockets.iter().map(one));
            all
        };
        let mut parts = in_halves(&ordered, MANY, all).into_iter();
        let mut sockets = parts.next().unwrap_or_default();
        parts.for_each(|mut part| sockets.append(&mut part));
        let unseen = &inventory.unseen;
        Listing {
            is_root,
            namespaces: inventory.namespaces.iter().map(namespace).collect(),
            sockets,
            processes: inventory.processes.values().map(ListedProcess::from).collect(),
            unseen: UnseenReport {
                processes: unseen.processes,
                hidepid: unseen.hidepid,
                outside: unseen.outside,
                namespaces: unseen.namespaces,
                bound_tcp: unseen.bound_tcp,
                protocols: unseen.transports.iter().map(|(t, w)| (t.name(), w.clone())).collect(),
            },
            path: Path::name(inventory.path),
            why_not_faster: inventory.why_not_faster.clone(),
        }
    }

    /// The process with this number.
    pub fn process(&self, pid: u32) -> Option<&ListedProcess> {
        self.processes.get(self.place(pid)?)
    }

    /// The place of that process among [`Listing::processes`].
    pub fn place(&self, pid: u32) -> Option<usize> {
        self.processes.binary_search_by_key(&pid, |process| process.pid).ok()
    }

    /// Whether there may be sockets that are not listed.
    pub fn hides_sockets(&self) -> bool {
        let unseen = &self.unseen;
        unseen.namespaces > 0
            || unseen.bound_tcp
            || ["tcp", "udp"].iter().any(|name| unseen.protocols.contains_key(name))
            || self.namespaces.iter().any(|namespace| namespace.closed.is_some())
    }
}

/// The sockets by namespace, port, protocol and address.
fn in_order(inventory: &Inventory) -> Vec<&Socket> {
    let place: BTreeMap<u64, u64> =
        (0..).zip(&inventory.namespaces).map(|(i, n)| (n.inode, i)).collect();
    // What decides nearly always is one number.
    let first = |socket: &Socket| {
        let place = place.get(&socket.netns).copied().unwrap_or(0);
        place << 24 | u64::from(socket.port) << 8 | rank(socket.transport)
    };
    let mut sockets: Vec<(u64, &Socket)> =
        inventory.sockets.iter().map(|s| (first(s), s)).collect();
    let then = |socket: &Socket| (socket.ip, socket.group, socket.remote);
    portwise_model::sort::sort_by(&mut sockets, |(a, one), (b, other)| {
        a.cmp(b).then_with(|| then(one).cmp(&then(other)))
    });
    sockets.into_iter().map(|(_, socket)| socket).collect()
}

/// The protocols by their names.
const fn rank(transport: Transport) -> u64 {
    match transport {
        Transport::Mptcp => 0,
        Transport::Raw => 1,
        Transport::Tcp => 2,
        Transport::Udp => 3,
        Transport::UdpLite => 4,
    }
}

fn namespace(namespace: &crate::observe::inventory::Namespace) -> NamespaceReport {
    NamespaceReport {
        inode: namespace.inode,
        own: namespace.own,
        name: namespace.name.clone(),
        pid: namespace.pid,
        processes: namespace.processes,
        closed: namespace.closed.clone(),
        unread_firewall: None,
    }
}

/// What the exposure of a socket depends on.
pub fn bound_to(socket: &Socket) -> BoundTo {
    let specific = socket.family == Family::Inet6 && !is_unspecified(socket.ip);
    BoundTo {
        ip: socket.ip,
        family: socket.family,
        v6only: socket.v6only.unwrap_or(specific),
        device: socket.device,
    }
}

fn listed(
    socket: &Socket,
    networks: Option<&Networks>,
    users: &BTreeMap<u32, String>,
) -> ListedSocket {
    let bound = bound_to(socket);
    let covers = match (is_unspecified(socket.ip), socket.family) {
        (false, _) => Coverage::Address,
        (true, Family::Inet6) if bound.v6only => Coverage::Ipv6Only,
        (true, Family::Inet6) if matches!(socket.ip, IpAddr::V6(ip) if ip.is_unspecified()) => {
            Coverage::DualStack
        }
        (true, _) => Coverage::Ipv4,
    };
    let port = socket.port;
    let mut holders: Vec<ListedHolder> = Vec::with_capacity(socket.holders.len());
    for holder in &socket.holders {
        let in_flight = holder.how == How::InFlight;
        match holders.iter_mut().find(|h| h.pid == holder.pid && h.in_flight == in_flight) {
            Some(known) => known.fds.push(holder.fd),
            None => holders.push(ListedHolder { pid: holder.pid, fds: vec![holder.fd], in_flight }),
        }
    }
    let no_holder = socket.no_holder.filter(|_| holders.is_empty());
    ListedSocket {
        protocol: socket.transport.name(),
        raw: socket.raw,
        family: socket.family,
        state: socket.state.name(),
        local: match covers {
            Coverage::DualStack if socket.device == 0 => format!("*:{port}"),
            _ => shown(socket.ip, socket.device_name.as_deref(), port),
        },
        ip: socket.ip,
        port,
        remote: socket.remote.map(|remote| remote.to_string()),
        covers,
        exposure: networks.map_or(Exposure::Unknown, |networks| networks.exposure(bound)),
        reached: None,
        device: socket.device_name.clone(),
        reuseaddr: socket.reuseaddr,
        reuseport: socket.reuseport,
        group: socket.group,
        uid: socket.uid,
        user: socket.uid.and_then(|uid| users.get(&uid).cloned()),
        inode: socket.inode,
        cookie: socket.cookie,
        received: socket.rqueue,
        unsent: socket.wqueue,
        remaining_ms: socket.remaining.map(|left| left.as_millis() as u64),
        netns: socket.netns,
        holders,
        no_holder: no_holder.map(word),
        no_holder_words: no_holder.map(words),
    }
}

const fn word(reason: NoHolder) -> &'static str {
    match reason {
        NoHolder::NotAsked => "not-asked",
        NoHolder::Closed => "closed",
        NoHolder::NotAccepted => "not-accepted",
        NoHolder::Kernel(_) => "kernel",
        NoHolder::Unseen => "unseen",
        NoHolder::NotFound => "not-found",
    }
}

/// Why no process is named, in a few words. It never says that nobody holds a socket that somebody
/// may hold.
pub fn words(reason: NoHolder) -> String {
    match reason {
        NoHolder::NotAsked => "not asked".into(),
        NoHolder::Closed => "closed, kept by the kernel".into(),
        NoHolder::NotAccepted => "waits to be accepted".into(),
        NoHolder::Kernel(part) => format!("kernel: {}", part.name()),
        NoHolder::Unseen => "hidden from you".into(),
        NoHolder::NotFound => "not found: out of sight, the kernel's, or in flight".into(),
    }
}
