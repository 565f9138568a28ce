//! What differs between versions of XNU, as far as `bind` and `listen` are concerned.

use super::{IN_PCB, IN6_PCB, TCP_USRREQ, UDP6_USRREQ, cite_at};
use crate::{Feature, Version};

/// macOS 10.13.6, the last one published before 10.14.
const V10_13_6: Version = Version::new(4570, 71, 2);
/// macOS 10.14.1, the first 10.14 whose source was published.
const V10_14_1: Version = Version::new(4903, 221, 2);
/// macOS 10.15.6.
const V10_15_6: Version = Version::new(6153, 141, 1);
/// macOS 11.0.1.
const V11_0_1: Version = Version([7195, 50, 7, 100, 1]);

/// The reason why a user may bind `0.0.0.0:80` and not `127.0.0.1:80`.
pub static WILDCARD_EXEMPT: Feature = Feature {
    id: "xnu.wildcard-exempt",
    title: "a reserved port on the unspecified address needs no privilege",
    last_without: Some(V10_13_6),
    first_with: V10_14_1,
    exceptions: &[],
    cites: &[
        cite_at("xnu-4903.221.2", IN_PCB, "in_pcbbind", "IPPORT_RESERVED"),
        cite_at("xnu-4903.221.2", IN6_PCB, "in6_pcbbind", "IPV6PORT_RESERVED"),
        cite_at("xnu-4570.71.2", IN_PCB, "in_pcbbind", "IPPORT_RESERVED"),
    ],
};

/// Addresses made for translation are the kernel's own.
pub static CLAT46_NOT_BINDABLE: Feature = Feature {
    id: "xnu.clat46-not-bindable",
    title: "an address reserved for CLAT46 may not be bound",
    last_without: Some(V10_13_6),
    first_with: V10_14_1,
    exceptions: &[],
    cites: &[cite_at("xnu-4903.221.2", IN6_PCB, "in6_pcbbind", "IN6_IFF_CLAT46")],
};

/// An automatic IPv4 port is one that nobody has, whatever may be shared.
pub static AUTOMATIC_PORT_IGNORES_REUSE: Feature = Feature {
    id: "xnu.automatic-port-ignores-reuse",
    title: "for port 0 on IPv4 SO_REUSEADDR and SO_REUSEPORT do not count",
    last_without: Some(Version::new(4903, 270, 47)),
    first_with: Version::new(6153, 11, 26),
    exceptions: &[],
    cites: &[cite_at("xnu-6153.11.26", IN_PCB, "in_pcbbind", "IS_RESTRICTED_IN_PORT")],
};

/// A port of Apple's remote management.
pub static RESTRICTED_TCP_55555: Feature = Feature {
    id: "xnu.restricted-tcp-55555",
    title: "TCP port 55555 is kept for programs with Apple's entitlement",
    last_without: Some(V10_15_6),
    first_with: V11_0_1,
    exceptions: &[],
    cites: &[cite_at(
        "xnu-7195.50.7.100.1",
        "bsd/net/restricted_in_port.c",
        "restricted_port_list",
        "55555",
    )],
};

/// Per-app VPNs and `bind`.
pub static FLOW_DIVERT_MAY_BIND: Feature = Feature {
    id: "xnu.flow-divert-may-bind",
    title: "a TCP socket that a per-app VPN diverts may be bound",
    last_without: Some(V10_15_6),
    first_with: V11_0_1,
    exceptions: &[],
    cites: &[cite_at(
        "xnu-7195.50.7.100.1",
        TCP_USRREQ,
        "tcp_usr_bind",
        "COMMON_START_ALLOW_FLOW_DIVERT",
    )],
};

/// Per-app VPNs and `listen`.
pub static FLOW_DIVERT_MAY_LISTEN: Feature = Feature {
    id: "xnu.flow-divert-may-listen",
    title: "a TCP socket that a per-app VPN diverts may listen",
    last_without: Some(V11_0_1),
    first_with: Version::new(7195, 60, 75),
    exceptions: &[],
    cites: &[cite_at(
        "xnu-7195.60.75",
        TCP_USRREQ,
        "tcp_usr_listen",
        "COMMON_START_ALLOW_FLOW_DIVERT",
    )],
};

/// 255.255.255.255, and IPv4 groups inside IPv6 addresses.
pub static STREAM_TAKES_NO_BROADCAST: Feature = Feature {
    id: "xnu.stream-takes-no-broadcast",
    title: "a TCP socket refuses 255.255.255.255, and IPv4 multicast written as IPv6",
    last_without: Some(Version::new(7195, 141, 2)),
    first_with: Version::new(8019, 41, 5),
    exceptions: &[],
    cites: &[
        cite_at("xnu-8019.41.5", TCP_USRREQ, "tcp_usr_bind", "INADDR_BROADCAST"),
        cite_at("xnu-8019.41.5", TCP_USRREQ, "tcp6_usr_bind", "IN6_IS_ADDR_V4COMPAT"),
    ],
};

/// The test for UDP ports running out. Its switch appears in 11.0.1; the test itself was cut out
/// of the published sources until 12.2.
pub static UDP_PORT_RESERVE: Feature = Feature {
    id: "xnu.udp-port-reserve",
    title: "bind on UDP leaves the last 4096 ports alone",
    last_without: Some(V10_15_6),
    first_with: Version::new(8019, 80, 24),
    exceptions: &[],
    cites: &[cite_at("xnu-8019.80.24", IN_PCB, "in_pcbbind", "UDP_RANDOM_PORT_RESERVE")],
};

/// Until then an IPv6 socket that failed to bind an IPv4-mapped address had become an IPv4 one.
pub static FAILED_BIND_KEEPS_FAMILY: Feature = Feature {
    id: "xnu.failed-bind-keeps-family",
    title: "bind of an IPv4-mapped address changes the socket only when it succeeds",
    last_without: Some(Version::new(8020, 101, 4)),
    first_with: Version::new(8020, 121, 3),
    exceptions: &[],
    cites: &[
        cite_at("xnu-8020.121.3", TCP_USRREQ, "tcp6_usr_bind", "old_flags"),
        cite_at("xnu-8020.121.3", UDP6_USRREQ, "udp6_bind", "old_flags"),
    ],
};

/// Every feature of XNU.
pub static FEATURES: &[&Feature] = &[
    &WILDCARD_EXEMPT,
    &CLAT46_NOT_BINDABLE,
    &AUTOMATIC_PORT_IGNORES_REUSE,
    &RESTRICTED_TCP_55555,
    &FLOW_DIVERT_MAY_BIND,
    &FLOW_DIVERT_MAY_LISTEN,
    &STREAM_TAKES_NO_BROADCAST,
    &UDP_PORT_RESERVE,
    &FAILED_BIND_KEEPS_FAMILY,
];
