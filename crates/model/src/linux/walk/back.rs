//! The way of an answer back to its client.

use alloc::format;
use core::net::IpAddr;

use super::{On, Way, answer::recognised, inbound::flow};
use crate::{
    ReachOutcome, Stopper, WayEnd,
    linux::{
        netfilter::{Hook, Packet},
        route::{Address, Flow, RouteType, Routed, first_way, lookup},
    },
};

/// By which device an answer has to leave; 0 for any.
#[derive(Clone, Copy)]
pub(super) struct Leaves {
    /// When it is routed first.
    pub(super) first_by: u32,
    /// The one that its socket is bound to.
    pub(super) bound: u32,
}

impl Leaves {
    pub(super) const fn bound(bound: u32) -> Leaves {
        Leaves { first_by: 0, bound }
    }
}

/// Where routing sends an answer.
#[derive(Clone, Copy)]
struct Back {
    device: u32,
    /// Whether the route is one for everything.
    by_default: bool,
}

impl Way<'_, '_> {
    /// Sends a packet of this host back to where `first` came from.
    pub(super) fn send_back(
        &mut self,
        first: &Packet,
        mut answer: Packet,
        leaves: Leaves,
        uid: Option<u32>,
    ) -> On {
        let network = self.scene.network;
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let vrf = network.vrf_of(first.iif).map_or(0, |vrf| vrf.index);
        let oif = match leaves.bound {
            0 if is_link_local(answer.tuple.dst) && first.iif != lo => first.iif,
            0 => vrf,
            bound => bound,
        };
        let first_oif = if leaves.first_by == 0 { oif } else { leaves.first_by };
        let asked = Flow { iif: lo, oif: first_oif, mark: 0, uid, ..flow(&answer) };
        let mut back = self.back_route(&asked, first.iif)?;
        answer.oif = back.device;
        let mut routed_to = answer.tuple.dst;
        let stopped = self.hook(Hook::Output, &mut answer);
        // Rules that follow see only what could be routed again.
        for (mark, tuple) in core::mem::take(&mut answer.route_again) {
            let then = Packet { tuple, ..answer.clone() };
            let again = Flow { iif: lo, oif, mark, uid, ..flow(&then) };
            back = self.back_route(&again, first.iif)?;
            answer.oif = back.device;
            routed_to = tuple.dst;
        }
        self.pass_back(stopped)?;
        let stopped = self.hook(Hook::Postrouting, &mut answer);
        self.pass_back(stopped)?;
        let name = self.name(answer.oif);
        let chains = self.scene.rules.at(Hook::Egress, answer.is_v6(), Some(&name));
        let stopped = self.chains(&chains, Hook::Egress, &mut answer);
        self.pass_back(stopped)?;
        if answer.oif != lo && network.has_address(routed_to) {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
            let note = format!("the answer leaves by {name}, and the client is this host");
            return Err(WayEnd { note: note.into(), ..end });
        }
        self.ct_mark = Some(answer.connection.mark);
        if answer.oif != lo {
            self.goes_back(&answer, back)?;
            return recognised(first, &answer);
        }
        if self.question.vantage.device != lo {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
            return Err(WayEnd { note: "the answer is routed to this host itself".into(), ..end });
        }
        (answer.iif, answer.oif, answer.owner) = (lo, 0, None);
        let name = self.name(lo);
        let chains = self.scene.rules.at(Hook::Ingress, answer.is_v6(), Some(&name));
        let stopped = self.chains(&chains, Hook::Ingress, &mut answer);
        self.pass_back(stopped)?;
        for hook in [Hook::Prerouting, Hook::Input] {
            let stopped = self.hook(hook, &mut answer);
            self.pass_back(stopped)?;
        }
        self.ct_mark = Some(answer.connection.mark);
        recognised(first, &answer)
    }

    /// An answer that only the route for everything leads elsewhere, such as into a tunnel, does not
    /// come to a client behind another device, unless both devices are in one network. A route for
    /// the client's own network may lead to it by another way.
    fn goes_back(&mut self, answer: &Packet, back: Back) -> On {
        let network = self.scene.network;
        let by = self.question.vantage.device;
        let is_v6 = answer.is_v6();
        let counts = move |own: &Address| own.ip.is_ipv6() == is_v6 && !is_link_local(own.ip);
        let on = |device| {
            network.addresses.iter().filter(move |own| own.device == device && counts(own))
        };
        let is_near = on(by).any(|a| on(answer.oif).any(|b| a.is_neighbour(b.ip)));
        if answer.oif == by || !back.by_default || is_near || self.is_loopback(by) {
            return Ok(());
        }
        let (to, by) = (self.name(answer.oif), self.name(by));
        let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
        let note = format!("the answer leaves by {to}, and the client is behind {by}");
        Err(WayEnd { note: note.into(), ..end })
    }

    /// The device an answer leaves by.
    fn back_route(&mut self, asked: &Flow, arrived_by: u32) -> On<Back> {
        let network = self.scene.network;
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let lost = |note: alloc::string::String| {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
            Err(WayEnd { note: note.into(), ..end })
        };
        let dst = asked.dst;
        match lookup(network, asked) {
            Routed::By(route) if matches!(route.kind, RouteType::Local | RouteType::Anycast) => {
                Ok(Back { device: lo, by_default: false })
            }
            Routed::By(route) => {
                // Of several ways it may take the one that leads back.
                let back = route.ways(asked.oif).find(|hop| hop.device == arrived_by);
                let hop = back.copied().or_else(|| first_way(route, asked.oif));
                let Some(hop) = hop else { return lost(format!("no route leads back to {dst}")) };
                // Two halves of everything are everything too.
                Ok(Back { device: hop.device, by_default: route.prefix <= 1 })
            }
            Routed::Depends(why) => Err(WayEnd::unknown(format!("the way back depends on {why}"))),
            // A bound socket's packets leave by its device, whether there is a route or not.
            Routed::None if asked.oif != 0 && dst.is_ipv4() && asked.oif == arrived_by => {
                Ok(Back { device: asked.oif, by_default: false })
            }
            Routed::None if asked.oif != 0 && dst.is_ipv4() => {
                let name = self.name(asked.oif);
                lost(format!("the answer leaves by {name}, to which the socket is bound"))
            }
            Routed::Stopped(kind) => lost(format!(
                "the way back to {dst} ends at a route or rule of type {}",
                word(kind)
            )),
            Routed::None => lost(format!("no route leads back to {dst}")),
        }
    }
}

const fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

const fn word(kind: RouteType) -> &'static str {
    match kind {
        RouteType::Blackhole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        _ => "none",
    }
}
