//! `connect`, read beside `__inet_stream_connect`, `inet_dgram_connect`, `tcp_v4_connect`,
//! `tcp_v6_connect` and `inet_hash_connect`: what this host asks before a packet leaves. The way
//! to the other end, and what it answers, come after; gates in front of `connect` are not here.

use core::net::{IpAddr, Ipv4Addr};

use super::{
    LOOKUP_MEASURED, MEASURED, cite,
    conflict::devices_meet,
    port::{automatic_port, connect_port},
    traffic::destination,
};
use crate::{
    AF_INET, AF_INET6, AF_UNSPEC, Errno, Evidence, Family, Missing, Outcome, Protocol, RouteKind,
    Rule, SOCKADDR_IN_LEN, SOCKADDR_STORAGE_LEN, Socket, State, View, is_unspecified, needs_zone,
};

const AF_INET_C: &str = "net/ipv4/af_inet.c";
const TCP_IPV4: &str = "net/ipv4/tcp_ipv4.c";
const TCP_IPV6: &str = "net/ipv6/tcp_ipv6.c";
const DATAGRAM: &str = "net/ipv4/datagram.c";
const DATAGRAM6: &str = "net/ipv6/datagram.c";
/// What of a `sockaddr_in6` has to be there.
const SIN6_LEN_RFC2133: u32 = 24;

/// The system call takes no longer one, and the family has to be there.
pub static SOCKADDR_BOUNDS: Rule = Rule {
    id: "linux.connect.sockaddr-bounds",
    title: "the address is at least 2 and at most 128 bytes long",
    fault: "the address given is shorter than 2 bytes or longer than 128",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite("net/socket.c", "move_addr_to_kernel", "sockaddr_storage"),
        cite(AF_INET_C, "__inet_stream_connect", "sa_family"),
        cite(AF_INET_C, "inet_dgram_connect", "sa_family"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.sockaddr-bounds.md"),
    stops: |v| Ok(!(2..=SOCKADDR_STORAGE_LEN).contains(&v.sockaddr_len())),
    fixes: &[],
};

/// A TCP socket is connected once.
pub static UNCONNECTED: Rule = Rule {
    id: "linux.connect.unconnected",
    title: "the TCP socket is neither connected nor listening",
    fault: "the socket is connected or listening already",
    outcome: Outcome::Errno(Errno::EISCONN),
    cites: &[cite(AF_INET_C, "__inet_stream_connect", "EISCONN")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.unconnected.md"),
    stops: |v| {
        let socket = v.socket();
        Ok(!disconnects(v) && (socket.state != State::Closed || socket.spent))
    },
    fixes: &[],
};

/// UDP takes its port before it looks at the address.
pub static UDP_AUTOMATIC_PORT: Rule = Rule {
    id: "linux.connect.udp-automatic-port",
    title: "for a UDP socket without a port one of the automatic range is free",
    fault: "the UDP socket has no port, and none of the automatic range is free",
    outcome: Outcome::Errno(Errno::EAGAIN),
    cites: &[cite(AF_INET_C, "inet_autobind", "EAGAIN")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.udp-automatic-port.md"),
    stops: |v| {
        let socket = v.socket();
        if disconnects(v) || socket.port != 0 {
            return Ok(false);
        }
        v.local_ports()?;
        Ok(automatic_port(v.host(), socket)?.is_none())
    },
    fixes: &[],
};

/// As long as the family needs.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "linux.connect.sockaddr-length",
    title: "the address is as long as the socket's family needs",
    fault: "the address given is shorter than the socket's family needs",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite(TCP_IPV4, "tcp_v4_connect", "sockaddr_in"),
        cite(TCP_IPV6, "tcp_v6_connect", "SIN6_LEN_RFC2133"),
        cite(DATAGRAM, "__ip4_datagram_connect", "EINVAL"),
        cite(DATAGRAM6, "__ip6_datagram_connect", "SIN6_LEN_RFC2133"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.sockaddr-length.md"),
    stops: |v| {
        let least = match reads(v) {
            Family::Inet => SOCKADDR_IN_LEN,
            Family::Inet6 => SIN6_LEN_RFC2133,
        };
        Ok(!disconnects(v) && v.sockaddr_len() < least)
    },
    fixes: &[],
};

/// The family of the socket; UDP over IPv6 also takes IPv4.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "linux.connect.family",
    title: "the address is of the socket's family",
    fault: "the address given is not of the socket's family",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[
        cite(TCP_IPV4, "tcp_v4_connect", "EAFNOSUPPORT"),
        cite(TCP_IPV6, "tcp_v6_connect", "EAFNOSUPPORT"),
        cite(DATAGRAM, "__ip4_datagram_connect", "EAFNOSUPPORT"),
        cite(DATAGRAM6, "__ip6_datagram_connect", "EAFNOSUPPORT"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.family.md"),
    stops: |v| {
        let wanted = match reads(v) {
            Family::Inet => AF_INET,
            Family::Inet6 => AF_INET6,
        };
        Ok(!disconnects(v) && v.sa_family() != wanted)
    },
    fixes: &[],
};

/// A socket that serves IPv6 only does not speak IPv4.
pub static MAPPED_V6ONLY: Rule = Rule {
    id: "linux.connect.mapped-v6only",
    title: "an IPv4-mapped destination needs a socket without IPV6_V6ONLY",
    fault: "the destination is IPv4-mapped, and the socket has IPV6_V6ONLY",
    outcome: Outcome::Errno(Errno::ENETUNREACH),
    cites: &[
        cite(TCP_IPV6, "tcp_v6_connect", "ipv6_only_sock"),
        cite(DATAGRAM6, "__ip6_datagram_connect", "ipv6_only_sock"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.mapped-v6only.md"),
    stops: |v| {
        let mapped = matches!(asked(v), Some(IpAddr::V4(_)));
        Ok(mapped && v.socket().family == Family::Inet6 && v.socket().v6only)
    },
    fixes: &[],
};

/// TCP is between two.
pub static STREAM_GROUP: Rule = Rule {
    id: "linux.connect.stream-group",
    title: "a TCP socket is not connected to a multicast or broadcast address",
    fault: "a TCP socket cannot be connected to a multicast or broadcast address",
    outcome: Outcome::Errno(Errno::ENETUNREACH),
    cites: &[
        cite(TCP_IPV4, "tcp_v4_connect", "RTCF_MULTICAST"),
        cite(TCP_IPV6, "tcp_v6_connect", "IPV6_ADDR_MULTICAST"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.stream-group.md"),
    stops: |v| match asked(v) {
        Some(ip) if ip.is_multicast() => Ok(true),
        Some(IpAddr::V4(ip)) => is_broadcast(v, ip),
        _ => Ok(false),
    },
    fixes: &[],
};

/// Not by accident.
pub static BROADCAST: Rule = Rule {
    id: "linux.connect.broadcast",
    title: "a broadcast address as destination needs SO_BROADCAST",
    fault: "the destination is a broadcast address, and the socket has no SO_BROADCAST",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite(DATAGRAM, "__ip4_datagram_connect", "SOCK_BROADCAST")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.broadcast.md"),
    stops: |v| match asked(v) {
        Some(IpAddr::V4(ip)) if !v.socket().options.broadcast => is_broadcast(v, ip),
        _ => Ok(false),
    },
    fixes: &[],
};

/// A link-local address says nothing without its link.
pub static ZONE: Rule = Rule {
    id: "linux.connect.zone",
    title: "a link-local destination comes with its interface",
    fault: "the link-local destination comes without its interface",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite(TCP_IPV6, "tcp_v6_connect", "sk_dev_equal_l3scope"),
        cite(DATAGRAM6, "__ip6_datagram_connect", "__ipv6_addr_needs_scope_id"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.zone.md"),
    stops: |v| match asked(v) {
        Some(IpAddr::V6(ip)) if needs_zone(ip) => {
            let (device, scope) = (v.socket().device, v.sockaddr().scope);
            Ok(device == 0 && scope == 0 || device != 0 && scope != 0 && device != scope)
        }
        _ => Ok(false),
    },
    fixes: &[],
};

/// The packet needs a sender.
pub static SOURCE_ADDRESS: Rule = Rule {
    id: "linux.connect.source-address",
    title: "for an IPv6 destination the host has an IPv6 address",
    fault: "the destination is an IPv6 address, and this host has none",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite("net/ipv6/addrconf.c", "ipv6_dev_get_saddr", "EADDRNOTAVAIL")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.source-address.md"),
    stops: |v| match asked(v) {
        Some(IpAddr::V6(ip)) if is_unspecified(v.socket().ip) => {
            Ok(v.interface_address(ip.into(), |_, a| a.ip.is_ipv6())?.is_none())
        }
        _ => Ok(false),
    },
    fixes: &[],
};

/// The packet is of one family.
pub static SOURCE_FAMILY: Rule = Rule {
    id: "linux.connect.source-family",
    title: "from an IPv4-mapped address only IPv4 destinations are reached",
    fault: "the socket is bound to an IPv4-mapped address, and the destination is IPv6",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite("net/ipv6/ip6_output.c", "ip6_dst_lookup_tail", "EAFNOSUPPORT")],
    basis: LOOKUP_MEASURED,
    page: include_str!("../../pages/linux.connect.source-family.md"),
    stops: |v| {
        let to_v6 = matches!(asked(v), Some(IpAddr::V6(_)));
        let bound = v.socket().ip;
        Ok(to_v6 && v.socket().family == Family::Inet6 && bound.to_canonical().is_ipv4())
    },
    fixes: &[],
};

/// A port is shared among connections only as long as nobody was bound to it.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "linux.connect.automatic-port",
    title: "for a TCP socket without a port one of the automatic range is free",
    fault: "the TCP socket has no port, and none of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite("net/ipv4/inet_hashtables.c", "__inet_hash_connect", "inet_is_local_reserved_port"),
        cite("net/ipv4/inet_hashtables.c", "__inet_hash_connect", "fastreuseport"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.automatic-port.md"),
    stops: |v| {
        let socket = v.socket();
        if disconnects(v) || socket.port != 0 {
            return Ok(false);
        }
        v.local_ports()?;
        Ok(connect_port(v.host(), socket, v.sockaddr())?.is_none())
    },
    fixes: &[],
};

/// Two connections differ in an address or a port.
pub static UNIQUE: Rule = Rule {
    id: "linux.connect.unique",
    title: "no other connection has the same two addresses and ports",
    fault: "another connection has the same two addresses and ports",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite("net/ipv4/inet_hashtables.c", "__inet_check_established", "EADDRNOTAVAIL")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.connect.unique.md"),
    stops: |v| {
        let socket = v.socket();
        let Some(ip) = asked(v).filter(|_| socket.port != 0) else { return Ok(false) };
        let there = |s: &Socket| {
            s.remote.is_some_and(|r| (r.ip().to_canonical(), r.port()) == (ip, v.port()))
        };
        let others = v.others_on(socket.port)?.filter(|s| s.protocol == Protocol::Tcp);
        for other in others.filter(|s| there(s) && devices_meet(socket, s)) {
            let src = source(v, socket, ip)?;
            if other.ip.to_canonical() != src {
                continue;
            }
            if other.state == State::TimeWait {
                return Err(Missing::new(
                    crate::FactKey::SocketOptions(other.id),
                    "how long ago the connection ended that had these addresses and ports",
                    "try it",
                ));
            }
            v.note(|| Evidence::InTheWay(*other));
            return Ok(true);
        }
        Ok(false)
    },
    fixes: &[],
};

/// Whether `other` connects these two ends, each an address and a port.
pub(super) fn is_same(other: &Socket, near: (IpAddr, u16), far: (IpAddr, u16)) -> bool {
    let plain = |ip: IpAddr| ip.to_canonical();
    other.remote.is_some_and(|r| (plain(r.ip()), r.port()) == (plain(far.0), far.1))
        && (plain(other.ip), other.port) == (plain(near.0), near.1)
}

/// `AF_UNSPEC` takes a connection apart.
fn disconnects(v: &View<'_>) -> bool {
    v.sockaddr_len() >= 2 && v.sa_family() == AF_UNSPEC
}

/// The family in which the kernel reads the address: a UDP socket of IPv6 takes IPv4 too.
fn reads(v: &View<'_>) -> Family {
    let socket = v.socket();
    let takes_v4 = socket.protocol == Protocol::Udp && v.sockaddr().family == AF_INET;
    if takes_v4 { Family::Inet } else { socket.family }
}

/// Where a packet would go: `None` if the call does not connect.
fn asked(v: &View<'_>) -> Option<IpAddr> {
    if disconnects(v) {
        return None;
    }
    let ip = destination(v.socket(), v.sockaddr());
    v.note(|| Evidence::Address(ip));
    Some(ip)
}

fn is_broadcast(v: &View<'_>, ip: Ipv4Addr) -> Result<bool, Missing> {
    if ip.is_broadcast() {
        return Ok(true);
    }
    let route = v.host().local_routes.value().and_then(|routes| routes.lookup(ip));
    Ok(route.is_some_and(|route| route.kind == RouteKind::Broadcast))
}

/// The address that a connection to `dst` comes from.
fn source(v: &View<'_>, socket: &Socket, dst: IpAddr) -> Result<IpAddr, Missing> {
    let known = super::traffic::source(v.host(), socket, dst);
    if known.is_none() {
        v.host().interfaces.get()?;
        v.host().local_routes.get()?;
    }
    known.ok_or_else(|| {
        Missing::new(
            crate::FactKey::LocalAddress(dst),
            "from which address the packet leaves is not known",
            "ip route get ADDRESS",
        )
    })
}
