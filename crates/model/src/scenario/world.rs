//! A fresh network namespace as the model knows it, and what `ip` and `sysctl` do to it.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Unsupported,
    format::Setup,
    path::{Leads, Net, Peer},
};
use crate::{
    AddrState, Fact, Host, IfAddr, Interface, Interfaces, Kernel, KernelFamily, LocalPorts,
    LocalRoute, LocalRoutes, RouteKind, Sockets, assumed_host,
    linux::{Buckets, LOWEST_ADDRESS_IS_UNICAST},
};

/// Where the facts of a made-up namespace come from.
const FROM: &str = "the scenario";

/// The links of a namespace, beside the [`Host`] whose interfaces and routes they make.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The other end of each veth interface that is in this namespace too, or elsewhere and up.
    carriers: Vec<(String, Carrier)>,
    /// Devices on which duplicate address detection runs.
    dad: Vec<String>,
    /// Devices that keep IPv6 addresses when they go down.
    keeps_addresses: Vec<String>,
    /// The peer namespace.
    pub(super) peer: Peer,
    /// Routes beside those of the interfaces' networks.
    pub(super) routes: Vec<(Net, Leads)>,
    /// Sysctls that say how packets are received.
    pub(super) settings: Vec<(String, i64)>,
    /// IPv6 networks that are the host's by a route.
    pub(super) local6: Vec<Net>,
}

#[derive(Clone, Debug, PartialEq)]
enum Carrier {
    /// The peer is this interface.
    Peer(String),
    /// The peer is in another namespace, up.
    Elsewhere,
}

/// Returns the host of a scenario: on Linux a fresh namespace with its setup made, elsewhere the
/// one host that the recordings were made on.
///
/// # Errors
/// What of the setup is not understood.
pub fn host_of(kernel: Kernel, setup: &Setup) -> Result<(Host, World), Unsupported> {
    match kernel.family {
        KernelFamily::Linux => namespace(kernel, setup),
        _ => elsewhere(kernel, setup),
    }
}

/// The one host of the recordings of other kernels, with what a setup changes of it.
fn elsewhere(kernel: Kernel, setup: &Setup) -> Result<(Host, World), Unsupported> {
    let mut host = recorded_host(kernel);
    let mut left = setup.clone();
    if left.excluded_port_range && host.kernel.family == KernelFamily::Windows {
        left.excluded_port_range = false;
        host.set_sysctl(crate::windows::EXCLUDED, 1, FROM);
    }
    for (key, value) in core::mem::take(&mut left.sysctl) {
        match (host.sysctls.contains_key(key.as_str()), value.int()) {
            (true, Some(value)) => host.set_sysctl(key, value, FROM),
            _ => return Err(Unsupported(format!("sysctl {key} on another kernel"))),
        }
    }
    match left.is_empty() {
        true => Ok((host, World::default())),
        false => Err(Unsupported("such a setup on another kernel".into())),
    }
}

/// The host of the recordings of macOS: two interfaces and nothing else.
fn recorded_host(kernel: Kernel) -> Host {
    let address = |ip: IpAddr, prefix, state| IfAddr { ip, prefix, broadcast: None, state };
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let doc = |third, last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, last));
    let interface = |index, name: &'static str, addresses| Interface {
        index,
        name: name.into(),
        loopback: name == "lo0",
        up: true,
        vrf: 0,
        addresses,
    };
    let usable = AddrState::Usable;
    let lo0 = alloc::vec![
        address(Ipv4Addr::LOCALHOST.into(), 8, usable),
        address(Ipv6Addr::LOCALHOST.into(), 128, usable),
        address(v4(198, 51, 100, 7), 32, usable),
        address(doc(1, 7), 128, usable),
    ];
    let broadcast = Some(Ipv4Addr::new(192, 0, 2, 255));
    let feth0 = alloc::vec![
        IfAddr { broadcast, ..address(v4(192, 0, 2, 10), 24, usable) },
        address(doc(0, 0x10), 64, AddrState::Tentative),
    ];
    let list = alloc::vec![interface(1, "lo0", lo0), interface(2, "feth0", feth0)];
    let mut host = assumed_host(kernel);
    host.interfaces = Fact::known(Interfaces { list, complete: true }, FROM);
    host
}

fn namespace(kernel: Kernel, setup: &Setup) -> Result<(Host, World), Unsupported> {
    let mut host = Host::not_asked(kernel);
    host.sockets = Sockets::none(FROM);
    host.buckets = Fact::known(Buckets::default(), FROM);
    host.interfaces = Fact::known(Interfaces { list: Vec::new(), complete: true }, FROM);
    host.local_routes =
        Fact::known(LocalRoutes { list: Vec::new(), complete: true, exists: false }, FROM);
    host.local_ports =
        Fact::known(LocalPorts { low: 32768, high: 60999, reserved: Vec::new() }, FROM);
    for (name, value) in [
        ("net.ipv4.ip_unprivileged_port_start", 1024),
        ("net.ipv4.ip_nonlocal_bind", 0),
        ("net.ipv4.ip_autobind_reuse", 0),
        ("net.ipv6.ip_nonlocal_bind", 0),
        ("net.ipv6.bindv6only", 0),
    ] {
        host.set_sysctl(name, value, FROM);
    }
    host.policies = Fact::known(Vec::new(), FROM);
    let mut world = World { peer: Peer::of(setup)?, ..World::default() };
    world.add_link(&mut host, "lo");
    if !setup.lo_down {
        world.set_up(&mut host, "lo", true)?;
    }
    if setup.veth {
        // The other end was made first and moved away.
        world.add_link(&mut host, "v1");
        world.add_link(&mut host, "v0");
        world.remove_link(&mut host, "v1")?;
        world.carriers.push(("v0".into(), Carrier::Elsewhere));
        world.set_up(&mut host, "v0", true)?;
        world.add_address(&mut host, "v0", Ipv4Addr::new(192, 0, 2, 1).into(), 24, true)?;
        let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        world.add_address(&mut host, "v0", ip.into(), 64, true)?;
    }
    for name in &setup.devs {
        let peer = format!("{name}p");
        world.add_veth(&mut host, name, &peer);
        world.set_up(&mut host, name, true)?;
        world.set_up(&mut host, &peer, true)?;
    }
    if setup.excluded_port_range {
        return Err(Unsupported("setup excluded_port_range".into()));
    }
    for (key, value) in &setup.sysctl {
        let value = value.int().map(|n| n.to_string()).or(value.text().map(ToOwned::to_owned));
        world.sysctl(&mut host, key, &value.unwrap_or_default())?;
    }
    for command in &setup.cmds {
        world.command(&mut host, command)?;
    }
    Ok((host, world))
}

impl World {
    pub(super) fn add_veth(&mut self, host: &mut Host, name: &str, peer: &str) {
        // The kernel makes the peer first.
        self.add_link(host, peer);
        self.add_link(host, name);
        self.carriers.push((name.into(), Carrier::Peer(peer.into())));
        self.carriers.push((peer.into(), Carrier::Peer(name.into())));
        self.dad.extend([name.to_string(), peer.to_string()]);
    }

    fn add_link(&mut self, host: &mut Host, name: &str) {
        let list = &mut interfaces(host).list;
        let index = list.iter().map(|i| i.index).max().unwrap_or(0) + 1;
        list.push(Interface {
            index,
            name: name.to_string().into(),
            loopback: name == "lo",
            up: false,
            vrf: 0,
            addresses: Vec::new(),
        });
    }

    pub(super) fn remove_link(&mut self, host: &mut Host, name: &str) -> Result<(), Unsupported> {
        let mut names = alloc::vec![name.to_string()];
        if let Some((_, Carrier::Peer(peer))) = self.carriers.iter().find(|(n, _)| n == name) {
            names.push(peer.clone());
        }
        for name in names {
            let index = link(host, &name)?.index;
            interfaces(host).list.retain(|i| i.index != index);
            routes(host).list.retain(|r| r.device != index);
        }
        Ok(())
    }

    pub(super) fn set_up(
        &mut self,
        host: &mut Host,
        name: &str,
        up: bool,
    ) -> Result<(), Unsupported> {
        let keeps = self.keeps_addresses.iter().any(|n| n == name);
        let interface = link(host, name)?;
        interface.up = up;
        let (index, loopback) = (interface.index, interface.loopback);
        if up {
            if loopback {
                self.add_address(host, name, Ipv4Addr::LOCALHOST.into(), 8, true)?;
                self.add_address(host, name, Ipv6Addr::LOCALHOST.into(), 128, true)?;
            }
            let v4: Vec<_> = link(host, name)?.addresses.clone();
            for a in v4 {
                if let IpAddr::V4(ip) = a.ip {
                    add_routes(host, index, loopback, ip, a.prefix);
                }
            }
        } else {
            if !keeps {
                interface.addresses.retain(|a| a.ip.is_ipv4());
            }
            routes(host).list.retain(|r| r.device != index || r.kind == RouteKind::Local);
        }
        Ok(())
    }

    pub(super) fn add_address(
        &mut self,
        host: &mut Host,
        name: &str,
        ip: IpAddr,
        prefix: u8,
        nodad: bool,
    ) -> Result<(), Unsupported> {
        let ready = nodad || name == "lo" || !self.dad.iter().any(|n| n == name);
        let interface = link(host, name)?;
        let (index, loopback, up) = (interface.index, interface.loopback, interface.up);
        let there = interface.addresses.iter().any(|a| a.ip == ip);
        if !there {
            let state = match ip {
                IpAddr::V6(_) if !ready => AddrState::Tentative,
                _ => AddrState::Usable,
            };
            interface.addresses.push(IfAddr { ip, prefix, broadcast: None, state });
        }
        if let IpAddr::V4(ip) = ip {
            routes(host).exists = true;
            add_route(host, RouteKind::Local, ip, 32, index);
            if up {
                add_routes(host, index, loopback, ip, prefix);
            }
        }
        Ok(())
    }

    pub(super) fn remove_address(
        &mut self,
        host: &mut Host,
        name: &str,
        ip: IpAddr,
    ) -> Result<(), Unsupported> {
        let interface = link(host, name)?;
        let index = interface.index;
        let Some(at) = interface.addresses.iter().position(|a| a.ip == ip) else {
            return Err(Unsupported(format!("{ip} is not on {name}")));
        };
        let gone = interface.addresses.remove(at);
        if let IpAddr::V4(ip) = gone.ip {
            let network =
                LocalRoute { kind: RouteKind::Other, dst: ip, prefix: gone.prefix, device: index };
            routes(host).list.retain(|r| r.device != index || !network.covers(r.dst));
        }
        Ok(())
    }

    pub(super) fn add_local_route(
        &mut self,
        host: &mut Host,
        dst: Ipv4Addr,
        prefix: u8,
        name: &str,
    ) -> Result<(), Unsupported> {
        let index = link(host, name)?.index;
        routes(host).exists = true;
        add_route(host, RouteKind::Local, dst, prefix, index);
        Ok(())
    }

    /// Lets time pass: duplicate address detection ends where there is a link.
    pub(super) fn sleep(&mut self, host: &mut Host, milliseconds: u64) {
        if milliseconds < 2000 {
            return;
        }
        let up: Vec<String> =
            interfaces(host).list.iter().filter(|i| i.up).map(|i| i.name.to_string()).collect();
        let has_link = |name: &str| {
            self.carriers.iter().any(|(n, carrier)| match carrier {
                Carrier::Elsewhere => n == name,
                Carrier::Peer(peer) => n == name && up.contains(peer),
            })
        };
        for interface in &mut interfaces(host).list {
            if interface.up && has_link(&interface.name) {
                for a in &mut interface.addresses {
                    if a.state == AddrState::Tentative {
                        a.state = AddrState::Usable;
                    }
                }
            }
        }
    }

    pub(super) fn sysctl(
        &mut self,
        host: &mut Host,
        key: &str,
        value: &str,
    ) -> Result<(), Unsupported> {
        let unsupported = || Unsupported(format!("sysctl {key}={value}"));
        let number = || value.trim().parse::<i64>().map_err(|_| unsupported());
        let key = key.replace('/', ".");
        let device = |prefix: &str, suffix: &str| {
            key.strip_prefix(prefix)?.strip_suffix(suffix).map(ToOwned::to_owned)
        };
        match key.as_str() {
            "net.ipv4.ip_unprivileged_port_start"
            | "net.ipv4.ip_nonlocal_bind"
            | "net.ipv6.ip_nonlocal_bind"
            | "net.ipv6.bindv6only" => host.set_sysctl(key.clone(), number()?, FROM),
            "net.ipv4.ip_local_port_range" => {
                let mut parts = value.split_whitespace().map(str::parse::<u16>);
                let (Some(Ok(low)), Some(Ok(high))) = (parts.next(), parts.next()) else {
                    return Err(unsupported());
                };
                (ports(host).low, ports(host).high) = (low, high);
            }
            "net.ipv4.ip_local_reserved_ports" => {
                let range = |part: &str| {
                    let (low, high) = part.split_once('-').unwrap_or((part, part));
                    Some((low.parse().ok()?, high.parse().ok()?))
                };
                let list = value.split(',').map(str::trim).filter(|p| !p.is_empty());
                let list: Option<Vec<_>> = list.map(range).collect();
                ports(host).reserved = list.ok_or_else(unsupported)?;
            }
            // It changes how a full queue refuses, not that a SYN is dropped.
            "net.ipv4.tcp_abort_on_overflow" => {}
            // Addresses of a namespace with forwarding gain the subnet's anycast address, which
            // bind does not accept.
            "net.ipv6.conf.all.forwarding" => {}
            "net.ipv6.conf.all.disable_ipv6" if number()? == 1 => {
                for interface in &mut interfaces(host).list {
                    interface.addresses.retain(|a| a.ip.is_ipv4());
                }
            }
            _ => {
                if let Some(name) = device("net.ipv6.conf.", ".accept_dad") {
                    match number()? {
                        0 => self.dad.retain(|n| *n != name),
                        _ => self.dad.push(name),
                    }
                } else if device("net.ipv4.conf.", ".rp_filter").is_some()
                    || device("net.ipv4.conf.", ".route_localnet").is_some()
                {
                    self.settings.push((key.clone(), number()?));
                } else if let Some(name) = device("net.ipv6.conf.", ".keep_addr_on_down") {
                    match number()? {
                        1 => self.keeps_addresses.push(name),
                        _ => self.keeps_addresses.retain(|n| *n != name),
                    }
                } else {
                    return Err(unsupported());
                }
            }
        }
        Ok(())
    }
}

fn add_routes(host: &mut Host, index: u32, loopback: bool, ip: Ipv4Addr, prefix: u8) {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let network = Ipv4Addr::from_bits(ip.to_bits() & mask);
    if loopback {
        add_route(host, RouteKind::Local, network, prefix, index);
    }
    if prefix < 31 {
        let broadcast = Ipv4Addr::from_bits(ip.to_bits() | !mask);
        add_route(host, RouteKind::Broadcast, broadcast, 32, index);
        if host.has(&LOWEST_ADDRESS_IS_UNICAST) == Some(false) {
            add_route(host, RouteKind::Broadcast, network, 32, index);
        }
    }
}

fn add_route(host: &mut Host, kind: RouteKind, dst: Ipv4Addr, prefix: u8, device: u32) {
    let route = LocalRoute { kind, dst, prefix, device };
    let list = &mut routes(host).list;
    if !list.contains(&route) {
        list.push(route);
    }
}

fn link<'a>(host: &'a mut Host, name: &str) -> Result<&'a mut Interface, Unsupported> {
    let found = interfaces(host).list.iter_mut().find(|i| i.name == name);
    found.ok_or_else(|| Unsupported(format!("no interface {name}")))
}

fn interfaces(host: &mut Host) -> &mut Interfaces {
    known(&mut host.interfaces)
}

fn routes(host: &mut Host) -> &mut LocalRoutes {
    known(&mut host.local_routes)
}

fn ports(host: &mut Host) -> &mut LocalPorts {
    known(&mut host.local_ports)
}

fn known<T>(fact: &mut Fact<T>) -> &mut T {
    match fact {
        Fact::Known { value, .. } => value,
        Fact::Missing(missing) => unreachable!("a scenario knows its host: {missing:?}"),
    }
}
