//! From where an endpoint is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{Host, IfAddr, RouteKind};
use portwise_sys::rtnetlink::RtNetlink;

use super::{
    blueprint::{Blueprint, in_subnet, is_link_local},
    report::{From, Vantage},
    stage::{Stage, far_addresses, peer},
};

/// How many addresses of the host are connected to.
const ADDRESSES: usize = 16;

/// The loopback interface, which has this number in every network namespace.
const LO: u32 = 1;

/// A vantage, with what it takes to use it.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) vantage: Vantage,
    /// The device over which packets arrive, as the host's lookup sees it.
    pub(super) arrives_on: u32,
    /// The device that has the address.
    device: u32,
}

/// The vantages: of the host itself, and in a copy those beyond its links.
pub(super) fn all(blueprint: &Blueprint, host: &Host, asked: &[IpAddr], here: bool) -> Vec<Point> {
    let mut points = loopback(&blueprint.loopback.1);
    let own = own(blueprint, host, asked);
    points.extend(own.iter().enumerate().map(|(i, owned)| owned.point(i + 1, From::Host)));
    if here {
        return points;
    }
    for (i, owned) in own.iter().enumerate() {
        let device = blueprint.devices.iter().find(|d| d.index == owned.index);
        let neighbours = device.map_or(&[][..], |d| d.neighbours.as_slice());
        let source = neighbours.iter().find(|n| in_subnet(n.0, owned.ip, owned.prefix));
        if let Some((source, _)) = source {
            let mut point = owned.point(i + 1, From::Neighbour);
            point.vantage.source = Some(*source);
            points.push(point);
        }
    }
    let sources = far_addresses(blueprint);
    for (device, router) in &blueprint.uplinks {
        let source = sources.iter().find(|s| s.is_ipv4() == router.is_ipv4());
        let reached = own.iter().find(|o| {
            o.index == *device && o.ip.is_ipv4() == router.is_ipv4() && !is_link_local(o.ip)
        });
        let number = if router.is_ipv4() { 4 } else { 6 };
        let Some((owned, source)) = reached.zip(source) else { continue };
        let mut point = owned.point(number, From::Far);
        point.vantage.source = Some(*source);
        points.push(point);
    }
    points
}

/// An address of the host that others may reach.
struct Owned {
    ip: IpAddr,
    prefix: u8,
    index: u32,
    device: String,
}

impl Owned {
    fn point(&self, number: usize, from: From) -> Point {
        let word = match from {
            From::Host => "own",
            From::Neighbour => "near",
            From::Far => "far",
        };
        Point {
            vantage: Vantage {
                name: format!("{word}{number}"),
                from,
                ip: self.ip,
                device: Some(self.device.clone()),
                source: None,
            },
            // Also what the host sends to itself, which never leaves it.
            arrives_on: self.index,
            device: self.index,
        }
    }
}

fn loopback(addresses: &[IfAddr]) -> Vec<Point> {
    let known: [(&str, IpAddr); 2] =
        [("lo4", Ipv4Addr::LOCALHOST.into()), ("lo6", Ipv6Addr::LOCALHOST.into())];
    let there = known.into_iter().filter(|(_, ip)| addresses.iter().any(|a| a.ip == *ip));
    let point = |(name, ip): (&str, IpAddr)| Point {
        vantage: Vantage {
            name: name.into(),
            from: From::Host,
            ip,
            device: Some("lo".into()),
            source: None,
        },
        arrives_on: LO,
        device: LO,
    };
    there.map(point).collect()
}

/// The addresses of the host, but for the two loopback addresses: those of its interfaces, and
/// those asked for that a route makes its own.
fn own(blueprint: &Blueprint, host: &Host, asked: &[IpAddr]) -> Vec<Owned> {
    let is_plain = |ip: IpAddr| ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
    let lo = blueprint.loopback.1.iter().map(|a| (LO, "lo", a));
    let devices = blueprint.devices.iter().filter(|d| d.up);
    let others = devices.flat_map(|d| d.addresses.iter().map(move |a| (d.index, &*d.name, a)));
    let mut own: Vec<Owned> = Vec::new();
    for (index, device, a) in others.chain(lo).filter(|(_, _, a)| !is_plain(a.ip)) {
        own.push(Owned { ip: a.ip, prefix: a.prefix, index, device: device.into() });
    }
    own.truncate(ADDRESSES);
    for &ip in asked {
        let IpAddr::V4(v4) = ip else { continue };
        let route = host.local_routes.value().and_then(|routes| routes.lookup(v4));
        let Some(route) = route.filter(|r| r.kind == RouteKind::Local) else { continue };
        if is_plain(ip) || own.iter().any(|o| o.ip == ip) {
            continue;
        }
        let name =
            |i: &portwise_model::Interfaces| i.by_index(route.device).map(|i| i.name.to_string());
        let device = host.interfaces.value().and_then(name).unwrap_or_default();
        own.push(Owned { ip, prefix: 32, index: route.device, device });
    }
    own
}

impl Point {
    /// The device to name when connecting from there, 0 for none.
    pub(super) fn client_device(&self, stage: Option<&Stage>) -> u32 {
        match self.vantage.from {
            From::Host if is_link_local(self.vantage.ip) => self.device,
            From::Host | From::Far => 0,
            From::Neighbour => {
                let name = peer(self.device);
                let room = stage.and_then(|stage| stage.neighbour.as_ref());
                let index = room.and_then(|room| room.run(move || index(&name)));
                index.unwrap_or(0)
            }
        }
    }
}

/// The number of an interface in the network namespace of this thread.
fn index(name: &str) -> Option<u32> {
    let links = RtNetlink::open().and_then(|mut net| net.links()).ok()?;
    links.into_iter().find(|link| link.name == name).map(|link| link.index)
}
