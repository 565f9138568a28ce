//! The way back: of an answer, of a refusal, and then of the client's acknowledgement.

use alloc::format;

use super::{On, Way, inbound::flow, rule, told::Told, unknown};
use crate::{
    ReachOutcome, Socket, Stopper, WayEnd,
    linux::{
        netfilter::{ACK, Hook, Owner, Packet, Port, RST, SYN, Stop, Tracking, Tuple},
        route::{Flow, RouteType, Routed, first_way, local_type, lookup},
    },
};

impl Way<'_, '_> {
    /// The listener's answer to the first packet of a connection.
    pub(super) fn answer_syn(&mut self, first: &Packet, socket: &Socket) -> On {
        let mut answer = turned(first, SYN | ACK);
        answer.owner = Some(Owner { uid: socket.uid, gid: None });
        self.note("the answer goes back");
        if !socket.options.transparent {
            self.own_source(&answer)?;
        }
        self.send_back(first, answer, socket.device, socket.uid)
    }

    /// The refusal of the TCP stack; `device` is the one the packet counts as arrived by.
    pub(super) fn answer_reset(&mut self, first: &Packet, device: u32) -> On {
        let reset = turned(first, RST | ACK);
        // IPv6 sends a reset to ::1 by the device whose address was asked, where ::1 is not.
        let lo = self.scene.network.loopback().map_or(1, |lo| lo.index);
        if reset.is_v6() && reset.tuple.dst.is_loopback() && device != lo {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
            let note = "no socket takes it, and a reset to ::1 leaves by another device than lo";
            return Err(WayEnd { note: note.into(), ..end });
        }
        self.own_source(&reset)?;
        self.send_back(first, reset, 0, Some(0))
    }

    /// IPv4 sends nothing from an address that is not the host's, which a rule may have sent the
    /// packet to, unless the socket is transparent.
    fn own_source(&mut self, answer: &Packet) -> On {
        let src = answer.tuple.src;
        // Rewriting happens behind this.
        if src.is_ipv6() || local_type(self.scene.network, src, 0) == RouteType::Local {
            return Ok(());
        }
        let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
        let note = format!("{src} is no address of this host, so no answer leaves from it");
        Err(WayEnd { note: note.into(), ..end })
    }

    /// A message that tells of a failure and belongs to the connection from the beginning: that of
    /// a rule, or of routing.
    pub(super) fn answer_error(&mut self, first: &Packet, told: Told) -> On {
        self.answer_with(first, told, true)
    }

    /// A message of the socket layer, which connection tracking has to recognise first.
    pub(super) fn answer_nobody(&mut self, first: &Packet, told: Told) -> On {
        self.answer_with(first, told, false)
    }

    fn answer_with(&mut self, first: &Packet, told: Told, attached: bool) -> On {
        let related = match first.is_tracked() {
            true => Tracking::Related { reply: !first.is_reply() },
            false => Tracking::Unseen,
        };
        let mut answer = turned(first, RST | ACK);
        answer.tracking = if attached { related } else { Tracking::Unseen };
        answer.becomes = if told == Told::ResetByRule { answer.becomes } else { related };
        if let Told::Icmp(code) = told {
            let (kind, code) = match first.is_v6() {
                true => (1, code),
                false => (3, code),
            };
            answer.icmp = Some((kind, code));
            answer.tuple = self.error_tuple(first);
        }
        self.send_back(first, answer, 0, Some(0))
    }

    /// ICMP errors come from the address the packet went to, if that is the host's, else from one
    /// of the device it came by.
    fn error_tuple(&self, first: &Packet) -> Tuple {
        let network = self.scene.network;
        let to = first.tuple.dst;
        let of_device = || {
            let on = |a: &&crate::linux::route::Address| a.device == first.iif;
            network
                .addresses
                .iter()
                .filter(on)
                .find(|a| a.ip.is_ipv6() == to.is_ipv6())
                .map(|a| a.ip)
        };
        let from = if network.has_address(to) { to } else { of_device().unwrap_or(to) };
        Tuple { src: from, sport: Port::Exact(0), dst: first.tuple.src, dport: Port::Exact(0) }
    }

    /// Sends a packet of this host back to where `first` came from.
    fn send_back(
        &mut self,
        first: &Packet,
        mut answer: Packet,
        bound: u32,
        uid: Option<u32>,
    ) -> On {
        let network = self.scene.network;
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let is_link_local =
            matches!(answer.tuple.dst, core::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
        let vrf = network.vrf_of(first.iif).map_or(0, |vrf| vrf.index);
        let oif = match bound {
            0 if is_link_local && first.iif != lo => first.iif,
            0 => vrf,
            bound => bound,
        };
        let asked = Flow { iif: lo, oif, mark: 0, uid, ..flow(&answer) };
        answer.oif = self.back_route(&asked, first.iif)?;
        let stopped = self.hook(Hook::Output, &mut answer);
        self.pass_back(stopped)?;
        if let Some(mark) = answer.route_again.take() {
            let again = Flow { iif: lo, oif, mark, uid, ..flow(&answer) };
            answer.oif = self.back_route(&again, first.iif)?;
        }
        let stopped = self.hook(Hook::Postrouting, &mut answer);
        self.pass_back(stopped)?;
        let name = self.name(answer.oif);
        let chains = self.scene.rules.at(Hook::Egress, answer.is_v6(), Some(&name));
        let stopped = self.chains(&chains, Hook::Egress, &mut answer);
        self.pass_back(stopped)?;
        if answer.oif != lo {
            return Ok(());
        }
        if self.question.vantage.device != lo {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
            return Err(WayEnd { note: "the answer is routed to this host itself".into(), ..end });
        }
        (answer.iif, answer.oif, answer.owner) = (lo, 0, None);
        for hook in [Hook::Prerouting, Hook::Input] {
            let stopped = self.hook(hook, &mut answer);
            self.pass_back(stopped)?;
        }
        Ok(())
    }

    /// The device an answer leaves by.
    fn back_route(&mut self, asked: &Flow, arrived_by: u32) -> On<u32> {
        let network = self.scene.network;
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let lost = |note: alloc::string::String| {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("route"));
            Err(WayEnd { note: note.into(), ..end })
        };
        let dst = asked.dst;
        match lookup(network, asked) {
            Routed::By(route) if matches!(route.kind, RouteType::Local | RouteType::Anycast) => {
                Ok(lo)
            }
            Routed::By(route) => {
                let hop = first_way(route, asked.oif);
                let Some(hop) = hop else { return lost(format!("no route leads back to {dst}")) };
                let own = network.has_address(dst);
                if own {
                    let name = self.name(hop.device);
                    return lost(format!(
                        "the answer leaves by {name}, and the client is this host"
                    ));
                }
                Ok(hop.device)
            }
            Routed::Depends(why) => Err(WayEnd::unknown(format!("the way back depends on {why}"))),
            // A bound socket's packets leave by its device, whether there is a route or not.
            Routed::None if asked.oif != 0 && dst.is_ipv4() && asked.oif == arrived_by => {
                Ok(asked.oif)
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

    /// The client's acknowledgement, which completes the handshake.
    pub(super) fn acknowledge(&mut self, first: &Packet) -> On {
        let network = self.scene.network;
        let question = self.question;
        let mut packet = first.clone();
        packet.tuple = first.connection.original;
        packet.flags = ACK;
        packet.mark = 0;
        packet.given_to = None;
        packet.tracking = Tracking::Unseen;
        packet.becomes = match first.is_tracked() {
            true => Tracking::Established { reply: false },
            false => Tracking::Untracked,
        };
        packet.zone = 0;
        let Some(device) = network.device(question.vantage.device) else { return Ok(()) };
        self.note("the client's acknowledgement follows");
        let hooks: &[Hook] = if device.loopback {
            packet.owner = question.vantage.owner;
            packet.iif = 0;
            packet.oif = device.index;
            &[Hook::Output, Hook::Postrouting, Hook::Prerouting, Hook::Input]
        } else {
            packet.iif = device.index;
            packet.oif = 0;
            let chains = self.scene.rules.at(Hook::Ingress, packet.is_v6(), Some(&device.name));
            let stopped = self.chains(&chains, Hook::Ingress, &mut packet);
            self.pass_back(stopped)?;
            &[Hook::Prerouting, Hook::Input]
        };
        for &hook in hooks {
            if hook == Hook::Prerouting && device.loopback {
                (packet.iif, packet.oif, packet.owner) = (device.index, 0, None);
            }
            let stopped = self.hook(hook, &mut packet);
            self.pass_back(stopped)?;
        }
        Ok(())
    }

    /// What stops an answer leaves the client without one.
    fn pass_back(&mut self, stopped: Result<(), Stop>) -> On {
        let Err(stop) = stopped else { return Ok(()) };
        if let Some(end) = unknown(&stop) {
            return Err(end);
        }
        Err(WayEnd {
            stopper: rule(stop.at),
            note: "it stops what goes on after the first packet".into(),
            ..WayEnd::new(ReachOutcome::Silent)
        })
    }
}

/// A packet of this host in the other direction.
fn turned(first: &Packet, flags: u8) -> Packet {
    let mut answer = first.clone();
    answer.tuple = first.tuple.turned();
    answer.flags = flags;
    (answer.iif, answer.oif, answer.phys_in, answer.phys_out) = (0, 0, 0, 0);
    (answer.mark, answer.zone, answer.kind) = (0, 0, 0);
    answer.local = true;
    answer.owner = None;
    answer.given_to = None;
    answer.tracking = Tracking::Unseen;
    answer.becomes = match first.is_tracked() {
        true => Tracking::Established { reply: true },
        false => Tracking::Untracked,
    };
    answer
}

const fn word(kind: RouteType) -> &'static str {
    match kind {
        RouteType::Blackhole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        _ => "none",
    }
}
