//! What `bind` asks of the socket and the address, read beside `in_pcbbind`.

use core::net::IpAddr;

use super::{IN_PCB, cite};
use crate::{
    AF_INET, AF_INET6, AddrState, Basis, Errno, Family, Outcome, Rule, SOCKADDR_IN_LEN,
    SOCKADDR_IN6_LEN,
    pcb::{interface6, is_specific6, no_interface4, unread},
    v4_mapped,
};

/// A socket is bound once.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "netbsd.bind.unbound-socket",
    title: "the socket is not bound yet",
    fault: "the socket is bound already",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN_PCB, "in_pcbbind", "inp_lport")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.unbound-socket.md"),
    stops: |v| Ok(v.socket().port != 0),
    fixes: &[],
};

/// No more and no less.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "netbsd.bind.sockaddr-length",
    title: "the address is exactly as long as the family says",
    fault: "the address given is not as long as its family says",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN_PCB, "in_pcbbind", "m_len")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.sockaddr-length.md"),
    stops: |v| {
        let wanted = match v.socket().family {
            Family::Inet => SOCKADDR_IN_LEN,
            Family::Inet6 => SOCKADDR_IN6_LEN,
        };
        Ok(v.sockaddr_len() != wanted)
    },
    fixes: &[],
};

/// Nothing else.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "netbsd.bind.family",
    title: "the address is of the socket's family",
    fault: "the address given is not of the socket's family",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(IN_PCB, "in_pcbbind", "EAFNOSUPPORT")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.family.md"),
    stops: |v| {
        let wanted = match v.socket().family {
            Family::Inet => AF_INET,
            Family::Inet6 => AF_INET6,
        };
        Ok(v.sa_family() != wanted)
    },
    fixes: &[],
};

/// Or an interface's broadcast address.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "netbsd.bind.local-address",
    title: "the address belongs to an interface",
    fault: "the address belongs to no interface",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "INADDR_TO_IA"),
        cite(IN_PCB, "in_pcbbind", "ifa_ifwithaddr"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.local-address.md"),
    stops: |v| match v.ip() {
        IpAddr::V4(ip) => no_interface4(v, ip),
        IpAddr::V6(ip) if !is_specific6(ip) => Ok(false),
        IpAddr::V6(ip) if v4_mapped(ip).is_some() => unread("an IPv4-mapped address"),
        IpAddr::V6(ip) => match interface6(v, ip, v.sockaddr().scope)? {
            None => Ok(true),
            Some(AddrState::Usable) => Ok(false),
            Some(_) => unread("an IPv6 address that is not ready"),
        },
    },
    fixes: &[],
};
