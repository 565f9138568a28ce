//! What routing makes of a packet that came in by a device.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Device, Flow, Hop, Network, RouteType, Routed, first_way, lookup};
use crate::{Family, Text};

/// Why routing refuses a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An address that cannot stand in a packet from there. Dropped in silence.
    Martian(&'static str),
    /// The reverse path filter. Dropped in silence.
    ReversePath,
    /// There is no way on. With what stops it, and whether the sender may be told.
    NoRoute(RouteType, bool),
}

/// What becomes of a packet that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is for this host, by a route of this type.
    Local(RouteType),
    /// It goes on by this way; all ways of the route, if there are several.
    Forward(Hop, bool),
    /// It is refused.
    Refused(Refused),
    /// That depends on something.
    Depends(Text),
}

/// Decides about a packet that came in by `device` and is not known to routing yet.
pub fn arrival(network: &Network, device: &Device, flow: &Flow) -> Arrival {
    match (flow.dst, flow.src) {
        (IpAddr::V4(dst), Some(IpAddr::V4(src))) => arrival4(network, device, flow, src, dst),
        (IpAddr::V6(dst), Some(IpAddr::V6(src))) => arrival6(network, device, flow, src, dst),
        _ => Arrival::Refused(Refused::Martian("the addresses are of two families")),
    }
}

fn martian(why: &'static str) -> Arrival {
    Arrival::Refused(Refused::Martian(why))
}

fn arrival4(
    network: &Network,
    device: &Device,
    flow: &Flow,
    src: Ipv4Addr,
    dst: Ipv4Addr,
) -> Arrival {
    if src.is_multicast() || src.is_broadcast() {
        return martian("a multicast or broadcast address as source");
    }
    if dst.is_multicast() {
        return multicast(device);
    }
    if dst.is_broadcast() {
        return match valid_source(network, device, flow, src) {
            Ok(()) => Arrival::Local(RouteType::Broadcast),
            Err(refused) => Arrival::Refused(refused),
        };
    }
    if src.is_unspecified() {
        return martian("0.0.0.0 as source");
    }
    if dst.is_unspecified() {
        return martian("0.0.0.0 as destination");
    }
    if !device.route_localnet && !device.loopback {
        if dst.is_loopback() {
            return martian("a destination of 127.0.0.0/8 from another device than lo");
        }
        if src.is_loopback() {
            return martian("a source of 127.0.0.0/8 from another device than lo");
        }
    }
    let route = match lookup(network, flow) {
        Routed::By(route) => route,
        Routed::Stopped(kind) => return no_route(kind, device.forwarding),
        Routed::None => return no_route(RouteType::Other, device.forwarding),
        Routed::Depends(why) => return Arrival::Depends(why),
    };
    match route.kind {
        RouteType::Local | RouteType::Broadcast => match valid_source(network, device, flow, src) {
            Ok(()) => Arrival::Local(route.kind),
            Err(refused) => Arrival::Refused(refused),
        },
        _ if !device.forwarding => no_route(RouteType::Other, false),
        RouteType::Unicast => match valid_source(network, device, flow, src) {
            Ok(()) => forward(route),
            Err(refused) => Arrival::Refused(refused),
        },
        _ => martian("the route is of a type that packets do not arrive by"),
    }
}

fn forward(route: &super::Route) -> Arrival {
    match first_way(route, 0) {
        Some(hop) => Arrival::Forward(hop, route.ways(0).count() > 1),
        None => Arrival::Refused(Refused::NoRoute(RouteType::Other, true)),
    }
}

/// Whether the sender is told depends on whether this host is a router at all.
fn no_route(kind: RouteType, forwarding: bool) -> Arrival {
    let told = forwarding && kind != RouteType::Blackhole;
    Arrival::Refused(Refused::NoRoute(kind, told))
}

/// Which groups the host has joined was not read.
fn multicast(device: &Device) -> Arrival {
    Arrival::Depends(alloc::format!("whether {} has joined the group", device.name).into())
}

/// `rp_filter`, and own addresses as source.
fn valid_source(
    network: &Network,
    device: &Device,
    flow: &Flow,
    src: Ipv4Addr,
) -> Result<(), Refused> {
    if device.loopback || src.is_unspecified() {
        return Ok(());
    }
    const OWN: Refused = Refused::Martian("an own address of this host as source");
    let strictness = device.rp_filter.max(network.switches.rp_filter);
    let is_plain = network.rules4.iter().all(|rule| *rule == initial(rule.priority));
    if strictness == 0 && is_plain {
        let own = !device.accept_local && network.has_address(IpAddr::V4(src));
        return if own { Err(OWN) } else { Ok(()) };
    }
    let lo = network.loopback().map_or(1, |lo| lo.index);
    let mark = if device.src_valid_mark { flow.mark } else { 0 };
    let back = Flow {
        dst: IpAddr::V4(src),
        src: Some(flow.dst),
        iif: lo,
        mark,
        ports: flow.ports.map(|(sport, dport)| (dport, sport)),
        uid: Some(0),
        ..*flow
    };
    // The interface's own VRF counts for the way back as well.
    let back = match network.vrf_of(device.index) {
        Some(vrf) => Flow { iif: vrf.index, ..back },
        None => back,
    };
    let route = match lookup(network, &back) {
        Routed::By(route) => route,
        _ if strictness > 0 => return Err(Refused::ReversePath),
        _ => return Ok(()),
    };
    match route.kind {
        RouteType::Unicast => {}
        RouteType::Local if device.accept_local => {}
        _ => return Err(OWN),
    }
    let is_same = route.hops.iter().any(|hop| hop.device == device.index);
    match strictness {
        1 if !is_same => Err(Refused::ReversePath),
        _ => Ok(()),
    }
}

/// The rule every namespace starts with at this priority.
fn initial(priority: u32) -> super::PolicyRule {
    let table = match priority {
        0 => 255,
        32766 => 254,
        _ => 253,
    };
    super::PolicyRule::table(priority, table)
}

fn arrival6(
    network: &Network,
    device: &Device,
    flow: &Flow,
    src: Ipv6Addr,
    dst: Ipv6Addr,
) -> Arrival {
    if !device.loopback && (src.is_loopback() || dst.is_loopback()) {
        return martian("::1 from another device than lo");
    }
    if src.is_multicast() {
        return martian("a multicast address as source");
    }
    if dst.is_multicast() {
        return multicast(device);
    }
    // Link-local addresses mean something on their link only.
    let flow = match dst.is_unicast_link_local() {
        true => Flow { oif: device.index, ..*flow },
        false => *flow,
    };
    let route = match lookup(network, &flow) {
        Routed::By(route) => route,
        // IPv6 tells the sender, router or not.
        Routed::Stopped(kind) => return no_route(kind, true),
        Routed::None => return no_route(RouteType::Other, true),
        Routed::Depends(why) => return Arrival::Depends(why),
    };
    match route.kind {
        RouteType::Local | RouteType::Anycast => Arrival::Local(route.kind),
        RouteType::Unicast if !network.switches.forwarding6 => no_route(RouteType::Other, false),
        RouteType::Unicast if dst.is_unicast_link_local() || src.is_unicast_link_local() => {
            martian("a link-local address is not forwarded")
        }
        RouteType::Unicast => forward(route),
        _ => martian("the route is of a type that packets do not arrive by"),
    }
}

/// What kind of address `ip` is to this host, by the table `local`: as `fib` and `addrtype` see it.
pub fn local_type(network: &Network, ip: IpAddr, device: u32) -> RouteType {
    const LOCAL: u32 = 255;
    match ip {
        IpAddr::V4(ip) if ip.is_broadcast() || ip.is_unspecified() => {
            return RouteType::Broadcast;
        }
        IpAddr::V4(ip) if ip.is_multicast() => return RouteType::Multicast,
        IpAddr::V6(ip) if ip.is_multicast() => return RouteType::Multicast,
        _ => {}
    }
    let family = Family::of(ip);
    if !network.routes.has_table(family, LOCAL) && family == Family::Inet {
        return RouteType::Broadcast;
    }
    match network.routes.lookup(LOCAL, ip, None, 0, None) {
        Some(route) if device == 0 || route.hops.iter().any(|hop| hop.device == device) => {
            route.kind
        }
        _ => RouteType::Unicast,
    }
}
