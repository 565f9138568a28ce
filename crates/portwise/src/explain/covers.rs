//! Which addresses a bound socket is reached at.

use std::net::IpAddr;

use portwise_model::{AddrState, Call, KernelFamily, Protocol, Request, RouteKind, v4_mapped};

use super::report::{CoveredAddress, Covers};
use crate::Setting;

/// What the socket of `request` covers once it is bound.
pub(super) fn of(setting: &mut Setting, request: &Request) -> Covers {
    let Call::Bind(addr) = request.call else {
        unreachable!("only bind covers addresses");
    };
    let socket = &request.socket;
    let ip = addr.ip(socket.family);
    let device = (socket.device != 0).then(|| setting.device_name(socket.device));
    let (ip, every) = match ip {
        IpAddr::V6(v6) => match v4_mapped(v6) {
            Some(v4) => (IpAddr::V4(v4), v4.is_unspecified()),
            None => (ip, v6.is_unspecified()),
        },
        IpAddr::V4(v4) => (ip, v4.is_unspecified()),
    };
    let ipv6 = ip.is_ipv6();
    let ipv4 = ip.is_ipv4() || every && !socket.v6only;
    let interfaces = setting.host.interfaces.value();
    let known = interfaces.into_iter().flat_map(|interfaces| interfaces.addresses());
    let known = known.filter(|(_, a)| a.state == AddrState::Usable);
    let mut addresses: Vec<CoveredAddress> = known
        .filter(|(_, a)| match every {
            true => a.ip.is_ipv4() && ipv4 || a.ip.is_ipv6() && ipv6,
            false => a.ip == ip,
        })
        .map(|(interface, a)| CoveredAddress {
            ip: a.ip,
            device: interface.name.to_string(),
            loopback: interface.loopback,
        })
        .collect();
    let complete = !every || interfaces.is_some_and(|interfaces| interfaces.complete);
    if !every && addresses.is_empty() {
        addresses.extend(on_route(setting, ip));
    }
    let group = ip.is_multicast() || is_broadcast(setting, ip);
    let what = words(setting.host.kernel.family, request, ip, (every, group), (ipv4, ipv6));
    Covers { ipv4, ipv6, device, addresses, complete, what }
}

/// An IPv4 address that no interface has but a local route covers, such as 127.0.0.2.
fn on_route(setting: &mut Setting, ip: IpAddr) -> Option<CoveredAddress> {
    let IpAddr::V4(v4) = ip else { return None };
    let route = *setting.host.local_routes.value()?.lookup(v4)?;
    let interfaces = setting.host.interfaces.value();
    let loopback =
        interfaces.and_then(|list| list.by_index(route.device)).is_some_and(|i| i.loopback);
    Some(CoveredAddress { ip, device: setting.device_name(route.device), loopback })
}

/// Whether an address stands for every host of a network.
fn is_broadcast(setting: &Setting, ip: IpAddr) -> bool {
    let IpAddr::V4(v4) = ip else { return false };
    let mut of_interfaces = setting.host.interfaces.value().into_iter().flat_map(|i| i.addresses());
    let route = setting.host.local_routes.value().and_then(|routes| routes.lookup(v4));
    v4.is_broadcast()
        || of_interfaces.any(|(_, a)| a.broadcast == Some(v4))
        || route.is_some_and(|route| route.kind == RouteKind::Broadcast)
}

fn words(
    kernel: KernelFamily,
    request: &Request,
    ip: IpAddr,
    (every, group): (bool, bool),
    (ipv4, ipv6): (bool, bool),
) -> String {
    let tcp = request.socket.protocol == Protocol::Tcp;
    match (every, ipv4, ipv6) {
        (true, true, true) => {
            "every address of this host, IPv6 and IPv4 (dual stack), also those that come later"
                .into()
        }
        (true, true, false) => {
            "every IPv4 address of this host, also those that come later; no IPv6".into()
        }
        (true, ..) => "every IPv6 address of this host, also those that come later; no IPv4".into(),
        _ if group && tcp => {
            format!("nothing: no TCP connection is made to {ip}, {}", kind(ip))
        }
        _ if group => format!("what is sent to {ip}, {}", kind(ip)),
        _ if ip.is_loopback() && kernel == KernelFamily::Linux => {
            format!("{ip} only, which programs in this network namespace reach and nobody else")
        }
        _ if ip.is_loopback() => {
            format!("{ip} only, which programs on this host reach and nobody else")
        }
        _ => format!("{ip} only"),
    }
}

fn kind(group: IpAddr) -> &'static str {
    if group.is_multicast() { "a multicast address" } else { "a broadcast address" }
}
