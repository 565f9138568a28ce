//! The steps of the lookup, in its order.

use super::super::{MEASURED, cite};
use crate::{Basis, Choice};

const HASHTABLES: &str = "net/ipv4/inet_hashtables.c";
const HASHTABLES6: &str = "net/ipv6/inet6_hashtables.c";
const UDP: &str = "net/ipv4/udp.c";
const UDP6: &str = "net/ipv6/udp.c";

/// Both ends of a connection name each other.
pub static CONNECTED: Choice = Choice {
    id: "linux.lookup.connected",
    title: "a socket that is connected to the sender comes before all others",
    cites: &[
        cite(HASHTABLES, "__inet_lookup_established", "inet_match"),
        cite(UDP, "compute_score", "inet_dport"),
        cite(UDP6, "compute_score", "inet_dport"),
    ],
    basis: MEASURED,
    page: include_str!("../../../pages/linux.lookup.connected.md"),
};

/// It sees the packet before the listeners do.
pub static PROGRAM: Choice = Choice {
    id: "linux.lookup.program",
    title: "a BPF program of the network namespace may choose any listener",
    cites: &[
        cite(HASHTABLES, "__inet_lookup_listener", "inet_lookup_run_sk_lookup"),
        cite(UDP, "__udp4_lib_lookup", "inet_lookup_run_sk_lookup"),
    ],
    basis: Basis::Source,
    page: include_str!("../../../pages/linux.lookup.program.md"),
};

/// The address of the packet, before any wildcard.
pub static SPECIFIC: Choice = Choice {
    id: "linux.lookup.specific",
    title: "a socket on the very address of the packet comes before one on a wildcard",
    cites: &[
        cite(HASHTABLES, "__inet_lookup_listener", "inet_lhash2_lookup"),
        cite(HASHTABLES6, "inet6_lookup_listener", "inet6_lhash2_lookup"),
        cite(UDP, "__udp4_lib_lookup", "udp4_lib_lookup2"),
        cite(UDP6, "__udp6_lib_lookup", "udp6_lib_lookup2"),
    ],
    basis: MEASURED,
    page: include_str!("../../../pages/linux.lookup.specific.md"),
};

/// Those of `0.0.0.0`, `::` and `::ffff:0.0.0.0`.
pub static WILDCARD: Choice = Choice {
    id: "linux.lookup.wildcard",
    title: "a socket on a wildcard gets what no socket on a specific address gets",
    cites: &[
        cite(HASHTABLES, "compute_score", "ipv6_only_sock"),
        cite(HASHTABLES6, "inet6_lookup_listener", "in6addr_any"),
        cite(UDP, "__udp4_lib_lookup", "INADDR_ANY"),
    ],
    basis: MEASURED,
    page: include_str!("../../../pages/linux.lookup.wildcard.md"),
};

/// Where several sockets share a port by `SO_REUSEPORT`.
pub static GROUP: Choice = Choice {
    id: "linux.lookup.group",
    title: "a group of SO_REUSEPORT sockets is chosen as soon as one of it is met",
    cites: &[
        cite(HASHTABLES, "inet_lookup_reuseport", "reuseport_select_sock"),
        cite(HASHTABLES, "inet_lhash2_lookup", "inet_lookup_reuseport"),
        cite(UDP, "udp4_lib_lookup2", "reuseport_has_conns"),
        cite("net/core/sock_reuseport.c", "reuseport_select_sock_by_hash", "reciprocal_scale"),
    ],
    basis: MEASURED,
    page: include_str!("../../../pages/linux.lookup.group.md"),
};

/// UDP only.
pub static EVERYBODY: Choice = Choice {
    id: "linux.lookup.everybody",
    title: "a UDP packet to a multicast or broadcast address goes to every socket that fits",
    cites: &[
        cite(UDP, "__udp4_lib_mcast_deliver", "__udp_is_mcast_sock"),
        cite(UDP6, "__udp6_lib_mcast_deliver", "__udp_v6_is_mcast_sock"),
    ],
    basis: MEASURED,
    page: include_str!("../../../pages/linux.lookup.everybody.md"),
};

/// The sender is told so.
pub static NOBODY: Choice = Choice {
    id: "linux.lookup.nobody",
    title: "without a socket TCP answers with a reset and UDP with port unreachable",
    cites: &[
        cite("net/ipv4/tcp_ipv4.c", "tcp_v4_rcv", "no_tcp_socket"),
        cite(UDP, "__udp4_lib_rcv", "ICMP_PORT_UNREACH"),
        cite(UDP6, "__udp6_lib_rcv", "ICMPV6_PORT_UNREACH"),
    ],
    basis: MEASURED,
    page: include_str!("../../../pages/linux.lookup.nobody.md"),
};

/// Every step, in the kernel's order.
pub static LOOKUP: &[&Choice] =
    &[&CONNECTED, &PROGRAM, &EVERYBODY, &SPECIFIC, &WILDCARD, &GROUP, &NOBODY];
