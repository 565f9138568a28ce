//! `in_pcbbind` up to the port: what the IPv4 procedure asks of the host, the socket and the
//! address. An IPv4-mapped address comes here too.

use core::net::IpAddr;

use super::{IN_PCB, IN6_PCB, MEASURED, cite, fixes, pcb::asked4};
use crate::{Basis, Errno, Missing, Outcome, Rule, SOCKADDR_IN_LEN, View};

/// Not a single address: nothing works.
pub static INET_CONFIGURED: Rule = Rule {
    id: "xnu.bind.inet-configured",
    title: "some interface has an IPv4 address",
    fault: "no interface has an IPv4 address",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN_PCB, "in_pcbbind", "in_ifaddrhead")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.inet-configured.md"),
    stops: |v| no_inet_address(v, asked4(v).into()),
    fixes: &[],
};

pub(super) fn no_inet_address(v: &View<'_>, ip: IpAddr) -> Result<bool, Missing> {
    Ok(v.interface_address(ip, |_, a| a.ip.is_ipv4())?.is_none())
}

/// A socket is bound once.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "xnu.bind.unbound-socket",
    title: "the socket is not bound yet",
    fault: "the socket is bound already",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN_PCB, "in_pcbbind", "inp_lport"), cite(IN6_PCB, "in6_pcbbind", "inp_lport")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.unbound-socket.md"),
    stops: |v| Ok(v.socket().port != 0),
    fixes: &[],
};

/// A `sockaddr_in` has 16 bytes, no more and no less.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "xnu.bind.sockaddr-in-length",
    title: "an IPv4 address is exactly 16 bytes long",
    fault: "the IPv4 address given is not 16 bytes long",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN_PCB, "in_pcbbind", "sa_len")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.sockaddr-in-length.md"),
    stops: |v| Ok(v.sockaddr_len() != SOCKADDR_IN_LEN),
    fixes: &[],
};

/// The address of an interface, or an interface's broadcast address. Of 127.0.0.0/8 only
/// 127.0.0.1 is one.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "xnu.bind.local-address",
    title: "the IPv4 address belongs to an interface",
    fault: "the IPv4 address belongs to no interface",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "ifa_ifwithaddr"),
        cite("bsd/net/if.c", "ifa_ifwithaddr_locked", "ifa_broadaddr"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.local-address.md"),
    stops: |v| {
        let ip = asked4(v);
        if ip.is_unspecified() || ip.is_multicast() {
            return Ok(false);
        }
        let found = v.interface_address(ip.into(), |_, a| {
            a.ip == IpAddr::V4(ip) || a.broadcast == Some(ip)
        })?;
        Ok(found.is_none())
    },
    fixes: &[&fixes::EVERY_ADDRESS_DROP_PEERS, &fixes::EVERY_ADDRESS, &fixes::ADD_ADDRESS4],
};
