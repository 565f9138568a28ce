//! What a connection ran into: read from the errno, and for addresses of this host from its
//! sockets.

use std::net::{IpAddr, SocketAddr};

use portwise_model::{FactKey, Protocol, State};
use portwise_sys::Errno;

use super::tracee::Record;
use crate::Setting;

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// What the errno means here.
    pub because: String,
    /// What was seen, a line each.
    pub seen: Vec<String>,
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
            "the next host on the way does not answer, or a router or firewall said so"
        }
        Errno::EADDRNOTAVAIL => match address.port() {
            0 => "port 0 is none to connect to",
            _ => "no automatic port is left for this destination, or the source address fits none",
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
    if is_here == Some(true) && errno == Errno::ECONNREFUSED {
        seen = listeners(setting, record, address);
    }
    Connect { because: because.into(), seen }
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
    let waits = |s: &&portwise_model::Socket| match s.protocol {
        Protocol::Tcp => s.state == State::Listen,
        Protocol::Udp => s.remote.is_none(),
    };
    let of_protocol = all.iter().filter(|s| s.protocol == protocol);
    let there: Vec<String> = of_protocol
        .filter(waits)
        .map(|s| crate::endpoint::shown(s.ip, None, s.port) + "/" + protocol.name())
        .collect();
    match there.is_empty() {
        true => vec![format!("nothing listens on port {port}/{} here", protocol.name())],
        false => vec![format!("on that port there is only {}", there.join(", "))],
    }
}
