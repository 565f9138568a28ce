//! Settings of ports and addresses that surprise.

use std::collections::{BTreeMap, BTreeSet};

use portwise_model::{Fact, FactKey, LocalPorts, Protocol, Socket, State};

use super::Finding;
use crate::{Setting, endpoint::shown, explain};

/// How many are named.
const SHOWN: usize = 6;

/// The settings of the network namespace in question.
pub(super) fn of(setting: &mut Setting, sudo: &str) -> Vec<Finding> {
    for key in [FactKey::LocalPorts, FactKey::AllSockets, FactKey::Interfaces] {
        let _ = setting.observe(&key);
    }
    let mut all = vec![limit(setting, sudo)];
    let ports = setting.host.local_ports.value().cloned();
    let listed = setting.host.sockets.all();
    let listed: Option<Vec<Socket>> =
        listed.map(|all| all.flat_map(|(_, list)| list).copied().collect()).ok();
    match (&ports, &listed) {
        (Some(ports), Some(sockets)) => {
            all.push(overlap(ports, sockets, sudo));
            all.push(exhaustion(ports, sockets, sudo));
        }
        (None, _) => {
            all.push(Finding::hidden("automatic-ports", "the automatic ports cannot be read"));
        }
        (_, None) => {
            let what = "who listens within the automatic ports, and how many of them are taken";
            all.push(Finding::hidden("automatic-ports", what));
        }
    }
    let sockets = listed.unwrap_or_default();
    all.extend(families(setting, sudo));
    all.extend(reverse_path(setting, sudo));
    all.extend(full_queues(setting, &sockets));
    all
}

fn sysctl(setting: &mut Setting, name: &'static str) -> Option<i64> {
    if setting.host.sysctl(name).is_err() {
        let _ = setting.observe(&FactKey::Sysctl(name.into()));
    }
    setting.host.sysctl(name).ok()
}

fn limit(setting: &mut Setting, sudo: &str) -> Finding {
    let name = "net.ipv4.ip_unprivileged_port_start";
    match sysctl(setting, name) {
        Some(1024) => {
            Finding::fine("limit", "ports below 1024 need CAP_NET_BIND_SERVICE, as usual")
        }
        Some(0) => Finding::odd("limit", format!("every user may take every port: {name} is 0"))
            .because("usual in containers; what starts first has the port")
            .settled(format!("{sudo}sysctl {name}=1024")),
        Some(limit) => Finding::odd("limit", format!("{name} is {limit}, not 1024"))
            .because(format!("ports below {limit} need CAP_NET_BIND_SERVICE here"))
            .settled(format!("{sudo}sysctl {name}=1024")),
        None => Finding::hidden("limit", format!("{name} cannot be read")),
    }
}

/// Servers on ports that the kernel gives to outgoing connections.
fn overlap(ports: &LocalPorts, sockets: &[Socket], sudo: &str) -> Finding {
    let range = format!("{}-{}", ports.low, ports.high);
    let reserved = |port: u16| ports.reserved.iter().any(|(l, h)| (*l..=*h).contains(&port));
    let inside: BTreeSet<u16> = sockets
        .iter()
        .filter(|s| s.state == State::Listen && (ports.low..=ports.high).contains(&s.port))
        .map(|s| s.port)
        .filter(|port| !reserved(*port))
        .collect();
    if inside.is_empty() {
        let text = format!("no server listens within the automatic ports {range}");
        return Finding::fine("automatic-ports", text);
    }
    let list: Vec<String> = inside.iter().take(SHOWN).map(u16::to_string).collect();
    let more = inside.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut keep = ports.reserved.clone();
    keep.extend(inside.iter().take(SHOWN).map(|port| (*port, *port)));
    Finding::odd(
        "automatic-ports",
        format!("servers listen within the automatic ports {range}: {}{more}", list.join(", ")),
    )
    .because(
        "while such a server is stopped, an outgoing connection may be given its port; harmless for \
         those that asked for any port",
    )
    .settled(format!(
        "{sudo}sysctl net.ipv4.ip_local_reserved_ports={}",
        explain::ranges(&keep).join(",")
    ))
}

/// Destinations for which source ports run out.
fn exhaustion(ports: &LocalPorts, sockets: &[Socket], sudo: &str) -> Finding {
    let size = usize::from(ports.high.saturating_sub(ports.low)) + 1;
    let mut towards: BTreeMap<std::net::SocketAddr, usize> = BTreeMap::new();
    for socket in sockets.iter().filter(|s| s.protocol == Protocol::Tcp) {
        if let Some(remote) = socket.remote
            && (ports.low..=ports.high).contains(&socket.port)
        {
            *towards.entry(remote).or_default() += 1;
        }
    }
    let most = towards.iter().max_by_key(|(_, count)| **count);
    match most {
        Some((to, count)) if count * 10 >= size * 8 => Finding::odd(
            "exhaustion",
            format!(
                "{count} of {size} automatic ports are taken towards {}",
                shown(to.ip(), None, to.port())
            ),
        )
        .because("once all are, connect fails with EADDRNOTAVAIL")
        .settled(format!("{sudo}sysctl net.ipv4.ip_local_port_range='10240 65535'")),
        _ if size < 1000 => {
            Finding::odd("exhaustion", format!("there are only {size} automatic ports"))
                .because("so many connections to one destination, and no more")
                .settled(format!("{sudo}sysctl net.ipv4.ip_local_port_range='32768 60999'"))
        }
        _ => Finding::fine("exhaustion", format!("automatic ports are enough: {size}")),
    }
}

fn families(setting: &mut Setting, sudo: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    all.push(match sysctl(setting, "net.ipv6.bindv6only") {
        Some(0) => {
            Finding::fine("v6only", "a server on :: serves IPv4 too (net.ipv6.bindv6only is 0)")
        }
        Some(_) => {
            Finding::odd("v6only", "a server on :: serves IPv6 only: net.ipv6.bindv6only is 1")
                .because("unless it clears IPV6_V6ONLY itself")
                .settled(format!("{sudo}sysctl net.ipv6.bindv6only=0"))
        }
        None => Finding::hidden("v6only", "net.ipv6.bindv6only cannot be read")
            .because("so it is without IPv6"),
    });
    for name in ["net.ipv4.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind"] {
        if sysctl(setting, name) == Some(1) {
            all.push(
                Finding::odd("nonlocal", format!("{name} is 1: addresses of others may be bound"))
                    .because("a typo in an address is not noticed")
                    .settled(format!("{sudo}sysctl {name}=0")),
            );
        }
    }
    if let Fact::Known { value: interfaces, .. } = &setting.host.interfaces {
        let has = |ip: std::net::IpAddr| interfaces.addresses().any(|(_, a)| a.ip == ip);
        if !has(std::net::Ipv4Addr::LOCALHOST.into()) {
            all.push(
                Finding::odd("loopback", "the loopback interface is down or has no 127.0.0.1")
                    .because(
                        "usual in a fresh network namespace: nothing reaches this host's servers",
                    )
                    .settled(format!("{sudo}ip link set lo up")),
            );
        } else if !has(std::net::Ipv6Addr::LOCALHOST.into()) {
            all.push(
                Finding::odd("ipv6", "there is no ::1: IPv6 is off here")
                    .because("servers on ::1 fail with EADDRNOTAVAIL")
                    .settled(format!("{sudo}sysctl net.ipv6.conf.all.disable_ipv6=0")),
            );
        }
    }
    all
}

/// Devices that drop what would not be answered by the same way.
fn reverse_path(setting: &mut Setting, sudo: &str) -> Option<Finding> {
    // The rules are of no use here.
    let network = setting.traffic(Some(std::time::Instant::now())).ok()?.network;
    let of_all = network.switches.rp_filter;
    let strict = network.devices.iter().filter(|d| d.rp_filter.max(of_all) == 1 && !d.loopback);
    let names: Vec<&str> = strict.map(|device| device.name.as_ref()).collect();
    if names.len() < 2 {
        return None;
    }
    let list = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    Some(
        Finding::odd("rp-filter", format!("rp_filter is strict on {list}"))
            .because("packets are dropped whose answer would leave by another device")
            .settled(format!("{sudo}sysctl net.ipv4.conf.all.rp_filter=2")),
    )
}

/// Servers that do not accept.
fn full_queues(setting: &mut Setting, sockets: &[Socket]) -> Vec<Finding> {
    let listeners: Vec<&Socket> = sockets.iter().filter(|s| s.state == State::Listen).collect();
    let ports: BTreeSet<u16> = listeners.iter().map(|s| s.port).collect();
    let few = ports.into_iter().take(64);
    let mut all = Vec::new();
    for port in few {
        let full = setting.full(port);
        for socket in listeners.iter().filter(|s| full.contains(&s.id)) {
            let place = shown(socket.ip, None, socket.port);
            all.push(
                Finding::odd("queue", format!("{place} does not accept: its queue is full"))
                    .because("clients time out")
                    .settled(format!("portwise why {place}")),
            );
        }
    }
    all
}
