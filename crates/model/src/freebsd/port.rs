//! What both families ask of the port itself.

use super::{IN_PCB, IN6_PCB, RESERVED_HIGH, RESERVED_LOW, cite};
use crate::{Basis, Errno, Outcome, Rule, pcb::no_automatic_port};

/// The wildcard is not exempt, unlike on macOS.
pub static RESERVED_PORT: Rule = Rule {
    id: "freebsd.bind.reserved-port",
    title: "a port in the reserved range needs root, on every address",
    fault: "the port is in the reserved range, which is for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite(IN_PCB, "in_pcbbind_setup", "PRIV_NETINET_RESERVEDPORT"),
        cite(IN6_PCB, "in6_pcbbind", "PRIV_NETINET_RESERVEDPORT"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.reserved-port.md"),
    stops: |v| {
        let port = i64::from(v.port());
        if port == 0 || v.uid() == 0 {
            return Ok(false);
        }
        Ok(port <= v.sysctl(RESERVED_HIGH)? && port >= v.sysctl(RESERVED_LOW)?)
    },
    fixes: &[],
};

/// On whatever address.
pub static LOW_RANGE: Rule = Rule {
    id: "freebsd.bind.low-range",
    title: "an automatic port of IP_PORTRANGE_LOW needs root",
    fault: "an automatic port of IP_PORTRANGE_LOW is for root",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite(IN_PCB, "in_pcb_lport_dest", "INP_LOWPORT")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.low-range.md"),
    stops: |v| Ok(v.port() == 0 && v.socket().options.portrange_low && v.uid() != 0),
    fixes: &[],
};

/// Port 0 takes one that nobody is in the way of.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "freebsd.bind.automatic-port",
    title: "for port 0 a port of the automatic range is free",
    fault: "no port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN_PCB, "in_pcb_lport_dest", "EADDRNOTAVAIL")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.automatic-port.md"),
    stops: |v| if v.port() == 0 { no_automatic_port(v) } else { Ok(false) },
    fixes: &[],
};
