//! The kernel that runs this: calls made for real, in the network namespace of this thread.

use std::{net::SocketAddr, time::Duration};

use portwise_model::{
    Call, CapSet, Family, Outcome, Protocol, SockAddr, SockOption, SocketId, scenario::Who,
};
use portwise_sys::{
    Errno,
    caps::{self, Sets},
    sock::{Address, Socket, SocketOption},
    sockdiag::{AF_INET, AF_INET6, ALL_STATES, SockDiag, SocketQuery, TCP},
};

/// `SOCK_STREAM`, socket(2).
pub(super) const SOCK_STREAM: i32 = 1;
/// `SOCK_DGRAM`, socket(2).
pub(super) const SOCK_DGRAM: i32 = 2;

/// The sockets of one scenario, and who this thread is while it makes their calls.
///
/// A call on a socket that is not there answers `EBADF`, as for a closed descriptor.
pub(super) struct Live {
    sockets: Vec<(SocketId, Family, Socket)>,
    /// Whether any was connected.
    connected: bool,
    /// Both ends' names of connections that may leave a `TIME_WAIT`.
    leftovers: Vec<(SocketAddr, SocketAddr)>,
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
        let kind = match protocol {
            Protocol::Tcp => SOCK_STREAM,
            Protocol::Udp => SOCK_DGRAM,
        };
        let number = match family {
            Family::Inet => AF_INET,
            Family::Inet6 => AF_INET6,
        };
        self.become_(who);
        let socket = Socket::new(number.into(), kind, 0)?;
        self.sockets.push((id, family, socket));
        Ok(())
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
        socket.connect(&address(&addr))
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
        let (family, socket) = self.get(listener).ok_or(Errno::EBADF)?;
        let (accepted, _) = socket.accept_within(limit)?;
        self.sockets.push((child, family, accepted));
        Ok(())
    }

    /// Closes a socket. If it is `connected` to another that is still open, it may stay in
    /// `TIME_WAIT` later, and is cleared away by name then.
    pub(super) fn close(&mut self, id: SocketId, connected: bool) {
        let Some(at) = self.sockets.iter().position(|s| s.0 == id) else { return };
        let (_, _, socket) = self.sockets.swap_remove(at);
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
            for (_, _, socket) in &self.sockets {
                let _ = socket.set_linger(Some(0));
            }
        }
        self.connected = false;
        self.sockets.clear();
        if !self.leftovers.is_empty() {
            self.become_(self.home);
        }
        for (local, peer) in self.leftovers.drain(..) {
            // Packets may still be on their way, so either end may be there.
            for (near, far) in [(local, peer), (peer, local)] {
                // `ENOENT`: it did not stay.
                let dropped = self.sock_diag.destroy_by_address(TCP, near, far, 0);
                if dropped.is_err_and(|error| error.errno == Errno::EOPNOTSUPP) {
                    self.drops_time_wait = false;
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
        self.sockets.iter().find(|s| s.0 == id).map(|(_, family, socket)| (*family, socket))
    }

    /// The capabilities that this thread can make effective.
    pub(super) fn permitted(&self) -> CapSet {
        CapSet(self.permitted)
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

/// The names of both ends of a connection.
fn names(socket: &Socket) -> Option<(SocketAddr, SocketAddr)> {
    let local = socket.local_address().ok()?.to_socket_addr()?;
    Some((local, socket.peer_address().ok()?.to_socket_addr()?))
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
fn address(addr: &SockAddr) -> Address {
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
