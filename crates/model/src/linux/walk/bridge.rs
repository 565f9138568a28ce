//! Frames that a bridge passes on, and the hooks of bridges.

use alloc::format;
use core::net::IpAddr;

use super::{On, Way, inbound::flow};
use crate::{
    ReachOutcome, Stopper, WayEnd,
    linux::{
        netfilter::{Hook, Packet},
        route::{Arrival, Device, arrival},
    },
};

impl Way<'_, '_> {
    fn calls_ip(&self, packet: &Packet) -> bool {
        let switches = &self.scene.network.switches;
        if packet.is_v6() { switches.bridge_calls_ip6 } else { switches.bridge_calls_ip }
    }

    /// Rules of the bridge family see the port, not the bridge.
    fn bridge_hook(&mut self, hook: Hook, packet: &mut Packet) -> On {
        let chains = self.scene.rules.at_bridge(hook);
        if chains.is_empty() {
            return Ok(());
        }
        let (iif, oif) = (packet.iif, packet.oif);
        let port = |phys: u32, device: u32| if phys == 0 { device } else { phys };
        packet.iif = port(packet.phys_in, iif);
        packet.oif = port(packet.phys_out, oif);
        let stopped = self.chains(&chains, hook, packet);
        (packet.iif, packet.oif) = (iif, oif);
        self.pass(stopped, packet, hook)
    }

    /// A frame between two ports of a bridge, which IP does not see unless the bridge calls it.
    /// `None` if the packet is not one.
    pub(super) fn bridged(&mut self, packet: &mut Packet, device: &Device) -> On<Option<WayEnd>> {
        if device.kind != "bridge" {
            return Ok(None);
        }
        self.bridge_hook(Hook::Prerouting, packet)?;
        let network = self.scene.network;
        let (src, dst) = (packet.tuple.src, packet.tuple.dst);
        let on_bridge = network.addresses.iter().any(|own| {
            own.device == device.index && own.is_neighbour(src) && own.is_neighbour(dst)
        });
        if !on_bridge || network.has_address(dst) {
            return Ok(None);
        }
        self.note("the bridge passes it on");
        if self.calls_ip(packet) {
            let stopped = self.hook(Hook::Prerouting, packet);
            self.pass(stopped, packet, Hook::Prerouting)?;
            if packet.tuple.dst != dst {
                // Sent elsewhere by a rule, it is routed as if it had come for this host.
                return match self.back_by(packet, device) {
                    true => self.passed_on(packet, device).map(Some),
                    false => self.routed(packet.clone()).map(Some),
                };
            }
        }
        self.passed_on(packet, device).map(Some)
    }

    /// A packet for this host that rules, called by the bridge, sent back to where the bridge is:
    /// it stays a frame between two ports (`br_nf_pre_routing_finish`). `None` if it is not one.
    pub(super) fn sent_back(
        &mut self,
        packet: &mut Packet,
        asked: IpAddr,
        device: &Device,
    ) -> On<Option<WayEnd>> {
        let by_bridge = device.kind == "bridge" && self.calls_ip(packet);
        if !by_bridge || packet.tuple.dst == asked || !self.back_by(packet, device) {
            return Ok(None);
        }
        self.note("the bridge passes it on");
        self.passed_on(packet, device).map(Some)
    }

    /// Whether a packet is routed out by the bridge it came by.
    fn back_by(&self, packet: &Packet, bridge: &Device) -> bool {
        let to = arrival(self.scene.network, bridge, &flow(packet));
        matches!(to, Arrival::Forward(hop, _) if hop.device == bridge.index)
    }

    /// From one port of a bridge to another.
    fn passed_on(&mut self, packet: &mut Packet, device: &Device) -> On<WayEnd> {
        let port = self.scene.network.port_of(packet.tuple.dst, device.index);
        packet.phys_out = port.map_or(0, |port| port.index);
        packet.oif = device.index;
        self.leaves_its_port(packet, device)?;
        self.bridge_hook(Hook::Forward, packet)?;
        if self.calls_ip(packet) {
            for hook in [Hook::Forward, Hook::Postrouting] {
                let stopped = self.hook(hook, packet);
                self.pass(stopped, packet, hook)?;
            }
        }
        self.bridge_hook(Hook::Postrouting, packet)?;
        Ok(self.left(packet))
    }

    /// No frame goes back to the port it came by, unless that port is a hairpin.
    fn leaves_its_port(&mut self, packet: &Packet, bridge: &Device) -> On {
        let network = self.scene.network;
        let is_same = match (packet.phys_in, packet.phys_out) {
            (0, _) | (_, 0) => packet.tuple.src == packet.tuple.dst,
            (by, to) => by == to,
        };
        let mut ports = network.devices.iter().filter(|port| match packet.phys_out {
            0 => port.master == bridge.index,
            port_is => port.index == port_is,
        });
        if !is_same || ports.all(|port| port.hairpin) {
            return Ok(());
        }
        let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("bridge"));
        let note =
            format!("{} sends no frame back to the port it came by (hairpin is off)", bridge.name);
        Err(WayEnd { note: note.into(), ..end })
    }

    /// The hook for frames that a bridge gives to its own host.
    pub(super) fn bridge_input(&mut self, packet: &mut Packet) -> On {
        let device = self.scene.network.device(packet.iif);
        match device.is_some_and(|device| device.kind == "bridge") {
            true => self.bridge_hook(Hook::Input, packet),
            false => Ok(()),
        }
    }

    /// The hooks for frames that the host sends by a bridge.
    pub(super) fn bridge_output(&mut self, packet: &mut Packet) -> On {
        let network = self.scene.network;
        let device = network.device(packet.oif);
        if device.is_none_or(|device| device.kind != "bridge") {
            return Ok(());
        }
        let bridge = packet.oif;
        packet.phys_out = network.port_of(packet.tuple.dst, bridge).map_or(0, |port| port.index);
        let iif = core::mem::replace(&mut packet.iif, 0);
        let done = self
            .bridge_hook(Hook::Output, packet)
            .and_then(|()| self.bridge_hook(Hook::Postrouting, packet));
        packet.iif = iif;
        done
    }
}
