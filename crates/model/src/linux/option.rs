//! `setsockopt`: the options that not every socket or user may set.

use super::{LOCAL_PORT_RANGE_OPTION, MEASURED, UNPRIVILEGED_BINDTODEVICE, cite};
use crate::{CAP_NET_ADMIN, CAP_NET_RAW, Errno, Family, Outcome, Rule, SockOption};

/// An IPv4 socket has no IPv6 options.
pub static V6ONLY_FAMILY: Rule = Rule {
    id: "linux.setsockopt.v6only-family",
    title: "IPV6_V6ONLY is set on an IPv6 socket",
    fault: "IPV6_V6ONLY is for IPv6 sockets, and this is an IPv4 one",
    outcome: Outcome::Errno(Errno::ENOPROTOOPT),
    cites: &[cite("net/ipv4/ip_sockglue.c", "ip_setsockopt", "ENOPROTOOPT")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.v6only-family.md"),
    stops: |v| Ok(v.socket().family == Family::Inet),
    fixes: &[],
};

/// After `bind` it is too late.
pub static V6ONLY_UNBOUND: Rule = Rule {
    id: "linux.setsockopt.v6only-unbound",
    title: "IPV6_V6ONLY is set before the socket has a port",
    fault: "the socket has a port already, which is too late for IPV6_V6ONLY",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv6/ipv6_sockglue.c", "do_ipv6_setsockopt", "inet_num")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.v6only-unbound.md"),
    stops: |v| Ok(v.socket().port != 0),
    fixes: &[],
};

/// Taking other hosts' addresses is not for everyone.
pub static TRANSPARENT: Rule = Rule {
    id: "linux.setsockopt.transparent",
    title: "IP_TRANSPARENT needs CAP_NET_RAW or CAP_NET_ADMIN",
    fault: "IP_TRANSPARENT without CAP_NET_RAW and CAP_NET_ADMIN",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite("net/ipv4/ip_sockglue.c", "do_ip_setsockopt", "IP_TRANSPARENT")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.transparent.md"),
    stops: |v| {
        let on = matches!(v.option(), SockOption::Transparent(true));
        Ok(on && !v.capable(CAP_NET_RAW)? && !v.capable(CAP_NET_ADMIN)?)
    },
    fixes: &[],
};

/// The device must be there.
pub static DEVICE_EXISTS: Rule = Rule {
    id: "linux.setsockopt.device-exists",
    title: "SO_BINDTODEVICE names an existing interface",
    fault: "there is no interface of the name given to SO_BINDTODEVICE",
    outcome: Outcome::Errno(Errno::ENODEV),
    cites: &[cite("net/core/sock.c", "sock_setbindtodevice", "ENODEV")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.device-exists.md"),
    stops: |v| Ok(matches!(v.option(), SockOption::BindToDevice(None))),
    fixes: &[],
};

/// A user may choose a device, not change it.
pub static DEVICE_ONCE: Rule = Rule {
    id: "linux.setsockopt.device-once",
    title: "changing or clearing the device of a socket needs CAP_NET_RAW",
    fault: "the socket is bound to a device already, and CAP_NET_RAW is missing",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite("net/core/sock.c", "sock_bindtoindex_locked", "CAP_NET_RAW")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.device-once.md"),
    stops: |v| {
        let free_choice = v.socket().device == 0 && v.has(&UNPRIVILEGED_BINDTODEVICE)?;
        Ok(!free_choice && !v.capable(CAP_NET_RAW)?)
    },
    fixes: &[],
};

/// The option is newer than others.
pub static PORT_RANGE_KNOWN: Rule = Rule {
    id: "linux.setsockopt.port-range-known",
    title: "the kernel has the option IP_LOCAL_PORT_RANGE",
    fault: "this kernel has no option IP_LOCAL_PORT_RANGE",
    outcome: Outcome::Errno(Errno::ENOPROTOOPT),
    cites: &[cite("net/ipv4/ip_sockglue.c", "do_ip_setsockopt", "ENOPROTOOPT")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.port-range-known.md"),
    stops: |v| Ok(!v.has(&LOCAL_PORT_RANGE_OPTION)?),
    fixes: &[],
};

/// A range goes upwards.
pub static PORT_RANGE_ORDER: Rule = Rule {
    id: "linux.setsockopt.port-range-order",
    title: "IP_LOCAL_PORT_RANGE is not upside down",
    fault: "the IP_LOCAL_PORT_RANGE given is upside down",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite("net/ipv4/ip_sockglue.c", "do_ip_setsockopt", "IP_LOCAL_PORT_RANGE")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.setsockopt.port-range-order.md"),
    stops: |v| match v.option() {
        SockOption::LocalPortRange(low, high) => Ok(low != 0 && high != 0 && low > high),
        _ => Ok(false),
    },
    fixes: &[],
};
