//! `in6_pcbbind` up to the port: what the IPv6 procedure asks of the host and the address.

use core::net::IpAddr;

use super::{
    CLAT46_NOT_BINDABLE, IN6_PCB, IN6_SRC, MEASURED, cite, fixes,
    pcb::{Zoned, asked6},
};
use crate::{
    AF_INET6, AddrState, Basis, Errno, Evidence, FactKey, IfAddr, Interface, Missing, Outcome,
    Rule, SOCKADDR_IN6_LEN, View,
};

/// Not a single address: nothing works.
pub static INET6_CONFIGURED: Rule = Rule {
    id: "xnu.bind.inet6-configured",
    title: "some interface has an IPv6 address",
    fault: "no interface has an IPv6 address",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "in6_ifaddrs")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.inet6-configured.md"),
    stops: |v| no_inet6_address(v, v.ipv6().into()),
    fixes: &[],
};

pub(super) fn no_inet6_address(v: &View<'_>, ip: IpAddr) -> Result<bool, Missing> {
    Ok(v.interface_address(ip, |_, a| a.ip.is_ipv6())?.is_none())
}

/// A `sockaddr_in6` has 28 bytes, no more and no less.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "xnu.bind.sockaddr-in6-length",
    title: "an IPv6 address is exactly 28 bytes long",
    fault: "the IPv6 address given is not 28 bytes long",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "sa_len")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.sockaddr-in6-length.md"),
    stops: |v| Ok(v.sockaddr_len() != SOCKADDR_IN6_LEN),
    fixes: &[],
};

/// `AF_INET6` and nothing else.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "xnu.bind.inet6-family",
    title: "an IPv6 address says AF_INET6",
    fault: "the IPv6 address given does not say AF_INET6",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "AF_INET6")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.inet6-family.md"),
    stops: |v| Ok(v.sa_family() != AF_INET6),
    fixes: &[],
};

/// The zone of a link-local address is the number of an interface. Numbers only grow, so an
/// interface that is gone still counts.
pub static ZONE: Rule = Rule {
    id: "xnu.bind.zone",
    title: "the zone of a link-local address is an interface number",
    fault: "the zone of the link-local address is no interface number",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(IN6_SRC, "in6_embedscope", "if_index")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.zone.md"),
    stops: |v| {
        let (_, zone) = asked6(v);
        if zone == 0 {
            return Ok(false);
        }
        let interfaces = v.host().interfaces.get()?;
        let in_range = interfaces.list.iter().any(|interface| interface.index >= zone);
        if !in_range && !interfaces.complete {
            return Err(Missing::not_asked(FactKey::Interfaces));
        }
        v.note(|| Evidence::Device(zone, in_range));
        Ok(!in_range)
    },
    fixes: &[&fixes::ADD_ZONE],
};

/// The address of an interface; a link-local one on the interface its zone names.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "xnu.bind.local-address6",
    title: "the IPv6 address belongs to an interface, a link-local one to that of its zone",
    fault: "the IPv6 address belongs to no interface, or not to that of its zone",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "ifa_ifwithaddr")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.local-address6.md"),
    stops: |v| {
        let laddr = asked6(v);
        Ok(needs_interface(laddr) && interface_address(v, laddr)?.is_none())
    },
    fixes: &[&fixes::ADD_ZONE, &fixes::EVERY_ADDRESS, &fixes::ADD_ADDRESS6],
};

/// Not one that is still being checked for duplicates, or that nobody should use.
pub static READY_ADDRESS: Rule = Rule {
    id: "xnu.bind.ready-address",
    title: "the IPv6 address is ready: neither tentative, duplicated, detached, anycast nor for CLAT46",
    fault: "the IPv6 address is not ready: tentative, duplicated, detached, anycast or for CLAT46",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(IN6_PCB, "in6_pcbbind", "IN6_IFF_NOTREADY"),
        cite(IN6_PCB, "in6_pcbbind", "IN6_IFF_CLAT46"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.ready-address.md"),
    stops: |v| {
        let laddr = asked6(v);
        if !needs_interface(laddr) {
            return Ok(false);
        }
        match interface_address(v, laddr)?.map(|address| address.state) {
            None | Some(AddrState::Usable) => Ok(false),
            Some(AddrState::Tentative | AddrState::Anycast | AddrState::Detached) => Ok(true),
            Some(AddrState::Clat46) => v.has(&CLAT46_NOT_BINDABLE),
        }
    },
    fixes: &[&fixes::EVERY_ADDRESS],
};

fn needs_interface((ip, _): Zoned) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// The first address that equals `laddr`, its zone included.
fn interface_address(v: &View<'_>, (ip, zone): Zoned) -> Result<Option<IfAddr>, Missing> {
    let link_local = ip.is_unicast_link_local();
    let equals = |interface: &Interface, a: &IfAddr| {
        a.ip == IpAddr::V6(ip) && (!link_local || interface.index == zone)
    };
    Ok(v.interface_address(ip.into(), equals)?.map(|(_, address)| address))
}
