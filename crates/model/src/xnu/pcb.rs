//! Protocol control blocks: what XNU compares of a socket, and how it looks for one that holds a
//! port. Read beside `in_pcblookup_local` and `in6_pcblookup_local`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Evidence, FactKey, Family, Missing, SockAddr, Socket, View, needs_zone, v4_mapped};

/// An IPv6 address with its zone: the kernel writes the one into the other. The zone is 0 where
/// the address needs none.
pub(super) type Zoned = (Ipv6Addr, u32);

/// The unspecified address, in no zone.
pub(super) const ANY6: Zoned = (Ipv6Addr::UNSPECIFIED, 0);

/// The local address under which IPv4 lookups find a socket; `None` if they pass it over
/// (`INP_IPV4` is not set).
pub(super) fn laddr4(socket: &Socket) -> Option<Ipv4Addr> {
    match socket.ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) if ip.is_unspecified() && !socket.v6only => Some(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(ip) => v4_mapped(ip),
    }
}

/// The local address under which IPv6 lookups find a socket; `None` if they pass it over
/// (`INP_IPV6` is not set).
pub(super) fn laddr6(socket: &Socket) -> Option<Zoned> {
    match socket.ip {
        IpAddr::V6(ip) if v4_mapped(ip).is_none() => Some((ip, zone(ip, socket.device))),
        _ => None,
    }
}

/// The zone of `ip`, which only some addresses have.
pub(super) fn zone(ip: Ipv6Addr, scope: u32) -> u32 {
    if needs_zone(ip) { scope } else { 0 }
}

/// The address asked for, as the procedure that decides reads it: an IPv4 one for an IPv4-mapped
/// address, unless the socket has `IPV6_V6ONLY`.
pub(super) fn asked(v: &View<'_>) -> IpAddr {
    let ip = read(v.socket(), v.sockaddr());
    v.note(|| Evidence::Address(ip));
    ip
}

pub(super) fn read(socket: &Socket, addr: &SockAddr) -> IpAddr {
    match (socket.family, v4_mapped(addr.ipv6())) {
        (Family::Inet, _) => IpAddr::V4(addr.ipv4()),
        (Family::Inet6, Some(ip)) if !socket.v6only => IpAddr::V4(ip),
        (Family::Inet6, _) => IpAddr::V6(addr.ipv6()),
    }
}

/// The IPv4 address asked for, in the IPv4 procedure.
pub(super) fn asked4(v: &View<'_>) -> Ipv4Addr {
    match asked(v) {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => unreachable!("an IPv4 rule was asked about an IPv6 address"),
    }
}

/// The IPv6 address asked for, in the IPv6 procedure, with its zone.
pub(super) fn asked6(v: &View<'_>) -> Zoned {
    let (ip, scope) = (v.ipv6(), v.sockaddr().scope);
    (ip, zone(ip, scope))
}

/// How a lookup compares addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// Only an unconnected socket of exactly this address (`wild_okay` is 0).
    Exact,
    /// The best fit, with wildcards on either side (`INPLOOKUP_WILDCARD`).
    BestFit,
}

/// Finds the socket that holds a port at `laddr` in IPv4, of those in `pcbs`, newest first.
pub(super) fn lookup4<'a>(
    pcbs: impl Iterator<Item = &'a Socket>,
    laddr: Ipv4Addr,
    how: Match,
) -> Option<&'a Socket> {
    lookup(pcbs.map(|t| (t, laddr4(t))), laddr, Ipv4Addr::UNSPECIFIED, how)
}

/// Finds the socket that holds a port at `laddr` in IPv6, of those in `pcbs`, newest first.
pub(super) fn lookup6<'a>(
    pcbs: impl Iterator<Item = &'a Socket>,
    laddr: Zoned,
    how: Match,
) -> Option<&'a Socket> {
    lookup(pcbs.map(|t| (t, laddr6(t))), laddr, ANY6, how)
}

/// The kernel returns one socket and asks that one alone, so that a worse fit behind it may be
/// overlooked.
fn lookup<'a, A: PartialEq + Copy>(
    pcbs: impl Iterator<Item = (&'a Socket, Option<A>)>,
    laddr: A,
    any: A,
    how: Match,
) -> Option<&'a Socket> {
    let mut pcbs = pcbs.filter_map(|(t, held)| Some((t, held?)));
    if how == Match::Exact {
        return pcbs.find(|(t, held)| t.remote.is_none() && *held == laddr).map(|(t, _)| t);
    }
    let mut best: Option<(&Socket, u8)> = None;
    for (t, held) in pcbs {
        if held != any && laddr != any && held != laddr {
            continue;
        }
        let distance = u8::from((held == any) != (laddr == any)) + u8::from(t.remote.is_some());
        if best.is_none_or(|(_, least)| distance < least) {
            best = Some((t, distance));
        }
    }
    best.map(|(t, _)| t)
}

/// The other sockets of the asking one's protocol on `port`, newest first.
pub(super) fn pcbs_on<'a>(
    v: &View<'a>,
    port: u16,
) -> Result<impl Iterator<Item = &'a Socket>, Missing> {
    let protocol = v.protocol();
    Ok(v.others_on(port)?.filter(move |t| t.protocol == protocol))
}

/// An option or owner of `socket`, if it was observed.
pub(super) fn known<T>(value: Option<T>, socket: &Socket) -> Result<T, Missing> {
    value.ok_or_else(|| {
        Missing::new(
            FactKey::SocketOptions(socket.id),
            "the owner and the options of this socket are not known",
            "sudo lsof -nP -i",
        )
    })
}
