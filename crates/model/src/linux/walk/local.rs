//! A packet of this host.

use alloc::format;

use super::{On, Way, inbound::flow};
use crate::{
    Errno, Protocol, ReachOutcome, Stopper, WayEnd,
    linux::{
        netfilter::{Hook, How, Packet, Stop},
        route::{Flow, RouteType, Routed, first_way, lookup},
    },
};

/// Where routing sends a packet of this host.
pub(super) struct Routing {
    /// The device it leaves by.
    pub(super) oif: u32,
    /// The device it counts as arrived by, if it is for this host.
    arrives_by: u32,
    /// The type of its route.
    kind: RouteType,
}

impl Way<'_, '_> {
    /// Sends a packet from this host.
    pub(super) fn local(&mut self, mut packet: Packet) -> On<WayEnd> {
        packet.local = true;
        packet.owner = self.question.vantage.owner;
        let way = self.way_out(&packet, 0)?;
        packet.oif = way.oif;
        let by = self.name(way.oif);
        self.note(format!("made on this host, routed to {by}"));
        let stopped = self.hook(Hook::Output, &mut packet);
        // The kernel routes again as soon as a rule asks for it, before those that follow.
        let mut way = way;
        for (mark, tuple) in core::mem::take(&mut packet.route_again) {
            way = self.rerouted(&Packet { tuple, ..packet.clone() }, mark)?;
        }
        packet.oif = way.oif;
        self.pass_output(stopped, &packet)?;
        if !self.is_loopback(way.oif) {
            return self.leave(packet);
        }
        let stopped = self.hook(Hook::Postrouting, &mut packet);
        self.pass_output(stopped, &packet)?;
        if self.scene.network.device(way.oif).is_some_and(|lo| !lo.up) {
            // Its queue takes nothing (noop_enqueue).
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("device-down"));
            let note = format!("{} is switched off, and drops what is sent", self.name(way.oif));
            return Err(WayEnd { note: note.into(), ..end });
        }
        (packet.iif, packet.oif, packet.owner) = (way.oif, 0, None);
        self.note(format!("arrives by {}", self.name(way.oif)));
        let name = self.name(way.oif);
        let chains = self.scene.rules.at(Hook::Ingress, packet.is_v6(), Some(&name));
        let stopped = self.chains(&chains, Hook::Ingress, &mut packet);
        self.pass(stopped, &packet, Hook::Ingress)?;
        let stopped = self.hook(Hook::Prerouting, &mut packet);
        self.pass(stopped, &packet, Hook::Prerouting)?;
        let stopped = self.hook(Hook::Input, &mut packet);
        self.pass(stopped, &packet, Hook::Input)?;
        self.socket(&packet, way.kind, way.arrives_by)
    }

    pub(super) fn is_loopback(&self, device: u32) -> bool {
        self.scene.network.device(device).is_some_and(|device| device.loopback)
    }

    /// The way of a packet that is about to leave.
    pub(super) fn way_out(&mut self, packet: &Packet, mark: u32) -> On<Routing> {
        let network = self.scene.network;
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let uid = packet.owner.and_then(|owner| owner.uid);
        let asked = Flow { iif: lo, uid, mark, ..flow(packet) };
        let no_route = |errno, note: &'static str| {
            let end = WayEnd::new(ReachOutcome::NoRoute).stopped_by(Stopper::Kernel("route"));
            Err(WayEnd { errno: Some(errno), note: note.into(), ..end })
        };
        let route = match lookup(network, &asked) {
            Routed::By(route) => route,
            Routed::None => return no_route(Errno::ENETUNREACH, "no route leads there"),
            Routed::Stopped(RouteType::Blackhole) => {
                return no_route(Errno::EINVAL, "a blackhole route or rule ends it");
            }
            Routed::Stopped(RouteType::Prohibit) => {
                return no_route(Errno::EACCES, "a route or rule of type prohibit ends it");
            }
            Routed::Stopped(_) => {
                return no_route(
                    Errno::EHOSTUNREACH,
                    "a route or rule of type unreachable ends it",
                );
            }
            Routed::Depends(why) => {
                return Err(WayEnd::unknown(format!("routing depends on {why}")));
            }
        };
        let Some(hop) = first_way(route, 0) else {
            return no_route(Errno::ENETUNREACH, "no route leads there");
        };
        if matches!(route.kind, RouteType::Local | RouteType::Anycast) {
            return Ok(Routing { oif: lo, arrives_by: hop.device, kind: route.kind });
        }
        if route.kind == RouteType::Broadcast && packet.protocol == Protocol::Tcp {
            return no_route(Errno::ENETUNREACH, "TCP connects to no broadcast address");
        }
        if packet.tuple.src.is_loopback()
            && packet.tuple.src.is_ipv4()
            && network.device(hop.device).is_some_and(|d| !d.loopback && !d.route_localnet)
        {
            return no_route(
                Errno::EINVAL,
                "127.0.0.0/8 does not leave this host (route_localnet)",
            );
        }
        Ok(Routing { oif: hop.device, arrives_by: hop.device, kind: route.kind })
    }

    /// The way after rules changed where a packet goes.
    pub(super) fn rerouted(&mut self, packet: &Packet, mark: u32) -> On<Routing> {
        let way = self.way_out(packet, mark).map_err(|end| match packet.protocol {
            // connect() keeps trying: it is told nothing.
            Protocol::Tcp if end.outcome == ReachOutcome::NoRoute => {
                WayEnd { outcome: ReachOutcome::Silent, errno: None, ..end }
            }
            _ => end,
        })?;
        let by = self.name(way.oif);
        self.note(format!("routed again, to {by}"));
        Ok(way)
    }

    /// A local sender is told at once that its packet was dropped, or refused: of that it hears
    /// only later. `connect` is not told.
    fn pass_output(&mut self, stopped: Result<(), Stop>, packet: &Packet) -> On {
        if packet.protocol == Protocol::Tcp {
            return self.pass(stopped, packet, Hook::Output);
        }
        let refuses = matches!(&stopped, Err(Stop { how: How::Reject(_), .. }));
        let at_once = match stopped {
            Err(Stop { how: How::Drop | How::Reject(_), at }) => Err(Stop { how: How::Drop, at }),
            other => return self.pass(other, packet, Hook::Output),
        };
        self.pass(at_once, packet, Hook::Output).map_err(|end| {
            let note =
                if refuses { "it refuses it, and the sender is told EPERM at once" } else { "" };
            WayEnd { errno: Some(Errno::EPERM), note: note.into(), ..end }
        })
    }
}
