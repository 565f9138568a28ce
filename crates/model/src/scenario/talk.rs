//! Connections and packets on the model, in two steps: what may happen, and what did.

use alloc::{format, vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use super::{Answer, Backend, Probe, Reached, Unsupported, Who, modelled::Modelled, path::Way};
use crate::{
    AF_INET6, AF_UNSPEC, Answered, Call, Errno, Family, Found, Outcome, Packet, Protocol, SockAddr,
    Socket, SocketId,
    linux::{
        port::connect_port,
        traffic::{arrival, destination, device_after, source},
    },
    lookup, needs_zone,
};

/// Whether a call with this outcome got so far that it read the zone of the address.
fn past_zone(outcome: Outcome, addr: &SockAddr) -> bool {
    use Errno::{EADDRNOTAVAIL, EAFNOSUPPORT, ECONNREFUSED, ENETUNREACH, ETIMEDOUT};
    match outcome {
        Outcome::Ok => true,
        // Of the two families, this one is that of the sender.
        Outcome::Errno(EAFNOSUPPORT) => addr.family == AF_INET6,
        Outcome::Errno(errno) => {
            matches!(errno, EADDRNOTAVAIL | ECONNREFUSED | ENETUNREACH | ETIMEDOUT)
        }
    }
}

/// What may become of a `connect`.
#[derive(Clone, Debug, PartialEq)]
pub enum Connects {
    /// The call answers one of these.
    Said(Vec<Outcome>),
    /// It succeeds, and this listener has the connection, or one of these by chance.
    Accepted(Vec<SocketId>),
}

/// What became of a `connect`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connected {
    /// What the call answered.
    pub outcome: Outcome,
    /// Who has the connection, if it was made to a listener.
    pub listener: Option<SocketId>,
}

impl Modelled {
    /// What becomes of `connect(2)`; nothing changes but what [`Modelled::tried`] holds.
    ///
    /// # Errors
    /// What of it is not modelled.
    pub fn connects(
        &mut self,
        id: SocketId,
        addr: &SockAddr,
        who: Who,
    ) -> Result<Connects, Unsupported> {
        let no = |why: &str| Err(Unsupported(format!("connect: {why}")));
        let possible = self.call(id, Call::Connect(*addr), who)?;
        let Some(&socket) = self.machine.get(id) else { return no("no such socket") };
        let [outcome @ (Outcome::Ok | Outcome::Errno(Errno::EAFNOSUPPORT))] = possible.as_slice()
        else {
            return Ok(Connects::Said(possible));
        };
        if addr.family == AF_UNSPEC || *outcome != Outcome::Ok && addr.family != AF_INET6 {
            return Ok(Connects::Said(possible));
        }
        let host = &self.machine.host;
        let dst = destination(&socket, addr);
        let bound = Socket { device: device_after(&socket, addr), ..socket };
        // Where it comes from does not matter here.
        let sender = Socket { ip: Family::of(dst).unspecified(), ..bound };
        let arrives = arrival(host, &sender, dst, addr.scope);
        if arrives.is_some_and(|a| bound.device != 0 && bound.device != a.device) {
            return no("over which way a socket of another device sends");
        }
        if *outcome != Outcome::Ok {
            return Ok(Connects::Said(possible));
        }
        if socket.protocol == Protocol::Udp {
            return Ok(Connects::Said(possible));
        }
        if dst.is_ipv6() && self.machine.spoke_v4(id) {
            return no("an IPv6 socket that spoke IPv4 before");
        }
        let Some(src) = source(host, &socket, dst) else { return no("only to this host") };
        if (src, socket.port) == (dst, addr.port) {
            return no("a socket to itself is not modelled");
        }
        // The answer has to find back.
        let of_one_link = |ip: IpAddr| match ip {
            IpAddr::V6(ip) => ip.is_loopback() || needs_zone(ip),
            IpAddr::V4(_) => false,
        };
        let back = arrival(host, &Socket { ip: dst, ..bound }, src, bound.device);
        let lost = back.is_none_or(|b| bound.device != 0 && bound.device != b.device);
        if lost || src != dst && of_one_link(src) {
            return no("how the answer gets back is not modelled");
        }
        let (answered, by) = match self.machine.answers(id, addr) {
            Ok(Some(answered)) => answered,
            Ok(None) => return no("where it ends is not modelled"),
            Err(missing) => return no(&missing.why),
        };
        self.note(&by);
        Ok(match answered {
            Answered::Accepted(listeners) => {
                // A listener that is bound to a device answers over that one.
                let other = |id: &SocketId| {
                    let listener = self.machine.get(*id).map_or(0, |s| s.device);
                    listener != 0 && back.is_none_or(|b| b.device != listener)
                };
                if listeners.iter().any(other) {
                    return no("how the answer of another device gets back is not modelled");
                }
                Connects::Accepted(listeners)
            }
            Answered::Refused => Connects::Said(vec![Outcome::Errno(Errno::ECONNREFUSED)]),
            Answered::Silent => Connects::Said(vec![Outcome::Errno(Errno::ETIMEDOUT)]),
        })
    }

    /// Makes the effects of a `connect`. `port` is the one that the kernel chose, if the socket had
    /// none and it is known.
    pub fn settle_connect(
        &mut self,
        id: SocketId,
        addr: &SockAddr,
        came: Connected,
        port: Option<u16>,
    ) {
        if addr.family != AF_UNSPEC && past_zone(came.outcome, addr) {
            self.machine.zoned(id, addr);
        }
        let Some(&socket) = self.machine.get(id) else { return };
        let is_udp = socket.protocol == Protocol::Udp;
        let over_v4 = destination(&socket, addr).is_ipv4() && socket.family == Family::Inet6;
        if over_v4 && !is_udp && addr.family != AF_UNSPEC {
            self.machine.speaks_v4(id);
        }
        match came.outcome {
            Outcome::Ok if addr.family == AF_UNSPEC => {
                self.machine.unconnect(id);
            }
            Outcome::Ok if is_udp => {
                let port = port.unwrap_or_else(|| self.udp_port(id));
                self.machine.connect_udp(id, addr, port);
            }
            // Past the first checks a UDP socket has its port, and a TCP socket loses what was
            // chosen for it.
            Outcome::Errno(errno) if is_udp && !matches!(errno, Errno::EAGAIN) && addr.len >= 2 => {
                let port = port.unwrap_or_else(|| self.udp_port(id));
                self.machine.autobind_udp(id, port);
            }
            Outcome::Ok => {
                let Some(listener) = came.listener else { return };
                let dst = destination(&socket, addr);
                let Some(src) = source(&self.machine.host, &socket, dst) else { return };
                self.autobind(&socket, addr, port);
                let child = SocketId(self.next_child);
                self.next_child += 1;
                self.machine.connect(id, listener, child, (src, dst));
            }
            Outcome::Errno(errno @ (Errno::ECONNREFUSED | Errno::EADDRNOTAVAIL)) => {
                let dst = destination(&socket, addr);
                if let Some(src) = source(&self.machine.host, &socket, dst) {
                    self.machine.narrow(id, src);
                }
                if errno == Errno::ECONNREFUSED {
                    self.autobind(&socket, addr, port);
                }
                self.machine.disconnect(id);
            }
            Outcome::Errno(Errno::ETIMEDOUT) => {
                self.autobind(&socket, addr, port);
                self.machine.sets_out(id, addr);
            }
            Outcome::Errno(_) => {}
        }
    }

    fn autobind(&mut self, socket: &Socket, addr: &SockAddr, port: Option<u16>) {
        if socket.port != 0 {
            return;
        }
        let could = || connect_port(&self.machine.host, socket, addr).ok().flatten();
        if let Some(port) = port.filter(|port| *port != 0).or_else(could) {
            self.machine.autobind(socket.id, port);
        }
    }

    /// A port for a UDP socket that has none.
    fn udp_port(&self, id: SocketId) -> u16 {
        self.automatic_port(id, &Call::Listen(0)).unwrap_or(0)
    }

    /// Who gets what a client that is made for it sends.
    pub(super) fn receivers(&mut self, probe: &Probe) -> Result<Reached, Unsupported> {
        let client = Socket::new(SocketId::ASKING, probe.family, probe.protocol, 0);
        let dst = destination(&client, &probe.addr);
        let (src, device, broadcast) = match self.way(probe, dst)? {
            Way::Arrives(src, device, broadcast) => (src, device, broadcast),
            Way::Ends(outcome) => return Ok(Reached::Nobody(outcome)),
        };
        let packet = Packet {
            protocol: probe.protocol,
            src: SocketAddr::new(src.to_canonical(), probe.src.1),
            dst: SocketAddr::new(dst, probe.addr.port),
            device,
            vrf: 0,
            broadcast,
        };
        let found = lookup(&self.machine.host, &packet)
            .map_err(|missing| Unsupported(format!("probe: {}", missing.why)))?;
        self.note(&found);
        let told = match probe.protocol {
            Protocol::Udp if packet.is_for_all() => Outcome::Ok,
            _ => Outcome::Errno(Errno::ECONNREFUSED),
        };
        Ok(Reached::of(found.to, told))
    }

    /// Who gets what the UDP socket `id` sends to `addr`, or to its peer.
    ///
    /// # Errors
    /// What of it is not modelled.
    pub fn sends_to(
        &mut self,
        id: SocketId,
        addr: Option<SockAddr>,
    ) -> Result<Reached, Unsupported> {
        let no = |why: &str| Unsupported(format!("send: {why}"));
        let socket = *self.machine.get(id).ok_or_else(|| no("no such socket"))?;
        let addr = addr.or(socket.remote.map(SockAddr::from));
        let Some(addr) = addr else { return Ok(Reached::Nobody(Outcome::Ok)) };
        let found = self.machine.finds(&socket, &addr);
        let found = found.map_err(|missing| no(&missing.why))?;
        let found = found.ok_or_else(|| no("to where is not modelled"))?;
        self.note(&found);
        Ok(Reached::of(found.to, Outcome::Ok))
    }

    /// `send(2)` or `sendto(2)` with its effects. `port` is the one that the kernel chose, if the
    /// socket had none and it is known.
    ///
    /// # Errors
    /// What of it is not modelled.
    pub fn settle_send(
        &mut self,
        id: SocketId,
        addr: Option<SockAddr>,
        port: Option<u16>,
        who: Who,
    ) -> Answer {
        let no = |why: &str| Err(Unsupported(format!("send: {why}")));
        let errno = |errno| Ok(vec![Outcome::Errno(errno)]);
        let Some(&socket) = self.machine.get(id) else { return no("no such socket") };
        if socket.protocol == Protocol::Tcp {
            let sent = self.machine.send_tcp(id);
            return sent
                .map_or_else(|| no("to where is not modelled"), |outcome| Ok(vec![outcome]));
        }
        if socket.port == 0 {
            match port.or_else(|| self.automatic_port(id, &Call::Listen(0))) {
                Some(port) => self.machine.autobind_udp(id, port),
                None => return errno(Errno::EAGAIN),
            }
        }
        if addr.is_none() && socket.remote.is_none() {
            return errno(Errno::EDESTADDRREQ);
        }
        if let Some(addr) = addr {
            // What is asked of a destination is the same as for `connect`, but for the zone.
            let zoned = addr.scope != 0 || socket.device != 0 || !needs_zone(addr.ipv6());
            if addr.family == AF_UNSPEC || socket.family == Family::Inet6 && !zoned {
                return no("to where is not modelled");
            }
            let possible = self.call(id, Call::Connect(addr), who)?;
            if possible != [Outcome::Ok] {
                return Ok(possible);
            }
        }
        if let Some(error) = self.machine.pending_error(id) {
            return errno(error);
        }
        if self.machine.is_shut(id) {
            return errno(Errno::EPIPE);
        }
        match self.machine.send_udp(id, addr.as_ref()) {
            Ok(Some(())) => Ok(vec![Outcome::Ok]),
            Ok(None) => no("to where is not modelled"),
            Err(missing) => no(&missing.why),
        }
    }

    /// The way of a probe to the socket layer of this host.
    fn way(&self, probe: &Probe, dst: IpAddr) -> Result<Way, Unsupported> {
        let host = &self.machine.host;
        let src = probe.src.0;
        if probe.from_peer {
            return self.world.way_of_peer(host, src, dst);
        }
        if src.is_some_and(|src| src.to_canonical().is_ipv4() != dst.is_ipv4()) {
            return Err(Unsupported(format!("a probe to {dst} from the other family")));
        }
        let any = probe.family.unspecified();
        let client = Socket {
            ip: src.unwrap_or(any),
            ..Socket::new(SocketId::ASKING, probe.family, probe.protocol, 0)
        };
        let by_route = || {
            let lo = host.interfaces.value()?.by_name("lo")?;
            self.world.has_local6(dst).then_some(Way::Arrives(dst, lo.index, false))
        };
        let arrives = arrival(host, &client, dst, probe.addr.scope);
        let arrives = arrives.map(|a| Way::Arrives(a.src, a.device, a.broadcast));
        arrives
            .or_else(by_route)
            .ok_or_else(|| Unsupported(format!("a probe to {dst}, which is not this host's")))
    }

    fn note(&mut self, found: &Found) {
        if let Some(choices) = &mut self.found {
            choices.push(found.by);
        }
    }
}
