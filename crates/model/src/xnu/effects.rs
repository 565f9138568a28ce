//! What a call that was answered does to the host.

use core::net::{IpAddr, Ipv4Addr};

use super::{FAILED_BIND_KEEPS_FAMILY, pcb};
use crate::{
    Call, Errno, Family, Host, Outcome, SockAddr, Socket, State, is_unspecified, v4_mapped,
};

/// Makes the effects of `call` on `socket`, which answered `outcome`, and returns the socket as
/// it is afterwards. `port` is the one the kernel chose where the call did not name one; without
/// it, the first free one of the automatic range.
pub fn settle(
    host: &mut Host,
    socket: &Socket,
    call: &Call,
    outcome: Outcome,
    port: Option<u16>,
) -> Socket {
    match (call, outcome) {
        (Call::Bind(addr), Outcome::Ok) => bind(host, socket, addr, port),
        (Call::Bind(addr), Outcome::Errno(errno)) => bind_failed(host, socket, addr, errno),
        (Call::Listen(_), Outcome::Ok) => listen(host, socket, port),
        (Call::SetOption(option), Outcome::Ok) => {
            let changed = option.applied(*socket);
            replace(host, &changed);
            changed
        }
        (Call::Listen(_) | Call::SetOption(_), Outcome::Errno(_)) | (Call::Connect(_), _) => {
            *socket
        }
    }
}

fn bind(host: &mut Host, socket: &Socket, addr: &SockAddr, port: Option<u16>) -> Socket {
    let mut bound = Socket { ip: addr.ip(socket.family), port: addr.port, ..*socket };
    if let IpAddr::V6(ip) = bound.ip {
        bound.device = pcb::zone(ip, addr.scope);
    }
    bound.port_by_bind = Some(addr.port != 0);
    if addr.port == 0 {
        bound.port = port.unwrap_or_else(|| automatic_port(host, socket));
    }
    host.sockets.push_front(bound)
}

/// A failed `bind` leaves nothing behind, except that it used to leave the family it was looking
/// in: an IPv6 socket that failed on an IPv4-mapped address lives on as an IPv4 one, which is how
/// one bound to `::ffff:0.0.0.0` looks. Not followed: a bound socket whose own address is of the
/// family it thereby lost.
fn bind_failed(host: &mut Host, socket: &Socket, addr: &SockAddr, errno: Errno) -> Socket {
    let past_entry_checks =
        matches!(errno, Errno::EADDRNOTAVAIL | Errno::EINVAL | Errno::EACCES | Errno::EADDRINUSE);
    let keeps = host.has(&FAILED_BIND_KEEPS_FAMILY) != Some(false);
    if socket.family == Family::Inet || !is_any(socket.ip) || !past_entry_checks || keeps {
        return *socket;
    }
    let ip = match pcb::read(socket, addr) {
        IpAddr::V4(_) => IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()),
        IpAddr::V6(_) => Family::Inet6.unspecified(),
    };
    let left = Socket { ip, ..*socket };
    replace(host, &left);
    left
}

/// Whether `ip` is the unspecified address, written as IPv6 or as IPv4-mapped.
fn is_any(ip: IpAddr) -> bool {
    let mapped = match ip {
        IpAddr::V6(ip) => v4_mapped(ip),
        IpAddr::V4(_) => None,
    };
    is_unspecified(ip) || mapped == Some(Ipv4Addr::UNSPECIFIED)
}

fn listen(host: &mut Host, socket: &Socket, port: Option<u16>) -> Socket {
    let mut listening = Socket { state: State::Listen, ..*socket };
    if socket.port == 0 {
        listening.port = port.unwrap_or_else(|| automatic_port(host, socket));
        listening.port_by_bind = Some(false);
        listening = host.sockets.push_front(listening);
    } else {
        replace(host, &listening);
    }
    listening
}

/// The first port of the automatic range that no socket of this protocol has.
fn automatic_port(host: &Host, socket: &Socket) -> u16 {
    let (low, high) = match (host.local_ports.value(), socket.options.portrange_low) {
        (_, true) => super::port::LOW_PORTS,
        (Some(ports), false) => (ports.low, ports.high),
        (None, false) => (49152, 65535),
    };
    let taken = |port: u16| {
        let list = host.sockets.on(port).unwrap_or(&[]);
        list.iter().any(|t| t.protocol == socket.protocol)
    };
    (low..=high).find(|&port| !taken(port)).unwrap_or(low)
}

fn replace(host: &mut Host, socket: &Socket) {
    if let Some(there) = host.sockets.get_mut(socket.port, socket.id) {
        *there = *socket;
    }
}
