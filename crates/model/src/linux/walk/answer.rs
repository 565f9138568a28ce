//! The way back: of an answer or of a refusal.

use alloc::format;
use core::net::IpAddr;

use super::{On, Way, back::Leaves, rule, shown, told::Told, unknown};
use crate::{
    ReachOutcome, Socket, Stopper, WayEnd,
    linux::{
        netfilter::{ACK, Hook, Owner, Packet, Port, RST, SYN, Stop, Tracking, Tuple, source_for},
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
    (answer.given_to, answer.half_open) = (None, None);
    answer.tracking = Tracking::Unseen;
    answer.becomes = match first.is_tracked() {
        true => Tracking::Established { reply: true },
        false => Tracking::Untracked,
    };
    answer
}
