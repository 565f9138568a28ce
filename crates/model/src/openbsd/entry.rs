//! What `bind` asks of the socket and the address, read beside `in_pcbbind_locked`,
//! `in_pcbaddrisavail_lock` and, for IPv6, the older `in6_pcbbind`.

use core::net::IpAddr;

use super::{IN_PCB, IN6_PCB, cite, cite_old};
use crate::{
    AF_INET, AF_INET6, AddrState, Basis, Errno, Family, Outcome, Protocol, Rule, SOCKADDR_IN_LEN,
    SOCKADDR_IN6_LEN, View,
    pcb::{interface6, is_specific6, no_interface4, unread},
    v4_mapped,
};

/// A socket is bound once.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "openbsd.bind.unbound-socket",
    title: "the socket is not bound yet",
    fault: "the socket is bound already",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN_PCB, "in_pcbbind_locked", "inp_lport")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.unbound-socket.md"),
    stops: |v| Ok(v.socket().port != 0),
    fixes: &[],
};

/// In which order length and family are asked was not read.
pub static SOCKADDR: Rule = Rule {
    id: "openbsd.bind.sockaddr",
    title: "the address has the length of the socket's family",
    fault: "the address given is not as long as its family says",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite(IN_PCB, "in_pcbbind_locked", "in_nam2sin"),
        cite(IN_PCB, "in_pcbbind_locked", "in6_nam2sin6"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.sockaddr.md"),
    stops: |v| {
        let (len, family) = expected(v);
        if v.sockaddr_len() != len && v.sa_family() != family {
            return unread("an address of wrong length and family");
        }
        Ok(v.sockaddr_len() != len)
    },
    fixes: &[],
};

/// Nothing else.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "openbsd.bind.family",
    title: "the address is of the socket's family",
    fault: "the address given is not of the socket's family",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[
        cite(IN_PCB, "in_pcbbind_locked", "in_nam2sin"),
        cite(IN_PCB, "in_pcbbind_locked", "in6_nam2sin6"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.family.md"),
    stops: |v| Ok(v.sa_family() != expected(v).1),
    fixes: &[],
};

/// IPv6 sockets never carry IPv4.
pub static MAPPED: Rule = Rule {
    id: "openbsd.bind.mapped",
    title: "the address is not IPv4-mapped",
    fault: "the address is IPv4-mapped, and an IPv6 socket never carries IPv4 here",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite_old(IN6_PCB, "in6_pcbbind", "IN6_IS_ADDR_V4MAPPED")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.mapped.md"),
    stops: |v| Ok(v.socket().family == Family::Inet6 && v4_mapped(v.ipv6()).is_some()),
    fixes: &[],
};

/// UDP may take a broadcast address.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "openbsd.bind.local-address",
    title: "the IPv4 address belongs to an interface",
    fault: "the IPv4 address belongs to no interface",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(IN_PCB, "in_pcbaddrisavail_lock", "ifa_ifwithaddr"),
        cite(IN_PCB, "in_pcbaddrisavail_lock", "in_broadcast"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.local-address.md"),
    stops: |v| {
        if v.socket().family == Family::Inet6 {
            return Ok(false);
        }
        let ip = v.ipv4();
        if v.protocol() == Protocol::Udp && ip.is_broadcast() {
            return Ok(false);
        }
        if v.protocol() == Protocol::Udp {
            return no_interface4(v, ip);
        }
        if ip.is_unspecified() || ip.is_multicast() {
            return Ok(false);
        }
        Ok(v.interface_address(ip.into(), |_, a| a.ip == IpAddr::V4(ip))?.is_none())
    },
    fixes: &[],
};

/// And ready for use.
pub static LOCAL_ADDRESS6: Rule = Rule {
    id: "openbsd.bind.local-address6",
    title: "the IPv6 address belongs to an interface and is ready",
    fault: "the IPv6 address belongs to no interface, or is not ready",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite_old(IN6_PCB, "in6_pcbbind", "IN6_IFF_NOTREADY")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.local-address6.md"),
    stops: |v| {
        let ip = v.ipv6();
        if v.socket().family == Family::Inet || !is_specific6(ip) {
            return Ok(false);
        }
        Ok(interface6(v, ip, v.sockaddr().scope)? != Some(AddrState::Usable))
    },
    fixes: &[],
};

/// Length and family of an address for the socket.
fn expected(v: &View<'_>) -> (u32, u16) {
    match v.socket().family {
        Family::Inet => (SOCKADDR_IN_LEN, AF_INET),
        Family::Inet6 => (SOCKADDR_IN6_LEN, AF_INET6),
    }
}
