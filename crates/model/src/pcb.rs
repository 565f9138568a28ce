//! What the kernels that come from 4.4BSD have in common: they find the one socket that fits best
//! and ask that one alone; and what a successful call leaves, the same on all kernels whose
//! sockets stand in one list.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    AddrState, Call, Evidence, FactKey, Family, Host, IfAddr, Missing, Outcome, Socket, State,
    View, needs_zone, v4_mapped,
};

/// How a lookup compares addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// Only an unconnected socket of exactly this address.
    Exact,
    /// The best fit, with wildcards on either side (`INPLOOKUP_WILDCARD`).
    BestFit,
}

/// Finds the socket of `pcbs`, newest first, that fits `laddr` best. `held` is the address under
/// which a socket is looked for, or `None`; `cost` makes it fit worse.
pub(crate) fn best<'a, A: PartialEq + Copy>(
    pcbs: impl Iterator<Item = &'a Socket>,
    laddr: A,
    any: A,
    how: Match,
    held: impl Fn(&Socket) -> Option<A>,
    cost: impl Fn(&Socket) -> u8,
) -> Option<&'a Socket> {
    let mut best: Option<(&Socket, u8)> = None;
    for t in pcbs {
        let Some(there) = held(t) else { continue };
        if how == Match::Exact {
            if t.remote.is_none() && there == laddr {
                return Some(t);
            }
            continue;
        }
        if there != any && laddr != any && there != laddr {
            continue;
        }
        let off = u8::from((there == any) != (laddr == any)) + u8::from(t.remote.is_some());
        let distance = off + cost(t);
        if best.is_none_or(|(_, least)| distance < least) {
            best = Some((t, distance));
        }
    }
    best.map(|(t, _)| t)
}

/// The other sockets of the asking one's protocol on `port`, newest first.
pub(crate) fn pcbs_on<'a>(
    v: &View<'a>,
    port: u16,
) -> Result<impl Iterator<Item = &'a Socket>, Missing> {
    let protocol = v.protocol();
    Ok(v.others_on(port)?.filter(move |t| t.protocol == protocol))
}

/// An option or the owner of `socket`, if it was observed.
pub(crate) fn known<T>(value: Option<T>, socket: &Socket) -> Result<T, Missing> {
    value.ok_or_else(|| {
        Missing::new(
            FactKey::SocketOptions(socket.id),
            "the owner and the options of this socket are not known",
            "",
        )
    })
}

/// Whether the asking socket has `SO_REUSEADDR` or `SO_REUSEPORT`, so that only an equal address
/// is in its way.
pub(crate) fn plain_match(socket: &Socket) -> Result<Match, Missing> {
    let options = &socket.options;
    let reuses = known(options.reuseaddr, socket)? || known(options.reuseport, socket)?;
    Ok(if reuses || options.reuseport_lb { Match::Exact } else { Match::BestFit })
}

/// Notes what was found, and whether it stops the call. A hidden socket might fit better.
pub(crate) fn in_the_way(v: &View<'_>, t: &Socket, stops: bool) -> Result<bool, Missing> {
    v.note(|| if stops { Evidence::InTheWay(*t) } else { Evidence::Beside(*t) });
    match &v.host().sockets.hidden {
        Some(missing) if !stops => Err(missing.clone()),
        _ => Ok(stops),
    }
}

/// The answer where no socket was found: it stands unless some may be hidden.
pub(crate) fn nobody(v: &View<'_>) -> Result<bool, Missing> {
    v.host().sockets.hidden.clone().map_or(Ok(false), Err)
}

/// Whether no interface has the IPv4 address, as its own or as its broadcast address.
pub(crate) fn no_interface4(v: &View<'_>, ip: Ipv4Addr) -> Result<bool, Missing> {
    if ip.is_unspecified() || ip.is_multicast() {
        return Ok(false);
    }
    let has = |a: &IfAddr| a.ip == IpAddr::V4(ip) || a.broadcast == Some(ip);
    Ok(v.interface_address(ip.into(), |_, a| has(a))?.is_none())
}

/// The first interface address that equals `ip`, on the interface of its zone if it needs one.
pub(crate) fn interface6(
    v: &View<'_>,
    ip: Ipv6Addr,
    scope: u32,
) -> Result<Option<AddrState>, Missing> {
    let link_local = ip.is_unicast_link_local();
    let found = v.interface_address(ip.into(), |interface, a| {
        a.ip == IpAddr::V6(ip) && (!link_local || interface.index == scope)
    })?;
    Ok(found.map(|(_, a)| a.state))
}

/// Whether an address of IPv6 needs an interface at all.
pub(crate) fn is_specific6(ip: Ipv6Addr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// The IPv4 address under which a socket is looked for where IPv6 sockets may carry IPv4.
pub(crate) fn laddr4(socket: &Socket) -> Option<Ipv4Addr> {
    match socket.ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) if ip.is_unspecified() && !socket.v6only => Some(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(ip) => v4_mapped(ip),
    }
}

/// The IPv6 address under which a socket is looked for, with its zone.
pub(crate) fn laddr6(socket: &Socket) -> Option<(Ipv6Addr, u32)> {
    match socket.ip {
        IpAddr::V6(ip) if v4_mapped(ip).is_none() => Some((ip, zone(ip, socket.device))),
        _ => None,
    }
}

/// The zone of `ip`, which only some addresses have.
pub(crate) fn zone(ip: Ipv6Addr, scope: u32) -> u32 {
    if needs_zone(ip) { scope } else { 0 }
}

/// Whether no port is left for port 0: surely not where no other socket has any. Else it takes
/// the range, and how the kernel looks for one in it.
pub(crate) fn no_automatic_port(v: &View<'_>) -> Result<bool, Missing> {
    let protocol = v.protocol();
    let others = |list: &[Socket]| list.iter().any(|s| s.protocol == protocol);
    if !v.host().sockets.all()?.any(|(_, list)| others(list)) {
        return Ok(false);
    }
    let ports = v.local_ports()?;
    for port in ports.low..=ports.high {
        if pcbs_on(v, port)?.next().is_none() {
            return Ok(false);
        }
    }
    Err(Missing::new(
        FactKey::LocalPorts,
        "every port of the automatic range is held, and sharing one was not looked into",
        "",
    ))
}

/// What `call` leaves on a kernel whose sockets stand in one list, newest first.
pub(crate) fn settle(
    host: &mut Host,
    socket: &Socket,
    call: &Call,
    outcome: Outcome,
    port: Option<u16>,
) -> Socket {
    let put = |host: &mut Host, socket: Socket| {
        if let Some(there) = host.sockets.get_mut(socket.port, socket.id) {
            *there = socket;
            return socket;
        }
        host.sockets.push_front(socket)
    };
    let chosen = |host: &Host| {
        let ports = host.local_ports.value();
        let (low, high) = ports.map_or((49152, 65535), |ports| (ports.low, ports.high));
        let free = |port: &u16| {
            let list = host.sockets.on(*port).unwrap_or(&[]);
            !list.iter().any(|s| s.protocol == socket.protocol)
        };
        port.or_else(|| (low..=high).find(free)).unwrap_or(low)
    };
    match (call, outcome) {
        (Call::Bind(addr), Outcome::Ok) => {
            let mut bound = Socket { ip: addr.ip(socket.family), port: addr.port, ..*socket };
            if let IpAddr::V6(ip) = bound.ip {
                bound.device = zone(ip, addr.scope);
            }
            bound.port_by_bind = Some(addr.port != 0);
            if addr.port == 0 {
                bound.port = chosen(host);
            }
            put(host, bound)
        }
        (Call::Listen(_), Outcome::Ok) => {
            let mut listening = Socket { state: State::Listen, ..*socket };
            if socket.port == 0 {
                listening.port = chosen(host);
                listening.port_by_bind = Some(false);
            }
            put(host, listening)
        }
        (Call::SetOption(option), Outcome::Ok) => {
            let changed = option.applied(*socket);
            if changed.port == 0 { changed } else { put(host, changed) }
        }
        _ => *socket,
    }
}

/// A host of which nothing is known but its kernel, with a loopback interface and no socket.
/// Whether it has further addresses stays open.
pub(crate) fn assumed_host(kernel: crate::Kernel, loopback: &'static str) -> Host {
    const FROM: &str = "assumed";
    let address =
        |ip: IpAddr, prefix| IfAddr { ip, prefix, broadcast: None, state: AddrState::Usable };
    let lo = crate::Interface {
        index: 1,
        name: loopback.into(),
        loopback: true,
        up: true,
        vrf: 0,
        addresses: alloc::vec![
            address(Ipv4Addr::LOCALHOST.into(), 8),
            address(Ipv6Addr::LOCALHOST.into(), 128),
        ],
    };
    let interfaces = crate::Interfaces { list: alloc::vec![lo], complete: false };
    Host {
        interfaces: crate::Fact::known(interfaces, FROM),
        sockets: crate::Sockets::none(FROM),
        policies: crate::Fact::known(alloc::vec::Vec::new(), FROM),
        ..Host::not_asked(kernel)
    }
}

/// What a kernel answers where its source was not read.
pub(crate) fn unread(what: &'static str) -> Result<bool, Missing> {
    // Like a gate: nobody can learn it from here.
    Err(Missing::new(FactKey::Policy(what.into()), "this was not read", "try it on that system"))
}

/// The family whose address a socket reads, for lists that serve both.
pub(crate) fn asked(v: &View<'_>) -> IpAddr {
    let (socket, addr) = (v.socket(), v.sockaddr());
    let ip = match (socket.family, v4_mapped(addr.ipv6())) {
        (Family::Inet, _) => IpAddr::V4(addr.ipv4()),
        (Family::Inet6, Some(ip)) if !socket.v6only => IpAddr::V4(ip),
        (Family::Inet6, _) => IpAddr::V6(addr.ipv6()),
    };
    v.note(|| Evidence::Address(ip));
    ip
}
