//! A packet off the wire.

use alloc::{format, string::String};

use super::{On, Way, rule, told::Told, unknown};
use crate::{
    ReachOutcome, Stopper, WayEnd,
    linux::{
        netfilter::{Doubt, Hook, How, Packet, Stop},
        route::{
            Arrival, Device, Flow, Hop, Refused, RouteType, Routed, arrival, first_way, lookup,
        },
    },
};

impl Way<'_, '_> {
    /// Takes a packet in by `device`.
    pub(super) fn inbound(&mut self, mut packet: Packet, device: &Device) -> On<WayEnd> {
        if !device.up {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("device-down"));
            return Err(WayEnd { note: format!("{} is down", device.name).into(), ..end });
        }
        packet.iif = device.index;
        self.note(format!("arrives by {}", device.name));
        self.see_opaque(device)?;
        self.discovery(&packet, device)?;
        self.receive(&mut packet, device)?;
        if let Some(end) = self.bridged(&mut packet, device)? {
            return Ok(end);
        }
        let asked = packet.tuple.dst;
        self.prerouting(&mut packet)?;
        if let Some(end) = self.sent_back(&mut packet, asked, device)? {
            return Ok(end);
        }
        self.routed(packet)
    }

    /// What cannot be read may do anything.
    fn see_opaque(&mut self, device: &Device) -> On {
        match device.opaque.first() {
            Some(what) => Err(WayEnd::unknown(format!(
                "{what} on {} sees the packet first, and what it does cannot be read",
                device.name
            ))),
            None => Ok(()),
        }
    }

    /// The hooks of the device itself, and of the port of a bridge before it.
    fn receive(&mut self, packet: &mut Packet, device: &Device) -> On {
        if device.kind == "bridge" {
            self.by_port(packet, device)?;
        }
        let chains = self.scene.rules.at(Hook::Ingress, packet.is_v6(), Some(&device.name));
        let stopped = self.chains(&chains, Hook::Ingress, packet);
        self.pass(stopped, packet, Hook::Ingress)
    }

    /// The port of a bridge it comes by, each of them if that is not known and rules look at it,
    /// and the hooks of that port.
    fn by_port(&mut self, packet: &mut Packet, bridge: &Device) -> On {
        let network = self.scene.network;
        let rules = self.scene.rules;
        let is_v6 = packet.is_v6();
        let ingress = |port: &Device| rules.at(Hook::Ingress, is_v6, Some(&port.name));
        let ports = || network.devices.iter().filter(|port| port.master == bridge.index);
        let matters = || rules.has_bridge_chains() || ports().any(|port| !ingress(port).is_empty());
        let port = match network.port_of(packet.tuple.src, bridge.index) {
            Some(port) => Some(port),
            None if matters() => {
                let count = u16::try_from(ports().count()).unwrap_or(u16::MAX);
                let why = format!("by which port of {} it comes", bridge.name);
                let doubt = Doubt { at: None, why: why.into() };
                let chosen = if count > 1 { self.choices.choose(count, doubt) } else { 0 };
                ports().nth(chosen.into())
            }
            None => None,
        };
        let Some(port) = port else { return Ok(()) };
        packet.phys_in = port.index;
        self.see_opaque(port)?;
        let chains = ingress(port);
        let iif = core::mem::replace(&mut packet.iif, port.index);
        let stopped = self.chains(&chains, Hook::Ingress, packet);
        packet.iif = iif;
        self.pass(stopped, packet, Hook::Ingress)
    }

    /// The hooks before routing; in a VRF once for the device and once for the VRF.
    pub(super) fn prerouting(&mut self, packet: &mut Packet) -> On {
        let stopped = self.hook(Hook::Prerouting, packet);
        self.pass(stopped, packet, Hook::Prerouting)?;
        let vrf = self.scene.network.vrf_of(packet.iif).map(|vrf| vrf.index);
        if let Some(vrf) = vrf.filter(|&vrf| vrf != packet.iif) {
            packet.iif = vrf;
            let stopped = self.hook(Hook::Prerouting, packet);
            self.pass(stopped, packet, Hook::Prerouting)?;
        }
        Ok(())
    }

    /// Routing, and what follows.
    pub(super) fn routed(&mut self, packet: Packet) -> On<WayEnd> {
        let network = self.scene.network;
        let Some(device) = network.device(packet.iif) else {
            return Err(WayEnd::unknown("there is no such device"));
        };
        match arrival(network, device, &flow(&packet)) {
            Arrival::Local(kind) => {
                self.note("routing: for this host");
                self.deliver(packet, kind)
            }
            Arrival::Forward(hop, several) => self.forward(packet, hop, several),
            Arrival::Depends(why) => Err(WayEnd::unknown(format!("it depends on {why}"))),
            Arrival::Refused(refused) => Err(self.refused(&packet, refused)),
        }
    }

    pub(super) fn refused(&mut self, packet: &Packet, refused: Refused) -> WayEnd {
        match refused {
            Refused::Martian(why) => {
                self.note(format!("routing: dropped, {why}"));
                let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("martian"));
                WayEnd { note: why.into(), ..end }
            }
            Refused::ReversePath => {
                self.note("routing: dropped by rp_filter");
                let end =
                    WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("rp_filter"));
                WayEnd { note: self.reverse_path(packet).into(), ..end }
            }
            Refused::NoRoute(kind, told) => self.no_route(packet, kind, told),
        }
    }

    /// Why the reverse path filter drops a packet.
    fn reverse_path(&self, packet: &Packet) -> String {
        let network = self.scene.network;
        let (src, name) = (packet.tuple.src, self.name(packet.iif));
        let back = Flow {
            dst: src,
            src: None,
            iif: network.loopback().map_or(1, |lo| lo.index),
            ports: None,
            ..flow(packet)
        };
        let way = match lookup(network, &back) {
            Routed::By(route) => first_way(route, 0).map(|hop| self.name(hop.device)),
            _ => None,
        };
        let own = network.device(packet.iif).map_or(0, |device| device.rp_filter);
        let strict = own.max(network.switches.rp_filter) == 1;
        match (way, strict) {
            (Some(way), true) => format!(
                "dropped by the reverse path filter: rp_filter is strict (1) on {name}, and the \
                 way back to {src} leaves by {way}"
            ),
            (Some(way), false) => format!(
                "dropped by the reverse path filter (rp_filter) of {name}: the way back to {src} \
                 leaves by {way}"
            ),
            (None, _) => format!(
                "dropped by the reverse path filter (rp_filter) of {name}: no route leads back to \
                 {src}"
            ),
        }
    }

    fn no_route(&mut self, packet: &Packet, kind: RouteType, told: bool) -> WayEnd {
        let is_v6 = packet.is_v6();
        let why = match kind {
            RouteType::Blackhole => "a blackhole route or rule ends it",
            RouteType::Unreachable => "a route or rule of type unreachable ends it",
            RouteType::Prohibit => "a route or rule of type prohibit ends it",
            _ if told => "no route leads there",
            _ => "it is for another host, and this one does not forward",
        };
        self.note(format!("routing: {why}"));
        let told = told.then(|| Told::no_route(kind, is_v6));
        let told = told.filter(|&told| self.answer_error(packet, told, None).is_ok());
        WayEnd {
            errno: told.and_then(|told| told.errno(is_v6)),
            note: why.into(),
            ..WayEnd::new(ReachOutcome::NoRoute).stopped_by(Stopper::Kernel("route"))
        }
    }

    /// On to another host.
    fn forward(&mut self, mut packet: Packet, hop: Hop, several: bool) -> On<WayEnd> {
        packet.oif = hop.device;
        let device = self.name(hop.device);
        let more = if several { ", one of several ways" } else { "" };
        self.note(format!("routing: to another host by {device}{more}"));
        // ip_forward() drops what belongs to a socket.
        if packet.given_to.is_some() {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("forward"));
            let note = "a rule gave it to a socket of this host, and it is routed to another host";
            return Err(WayEnd { note: note.into(), ..end });
        }
        let stopped = self.hook(Hook::Forward, &mut packet);
        self.pass(stopped, &packet, Hook::Forward)?;
        self.leave(packet)
    }

    /// The hooks before a packet leaves.
    pub(super) fn leave(&mut self, mut packet: Packet) -> On<WayEnd> {
        let stopped = self.hook(Hook::Postrouting, &mut packet);
        self.pass(stopped, &packet, Hook::Postrouting)?;
        let name = self.name(packet.oif);
        let chains = self.scene.rules.at(Hook::Egress, packet.is_v6(), Some(&name));
        let stopped = self.chains(&chains, Hook::Egress, &mut packet);
        self.pass(stopped, &packet, Hook::Egress)?;
        self.bridge_output(&mut packet)?;
        self.note(format!("leaves by {name}"));
        Ok(self.left(&packet))
    }

    /// The end of a packet that left.
    pub(super) fn left(&self, packet: &Packet) -> WayEnd {
        WayEnd {
            leaves_by: packet.oif,
            rewritten: self.rewritten(packet),
            masked: packet.tuple.src != self.question.vantage.from,
            ..WayEnd::new(ReachOutcome::Forwarded)
        }
    }

    /// Turns what stopped a packet at a hook into the end of its way.
    pub(super) fn pass(&mut self, stopped: Result<(), Stop>, packet: &Packet, hook: Hook) -> On {
        let Err(stop) = stopped else { return Ok(()) };
        if let Some(end) = unknown(&stop) {
            return Err(end);
        }
        let silent = WayEnd {
            stopper: rule(stop.at),
            rewritten: self.rewritten(packet),
            ..WayEnd::new(ReachOutcome::Silent)
        };
        match stop.how {
            How::Reject(with) => {
                let is_v6 = packet.is_v6();
                let Some(told) = Told::by_rule(with, packet.protocol, is_v6) else {
                    return Err(silent);
                };
                self.answer_error(packet, told, Some(hook))?;
                Err(WayEnd { errno: told.errno(is_v6), outcome: ReachOutcome::Refused, ..silent })
            }
            How::Forwarded => {
                Err(WayEnd { stopper: rule(stop.at), ..WayEnd::new(ReachOutcome::Forwarded) })
            }
            How::Synproxy => Err(self.synproxied(packet, stop.at, hook)),
            _ => Err(silent),
        }
    }
}

/// What a packet shows to routing.
pub(super) fn flow(packet: &Packet) -> Flow {
    Flow {
        dst: packet.tuple.dst,
        src: Some(packet.tuple.src),
        iif: packet.iif,
        oif: 0,
        mark: packet.mark,
        protocol: packet.protocol_number(),
        ports: packet.icmp.is_none().then_some((packet.tuple.sport, packet.tuple.dport)),
        uid: Some(0),
    }
}
