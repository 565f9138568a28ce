//! The client's acknowledgement, which completes the handshake. It takes its own way past the rules
//! and through routing: what they do with the first packet of a connection they may do with no other.

use alloc::format;

use super::{On, Way, inbound::flow, rule, shown, told::Told};
use crate::{
    Errno, ReachOutcome, Socket, Stopper, WayEnd,
    linux::{
        netfilter::{ACK, Hook, How, Packet, Stop, Tracking, Tuple},
        route::{Arrival, Device, arrival},
    },
};

impl Way<'_, '_> {
    /// Follows the acknowledgement of a client whose first packet came to `listener`.
    pub(super) fn acknowledge(&mut self, first: &Packet, listener: &Socket) -> On {
        let network = self.scene.network;
        let question = self.question;
        let mut packet = first.clone();
        packet.tuple = first.connection.original;
        // Rules may have changed it when the answer passed.
        packet.connection.mark = self.ct_mark.unwrap_or(first.connection.mark);
        packet.flags = ACK;
        packet.mark = 0;
        packet.given_to = None;
        packet.half_open = Some((listener.id, first.tuple));
        packet.tracking = Tracking::Unseen;
        packet.becomes = match first.is_tracked() {
            true => Tracking::Established { reply: false },
            false => Tracking::Untracked,
        };
        packet.zone = 0;
        let Some(device) = network.device(question.vantage.device) else { return Ok(()) };
        self.note("the client's acknowledgement follows");
        if device.loopback {
            packet.owner = question.vantage.owner;
            packet.iif = 0;
            self.acknowledge_out(&mut packet)?;
            self.later_hook(Hook::Postrouting, &mut packet)?;
            (packet.iif, packet.oif, packet.owner) = (device.index, 0, None);
            self.later_ingress(&mut packet, &device.name)?;
            // What comes over loopback keeps the route that it was sent by.
            self.later_hook(Hook::Prerouting, &mut packet)?;
        } else {
            self.acknowledge_in(&mut packet, device, first.tuple)?;
        }
        self.later_hook(Hook::Input, &mut packet)?;
        self.completes(&packet, first.tuple)
    }

    fn later_hook(&mut self, hook: Hook, packet: &mut Packet) -> On {
        let stopped = self.hook(hook, packet);
        self.pass_later(stopped, packet, hook)
    }

    fn later_ingress(&mut self, packet: &mut Packet, device: &str) -> On {
        let chains = self.scene.rules.at(Hook::Ingress, packet.is_v6(), Some(device));
        let stopped = self.chains(&chains, Hook::Ingress, packet);
        self.pass_later(stopped, packet, Hook::Ingress)
    }

    /// The way out of an acknowledgement of a client of this host. Rules may send it elsewhere than
    /// the first packet, which they marked otherwise.
    fn acknowledge_out(&mut self, packet: &mut Packet) -> On {
        packet.oif = self.way_out(packet, 0)?.oif;
        let stopped = self.hook(Hook::Output, packet);
        for (mark, tuple) in core::mem::take(&mut packet.route_again) {
            packet.oif = self.rerouted(&Packet { tuple, ..packet.clone() }, mark)?.oif;
        }
        self.pass_later(stopped, packet, Hook::Output)?;
        if self.is_loopback(packet.oif) {
            return Ok(());
        }
        let name = self.name(packet.oif);
        Err(WayEnd::unknown(format!(
            "later packets of the connection leave by {name}, unlike the first one"
        )))
    }

    /// The way in of an acknowledgement off the wire. It is routed for itself: the first packet may
    /// have been for this host only because a rule marked it.
    fn acknowledge_in(&mut self, packet: &mut Packet, device: &Device, connection: Tuple) -> On {
        let network = self.scene.network;
        packet.iif = device.index;
        packet.oif = 0;
        self.later_ingress(packet, &device.name)?;
        self.later_hook(Hook::Prerouting, packet)?;
        if let Some(vrf) = network.vrf_of(device.index).filter(|vrf| vrf.index != device.index) {
            packet.iif = vrf.index;
            self.later_hook(Hook::Prerouting, packet)?;
        }
        let Some(by) = network.device(packet.iif) else { return Ok(()) };
        match arrival(network, by, &flow(packet)) {
            Arrival::Local(_) => Ok(()),
            Arrival::Forward(hop, _) => Err(self.routed_on(packet, hop.device, connection)),
            Arrival::Depends(why) => Err(WayEnd::unknown(format!(
                "where later packets of the connection go depends on {why}"
            ))),
            Arrival::Refused(refused) => {
                let end = self.refused(packet, refused);
                let note = format!("of what follows the first packet: {}", end.note);
                Err(WayEnd { note: note.into(), ..end })
            }
        }
    }

    /// An acknowledgement that is routed to another host. The kernel finds the connection it is of
    /// before it routes (`tcp_v4_early_demux`), and forwards nothing that belongs to a socket
    /// (`ip_forward`).
    fn routed_on(&mut self, packet: &Packet, by: u32, connection: Tuple) -> WayEnd {
        let name = self.name(by);
        self.note(format!("routing: to another host by {name}"));
        if packet.tuple != connection {
            return WayEnd::unknown(format!(
                "later packets of the connection are routed to another host by {name}"
            ));
        }
        let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("forward"));
        let note = format!(
            "a socket takes the first packet, but what follows is routed to another host by {name}"
        );
        WayEnd { note: note.into(), ..end }
    }

    /// Only with the addresses of the first packet the acknowledgement belongs to its connection.
    /// Any other is answered by a reset, also by a listener (`tcp_rcv_state_process`).
    fn completes(&mut self, packet: &Packet, connection: Tuple) -> On {
        if packet.half_open.is_some() && packet.tuple == connection {
            return Ok(());
        }
        let to = shown(packet.tuple.dst, packet.tuple.dport);
        self.note(format!("socket: no connection of {to}"));
        self.answer_reset(packet, packet.iif)?;
        Err(WayEnd {
            errno: Some(Errno::ECONNRESET),
            note: format!("what follows the first packet comes to {to}, which has no connection")
                .into(),
            ..WayEnd::new(ReachOutcome::Refused).stopped_by(Stopper::Kernel("no-listener"))
        })
    }

    /// What stops a later packet of the client. A refusal reaches it after all.
    fn pass_later(&mut self, stopped: Result<(), Stop>, packet: &Packet, hook: Hook) -> On {
        let Err(Stop { how: How::Reject(with), at }) = stopped else {
            return self.pass_back(stopped);
        };
        let silent = WayEnd {
            stopper: rule(at),
            note: "it stops what goes on after the first packet".into(),
            ..WayEnd::new(ReachOutcome::Silent)
        };
        let Some(told) = Told::by_rule(with, packet.protocol, packet.is_v6()) else {
            return Err(silent);
        };
        self.answer_error(packet, told, Some(hook))?;
        let errno = match told {
            Told::Icmp(_) => told.errno(packet.is_v6()),
            _ => Some(Errno::ECONNRESET),
        };
        Err(WayEnd { errno, outcome: ReachOutcome::Refused, ..silent })
    }
}
