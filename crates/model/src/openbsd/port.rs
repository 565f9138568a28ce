//! What both families ask of the port itself.

use super::{IN_PCB, IN6_PCB, PRIVILEGE_LAST, cite, cite_old};
use crate::{Basis, Errno, Family, Outcome, Rule, pcb::no_automatic_port};

/// The other port for root: NFS. A sysctl, read as it comes out of the box.
const ROOT_ONLY: u16 = 2049;

/// Until the order was changed.
pub static RESERVED_PORT_FIRST: Rule = Rule {
    id: "openbsd.bind.reserved-port-first",
    title: "in old versions: a port below 1024 needs root, before its owner is asked",
    fault: "the port is below 1024, which is for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite_old(IN_PCB, "in_pcbbind", "IPPORT_RESERVED")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.reserved-port-first.md"),
    stops: |v| {
        if v.socket().family == Family::Inet6 || v.port() == 0 || v.port() >= 1024 {
            return Ok(false);
        }
        Ok(v.uid() != 0 && !v.has(&PRIVILEGE_LAST)?)
    },
    fixes: &[],
};

/// There the error was passed on as it was.
pub static RESERVED_PORT6_FIRST: Rule = Rule {
    id: "openbsd.bind.reserved-port6-first",
    title: "in old versions: a port below 1024 needs root on IPv6",
    fault: "the port is below 1024, which is for root",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite_old(IN6_PCB, "in6_pcbbind", "IPPORT_RESERVED")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.reserved-port6-first.md"),
    stops: |v| {
        if v.socket().family == Family::Inet || v.port() == 0 || v.port() >= 1024 {
            return Ok(false);
        }
        Ok(v.uid() != 0 && !v.has(&PRIVILEGE_LAST)?)
    },
    fixes: &[],
};

/// The last question of all.
pub static RESERVED_PORT: Rule = Rule {
    id: "openbsd.bind.reserved-port",
    title: "a port below 1024, and 2049, needs root",
    fault: "the port is one of those for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite(IN_PCB, "in_rootonly", "rootonlyports"),
        cite(IN_PCB, "in_pcbbind_locked", "in_rootonly"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.reserved-port.md"),
    stops: |v| {
        let port = v.port();
        let for_root = port != 0 && (port < 1024 || port == ROOT_ONLY);
        Ok(for_root && v.uid() != 0 && v.has(&PRIVILEGE_LAST)?)
    },
    fixes: &[],
};

/// Not `EPERM`, as elsewhere.
pub static LOW_RANGE: Rule = Rule {
    id: "openbsd.bind.low-range",
    title: "an automatic port of IP_PORTRANGE_LOW needs root",
    fault: "an automatic port of IP_PORTRANGE_LOW is for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite(IN_PCB, "in_pcbpickport", "INP_LOWPORT")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.low-range.md"),
    stops: |v| Ok(v.port() == 0 && v.socket().options.portrange_low && v.uid() != 0),
    fixes: &[],
};

/// Port 0 takes one that nobody is in the way of.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "openbsd.bind.automatic-port",
    title: "for port 0 a port of the automatic range is free",
    fault: "no port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN_PCB, "in_pcbpickport", "EADDRNOTAVAIL")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.automatic-port.md"),
    stops: |v| if v.port() == 0 { no_automatic_port(v) } else { Ok(false) },
    fixes: &[],
};
