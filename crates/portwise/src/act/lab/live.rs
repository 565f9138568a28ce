//! The kernel that runs this: calls made for real, in the network namespace of this thread.

use std::{net::SocketAddr, time::Duration};

use portwise_model::{
    Call, CapSet, Errno, Family, Outcome, Protocol, SockAddr, SockOption, SocketId, scenario::Who,
};
use portwise_sys::{
    caps::{self, Sets},
    sock::{Address, Socket, SocketOption},
    sockdiag::{AF_INET, AF_INET6, ALL_STATES, SockDiag, SocketQuery, TCP},
};

/// `SOCK_STREAM`, socket(2).
const SOCK_STREAM: i32 = 1;
/// `SOCK_DGRAM`, socket(2).
const SOCK_DGRAM: i32 = 2;

/// How long a call that should be answered at once may take.
const LIMIT: Duration = Duration::from_millis(1500);

/// The sockets of one scenario.
pub(super) struct Live {
    sockets: Vec<(SocketId, Family, Socket)>,
    /// Whether any was connected.
    connected: bool,
    /// Both ends' names of connections that may leave a `TIME_WAIT`.
    leftovers: Vec<(SocketAddr, SocketAddr)>,
    /// Asks the kernel to drop them.
    sock_diag: SockDiag,
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
    ) -> Outcome {
        let kind = match protocol {
            Protocol::Tcp => SOCK_STREAM,
            Protocol::Udp => SOCK_DGRAM,
        };
        let number = match family {
            Family::Inet => AF_INET,
            Family::Inet6 => AF_INET6,
        };
        self.become_(who);
        match Socket::new(number.into(), kind, 0) {
            Ok(socket) => {
                self.sockets.push((id, family, socket));
                Outcome::Ok
            }
            Err(errno) => failed(errno),
        }
    }

    pub(super) fn call(&mut self, id: SocketId, call: Call, who: Who) -> Outcome {
        self.become_(who);
        let Some((_, family, socket)) = self.sockets.iter().find(|s| s.0 == id) else {
            return Outcome::Errno(Errno::EBADF);
        };
        outcome(match call {
            Call::Bind(addr) => socket.bind(&address(&addr)),
            Call::Listen(backlog) => socket.listen(backlog),
            Call::SetOption(option) => set_option(socket, *family, option),
        })
    }

    pub(super) fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Outcome {
        self.become_(who);
        self.connected = true;
        match self.get(id) {
            Some(socket) => outcome(socket.connect(&address(&addr))),
            None => Outcome::Errno(Errno::EBADF),
        }
    }

    pub(super) fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Outcome {
        self.become_(who);
        let Some((_, family, socket)) = self.sockets.iter().find(|s| s.0 == listener) else {
            return Outcome::Errno(Errno::EBADF);
        };
        let family = *family;
        match socket.accept_within(LIMIT) {
            Ok((accepted, _)) => {
                self.sockets.push((child, family, accepted));
                Outcome::Ok
            }
            Err(errno) => failed(errno),
        }
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
        self.get(id)?.local_address().ok()?.to_socket_addr()
    }

    /// Closes everything and leaves nothing behind.
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
                let _ = self.sock_diag.destroy_by_address(TCP, near, far, 0);
            }
        }
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
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.iter().find(|s| s.0 == id).map(|(_, _, socket)| socket)
    }

    /// Changes the effective user and capabilities of this thread.
    fn become_(&mut self, who: Who) {
        if who == self.current {
            return;
        }
        let failed = |errno: portwise_sys::Errno| panic!("this thread cannot be {who:?}: {errno}");
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

    fn set_effective(&self, effective: u64) -> Result<(), portwise_sys::Errno> {
        caps::set(&Sets { effective, permitted: self.permitted, inheritable: 0 })
    }
}

/// The names of both ends of a connection.
fn names(socket: &Socket) -> Option<(SocketAddr, SocketAddr)> {
    let local = socket.local_address().ok()?.to_socket_addr()?;
    Some((local, socket.peer_address().ok()?.to_socket_addr()?))
}

fn set_option(
    socket: &Socket,
    family: Family,
    option: SockOption,
) -> Result<(), portwise_sys::Errno> {
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
        SockOption::ShareUid(_) | SockOption::PortRangeLow(_) => {
            Err(portwise_sys::Errno::ENOPROTOOPT)
        }
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

fn outcome(result: Result<(), portwise_sys::Errno>) -> Outcome {
    match result {
        Ok(()) => Outcome::Ok,
        Err(errno) => failed(errno),
    }
}

fn failed(errno: portwise_sys::Errno) -> Outcome {
    let known = errno.name().and_then(Errno::from_name);
    Outcome::Errno(known.unwrap_or_else(|| panic!("the model does not know {errno}")))
}
