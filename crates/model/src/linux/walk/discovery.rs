//! Before an IPv6 neighbour sends anything it asks for the hardware address, and rules see that
//! question too.

use core::net::{IpAddr, Ipv6Addr};

use super::{On, Way, rule, unknown};
use crate::{
    ReachOutcome, WayEnd,
    linux::{
        netfilter::{Hook, Packet, Port, Tracking, Tuple},
        route::{Device, Flow, Routed, first_way, lookup},
    },
};

/// `ARPHRD_ETHER`: devices whose neighbours have addresses to ask for.
const ETHERNET: u16 = 1;
/// Neighbour solicitation.
const SOLICITATION: u8 = 135;

impl Way<'_, '_> {
    /// Whether the neighbour that hands over `packet` gets to know where to.
    pub(super) fn discovery(&mut self, packet: &Packet, device: &Device) -> On {
        let IpAddr::V6(to) = packet.tuple.dst else { return Ok(()) };
        if device.hardware != ETHERNET || to.is_multicast() || self.scene.rules.is_empty() {
            return Ok(());
        }
        let network = self.scene.network;
        let asker = self.neighbour(packet, device);
        if network.fixed.contains(&(asker, device.index)) {
            return Ok(());
        }
        let tuple = Tuple {
            src: asker,
            sport: Port::Exact(0),
            dst: IpAddr::V6(solicited(to)),
            dport: Port::Exact(0),
        };
        let mut question = Packet::first(packet.protocol, tuple);
        question.icmp = Some((SOLICITATION, 0));
        // The first packet of a connection that connection tracking leaves alone.
        question.becomes = Tracking::Untracked;
        question.iif = device.index;
        question.kind = 2;
        let length = self.path.len();
        let chains = self.scene.rules.at(Hook::Ingress, true, Some(&device.name));
        let done = self
            .chains(&chains, Hook::Ingress, &mut question)
            .and_then(|()| self.hook(Hook::Prerouting, &mut question))
            .and_then(|()| self.hook(Hook::Input, &mut question));
        let Err(stop) = done else {
            self.path.truncate(length);
            return Ok(());
        };
        if let Some(end) = unknown(&stop) {
            return Err(end);
        }
        Err(WayEnd {
            stopper: rule(stop.at),
            note: "it stops neighbour discovery: nobody on the link learns where to send".into(),
            ..WayEnd::new(ReachOutcome::Silent)
        })
    }

    /// The neighbour it comes from: the sender, or the router before it.
    fn neighbour(&self, packet: &Packet, device: &Device) -> IpAddr {
        let network = self.scene.network;
        let src = packet.tuple.src;
        if network.fixed.contains(&(src, device.index)) {
            return src;
        }
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let back = Flow {
            dst: src,
            src: None,
            iif: lo,
            oif: device.index,
            mark: 0,
            protocol: 0,
            ports: None,
            uid: Some(0),
        };
        match lookup(network, &back) {
            Routed::By(route) => {
                first_way(route, device.index).and_then(|hop| hop.gateway).unwrap_or(src)
            }
            _ => src,
        }
    }
}

/// The group that the owner of an address hears questions in.
fn solicited(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}
