//! Connections and packets between sockets of one Linux host.

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use super::Machine;
use crate::{
    AF_UNSPEC, Errno, Found, Host, Missing, Outcome, Packet, Protocol, Receivers, SockAddr, Socket,
    SocketId, State, linux::traffic, lookup,
};

/// What waits in a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mail {
    /// Packets that were not read. `None`: it is chance whether there is one.
    pub(super) packets: Option<u32>,
    /// An error that the next call returns.
    pub(super) error: Option<Errno>,
    /// The other end, or this one, said that nothing follows.
    pub(super) ended: bool,
    /// This end said that it sends nothing more.
    pub(super) shut: bool,
}

/// How the other end took a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// By this listener, or by one of these.
    Accepted(Vec<SocketId>),
    /// It refused.
    Refused,
    /// The listener's queue is full, and it says nothing.
    Silent,
}

impl Machine {
    /// Where a packet of `socket` to `addr` ends on this host: `None` if it leaves the host or
    /// nobody can tell.
    ///
    /// # Errors
    /// The fact that is missing.
    pub fn finds(&self, socket: &Socket, addr: &SockAddr) -> Result<Option<Found>, Missing> {
        let Some(packet) = local_packet(&self.host, socket, addr) else { return Ok(None) };
        lookup(&self.host, &packet).map(Some)
    }

    /// How the other end takes a connection of the TCP socket `id` to `addr`; `None` if it is not
    /// on this host.
    ///
    /// # Errors
    /// The fact that is missing.
    pub fn answers(
        &self,
        id: SocketId,
        addr: &SockAddr,
    ) -> Result<Option<(Answered, Found)>, Missing> {
        let Some(socket) = self.get(id) else { return Ok(None) };
        let Some(found) = self.finds(socket, addr)? else { return Ok(None) };
        let all = found.to.ids();
        let listens = |id: &SocketId| self.get(*id).is_some_and(|s| s.state == State::Listen);
        if all.is_empty() {
            return Ok(Some((Answered::Refused, found)));
        }
        if !all.iter().all(listens) {
            return Ok(None);
        }
        let full = all.iter().filter(|id| self.is_full(**id)).count();
        let answered = match full {
            0 => Answered::Accepted(all.to_vec()),
            n if n == all.len() => Answered::Silent,
            _ => return Ok(None),
        };
        Ok(Some((answered, found)))
    }

    /// Whether one more connection does not fit into the queue of a listener.
    fn is_full(&self, listener: SocketId) -> bool {
        let backlog = self.backlogs.iter().find(|(id, _)| *id == listener).map_or(0, |b| b.1);
        let waiting = self.waiting.iter().filter(|(id, _)| *id == listener).count();
        waiting > backlog as usize
    }

    /// Undoes what `connect` did, because it was refused or with `AF_UNSPEC`. Returns whether
    /// that is followed here.
    pub fn disconnect(&mut self, id: SocketId) -> bool {
        let Some(&socket) = self.get(id) else { return false };
        let left = match socket.protocol {
            Protocol::Udp => traffic::disconnect_udp(&mut self.host, &socket),
            Protocol::Tcp => {
                self.drop_waiting(id);
                self.cut(id);
                // What the other end said last is gone with the connection.
                let socket = *self.get(id).unwrap_or(&socket);
                traffic::to_closed(&mut self.host, &socket, true)
            }
        };
        self.gave_up(&socket, &left);
        self.put(Socket { spent: false, ..left });
        true
    }

    /// Undoes what `connect` did, because it is called with `AF_UNSPEC`. A TCP socket that is not
    /// connected keeps its port, though `bind` did not name it. Returns whether that is followed
    /// here.
    pub fn unconnect(&mut self, id: SocketId) -> bool {
        let Some(&socket) = self.get(id) else { return false };
        if (socket.protocol, socket.state) != (Protocol::Tcp, State::Closed) {
            return self.disconnect(id);
        }
        let ip = if socket.ip_by_bind { socket.ip } else { socket.family.unspecified() };
        let left = Socket { ip, spent: false, ..socket };
        if let Some(there) = self.host.sockets.get_mut(left.port, id) {
            *there = left;
        }
        self.put(left);
        true
    }

    /// Leaves a TCP socket whose connection failed on the address it was sent from, if `bind` gave
    /// it an IPv4-mapped wildcard: that is taken for an address and not given back.
    pub fn narrow(&mut self, id: SocketId, src: IpAddr) {
        let Some(&socket) = self.get(id) else { return };
        if socket.ip_by_bind && socket.ip.to_canonical().is_unspecified() {
            let narrow = Socket { ip: traffic::of_family(socket.family, src), ..socket };
            if let Some(there) = self.host.sockets.get_mut(socket.port, id) {
                *there = narrow;
            }
            self.put(narrow);
        }
    }

    /// Puts a TCP socket on its way to `addr`, whose host says nothing.
    pub fn sets_out(&mut self, id: SocketId, addr: &SockAddr) {
        let Some(&socket) = self.get(id) else { return };
        let dst = traffic::destination(&socket, addr);
        let src = traffic::source(&self.host, &socket, dst).unwrap_or(dst);
        let out = traffic::sets_out(&mut self.host, &socket, src, SocketAddr::new(dst, addr.port));
        self.put(out);
    }

    /// Connects a UDP socket, giving it `port` if it has none.
    pub fn connect_udp(&mut self, id: SocketId, addr: &SockAddr, port: u16) {
        let Some(&socket) = self.get(id) else { return };
        let socket = self.with_port(socket, port);
        let dst = traffic::destination(&socket, addr);
        let src = traffic::source(&self.host, &socket, dst).unwrap_or(socket.ip);
        let to = SocketAddr::new(dst, addr.port);
        let connected = traffic::connect_udp(&mut self.host, &socket, src, to);
        self.put(connected);
    }

    /// Binds a socket that is being connected to the interface that the zone of `addr` names.
    pub fn zoned(&mut self, id: SocketId, addr: &SockAddr) {
        let Some(&socket) = self.get(id) else { return };
        let zoned = Socket { device: traffic::device_after(&socket, addr), ..socket };
        if zoned.device != socket.device {
            if let Some(there) = self.host.sockets.get_mut(socket.port, id) {
                *there = zoned;
            }
            self.put(zoned);
        }
    }

    /// Whether `shutdown(2)` ended what this socket sends.
    pub fn is_shut(&self, id: SocketId) -> bool {
        self.mail.iter().any(|(socket, mail)| *socket == id && mail.shut)
    }

    /// Gives a UDP socket `port` if it has none.
    pub fn autobind_udp(&mut self, id: SocketId, port: u16) {
        let Some(&socket) = self.get(id) else { return };
        let bound = self.with_port(socket, port);
        self.put(bound);
    }

    fn with_port(&mut self, socket: Socket, port: u16) -> Socket {
        if socket.port != 0 {
            return socket;
        }
        self.stale.retain(|(id, _)| *id != socket.id);
        traffic::autobind_udp(&mut self.host, &socket, port)
    }

    /// Sends a UDP packet from `id`, which has a port, to `addr` or to its peer. `None`: it leaves
    /// the host, and what becomes of it is not followed.
    ///
    /// # Errors
    /// The fact that is missing.
    pub fn send_udp(
        &mut self,
        id: SocketId,
        addr: Option<&SockAddr>,
    ) -> Result<Option<()>, Missing> {
        let Some(&socket) = self.get(id) else { return Ok(None) };
        let to_peer = socket.remote.map(SockAddr::from);
        let Some(addr) = addr.copied().or(to_peer) else { return Ok(None) };
        let Some(found) = self.finds(&socket, &addr)? else { return Ok(None) };
        match found.to {
            Receivers::Nobody => {
                let dst = traffic::destination(&socket, &addr);
                let peer = |r: SocketAddr| (r.ip().to_canonical(), r.port()) == (dst, addr.port);
                let comes_back = traffic::hears_errors(&self.host, &socket, dst);
                if socket.remote.is_some_and(peer) && comes_back {
                    self.mail_of(id).error = Some(Errno::ECONNREFUSED);
                }
            }
            Receivers::One(to) => self.deliver(to),
            Receivers::All(all) => all.into_iter().for_each(|to| self.deliver(to)),
            Receivers::OneOf(some) => {
                some.into_iter().for_each(|to| self.mail_of(to).packets = None);
            }
        }
        Ok(Some(()))
    }

    /// Sends data over a TCP connection; what the call answers.
    pub fn send_tcp(&mut self, id: SocketId) -> Option<Outcome> {
        let socket = *self.get(id)?;
        if let Some(errno) = self.mail_of(id).error.take() {
            return Some(Outcome::Errno(errno));
        }
        Some(match (socket.state, self.peer(id)) {
            (State::Established | State::CloseWait, Some(peer)) => {
                self.deliver(peer);
                Outcome::Ok
            }
            // The other end is closed and answers with a reset, which the next call is told.
            (State::CloseWait, None) => {
                self.connections.retain(|c| c.0 != id && c.1 != id);
                let left = traffic::to_closed(&mut self.host, &socket, false);
                self.gave_up(&socket, &left);
                self.mail_of(id).error = Some(Errno::EPIPE);
                self.put(Socket { spent: true, ..left });
                Outcome::Ok
            }
            (State::Established, None) => return None,
            _ => Outcome::Errno(Errno::EPIPE),
        })
    }

    /// The error that an earlier packet brought back, which the next call returns.
    pub fn pending_error(&mut self, id: SocketId) -> Option<Errno> {
        self.mail_of(id).error.take()
    }

    /// Reads what arrived; the outcomes that are possible.
    pub fn receive(&mut self, id: SocketId) -> Option<Vec<Outcome>> {
        let socket = *self.get(id)?;
        let mail = self.mail_of(id);
        if let Some(errno) = mail.error.take() {
            return Some(vec![Outcome::Errno(errno)]);
        }
        let again = Outcome::Errno(Errno::EAGAIN);
        match mail.packets {
            None => return Some(vec![Outcome::Ok, again]),
            Some(0) => {}
            Some(n) => {
                mail.packets = Some(n - 1);
                return Some(vec![Outcome::Ok]);
            }
        }
        if mail.ended {
            return Some(vec![Outcome::Ok]);
        }
        let unconnected = matches!(socket.state, State::Closed | State::Listen);
        Some(vec![match socket.protocol {
            Protocol::Tcp if unconnected => Outcome::Errno(Errno::ENOTCONN),
            Protocol::Tcp if socket.state == State::CloseWait => Outcome::Ok,
            _ => again,
        }])
    }

    /// `shutdown(2)`, reading and writing; `None` if what it leaves is not followed.
    pub fn shutdown(&mut self, id: SocketId, read: bool, write: bool) -> Option<Outcome> {
        let socket = *self.get(id)?;
        match (socket.protocol, socket.state) {
            (Protocol::Tcp, State::Listen) if read => {
                self.disconnect(id);
                Some(Outcome::Ok)
            }
            (Protocol::Tcp, State::Listen) => Some(Outcome::Ok),
            (_, State::Closed) => {
                self.mail_of(id).shut |= write;
                self.mail_of(id).ended |= read;
                Some(Outcome::Errno(Errno::ENOTCONN))
            }
            (Protocol::Udp, _) => {
                self.mail_of(id).shut |= write;
                self.mail_of(id).ended |= read;
                Some(Outcome::Ok)
            }
            (Protocol::Tcp, State::Established) => {
                let peer = self.peer(id)?;
                self.mail_of(id).ended |= read;
                if write {
                    let other = *self.get(peer).filter(|s| s.state == State::Established)?;
                    self.set_state(&socket, State::Closing);
                    self.set_state(&other, State::CloseWait);
                }
                Some(Outcome::Ok)
            }
            (Protocol::Tcp, State::Closing) if read && !write => Some(Outcome::Ok),
            (Protocol::Tcp, _) => None,
        }
    }

    /// Drops the connections that nobody accepted.
    pub(super) fn drop_waiting(&mut self, listener: SocketId) {
        while let Some(at) = self.waiting.iter().position(|(l, _)| *l == listener) {
            let (_, child) = self.waiting.remove(at);
            self.reset(child);
        }
    }

    /// Resets the connection of `id`, as seen from the other end.
    pub(super) fn cut(&mut self, id: SocketId) {
        let Some(at) = self.connections.iter().position(|c| c.0 == id || c.1 == id) else {
            return;
        };
        let (a, b) = self.connections.remove(at);
        let peer = if a == id { b } else { a };
        if let Some(&other) = self.get(peer) {
            let left = traffic::to_closed(&mut self.host, &other, false);
            self.gave_up(&other, &left);
            self.mail_of(peer).error = Some(Errno::ECONNRESET);
            self.put(Socket { spent: true, ..left });
        }
    }

    /// Remembers a port that `getsockname` goes on to show. UDP clears it.
    pub(super) fn gave_up(&mut self, before: &Socket, after: &Socket) {
        let lost = before.port != 0 && after.port == 0;
        if lost && before.protocol == Protocol::Tcp {
            self.stale.retain(|(id, _)| *id != before.id);
            self.stale.push((before.id, before.port));
        }
    }

    /// Forgets all about a socket that is closed.
    pub(super) fn forget(&mut self, id: SocketId) {
        self.stale.retain(|(socket, _)| *socket != id);
        self.backlogs.retain(|(socket, _)| *socket != id);
        self.mail.retain(|(socket, _)| *socket != id);
    }

    fn deliver(&mut self, to: SocketId) {
        let mail = self.mail_of(to);
        mail.packets = mail.packets.map(|n| n + 1);
    }

    pub(super) fn mail_of(&mut self, id: SocketId) -> &mut Mail {
        let at = self.mail.iter().position(|(socket, _)| *socket == id).unwrap_or_else(|| {
            self.mail.push((id, Mail { packets: Some(0), ..Mail::default() }));
            self.mail.len() - 1
        });
        &mut self.mail[at].1
    }
}

/// The packet of `socket` to `addr`, if it stays on this host.
fn local_packet(host: &Host, socket: &Socket, addr: &SockAddr) -> Option<Packet> {
    if addr.family == AF_UNSPEC {
        return None;
    }
    let dst = traffic::destination(socket, addr);
    let arrival = traffic::arrival(host, socket, dst, addr.scope)?;
    if arrival.src.is_ipv4() != dst.is_ipv4() {
        return None;
    }
    // A socket that is bound to a device sends over that one.
    if socket.device != 0 && socket.device != arrival.device {
        return None;
    }
    Some(Packet {
        protocol: socket.protocol,
        src: SocketAddr::new(arrival.src, socket.port),
        dst: SocketAddr::new(dst, addr.port),
        device: arrival.device,
        vrf: 0,
        broadcast: arrival.broadcast,
    })
}
