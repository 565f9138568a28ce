//! What `bind` asks before the address family's own procedure: the system call, then
//! `tcp_usr_bind`, `tcp6_usr_bind`, `udp_bind`, `udp6_bind`.

use core::net::Ipv4Addr;

use super::{
    MEASURED, STREAM_TAKES_NO_BROADCAST, TCP_USRREQ, UDP_USRREQ, UIPC_SYSCALLS, cite, cite_at,
    fixes,
};
use crate::{AF_INET, AF_INET6, AF_UNSPEC, Basis, Errno, Outcome, Rule, v4_mapped};

/// The length and the family come first in every address.
const SA_DATA_OFFSET: u32 = 2;
/// The longest address the system call copies.
const SOCK_MAXADDRLEN: u32 = 255;

/// Length and family have to be there.
pub static SOCKADDR_TOO_SHORT: Rule = Rule {
    id: "xnu.bind.sockaddr-too-short",
    title: "the address is at least 2 bytes long",
    fault: "the address given is shorter than 2 bytes",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(UIPC_SYSCALLS, "getsockaddr_s", "sa_data")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.sockaddr-too-short.md"),
    stops: |v| Ok(v.sockaddr_len() < SA_DATA_OFFSET),
    fixes: &[],
};

/// The length is kept in one byte.
pub static SOCKADDR_TOO_LONG: Rule = Rule {
    id: "xnu.bind.sockaddr-too-long",
    title: "the address is at most 255 bytes long",
    fault: "the address given is longer than 255 bytes",
    outcome: Outcome::Errno(Errno::ENAMETOOLONG),
    cites: &[cite(UIPC_SYSCALLS, "getsockaddr", "SOCK_MAXADDRLEN")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.sockaddr-too-long.md"),
    stops: |v| Ok(v.sockaddr_len() > SOCK_MAXADDRLEN),
    fixes: &[],
};

/// `AF_INET`, or no family at all.
pub static STREAM_INET_FAMILY: Rule = Rule {
    id: "xnu.bind.stream-inet-family",
    title: "an IPv4 TCP socket takes an IPv4 address",
    fault: "the address given is no IPv4 address, and the socket is an IPv4 one",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(TCP_USRREQ, "tcp_usr_bind", "AF_INET")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.stream-inet-family.md"),
    stops: |v| Ok(!matches!(v.sa_family(), AF_UNSPEC | AF_INET)),
    fixes: &[],
};

/// TCP has no use for groups.
pub static STREAM_INET_MULTICAST: Rule = Rule {
    id: "xnu.bind.stream-inet-multicast",
    title: "a TCP socket is not bound to an IPv4 multicast address",
    fault: "a TCP socket cannot be bound to an IPv4 multicast address",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(TCP_USRREQ, "tcp_usr_bind", "IN_MULTICAST")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.stream-inet-multicast.md"),
    stops: |v| Ok(v.ipv4().is_multicast()),
    fixes: &[&fixes::EVERY_ADDRESS],
};

/// Before 12.0 the address was asked whether it is local, and is not.
pub static STREAM_INET_BROADCAST: Rule = Rule {
    id: "xnu.bind.stream-inet-broadcast",
    title: "a TCP socket is not bound to 255.255.255.255",
    fault: "a TCP socket cannot be bound to 255.255.255.255",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite_at("xnu-8019.41.5", TCP_USRREQ, "tcp_usr_bind", "INADDR_BROADCAST")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.stream-inet-broadcast.md"),
    stops: |v| Ok(v.ipv4().is_broadcast() && v.has(&STREAM_TAKES_NO_BROADCAST)?),
    fixes: &[&fixes::EVERY_ADDRESS],
};

/// `AF_INET6`, or no family at all.
pub static STREAM_INET6_FAMILY: Rule = Rule {
    id: "xnu.bind.stream-inet6-family",
    title: "an IPv6 TCP socket takes an IPv6 address",
    fault: "the address given is no IPv6 address, and the socket is an IPv6 one",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(TCP_USRREQ, "tcp6_usr_bind", "AF_INET6")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.stream-inet6-family.md"),
    stops: |v| Ok(!matches!(v.sa_family(), AF_UNSPEC | AF_INET6)),
    fixes: &[],
};

/// TCP has no use for groups.
pub static STREAM_INET6_MULTICAST: Rule = Rule {
    id: "xnu.bind.stream-inet6-multicast",
    title: "a TCP socket is not bound to an IPv6 multicast address",
    fault: "a TCP socket cannot be bound to an IPv6 multicast address",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(TCP_USRREQ, "tcp6_usr_bind", "IN6_IS_ADDR_MULTICAST")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.stream-inet6-multicast.md"),
    stops: |v| Ok(v.sa_family() == AF_INET6 && v.ipv6().is_multicast()),
    fixes: &[&fixes::EVERY_ADDRESS],
};

/// Before 12.0 an IPv4-mapped group passed here, and TCP could be bound to it.
pub static STREAM_EMBEDDED_MULTICAST: Rule = Rule {
    id: "xnu.bind.stream-embedded-multicast",
    title: "a TCP socket is not bound to an IPv4 multicast or broadcast address written as IPv6",
    fault: "a TCP socket cannot be bound to an IPv4 multicast or broadcast address written as IPv6",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite_at("xnu-8019.41.5", TCP_USRREQ, "tcp6_usr_bind", "IN6_IS_ADDR_V4COMPAT")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.stream-embedded-multicast.md"),
    stops: |v| {
        let ip = v.ipv6();
        let compatible = ip.octets()[..12] == [0; 12];
        let embedded = compatible || v4_mapped(ip).is_some();
        let [.., a, b, c, d] = ip.octets();
        let last = Ipv4Addr::new(a, b, c, d);
        Ok(v.sa_family() == AF_INET6
            && embedded
            && (last.is_multicast() || last.is_broadcast())
            && v.has(&STREAM_TAKES_NO_BROADCAST)?)
    },
    fixes: &[&fixes::EVERY_ADDRESS],
};

/// UDP lets `AF_INET6` pass here; its length stops it later.
pub static DATAGRAM_INET_FAMILY: Rule = Rule {
    id: "xnu.bind.datagram-inet-family",
    title: "an IPv4 UDP socket takes an internet address",
    fault: "the address given is no internet address",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(UDP_USRREQ, "udp_bind", "AF_INET6")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.datagram-inet-family.md"),
    stops: |v| Ok(!matches!(v.sa_family(), AF_UNSPEC | AF_INET | AF_INET6)),
    fixes: &[],
};
