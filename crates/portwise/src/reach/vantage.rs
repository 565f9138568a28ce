//! The kinds of places that packets to this host come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::linux::route::{Address, Device, Network, RouteType};

use super::{From, is_wildcard};
use crate::endpoint::{Target, shown};

/// A kind of place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This host, over the loopback interface.
    Loopback,
    /// This host, to an address of its own that others can see.
    Own,
    /// This host, to another one.
    Client,
    /// A neighbour on an interface.
    Neighbour,
    /// A network of containers or virtual machines: behind a bridge of this host.
    Bridge,
    /// The namespace at the other end of a pair of interfaces.
    Namespace,
    /// Beyond the router.
    Beyond,
    /// Addresses that rules name, as they are written there.
    Named(String),
}

impl Kind {
    /// Whether it is this host itself.
    pub const fn is_here(&self) -> bool {
        matches!(self, Kind::Loopback | Kind::Own | Kind::Client)
    }

    /// The kind in few words, this host as one; `device` is the interface.
    pub(super) fn short(&self, device: &str) -> String {
        match self {
            Kind::Loopback | Kind::Own | Kind::Client => "this host".into(),
            Kind::Neighbour => format!("neighbours on {device}"),
            Kind::Bridge => format!("what is behind the bridge {device}"),
            Kind::Namespace => format!("the namespace behind {device}"),
            Kind::Beyond => format!("whoever is beyond the router on {device}"),
            Kind::Named(who) => format!("{who} on {device}, whom rules name"),
        }
    }

    /// The kind in words; `device` is the interface.
    pub fn words(&self, device: &str) -> String {
        match self {
            Kind::Loopback => "this host, over loopback".into(),
            Kind::Own => "this host, to its own address (other hosts meet other rules)".into(),
            Kind::Client => "this host".into(),
            Kind::Neighbour => format!("a neighbour on {device}"),
            Kind::Bridge => format!("behind the bridge {device}"),
            Kind::Namespace => format!("the namespace behind {device}"),
            Kind::Beyond => format!("beyond the router on {device}"),
            Kind::Named(who) => format!("{who} on {device}, whom rules name"),
        }
    }
}

/// A vantage that exists here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What kind of place.
    pub kind: Kind,
    /// From where.
    pub from: From,
    /// Where to.
    pub target: Target,
}

/// Addresses for documentation: nobody's, so those of somebody far away.
const FAR4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 51, 100, 77), Ipv4Addr::new(203, 0, 113, 77), Ipv4Addr::new(192, 0, 2, 77)];
const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x77);

/// The vantages for a target, nearest first.
pub(super) fn views(network: &Network, target: &Target) -> Vec<View> {
    let mut found = Vec::new();
    let wants = |ip: IpAddr| match target.dual_stack {
        Some(true) => true,
        _ => ip.is_ipv4() == target.ip.is_ipv4(),
    };
    let is_any = is_wildcard(target.ip);
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let fits = if is_any { wants(ip) } else { target.ip.is_loopback() && wants(ip) };
        if fits && network.loopback().is_some() {
            let to = if is_any { ip } else { target.ip };
            found.push(view(Kind::Loopback, ip, "lo", to, target));
        }
    }
    if !is_any && !target.ip.is_loopback() && network.has_address(target.ip) {
        found.push(view(Kind::Own, target.ip, "lo", target.ip, target));
    }
    for device in network.devices.iter().filter(|d| d.up && !d.loopback && d.master == 0) {
        for own in addresses(network, device, wants) {
            let to = if is_any { own.ip } else { target.ip };
            if is_any {
                found.push(view(Kind::Own, own.ip, "lo", own.ip, target));
            }
            if let Some(neighbour) = neighbour(network, own) {
                found.push(view(kind(device), neighbour, &device.name, to, target));
            }
            if let Some(far) = beyond(network, device, own.ip) {
                found.push(view(Kind::Beyond, far, &device.name, to, target));
            }
        }
    }
    found
}

/// This host, to an address of its own.
pub(super) fn own(ip: IpAddr, target: &Target) -> View {
    let kind = if ip.is_loopback() { Kind::Loopback } else { Kind::Own };
    view(kind, ip, "lo", ip, target)
}

fn view(kind: Kind, from: IpAddr, device: &str, to: IpAddr, target: &Target) -> View {
    let target =
        Target { ip: to, shown: shown(to, None, target.port), dual_stack: None, ..target.clone() };
    View { kind, from: From { ip: from, device: Some(device.into()) }, target }
}

fn kind(device: &Device) -> Kind {
    match device.kind.as_ref() {
        "bridge" => Kind::Bridge,
        "veth" if device.peer_netns.is_some() => Kind::Namespace,
        _ => Kind::Neighbour,
    }
}

/// The first address of each family that reaches as far as any on the device.
fn addresses<'a>(
    network: &'a Network,
    device: &Device,
    wants: impl Fn(IpAddr) -> bool,
) -> Vec<&'a Address> {
    let is_link = |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let on: Vec<&Address> =
        network.addresses.iter().filter(|a| a.device == device.index && !is_link(a.ip)).collect();
    let first = |v6: bool| on.iter().find(|a| a.ip.is_ipv6() == v6 && wants(a.ip)).copied();
    [first(false), first(true)].into_iter().flatten().collect()
}

/// A neighbour that is known, else one that there may be.
fn neighbour(network: &Network, own: &Address) -> Option<IpAddr> {
    let fits = |ip: IpAddr| own.is_neighbour(ip) && !network.has_address(ip);
    let known = network.neighbours.iter().find(|n| n.1 == own.device && fits(n.0));
    if let Some((ip, _, _)) = known {
        return Some(*ip);
    }
    (1..=4).find_map(|n| {
        let ip = match own.ip {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ n).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() ^ u128::from(n)).into(),
        };
        let kind = portwise_model::linux::route::local_type(network, ip, 0);
        (fits(ip) && !is_network(ip, own.prefix) && kind == RouteType::Unicast).then_some(ip)
    })
}

/// Whether an address stands for its network: nobody has that one, where there are others.
fn is_network(ip: IpAddr, prefix: u8) -> bool {
    match ip {
        IpAddr::V4(ip) => prefix < 31 && ip.to_bits() << prefix.min(31) == 0,
        IpAddr::V6(ip) => prefix < 127 && ip.to_bits() << prefix.min(127) == 0,
    }
}

/// An address far away, if the way there leads over the device.
fn beyond(network: &Network, device: &Device, own: IpAddr) -> Option<IpAddr> {
    let is_default = |ip: IpAddr| {
        let table = 254;
        network.routes.lookup(table, ip, None, 0, None).is_some_and(|route| {
            route.prefix == 0 && route.ways(0).any(|hop| hop.device == device.index)
        })
    };
    match own {
        IpAddr::V4(_) => FAR4.into_iter().map(IpAddr::V4).find(|&ip| is_default(ip)),
        IpAddr::V6(_) => Some(IpAddr::V6(FAR6)).filter(|&ip| is_default(ip)),
    }
}
