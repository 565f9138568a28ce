//! The route of this host that answers a connect(2) before any packet leaves.

use std::net::SocketAddr;

use portwise_model::linux::route::{Flow, RouteType, Routed, lookup};
use portwise_sys::Errno;

use super::tracee::Record;
use crate::Setting;

/// The type of route that gives this errno.
fn answers(errno: Errno) -> Option<(RouteType, &'static str)> {
    Some(match errno {
        Errno::EACCES => (RouteType::Prohibit, "prohibit"),
        Errno::EHOSTUNREACH => (RouteType::Unreachable, "unreachable"),
        Errno::EINVAL => (RouteType::Blackhole, "blackhole"),
        _ => return None,
    })
}

/// What is to be said if routing of this host gives the errno.
pub(super) fn stops(setting: &mut Setting, record: &Record, to: SocketAddr) -> Option<String> {
    let (kind, name) = answers(record.errno?)?;
    // What the rules of a firewall say is not asked.
    let traffic = setting.traffic(Some(std::time::Instant::now())).ok()?;
    let network = traffic.network;
    let flow = Flow {
        dst: to.ip().to_canonical(),
        src: None,
        iif: network.loopback()?.index,
        oif: 0,
        mark: 0,
        protocol: 6,
        ports: None,
        uid: Some(setting.subject.uid),
    };
    let stopped = match lookup(&network, &flow) {
        Routed::By(route) => route.kind,
        Routed::Stopped(kind) => kind,
        Routed::None | Routed::Depends(_) => return None,
    };
    let family = if flow.dst.is_ipv6() { " -6" } else { "" };
    (stopped == kind).then(|| {
        format!(
            "a route or policy rule of this host, of type {name}, answers so, before any packet \
             leaves: `ip{family} route show table all type {name}` and `ip{family} rule` list them"
        )
    })
}
