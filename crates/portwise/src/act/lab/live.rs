//! The kernel that runs this: calls made for real, in the network namespace of this thread.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use portwise_model::{
    Call, CapSet, Errno, Family, Outcome, Protocol, SockAddr, SockOption, SocketId, scenario::Who,
};
use portwise_sys::{
    sock::{self, RawAddr, option},
    sockdiag::{DiagSocket, SockDiag, SocketQuery, State},
    thread,
};

/// How long a call that should be answered at once may take.
const LIMIT: Duration = Duration::from_millis(1500);

/// The sockets of one scenario.
pub(super) struct Live {
    sockets: Vec<(SocketId, Family, OwnedFd)>,
    /// Both ends' names of connections that may leave a `TIME_WAIT`.
    leftovers: Vec<(RawAddr, RawAddr)>,
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
    pub(super) fn new(home: Who) -> Result<Live, portwise_sys::Error> {
        let capabilities = thread::capabilities();
        let (_, permitted, _) =
            capabilities.map_err(|errno| portwise_sys::Error::new("capget", errno))?;
        Ok(Live {
            sockets: Vec::new(),
            leftovers: Vec::new(),
            sock_diag: SockDiag::open()?,
            current: home,
            home,
            permitted,
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
            Protocol::Tcp => sock::SOCK_STREAM,
            Protocol::Udp => sock::SOCK_DGRAM,
        };
        self.become_(who);
        match sock::socket(number(family), kind, 0) {
            Ok(fd) => {
                self.sockets.push((id, family, fd));
                Outcome::Ok
            }
            Err(errno) => failed(errno),
        }
    }

    pub(super) fn call(&mut self, id: SocketId, call: Call, who: Who) -> Outcome {
        self.become_(who);
        let Some((_, family, fd)) = self.sockets.iter().find(|s| s.0 == id) else {
            return Outcome::Errno(Errno::EBADF);
        };
        let fd = fd.as_fd();
        outcome(match call {
            Call::Bind(addr) => sock::bind(fd, &raw(&addr)),
            Call::Listen(backlog) => sock::listen(fd, backlog),
            Call::SetOption(option) => set_option(fd, *family, option),
        })
    }

    pub(super) fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Outcome {
        self.become_(who);
        let Some(fd) = self.fd(id) else { return Outcome::Errno(Errno::EBADF) };
        outcome(sock::connect(fd.as_fd(), &raw(&addr)))
    }

    pub(super) fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Outcome {
        self.become_(who);
        let Some((_, family, fd)) = self.sockets.iter().find(|s| s.0 == listener) else {
            return Outcome::Errno(Errno::EBADF);
        };
        let family = *family;
        match sock::poll(fd.as_fd(), sock::POLLIN, LIMIT) {
            Ok(true) => {}
            Ok(false) => return Outcome::Errno(Errno::EAGAIN),
            Err(errno) => return failed(errno),
        }
        match sock::accept(fd.as_fd()) {
            Ok(fd) => {
                self.sockets.push((child, family, fd));
                Outcome::Ok
            }
            Err(errno) => failed(errno),
        }
    }

    /// Closes a socket. If it is `connected` to another that is still open, it may stay in
    /// `TIME_WAIT` later, and is cleared away by name then.
    pub(super) fn close(&mut self, id: SocketId, connected: bool) {
        let Some(at) = self.sockets.iter().position(|s| s.0 == id) else { return };
        let (_, _, fd) = self.sockets.swap_remove(at);
        if connected
            && let (Ok(local), Ok(peer)) = (sock::local(fd.as_fd()), sock::peer(fd.as_fd()))
        {
            self.leftovers.push((local, peer));
        }
    }

    /// The port a socket has.
    pub(super) fn port(&self, id: SocketId) -> u16 {
        let name = self.fd(id).and_then(|fd| sock::local(fd.as_fd()).ok());
        name.and_then(|name| name.decode()).map_or(0, |(_, port, _)| port)
    }

    /// Closes everything and leaves nothing behind.
    pub(super) fn clear(&mut self) {
        self.become_(self.home);
        for (_, _, fd) in self.sockets.drain(..) {
            // A connection is reset, so that neither end waits; on other sockets it does nothing.
            let _ = sock::set_abortive_close(fd.as_fd());
        }
        for (local, peer) in self.leftovers.drain(..) {
            // Packets may still be on their way, so either end may be there.
            for end in [connection(&local, &peer), connection(&peer, &local)] {
                // `ENOENT`: it did not stay.
                end.map(|end| self.sock_diag.destroy(&end));
            }
        }
    }

    /// Waits until this namespace has no TCP socket left, for a second at most: what a scenario
    /// left behind must not be taken for an answer to the next.
    pub(super) fn sweep(&mut self) -> Result<(), portwise_sys::Error> {
        for _ in 0..100 {
            let mut any = false;
            for family in [sock::AF_INET, sock::AF_INET6] {
                let query = SocketQuery {
                    family: family as u8,
                    protocol: 6,
                    states: u32::MAX,
                    local_port: None,
                };
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

    fn fd(&self, id: SocketId) -> Option<&OwnedFd> {
        self.sockets.iter().find(|s| s.0 == id).map(|(_, _, fd)| fd)
    }

    /// Changes the effective user and capabilities of this thread.
    fn become_(&mut self, who: Who) {
        if who == self.current {
            return;
        }
        let failed = |errno: portwise_sys::Errno| panic!("this thread cannot be {who:?}: {errno}");
        let moves = who.uid != self.current.uid;
        // Only the real user may become another one, and only with its capabilities.
        if moves && self.current.caps.is_some() {
            thread::set_capabilities(self.permitted, self.permitted, 0).unwrap_or_else(failed);
        }
        for uid in [self.home.uid, who.uid].into_iter().filter(|_| moves) {
            thread::set_euid(uid).unwrap_or_else(failed);
        }
        // A change between 0 and another uid sets the capabilities that go with it.
        if who.caps.is_some() || !moves {
            let CapSet(wanted) = who.capabilities();
            thread::set_capabilities(wanted & self.permitted, self.permitted, 0)
                .unwrap_or_else(failed);
        }
        self.current = who;
    }
}

/// A TCP connection by the names of its ends, whatever its cookie.
fn connection(local: &RawAddr, peer: &RawAddr) -> Option<DiagSocket> {
    let ((ip, port, _), (peer_ip, peer_port, _)) = (local.decode()?, peer.decode()?);
    Some(DiagSocket {
        family: if ip.is_ipv4() { sock::AF_INET } else { sock::AF_INET6 } as u8,
        protocol: 6,
        raw_protocol: None,
        state: State::TIME_WAIT,
        local: (ip, port),
        remote: (peer_ip, peer_port),
        interface: 0,
        uid: 0,
        inode: 0,
        cookie: u64::MAX,
        rqueue: 0,
        wqueue: 0,
        timer: None,
        shutdown: None,
        v6only: None,
        mark: None,
        cgroup: None,
        options: None,
    })
}

fn set_option(
    fd: std::os::fd::BorrowedFd<'_>,
    family: Family,
    option: SockOption,
) -> Result<(), portwise_sys::Errno> {
    let socket = sock::SOL_SOCKET;
    let ip = sock::IPPROTO_IP;
    match option {
        SockOption::ReuseAddr(on) => sock::set_int(fd, socket, sock::SO_REUSEADDR, on.into()),
        SockOption::ReusePort(on) => sock::set_int(fd, socket, sock::SO_REUSEPORT, on.into()),
        SockOption::V6Only(on) => {
            sock::set_int(fd, sock::IPPROTO_IPV6, sock::IPV6_V6ONLY, on.into())
        }
        SockOption::Freebind(on) => match family {
            Family::Inet => sock::set_int(fd, ip, sock::IP_FREEBIND, on.into()),
            Family::Inet6 => {
                sock::set_int(fd, sock::IPPROTO_IPV6, option::IPV6_FREEBIND, on.into())
            }
        },
        SockOption::Transparent(on) => match family {
            Family::Inet => sock::set_int(fd, ip, sock::IP_TRANSPARENT, on.into()),
            Family::Inet6 => {
                sock::set_int(fd, sock::IPPROTO_IPV6, sock::IPV6_TRANSPARENT, on.into())
            }
        },
        SockOption::BindAddressNoPort(on) => {
            sock::set_int(fd, ip, option::IP_BIND_ADDRESS_NO_PORT, on.into())
        }
        SockOption::LocalPortRange(low, high) => {
            let both = i32::from(low) | i32::from(high) << 16;
            sock::set_int(fd, ip, option::IP_LOCAL_PORT_RANGE, both)
        }
        SockOption::BindToDevice(Some(index)) => {
            sock::set_int(fd, socket, option::SO_BINDTOIFINDEX, index as i32)
        }
        SockOption::BindToDevice(None) => sock::set_device(fd, "gone0"),
        SockOption::ShareUid(_) | SockOption::PortRangeLow(_) => {
            Err(portwise_sys::Errno::ENOPROTOOPT)
        }
    }
}

fn raw(addr: &SockAddr) -> RawAddr {
    RawAddr::new(addr.family, addr.port, addr.word, addr.wide, addr.scope, addr.len)
}

fn number(family: Family) -> i32 {
    match family {
        Family::Inet => sock::AF_INET,
        Family::Inet6 => sock::AF_INET6,
    }
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
