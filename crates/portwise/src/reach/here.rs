//! This host as the client of an address.

use std::net::IpAddr;

use portwise_model::linux::route::{Flow, Network, Routed, first_way, lookup};

use super::{From, Kind, Reaching, View, is_wildcard};
use crate::endpoint::Target;

/// The address that a program of `uid` on this host sends from, if a route leads to `to`.
pub(super) fn here(network: &Network, to: IpAddr, uid: u32) -> Option<From> {
    let lo = network.loopback()?;
    let local = |ip: IpAddr| From { ip, device: Some(lo.name.to_string()) };
    if to.is_loopback() || network.has_address(to) {
        return Some(local(to));
    }
    let flow = Flow {
        dst: to,
        src: None,
        iif: lo.index,
        oif: 0,
        mark: 0,
        protocol: 6,
        ports: None,
        uid: Some(uid),
    };
    let Routed::By(route) = lookup(network, &flow) else { return None };
    let hop = first_way(route, 0)?;
    let is_link = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let on = network.addresses.iter().filter(|address| address.device == hop.device);
    let mut fits = on.filter(|a| a.ip.is_ipv4() == to.is_ipv4() && !is_link(a.ip));
    let near = |ip: IpAddr| fits.clone().find(|address| address.is_neighbour(ip));
    let next = hop.gateway.filter(|gateway| gateway.is_ipv4() == to.is_ipv4()).unwrap_or(to);
    let chosen = route.prefers.or_else(|| near(next).map(|a| a.ip));
    chosen.or_else(|| fits.next().map(|a| a.ip)).map(local)
}

impl Reaching<'_> {
    /// This host as the client of `to`: `None` if no route leads there.
    pub(crate) fn here(&self, to: IpAddr) -> Option<From> {
        here(&self.traffic.network, to, self.setting.subject.uid)
    }

    /// The vantages for an address of another host: this host, and if it sends packets of others
    /// on, those that `views` are of. `views` itself for an address of this host.
    pub fn elsewhere(&self, target: &Target, views: Vec<View>) -> Vec<View> {
        let network = &self.traffic.network;
        if is_wildcard(target.ip) || target.ip.is_loopback() || network.has_address(target.ip) {
            return views;
        }
        let Some(from) = self.here(target.ip) else { return views };
        let own = View { kind: Kind::Client, from, target: target.clone() };
        let forwards = network.devices.iter().any(|device| !device.loopback && device.forwarding);
        let others = views.into_iter().filter(|_| forwards);
        [own].into_iter().chain(others).collect()
    }
}
