//! The way back: of an answer, of a refusal, and then of the client's acknowledgement.

use alloc::format;
use core::net::IpAddr;

use super::{On, Way, back::Leaves, rule, shown, told::Told, unknown};
use crate::{
    Errno, ReachOutcome, Socket, Stopper, WayEnd,
    linux::{
        netfilter::{
            ACK, Hook, How, Owner, Packet, Port, RST, SYN, Stop, Tracking, Tuple, source_for,
        },
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
        self.send_back(first, answer, Leaves::bound(socket.device), socket.uid)
    }

    /// The refusal of the TCP stack; `device` is the one the packet counts as arrived by.
    pub(super) fn answer_reset(&mut self, first: &Packet, device: u32) -> On {
        let reset = turned(first, RST | ACK);
        // IPv6 looks for a way to ::1 by the device whose address was asked, where ::1 is not. Made
        // to route it again by a rule, it asks for no device.
        let is_strict = reset.is_v6() && reset.tuple.dst.is_loopback();
        let leaves = Leaves { first_by: if is_strict { device } else { 0 }, ..Leaves::bound(0) };
        self.own_source(&reset)?;
        self.send_back(first, reset, leaves, Some(0))
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
    /// a rule at `hook`, or of routing.
    pub(super) fn answer_error(&mut self, first: &Packet, told: Told, hook: Option<Hook>) -> On {
        let lo = self.scene.network.loopback().map_or(1, |lo| lo.index);
        // What the packet was routed to when it was stopped. The route of one that goes over the
        // loopback device stays with it.
        let is_for_us = match hook {
            Some(Hook::Input) => true,
            Some(Hook::Output | Hook::Postrouting) => first.oif == lo,
            Some(Hook::Prerouting | Hook::Ingress) => first.iif == lo,
            _ => false,
        };
        self.answer_with(first, told, true, is_for_us)
    }

    /// A message of the socket layer, which connection tracking has to recognise first.
    pub(super) fn answer_nobody(&mut self, first: &Packet, told: Told) -> On {
        self.answer_with(first, told, false, true)
    }

    fn answer_with(&mut self, first: &Packet, told: Told, attached: bool, is_for_us: bool) -> On {
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
            answer.tuple = self.error_tuple(first, is_for_us);
            self.own_source(&answer)?;
            // IPPROTO_ICMP sends errors with the precedence of network control.
            answer.tos = if first.is_v6() { 0 } else { first.tos & 0x1e | 0xc0 };
        }
        self.send_back(first, answer, Leaves::bound(0), Some(0))
    }

    /// ICMP errors come from the address that the packet went to, if it was routed to this host (of
    /// IPv6, if the host has it), else from the one that this host would take for a packet of its
    /// own to the client.
    fn error_tuple(&self, first: &Packet, is_for_us: bool) -> Tuple {
        let (to, client) = (first.tuple.dst, first.tuple.src);
        let keeps = if first.is_v6() { self.scene.network.has_address(to) } else { is_for_us };
        let own = || self.source_for(client).unwrap_or(to);
        let src = if keeps { to } else { own() };
        Tuple { src, sport: Port::Exact(0), dst: client, dport: Port::Exact(0) }
    }

    /// The source address of a packet to `dst` that nobody chose one for.
    fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        let network = self.scene.network;
        if network.has_address(dst) {
            return Some(dst);
        }
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let asked = Flow {
            dst,
            src: None,
            iif: lo,
            oif: 0,
            mark: 0,
            protocol: 1,
            ports: None,
            uid: Some(0),
        };
        let Routed::By(route) = lookup(network, &asked) else { return None };
        let hop = first_way(route, 0)?;
        route.prefers.or_else(|| source_for(network, hop.device, dst))
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
            self.acknowledge_out(&mut packet)?;
            &[Hook::Postrouting, Hook::Prerouting, Hook::Input]
        } else {
            packet.iif = device.index;
            packet.oif = 0;
            let chains = self.scene.rules.at(Hook::Ingress, packet.is_v6(), Some(&device.name));
            let stopped = self.chains(&chains, Hook::Ingress, &mut packet);
            self.pass_later(stopped, &packet, Hook::Ingress)?;
            &[Hook::Prerouting, Hook::Input]
        };
        for &hook in hooks {
            if hook == Hook::Prerouting && device.loopback {
                (packet.iif, packet.oif, packet.owner) = (device.index, 0, None);
            }
            let stopped = self.hook(hook, &mut packet);
            self.pass_later(stopped, &packet, hook)?;
        }
        Ok(())
    }

    /// The way out of an acknowledgement of a client of this host. Rules may send it elsewhere than
    /// the first packet, which they marked otherwise.
    fn acknowledge_out(&mut self, packet: &mut Packet) -> On {
        packet.oif = self.way_out(packet, 0)?.oif;
        let stopped = self.hook(Hook::Output, packet);
        self.pass_later(stopped, packet, Hook::Output)?;
        for (mark, tuple) in core::mem::take(&mut packet.route_again) {
            packet.oif = self.way_out(&Packet { tuple, ..packet.clone() }, mark)?.oif;
        }
        if self.is_loopback(packet.oif) {
            return Ok(());
        }
        let name = self.name(packet.oif);
        Err(WayEnd::unknown(format!(
            "later packets of the connection leave by {name}, unlike the first one"
        )))
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

    /// What stops an answer leaves the client without one.
    pub(super) fn pass_back(&mut self, stopped: Result<(), Stop>) -> On {
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

/// A client takes notice only of what comes from where it sent to. Connection tracking sees to that
/// after it has rewritten a packet, if it is asked.
pub(super) fn recognised(first: &Packet, answer: &Packet) -> On {
    let original = first.connection.original;
    // What an error is about stands inside, and is rewritten with it.
    let is_error = answer.icmp.is_some();
    let is_known = match (is_error, answer.is_tracked()) {
        (true, true) => true,
        (true, false) => first.tuple == original,
        (false, _) => answer.tuple == original.turned(),
    };
    if is_known {
        return Ok(());
    }
    let from = if is_error { first.tuple.turned() } else { answer.tuple };
    let note = format!(
        "the answer is of {}, and not of {}, which the client had asked",
        shown(from.src, from.sport),
        shown(original.dst, original.dport),
    );
    let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("conntrack"));
    Err(WayEnd { note: note.into(), ..end })
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
