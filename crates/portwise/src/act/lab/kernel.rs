//! The running kernel as what a scenario file is played on.

use std::{net::IpAddr, time::Duration};

use portwise_model::{
    CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, Family, Kernel, Outcome, Protocol,
    SockAddr, SocketId, Version,
    scenario::{
        Answer, Backend, Domain, Probe, Reached, Scenario, Special, Unsupported, Who,
        format::{Setup, Value},
    },
};
use portwise_sys::{
    Errno,
    caps::{self, SETUID},
    landlock,
    sock::{Socket, SocketOption},
    sockdiag::AF_INET,
};

use super::{
    Trouble, arrive,
    live::{self, Live, SOCK_DGRAM, SOCK_STREAM},
    room::{self, Room},
};

/// How long a connection that was made may take to be there for accept(2).
const ACCEPT: Duration = Duration::from_millis(500);

/// How long a packet may take to be there.
const RECEIVE: Duration = Duration::from_millis(300);

/// The number of the first port that a variable gets. Every port of a fresh namespace is free.
const FIRST_PORT: u16 = 20000;

/// This thread's namespace, and its sockets.
pub(super) struct Running {
    room: Room,
    live: Live,
    home: Who,
    /// Where there is only one uid: which one of the scenario it stands for.
    stands_for: Option<u32>,
    next_port: u16,
}

impl Running {
    /// Moves this thread, which is `home`, into a fresh namespace.
    ///
    /// # Errors
    /// If there can be none.
    pub(super) fn new(setup: &Setup, home: Who) -> Result<Running, Trouble> {
        let room = Room::new(setup)?;
        let live = Live::new(home).map_err(|e| Trouble(e.to_string()))?;
        Ok(Running { room, live, home, stands_for: None, next_port: FIRST_PORT })
    }

    /// Makes the surroundings of a scenario.
    ///
    /// # Errors
    /// What of it this machine or `kernel`, the running one, does not have.
    pub(super) fn prepare(
        &mut self,
        scenario: &Scenario,
        kernel: &Kernel,
    ) -> Result<(), Unsupported> {
        too_old(scenario, kernel)?;
        for feature in &scenario.requires {
            self.has(feature)?;
        }
        self.room.furnish(&scenario.setup)
    }

    fn has(&self, feature: &str) -> Result<(), Unsupported> {
        let socket = |kind, protocol| {
            let made = Socket::new(AF_INET.into(), kind, protocol);
            made.map(drop).map_err(|errno| errno.to_string())
        };
        let there = match feature {
            "mptcp" => socket(SOCK_STREAM, 262),
            "sctp" => socket(SOCK_STREAM, 132),
            "udplite" => socket(SOCK_DGRAM, 136),
            "nft" => self.room.run("nft list ruleset").map_err(|why| why.0),
            _ => Err("there is no test for it".into()),
        };
        there.map_err(|why| Unsupported(format!("requires {feature}: {why}")))
    }

    /// Who this thread has to become to make a call as `who`.
    ///
    /// Only whether two uids are the same and what capabilities go with them makes a difference,
    /// so where there is one uid it can stand for any other.
    fn played_by(&mut self, who: Who) -> Result<Who, Unsupported> {
        for cap in [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW] {
            if who.capabilities().has(cap) && !self.live.permitted().has(cap) {
                return Err(Unsupported(format!("calls with {}: not to be had here", cap.name)));
            }
        }
        if self.home.caps.is_none() {
            if who.uid != self.home.uid && self.live.permitted().0 & caps::bit(SETUID) == 0 {
                return Err(Unsupported("calls of other users: no CAP_SETUID here".into()));
            }
            return Ok(who);
        }
        if *self.stands_for.get_or_insert(who.uid) != who.uid {
            let why = "calls of several users: a user namespace has one uid; run as root for them";
            return Err(Unsupported(why.into()));
        }
        Ok(Who { uid: self.home.uid, caps: Some(who.capabilities()) })
    }

    fn existing(&self, id: SocketId) -> Result<(Family, &Socket), Unsupported> {
        self.live.get(id).ok_or_else(|| Unsupported("no such socket".into()))
    }
}

impl Backend for Running {
    fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.socket(id, family, protocol, who))
    }

    fn special(&mut self, id: SocketId, special: Special, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.special(id, special, who))
    }

    fn mark(&mut self, id: SocketId, value: i64, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.mark(id, value as i32, who))
    }

    fn send(&mut self, id: SocketId, addr: Option<SockAddr>, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.send(id, addr, b"portwise", who))
    }

    fn receive(&mut self, id: SocketId, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.receive(id, RECEIVE, who))
    }

    fn shutdown(&mut self, id: SocketId, read: bool, write: bool, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.shutdown(id, read, write, who))
    }

    fn peer(&mut self, id: SocketId) -> Result<Option<(IpAddr, u16)>, Unsupported> {
        let (_, socket) = self.existing(id)?;
        match socket.peer_address() {
            Ok(name) => Ok(name.to_socket_addr().map(|name| (name.ip(), name.port()))),
            Err(Errno::ENOTCONN) => Ok(None),
            Err(errno) => Err(Unsupported(format!("getpeername: {errno}"))),
        }
    }

    fn probe(&mut self, probe: &Probe, _: Who) -> Result<Reached, Unsupported> {
        self.live.become_home();
        let client = match probe.from_peer {
            false => arrive::client(probe),
            true => self
                .room
                .in_peer(|| arrive::client(probe))
                .ok_or_else(|| Unsupported("a probe from a peer that is not there".into()))?,
        };
        let reached = client.and_then(|client| self.live.probe_from(client, probe));
        let reached = reached.map_err(|errno| Unsupported(format!("a client: {errno}")))?;
        Ok(match reached {
            arrive::Reached::Sockets(ids) if ids.is_empty() => Reached::Nobody(Outcome::Ok),
            arrive::Reached::Sockets(ids) if ids.len() == 1 => Reached::OneOf(ids),
            arrive::Reached::Sockets(ids) => Reached::All(ids),
            arrive::Reached::Told(errno) => match answer(Err(errno))?.first() {
                Some(outcome) => Reached::Nobody(*outcome),
                None => Reached::Nobody(Outcome::Ok),
            },
        })
    }

    fn landlock(&mut self, domain: Domain) -> Answer {
        self.live.become_home();
        let right = |name: &String| match name.as_str() {
            "bind_tcp" => Ok(landlock::BIND_TCP),
            "connect_tcp" => Ok(landlock::CONNECT_TCP),
            other => Err(Unsupported(format!("Landlock right {other}"))),
        };
        let mut all = 0;
        for name in &domain.handled {
            all |= right(name)?;
        }
        let mut allowed = Vec::new();
        for (name, port) in &domain.rules {
            allowed.push((right(name)?, *port));
        }
        let done = caps::set_no_new_privs().and_then(|()| landlock::restrict_tcp(all, &allowed));
        answer(done)
    }

    fn call(&mut self, id: SocketId, call: Call, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.call(id, call, who))
    }

    fn settle(&mut self, _: SocketId, _: Call, _: Outcome, _: Option<u16>) {
        // The kernel knows what it did.
    }

    fn local(&mut self, id: SocketId) -> Result<(IpAddr, u32, u16), Unsupported> {
        let (_, socket) = self.existing(id)?;
        let name = socket.local_address();
        let name = name.map_err(|errno| Unsupported(format!("getsockname: {errno}")))?;
        match name.to_socket_addr() {
            Some(std::net::SocketAddr::V6(name)) => {
                Ok(((*name.ip()).into(), name.scope_id(), name.port()))
            }
            Some(name) => Ok((name.ip(), 0, name.port())),
            None => Err(Unsupported(format!("getsockname says {name:?}"))),
        }
    }

    fn option(&mut self, id: SocketId, name: &str) -> Result<i64, Unsupported> {
        let (family, socket) = self.existing(id)?;
        let by_family = |v4, v6| if family == Family::Inet { v4 } else { v6 };
        let option = match name {
            "reuseaddr" => SocketOption::SO_REUSEADDR,
            "reuseport" => SocketOption::SO_REUSEPORT,
            "broadcast" => SocketOption::SO_BROADCAST,
            "mark" => SocketOption::SO_MARK,
            "bindtoifindex" => SocketOption::SO_BINDTOIFINDEX,
            "v6only" => SocketOption::IPV6_V6ONLY,
            "freebind" => by_family(SocketOption::IP_FREEBIND, SocketOption::IPV6_FREEBIND),
            "transparent" => {
                by_family(SocketOption::IP_TRANSPARENT, SocketOption::IPV6_TRANSPARENT)
            }
            "bind_address_no_port" => SocketOption::IP_BIND_ADDRESS_NO_PORT,
            _ => return Err(Unsupported(format!("getopt {name}"))),
        };
        let value = socket.get(option);
        value.map(i64::from).map_err(|errno| Unsupported(format!("getopt {name}: {errno}")))
    }

    fn close(&mut self, id: SocketId) {
        self.live.close(id, false);
    }

    fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.connect(id, addr, who))
    }

    fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Answer {
        let who = self.played_by(who)?;
        answer(self.live.accept(listener, child, ACCEPT, who))
    }

    fn device(&mut self, name: &str) -> Option<u32> {
        self.room.device(name)
    }

    fn sysctl(&mut self, key: &str, value: &str) -> Answer {
        self.live.become_(self.home);
        answer(room::write_sysctl(key, value)?)
    }

    fn command(&mut self, command: &str) -> Result<(), Unsupported> {
        self.live.become_(self.home);
        self.room.run(command)
    }

    fn sleep(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.wrapping_add(10).max(FIRST_PORT);
        port
    }
}

fn answer(said: Result<(), Errno>) -> Answer {
    match live::outcome(said) {
        Some(outcome) => Ok(vec![outcome]),
        None => Err(Unsupported(format!("an answer the model has no name for: {said:?}"))),
    }
}

/// Says so if the scenario is about later kernels than the running one.
fn too_old(scenario: &Scenario, kernel: &Kernel) -> Result<(), Unsupported> {
    let Some(Value::Map(versions)) = &scenario.versions else { return Ok(()) };
    let Some(since) = versions.get("since").and_then(Value::text) else { return Ok(()) };
    match Version::parse(since) {
        Some(first) if kernel.version >= first => Ok(()),
        Some(_) => Err(Unsupported(format!("since {since}, and {} runs here", kernel.release))),
        None => Err(Unsupported(format!("since {since}: no version"))),
    }
}
