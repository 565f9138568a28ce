//! Real connections, and where they end.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use portwise_model::{Family, Protocol};
use portwise_sys::{
    Errno,
    sock::{Socket, SocketOption},
};

use super::{bind, report::Reached, room::Room};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_millis(1500);
/// How long a connection that the client has may take to be there for accept(2), or a datagram
/// to arrive.
const ARRIVAL: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(2);

/// Where to connect to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) protocol: Protocol,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// The interface over which to go there, as the client numbers it; 0: by its routes.
    pub(super) device: u32,
}

/// A socket that may be the one that is reached.
pub(super) struct Candidate<'a> {
    pub(super) socket: &'a Socket,
    pub(super) is: Reached,
}

/// What is known of who listens.
pub(super) struct Candidates<'a> {
    /// Sockets of this process.
    pub(super) ours: Vec<Candidate<'a>>,
    /// What it is if none of those is reached.
    pub(super) else_: Option<Reached>,
}

/// Connects from `room`, and finds out to whom. Silence is asked once more: a machine under load
/// may lose a packet, or answer too late.
pub(super) fn connect(room: &Room, to: Destination, candidates: &Candidates<'_>) -> Reached {
    match connect_once(room, to, candidates) {
        Reached::TimedOut => connect_once(room, to, candidates),
        reached => reached,
    }
}

fn connect_once(room: &Room, to: Destination, candidates: &Candidates<'_>) -> Reached {
    let client = match room.run(move || client(to)) {
        Ok(client) => client,
        Err(errno) => return failed(errno),
    };
    let reached = match to.protocol {
        Protocol::Tcp => accepted(&client, candidates),
        Protocol::Udp => received(&client, candidates),
    };
    // Reset, so that neither end waits.
    let _ = client.set_linger(Some(0));
    reached
}

fn failed(errno: Errno) -> Reached {
    match errno {
        Errno::ECONNREFUSED | Errno::ECONNRESET => Reached::Refused,
        Errno::EINPROGRESS | Errno::ETIMEDOUT => Reached::TimedOut,
        other => Reached::Errno(other.to_string()),
    }
}

/// A connected client. A name of its own stays with a datagram socket for the answer.
fn client(to: Destination) -> Result<Socket, Errno> {
    let socket = bind::create(Family::of(to.ip), to.protocol)?;
    let link_local = super::blueprint::is_link_local(to.ip);
    if to.device != 0 && !link_local {
        socket.set(SocketOption::SO_BINDTOIFINDEX, to.device.cast_signed())?;
    }
    let zone = if link_local { to.device } else { 0 };
    socket.connect_within(&bind::destination(to.ip, to.port, zone), LIMIT)?;
    Ok(socket)
}

/// Who accepted the connection of `client`.
fn accepted(client: &Socket, candidates: &Candidates<'_>) -> Reached {
    let Ok(name) = client.local_address().map(|a| a.to_socket_addr()) else {
        return Reached::Somebody;
    };
    let end = Instant::now() + ARRIVAL;
    loop {
        for candidate in &candidates.ours {
            while let Ok((connection, peer)) = candidate.socket.accept() {
                let _ = connection.set_linger(Some(0));
                let peer = peer.to_socket_addr().map(|p| (p.ip().to_canonical(), p.port()));
                if peer == name.map(|n| (n.ip().to_canonical(), n.port())) {
                    return candidate.is.clone();
                }
            }
        }
        // The client is done before the other side is.
        if candidates.ours.is_empty() || Instant::now() > end {
            return candidates.else_.clone().unwrap_or(Reached::Somebody);
        }
        std::thread::sleep(STEP);
    }
}

/// Who got a datagram of `client`. Silence is an answer too: then nobody of ours did, and no
/// host sent it back.
fn received(client: &Socket, candidates: &Candidates<'_>) -> Reached {
    // Nobody takes it for a request of a known protocol.
    let token = b"portwise try";
    if let Err(errno) = client.send(token) {
        return failed(errno);
    }
    let mut buffer = [0; 64];
    let limit = if candidates.else_.is_some() { ARRIVAL } else { LIMIT };
    let end = Instant::now() + limit;
    loop {
        for candidate in &candidates.ours {
            if let Ok(length) = candidate.socket.recv(&mut buffer)
                && buffer[..length] == *token
            {
                return candidate.is.clone();
            }
        }
        // An answer of a server is a sign of life, not a refusal.
        match client.recv(&mut buffer) {
            Err(Errno::EAGAIN) => {}
            Err(errno) => return failed(errno),
            Ok(_) => return candidates.else_.clone().unwrap_or(Reached::Somebody),
        }
        if Instant::now() > end {
            return candidates.else_.clone().unwrap_or(Reached::TimedOut);
        }
        std::thread::sleep(STEP);
    }
}
