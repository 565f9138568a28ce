//! What `connect`, `shutdown`, packets and their absence do to sockets, read beside
//! `tcp_disconnect`, `tcp_set_state`, `__udp_disconnect` and `udp_lib_rehash`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    effects::{close, insert, is_any, replace},
    lookup,
};
use crate::{
    AF_INET, Family, Host, Membership, Protocol, RouteKind, SockAddr, Socket, State, needs_zone,
    v4_mapped,
};

/// Where a packet to `addr` goes: the wildcard stands for the address the socket is bound to or the
/// loopback address, and IPv4-mapped addresses are IPv4.
pub fn destination(socket: &Socket, addr: &SockAddr) -> IpAddr {
    let v4 = |ip: Ipv4Addr| match socket.ip.to_canonical() {
        IpAddr::V4(own) if ip.is_unspecified() && !own.is_unspecified() => IpAddr::V4(own),
        _ if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        _ => ip.into(),
    };
    let reads_v4 =
        socket.family == Family::Inet || socket.protocol == Protocol::Udp && addr.family == AF_INET;
    if reads_v4 {
        return v4(addr.ipv4());
    }
    match v4_mapped(addr.ipv6()) {
        Some(ip) => v4(ip),
        None if addr.ipv6().is_unspecified() => match socket.ip.to_canonical() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        },
        None => addr.ipv6().into(),
    }
}

/// The address that a packet of `socket` to `dst` comes from; `None` if only a route that is not
/// known would tell.
pub fn source(host: &Host, socket: &Socket, dst: IpAddr) -> Option<IpAddr> {
    let own = socket.ip.to_canonical();
    if !is_any(own) && !own.is_multicast() {
        return Some(own);
    }
    match dst {
        IpAddr::V4(dst) => {
            let route = host.local_routes.value()?.lookup(dst)?;
            if route.kind != RouteKind::Local {
                return None;
            }
            // The route of an interface's network prefers the interface's address.
            let interfaces = host.interfaces.value()?;
            let on = interfaces.by_index(route.device)?.addresses.iter();
            let preferred = on.filter_map(|a| match a.ip {
                IpAddr::V4(ip) if route.prefix < 32 && route.covers(ip) => Some(ip),
                _ => None,
            });
            Some(preferred.into_iter().next().unwrap_or(dst).into())
        }
        IpAddr::V6(_) => {
            let mut addresses = host.interfaces.value()?.addresses();
            addresses.find(|(_, a)| a.ip == dst).map(|_| dst)
        }
    }
}

/// The interface on which a packet of this host to its own address `dst` counts as arrived.
pub fn arrives_on(host: &Host, dst: IpAddr) -> Option<u32> {
    match dst {
        IpAddr::V4(dst) => {
            let route = host.local_routes.value()?.lookup(dst)?;
            (route.kind == RouteKind::Local).then_some(route.device)
        }
        IpAddr::V6(_) => {
            let mut addresses = host.interfaces.value()?.addresses();
            addresses.find(|(_, a)| a.ip == dst).map(|(interface, _)| interface.index)
        }
    }
}

/// `ip` as a socket of `family` keeps it.
pub(super) fn of_family(family: Family, ip: IpAddr) -> IpAddr {
    match (family, ip) {
        (Family::Inet6, IpAddr::V4(ip)) => IpAddr::V6(ip.to_ipv6_mapped()),
        _ => ip,
    }
}

/// Sends a TCP socket back to the state `CLOSE`: it keeps what `bind` named and loses what was
/// chosen for it. `forgets` is whether the address goes as well, as it does when the call fails or
/// undoes a connection, and does not when the other end resets it.
pub fn to_closed(host: &mut Host, socket: &Socket, forgets: bool) -> Socket {
    let mut left = Socket { state: State::Closed, remote: None, ..lookup::leave(socket) };
    if forgets && !socket.ip_by_bind {
        left.ip = socket.family.unspecified();
    }
    if socket.port_by_bind == Some(true) {
        replace(host, &left);
        return left;
    }
    close(host, socket);
    Socket { port: 0, port_by_connect: Some(false), ..left }
}

/// Puts a client on the way to `dst`: it has a port, and from now on the address it sends from.
pub fn sets_out(host: &mut Host, socket: &Socket, src: IpAddr, dst: SocketAddr) -> Socket {
    let remote = SocketAddr::new(of_family(socket.family, dst.ip()), dst.port());
    let mut out = Socket { state: State::Established, remote: Some(remote), ..*socket };
    if is_any(out.ip) {
        out.ip = of_family(out.family, src);
    }
    match host.sockets.get(out.id).is_some() {
        true => replace(host, &out),
        false => out = host.sockets.push_front(out),
    }
    out
}

/// Gives a UDP socket without a port the one that the kernel chose.
pub fn autobind_udp(host: &mut Host, socket: &Socket, port: u16) -> Socket {
    let mut bound = Socket { port, port_by_bind: Some(false), ..*socket };
    bound.group = lookup::join(host, &bound);
    insert(host, bound)
}

/// Connects a UDP socket that has a port.
pub fn connect_udp(host: &mut Host, socket: &Socket, src: IpAddr, dst: SocketAddr) -> Socket {
    let remote = SocketAddr::new(of_family(socket.family, dst.ip()), dst.port());
    let mut to = Socket { state: State::Established, remote: Some(remote), ..*socket };
    if is_any(to.ip) {
        to.ip = of_family(to.family, src);
        refile(host, &mut to);
    }
    if let (Membership::Group(id), groups) = (to.group, &mut host.sockets.groups_with_connections)
        && !groups.contains(&id)
    {
        groups.push(id);
    }
    replace(host, &to);
    to
}

/// Takes the connection of a UDP socket apart.
pub fn disconnect_udp(host: &mut Host, socket: &Socket) -> Socket {
    let mut left = Socket { state: State::Closed, remote: None, device: 0, ..*socket };
    let keeps_port = socket.port_by_bind == Some(true);
    if !socket.ip_by_bind {
        left.ip = socket.family.unspecified();
        if keeps_port {
            refile(host, &mut left);
        }
    }
    if keeps_port {
        replace(host, &left);
        return left;
    }
    close(host, socket);
    Socket { port: 0, ..lookup::leave(&left) }
}

/// A UDP socket whose address changed is filed anew, and is in no group any more.
fn refile(host: &mut Host, socket: &mut Socket) {
    socket.group = Membership::None;
    socket.filed = host.sockets.place(true);
}

/// The device that a connection to a link-local address binds the socket to.
pub fn device_after(socket: &Socket, addr: &SockAddr) -> u32 {
    let zoned = socket.family == Family::Inet6 && needs_zone(addr.ipv6()) && addr.len >= 28;
    if zoned && addr.scope != 0 { addr.scope } else { socket.device }
}
