//! Who is in the way on a TCP port, read beside `net/ipv4/inet_connection_sock.c`.

use core::net::{IpAddr, Ipv4Addr};

use super::{
    BIND_FINDS_MAPPED_ANY, BUCKET_STARTS_STRICT, MEASURED, bucket::reuses, cite, fixes,
    lookup::has, port::at_conflict,
};
use crate::{
    Errno, Evidence, FactKey, Family, Host, Missing, Outcome, Protocol, Rule, Socket, State, View,
    v4_mapped,
};

/// The port is free, or its owners let it be shared.
pub static PORT_TAKEN: Rule = Rule {
    id: "linux.bind.port-taken",
    title: "no socket in the way holds the TCP port",
    fault: "another socket holds the TCP port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite("net/ipv4/inet_connection_sock.c", "inet_csk_get_port", "inet_csk_bind_conflict"),
        cite("net/ipv4/inet_connection_sock.c", "inet_bind_conflict", "sk_reuseport"),
        cite("net/ipv4/inet_connection_sock.c", "sk_reuseport_match", "fastreuseport"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.port-taken.md"),
    stops: |v| if v.port() == 0 { Ok(false) } else { is_taken(v, &at_conflict(v)) },
    fixes: &[
        &fixes::REUSEADDR,
        &fixes::ANOTHER_PORT,
        &fixes::V6ONLY,
        &fixes::WAIT,
        &fixes::STOP_HOLDER,
    ],
};

/// Returns whether another TCP socket keeps `asking`, with its address set, from its port.
pub(super) fn is_taken(v: &View<'_>, asking: &Socket) -> Result<bool, Missing> {
    let mut unknown = None;
    let mut in_the_way = None;
    for other in v.others_on(asking.port)?.filter(|s| s.protocol == Protocol::Tcp) {
        match conflict(v.host(), asking, other) {
            Ok(false) => v.note(|| Evidence::Beside(*other)),
            Ok(true) => {
                in_the_way = Some(other);
                break;
            }
            Err(missing) => unknown = unknown.or(Some(missing)),
        }
    }
    if (in_the_way.is_some() || unknown.is_some()) && is_remembered(v, asking, in_the_way)? {
        v.note(|| Evidence::SharedBefore(asking.port));
        return Ok(false);
    }
    if let Some(other) = in_the_way {
        v.note(|| Evidence::InTheWay(*other));
        return Ok(true);
    }
    let hidden = v.host().sockets.hidden.clone();
    unknown.or(hidden).map_or(Ok(false), Err)
}

/// Returns whether the kernel accepts a socket without looking at the owners: one with
/// `SO_REUSEPORT` that matches the last one accepted, or before 6.8 one with `SO_REUSEADDR` where
/// all had it when they were accepted.
fn is_remembered(
    v: &View<'_>,
    asking: &Socket,
    in_the_way: Option<&Socket>,
) -> Result<bool, Missing> {
    let by_port = asking.options.reuseport == Some(true);
    if !by_port && (reuses(asking) == Some(false) || v.has(&BUCKET_STARTS_STRICT)?) {
        return Ok(false);
    }
    match v.host().buckets.get() {
        Ok(buckets) => Ok(buckets.on(asking.port).is_some_and(|b| b.remembers(asking))),
        // A listener on all devices that is in the way now was in the way of whatever the kernel
        // could remember, so there is nothing to remember.
        Err(_) if in_the_way.is_some_and(|s| s.state == State::Listen && s.device == 0) => {
            Ok(false)
        }
        Err(missing) => Err(Missing { key: FactKey::BindBucket(asking.port), ..missing }),
    }
}

/// Returns whether `other`, a TCP socket on the same port, is in the way of `asking`.
fn conflict(host: &Host, asking: &Socket, other: &Socket) -> Result<bool, Missing> {
    if !meet(host, asking, other)? {
        return Ok(false);
    }
    let by_address = match other.state {
        State::Listen => Some(false),
        _ => both(asking.options.reuseaddr, other.options.reuseaddr),
    };
    let same_owner = match other.state {
        State::TimeWait => Some(true),
        _ => same_user(asking, other),
    };
    let by_port = both(both(asking.options.reuseport, other.options.reuseport), same_owner);
    match (by_address, by_port) {
        (Some(true), _) | (_, Some(true)) => Ok(false),
        (Some(false), Some(false)) => Ok(true),
        _ => Err(options_unknown(other)),
    }
}

/// Returns whether `other`, a TCP socket on the same port, could be in the way of `asking`. For
/// an automatic port it is: such a port is never shared.
pub(super) fn meet(host: &Host, asking: &Socket, other: &Socket) -> Result<bool, Missing> {
    if !devices_meet(asking, other) || !tcp_addresses_meet(asking, other) {
        return Ok(false);
    }
    let mapped = asking.family == Family::Inet6 && is_specific_v4(asking);
    if !mapped || !on_any_v4(other) || has(host, &BIND_FINDS_MAPPED_ANY)? {
        return Ok(true);
    }
    // It finds them if they are filed as sockets of IPv4.
    match host.buckets.get() {
        Ok(buckets) => Ok(buckets.on(other.port).is_none_or(|bucket| !bucket.any_is_v6())),
        Err(missing) => Err(Missing { key: FactKey::BindBucket(other.port), ..missing }),
    }
}

fn is_specific_v4(socket: &Socket) -> bool {
    matches!(kind(socket.ip), Kind::V4(ip) if !ip.is_unspecified())
}

/// Whether a socket has the wildcard of IPv4, in either family.
pub(super) fn on_any_v4(socket: &Socket) -> bool {
    matches!(kind(socket.ip), Kind::V4(ip) if ip.is_unspecified())
}

pub(super) fn options_unknown(other: &Socket) -> Missing {
    Missing::new(
        FactKey::SocketOptions(other.id),
        "the options of the socket that holds the port are not known",
        "root can read them from the process that holds it",
    )
}

/// "And" for facts that may be unknown.
pub(super) fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

pub(super) fn same_user(a: &Socket, b: &Socket) -> Option<bool> {
    Some(a.uid? == b.uid?)
}

/// Two sockets meet unless they are bound to different devices.
pub(super) fn devices_meet(a: &Socket, b: &Socket) -> bool {
    a.device == 0 || b.device == 0 || a.device == b.device
}

/// TCP looks for a specific address among its equals and the wildcards only, so that it does
/// not meet the stand-in IPv4 address of an IPv6 socket. A wildcard does meet it.
fn tcp_addresses_meet(asking: &Socket, other: &Socket) -> bool {
    let looks_everywhere = match kind(asking.ip) {
        Kind::V4(ip) => ip.is_unspecified(),
        Kind::AnyV6 | Kind::V6 => true,
    };
    let other_is_v6 = kind(other.ip) == Kind::V6;
    (looks_everywhere || !other_is_v6) && addresses_meet(asking, other, true, true)
}

/// What an address is to the kernel: IPv4 (mapped or not), the IPv6 wildcard, or another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    V4(Ipv4Addr),
    AnyV6,
    V6,
}

fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => Kind::V4(ip),
        IpAddr::V6(ip) if ip.is_unspecified() => Kind::AnyV6,
        IpAddr::V6(ip) => v4_mapped(ip).map_or(Kind::V6, Kind::V4),
    }
}

/// The IPv4 address under which the kernel files a socket: an IPv6 socket on a specific address
/// has one that no packet carries.
fn filed_under(socket: &Socket) -> Ipv4Addr {
    match kind(socket.ip) {
        Kind::V4(ip) => ip,
        Kind::AnyV6 => Ipv4Addr::UNSPECIFIED,
        Kind::V6 => Ipv4Addr::new(127, 0, 0, 6),
    }
}

/// Returns whether two sockets could receive the same packet, judged by their addresses. A
/// wildcard meets every address of its kind if its flag says so, else only another wildcard.
pub(super) fn addresses_meet(a: &Socket, b: &Socket, a_wild: bool, b_wild: bool) -> bool {
    let v4_meet = |x: Ipv4Addr, y: Ipv4Addr| {
        !b.v6only && (x == y || a_wild && x.is_unspecified() || b_wild && y.is_unspecified())
    };
    if a.family == Family::Inet {
        return v4_meet(filed_under(a), filed_under(b));
    }
    let reaches_v4 = |socket: &Socket| !socket.v6only;
    match (kind(a.ip), kind(b.ip)) {
        (Kind::V4(x), Kind::V4(y)) => v4_meet(x, y),
        (Kind::AnyV6, Kind::AnyV6) => true,
        (Kind::V4(_), Kind::AnyV6) => b_wild && reaches_v4(b),
        (Kind::AnyV6, Kind::V4(_)) => a_wild && reaches_v4(a),
        (Kind::V6, Kind::AnyV6) => b_wild,
        (Kind::AnyV6, Kind::V6) => a_wild,
        (Kind::V6, Kind::V6) => a.ip == b.ip,
        (Kind::V4(_), Kind::V6) | (Kind::V6, Kind::V4(_)) => false,
    }
}
