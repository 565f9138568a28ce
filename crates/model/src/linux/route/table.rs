//! Routing tables: the longest prefix wins, then the lowest metric.

use alloc::{collections::BTreeMap, vec::Vec};
use core::net::IpAddr;

use super::covers;
use crate::Family;

/// What a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum RouteType {
    /// To a neighbour.
    Unicast,
    /// To this host.
    Local,
    /// To this host, as a broadcast.
    Broadcast,
    /// To this host, by an anycast address (IPv6).
    Anycast,
    /// To the members of a group.
    Multicast,
    /// Nowhere, in silence.
    Blackhole,
    /// Nowhere: the sender is told that the host cannot be reached.
    Unreachable,
    /// Nowhere: the sender is told that it is prohibited.
    Prohibit,
    /// On with the next policy rule.
    Throw,
    /// Another one.
    Other,
}

/// One way of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hop {
    /// The index of the device.
    pub device: u32,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// Whether it is out of use.
    pub dead: bool,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Route {
    /// What it does.
    pub kind: RouteType,
    /// The network it is for.
    pub dst: IpAddr,
    /// The length of its prefix, in bits.
    pub prefix: u8,
    /// Only for packets from this network (IPv6).
    pub src: Option<(IpAddr, u8)>,
    /// Only for packets with this type of service, 0 for any.
    pub tos: u8,
    /// Lower wins.
    pub metric: u32,
    /// Its ways; several for a multipath route, none for one that leads nowhere.
    pub hops: Vec<Hop>,
    /// The source address it prefers.
    pub prefers: Option<IpAddr>,
}

impl Route {
    /// The ways that a packet bound to `device` (0 for none) may take.
    pub fn ways(&self, device: u32) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(move |hop| !hop.dead && (device == 0 || hop.device == device))
    }

    fn leads_nowhere(&self) -> bool {
        use RouteType::{Blackhole, Prohibit, Throw, Unreachable};
        matches!(self.kind, Blackhole | Prohibit | Throw | Unreachable)
    }
}

/// The routes of one table and family, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Table {
    /// Those of one prefix length, by network, best first.
    by_length: BTreeMap<u8, BTreeMap<IpAddr, Vec<Route>>>,
}

/// Every routing table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Routes {
    tables: Vec<((Family, u32), Table)>,
}

impl Routes {
    /// Adds a route to a table.
    pub fn add(&mut self, table: u32, route: Route) {
        let key = (Family::of(route.dst), table);
        let at = self.tables.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
            self.tables.push((key, Table::default()));
            self.tables.len() - 1
        });
        let net = network(route.dst, route.prefix);
        let by_length = self.tables[at].1.by_length.entry(route.prefix).or_default();
        let same = by_length.entry(net).or_default();
        // A higher type of service comes first, then a lower metric, then age.
        let rank = |r: &Route| (core::cmp::Reverse(r.tos), r.metric);
        let at = same.partition_point(|r| rank(r) <= rank(&route));
        same.insert(at, route);
    }

    /// Whether a table of the family exists.
    pub fn has_table(&self, family: Family, table: u32) -> bool {
        self.tables.iter().any(|(key, _)| *key == (family, table))
    }

    /// The route of `table` for a packet to `dst`; `device` is the one it has to leave by, 0 for
    /// any. Routes with a prefix of at most `suppress` bits do not count.
    pub fn lookup(
        &self,
        table: u32,
        dst: IpAddr,
        src: Option<IpAddr>,
        device: u32,
        suppress: Option<u8>,
    ) -> Option<&Route> {
        let family = Family::of(dst);
        let (_, table) = self.tables.iter().find(|(key, _)| *key == (family, table))?;
        for (&length, nets) in table.by_length.iter().rev() {
            let Some(list) = nets.get(&network(dst, length)) else { continue };
            let fits = |route: &&Route| {
                route.tos == 0
                    && route.src.is_none_or(|(net, prefix)| {
                        prefix == 0 || src.is_some_and(|src| covers(net, prefix, src))
                    })
                    && (route.leads_nowhere() || route.ways(device).next().is_some())
            };
            let Some(best) = list.iter().find(fits) else { continue };
            return Some(best).filter(|_| suppress.is_none_or(|limit| length > limit));
        }
        None
    }

    /// Every route of a family, with its table.
    pub fn all(&self, family: Family) -> impl Iterator<Item = (u32, &Route)> {
        self.tables.iter().filter(move |((f, _), _)| *f == family).flat_map(|((_, id), table)| {
            let lists = table.by_length.values().flat_map(|nets| nets.values().flatten());
            lists.map(move |route| (*id, route))
        })
    }
}

/// The address with all bits behind the prefix cleared.
fn network(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}
