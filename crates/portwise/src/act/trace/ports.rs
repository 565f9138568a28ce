//! A connection that found no source port: which of the automatic ones are taken, and by whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use portwise_model::{FactKey, LocalPorts, Protocol, Socket, fix::Breadth};

use super::{connect::Connect, tracee::Record};
use crate::{
    Setting,
    explain::{FixReport, breadth},
};

/// How many holders are named.
const SHOWN: usize = 3;

/// Explains EADDRNOTAVAIL.
pub(super) fn explain(setting: &mut Setting, record: &Record, to: SocketAddr) -> Connect {
    let open = |why: &str| Connect { because: why.into(), seen: Vec::new(), fixes: Vec::new() };
    let _ = setting.observe(&FactKey::LocalPorts);
    let _ = setting.observe(&FactKey::AllSockets);
    let Some(ports) = setting.host.local_ports.value().cloned() else {
        return open(
            "no source port is left for this destination, or the source address fits none",
        );
    };
    let protocol = record.protocol.unwrap_or(Protocol::Tcp);
    let (low, high) = (ports.low, ports.high);
    let Ok(listed) = setting.host.sockets.all() else {
        return open(
            "no source port is left for this destination, or the source address fits none",
        );
    };
    let of_protocol = listed.flat_map(|(_, list)| list).filter(|s| s.protocol == protocol);
    let all: Vec<Socket> = of_protocol.copied().collect();
    let automatic = |socket: &&Socket| (low..=high).contains(&socket.port);
    let there: Vec<Socket> =
        all.iter().filter(automatic).filter(|s| s.remote == Some(to)).copied().collect();
    let bound = all.iter().filter(automatic).filter(|s| s.remote.is_none());
    let mut taken: BTreeSet<u16> = there.iter().map(|s| s.port).collect();
    let by_connections = taken.len();
    taken.extend(bound.map(|s| s.port));
    let reserved =
        |port: u16| ports.reserved.iter().any(|(low, high)| (*low..=*high).contains(&port));
    let usable = (low..=high).filter(|port| !reserved(*port)).count();
    let used = taken.iter().filter(|port| !reserved(**port)).count();
    let range = format!("{low}-{high} (net.ipv4.ip_local_port_range)");
    if used < usable {
        return Connect {
            because: format!(
                "the source address that the socket is bound to does not fit this destination, or \
                 the socket has a narrower range of source ports: {used} of the {usable} automatic \
                 ports {range} are taken"
            ),
            seen: Vec::new(),
            fixes: Vec::new(),
        };
    }
    let others = used.saturating_sub(by_connections);
    let others =
        if others > 0 { format!(", {others} by sockets that are bound") } else { String::new() };
    let mut seen = vec![format!(
        "{by_connections} are taken by connections to {to}{others}; other destinations still work"
    )];
    seen.extend(holders(setting, &there));
    Connect {
        because: format!(
            "no source port is free: all {usable} automatic ports {range} are taken towards this \
             destination; the address itself is fine"
        ),
        seen,
        fixes: fixes(setting, &ports),
    }
}

/// Who has the connections, the most first.
fn holders(setting: &mut Setting, sockets: &[Socket]) -> Vec<String> {
    let holders = setting.holders(sockets);
    let mut by_process: BTreeMap<u32, (String, usize)> = BTreeMap::new();
    for process in sockets.iter().flat_map(|socket| holders.of(socket.id)) {
        let known = by_process.entry(process.pid).or_insert((process.command.clone(), 0));
        known.1 += 1;
    }
    let mut list: Vec<(u32, (String, usize))> = by_process.into_iter().collect();
    portwise_model::sort::sort_by_key(&mut list, |(pid, (_, count))| {
        (std::cmp::Reverse(*count), *pid)
    });
    let words = |(pid, (command, count)): &(u32, (String, usize))| {
        format!("{count} of them by pid {pid} ({command})")
    };
    let mut lines: Vec<String> = list.iter().take(SHOWN).map(words).collect();
    let closed = sockets.iter().filter(|s| s.state == portwise_model::State::TimeWait).count();
    if closed > 0 {
        lines.push(format!("{closed} of them are closed and remembered for a minute (TIME_WAIT)"));
    }
    lines
}

fn fixes(setting: &Setting, ports: &LocalPorts) -> Vec<FixReport> {
    let fix = |id: &str, title: &str, reach, command: Option<String>, effects: &str| FixReport {
        id: id.into(),
        title: title.into(),
        breadth: breadth(reach),
        detail: None,
        endpoint: None,
        command,
        side_effects: effects.into(),
    };
    let mut list = vec![fix(
        "linux.reuse-connections",
        "keep connections open and use them again, or close those that are idle",
        Breadth::Process,
        None,
        "",
    )];
    // The kernel's own default, then all that servers rarely use.
    let wider = [(32768, 60999), (10240, 65535)];
    let is_wider = |range: &&(u16, u16)| range.0 < ports.low && range.1 >= ports.high;
    if let Some((low, high)) = wider.iter().find(is_wider) {
        let sudo = if setting.runner == Some(0) { "" } else { "sudo " };
        list.push(fix(
            "linux.wider-range",
            "a wider range of automatic ports",
            Breadth::Netns,
            Some(format!("{sudo}sysctl -w net.ipv4.ip_local_port_range='{low} {high}'")),
            "servers that listen on one of these may find it taken: name theirs in \
             net.ipv4.ip_local_reserved_ports; lost at reboot unless written to /etc/sysctl.d",
        ));
    }
    list.push(fix(
        "linux.more-addresses",
        "another source address, each has its own ports: bind it before connect",
        Breadth::Process,
        None,
        "",
    ));
    list
}
