//! What both families ask of the port itself.

use super::{IN_PCB, NO_PRIVILEGED_PORTS, cite};
use crate::{Basis, Errno, Outcome, Rule, pcb::no_automatic_port};

/// A kernel may be built without it.
pub static RESERVED_PORT: Rule = Rule {
    id: "netbsd.bind.reserved-port",
    title: "a port below 1024 needs root, unless the kernel has options IPNOPRIVPORTS",
    fault: "the port is below 1024, which is for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "KAUTH_REQ_NETWORK_BIND_PRIVPORT"),
        cite(IN_PCB, "in_pcbbind", "IPPORT_RESERVED"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.reserved-port.md"),
    stops: |v| {
        let port = v.port();
        Ok(port != 0 && port < 1024 && v.uid() != 0 && v.sysctl(NO_PRIVILEGED_PORTS)? == 0)
    },
    fixes: &[],
};

/// With the same option as the rest.
pub static LOW_RANGE: Rule = Rule {
    id: "netbsd.bind.low-range",
    title: "an automatic port of IP_PORTRANGE_LOW needs root",
    fault: "an automatic port of IP_PORTRANGE_LOW is for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite(IN_PCB, "in_pcbbind", "INP_LOWPORT")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.low-range.md"),
    stops: |v| {
        let asks = v.port() == 0 && v.socket().options.portrange_low;
        Ok(asks && v.uid() != 0 && v.sysctl(NO_PRIVILEGED_PORTS)? == 0)
    },
    fixes: &[],
};

/// Not `EADDRNOTAVAIL`, as elsewhere.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "netbsd.bind.automatic-port",
    title: "for port 0 a port of the automatic range is free",
    fault: "no port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EAGAIN),
    cites: &[cite(IN_PCB, "in_pcbbind", "EAGAIN")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.automatic-port.md"),
    stops: |v| if v.port() == 0 { no_automatic_port(v) } else { Ok(false) },
    fixes: &[],
};
