//! The kernel that runs this: calls made for real, in the network namespace of this thread.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use portwise_model::{
    Call, CapSet, Family, Outcome, Protocol, SockAddr, SockOption, SocketId,
    scenario::{Special, Who},
};
use portwise_sys::{
    Errno,
    caps::{self, Sets},
    sock::{Address, Poll, Socket, SocketOption},
    sockdiag::{AF_INET, AF_INET6, ALL_STATES, SockDiag, SocketQuery, TCP},
};

/// `SOCK_STREAM`, socket(2).
pub(super) const SOCK_STREAM: i32 = 1;
/// `SOCK_NONBLOCK`, socket(2).
pub(super) const SOCK_NONBLOCK: i32 = 0o4000;
/// `SOCK_DGRAM`, socket(2).
pub(super) const SOCK_DGRAM: i32 = 2;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(1500);

/// A socket of the scenario.
pub(super) struct Held {
    pub(super) id: SocketId,
    pub(super) family: Family,
    pub(super) protocol: Protocol,
    pub(super) socket: Socket,
    /// Connections that were taken from it while another one was looked for, oldest first.
    pub(super) connections: VecDeque<Socket>,
    /// Packets, or errors, that were taken from it while another one was looked for.
    pub(super) packets: VecDeque<Result<(), Errno>>,
}

impl Held {
    fn new(id: SocketId, family: Family, protocol: Protocol, socket: Socket) -> Held {
        let (connections, packets) = (VecDeque::new(), VecDeque::new());
        Held { id, family, protocol, socket, connections, packets }
    }
}

/// The sockets of one scenario, and who this thread is while it makes their calls.
///
/// A call on a socket that is not there answers `EBADF`, as for a closed descriptor.
pub(super) struct Live {
    pub(super) sockets: Vec<Held>,
    /// Whether any was connected.
    connected: bool,
    /// What is polled, kept for its memory.
    pub(super) poll: Poll,
    /// Numbers the packets that were sent.
    pub(super) sent: u64,
    /// Both ends' names of connections that may leave a `TIME_WAIT`, and the device of one.
    leftovers: Vec<(SocketAddr, SocketAddr, u32)>,
    /// Asks the kernel to drop them.
    sock_diag: SockDiag,
    /// Whether this kernel drops them (Linux 5.10 does not).
    drops_time_wait: bool,
    /// Whether something may be left that would be in the way of the next scenario.
    littered: bool,
    /// Who this thread is now.
    current: Who,
    /// Who it is when nobody asks.
    home: Who,
    /// Its permitted capabilities.
    permitted: u64,
}

impl Live {
    /// Plays as this thread, which is `home` now.
    ///
    /// # Errors
    /// If the kernel does not tell its capabilities or has no sock_diag.
    pub(super) fn new(home: Who) -> Result<Live, portwise_sys::Error> {
        let sets = caps::get(0).map_err(|errno| portwise_sys::Error::new("capget", errno))?;
        Ok(Live {
            sockets: Vec::new(),
            connected: false,
            poll: Poll::default(),
            sent: 0,
            leftovers: Vec::new(),
            sock_diag: SockDiag::open()?,
            drops_time_wait: true,
            littered: false,
            current: home,
            home,
            permitted: sets.permitted,
        })
    }

    pub(super) fn socket(
        &mut self,
        id: SocketId,
        family: Family,
        protocol: Protocol,
        who: Who,
    ) -> Result<(), Errno> {
        self.become_(who);
        let socket = Socket::new(number(family), kind(protocol), 0)?;
        self.sockets.push(Held::new(id, family, protocol, socket));
        Ok(())
    }

    /// A socket of any other family or protocol.
    pub(super) fn special(
        &mut self,
        id: SocketId,
        special: Special,
        who: Who,
    ) -> Result<(), Errno> {
        self.become_(who);
        let Special { domain, kind, protocol } = special;
        let socket = Socket::new(domain.into(), kind.into(), protocol.into())?;
        let family = if domain == u16::from(AF_INET6) { Family::Inet6 } else { Family::Inet };
        let protocol = if i32::from(kind) == SOCK_STREAM { Protocol::Tcp } else { Protocol::Udp };
        self.sockets.push(Held::new(id, family, protocol, socket));
        Ok(())
    }

    /// `EAGAIN` if there is nothing within `limit`.
    pub(super) fn receive(&mut self, id: SocketId, limit: Duration, who: Who) -> Result<(), Errno> {
        self.become_(who);
        let held = self.sockets.iter_mut().find(|s| s.id == id).ok_or(Errno::EBADF)?;
        if let Some(taken) = held.packets.pop_front() {
            return taken;
        }
        held.socket.set_receive_timeout(limit)?;
        held.socket.recv(&mut [0; 16]).map(drop)
    }

    /// `SO_MARK`.
    pub(super) fn mark(&mut self, id: SocketId, value: i32, who: Who) -> Result<(), Errno> {
        self.become_(who);
        self.get(id).ok_or(Errno::EBADF)?.1.set(SocketOption::SO_MARK, value)
    }

    pub(super) fn call(&mut self, id: SocketId, call: Call, who: Who) -> Result<(), Errno> {
        self.become_(who);
        let (family, socket) = self.get(id).ok_or(Errno::EBADF)?;
        match call {
            Call::Bind(addr) => socket.bind(&address(&addr)),
            Call::Listen(backlog) => socket.listen(backlog),
            Call::Connect(addr) => socket.connect(&address(&addr)),
            Call::SetOption(option) => set_option(socket, family, option),
        }
    }

    pub(super) fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Result<(), Errno> {
        self.become_(who);
        self.connected = true;
        let (_, socket) = self.get(id).ok_or(Errno::EBADF)?;
        socket.set_send_timeout(CONNECT)?;
        // The time ran out here. Left alone the kernel goes on asking, for two minutes.
        let timed_out = |e| if e == Errno::EINPROGRESS { Errno::ETIMEDOUT } else { e };
        socket.connect(&address(&addr)).map_err(timed_out)
    }

    pub(super) fn send(
        &mut self,
        id: SocketId,
        addr: Option<SockAddr>,
        bytes: &[u8],
        who: Who,
    ) -> Result<(), Errno> {
        self.become_(who);
        let held = self.sockets.iter_mut().find(|s| s.id == id).ok_or(Errno::EBADF)?;
        // An error that was read while a packet was looked for is what the kernel had to say.
        if let Some(at) = held.packets.iter().position(Result::is_err) {
            return held.packets.remove(at).unwrap_or(Ok(()));
        }
        let socket = &held.socket;
        match addr {
            Some(addr) => socket.send_to(bytes, &address(&addr)).map(drop),
            None => socket.send(bytes).map(drop),
        }
    }

    pub(super) fn shutdown(
        &mut self,
        id: SocketId,
        read: bool,
        write: bool,
        who: Who,
    ) -> Result<(), Errno> {
        self.become_(who);
        let (_, socket) = self.get(id).ok_or(Errno::EBADF)?;
        // `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR`; shutdown(2).
        socket.shutdown(match (read, write) {
            (true, true) => 2,
            (false, _) => 1,
            (true, false) => 0,
        })
    }

    /// `EAGAIN` if there is no connection within `limit`.
    pub(super) fn accept(
        &mut self,
        listener: SocketId,
        child: SocketId,
        limit: Duration,
        who: Who,
    ) -> Result<(), Errno> {
        self.become_(who);
        let held = self.sockets.iter_mut().find(|s| s.id == listener).ok_or(Errno::EBADF)?;
        let accepted = match held.connections.pop_front() {
            Some(taken) => taken,
            // What does not listen answers at once.
            None if held.socket.get(SocketOption::SO_ACCEPTCONN)? == 0 => held.socket.accept()?.0,
            None => held.socket.accept_within(limit)?.0,
        };
        let (family, protocol) = (held.family, held.protocol);
        self.sockets.push(Held::new(child, family, protocol, accepted));
        Ok(())
    }

    /// Closes a socket. If it is `connected` to another that is still open, it may stay in
    /// `TIME_WAIT` later, and is cleared away by name then.
    pub(super) fn close(&mut self, id: SocketId, connected: bool) {
        let Some(at) = self.sockets.iter().position(|s| s.id == id) else { return };
        let Held { socket, .. } = self.sockets.swap_remove(at);
        if connected && let Some(names) = names(&socket) {
            self.leftovers.push(names);
        }
    }

    /// The local name of a socket.
    pub(super) fn local(&self, id: SocketId) -> Option<SocketAddr> {
        self.get(id)?.1.local_address().ok()?.to_socket_addr()
    }

    /// Closes everything and leaves nothing behind, if the kernel lets it.
    pub(super) fn clear(&mut self) {
        if self.connected {
            // Connections are reset, so that neither end waits.
            for held in &self.sockets {
                let _ = held.socket.set_linger(Some(0));
            }
        }
        self.connected = false;
        self.sockets.clear();
        if !self.leftovers.is_empty() {
            self.become_(self.home);
        }
        for (local, peer, device) in self.leftovers.drain(..) {
            // Packets may still be on their way, so either end may be there.
            for (near, far) in [(local, peer), (peer, local)] {
                // `ENOENT`: it did not stay.
                let dropped = self.sock_diag.destroy_by_address(TCP, near, far, 0);
                if dropped.is_err_and(|error| error.errno == Errno::EOPNOTSUPP) {
                    self.drops_time_wait = false;
                }
                if device != 0 {
                    let _ = self.sock_diag.destroy_by_address(TCP, near, far, device);
                }
            }
            self.littered |= !self.drops_time_wait;
        }
    }

    /// Whether something may stay in this namespace that would be in the way of the next scenario.
    pub(super) fn is_littered(&self) -> bool {
        self.littered
    }

    /// The same thread, now in a fresh namespace.
    ///
    /// # Errors
    /// Those of [`Live::new`].
    pub(super) fn moved(&self) -> Result<Live, portwise_sys::Error> {
        Ok(Live { drops_time_wait: self.drops_time_wait, ..Live::new(self.home)? })
    }

    /// Waits until this namespace has no TCP socket left, for a second at most: what a scenario
    /// left behind must not be taken for an answer to the next.
    pub(super) fn sweep(&mut self) -> Result<(), portwise_sys::Error> {
        self.become_(self.home);
        for _ in 0..100 {
            let mut any = false;
            for family in [AF_INET, AF_INET6] {
                let query =
                    SocketQuery { family, protocol: TCP, states: ALL_STATES, local_port: None };
                for socket in self.sock_diag.query(&query)? {
                    any = true;
                    let _ = self.sock_diag.destroy(&socket);
                }
            }
            if !any {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.littered = true;
        Ok(())
    }

    /// A socket, with the family it was made for.
    pub(super) fn get(&self, id: SocketId) -> Option<(Family, &Socket)> {
        self.sockets.iter().find(|s| s.id == id).map(|held| (held.family, &held.socket))
    }

    /// The capabilities that this thread can make effective.
    pub(super) fn permitted(&self) -> CapSet {
        CapSet(self.permitted)
    }

    /// Makes this thread who it is when nobody asks.
    pub(super) fn become_home(&mut self) {
        self.become_(self.home);
    }

    /// Changes the effective user and capabilities of this thread.
    pub(super) fn become_(&mut self, who: Who) {
        if who == self.current {
            return;
        }
        let failed = |errno: Errno| panic!("this thread cannot be {who:?}: {errno}");
        let moves = who.uid != self.current.uid;
        // Only the real user may become another one, and only with its capabilities.
        if moves && self.current.uid != self.home.uid {
            caps::set_uids(None, Some(self.home.uid), None).unwrap_or_else(failed);
        } else if moves && self.current.caps.is_some() {
            self.set_effective(self.permitted).unwrap_or_else(failed);
        }
        if moves && who.uid != self.home.uid {
            caps::set_uids(None, Some(who.uid), None).unwrap_or_else(failed);
        }
        // A change between 0 and another uid sets the capabilities that go with it.
        if who.caps.is_some() || !moves {
            let CapSet(wanted) = who.capabilities();
            self.set_effective(wanted & self.permitted).unwrap_or_else(failed);
        }
        self.current = who;
    }

    fn set_effective(&self, effective: u64) -> Result<(), Errno> {
        caps::set(&Sets { effective, permitted: self.permitted, inheritable: 0 })
    }
}

/// `AF_INET` or `AF_INET6`.
pub(super) fn number(family: Family) -> i32 {
    match family {
        Family::Inet => AF_INET.into(),
        Family::Inet6 => AF_INET6.into(),
    }
}

/// The type of a socket.
pub(super) fn kind(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tcp => SOCK_STREAM,
        Protocol::Udp => SOCK_DGRAM,
    }
}

/// The names of both ends of a connection, and the device of this one.
fn names(socket: &Socket) -> Option<(SocketAddr, SocketAddr, u32)> {
    let local = socket.local_address().ok()?.to_socket_addr()?;
    let device = socket.get(SocketOption::SO_BINDTOIFINDEX).unwrap_or(0);
    Some((local, socket.peer_address().ok()?.to_socket_addr()?, device as u32))
}

fn set_option(socket: &Socket, family: Family, option: SockOption) -> Result<(), Errno> {
    let by_family = |v4, v6| if family == Family::Inet { v4 } else { v6 };
    match option {
        SockOption::ReuseAddr(on) => socket.set(SocketOption::SO_REUSEADDR, on.into()),
        SockOption::ReusePort(on) => socket.set(SocketOption::SO_REUSEPORT, on.into()),
        SockOption::V6Only(on) => socket.set(SocketOption::IPV6_V6ONLY, on.into()),
        SockOption::Freebind(on) => {
            socket.set(by_family(SocketOption::IP_FREEBIND, SocketOption::IPV6_FREEBIND), on.into())
        }
        SockOption::Transparent(on) => socket.set(
            by_family(SocketOption::IP_TRANSPARENT, SocketOption::IPV6_TRANSPARENT),
            on.into(),
        ),
        SockOption::BindAddressNoPort(on) => {
            socket.set(SocketOption::IP_BIND_ADDRESS_NO_PORT, on.into())
        }
        SockOption::LocalPortRange(low, high) => {
            let both = i32::from(low) | i32::from(high) << 16;
            socket.set(SocketOption::IP_LOCAL_PORT_RANGE, both)
        }
        SockOption::BindToDevice(Some(index)) => {
            socket.set(SocketOption::SO_BINDTOIFINDEX, index as i32)
        }
        SockOption::BindToDevice(None) => socket.bind_to_device(b"gone0"),
        SockOption::Broadcast(on) => socket.set(SocketOption::SO_BROADCAST, on.into()),
        SockOption::ShareUid(_)
        | SockOption::PortRangeLow(_)
        | SockOption::ReusePortLb(_)
        | SockOption::Exclusive(_) => Err(Errno::ENOPROTOOPT),
    }
}

/// The bytes of an address, well formed or not.
pub(super) fn address(addr: &SockAddr) -> Address {
    let mut bytes = [0; 28];
    bytes[0..2].copy_from_slice(&addr.family.to_ne_bytes());
    bytes[2..4].copy_from_slice(&addr.port.to_be_bytes());
    bytes[4..8].copy_from_slice(&addr.word);
    bytes[8..24].copy_from_slice(&addr.wide);
    bytes[24..28].copy_from_slice(&addr.scope.to_ne_bytes());
    let whole = Address::from_bytes(&bytes).expect("28 bytes are not too many");
    whole.with_length(addr.len as usize)
}

/// What the kernel answered, in the words of the model; `None` if it has none for this errno.
pub(super) fn outcome(answer: Result<(), Errno>) -> Option<Outcome> {
    match answer {
        Ok(()) => Some(Outcome::Ok),
        Err(errno) => errno.name().and_then(Outcome::from_name),
    }
}
