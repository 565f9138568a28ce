//! Who really gets a connection or a packet.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use portwise_model::{Family, Protocol, SockAddr, SocketId, scenario::Probe};
use portwise_sys::{
    Errno,
    sock::{Address, Socket, SocketOption},
};

use super::live::{Held, Live, SOCK_NONBLOCK, address, kind, number};

/// How long a packet that was sent may take to be there. It is there at once, unless the processor
/// has too many of them.
const ARRIVES: Duration = Duration::from_millis(1000);

/// What became of a probe.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reached {
    /// These sockets got it, in the order of their ids.
    Sockets(Vec<SocketId>),
    /// Nobody, and the client was told this.
    Told(Errno),
}

impl Live {
    /// Makes a client that connects or sends, says who got it, and leaves nothing of it.
    ///
    /// # Errors
    /// Why the client could not be made.
    pub(super) fn probe(&mut self, probe: &Probe) -> Result<Reached, Errno> {
        self.become_home();
        let client = client(probe)?;
        self.probe_from(client, probe)
    }

    /// The same with a client that was made elsewhere.
    pub(super) fn probe_from(&mut self, client: Socket, probe: &Probe) -> Result<Reached, Errno> {
        let to = address(&probe.addr);
        match probe.protocol {
            Protocol::Tcp => {
                let limit = Duration::from_millis(probe.timeout);
                match client.connect_within(&to, limit) {
                    Ok(()) => {}
                    Err(Errno::EINPROGRESS) => return Ok(Reached::Told(Errno::ETIMEDOUT)),
                    Err(errno) => return Ok(Reached::Told(errno)),
                }
                let got = self.taker(&client)?;
                client.set_linger(Some(0))?;
                Ok(Reached::Sockets(got.into_iter().collect()))
            }
            Protocol::Udp => {
                let many = is_for_many(&probe.addr);
                // A client that is connected is told if nobody is there.
                if let Err(errno) = client.connect(&to) {
                    return Ok(Reached::Told(errno));
                }
                let token = self.token();
                if let Err(errno) = client.send(&token) {
                    return Ok(Reached::Told(errno));
                }
                let limit = if many { Duration::ZERO } else { ARRIVES };
                self.receivers(&token, Some(&client), limit)
            }
        }
    }

    /// Which listener has the connection of `client`: it is accepted and reset.
    fn taker(&mut self, client: &Socket) -> Result<Option<SocketId>, Errno> {
        let Some(wanted) = plain(client.local_address()?) else { return Ok(None) };
        let end = Instant::now() + ARRIVES;
        loop {
            for at in self.ready(Protocol::Tcp, end)? {
                let held = &mut self.sockets[at];
                // A connection with something to read is no listener.
                if held.socket.get(SocketOption::SO_ACCEPTCONN)? == 0 {
                    continue;
                }
                let (accepted, from) = held.socket.accept()?;
                if plain(from) == Some(wanted) {
                    accepted.set_linger(Some(0))?;
                    return Ok(Some(held.id));
                }
                held.connections.push_back(accepted);
            }
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    /// Which listener has a connection that nobody accepted, leaving it there.
    pub(super) fn waiting(&mut self) -> Result<Option<SocketId>, Errno> {
        for at in self.ready(Protocol::Tcp, Instant::now() + ARRIVES)? {
            let held = &self.sockets[at];
            if held.socket.get(SocketOption::SO_ACCEPTCONN)? != 0 {
                return Ok(Some(held.id));
            }
        }
        Ok(None)
    }

    /// The sockets of a protocol that have something to read, waited for until `end`.
    fn ready(&mut self, protocol: Protocol, end: Instant) -> Result<Vec<usize>, Errno> {
        self.poll.clear();
        let mut polled = Vec::with_capacity(self.sockets.len());
        for (at, held) in self.sockets.iter().enumerate().filter(|(_, s)| s.protocol == protocol) {
            self.poll.add(&held.socket);
            polled.push(at);
        }
        self.poll.wait(end.saturating_duration_since(Instant::now()))?;
        let mut place = 0;
        polled.retain(|_| {
            place += 1;
            self.poll.is_readable(place - 1)
        });
        Ok(polled)
    }

    /// A packet that is told from all others.
    pub(super) fn token(&mut self) -> [u8; 8] {
        self.sent += 1;
        self.sent.to_ne_bytes()
    }

    /// Who got the packet `token`. `client` sent it, and may be told that nobody did.
    pub(super) fn receivers(
        &mut self,
        token: &[u8; 8],
        client: Option<&Socket>,
        limit: Duration,
    ) -> Result<Reached, Errno> {
        let end = Instant::now() + limit;
        let mut got = Vec::new();
        loop {
            self.poll.clear();
            for held in self.sockets.iter().filter(|s| s.protocol == Protocol::Udp) {
                self.poll.add(&held.socket);
            }
            let count = self.sockets.iter().filter(|s| s.protocol == Protocol::Udp).count();
            if let Some(client) = client {
                self.poll.add(client);
            }
            self.poll.wait(end.saturating_duration_since(Instant::now()))?;
            let mut any = false;
            let udp = self.sockets.iter_mut().filter(|s| s.protocol == Protocol::Udp);
            for (place, held) in udp.enumerate() {
                if self.poll.is_readable(place) && read(held, token) {
                    got.push(held.id);
                    any = true;
                }
            }
            if any {
                got.sort();
                return Ok(Reached::Sockets(got));
            }
            if let Some(client) = client.filter(|_| self.poll.has_error(count)) {
                let told = client.get(SocketOption::SO_ERROR)?;
                return Ok(Reached::Told(Errno(told)));
            }
            // A client may be the one that is found, by its own address: no other socket is.
            let itself = client.is_some() && self.poll.is_readable(count);
            if itself || Instant::now() >= end {
                return Ok(Reached::Sockets(got));
            }
        }
    }
}

/// Reads everything up to the packet `token`; says whether it was there.
fn read(held: &mut Held, token: &[u8; 8]) -> bool {
    let mut buffer = [0; 16];
    loop {
        if !held.socket.wait(1, Duration::ZERO).unwrap_or(false) {
            return false;
        }
        match held.socket.recv(&mut buffer) {
            Ok(8) if buffer[..8] == token[..] => return true,
            // The reading side is shut: nothing follows.
            Ok(0) | Err(Errno::EAGAIN) => return false,
            Ok(_) => held.packets.push_back(Ok(())),
            Err(errno) => held.packets.push_back(Err(errno)),
        }
    }
}

/// The client of a probe, in this thread's network namespace.
pub(super) fn client(probe: &Probe) -> Result<Socket, Errno> {
    let client = Socket::new(number(probe.family), kind(probe.protocol) | SOCK_NONBLOCK, 0)?;
    if probe.protocol == Protocol::Udp && probe.family == Family::Inet {
        client.set(SocketOption::SO_BROADCAST, 1)?;
    }
    let (ip, port) = probe.src;
    if ip.is_some() || port != 0 {
        let ip = ip.unwrap_or(probe.family.unspecified());
        let ip = match (probe.family, ip) {
            (Family::Inet6, std::net::IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            _ => ip,
        };
        client.bind(&address(&SockAddr::new(ip, port, probe.addr.scope)))?;
    }
    Ok(client)
}

/// Whether everybody gets it, and nobody is told that nobody did.
fn is_for_many(addr: &SockAddr) -> bool {
    match address(addr).to_socket_addr() {
        Some(SocketAddr::V4(to)) => to.ip().is_multicast() || to.ip().octets()[3] == 255,
        Some(SocketAddr::V6(to)) => to.ip().is_multicast(),
        None => false,
    }
}

/// A name as both ends write it.
fn plain(name: Address) -> Option<SocketAddr> {
    let name = name.to_socket_addr()?;
    Some(SocketAddr::new(name.ip().to_canonical(), name.port()))
}
