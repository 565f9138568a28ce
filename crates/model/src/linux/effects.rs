//! What a call that was answered does to the host.

use super::{
    BUCKET_FORGETS_ON_CLOSE, BUCKET_STARTS_STRICT, Buckets,
    bind6::zoned_device,
    conflict::on_any_v4,
    lookup,
    traffic::{of_family, sets_out},
};
use crate::{
    Call, Errno, Fact, FactKey, Family, Feature, Host, Membership, Missing, Outcome, Protocol,
    SockAddr, SockOption, Socket, State, is_unspecified, needs_zone, v4_mapped,
};
use core::net::IpAddr;

/// Returns `socket` as the kernel fills it in before it looks for conflicts.
pub(super) fn bound_socket(socket: &Socket, addr: &SockAddr) -> Socket {
    let mut bound = Socket { port: addr.port, ip: addr.ip(socket.family), ..*socket };
    if let IpAddr::V6(ip) = bound.ip {
        if !ip.is_unspecified() && v4_mapped(ip).is_none() {
            bound.v6only = true;
        }
        if needs_zone(ip) {
            bound.device = zoned_device(socket.device, addr);
        }
    }
    bound
}

/// Makes the effects of `call` on `socket`, which answered `outcome`, and returns the socket as
/// it is afterwards. `port` is the one the kernel chose where the call did not name one.
pub fn settle(
    host: &mut Host,
    socket: &Socket,
    call: &Call,
    outcome: Outcome,
    port: Option<u16>,
) -> Socket {
    match (call, outcome) {
        (Call::Bind(addr), Outcome::Ok) => bind(host, socket, addr, port),
        (Call::Bind(addr), Outcome::Errno(errno)) => bind_failed(socket, addr, errno),
        (Call::Listen(_), Outcome::Ok) => listen(host, socket, port),
        (Call::SetOption(option), Outcome::Ok) => {
            let mut changed = option.applied(*socket);
            if moves(option, socket) {
                changed = lookup::leave(&changed);
            }
            replace(host, &changed);
            changed
        }
        (Call::Listen(_) | Call::SetOption(_), Outcome::Errno(_)) => *socket,
        // What a connection does depends on its other end: see `Machine`.
        (Call::Connect(_), _) => *socket,
    }
}

/// udp_lib_rehash() takes a bound socket out of its group of SO_REUSEPORT sockets, whether its device
/// changes or not.
fn moves(option: &SockOption, socket: &Socket) -> bool {
    let is_in_group = matches!(socket.group, Membership::Group(_));
    let is_device = matches!(option, SockOption::BindToDevice(_));
    is_device && is_in_group && socket.protocol == Protocol::Udp && socket.port != 0
}

fn bind(host: &mut Host, socket: &Socket, addr: &SockAddr, port: Option<u16>) -> Socket {
    let mut bound = bound_socket(socket, addr);
    bound.port_by_bind = Some(addr.port != 0);
    // An IPv4-mapped wildcard counts as an address here, and one that was named once stays named.
    bound.ip_by_bind = socket.ip_by_bind || !is_unspecified(bound.ip);
    if addr.port == 0 {
        if socket.options.bind_address_no_port {
            return bound;
        }
        bound.port = port.unwrap_or(0);
    }
    if bound.protocol == Protocol::Udp {
        bound.group = lookup::join(host, &bound);
    }
    insert(host, bound)
}

/// Whether `ip` is a wildcard, written in either family.
pub(super) fn is_any(ip: IpAddr) -> bool {
    is_unspecified(ip.to_canonical())
}

/// A failed `bind` leaves the device that the zone named.
fn bind_failed(socket: &Socket, addr: &SockAddr, errno: Errno) -> Socket {
    let after_zone = matches!(errno, Errno::ENODEV | Errno::EADDRNOTAVAIL | Errno::EADDRINUSE);
    let mut left = *socket;
    if socket.family == Family::Inet6 && after_zone {
        left.device = zoned_device(socket.device, addr);
    }
    // The address of an earlier call is gone as well, if the new one was tried.
    if errno == Errno::EADDRINUSE {
        left.ip = socket.family.unspecified();
    }
    left
}

fn listen(host: &mut Host, socket: &Socket, port: Option<u16>) -> Socket {
    if socket.state == State::Listen {
        return *socket;
    }
    let mut listening = *socket;
    listening.state = State::Listen;
    if listening.port == 0 {
        listening.port = port.unwrap_or(0);
        listening.port_by_bind = Some(false);
        listening = insert(host, listening);
    } else {
        replace(host, &listening);
        remember(host, &listening, false);
    }
    // Listeners are filed anew, apart from what is only bound.
    let last = listening.family == Family::Inet6 && listening.options.reuseport == Some(true);
    listening.group = lookup::join(host, &listening);
    listening.filed = host.sockets.place(!last);
    replace(host, &listening);
    listening
}

/// Puts a socket on its port, where the kernel would put it, and returns it as it is there.
pub(super) fn insert(host: &mut Host, socket: Socket) -> Socket {
    let shares = socket.options.reuseport == Some(true);
    let socket = match socket.protocol {
        Protocol::Udp if shares && socket.family == Family::Inet6 => host.sockets.push_back(socket),
        _ => host.sockets.push_front(socket),
    };
    remember(host, &socket, true);
    socket
}

/// `joins` says that the socket had no port before.
fn remember(host: &mut Host, socket: &Socket, joins: bool) {
    if socket.protocol != Protocol::Tcp {
        return;
    }
    let there = host.sockets.on(socket.port).unwrap_or(&[]);
    let mut others =
        there.iter().filter(|s| s.protocol == Protocol::Tcp && s.id != socket.id).peekable();
    let first = joins && others.peek().is_none();
    let any_first = joins && on_any_v4(socket) && !others.any(on_any_v4);
    let strict = host.has(&BUCKET_STARTS_STRICT);
    let Fact::Known { value, .. } = &mut host.buckets else { return };
    match strict {
        Some(strict) => value.accepted(socket, first && !strict),
        None if !first => value.accepted(socket, false),
        None => {
            host.buckets = forgotten(&BUCKET_STARTS_STRICT);
            return;
        }
    }
    if any_first {
        value.any_taken(socket);
    }
}

/// What the kernel remembers, where its version does not say whether it does.
fn forgotten(feature: &Feature) -> Fact<Buckets> {
    Fact::Missing(Missing::new(
        FactKey::Feature(feature.id.into()),
        "whether this version remembers or forgets that a port was shared is not known",
        "",
    ))
}

pub(super) fn replace(host: &mut Host, socket: &Socket) {
    if let Some(there) = host.sockets.get_mut(socket.port, socket.id) {
        *there = *socket;
    }
}

/// Takes a socket off its port.
pub fn close(host: &mut Host, socket: &Socket) {
    host.sockets.remove(socket.port, socket.id);
    if socket.protocol != Protocol::Tcp {
        return;
    }
    let left = host.sockets.on(socket.port).unwrap_or(&[]);
    let mut left = left.iter().filter(|s| s.protocol == Protocol::Tcp).peekable();
    let none = left.peek().is_none();
    let only_connects = left.all(|s| s.port_by_connect == Some(true));
    let forgets = host.has(&BUCKET_FORGETS_ON_CLOSE);
    let Fact::Known { value, .. } = &mut host.buckets else { return };
    match forgets {
        _ if none => value.remove(socket.port),
        Some(true) if only_connects => value.forget(socket.port),
        None if only_connects => {
            host.buckets = forgotten(&BUCKET_FORGETS_ON_CLOSE);
        }
        _ => {}
    }
}

/// Puts both ends of a connection on their ports: `client`, from `src` and its port, and
/// `child`, the new socket of `listener`, at `dst`. Returns them as they are then.
pub fn connected(
    host: &mut Host,
    client: &Socket,
    listener: &Socket,
    child: crate::SocketId,
    (src, dst): (IpAddr, IpAddr),
) -> (Socket, Socket) {
    let near = sets_out(host, client, src, (dst, listener.port).into());
    // tcp_v6_init_req() binds it to the interface, so that a link-local address has a meaning.
    let is_zoned = listener.device == 0 && matches!(src, IpAddr::V6(src) if needs_zone(src));
    let far = Socket {
        id: child,
        device: if is_zoned { near.device } else { listener.device },
        state: State::Established,
        ip: of_family(listener.family, dst),
        remote: Some((of_family(listener.family, src), client.port).into()),
        port_by_bind: Some(false),
        ..lookup::leave(listener)
    };
    let far = host.sockets.push_front(far);
    (near, far)
}

/// Leaves a closed socket on its port for late packets.
pub fn time_wait(host: &mut Host, socket: &Socket) -> Socket {
    let left = Socket { state: State::TimeWait, ..*socket };
    replace(host, &left);
    left
}
