//! `bind` of a UDP socket: what it asks was not read.

use super::{TCP_BIND, cite};
use crate::{Basis, Errno, Outcome, Rule, pcb::unread};

/// `udp_do_bind` was not read.
pub static DATAGRAM_ADDRESS: Rule = Rule {
    id: "illumos.bind.datagram-address",
    title: "the address of a UDP socket is one of the host",
    fault: "the address is not one of this host",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "IPVL_BAD")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.datagram-address.md"),
    stops: |_| unread("bind on a UDP socket"),
    fixes: &[],
};

/// `udp_do_bind` was not read.
pub static DATAGRAM_PORT: Rule = Rule {
    id: "illumos.bind.datagram-port",
    title: "a low port of a UDP socket needs a privilege",
    fault: "the port needs a privilege",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "IPVL_BAD")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.datagram-port.md"),
    stops: |_| unread("bind on a UDP socket"),
    fixes: &[],
};

/// `udp_do_bind` was not read.
pub static DATAGRAM_TAKEN: Rule = Rule {
    id: "illumos.bind.datagram-taken",
    title: "no socket in the way holds the UDP port",
    fault: "another socket holds the UDP port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "IPVL_BAD")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.datagram-taken.md"),
    stops: |_| unread("bind on a UDP socket"),
    fixes: &[],
};
