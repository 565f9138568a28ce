//! Devices, addresses, routing tables, policy rules and neighbours, by rtnetlink.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{
    Text,
    linux::route::{Action, Address, Device, Hop, Network, PolicyRule, Route, RouteType, Switches},
};
use portwise_sys::{
    Errno, Error,
    proc::Proc,
    rtnetlink::{self, Link, Neighbour, RtNetlink},
};

/// Reads what routing knows in the thread's network namespace. Needs no privilege.
pub(super) fn read(proc: &Proc, netlink: &mut RtNetlink) -> Result<Network, Error> {
    let mut network = Network { switches: switches(proc), ..Network::default() };
    let all = OfAll::read(proc);
    let filtered = filtered(netlink);
    for link in netlink.links()? {
        network.devices.push(device(&link, &all, &filtered));
    }
    for address in netlink.addresses()? {
        // A tentative address is not the host's yet.
        if address.flags & rtnetlink::Address::IFA_F_TENTATIVE == 0
            || address.flags & rtnetlink::Address::IFA_F_OPTIMISTIC != 0
        {
            let (ip, prefix, device) = (address.local, address.prefix, address.interface);
            network.addresses.push(Address { ip, prefix, device });
        }
    }
    for route in netlink.routes(None)? {
        let table = route.table;
        network.routes.add(table, self::route(&route));
    }
    network.rules4 = rules(netlink, AF_INET)?;
    network.rules6 = rules(netlink, AF_INET6)?;
    neighbours(netlink, &mut network)?;
    Ok(network)
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_BRIDGE: u8 = 7;

/// The devices where traffic control has filters for what they receive.
fn filtered(netlink: &mut RtNetlink) -> Vec<u32> {
    let mut may = netlink.ingress_disciplines().unwrap_or_default();
    may.retain(|&device| netlink.has_ingress_filters(device).unwrap_or(true));
    may
}

/// Switches of `conf/all`.
struct OfAll {
    accept_local: bool,
    route_localnet: bool,
    src_valid_mark: bool,
}

impl OfAll {
    fn read(proc: &Proc) -> OfAll {
        let is_on = |name: &str| number(proc, &format!("net.ipv4.conf.all.{name}")) != 0;
        OfAll {
            accept_local: is_on("accept_local"),
            route_localnet: is_on("route_localnet"),
            src_valid_mark: is_on("src_valid_mark"),
        }
    }
}

/// A value that is absent where the kernel lacks what it switches counts as 0.
fn number(proc: &Proc, name: &str) -> i64 {
    proc.sysctl(name).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn switches(proc: &Proc) -> Switches {
    let is_on = |name: &str| number(proc, name) != 0;
    Switches {
        rp_filter: number(proc, "net.ipv4.conf.all.rp_filter") as u8,
        forwarding6: is_on("net.ipv6.conf.all.forwarding"),
        mark_answers: is_on("net.ipv4.fwmark_reflect") || is_on("net.ipv4.tcp_fwmark_accept"),
        bridge_calls_ip: is_on("net.bridge.bridge-nf-call-iptables"),
        bridge_calls_ip6: is_on("net.bridge.bridge-nf-call-ip6tables"),
        tcp_l3mdev_accept: is_on("net.ipv4.tcp_l3mdev_accept"),
        udp_l3mdev_accept: is_on("net.ipv4.udp_l3mdev_accept"),
        classes: has_classes(proc),
    }
}

/// Whether the controller `net_cls` is in use: then it stands in a hierarchy, which has a number.
fn has_classes(proc: &Proc) -> bool {
    let list = proc.read("proc/cgroups").unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .into_iter()
        .any(|line| matches!(line[..], ["net_cls", hierarchy, ..] if hierarchy != "0"))
}

fn device(link: &Link, all: &OfAll, filtered: &[u32]) -> Device {
    // Of `enum` in linux/ip.h, counted from 1.
    const FORWARDING: usize = 1;
    const RP_FILTER: usize = 8;
    const ACCEPT_LOCAL: usize = 23;
    const SRC_VMARK: usize = 24;
    const ROUTE_LOCALNET: usize = 26;
    let conf = |number: usize| link.ipv4_conf.get(number - 1).copied().unwrap_or(0);
    let mut opaque = Vec::new();
    if link.xdp {
        opaque.push(Text::Borrowed("an XDP program"));
    }
    if filtered.contains(&link.index) {
        opaque.push(Text::Borrowed("a filter of traffic control (tc)"));
    }
    Device {
        index: link.index,
        name: link.name.clone().into(),
        up: link.is_up(),
        loopback: link.is_loopback(),
        hardware: link.hardware,
        group: link.group,
        kind: link.kind.clone().unwrap_or_default().into(),
        master: link.master.unwrap_or(0),
        vrf_table: link.vrf_table,
        mac: link.address,
        peer_netns: link.peer_netns,
        hairpin: link.hairpin,
        forwarding: conf(FORWARDING) != 0,
        rp_filter: conf(RP_FILTER) as u8,
        accept_local: conf(ACCEPT_LOCAL) != 0 || all.accept_local,
        route_localnet: conf(ROUTE_LOCALNET) != 0 || all.route_localnet,
        src_valid_mark: conf(SRC_VMARK) != 0 || all.src_valid_mark,
        opaque,
    }
}

fn route(route: &rtnetlink::Route) -> Route {
    const DEAD: u32 = 1;
    let any = match route.family {
        2 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut hops: Vec<Hop> = route
        .next_hops
        .iter()
        .map(|hop| Hop {
            device: hop.interface,
            gateway: hop.gateway,
            dead: u32::from(hop.flags) & DEAD != 0,
        })
        .collect();
    if hops.is_empty()
        && let Some(device) = route.interface
    {
        hops.push(Hop { device, gateway: route.gateway, dead: route.flags & DEAD != 0 });
    }
    Route {
        kind: kind(route.kind),
        dst: route.destination.unwrap_or(any),
        prefix: route.prefix,
        src: route.source,
        tos: route.tos,
        metric: route.metric.unwrap_or(0),
        hops,
        prefers: route.preferred_source,
    }
}

fn kind(number: u8) -> RouteType {
    match number {
        rtnetlink::Route::UNICAST => RouteType::Unicast,
        rtnetlink::Route::LOCAL => RouteType::Local,
        rtnetlink::Route::BROADCAST => RouteType::Broadcast,
        rtnetlink::Route::ANYCAST => RouteType::Anycast,
        rtnetlink::Route::MULTICAST => RouteType::Multicast,
        rtnetlink::Route::BLACKHOLE => RouteType::Blackhole,
        rtnetlink::Route::UNREACHABLE => RouteType::Unreachable,
        rtnetlink::Route::PROHIBIT => RouteType::Prohibit,
        rtnetlink::Route::THROW => RouteType::Throw,
        _ => RouteType::Other,
    }
}

/// A kernel without policy routing consults the same tables always.
fn rules(netlink: &mut RtNetlink, family: u8) -> Result<Vec<PolicyRule>, Error> {
    match netlink.rules(family) {
        Ok(rules) => Ok(rules.iter().map(rule).collect()),
        Err(error) if [Errno::EAFNOSUPPORT, Errno::EOPNOTSUPP].contains(&error.errno) => {
            let tables = [(0, 255), (32766, 254), (32767, 253)];
            Ok(tables.into_iter().map(|(at, table)| PolicyRule::table(at, table)).collect())
        }
        Err(error) => Err(error),
    }
}

fn rule(rule: &rtnetlink::PolicyRule) -> PolicyRule {
    let action = match rule.action {
        1 if rule.l3mdev => Action::Vrf,
        1 => Action::Table(rule.table),
        2 => rule.goto.map_or(Action::Nop, Action::Goto),
        3 => Action::Nop,
        6 => Action::Stop(RouteType::Blackhole),
        7 => Action::Stop(RouteType::Unreachable),
        8 => Action::Stop(RouteType::Prohibit),
        _ => Action::Nop,
    };
    let unknown = match rule.other_conditions.as_slice() {
        [] => Text::Borrowed(""),
        _ => Text::Borrowed("a condition that is not known here"),
    };
    PolicyRule {
        priority: rule.priority,
        action,
        inverted: rule.inverted,
        src: rule.source,
        dst: rule.destination,
        iif: rule.input.clone().map(Text::Owned),
        oif: rule.output.clone().map(Text::Owned),
        mark: rule.mark,
        uids: rule.uids,
        protocol: rule.protocol,
        sport: rule.source_ports,
        dport: rule.destination_ports,
        suppress: rule.suppress.and_then(|bits| u8::try_from(bits).ok()),
        unknown,
    }
}

fn neighbours(netlink: &mut RtNetlink, network: &mut Network) -> Result<(), Error> {
    for family in [AF_INET, AF_INET6] {
        for entry in netlink.neighbours(family)? {
            let Some(ip) = entry.ip else { continue };
            if entry.state & (Neighbour::PERMANENT | Neighbour::NOARP) != 0 {
                network.fixed.insert((ip, entry.interface));
            }
            if let Some(mac) = entry.address {
                network.neighbours.push((ip, entry.interface, mac));
            }
        }
    }
    if network.devices.iter().any(|device| device.kind == "bridge") {
        let own: Vec<[u8; 6]> = network.devices.iter().filter_map(|d| d.mac).collect();
        for entry in netlink.neighbours(AF_BRIDGE)? {
            if let Some(mac) = entry.address.filter(|mac| !own.contains(mac)) {
                network.ports.insert(mac, entry.interface);
            }
        }
    }
    Ok(())
}
