//! Random calls, each chosen knowing what the model says has happened so far.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{
    AF_UNSPEC, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, CapSet, Family, Machine,
    Protocol, SockAddr, SockOption, Socket, SocketId, State, scenario::Who,
};

use super::script::Op;

mod packets;

/// A small generator of random numbers (xorshift64*): fast, and the same everywhere.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Numbers that depend on nothing but `seed`.
    pub(super) fn new(seed: u64) -> Random {
        // Neighbouring seeds must not give neighbouring streams, and 0 would give none.
        let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Random((mixed ^ (mixed >> 31)) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True in `percent` of a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// The users and interfaces that calls may name.
#[derive(Clone)]
pub(super) struct Cast {
    /// Who may call.
    pub(super) people: Vec<Who>,
    /// Interface indices: `lo`, `d0`, `d1`, `x0`.
    pub(super) devices: Vec<u32>,
}

impl Cast {
    /// The superuser and two others, with and without capabilities.
    pub(super) fn root(devices: Vec<u32>) -> Cast {
        let who = |uid, caps| Who { uid, caps };
        let bind_only = CapSet::NONE.with(CAP_NET_BIND_SERVICE);
        let net = CapSet::NONE.with(CAP_NET_ADMIN);
        let raw = CapSet::NONE.with(CAP_NET_RAW);
        let people = vec![
            Who::ROOT,
            Who::ROOT,
            Who::ROOT,
            Who::ROOT,
            who(1000, None),
            who(1000, None),
            who(1000, None),
            who(1001, None),
            who(1001, None),
            who(1001, Some(bind_only)),
            who(1000, Some(net)),
            who(1000, Some(raw)),
            who(0, Some(CapSet::NONE)),
        ];
        Cast { people, devices }
    }

    /// One user, with all capabilities in a user namespace of their own and with none.
    pub(super) fn one(uid: u32, devices: Vec<u32>) -> Cast {
        let who = |caps| Who { uid, caps: Some(caps) };
        let bind_only = CapSet::NONE.with(CAP_NET_BIND_SERVICE);
        let people = vec![who(CapSet::ALL), who(CapSet::NONE), who(bind_only)];
        Cast { people, devices }
    }
}

/// Low, contested, and any. Two are contested most.
const PORTS: &[u16] = &[8080, 8080, 8080, 8080, 8080, 8081, 8081, 80, 80, 1023, 1024, 0];

/// Chooses calls for one scenario.
pub(super) struct Generator<'a> {
    random: Random,
    cast: &'a Cast,
    next_id: u64,
    left: usize,
    /// How many sockets are asked to listen at the end.
    more: usize,
    /// Of how many packets and connections it is asked at the end who gets them.
    asks: usize,
    /// Calls already decided on.
    queue: Vec<Op>,
    main_port: u16,
    turn: Turn,
    last: Who,
}

/// What a scenario leans to, so that rare answers come often enough.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// Nothing in particular.
    Any,
    /// Every socket has one automatic port to choose from.
    NarrowRange,
    /// Every socket says `SO_REUSEADDR`, and many listen.
    Reuse,
    /// Sockets stay bound to a device that does not exist.
    GoneDevice,
    /// Packets and connections are sent to them.
    Talk,
    /// Many UDP sockets share a port.
    Crowd,
}

impl<'a> Generator<'a> {
    /// Starts a scenario of one to six sockets.
    pub(super) fn new(seed: u64, cast: &'a Cast) -> Generator<'a> {
        let mut random = Random::new(seed);
        let left = 1 + random.below(6);
        let main_port = random.pick(PORTS);
        let turn = match random.below(200) {
            0..8 => Turn::NarrowRange,
            8..20 => Turn::Reuse,
            20..22 => Turn::GoneDevice,
            22..27 => Turn::Talk,
            27 => Turn::Crowd,
            _ => Turn::Any,
        };
        let (left, more) = if turn == Turn::Reuse { (left.max(3), 4) } else { (left, 0) };
        let last = cast.people[random.below(cast.people.len())];
        let queue = Vec::new();
        let asks = 0;
        let mut made =
            Generator { random, cast, next_id: 1, left, more, asks, queue, main_port, turn, last };
        (made.left, made.asks) = made.size(turn, left);
        made
    }

    /// The next call, or `None` at the end.
    pub(super) fn next(&mut self, machine: &Machine) -> Option<Op> {
        while let Some(op) = self.queue.pop() {
            let waits_at = machine.oldest_waiting();
            if let Some(op) = packets::accepting(op, waits_at) {
                return Some(op);
            }
        }
        let sockets = machine.sockets();
        if self.turn == Turn::Talk
            && self.random.chance(15)
            && let Some(op) = self.ask(machine)
        {
            return Some(op);
        }
        if !sockets.is_empty() && self.random.chance(30) {
            let socket = sockets[self.random.below(sockets.len())];
            if let Some(op) = self.again(&socket, machine) {
                return Some(op);
            }
        }
        while self.left == 0 && self.asks > 0 {
            self.asks -= 1;
            if let Some(op) = self.ask(machine) {
                return Some(op);
            }
        }
        if self.left == 0 {
            self.more = self.more.checked_sub(1)?;
            let socket = sockets[self.random.below(sockets.len().max(1))..].first()?;
            let who = self.who();
            return Some(Op::Call { id: socket.id, call: Call::Listen(1), who });
        }
        self.left -= 1;
        Some(match self.turn {
            Turn::Crowd => self.one_of_a_crowd(),
            _ => self.fresh_socket(),
        })
    }

    /// Often the one who called last: changing costs two system calls.
    fn who(&mut self) -> Who {
        if self.random.chance(35) {
            let n = self.cast.people.len();
            self.last = self.cast.people[self.random.below(n)];
        }
        self.last
    }

    fn id(&mut self) -> SocketId {
        self.next_id += 1;
        SocketId(self.next_id)
    }

    /// A new socket, with what is done to it queued in reverse.
    fn fresh_socket(&mut self) -> Op {
        let family = self.random.pick(&[Family::Inet, Family::Inet6]);
        let protocol =
            self.random.pick(&[Protocol::Tcp, Protocol::Tcp, Protocol::Tcp, Protocol::Udp]);
        let (id, who) = (self.id(), self.who());
        let call = |call| Op::Call { id, call, who };
        if self.turn != Turn::Reuse && self.random.chance(45) {
            let backlog = self.random.pick(&[1, 5, -1, 0]);
            self.queue.push(call(Call::Listen(backlog)));
        }
        if self.random.chance(if self.turn == Turn::NarrowRange { 60 } else { 95 }) {
            let addr = self.address(family);
            self.queue.push(call(Call::Bind(addr)));
        }
        if self.turn == Turn::GoneDevice && family == Family::Inet6 {
            let gone = SockAddr::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 8080, 99);
            self.queue.push(call(Call::Bind(gone)));
        }
        for option in self.options(family) {
            self.queue.push(call(Call::SetOption(option)));
        }
        Op::Socket { id, family, protocol, who }
    }

    fn options(&mut self, family: Family) -> Vec<SockOption> {
        let mut options = Vec::new();
        let r = &mut self.random;
        match self.turn {
            Turn::NarrowRange => options.push(SockOption::LocalPortRange(40000, 40000)),
            Turn::Reuse => return vec![SockOption::ReuseAddr(true)],
            Turn::GoneDevice if r.chance(50) => return options,
            Turn::GoneDevice | Turn::Any | Turn::Talk | Turn::Crowd => {}
        }
        if r.chance(45) {
            options.push(SockOption::ReuseAddr(true));
        }
        if r.chance(45) {
            options.push(SockOption::ReusePort(true));
        }
        if r.chance(if family == Family::Inet6 { 35 } else { 1 }) {
            options.push(SockOption::V6Only(r.chance(80)));
        }
        if r.chance(15) {
            let device = self.device();
            options.push(SockOption::BindToDevice(device));
        }
        let r = &mut self.random;
        if r.chance(7) {
            options.push(SockOption::Freebind(true));
        }
        if r.chance(3) {
            options.push(SockOption::Transparent(true));
        }
        if r.chance(4) {
            options.push(SockOption::BindAddressNoPort(true));
        }
        if r.chance(4) {
            let (low, high) = r.pick(&[(40000, 40000), (40000, 40001), (40002, 40000), (40001, 0)]);
            options.push(SockOption::LocalPortRange(low, high));
        }
        options
    }

    /// Another call on a socket that exists.
    fn again(&mut self, socket: &Socket, machine: &Machine) -> Option<Op> {
        let who = self.who();
        let id = socket.id;
        let call = |call| Some(Op::Call { id, call, who });
        if machine.peer(id).is_some() && self.random.chance(10) {
            return call(Call::Listen(1));
        }
        match self.random.below(10) {
            0 | 1 => call(Call::Bind(self.address(socket.family))),
            2 => call(Call::Listen(1)),
            3 => {
                let on = self.random.chance(50);
                let option = self.random.pick(&[
                    SockOption::ReuseAddr(on),
                    SockOption::ReusePort(on),
                    SockOption::V6Only(on),
                ]);
                call(Call::SetOption(option))
            }
            // The packets of a connection would no longer arrive, and its end would take its time.
            4 if machine.peer(id).is_none() => {
                let device = self.device();
                call(Call::SetOption(SockOption::BindToDevice(device)))
            }
            5 | 6 => self.close(socket, machine),
            _ => self.talk(socket),
        }
    }

    /// Closes a socket; of a connection both ends, so that no state passes by itself.
    fn close(&mut self, socket: &Socket, machine: &Machine) -> Option<Op> {
        let Some(peer) = machine.peer(socket.id) else {
            return Some(Op::Close { id: socket.id });
        };
        self.queue.push(Op::Close { id: peer });
        Some(Op::Close { id: socket.id })
    }

    /// Connects to a listener, accepts, and often closes both ends, one of which then waits.
    fn talk(&mut self, listener: &Socket) -> Option<Op> {
        if listener.state != State::Listen || listener.device != 0 {
            return None;
        }
        let loopback = |six: bool| match six {
            false => IpAddr::V4(Ipv4Addr::LOCALHOST),
            true => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let dst = match listener.ip {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(ip) if ip.is_unspecified() => loopback(false),
            IpAddr::V6(ip) if ip.is_unspecified() => {
                loopback(listener.v6only || self.random.chance(50))
            }
            _ => return None,
        };
        let (client, child) = (self.id(), self.id());
        let (who, accepter) = (self.who(), self.who());
        let family = Family::of(dst);
        if self.random.chance(70) {
            let (first, second) =
                if self.random.chance(50) { (child, client) } else { (client, child) };
            self.queue.push(Op::Close { id: second });
            self.queue.push(Op::Close { id: first });
        }
        self.queue.push(Op::Accept { listener: listener.id, child, who: accepter });
        let addr = SockAddr::new(dst, listener.port, 0);
        self.queue.push(Op::Connect { id: client, addr, who });
        if self.random.chance(40) {
            // From a contested port, so that the client's end is in somebody's way.
            let port = self.random.pick(&[8080, 8081, 8081, 1024]);
            let call = Call::Bind(SockAddr::new(dst, port, 0));
            self.queue.push(Op::Call { id: client, call, who });
            for option in [SockOption::ReuseAddr(true), SockOption::ReusePort(true)] {
                if self.random.chance(50) {
                    let call = Call::SetOption(option);
                    self.queue.push(Op::Call { id: client, call, who });
                }
            }
        }
        Some(Op::Socket { id: client, family, protocol: Protocol::Tcp, who })
    }

    fn device(&mut self) -> Option<u32> {
        match self.random.below(12) {
            0 => None,
            1 => Some(0),
            n => Some(self.cast.devices[n % 3]),
        }
    }

    fn address(&mut self, family: Family) -> SockAddr {
        let port = match self.turn {
            Turn::NarrowRange => 0,
            Turn::Reuse => 8080,
            _ if self.random.chance(60) => self.main_port,
            _ => self.random.pick(PORTS),
        };
        let mut addr = match family {
            Family::Inet => SockAddr::v4(self.ipv4(), port),
            Family::Inet6 => {
                let ip = self.ipv6();
                let scope = match self.random.below(12) {
                    // An interface that does not exist.
                    0 => 99,
                    1..4 => 0,
                    n => self.cast.devices[n % 4],
                };
                SockAddr::v6(ip, port, scope)
            }
        };
        if self.random.chance(2) {
            match self.random.below(4) {
                0 => addr.len = self.random.pick(&[0, 15, 16, 23, 24, 27, 28, 128, 129]),
                1 => addr.family = AF_UNSPEC,
                2 => addr.family = self.random.pick(&[1, 2, 10, 17]),
                _ => {
                    addr = match family {
                        Family::Inet => SockAddr::v6(self.ipv6(), port, 0),
                        Family::Inet6 => SockAddr::v4(self.ipv4(), port),
                    }
                }
            }
        }
        addr
    }

    fn ipv4(&mut self) -> Ipv4Addr {
        let [a, b, c, d] = match self.random.below(24) {
            0..7 => [0, 0, 0, 0],
            7..13 => [127, 0, 0, 1],
            13 | 14 => [127, 0, 0, 2],
            15 => [127, 9, 9, 9],
            16 | 17 => [192, 0, 2, 1],
            18 => [198, 51, 100, 1],
            19 => [203, 0, 113, 9],
            20 => [224, 0, 0, 251],
            21 => [255, 255, 255, 255],
            22 => [192, 0, 2, 255],
            _ => self.random.pick(&[[0, 0, 0, 9], [127, 0, 0, 6], [192, 0, 2, 0], [240, 0, 0, 1]]),
        };
        Ipv4Addr::new(a, b, c, d)
    }

    fn ipv6(&mut self) -> Ipv6Addr {
        let text = match self.random.below(28) {
            0..8 => return Ipv6Addr::UNSPECIFIED,
            8..13 => return Ipv6Addr::LOCALHOST,
            13..19 => return self.ipv4().to_ipv6_mapped(),
            19 | 20 => "2001:db8::1",
            21 => "2001:db8:1::1",
            22 => "2001:db8:ffff::1",
            23 => "2001:db8:7::5",
            24 | 25 => "fe80::1",
            26 => "ff02::fb",
            _ => self.random.pick(&["fe80::9", "ff05::2", "2001:db8::", "::127.0.0.1", "ff01::1"]),
        };
        text.parse().expect("an address written here")
    }
}
