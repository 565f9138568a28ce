//! What `bind` asks of the process, the socket and the address, read beside `tcp_usr_bind`,
//! `tcp6_usr_bind`, `in_pcbbind_setup` and `in6_pcbbind`.

use core::net::IpAddr;

use super::{IN_PCB, IN6_PCB, JAIL_GATE, MAC_PORTACL_GATE, TCP_USRREQ, cite};
use crate::{
    AF_INET, AF_INET6, AF_UNSPEC, AddrState, Basis, Cite, Errno, Family, Outcome, Rule,
    SOCKADDR_IN_LEN, SOCKADDR_IN6_LEN,
    pcb::{asked, interface6, is_specific6, no_interface4},
};

/// It can only restrict: the reserved ports stay reserved.
pub static MAC_PORTACL: Rule = Rule {
    id: "freebsd.bind.mac-portacl",
    title: "no rule of mac_portacl forbids the port to this user",
    fault: "a rule of mac_portacl forbids the port to this user",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[Cite {
        repo: "freebsd/freebsd-src",
        rev: "039ea811636f62633b18bcadb9f5332b215f7900",
        path: "sys/security/mac_portacl/mac_portacl.c",
        function: "rules_check",
        needle: "EPERM",
    }],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.mac-portacl.md"),
    stops: |v| v.gate(MAC_PORTACL_GATE, "sysctl security.mac.portacl.rules"),
    fixes: &[],
};

/// Or, for IPv4, none with the wildcard.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "freebsd.bind.family",
    title: "the address is of the socket's family",
    fault: "the address given is not of the socket's family",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[
        cite(TCP_USRREQ, "tcp_usr_bind", "AF_UNSPEC"),
        cite(TCP_USRREQ, "tcp6_usr_bind", "AF_INET6"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.family.md"),
    stops: |v| {
        let family = v.sa_family();
        Ok(match v.socket().family {
            Family::Inet => {
                family != AF_INET && !(family == AF_UNSPEC && v.ipv4().is_unspecified())
            }
            Family::Inet6 => family != AF_INET6,
        })
    },
    fixes: &[],
};

/// No more and no less.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "freebsd.bind.sockaddr-length",
    title: "the address is exactly as long as the family says",
    fault: "the address given is not as long as its family says",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite(TCP_USRREQ, "tcp_usr_bind", "sa_len"),
        cite(TCP_USRREQ, "tcp6_usr_bind", "sa_len"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.sockaddr-length.md"),
    stops: |v| {
        let wanted = match v.socket().family {
            Family::Inet => SOCKADDR_IN_LEN,
            Family::Inet6 => SOCKADDR_IN6_LEN,
        };
        Ok(v.sockaddr_len() != wanted)
    },
    fixes: &[],
};

/// An IPv4-mapped one included.
pub static STREAM_MULTICAST: Rule = Rule {
    id: "freebsd.bind.stream-multicast",
    title: "a TCP socket is not bound to a multicast address",
    fault: "a TCP socket cannot be bound to a multicast address",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[
        cite(TCP_USRREQ, "tcp_usr_bind", "IN_MULTICAST"),
        cite(TCP_USRREQ, "tcp6_usr_bind", "IN6_IS_ADDR_MULTICAST"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.stream-multicast.md"),
    stops: |v| Ok(asked(v).is_multicast()),
    fixes: &[],
};

/// A socket is bound once.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "freebsd.bind.unbound-socket",
    title: "the socket is not bound yet",
    fault: "the socket is bound already",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN_PCB, "in_pcbbind_setup", "EINVAL"), cite(IN6_PCB, "in6_pcbbind", "inp_lport")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.unbound-socket.md"),
    stops: |v| Ok(v.socket().port != 0),
    fixes: &[],
};

/// A jail has addresses of its own.
pub static JAIL: Rule = Rule {
    id: "freebsd.bind.jail",
    title: "no jail keeps the address from the process",
    fault: "a jail keeps the address from the process",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(IN_PCB, "in_pcbbind_setup", "prison_local_ip4"),
        cite(IN6_PCB, "in6_pcbbind", "prison_local_ip6"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.jail.md"),
    stops: |v| v.gate(JAIL_GATE, "jls"),
    fixes: &[],
};

/// Of 127.0.0.0/8 only 127.0.0.1 is one.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "freebsd.bind.local-address",
    title: "the IPv4 address belongs to an interface",
    fault: "the IPv4 address belongs to no interface",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN_PCB, "in_pcbbind_setup", "ifa_ifwithaddr_check")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.local-address.md"),
    stops: |v| match asked(v) {
        IpAddr::V4(ip) => no_interface4(v, ip),
        IpAddr::V6(_) => Ok(false),
    },
    fixes: &[],
};

/// And ready for use.
pub static LOCAL_ADDRESS6: Rule = Rule {
    id: "freebsd.bind.local-address6",
    title: "the IPv6 address belongs to an interface and is ready",
    fault: "the IPv6 address belongs to no interface, or is not ready",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(IN6_PCB, "in6_pcbbind", "ifa_ifwithaddr"),
        cite(IN6_PCB, "in6_pcbbind", "IN6_IFF_NOTREADY"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.local-address6.md"),
    stops: |v| match asked(v) {
        IpAddr::V6(ip) if is_specific6(ip) => {
            Ok(interface6(v, ip, v.sockaddr().scope)? != Some(AddrState::Usable))
        }
        _ => Ok(false),
    },
    fixes: &[],
};
