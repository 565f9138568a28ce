//! The model as a backend.

use alloc::{format, vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use super::{Answer, Backend, Probe, Reached, Unsupported, Who, path::Way, world::World};
use crate::{
    AF_UNSPEC, Answered, Call, Errno, Fact, Family, Finding, Host, KernelFamily, Machine, Outcome,
    Packet, Protocol, Receivers, Rule, SockAddr, Socket, SocketId, State, Subject,
    linux::{
        port::{automatic_port, connect_port},
        traffic::{arrives_on, destination, source},
    },
    lookup, v6only_by_default,
};

/// A made-up host on which calls are decided.
pub struct Modelled {
    machine: Machine,
    world: World,
    /// Where the next automatic child of a listener gets its id from.
    next_child: u64,
    next_port: u16,
    /// The rules that were tried, and whether each stopped the call; filled if it is there.
    pub tried: Option<Vec<(&'static Rule, bool)>>,
}

impl Modelled {
    /// Plays on `host`.
    pub fn new(host: Host, world: World) -> Modelled {
        Modelled {
            machine: Machine::new(host),
            world,
            next_child: 1 << 32,
            next_port: 20000,
            tried: None,
        }
    }

    /// The machine that carries the calls.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn subject(who: Who) -> Subject {
        Subject {
            capabilities: Fact::known(who.capabilities(), "the scenario"),
            ..Subject::plain(who.uid, "the scenario")
        }
    }

    /// A port that the kernel could choose for socket `id`, going to be bound by `call`.
    fn automatic_port(&self, id: SocketId, call: &Call) -> Option<u16> {
        let mut socket = *self.machine.get(id)?;
        if let Call::Bind(addr) = call {
            socket.ip = addr.ip(socket.family);
        }
        let host = &self.machine.host;
        match host.kernel.family {
            KernelFamily::Linux => automatic_port(host, &socket).ok()?,
            _ => {
                let ports = host.local_ports.value()?;
                let free = |&port: &u16| host.sockets.on(port).is_ok_and(<[_]>::is_empty);
                (ports.low..=ports.high).find(free)
            }
        }
    }

    /// What the kernel of the machine is, for what only Linux has rules for.
    fn only_linux(&self, what: &str) -> Result<(), Unsupported> {
        match self.machine.host.kernel.family {
            KernelFamily::Linux => Ok(()),
            _ => Err(Unsupported(format!("{what} on this kernel"))),
        }
    }

    /// Connects a TCP socket whose call passed every rule.
    fn connect_tcp(&mut self, id: SocketId, addr: &SockAddr) -> Answer {
        let no = |why: &str| Err(Unsupported(format!("connect: {why}")));
        let Some(&socket) = self.machine.get(id) else { return no("no such socket") };
        let host = &self.machine.host;
        let dst = destination(&socket, addr);
        let Some(src) = source(host, &socket, dst) else { return no("only to this host") };
        if (src, socket.port) == (dst, addr.port) {
            return no("a socket to itself is not modelled");
        }
        let answered = match self.machine.answers(id, addr) {
            Ok(answered) => answered,
            Err(missing) => return no(&missing.why),
        };
        let Some(answered) = answered else { return no("where it ends is not modelled") };
        if socket.port == 0 {
            let Ok(Some(port)) = connect_port(host, &socket, addr) else {
                return no("no port left");
            };
            self.machine.autobind(id, port);
        }
        match answered {
            Answered::Accepted(listeners) => {
                let [listener] = listeners.as_slice() else {
                    return no("which one of a group gets it is chance");
                };
                let child = SocketId(self.next_child);
                self.next_child += 1;
                self.machine.connect(id, *listener, child, (src, dst));
                Ok(vec![Outcome::Ok])
            }
            Answered::Refused => {
                self.machine.disconnect(id);
                Ok(vec![Outcome::Errno(Errno::ECONNREFUSED)])
            }
            Answered::Silent => {
                self.machine.sets_out(id, addr);
                Ok(vec![Outcome::Errno(Errno::ETIMEDOUT)])
            }
        }
    }

    /// A port for a UDP socket that has none.
    fn udp_port(&self, id: SocketId) -> u16 {
        self.automatic_port(id, &Call::Listen(0)).unwrap_or(0)
    }

    /// The way of a probe to the socket layer of this host.
    fn way(&self, probe: &Probe, dst: IpAddr) -> Result<Way, Unsupported> {
        let host = &self.machine.host;
        let src = probe.src.0;
        if probe.from_peer {
            return self.world.way_of_peer(host, src, dst);
        }
        let any = probe.family.unspecified();
        let client = Socket {
            ip: src.unwrap_or(any),
            ..Socket::new(SocketId::ASKING, probe.family, probe.protocol, 0)
        };
        let by_route = || {
            let lo = host.interfaces.value()?.by_name("lo")?;
            self.world.has_local6(dst).then_some((dst, lo.index))
        };
        let way = match (source(host, &client, dst), arrives_on(host, dst)) {
            (Some(src), Some(device)) => Some((src, device)),
            _ => by_route(),
        };
        match way {
            Some((src, device)) => Ok(Way::Arrives(src, device)),
            None => Err(Unsupported(format!("a probe to {dst}, which is not this host's"))),
        }
    }
}

impl Backend for Modelled {
    fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, who: Who) -> Answer {
        self.machine.socket(id, family, protocol, who.uid);
        if family == Family::Inet6 && v6only_by_default(&self.machine.host).0 {
            let call = Call::SetOption(crate::SockOption::V6Only(true));
            self.machine.settle(id, call, Outcome::Ok, None);
        }
        Ok(vec![Outcome::Ok])
    }

    fn call(&mut self, id: SocketId, call: Call, who: Who) -> Answer {
        let tried = &mut self.tried;
        let note = |rule: &'static Rule, finding: &Finding| {
            if let Some(tried) = tried {
                tried.push((rule, *finding == Finding::Stops));
            }
        };
        Ok(self.machine.outcomes(&Modelled::subject(who), id, call, note))
    }

    fn settle(&mut self, id: SocketId, call: Call, outcome: Outcome, port: Option<u16>) {
        let port = port.or_else(|| self.automatic_port(id, &call));
        self.machine.settle(id, call, outcome, port);
    }

    fn local(&mut self, id: SocketId) -> Result<(IpAddr, u32, u16), Unsupported> {
        let socket = self.machine.get(id).ok_or_else(|| Unsupported("no such socket".into()))?;
        let zone = match socket.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => socket.device,
            _ => 0,
        };
        Ok((socket.ip, zone, self.machine.shown_port(id)))
    }

    fn option(&mut self, id: SocketId, name: &str) -> Result<i64, Unsupported> {
        let socket = self.machine.get(id).ok_or_else(|| Unsupported("no such socket".into()))?;
        let value = match name {
            "reuseaddr" => socket.options.reuseaddr == Some(true),
            "reuseport" => socket.options.reuseport == Some(true),
            "v6only" => socket.v6only,
            "freebind" => socket.options.freebind,
            "transparent" => socket.options.transparent,
            "bind_address_no_port" => socket.options.bind_address_no_port,
            "bindtoifindex" => return Ok(socket.device.into()),
            _ => return Err(Unsupported(format!("getopt {name}"))),
        };
        Ok(value.into())
    }

    fn close(&mut self, id: SocketId) {
        self.machine.close(id);
    }

    fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Answer {
        self.only_linux("connect")?;
        let call = Call::Connect(addr);
        let possible = self.call(id, call, who)?;
        let Some(&socket) = self.machine.get(id) else {
            return Err(Unsupported("no such socket".into()));
        };
        let [outcome] = possible.as_slice() else { return Ok(possible) };
        let is_udp = socket.protocol == Protocol::Udp;
        match outcome {
            Outcome::Ok if addr.family == AF_UNSPEC => {
                self.machine.disconnect(id);
            }
            Outcome::Ok if is_udp => {
                let port = self.udp_port(id);
                self.machine.connect_udp(id, &addr, port);
            }
            Outcome::Ok => return self.connect_tcp(id, &addr),
            // Past the first checks a UDP socket has its port, and a TCP socket loses what was
            // chosen for it.
            Outcome::Errno(errno) if is_udp && !matches!(errno, Errno::EAGAIN) && addr.len >= 2 => {
                let port = self.udp_port(id);
                self.machine.autobind_udp(id, port);
            }
            Outcome::Errno(Errno::EADDRNOTAVAIL) if !is_udp => {
                self.machine.disconnect(id);
            }
            Outcome::Errno(_) => {}
        }
        Ok(possible)
    }

    fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Answer {
        self.only_linux("accept")?;
        let errno = match self.machine.get(listener).copied() {
            Some(s) if s.protocol == Protocol::Udp => Errno::EOPNOTSUPP,
            Some(s) if s.state != State::Listen => Errno::EINVAL,
            _ if self.machine.accept(listener, child, who.uid) => return Ok(vec![Outcome::Ok]),
            _ => Errno::EAGAIN,
        };
        Ok(vec![Outcome::Errno(errno)])
    }

    fn send(&mut self, id: SocketId, addr: Option<SockAddr>, _: Who) -> Answer {
        self.only_linux("send")?;
        let no = |why: &str| Err(Unsupported(format!("send: {why}")));
        let Some(&socket) = self.machine.get(id) else { return no("no such socket") };
        if socket.protocol == Protocol::Tcp {
            let sent = self.machine.send_tcp(id);
            return sent
                .map_or_else(|| no("to where is not modelled"), |outcome| Ok(vec![outcome]));
        }
        if let Some(errno) = self.machine.pending_error(id) {
            return Ok(vec![Outcome::Errno(errno)]);
        }
        if addr.is_none() && socket.remote.is_none() {
            return Ok(vec![Outcome::Errno(Errno::EDESTADDRREQ)]);
        }
        if socket.port == 0 {
            match self.automatic_port(id, &Call::Listen(0)) {
                Some(port) => self.machine.autobind_udp(id, port),
                None => return Ok(vec![Outcome::Errno(Errno::EAGAIN)]),
            }
        }
        match self.machine.send_udp(id, addr.as_ref()) {
            Ok(Some(())) => Ok(vec![Outcome::Ok]),
            Ok(None) => no("to where is not modelled"),
            Err(missing) => no(&missing.why),
        }
    }

    fn receive(&mut self, id: SocketId, _: Who) -> Answer {
        self.only_linux("recv")?;
        self.machine.receive(id).ok_or_else(|| Unsupported("no such socket".into()))
    }

    fn shutdown(&mut self, id: SocketId, read: bool, write: bool, _: Who) -> Answer {
        self.only_linux("shutdown")?;
        match self.machine.shutdown(id, read, write) {
            Some(outcome) => Ok(vec![outcome]),
            None => Err(Unsupported("shutdown: what it leaves is not modelled".into())),
        }
    }

    fn peer(&mut self, id: SocketId) -> Result<Option<(IpAddr, u16)>, Unsupported> {
        self.only_linux("getpeername")?;
        let socket = self.machine.get(id).ok_or_else(|| Unsupported("no such socket".into()))?;
        Ok(socket.remote.map(|remote| (remote.ip(), remote.port())))
    }

    fn probe(&mut self, probe: &Probe, _: Who) -> Result<Reached, Unsupported> {
        self.only_linux("probe")?;
        let client = Socket::new(SocketId::ASKING, probe.family, probe.protocol, 0);
        let dst = destination(&client, &probe.addr);
        let (src, device) = match self.way(probe, dst)? {
            Way::Arrives(src, device) => (src, device),
            Way::Ends(outcome) => return Ok(Reached::Nobody(outcome)),
        };
        let packet = Packet {
            protocol: probe.protocol,
            src: SocketAddr::new(src.to_canonical(), probe.src.1),
            dst: SocketAddr::new(dst, probe.addr.port),
            device,
            vrf: 0,
            broadcast: false,
        };
        let found = lookup(&self.machine.host, &packet)
            .map_err(|missing| Unsupported(format!("probe: {}", missing.why)))?;
        Ok(match found.to {
            Receivers::One(id) => Reached::OneOf(vec![id]),
            Receivers::OneOf(ids) => Reached::OneOf(ids),
            Receivers::All(ids) => Reached::All(ids),
            Receivers::Nobody if probe.protocol == Protocol::Udp => Reached::Nobody(Outcome::Ok),
            Receivers::Nobody => Reached::Nobody(Outcome::Errno(Errno::ECONNREFUSED)),
        })
    }

    fn lookup(
        &mut self,
        protocol: Protocol,
        dst: SocketAddr,
    ) -> Result<(Reached, bool), Unsupported> {
        let src = SocketAddr::new(dst.ip(), 0);
        let packet = Packet { protocol, src, dst, device: 0, vrf: 0, broadcast: false };
        let found = lookup(&self.machine.host, &packet);
        let found = found.map_err(|missing| Unsupported(format!("lookup: {}", missing.why)))?;
        let of = |id: &SocketId| self.machine.get(*id).is_some_and(|s| s.state == State::Listen);
        let listens = !found.to.ids().is_empty() && found.to.ids().iter().all(of);
        let reached = match found.to {
            Receivers::One(id) => Reached::OneOf(vec![id]),
            Receivers::OneOf(ids) => Reached::OneOf(ids),
            Receivers::All(ids) => Reached::All(ids),
            Receivers::Nobody => Reached::Nobody(Outcome::Ok),
        };
        Ok((reached, listens))
    }

    fn device(&mut self, name: &str) -> Option<u32> {
        self.machine.host.interfaces.value()?.by_name(name).map(|i| i.index)
    }

    fn sysctl(&mut self, key: &str, value: &str) -> Answer {
        if let Some(outcome) = refused_sysctl(&self.machine.host, key, value) {
            return Ok(vec![outcome]);
        }
        self.world.sysctl(&mut self.machine.host, key, value)?;
        Ok(vec![Outcome::Ok])
    }

    fn command(&mut self, command: &str) -> Result<(), Unsupported> {
        self.world.command(&mut self.machine.host, command)
    }

    fn sleep(&mut self, milliseconds: u64) {
        self.world.sleep(&mut self.machine.host, milliseconds);
    }

    fn free_port(&mut self) -> u16 {
        self.next_port += 10;
        self.next_port
    }
}

/// The limit of low ports and the automatic range may not overlap.
fn refused_sysctl(host: &Host, key: &str, value: &str) -> Option<Outcome> {
    let limit = host.sysctl("net.ipv4.ip_unprivileged_port_start").ok()?;
    let low = i64::from(host.local_ports.value()?.low);
    let mut numbers = value.split_whitespace().map(str::parse::<i64>);
    let first = numbers.next()?.ok()?;
    let overlaps = match key {
        "net.ipv4.ip_unprivileged_port_start" => first > low,
        "net.ipv4.ip_local_port_range" => first < limit,
        _ => false,
    };
    overlaps.then_some(Outcome::Errno(Errno::EINVAL))
}
