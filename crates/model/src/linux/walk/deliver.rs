//! A packet for this host: the last hook, the socket, and what it makes of the packet.

use alloc::format;
use core::net::SocketAddr;

use super::{On, Way, first_socket, lookup_packet, rule, shown, told::Told};
use crate::{
    Errno, Protocol, ReachOutcome, Receivers, Socket, State, Stopper, WayEnd,
    linux::{
        netfilter::{At, Hook, Packet},
        route::RouteType,
    },
};

impl Way<'_, '_> {
    /// Gives a packet that came off the wire to whom it is for.
    pub(super) fn deliver(&mut self, mut packet: Packet, kind: RouteType) -> On<WayEnd> {
        self.bridge_input(&mut packet)?;
        let stopped = self.hook(Hook::Input, &mut packet);
        self.pass(stopped, &packet, Hook::Input)?;
        let device = packet.iif;
        self.socket(&packet, kind, device)
    }

    /// The socket layer: `device` is the one the packet counts as arrived by.
    pub(super) fn socket(&mut self, packet: &Packet, kind: RouteType, device: u32) -> On<WayEnd> {
        let is_one = matches!(kind, RouteType::Local | RouteType::Anycast);
        if packet.protocol == Protocol::Tcp && !is_one {
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("broadcast"));
            return Err(WayEnd { note: "TCP answers no broadcast or multicast".into(), ..end });
        }
        let receivers = match packet.given_to {
            Some(seen) => Receivers::One(seen.id),
            None => self.receivers(packet, device)?,
        };
        let Some(socket) = first_socket(self.scene.host, &receivers) else {
            return Err(self.nobody(packet, is_one, device));
        };
        self.note(format!("socket: {}", shown_socket(&socket)));
        let end = WayEnd {
            sockets: receivers.ids().to_vec(),
            rewritten: self.rewritten(packet),
            ..WayEnd::new(ReachOutcome::Accepted)
        };
        if packet.protocol == Protocol::Udp {
            return Ok(end);
        }
        self.handshake(packet, &socket)?;
        Ok(end)
    }

    fn receivers(&mut self, packet: &Packet, device: u32) -> On<Receivers> {
        let Some(port) = packet.tuple.dport.exact() else {
            return Err(WayEnd::unknown("the port it is sent on to is not known"));
        };
        let asked = lookup_packet(self.scene.network, packet, packet.tuple.dst, port, device);
        match crate::lookup(self.scene.host, &asked) {
            Ok(found) => Ok(found.to),
            Err(fact) => {
                let why = fact.why.clone();
                self.missing.borrow_mut().get_or_insert(fact);
                Err(WayEnd::unknown(why))
            }
        }
    }

    /// No socket takes it: the client is told, if the message finds its way.
    fn nobody(&mut self, packet: &Packet, is_one: bool, device: u32) -> WayEnd {
        self.note("socket: none");
        let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("no-listener"));
        // Nobody is told of a broadcast that nobody wants.
        if !is_one {
            return WayEnd { note: "no socket takes it, and that is not told".into(), ..end };
        }
        let told = Told::nobody(packet.protocol, packet.is_v6());
        let sent = match told {
            Told::Icmp(_) => self.answer_nobody(packet, told),
            _ => self.answer_reset(packet, device),
        };
        match sent {
            Ok(()) => WayEnd {
                errno: told.errno(packet.is_v6()),
                outcome: ReachOutcome::Refused,
                rewritten: self.rewritten(packet),
                ..end
            },
            Err(stopped) => stopped,
        }
    }

    /// The rest of TCP's handshake.
    fn handshake(&mut self, packet: &Packet, socket: &Socket) -> On {
        if socket.state == State::Listen && self.scene.full.contains(&socket.id) {
            self.note("its queue of connections is full");
            let end = WayEnd::new(ReachOutcome::Silent).stopped_by(Stopper::Kernel("backlog"));
            return Err(WayEnd {
                note: "the program does not accept: the socket's queue is full".into(),
                ..end
            });
        }
        self.answer_syn(packet, socket)?;
        self.acknowledge(packet, socket)
    }

    /// What becomes of a handshake that a rule completed before the socket is asked.
    pub(super) fn synproxied(&mut self, packet: &Packet, at: Option<At>, hook: Hook) -> WayEnd {
        if hook != Hook::Input {
            return WayEnd::unknown(
                "the firewall completes the handshake and asks the other host then",
            );
        }
        let receivers = match self.receivers(packet, packet.iif) {
            Ok(receivers) => receivers,
            Err(end) => return end,
        };
        if receivers.ids().is_empty() {
            return WayEnd {
                errno: Some(Errno::ECONNRESET),
                stopper: rule(at),
                note: "the firewall completes the handshake, then no socket takes it".into(),
                ..WayEnd::new(ReachOutcome::Refused)
            };
        }
        WayEnd { sockets: receivers.ids().to_vec(), ..WayEnd::new(ReachOutcome::Accepted) }
    }

    /// Where the packet goes, if that is not where it was sent.
    pub(super) fn rewritten(&self, packet: &Packet) -> Option<SocketAddr> {
        let now = SocketAddr::new(packet.tuple.dst, packet.tuple.dport.exact()?);
        let asked = SocketAddr::new(self.destination(), self.question.to.port());
        (now != asked).then_some(now)
    }
}

fn shown_socket(socket: &Socket) -> alloc::string::String {
    shown(socket.ip, crate::linux::netfilter::Port::Exact(socket.port))
}
