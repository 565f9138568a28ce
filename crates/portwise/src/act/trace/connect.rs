//! What a connection ran into: read from the errno, and for addresses of this host from its
//! sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portwise_model::{FactKey, Protocol, Socket, State};
use portwise_sys::Errno;

use super::{firewall, ports, proxy, route, tracee::Record};
use crate::{Setting, explain::FixReport};

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// What the errno means here.
    pub because: String,
    /// What was seen, a line each.
    pub seen: Vec<String>,
    /// What would help.
    pub fixes: Vec<FixReport>,
}

/// Explains a failed connect(2).
pub(super) fn explain(setting: &mut Setting, record: &Record, address: SocketAddr) -> Connect {
    let errno = record.errno.unwrap_or(Errno(0));
    let is_here = is_of_host(setting, address.ip());
    let because = match errno {
        Errno::ECONNREFUSED => match is_here {
            Some(true) => "no socket of this host listens there, or something answers for it",
            Some(false) => "the other host, or something on the way, answered that nobody listens",
            None => "somebody answered that nobody listens there",
        },
        Errno::ETIMEDOUT => "no answer came: packets are lost or dropped on the way",
        Errno::ENETUNREACH => "this host has no route to that network",
        Errno::EHOSTUNREACH => {
            "the next host on the way does not answer, or a firewall rejects it: this host's own \
             (hook output), or that of a router or the other host"
        }
        Errno::EADDRNOTAVAIL => match address.port() {
            0 => "port 0 is none to connect to",
            _ => "",
        },
        Errno::EADDRINUSE => "the source address and port are taken for this destination",
        Errno::EACCES => {
            "a security module, Landlock or a firewall forbids it, or it is a broadcast address \
             and SO_BROADCAST is not set"
        }
        Errno::EPERM => "a firewall rule of this host or a BPF program of the cgroup refuses it",
        Errno::EAFNOSUPPORT => "the address is of another family than the socket",
        Errno::EISCONN => "the socket is connected already",
        Errno::EALREADY => "an earlier connect of this socket is still going on",
        Errno::ECONNRESET => "the other side ended the connection at once",
        _ => "",
    };
    let mut seen = Vec::new();
    if errno == Errno::EADDRNOTAVAIL && address.port() != 0 {
        return ports::explain(setting, record, address);
    }
    if is_here == Some(true) && errno == Errno::ECONNREFUSED {
        seen = listeners(setting, record, address);
    }
    seen.extend(proxy::named(record.pid, address));
    if let Some(because) = route::stops(setting, record, address) {
        return Connect { because, seen, fixes: Vec::new() };
    }
    let protocol = record.protocol.unwrap_or(Protocol::Tcp);
    if may_be_firewall(errno)
        && let Some(stopped) = firewall::stops(setting, protocol, address)
    {
        return Connect { because: stopped.because, seen, fixes: stopped.fixes };
    }
    Connect { because: because.into(), seen, fixes: Vec::new() }
}

/// Whether a rule of this host could have this effect on a connection.
fn may_be_firewall(errno: Errno) -> bool {
    [
        Errno::ECONNREFUSED,
        Errno::ETIMEDOUT,
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
        Errno::EACCES,
        Errno::EPERM,
        Errno::ECONNRESET,
    ]
    .contains(&errno)
}

/// Whether an address is one of this host's; `None` if that is not known.
fn is_of_host(setting: &mut Setting, ip: IpAddr) -> Option<bool> {
    let ip = ip.to_canonical();
    if ip.is_loopback() || ip.is_unspecified() {
        return Some(true);
    }
    let _ = setting.observe(&FactKey::Interfaces);
    let interfaces = setting.host.interfaces.value()?;
    Some(interfaces.addresses().any(|(_, known)| known.ip == ip))
}

/// The sockets that have the port.
fn listeners(setting: &mut Setting, record: &Record, address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let protocol = record.protocol.unwrap_or(Protocol::Tcp);
    let _ = setting.observe(&FactKey::Sockets(port));
    let Ok(all) = setting.host.sockets.on(port) else {
        return vec!["who has the port cannot be seen from here".into()];
    };
    let waits = |s: &&Socket| match s.protocol {
        Protocol::Tcp => s.state == State::Listen,
        Protocol::Udp => s.remote.is_none(),
    };
    let waiting: Vec<Socket> =
        all.iter().filter(|s| s.protocol == protocol).filter(waits).copied().collect();
    if waiting.is_empty() {
        return vec![format!("nothing listens on port {port}/{} here", protocol.name())];
    }
    let holders = setting.holders(&waiting);
    let shown = |socket: &Socket| {
        let local = crate::endpoint::shown(socket.ip, None, socket.port);
        let held = holders.of.get(&socket.id.0).and_then(|list| list.first());
        let held = held.map(|held| format!(" (pid {}, {})", held.pid, held.command));
        format!("{local}/{}{}", protocol.name(), held.unwrap_or_default())
    };
    let there: Vec<String> = waiting.iter().map(shown).collect();
    let mut seen = vec![format!("on that port there is only {}", there.join(", "))];
    seen.extend(other_family(address.ip(), &waiting));
    seen
}

/// That `localhost` may mean an address that somebody listens on, and was taken for the other.
fn other_family(asked: IpAddr, waiting: &[Socket]) -> Option<String> {
    let other: IpAddr = match asked.to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        _ => return None,
    };
    let covers = |socket: &Socket| match socket.ip.to_canonical() {
        ip if ip == other => true,
        IpAddr::V6(ip) => ip.is_unspecified() && (other.is_ipv6() || !socket.v6only),
        IpAddr::V4(ip) => ip.is_unspecified() && other.is_ipv4(),
    };
    waiting.iter().any(covers).then(|| {
        format!(
            "localhost has addresses of two families, {asked} and {other}, and the server is on \
             {other} only: a client that tries nothing but the first fails; name {other}, or let \
             the server listen on both"
        )
    })
}
