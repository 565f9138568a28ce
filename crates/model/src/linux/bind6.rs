//! `bind` on IPv6: what `inet6_bind_sk` and `__inet6_bind` ask of the address.

use core::net::{IpAddr, Ipv6Addr};

use super::{MEASURED, bind4::not_bindable, cite, fixes};
use crate::{
    AF_INET6, AddrState, Errno, Missing, Outcome, Rule, SOCKADDR_IN6_LEN, View, needs_zone,
    v4_mapped,
};

/// The length of a `sockaddr_in6` before it had a zone, which is still taken.
const SOCKADDR_IN6_WITHOUT_ZONE_LEN: u32 = 24;

/// A `sockaddr_in6` has 28 bytes; 24 are enough.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "linux.bind.sockaddr-in6-length",
    title: "an IPv6 socket takes an address of at least 24 bytes",
    fault: "the address given is shorter than the 24 bytes of an IPv6 address",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv6/af_inet6.c", "inet6_bind_sk", "SIN6_LEN_RFC2133")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.sockaddr-in6-length.md"),
    stops: |v| Ok(v.sockaddr_len() < SOCKADDR_IN6_WITHOUT_ZONE_LEN),
    fixes: &[],
};

/// `AF_INET6` and nothing else.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "linux.bind.inet6-family",
    title: "an IPv6 socket takes an IPv6 address",
    fault: "the address given is no IPv6 address, and the socket is an IPv6 one",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "EAFNOSUPPORT")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.inet6-family.md"),
    stops: |v| Ok(v.sa_family() != AF_INET6),
    fixes: &[],
};

/// A TCP socket has no use for `ff00::/8`. IPv4 lets it pass.
pub static STREAM_MULTICAST: Rule = Rule {
    id: "linux.bind.inet6-stream-multicast",
    title: "a TCP socket is not bound to an IPv6 multicast address",
    fault: "a TCP socket cannot be bound to an IPv6 multicast address",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "IPV6_ADDR_MULTICAST")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.inet6-stream-multicast.md"),
    stops: |v| Ok(v.ipv6().is_multicast()),
    fixes: &[&fixes::EVERY_ADDRESS],
};

/// `::ffff:a.b.c.d` is IPv4.
pub static MAPPED_V6ONLY: Rule = Rule {
    id: "linux.bind.mapped-v6only",
    title: "an IPv4-mapped address needs a socket without IPV6_V6ONLY",
    fault: "the socket has IPV6_V6ONLY, and the address is an IPv4 one written as IPv6",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "ipv6_only_sock")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.mapped-v6only.md"),
    stops: |v| Ok(v4_mapped(v.ipv6()).is_some() && v.socket().v6only),
    fixes: &[&fixes::CLEAR_V6ONLY],
};

/// The device of `SO_BINDTODEVICE` must still be there.
pub static MAPPED_DEVICE: Rule = Rule {
    id: "linux.bind.mapped-device",
    title: "for an IPv4-mapped address the device the socket is bound to exists",
    fault: "the device the socket is bound to is gone",
    outcome: Outcome::Errno(Errno::ENODEV),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "dev_get_by_index_rcu")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.mapped-device.md"),
    stops: |v| {
        let device = v.socket().device;
        Ok(v4_mapped(v.ipv6()).is_some() && device != 0 && !v.device_exists(device)?)
    },
    fixes: &[],
};

/// The IPv4 test, on the IPv4 part.
pub static MAPPED_LOCAL_ADDRESS: Rule = Rule {
    id: "linux.bind.mapped-local-address",
    title: "the IPv4 part of an IPv4-mapped address is one of the host's",
    fault: "the IPv4 part of the address is not one of this host's",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "inet_addr_valid_or_nonlocal")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.mapped-local-address.md"),
    stops: |v| match v4_mapped(v.ipv6()) {
        Some(ip) => not_bindable(v, ip),
        None => Ok(false),
    },
    fixes: &[&fixes::EVERY_ADDRESS, &fixes::FREEBIND, &fixes::NONLOCAL_BIND4],
};

/// A link-local address says nothing without its link.
pub static ZONE: Rule = Rule {
    id: "linux.bind.zone",
    title: "a link-local address comes with its interface",
    fault: "the link-local address comes without its interface",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "__ipv6_addr_needs_scope_id")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.zone.md"),
    stops: |v| Ok(needs_zone(v.ipv6()) && device_after(v) == 0),
    fixes: &[&fixes::ADD_ZONE],
};

/// The zone, or the device of `SO_BINDTODEVICE`, must be there.
pub static DEVICE: Rule = Rule {
    id: "linux.bind.device",
    title: "the interface named by the zone or by SO_BINDTODEVICE exists",
    fault: "the interface named by the zone or by SO_BINDTODEVICE is not there",
    outcome: Outcome::Errno(Errno::ENODEV),
    cites: &[cite("net/ipv6/af_inet6.c", "__inet6_bind", "ENODEV")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.device.md"),
    stops: |v| {
        let ip = v.ipv6();
        let device = device_after(v);
        let asked = !ip.is_unspecified() && v4_mapped(ip).is_none() && device != 0;
        Ok(asked && !v.device_exists(device)?)
    },
    fixes: &[],
};

/// The address is configured, on the right device, and no longer tentative.
pub static ASSIGNED_ADDRESS: Rule = Rule {
    id: "linux.bind.assigned-address",
    title: "the IPv6 address is assigned to an interface and ready",
    fault: "the address is not one of this host's, or it is not ready for use",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite("net/ipv6/af_inet6.c", "__inet6_bind", "ipv6_chk_addr"),
        cite("net/ipv6/addrconf.c", "__ipv6_chk_addr_and_flags", "banned_flags"),
        cite("include/net/ipv6.h", "ipv6_can_nonlocal_bind", "ip_nonlocal_bind"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.assigned-address.md"),
    stops: |v| {
        let ip = v.ipv6();
        if ip.is_unspecified() || ip.is_multicast() || v4_mapped(ip).is_some() {
            return Ok(false);
        }
        let options = v.socket().options;
        Ok(!options.freebind
            && !options.transparent
            && !is_assigned(v, ip)?
            && v.sysctl("net.ipv6.ip_nonlocal_bind")? == 0)
    },
    fixes: &[&fixes::EVERY_ADDRESS, &fixes::FREEBIND, &fixes::NONLOCAL_BIND6],
};

fn is_assigned(v: &View<'_>, ip: Ipv6Addr) -> Result<bool, Missing> {
    let device = device_after(v);
    // Such an address counts only on its own device; any other counts on all.
    let of_one_device = ip.is_loopback() || ip.is_unicast_link_local();
    let found = v.interface_address(IpAddr::V6(ip), |interface, a| {
        a.ip == IpAddr::V6(ip)
            && a.state == AddrState::Usable
            && (device == 0 || interface.index == device || !of_one_device)
    })?;
    Ok(found.is_some())
}

/// The device the socket is bound to once the kernel has read the zone, which overrides
/// `SO_BINDTODEVICE`.
fn device_after(v: &View<'_>) -> u32 {
    zoned_device(v.socket().device, v.sockaddr())
}

pub(super) fn zoned_device(device: u32, addr: &crate::SockAddr) -> u32 {
    let zoned = needs_zone(addr.ipv6()) && addr.len >= SOCKADDR_IN6_LEN && addr.scope != 0;
    if zoned { addr.scope } else { device }
}
