//! The model as a backend.

use alloc::{format, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Answer, Backend, Unsupported, Who, world::World};
use crate::{
    Call, Errno, Fact, Family, Finding, Host, KernelFamily, Machine, Outcome, Protocol, Rule,
    SockAddr, SocketId, State, Subject, linux::port::automatic_port,
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
            KernelFamily::Xnu => {
                let ports = host.local_ports.value()?;
                let free = |&port: &u16| host.sockets.on(port).is_ok_and(<[_]>::is_empty);
                (ports.low..=ports.high).find(free)
            }
        }
    }

    /// The listener that surely gets a connection to `dst`, if that can be told without the
    /// rules of lookup: no other TCP socket is on the port.
    fn only_listener(&self, dst: IpAddr, port: u16) -> Option<SocketId> {
        let on_port = self.machine.host.sockets.on(port).ok()?;
        let mut tcp = on_port.iter().filter(|s| s.protocol == Protocol::Tcp);
        let (listener, rest) = (tcp.next()?, tcp.next());
        let wildcard = match (listener.ip, dst) {
            (IpAddr::V4(ip), IpAddr::V4(_)) => ip.is_unspecified(),
            (IpAddr::V6(ip), IpAddr::V6(_)) => ip.is_unspecified(),
            (IpAddr::V6(ip), IpAddr::V4(_)) => ip.is_unspecified() && !listener.v6only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        };
        let gets = rest.is_none()
            && listener.state == State::Listen
            && listener.device == 0
            && (wildcard || listener.ip == dst);
        gets.then_some(listener.id)
    }
}

impl Backend for Modelled {
    fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, who: Who) -> Answer {
        self.machine.socket(id, family, protocol, who.uid);
        let v6only = self.machine.host.sysctl("net.ipv6.bindv6only").unwrap_or(0) != 0;
        if self.machine.host.kernel.family == KernelFamily::Linux
            && family == Family::Inet6
            && v6only
        {
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
        Ok((socket.ip, zone, socket.port))
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
        let no = |why: &str| Err(Unsupported(format!("connect: {why}")));
        let Some(&socket) = self.machine.get(id) else { return no("no such socket") };
        let alone = |port: u16| {
            let list = self.machine.host.sockets.on(port).unwrap_or(&[]);
            list.iter().all(|s| s.id == id || s.protocol != Protocol::Tcp)
        };
        if socket.port != 0 && !alone(socket.port) {
            return no("whether the connection is unique is not modelled");
        }
        if socket.protocol != Protocol::Tcp || socket.state != State::Closed || socket.device != 0 {
            return no("only a fresh TCP socket without a device is modelled");
        }
        let dst = match addr.ip(socket.family) {
            IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
            ip => ip,
        };
        if !dst.is_loopback() {
            return no("only to a loopback address");
        }
        let on_port = self.machine.host.sockets.on(addr.port);
        if on_port.is_ok_and(|list| list.iter().all(|s| s.protocol != Protocol::Tcp)) {
            return no("refused: the state it leaves is not modelled");
        }
        let Some(listener) = self.only_listener(dst, addr.port) else {
            return no("which socket gets it is not modelled");
        };
        if socket.port == 0 {
            let call = Call::Listen(0);
            let Some(port) = self.automatic_port(id, &call) else { return no("no port left") };
            self.machine.autobind(id, port);
        }
        let _ = who;
        let src = match (socket.ip, dst) {
            (IpAddr::V4(ip), _) if !ip.is_unspecified() => ip.into(),
            (IpAddr::V6(ip), IpAddr::V6(_)) if !ip.is_unspecified() => ip.into(),
            (_, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
            (_, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        };
        let child = SocketId(self.next_child);
        self.next_child += 1;
        self.machine.connect(id, listener, child, (src, dst));
        Ok(vec![Outcome::Ok])
    }

    fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Answer {
        Ok(vec![match self.machine.accept(listener, child, who.uid) {
            true => Outcome::Ok,
            false => Outcome::Errno(Errno::EAGAIN),
        }])
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
