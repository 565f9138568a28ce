//! Connections and packets, to find out who gets them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{
    AF_UNSPEC, Call, Family, Machine, Protocol, SockAddr, SockOption, Socket, SocketId, State,
    scenario::Probe,
};

use super::{Generator, Turn};
use crate::act::lab::script::Op;

/// Addresses of the namespace to which packets are sent.
const OWN4: &[[u8; 4]] = &[
    [127, 0, 0, 1],
    [127, 0, 0, 1],
    [127, 0, 0, 1],
    [127, 0, 0, 2],
    [127, 9, 9, 9],
    [192, 0, 2, 1],
    [192, 0, 2, 1],
    [198, 51, 100, 1],
];
/// The same of IPv6; the last two with a zone, as both links have that address.
const OWN6: &[&str] =
    &["::1", "::1", "::1", "2001:db8::1", "2001:db8::1", "2001:db8:1::1", "fe80::1", "fe80::1"];
/// Addresses of everybody, with the address to send from.
const MANY4: &[([u8; 4], Option<[u8; 4]>)] = &[
    ([192, 0, 2, 255], None),
    ([127, 255, 255, 255], None),
    ([224, 0, 0, 1], Some([192, 0, 2, 1])),
    ([224, 0, 0, 1], Some([198, 51, 100, 1])),
    ([255, 255, 255, 255], Some([192, 0, 2, 1])),
];

impl Generator<'_> {
    /// A packet or connection to a port that somebody has; or a look at a name.
    pub(super) fn ask(&mut self, machine: &Machine) -> Option<Op> {
        let sockets = machine.sockets();
        let target = *sockets.get(self.random.below(sockets.len().max(1)))?;
        match self.random.below(20) {
            0..11 => self.probe(&target),
            11..14 if target.protocol == Protocol::Tcp => self.caller(&target),
            11..15 => self.sender(&target, machine),
            15 | 16 => self.connect(machine, &target),
            17 => self.disconnect(&target),
            18 => self.shutdown(&target, machine),
            _ => Some(Op::Name { id: target.id }),
        }
    }

    fn probe(&mut self, target: &Socket) -> Option<Op> {
        let port = if target.port == 0 { self.main_port } else { target.port };
        if port == 0 {
            return None;
        }
        let protocol = target.protocol;
        let (mut family, mut addr) = self.own(target, port);
        let mut src = (None, 0);
        if protocol == Protocol::Udp && self.random.chance(12) {
            if self.random.chance(60) {
                let (ip, from) = self.random.pick(MANY4);
                addr = SockAddr::v4(ip.into(), port);
                src.0 = from.map(|ip| IpAddr::V4(ip.into()));
                family = Family::Inet;
            } else {
                let device = self.cast.devices[1 + self.random.below(2)];
                let from = if device == self.cast.devices[1] { 0 } else { 1 };
                let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                addr = SockAddr::v6(group, port, device);
                src.0 = Some(Ipv6Addr::new(0x2001, 0xdb8, from, 0, 0, 0, 0, 1).into());
                family = Family::Inet6;
            }
        } else if let Some(remote) = target.remote.filter(|_| protocol == Protocol::Udp)
            && self.random.chance(40)
        {
            // From the very end that it is connected to, if nobody is there.
            src = (Some(remote.ip().to_canonical()), remote.port());
        }
        Some(Op::Probe(Probe { family, protocol, addr, src, from_peer: false, timeout: 1500 }))
    }

    /// An address of this host where `target` may be, for a socket of the family that is returned
    /// too.
    fn own(&mut self, target: &Socket, port: u16) -> (Family, SockAddr) {
        let ip = match target.ip.to_canonical() {
            ip if is_own(ip) && self.random.chance(50) => ip,
            IpAddr::V6(_) if target.v6only || self.random.chance(50) => self.own6(),
            _ => IpAddr::V4(self.random.pick(OWN4).into()),
        };
        match ip {
            IpAddr::V4(ip) if self.random.chance(15) => {
                (Family::Inet6, SockAddr::v6(ip.to_ipv6_mapped(), port, 0))
            }
            IpAddr::V4(ip) => (Family::Inet, SockAddr::v4(ip, port)),
            IpAddr::V6(ip) => {
                let on = self.cast.devices[1 + self.random.below(2)];
                let scope = if ip.is_unicast_link_local() { on } else { 0 };
                (Family::Inet6, SockAddr::v6(ip, port, scope))
            }
        }
    }

    fn own6(&mut self) -> IpAddr {
        self.random.pick(OWN6).parse().expect("an address written here")
    }

    /// A fresh TCP client, bound or not, that is accepted where it arrives.
    fn caller(&mut self, target: &Socket) -> Option<Op> {
        if target.port == 0 {
            return None;
        }
        let (family, addr) = self.own(target, target.port);
        let (client, child) = (self.id(), self.id());
        let (who, accepter) = (self.who(), self.who());
        if self.random.chance(50) {
            self.queue.push(Op::Name { id: client });
        }
        self.queue.push(Op::Accept { listener: target.id, child, who: accepter });
        self.queue.push(Op::Connect { id: client, addr, who });
        let call = |call| Op::Call { id: client, call, who };
        if self.random.chance(40) {
            let port = self.random.pick(&[0, 8080, 8081, 1024]);
            let ip = match self.random.below(3) {
                0 => addr.ip(family),
                _ => family.unspecified(),
            };
            let scope = if self.random.chance(50) { addr.scope } else { 0 };
            self.queue.push(call(Call::Bind(SockAddr::new(ip, port, scope))));
            for option in [
                SockOption::ReuseAddr(true),
                SockOption::ReusePort(true),
                SockOption::BindAddressNoPort(true),
            ] {
                if self.random.chance(40) {
                    self.queue.push(call(Call::SetOption(option)));
                }
            }
        }
        Some(Op::Socket { id: client, family, protocol: Protocol::Tcp, who })
    }

    /// A UDP socket that is there sends to another, or to its peer.
    fn sender(&mut self, target: &Socket, machine: &Machine) -> Option<Op> {
        let senders = machine.sockets().iter().filter(|s| s.protocol == Protocol::Udp);
        let senders: Vec<&Socket> = senders.filter(|s| speaks(s)).collect();
        let from = *senders.get(self.random.below(senders.len().max(1)))?;
        let who = self.who();
        if from.remote.is_some() && self.random.chance(50) {
            return Some(Op::Send { id: from.id, addr: None, who });
        }
        let addr = self.reachable(from, target)?;
        // The port that the call gives it could be the very one it sends to.
        let range = from.options.local_port_range;
        let may_be = |(low, high): (u16, u16)| low <= addr.port && (high == 0 || addr.port <= high);
        if from.port == 0 && range.is_some_and(may_be) {
            return None;
        }
        Some(Op::Send { id: from.id, addr: Some(addr), who })
    }

    /// Connects a socket that is there.
    fn connect(&mut self, machine: &Machine, target: &Socket) -> Option<Op> {
        let able = |s: &&Socket| match s.protocol {
            Protocol::Tcp => s.state == State::Closed && s.device == 0,
            Protocol::Udp => true,
        };
        let able = machine.sockets().iter().filter(|s| speaks(s)).filter(able);
        let able: Vec<&Socket> = able.collect();
        let from = *able.get(self.random.below(able.len().max(1)))?;
        let addr = self.reachable(from, target)?;
        let (child, who, accepter) = (self.id(), self.who(), self.who());
        if from.protocol == Protocol::Tcp {
            self.queue.push(Op::Accept { listener: target.id, child, who: accepter });
        }
        Some(Op::Connect { id: from.id, addr, who })
    }

    /// An address of `target` that `from` can speak to.
    fn reachable(&mut self, from: &Socket, target: &Socket) -> Option<SockAddr> {
        let port = if target.port == 0 { self.main_port } else { target.port };
        let (_, addr) = self.own(target, if port == 0 { 8080 } else { port });
        let to = addr.ip(Family::of(match addr.family {
            portwise_model::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        }));
        let own = from.ip.to_canonical();
        let apart = !own.is_unspecified() && own.is_ipv4() != to.to_canonical().is_ipv4();
        if apart || from.v6only && to.to_canonical().is_ipv4() {
            return None;
        }
        match (from.family, to.to_canonical()) {
            (Family::Inet, IpAddr::V4(ip)) => Some(SockAddr::v4(ip, addr.port)),
            (Family::Inet, IpAddr::V6(_)) => None,
            (Family::Inet6, IpAddr::V4(ip)) => {
                Some(SockAddr::v6(ip.to_ipv6_mapped(), addr.port, 0))
            }
            (Family::Inet6, IpAddr::V6(_)) => Some(addr),
        }
    }

    fn disconnect(&mut self, target: &Socket) -> Option<Op> {
        let addr = SockAddr { family: AF_UNSPEC, ..SockAddr::v4(Ipv4Addr::UNSPECIFIED, 0) };
        self.queue.push(Op::Name { id: target.id });
        Some(Op::Connect { id: target.id, addr, who: self.who() })
    }

    fn shutdown(&mut self, target: &Socket, machine: &Machine) -> Option<Op> {
        // Of a connection both ends are closed then, so that no state passes by itself.
        if let Some(peer) = machine.peer(target.id) {
            self.queue.push(Op::Close { id: peer });
            self.queue.push(Op::Close { id: target.id });
        } else {
            self.queue.push(Op::Name { id: target.id });
        }
        let (read, write) = self.random.pick(&[(true, false), (false, true), (true, true)]);
        Some(Op::Shutdown { id: target.id, read, write, who: self.who() })
    }

    /// Many UDP sockets on one port.
    pub(super) fn one_of_a_crowd(&mut self) -> Op {
        let family = self.random.pick(&[Family::Inet, Family::Inet6]);
        let (id, who) = (self.id(), self.who());
        let call = |call| Op::Call { id, call, who };
        let addr = self.address(family);
        self.queue.push(call(Call::Bind(SockAddr { port: 8080, ..addr })));
        if family == Family::Inet6 && self.random.chance(30) {
            self.queue.push(call(Call::SetOption(SockOption::V6Only(true))));
        }
        if self.random.chance(10) {
            let device = self.device();
            self.queue.push(call(Call::SetOption(SockOption::BindToDevice(device))));
        }
        if self.random.chance(90) {
            self.queue.push(call(Call::SetOption(SockOption::ReuseAddr(true))));
        }
        if self.random.chance(40) {
            self.queue.push(call(Call::SetOption(SockOption::ReusePort(true))));
        }
        Op::Socket { id, family, protocol: Protocol::Udp, who }
    }

    /// How many sockets a scenario has, and of how many packets it asks who gets them.
    pub(super) fn size(&mut self, turn: Turn, left: usize) -> (usize, usize) {
        match turn {
            Turn::Crowd => (12 + self.random.below(5), 3),
            Turn::Talk => (left.max(2), 2 + self.random.below(4)),
            _ => (left, 0),
        }
    }
}

/// Whether packets can be sent from a socket and come back to it.
fn speaks(socket: &Socket) -> bool {
    let ip = socket.ip.to_canonical();
    ip.is_unspecified() || is_own(ip)
}

fn is_own(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => OWN4.contains(&ip.octets()),
        IpAddr::V6(ip) => OWN6.iter().any(|own| own.parse() == Ok(ip)),
    }
}

/// The listener that a connection waits at, whichever was thought of.
pub(super) fn accepting(op: Op, waits_at: Option<SocketId>) -> Option<Op> {
    match op {
        Op::Accept { child, who, .. } => {
            waits_at.map(|listener| Op::Accept { listener, child, who })
        }
        op => Some(op),
    }
}
