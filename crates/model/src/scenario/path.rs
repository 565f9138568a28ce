//! The way of a packet to the host of a scenario: from itself, or over `v0` from the peer
//! namespace. What is not understood here is said to be so.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Unsupported, format::Setup, world::World};
use crate::{Errno, Host, Outcome, RouteKind};

/// How a packet fares.
pub(super) enum Way {
    /// It reaches the socket layer, from this address and on this interface; whether it is for
    /// everybody there.
    Arrives(IpAddr, u32, bool),
    /// It ends before, and the client gets this.
    Ends(Outcome),
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Net {
    ip: IpAddr,
    prefix: u8,
}

impl Net {
    /// Reads `ADDRESS/LENGTH` or `ADDRESS`.
    pub(super) fn parse(text: &str) -> Option<Net> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip.parse().ok()?, prefix.parse().ok()?),
            None => {
                let ip: IpAddr = text.parse().ok()?;
                (ip, if ip.is_ipv4() { 32 } else { 128 })
            }
        };
        Some(Net { ip, prefix })
    }

    fn covers(&self, ip: IpAddr) -> bool {
        let (a, b, bits) = match (self.ip, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let shift = bits - u32::from(self.prefix);
        (a ^ b).checked_shr(shift).unwrap_or(0) == 0
    }
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leads {
    /// Over this interface.
    Over(String),
    /// To a neighbour with this address.
    Via(IpAddr),
    /// Into nothing.
    Nowhere,
}

/// The peer namespace: its addresses on `v1`, the networks it reaches over the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    addresses: Vec<Net>,
    routes: Vec<Net>,
}

impl Peer {
    /// The peer of a setup.
    pub(super) fn of(setup: &Setup) -> Result<Peer, Unsupported> {
        let mut peer = Peer::default();
        if setup.veth {
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
            peer.addresses.push(Net { ip: Ipv4Addr::new(192, 0, 2, 2).into(), prefix: 24 });
            peer.addresses.push(Net { ip: v6.into(), prefix: 64 });
        }
        for line in &setup.peer_cmds {
            let said = || Unsupported(format!("peer command `{}`", line.trim()));
            for command in line.split([';', '\n']).flat_map(|part| part.split("&&")) {
                peer.command(command).ok_or_else(said)?;
            }
        }
        Ok(peer)
    }

    fn command(&mut self, line: &str) -> Option<()> {
        let line = line.split("||").next().unwrap_or_default();
        let words: Vec<&str> =
            line.split_whitespace().filter(|w| !matches!(*w, "-4" | "-6")).collect();
        match words.as_slice() {
            ["ip", "addr" | "address", "add", net, "dev", "v1", ..] => {
                self.addresses.push(Net::parse(net)?);
            }
            ["ip", "route", "add", net, "via", ..] => self.routes.push(Net::parse(net)?),
            // So that it sends to an address which is its own as well.
            ["ip", "addr" | "address", "del", _, "dev", "lo"]
            | ["ip", "route", "del", "local", _, "dev", "lo", ..] => {}
            ["sysctl", _, "net.ipv4.conf.all.route_localnet=1"] => {}
            [] => {}
            _ => return None,
        }
        Some(())
    }
}

impl World {
    /// The way of a packet to `dst` from the peer namespace, from `src` if that is given.
    pub(super) fn way_of_peer(
        &self,
        host: &Host,
        src: Option<IpAddr>,
        dst: IpAddr,
    ) -> Result<Way, Unsupported> {
        let on_link = |ip: IpAddr| self.peer.addresses.iter().find(|net| net.covers(ip));
        if on_link(dst).is_none() && !self.peer.routes.iter().any(|net| net.covers(dst)) {
            return Err(Unsupported(format!("the peer has no route to {dst}")));
        }
        let src = match src {
            Some(src) => src,
            None => {
                let same = |net: &&Net| net.ip.is_ipv4() == dst.is_ipv4();
                let near = on_link(dst).or_else(|| self.peer.addresses.iter().find(same));
                near.ok_or_else(|| Unsupported("the peer has no address".into()))?.ip
            }
        };
        let v0 = interface(host, "v0")?;
        let timeout = Ok(Way::Ends(Outcome::Errno(Errno::ETIMEDOUT)));
        if !is_own(host, dst) {
            return match on_link(dst) {
                Some(_) => Ok(Way::Ends(Outcome::Errno(Errno::EHOSTUNREACH))),
                None => Err(Unsupported(format!("{dst} is not the host's"))),
            };
        }
        if dst.is_loopback() && (dst.is_ipv6() || !self.is_set("route_localnet", "v0")) {
            return timeout;
        }
        // The answer has to find its way, and the reverse path filter asks before.
        let back = self.route(host, src);
        let strict = self.value("rp_filter", "all").max(self.value("rp_filter", "v0"));
        let passes = match (&back, strict, dst) {
            (_, 0, _) | (_, _, IpAddr::V6(_)) => true,
            (Some(Leads::Over(device)), 1, _) => device == "v0",
            (Some(Leads::Over(_)), _, _) => true,
            _ => false,
        };
        match back {
            Some(Leads::Over(device)) if passes && device == "v0" => {
                Ok(Way::Arrives(src, v0, false))
            }
            Some(Leads::Over(_)) if passes => {
                Err(Unsupported("an answer that takes another way".into()))
            }
            _ => timeout,
        }
    }

    /// Whether a route makes the IPv6 address `ip` the host's.
    pub(super) fn has_local6(&self, ip: IpAddr) -> bool {
        self.local6.iter().any(|net| net.covers(ip))
    }

    /// The route to `ip`, its neighbour's interface named: the longest prefix wins.
    fn route(&self, host: &Host, ip: IpAddr) -> Option<Leads> {
        let direct = host.interfaces.value()?.addresses().filter(|(i, _)| i.up && !i.loopback);
        let direct = direct.map(|(interface, a)| {
            (Net { ip: a.ip, prefix: a.prefix }, Leads::Over(interface.name.to_string()))
        });
        let all = self.routes.iter().cloned().chain(direct);
        let best = all.filter(|(net, _)| net.covers(ip)).max_by_key(|(net, _)| net.prefix)?;
        match best.1 {
            Leads::Via(gateway) if gateway != ip => self.route(host, gateway),
            Leads::Via(_) => None,
            leads => Some(leads),
        }
    }

    fn is_set(&self, key: &str, device: &str) -> bool {
        self.value(key, "all") != 0 || self.value(key, device) != 0
    }

    fn value(&self, key: &str, device: &str) -> i64 {
        let name = format!("net.ipv4.conf.{device}.{key}");
        self.settings.iter().rev().find(|(there, _)| *there == name).map_or(0, |(_, value)| *value)
    }
}

fn is_own(host: &Host, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let route = host.local_routes.value().and_then(|routes| routes.lookup(ip));
            route.is_some_and(|route| route.kind == RouteKind::Local)
        }
        ip => host.interfaces.value().is_some_and(|i| i.addresses().any(|(_, a)| a.ip == ip)),
    }
}

fn interface(host: &Host, name: &str) -> Result<u32, Unsupported> {
    let found = host.interfaces.value().and_then(|i| i.by_name(name)).filter(|i| i.up);
    found.map(|i| i.index).ok_or_else(|| Unsupported(format!("{name} is not up")))
}
