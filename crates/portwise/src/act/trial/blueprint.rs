//! What of a host's network is copied, and what is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{
    AddrState, Fact, FactKey, IfAddr, Interface, Interfaces, LocalPorts, LocalRoute, RouteKind,
};
use portwise_sys::{
    rtnetlink::{RT_TABLE_MAIN, Route, RtNetlink},
    sockdiag::{AF_INET, AF_INET6},
};

use crate::Setting;

/// How many interfaces are copied.
const DEVICES: usize = 32;

/// The sysctls that rules read.
pub(super) const SYSCTLS: [&str; 5] = [
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv6.ip_nonlocal_bind",
    "net.ipv6.bindv6only",
    "net.ipv4.ip_autobind_reuse",
];

/// The network to build.
#[derive(Clone, Debug, Default)]
pub(super) struct Blueprint {
    /// Whether the loopback interface is up, and its addresses.
    pub(super) loopback: (bool, Vec<IfAddr>),
    /// The other interfaces.
    pub(super) devices: Vec<Device>,
    /// Sysctls and their values.
    pub(super) sysctls: Vec<(String, String)>,
    /// Routes of the table `local` that no address makes by itself are among these.
    pub(super) local_routes: Vec<LocalRoute>,
    /// For each family the device over which everything else is reached, and the router there.
    pub(super) uplinks: Vec<(u32, IpAddr)>,
    /// What of the host is not in here, in words.
    pub(super) left_out: Vec<String>,
}

/// An interface to make.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// Its index on the host.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: String,
    /// Whether it is up.
    pub(super) up: bool,
    /// Its addresses.
    pub(super) addresses: Vec<IfAddr>,
    /// An address for the neighbour in each of its subnets, and the length of the prefix.
    pub(super) neighbours: Vec<(IpAddr, u8)>,
}

impl Blueprint {
    /// Observes what is to be copied. Interfaces without an address are copied if `named`.
    pub(super) fn of(setting: &mut Setting, named: &[u32]) -> Blueprint {
        let mut blueprint = Blueprint::default();
        for key in [FactKey::Interfaces, FactKey::LocalRoutes, FactKey::LocalPorts] {
            blueprint.observe(setting, &key);
        }
        for name in SYSCTLS {
            blueprint.observe(setting, &FactKey::Sysctl(name.into()));
            if let Ok(value) = setting.host.sysctl(name) {
                blueprint.sysctls.push((name.into(), value.to_string()));
            }
        }
        if let Fact::Known { value, .. } = &setting.host.local_ports {
            blueprint.sysctls.extend(port_sysctls(value));
        }
        if let Fact::Known { value, .. } = &setting.host.local_routes {
            blueprint.local_routes = value.list.clone();
        }
        let routes = blueprint.routes();
        if let Fact::Known { value, .. } = &setting.host.interfaces {
            blueprint.interfaces(value, named, &routes);
            blueprint.uplinks = [true, false]
                .into_iter()
                .filter_map(|v4| uplink(&blueprint.devices, &routes, v4))
                .collect();
        }
        blueprint.left_out.push("firewall rules: none are read, and none are in the copy".into());
        blueprint
    }

    fn observe(&mut self, setting: &mut Setting, key: &FactKey) {
        if let Err(missing) = setting.observe(key) {
            let what = match key {
                FactKey::Sysctl(name) => name.to_string(),
                FactKey::Interfaces => "interfaces".into(),
                FactKey::LocalRoutes => "the routes of the table `local`".into(),
                _ => "the range of automatic ports".into(),
            };
            self.left_out.push(format!("{what}: {}", missing.why));
        }
    }

    /// Reads the routes of the table `main`, for its routers, and notes what is not copied.
    fn routes(&mut self) -> Vec<Route> {
        let read = RtNetlink::open().and_then(|mut net| {
            let routes = net.routes(Some(RT_TABLE_MAIN))?;
            // A kernel without policy routing has no rules to leave out.
            let v4 = net.rules(AF_INET).map_or(0, |rules| rules.len().saturating_sub(3));
            let v6 = net.rules(AF_INET6).map_or(0, |rules| rules.len().saturating_sub(2));
            Ok((routes, v4 + v6))
        });
        match read {
            Ok((routes, rules)) => {
                let others = routes.iter().filter(|r| r.gateway.is_some() && r.prefix > 0).count();
                if others > 0 {
                    self.left_out.push(format!("{others} routes through routers"));
                }
                if rules > 0 {
                    self.left_out.push(format!("policy routing: {rules} rules"));
                }
                routes
            }
            Err(error) => {
                self.left_out.push(format!("routes: they cannot be read: {error}"));
                Vec::new()
            }
        }
    }

    fn interfaces(&mut self, interfaces: &Interfaces, named: &[u32], routes: &[Route]) {
        let own: Vec<IpAddr> = interfaces.addresses().map(|(_, a)| a.ip).collect();
        let routers: Vec<IpAddr> = routes.iter().filter_map(|r| r.gateway).collect();
        for interface in &interfaces.list {
            let addresses = self.usable(interface);
            if interface.name == "lo" {
                self.loopback = (interface.up, addresses);
                continue;
            }
            if addresses.is_empty() && !named.contains(&interface.index) {
                continue;
            }
            if interface.vrf != 0 || interface.loopback || self.devices.len() == DEVICES {
                let why = match interface.vrf {
                    0 => "there are too many",
                    _ => "it belongs to a VRF",
                };
                self.left_out.push(format!("interface {}: {why}", interface.name));
                continue;
            }
            let neighbours =
                if interface.up { neighbours(&addresses, &own, &routers) } else { Vec::new() };
            for a in addresses.iter().filter(|_| interface.up) {
                if !neighbours.iter().any(|n| in_subnet(n.0, a.ip, a.prefix)) {
                    self.left_out.push(format!(
                        "a neighbour of {}/{} on {}: it is alone in its subnet",
                        a.ip, a.prefix, interface.name
                    ));
                }
            }
            self.devices.push(Device {
                index: interface.index,
                name: interface.name.to_string(),
                up: interface.up,
                addresses,
                neighbours,
            });
        }
    }

    /// The addresses that can be used; the others are noted.
    fn usable(&mut self, interface: &Interface) -> Vec<IfAddr> {
        let (usable, not): (Vec<IfAddr>, Vec<IfAddr>) =
            interface.addresses.iter().partition(|a| a.state == AddrState::Usable);
        for a in not {
            let why = "it is not ready for use";
            self.left_out.push(format!("{} of {}: {why}", a.ip, interface.name));
        }
        usable
    }
}

fn port_sysctls(ports: &LocalPorts) -> [(String, String); 2] {
    let reserved: Vec<String> = ports.reserved.iter().map(|(a, b)| format!("{a}-{b}")).collect();
    [
        ("net.ipv4.ip_local_port_range".into(), format!("{} {}", ports.low, ports.high)),
        ("net.ipv4.ip_local_reserved_ports".into(), reserved.join(",")),
    ]
}

/// An address for a neighbour in each subnet: a router's where there is one, or the first that
/// is not taken.
fn neighbours(addresses: &[IfAddr], own: &[IpAddr], routers: &[IpAddr]) -> Vec<(IpAddr, u8)> {
    let mut found: Vec<(IpAddr, u8)> = Vec::new();
    for a in addresses {
        let known = |ip: &IpAddr| own.contains(ip) || found.iter().any(|f| f.0 == *ip);
        if found.iter().any(|f| in_subnet(f.0, a.ip, a.prefix)) {
            continue;
        }
        let free = |ip: &IpAddr| in_subnet(*ip, a.ip, a.prefix) && !known(ip);
        let router = routers.iter().copied().find(free);
        let next = || (0..1000).map_while(|n| nth(a.ip, a.prefix, n)).find(free);
        found.extend(router.or_else(next).map(|ip| (ip, a.prefix)));
    }
    found
}

/// The `n`th address of a subnet that a host may have; `None` beyond the last.
fn nth(ip: IpAddr, prefix: u8, n: u32) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let (first, last) = (ip.to_bits() & mask, ip.to_bits() | !mask);
            let (first, last) = if prefix < 31 { (first + 1, last - 1) } else { (first, last) };
            let at = first.checked_add(n)?;
            (at <= last).then(|| Ipv4Addr::from_bits(at).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let (first, last) = (ip.to_bits() & mask, ip.to_bits() | !mask);
            // The first address of a longer subnet means any of its routers.
            let first = if prefix < 127 { first + 1 } else { first };
            let at = first.checked_add(n.into())?;
            (at <= last).then(|| Ipv6Addr::from_bits(at).into())
        }
    }
}

/// Returns whether an address is in the subnet of another.
pub(super) fn in_subnet(ip: IpAddr, other: IpAddr, prefix: u8) -> bool {
    match (ip, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let route = LocalRoute { kind: RouteKind::Other, dst: b, prefix, device: 0 };
            route.covers(a)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        _ => false,
    }
}

/// Returns whether an address is good on one link only.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The device of the default route, or the first one with a neighbour, and that neighbour.
fn uplink(devices: &[Device], routes: &[Route], v4: bool) -> Option<(u32, IpAddr)> {
    let default = routes
        .iter()
        .find(|r| r.prefix == 0 && r.kind == Route::UNICAST && (r.family == AF_INET) == v4);
    let neighbour = |device: &Device| {
        let usable = |n: &&(IpAddr, u8)| n.0.is_ipv4() == v4 && !is_link_local(n.0);
        device.neighbours.iter().find(usable).map(|n| (device.index, n.0))
    };
    let preferred = devices.iter().filter(|d| default.and_then(|r| r.interface) == Some(d.index));
    preferred.chain(devices).find_map(neighbour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ip: &str, prefix: u8) -> IfAddr {
        let ip = ip.parse().unwrap();
        IfAddr { ip, prefix, broadcast: None, state: AddrState::Usable }
    }

    fn neighbour(ip: &str, prefix: u8, routers: &[&str]) -> Option<String> {
        let routers: Vec<IpAddr> = routers.iter().map(|r| r.parse().unwrap()).collect();
        let a = address(ip, prefix);
        neighbours(&[a], &[a.ip], &routers).first().map(|n| n.0.to_string())
    }

    #[test]
    fn neighbours_are_free_addresses_of_the_subnet() {
        for (ip, prefix, routers, expected) in [
            ("192.0.2.10", 24, &[][..], Some("192.0.2.1")),
            ("192.0.2.1", 24, &[], Some("192.0.2.2")),
            ("192.0.2.10", 24, &["198.51.100.1", "192.0.2.254"], Some("192.0.2.254")),
            ("192.0.2.10", 31, &[], Some("192.0.2.11")),
            ("192.0.2.1", 30, &[], Some("192.0.2.2")),
            ("192.0.2.10", 32, &[], None),
            ("10.0.0.1", 8, &[], Some("10.0.0.2")),
            ("2001:db8::1", 64, &[], Some("2001:db8::2")),
            ("2001:db8::", 127, &[], Some("2001:db8::1")),
            ("2001:db8::1", 128, &[], None),
            ("fe80::1", 64, &["fe80::9"], Some("fe80::9")),
        ] {
            assert_eq!(neighbour(ip, prefix, routers).as_deref(), expected, "{ip}/{prefix}");
        }
    }

    #[test]
    fn one_neighbour_serves_a_subnet() {
        let a = [address("192.0.2.1", 24), address("192.0.2.2", 24), address("10.0.0.1", 8)];
        let own: Vec<IpAddr> = a.iter().map(|a| a.ip).collect();
        let found: Vec<String> =
            neighbours(&a, &own, &[]).iter().map(|n| n.0.to_string()).collect();
        assert_eq!(found, ["192.0.2.3", "10.0.0.2"]);
    }
}
