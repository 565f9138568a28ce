//! `bind` on IPv4: what `inet_bind_sk` and `__inet_bind` ask of the address.

use core::net::Ipv4Addr;

use super::{MEASURED, ZERONET_IS_NOT_BROADCAST, cite, fixes};
use crate::{
    AF_INET, AF_UNSPEC, Errno, Missing, Outcome, RouteKind, Rule, SOCKADDR_IN_LEN,
    SOCKADDR_STORAGE_LEN, View,
};

/// The system call takes no address longer than `sockaddr_storage`.
pub static SOCKADDR_TOO_LONG: Rule = Rule {
    id: "linux.bind.sockaddr-too-long",
    title: "the address is at most 128 bytes long",
    fault: "the address given is longer than 128 bytes",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/socket.c", "move_addr_to_kernel", "sockaddr_storage")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.sockaddr-too-long.md"),
    stops: |v| Ok(v.sockaddr_len() > SOCKADDR_STORAGE_LEN),
    fixes: &[],
};

/// A `sockaddr_in` has 16 bytes.
pub static SOCKADDR_LENGTH: Rule = Rule {
    id: "linux.bind.sockaddr-in-length",
    title: "an IPv4 socket takes an address of at least 16 bytes",
    fault: "the address given is shorter than the 16 bytes of an IPv4 address",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv4/af_inet.c", "inet_bind_sk", "sockaddr_in")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.sockaddr-in-length.md"),
    stops: |v| Ok(v.sockaddr_len() < SOCKADDR_IN_LEN),
    fixes: &[],
};

/// `AF_INET`, or `AF_UNSPEC` with `0.0.0.0`.
pub static ADDRESS_FAMILY: Rule = Rule {
    id: "linux.bind.inet-family",
    title: "an IPv4 socket takes an IPv4 address",
    fault: "the address given is no IPv4 address, and the socket is an IPv4 one",
    outcome: Outcome::Errno(Errno::EAFNOSUPPORT),
    cites: &[cite("net/ipv4/af_inet.c", "__inet_bind", "AF_UNSPEC")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.inet-family.md"),
    stops: |v| {
        let family = v.sa_family();
        Ok(family != AF_INET && !(family == AF_UNSPEC && v.ipv4().is_unspecified()))
    },
    fixes: &[],
};

/// The address is the host's, as far as the table `local` says.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "linux.bind.local-address",
    title: "the address is one of the host's",
    fault: "the address is not one of this host's",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite("net/ipv4/af_inet.c", "__inet_bind", "inet_addr_valid_or_nonlocal"),
        cite("net/ipv4/fib_frontend.c", "__inet_dev_addr_type", "fib_table_lookup"),
        cite("include/net/inet_sock.h", "inet_can_nonlocal_bind", "sysctl_ip_nonlocal_bind"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.local-address.md"),
    stops: |v| not_bindable(v, v.ipv4()),
    fixes: &[&fixes::EVERY_ADDRESS, &fixes::FREEBIND, &fixes::NONLOCAL_BIND4],
};

/// Returns whether an IPv4 address is neither the host's nor excused from being so.
pub(super) fn not_bindable(v: &View<'_>, ip: Ipv4Addr) -> Result<bool, Missing> {
    let options = v.socket().options;
    Ok(!options.freebind
        && !options.transparent
        && !is_own_or_group(v, ip)?
        && v.sysctl("net.ipv4.ip_nonlocal_bind")? == 0)
}

/// Returns whether the kernel takes an address as local, multicast or broadcast.
fn is_own_or_group(v: &View<'_>, ip: Ipv4Addr) -> Result<bool, Missing> {
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return Ok(true);
    }
    if ip.octets()[0] == 0 && !v.has(&ZERONET_IS_NOT_BROADCAST)? {
        return Ok(true);
    }
    // Without a table nothing says what an address is, and the kernel calls it a broadcast.
    if !v.has_local_table()? {
        return Ok(true);
    }
    let kind = v.local_route(ip)?.map(|route| route.kind);
    Ok(matches!(kind, Some(RouteKind::Local | RouteKind::Broadcast)))
}
