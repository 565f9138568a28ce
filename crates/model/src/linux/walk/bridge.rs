//! Frames that a bridge passes on, and the hooks of bridges.

use super::{On, Way};
use crate::{
    WayEnd,
    linux::{
        netfilter::{Hook, Packet},
        route::Device,
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
        let calls = self.calls_ip(packet);
        if calls {
            let stopped = self.hook(Hook::Prerouting, packet);
            self.pass(stopped, packet, Hook::Prerouting)?;
            if packet.tuple.dst != dst {
                // Sent elsewhere by a rule, it is routed as if it had come for this host.
                return self.routed(packet.clone()).map(Some);
            }
        }
        packet.phys_out = network.port_of(dst, device.index).map_or(0, |port| port.index);
        packet.oif = device.index;
        self.bridge_hook(Hook::Forward, packet)?;
        if calls {
            for hook in [Hook::Forward, Hook::Postrouting] {
                let stopped = self.hook(hook, packet);
                self.pass(stopped, packet, hook)?;
            }
        }
        self.bridge_hook(Hook::Postrouting, packet)?;
        Ok(Some(self.left(packet)))
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
