//! A host carried through a sequence of calls.

mod traffic;

use alloc::vec::Vec;
use core::net::IpAddr;

pub use traffic::Answered;
use traffic::Mail;

use crate::{
    Call, Errno, Family, Finding, Host, Membership, Outcome, Protocol, Request, Rule, Socket,
    SocketId, State, Subject, linux, outcomes, settle,
};

/// `net.core.somaxconn`, unless it was changed.
const SOMAXCONN: u32 = 4096;

/// A host and the sockets that a sequence of calls made on it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The host, with every socket that holds a port.
    pub host: Host,
    /// Every socket that was made and not closed, as it is.
    sockets: Vec<Socket>,
    /// The two ends of each connection that is not closed yet.
    connections: Vec<(SocketId, SocketId)>,
    /// Connections that nobody accepted yet: the listener and its new socket.
    waiting: Vec<(SocketId, SocketId)>,
    /// The length of each listener's queue.
    backlogs: Vec<(SocketId, u32)>,
    /// Ports that `getsockname` still shows, though they were given up (Linux).
    stale: Vec<(SocketId, u16)>,
    /// IPv6 sockets that once were connected over IPv4, and no longer speak IPv6.
    spoke_v4: Vec<SocketId>,
    /// What arrived and was not read.
    mail: Vec<(SocketId, Mail)>,
}

impl Machine {
    /// Starts with `host` as it is.
    pub fn new(host: Host) -> Machine {
        Machine {
            host,
            sockets: Vec::new(),
            connections: Vec::new(),
            waiting: Vec::new(),
            backlogs: Vec::new(),
            stale: Vec::new(),
            spoke_v4: Vec::new(),
            mail: Vec::new(),
        }
    }

    /// Begins again with what `host` has of sockets. All else of the host stays as it is.
    pub fn restart(&mut self, host: &Host) {
        let Machine { host: own, sockets, connections, waiting, backlogs, stale, spoke_v4, mail } =
            self;
        own.sockets.clone_from(&host.sockets);
        own.buckets.clone_from(&host.buckets);
        sockets.clear();
        connections.clear();
        waiting.clear();
        backlogs.clear();
        stale.clear();
        spoke_v4.clear();
        mail.clear();
    }

    /// Makes a socket owned by `uid`.
    pub fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, uid: u32) {
        self.sockets.push(Socket::new(id, family, protocol, uid));
    }

    /// Returns a socket that was made and not closed.
    pub fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.iter().find(|s| s.id == id)
    }

    /// Returns every socket that was made and not closed.
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    /// Returns whether this is the end of a connection that nobody accepted yet: no program has it.
    pub fn is_waiting(&self, id: SocketId) -> bool {
        self.waiting.iter().any(|(_, socket)| *socket == id)
    }

    /// Returns whether any connection waits for a program to accept it.
    pub fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns the listener of the connection that waits longest to be accepted.
    pub fn oldest_waiting(&self) -> Option<SocketId> {
        self.waiting.first().map(|(listener, _)| *listener)
    }

    /// Returns the other end of a connection, if it is open still.
    pub fn peer(&self, id: SocketId) -> Option<SocketId> {
        let (a, b) = *self.connections.iter().find(|c| c.0 == id || c.1 == id)?;
        let peer = if a == id { b } else { a };
        self.get(peer).map(|s| s.id)
    }

    /// Returns what `call` may answer on socket `id`, telling `each` what every rule said. Panics
    /// if there is no such socket.
    pub fn outcomes(
        &self,
        subject: &Subject,
        id: SocketId,
        call: Call,
        each: impl FnMut(&'static Rule, &Finding),
    ) -> Vec<Outcome> {
        let socket = *self.get(id).expect("a socket that was made");
        outcomes(&self.host, subject, &Request { call, socket }, each)
    }

    /// Makes the effects of a call that answered `outcome`. `port` is the one the kernel chose
    /// where the call did not name one.
    pub fn settle(&mut self, id: SocketId, call: Call, outcome: Outcome, port: Option<u16>) {
        let Some(socket) = self.sockets.iter_mut().find(|s| s.id == id) else { return };
        *socket = settle(&mut self.host, socket, &call, outcome, port);
        let joined = *socket;
        if let (Membership::Group(_), Call::Bind(_) | Call::Listen(_)) = (joined.group, call) {
            // It may have founded the group with one that was there before.
            for other in self.sockets.iter_mut().filter(|s| s.port == joined.port) {
                other.group = self.host.sockets.get(other.id).map_or(other.group, |s| s.group);
            }
        }
        if let (Call::Listen(backlog), Outcome::Ok) = (call, outcome) {
            self.backlogs.retain(|(listener, _)| *listener != id);
            // A negative one is a very large one.
            self.backlogs.push((id, (backlog as u32).min(SOMAXCONN)));
        }
        if let (Call::Bind(_) | Call::Listen(_), Outcome::Ok) = (call, outcome) {
            self.stale.retain(|(socket, _)| *socket != id);
        }
    }

    /// The port that `getsockname` shows, which the socket may have given up (Linux).
    pub fn shown_port(&self, id: SocketId) -> u16 {
        let owned = self.get(id).map_or(0, |s| s.port);
        let stale = || self.stale.iter().find(|(socket, _)| *socket == id).map(|(_, port)| *port);
        if owned != 0 { owned } else { stale().unwrap_or(0) }
    }

    /// Connects `client`, whose port is chosen already, to `listener`: the listener gets the new
    /// socket `child`. `src` and `dst` are the two addresses (Linux).
    pub fn connect(
        &mut self,
        client: SocketId,
        listener: SocketId,
        child: SocketId,
        (src, dst): (IpAddr, IpAddr),
    ) {
        let (Some(&near), Some(&far)) = (self.get(client), self.get(listener)) else { return };
        let (near, far) = linux::connected(&mut self.host, &near, &far, child, (src, dst));
        self.put(near);
        self.sockets.push(far);
        self.connections.push((client, child));
        self.waiting.push((listener, child));
    }

    /// Whether this IPv6 TCP socket was once connected over IPv4, and reads its packets so since.
    pub fn spoke_v4(&self, id: SocketId) -> bool {
        self.spoke_v4.contains(&id)
    }

    /// Says that an IPv6 TCP socket is connected over IPv4.
    pub fn speaks_v4(&mut self, id: SocketId) {
        self.spoke_v4.push(id);
    }

    /// Gives a socket that is on no port an address and what `getsockname` shows as its port.
    pub fn renamed(&mut self, id: SocketId, ip: IpAddr, port: u16) {
        if let Some(socket) = self.sockets.iter_mut().find(|s| s.id == id) {
            (socket.ip, socket.port) = (ip, port);
        }
    }

    /// Gives `client` the automatic `port` that `connect` chose for it (Linux).
    pub fn autobind(&mut self, client: SocketId, port: u16) {
        if let Some(socket) = self.sockets.iter_mut().find(|s| s.id == client) {
            socket.port = port;
            socket.port_by_connect = Some(true);
        }
    }

    /// Gives the oldest connection waiting at `listener` to the process of `uid`, under the id
    /// `child`. Returns whether one was waiting (Linux).
    pub fn accept(&mut self, listener: SocketId, child: SocketId, uid: u32) -> bool {
        let Some(at) = self.waiting.iter().position(|(l, _)| *l == listener) else {
            return false;
        };
        let (_, waited) = self.waiting.remove(at);
        let Some(&socket) = self.get(waited) else { return false };
        let accepted = Socket { id: child, uid: Some(uid), ..socket };
        if let Some(there) = self.host.sockets.get_mut(socket.port, waited) {
            *there = accepted;
        }
        if let Some(there) = self.sockets.iter_mut().find(|s| s.id == waited) {
            *there = accepted;
        }
        for (client, far) in &mut self.connections {
            for end in [client, far] {
                if *end == waited {
                    *end = child;
                }
            }
        }
        true
    }

    /// Closes a socket. The end of a connection that closes first stays on its port in
    /// `TIME_WAIT` once the other end is closed too.
    pub fn close(&mut self, id: SocketId) {
        let Some(at) = self.sockets.iter().position(|s| s.id == id) else { return };
        let socket = self.sockets.remove(at);
        let unread = |(there, mail): &(SocketId, Mail)| *there == id && mail.packets > Some(0);
        if socket.protocol == Protocol::Tcp && self.mail.iter().any(unread) {
            // What was not read is lost, and the other end is told so by a reset.
            self.cut(id);
        }
        self.forget(id);
        self.drop_waiting(id);
        let connection = self.connections.iter().position(|c| c.0 == id || c.1 == id);
        let Some(connection) = connection else {
            linux::close(&mut self.host, &socket);
            return;
        };
        let (a, b) = self.connections[connection];
        let peer = if a == id { b } else { a };
        match self.host.sockets.get(peer).copied() {
            // The other end is open: this one waits for it.
            Some(other) if self.get(peer).is_some() => {
                self.set_state(&socket, State::Closing);
                self.set_state(&other, State::CloseWait);
            }
            other => {
                linux::close(&mut self.host, &socket);
                if let Some(other) = other {
                    linux::time_wait(&mut self.host, &other);
                }
                self.connections.remove(connection);
            }
        }
    }

    /// Resets a connection: `end` is gone, and the other end keeps its port only if it was bound
    /// to it.
    fn reset(&mut self, end: SocketId) {
        let Some(at) = self.connections.iter().position(|c| c.0 == end || c.1 == end) else {
            return;
        };
        let (a, b) = self.connections.remove(at);
        let peer = if a == end { b } else { a };
        if let Some(at) = self.sockets.iter().position(|s| s.id == end) {
            let gone = self.sockets.remove(at);
            linux::close(&mut self.host, &gone);
        }
        if let Some(&left) = self.get(peer) {
            let reset = linux::traffic::to_closed(&mut self.host, &left, false);
            self.gave_up(&left, &reset);
            self.mail_of(peer).error = Some(Errno::ECONNRESET);
            self.put(Socket { spent: true, ..reset });
        }
    }

    fn set_state(&mut self, socket: &Socket, state: State) {
        let changed = Socket { state, ..*socket };
        if let Some(there) = self.host.sockets.get_mut(socket.port, socket.id) {
            *there = changed;
        }
        self.put(changed);
    }

    fn put(&mut self, socket: Socket) {
        if let Some(there) = self.sockets.iter_mut().find(|s| s.id == socket.id) {
            *there = socket;
        }
    }
}
