//! Policy rules: which routing tables are consulted, in which order.

use core::net::IpAddr;

use super::{Hop, Network, Route, RouteType, covers};
use crate::{
    Family, Text,
    linux::netfilter::{Port, Tri},
};

/// What a policy rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Action {
    /// Looks into a table.
    Table(u32),
    /// Looks into the table of the VRF that the packet belongs to, if it does.
    Vrf,
    /// Goes on with the rule of this priority.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Ends the search: nowhere.
    Stop(RouteType),
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PolicyRule {
    /// Lower is consulted first.
    pub priority: u32,
    /// What it does.
    pub action: Action,
    /// Whether it is for what does *not* meet the conditions.
    pub inverted: bool,
    /// Only packets from this network.
    pub src: Option<(IpAddr, u8)>,
    /// Only packets to this network.
    pub dst: Option<(IpAddr, u8)>,
    /// Only packets from this device; `lo` for those of this host.
    pub iif: Option<Text>,
    /// Only packets of sockets bound to this device.
    pub oif: Option<Text>,
    /// Only packets with this mark under this mask.
    pub mark: Option<(u32, u32)>,
    /// Only packets of these users, first and last.
    pub uids: Option<(u32, u32)>,
    /// Only packets of this protocol.
    pub protocol: Option<u8>,
    /// Only packets from these ports, first and last.
    pub sport: Option<(u16, u16)>,
    /// Only packets to these ports, first and last.
    pub dport: Option<(u16, u16)>,
    /// Routes of at most this many bits do not count.
    pub suppress: Option<u8>,
    /// Conditions that are not modelled, in words; empty if there are none.
    pub unknown: Text,
}

impl PolicyRule {
    /// A rule that looks into a table, on no condition.
    pub const fn table(priority: u32, table: u32) -> PolicyRule {
        PolicyRule {
            priority,
            action: Action::Table(table),
            inverted: false,
            src: None,
            dst: None,
            iif: None,
            oif: None,
            mark: None,
            uids: None,
            protocol: None,
            sport: None,
            dport: None,
            suppress: None,
            unknown: Text::Borrowed(""),
        }
    }
}

/// What a packet shows to routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where it goes.
    pub dst: IpAddr,
    /// Where it comes from; `None` if that is yet to be chosen.
    pub src: Option<IpAddr>,
    /// The device it came in by; that of `lo` for packets of this host.
    pub iif: u32,
    /// The device it has to leave by, 0 for any.
    pub oif: u32,
    /// Its mark.
    pub mark: u32,
    /// Its protocol.
    pub protocol: u8,
    /// Its ports.
    pub ports: Option<(Port, Port)>,
    /// The user whose socket sends it, if that is known.
    pub uid: Option<u32>,
}

/// Where routing sends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed<'a> {
    /// By this route.
    By(&'a Route),
    /// Nowhere, by a rule or a route of this type.
    Stopped(RouteType),
    /// No table has a route.
    None,
    /// That depends on something.
    Depends(Text),
}

impl Routed<'_> {
    /// The type of the route, if there is one.
    pub fn kind(&self) -> Option<RouteType> {
        match self {
            Routed::By(route) => Some(route.kind),
            _ => None,
        }
    }
}

/// Looks up where a packet goes.
pub fn lookup<'a>(network: &'a Network, flow: &Flow) -> Routed<'a> {
    let rules = network.rules(Family::of(flow.dst));
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        at += 1;
        match applies(network, rule, flow) {
            Tri::No => continue,
            Tri::Depends(why) => return Routed::Depends(why),
            Tri::Yes => {}
        }
        let table = match rule.action {
            Action::Nop => continue,
            Action::Stop(kind) => return Routed::Stopped(kind),
            Action::Goto(priority) => {
                // The kernel allows jumps forward only.
                let Some(target) = rules.iter().skip(at).position(|r| r.priority >= priority)
                else {
                    return Routed::None;
                };
                at += target;
                continue;
            }
            Action::Table(table) => table,
            Action::Vrf => match vrf(network, flow) {
                Some(table) => table,
                None => continue,
            },
        };
        let found = network.routes.lookup(table, flow.dst, flow.src, flow.oif, rule.suppress);
        match found {
            None => continue,
            Some(Route { kind: RouteType::Throw, .. }) => continue,
            Some(route) => {
                return match route.kind {
                    RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit => {
                        Routed::Stopped(route.kind)
                    }
                    _ => Routed::By(route),
                };
            }
        }
    }
    Routed::None
}

/// The table of the VRF that the packet's device belongs to.
fn vrf(network: &Network, flow: &Flow) -> Option<u32> {
    let of = |index| network.vrf_of(index).and_then(|vrf| vrf.vrf_table);
    of(flow.oif).or_else(|| of(flow.iif))
}

fn applies(network: &Network, rule: &PolicyRule, flow: &Flow) -> Tri {
    let name = |index: u32| network.device(index).map_or("", |device| device.name.as_ref());
    let within = |net: &Option<(IpAddr, u8)>, ip: Option<IpAddr>| match (net, ip) {
        (None, _) => true,
        (Some((_, 0)), _) => true,
        (Some((net, prefix)), Some(ip)) => covers(*net, *prefix, ip),
        (Some(_), None) => false,
    };
    let port = |range: Option<(u16, u16)>, which: fn((Port, Port)) -> Port| match range {
        None => Tri::Yes,
        Some((low, high)) => flow.ports.map_or(Tri::No, |ports| which(ports).within(low, high)),
    };
    let plain = within(&rule.src, flow.src)
        && within(&rule.dst, Some(flow.dst))
        && rule.iif.as_ref().is_none_or(|iif| iif == name(flow.iif))
        && rule.oif.as_ref().is_none_or(|oif| flow.oif != 0 && oif == name(flow.oif))
        && rule.mark.is_none_or(|(mark, mask)| (flow.mark ^ mark) & mask == 0)
        && rule.protocol.is_none_or(|protocol| protocol == flow.protocol);
    let uids = || match (rule.uids, flow.uid) {
        (None, _) => Tri::Yes,
        (Some((low, high)), Some(uid)) => Tri::from((low..=high).contains(&uid)),
        (Some(_), None) => Tri::Depends("the user who sends".into()),
    };
    let unknown = || match rule.unknown.as_ref() {
        "" => Tri::Yes,
        what => Tri::Depends(alloc::format!("{what} in policy rule {}", rule.priority).into()),
    };
    Tri::from(plain)
        .and(|| port(rule.sport, |p| p.0))
        .and(|| port(rule.dport, |p| p.1))
        .and(uids)
        .and(unknown)
        .negated(rule.inverted)
}

/// The device that a route's packet leaves by, the first of several.
pub fn first_way(route: &Route, oif: u32) -> Option<Hop> {
    route.ways(oif).next().copied()
}
