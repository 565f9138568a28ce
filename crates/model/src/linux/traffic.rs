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
            let broadcast = match route.kind {
                RouteKind::Local => false,
                RouteKind::Broadcast => true,
                RouteKind::Other => return None,
            };
            // The route of an interface's network prefers the interface's address.
            let interfaces = host.interfaces.value()?;
            let mut on = interfaces.by_index(route.device)?.addresses.iter();
            let preferred = on.find_map(|a| match a.ip {
                IpAddr::V4(ip) if broadcast || route.prefix < 32 && route.covers(ip) => Some(ip),
                _ => None,
            });
            preferred.or((!broadcast).then_some(dst)).map(IpAddr::V4)
        }
        IpAddr::V6(_) => {
            let mut addresses = host.interfaces.value()?.addresses();
            addresses.find(|(_, a)| a.ip == dst).map(|_| dst)
        }
    }
}

/// How a packet that this host sends to an address of its own, or to a group on one of its links,
/// comes back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The address it comes from.
    pub src: IpAddr,
    /// The interface on which it counts as arrived: that of the address, not `lo`.
    pub device: u32,
    /// Whether the address is a broadcast address.
    pub broadcast: bool,
}

/// How a packet of `socket` to `dst`, in the zone of the interface `zone` or 0, arrives; `None` if
/// it does not, or only a route that is not known would tell.
pub fn arrival(host: &Host, socket: &Socket, dst: IpAddr, zone: u32) -> Option<Arrival> {
    let interfaces = host.interfaces.value()?;
    let own = socket.ip.to_canonical();
    let named = !is_any(own) && !own.is_multicast();
    let of_own = || interfaces.addresses().find(|(_, a)| a.ip == own).map(|(i, _)| i.index);
    let zone = if zone == 0 { socket.device } else { zone };
    let (device, broadcast) = match dst {
        // A group or everybody: out of the interface of the address it is sent from.
        IpAddr::V4(ip) if ip.is_multicast() || ip.is_broadcast() => {
            (of_own().filter(|_| named)?, ip.is_broadcast())
        }
        IpAddr::V4(ip) => match host.local_routes.value()?.lookup(ip)? {
            route if route.kind == RouteKind::Local => (route.device, false),
            route if route.kind == RouteKind::Broadcast => (route.device, true),
            _ => return None,
        },
        IpAddr::V6(ip) if ip.is_multicast() => {
            (Some(zone).filter(|zone| *zone != 0 && named)?, false)
        }
        IpAddr::V6(ip) => {
            let here = |index: u32| !needs_zone(ip) || index == zone;
            let mut there = interfaces.addresses().filter(|(i, a)| a.ip == dst && here(i.index));
            (there.next()?.0.index, false)
        }
    };
    // What goes out for many comes back only if the interface is up.
    if (broadcast || dst.is_multicast()) && !interfaces.by_index(device)?.up {
        return None;
    }
    Some(Arrival { src: source(host, socket, dst)?, device, broadcast })
}

/// Whether an ICMP error about a packet of `socket` to `dst`, both of this host, finds the socket: one
/// that is bound to an interface hears only of errors that arrive there. Those of IPv4 arrive on `lo`
/// (`__udp4_lib_err` asks for the device of the packet), those of IPv6 on that of the sender's address.
pub fn hears_errors(host: &Host, socket: &Socket, dst: IpAddr) -> bool {
    if socket.device == 0 {
        return true;
    }
    let Some(interfaces) = host.interfaces.value() else { return true };
    let Some(own) = source(host, socket, dst) else { return true };
    let mut of_own = interfaces.addresses().filter(|(_, a)| a.ip == own).map(|(i, _)| i.index);
    match own {
        IpAddr::V4(_) => interfaces.by_index(socket.device).is_none_or(|i| i.loopback),
        IpAddr::V6(_) => of_own.any(|index| index == socket.device),
    }
}

/// `ip` as a socket of `family` keeps it.
pub(crate) fn of_family(family: Family, ip: IpAddr) -> IpAddr {
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
    let (state, heard) = (State::Established, None);
    let mut to = Socket { state, heard, remote: Some(remote), ..*socket };
    if is_any(to.ip) {
        to.ip = of_family(to.family, src);
        refile(host, &mut to);
    }
    if socket.remote != to.remote || socket.ip != to.ip {
        to.met = host.sockets.place(true);
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
    let heard = match (socket.family, socket.remote) {
        (Family::Inet6, Some(remote)) => Some(remote.ip()),
        _ => socket.heard,
    };
    let mut left = Socket { state: State::Closed, remote: None, device: 0, heard, ..*socket };
    let keeps_port = socket.port_by_bind == Some(true);
    if !socket.ip_by_bind {
        left.ip = socket.family.unspecified();
        match left.ip == socket.ip {
            _ if !keeps_port => {}
            true => left.group = Membership::None,
            false => refile(host, &mut left),
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
