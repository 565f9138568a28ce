//! The model as a backend.

use alloc::{boxed::Box, format, vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use super::{
    Answer, Backend, Domain, Probe, Reached, Special, Unsupported, Who,
    talk::{Connected, Connects},
    world::World,
};
use crate::{
    CAP_NET_ADMIN, CAP_NET_RAW, Call, Choice, Errno, Fact, Family, Finding, Host, KernelFamily,
    Machine, Outcome, Packet, Protocol, Rule, SockAddr, SocketId, State, Subject,
    linux::port::automatic_port, lookup, v6only_by_default,
};

/// A made-up host on which calls are decided.
pub struct Modelled {
    pub(super) machine: Machine,
    pub(super) world: World,
    /// Where the next automatic child of a listener gets its id from.
    pub(super) next_child: u64,
    next_port: u16,
    /// The rules that were tried, and whether each stopped the call; filled if it is there.
    pub tried: Option<Vec<(&'static Rule, bool)>>,
    /// Sockets that are neither TCP nor UDP, and what is special about them.
    pub(super) specials: Vec<(SocketId, Special)>,
    /// `SO_MARK`, which decides nothing here.
    pub(super) marks: Vec<(SocketId, i64)>,
    /// The same host for UDP-Lite, whose ports are its own.
    pub(super) lite: Option<Box<Modelled>>,
    /// Landlock domains: the rights handled, and what is allowed by port.
    pub(super) domains: Vec<Domain>,
    /// The steps of the lookup that found a socket, or nobody; filled if it is there.
    pub found: Option<Vec<&'static Choice>>,
}

/// Beyond the ids that scenarios give.
const FIRST_CHILD: u64 = 1 << 32;
/// Where the search for ports that nobody has begins.
const FIRST_PORT: u16 = 20000;

impl Modelled {
    /// Plays on `host`.
    pub fn new(host: Host, world: World) -> Modelled {
        Modelled {
            machine: Machine::new(host),
            world,
            next_child: FIRST_CHILD,
            next_port: FIRST_PORT,
            tried: None,
            specials: Vec::new(),
            marks: Vec::new(),
            lite: None,
            domains: Vec::new(),
            found: None,
        }
    }

    /// Begins again with what `host` has of sockets. Links and settings stay as they are.
    pub fn restart(&mut self, host: &Host) {
        self.machine.restart(host);
        self.next_child = FIRST_CHILD;
        self.next_port = FIRST_PORT;
        self.tried = None;
        self.specials.clear();
        self.marks.clear();
        self.lite = None;
        self.domains.clear();
        self.found = None;
    }

    /// The machine that carries the calls.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(super) fn subject(who: Who) -> Subject {
        Subject {
            capabilities: Fact::known(who.capabilities(), "the scenario"),
            ..Subject::plain(who.uid, "the scenario")
        }
    }

    /// A port that the kernel could choose for socket `id`, going to be bound by `call`.
    pub(super) fn automatic_port(&self, id: SocketId, call: &Call) -> Option<u16> {
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
}

impl Backend for Modelled {
    fn special(&mut self, id: SocketId, special: Special, who: Who) -> Answer {
        self.only_linux("such a socket")?;
        self.make_special(id, special, who)
    }

    fn mark(&mut self, id: SocketId, value: i64, who: Who) -> Answer {
        self.only_linux("option mark")?;
        let may = [CAP_NET_ADMIN, CAP_NET_RAW].iter().any(|cap| who.capabilities().has(*cap));
        if !may {
            return Ok(vec![Outcome::Errno(Errno::EPERM)]);
        }
        self.marks.push((id, value));
        Ok(vec![Outcome::Ok])
    }

    fn landlock(&mut self, domain: Domain) -> Answer {
        self.only_linux("landlock")?;
        self.domains.push(domain);
        Ok(vec![Outcome::Ok])
    }

    fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, who: Who) -> Answer {
        self.machine.socket(id, family, protocol, who.uid);
        if family == Family::Inet6 && v6only_by_default(&self.machine.host).0 {
            let call = Call::SetOption(crate::SockOption::V6Only(true));
            self.machine.settle(id, call, Outcome::Ok, None);
        }
        Ok(vec![Outcome::Ok])
    }

    fn call(&mut self, id: SocketId, call: Call, who: Who) -> Answer {
        if self.is_lite(id) {
            return self.lite().call(id, call, who);
        }
        if let Some(answer) = self.special_call(id, call, who) {
            return answer;
        }
        if let Some(outcome) = self.locked(id, &call) {
            return Ok(vec![outcome]);
        }
        let tried = &mut self.tried;
        let note = |rule: &'static Rule, finding: &Finding| {
            if let Some(tried) = tried {
                tried.push((rule, *finding == Finding::Stops));
            }
        };
        Ok(self.machine.outcomes(&Modelled::subject(who), id, call, note))
    }

    fn settle(&mut self, id: SocketId, call: Call, outcome: Outcome, port: Option<u16>) {
        if self.is_lite(id) {
            return self.lite().settle(id, call, outcome, port);
        }
        if self.settle_special(id, call, outcome) || self.machine.get(id).is_none() {
            return;
        }
        // The search for a port that nobody has is not short.
        let named = match call {
            Call::Bind(addr) => addr.port != 0,
            Call::Listen(_) | Call::Connect(_) => self.machine.get(id).is_none_or(|s| s.port != 0),
            Call::SetOption(_) => true,
        };
        let port = if named { port } else { port.or_else(|| self.automatic_port(id, &call)) };
        self.machine.settle(id, call, outcome, port);
    }

    fn local(&mut self, id: SocketId) -> Result<(IpAddr, u32, u16), Unsupported> {
        if self.is_lite(id) {
            return self.lite().local(id);
        }
        let socket = self.machine.get(id).ok_or_else(|| Unsupported("no such socket".into()))?;
        let zone = match socket.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => socket.device,
            _ => 0,
        };
        Ok((socket.ip, zone, self.machine.shown_port(id)))
    }

    fn option(&mut self, id: SocketId, name: &str) -> Result<i64, Unsupported> {
        if self.is_lite(id) {
            return self.lite().option(id, name);
        }
        let socket = self.machine.get(id).ok_or_else(|| Unsupported("no such socket".into()))?;
        let value = match name {
            "broadcast" => socket.options.broadcast,
            "mark" => return Ok(self.marks.iter().rev().find(|m| m.0 == id).map_or(0, |m| m.1)),
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
        if self.is_lite(id) {
            self.lite().close(id);
        } else {
            self.machine.close(id);
        }
        self.specials.retain(|(special, _)| *special != id);
    }

    fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Answer {
        self.only_linux("connect")?;
        if self.is_lite(id) {
            return self.lite().connect(id, addr, who);
        }
        let came = match self.connects(id, &addr, who)? {
            Connects::Said(possible) => match possible.as_slice() {
                [outcome] => Connected { outcome: *outcome, listener: None },
                _ => return Ok(possible),
            },
            Connects::Accepted(listeners) => match listeners.as_slice() {
                [listener] => Connected { outcome: Outcome::Ok, listener: Some(*listener) },
                _ => {
                    let why = "connect: which one of a group gets it is chance";
                    return Err(Unsupported(why.into()));
                }
            },
        };
        self.settle_connect(id, &addr, came, None);
        Ok(vec![came.outcome])
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

    fn send(&mut self, id: SocketId, addr: Option<SockAddr>, who: Who) -> Answer {
        self.only_linux("send")?;
        if self.is_lite(id) {
            return self.lite().send(id, addr, who);
        }
        self.settle_send(id, addr, None, who)
    }

    fn receive(&mut self, id: SocketId, _: Who) -> Answer {
        self.only_linux("recv")?;
        if self.is_lite(id) {
            return self.lite().receive(id, Who::ROOT);
        }
        self.machine.receive(id).ok_or_else(|| Unsupported("no such socket".into()))
    }

    fn shutdown(&mut self, id: SocketId, read: bool, write: bool, _: Who) -> Answer {
        self.only_linux("shutdown")?;
        if self.is_lite(id) {
            return self.lite().shutdown(id, read, write, Who::ROOT);
        }
        match self.machine.shutdown(id, read, write) {
            Some(outcome) => Ok(vec![outcome]),
            None => Err(Unsupported("shutdown: what it leaves is not modelled".into())),
        }
    }

    fn peer(&mut self, id: SocketId) -> Result<Option<(IpAddr, u16)>, Unsupported> {
        self.only_linux("getpeername")?;
        if self.is_lite(id) {
            return self.lite().peer(id);
        }
        let socket = self.machine.get(id).ok_or_else(|| Unsupported("no such socket".into()))?;
        Ok(socket.remote.map(|remote| (remote.ip(), remote.port())))
    }

    fn probe(&mut self, probe: &Probe, _: Who) -> Result<Reached, Unsupported> {
        self.only_linux("probe")?;
        self.receivers(probe)
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
        Ok((Reached::of(found.to, Outcome::Ok), listens))
    }

    fn device(&mut self, name: &str) -> Option<u32> {
        self.machine.host.interfaces.value()?.by_name(name).map(|i| i.index)
    }

    fn sysctl(&mut self, key: &str, value: &str) -> Answer {
        if let Some(outcome) = refused_sysctl(&self.machine.host, key, value) {
            return Ok(vec![outcome]);
        }
        if let Some(lite) = &mut self.lite {
            lite.sysctl(key, value)?;
        }
        self.world.sysctl(&mut self.machine.host, key, value)?;
        Ok(vec![Outcome::Ok])
    }

    fn command(&mut self, command: &str) -> Result<(), Unsupported> {
        if let Some(lite) = &mut self.lite {
            lite.command(command)?;
        }
        self.world.command(&mut self.machine.host, command)
    }

    fn sleep(&mut self, milliseconds: u64) {
        if let Some(lite) = &mut self.lite {
            lite.sleep(milliseconds);
        }
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
