//! What both families ask of the port itself.

use core::net::IpAddr;

use super::{
    AUTOMATIC_PORT_IGNORES_REUSE, IN_PCB, IN6_PCB, IN6_SRC, MEASURED, RESTRICTED_TCP_55555,
    UDP_PORT_RESERVE, WILDCARD_EXEMPT, cite, cite_at,
    conflict::reuses,
    fixes,
    pcb::{Match, Zoned, asked, asked4, asked6, laddr4, laddr6, lookup4, lookup6, pcbs_on},
};
use crate::{
    Basis, Errno, Evidence, Missing, Outcome, Protocol, Rule, Socket, View, is_unspecified,
};

/// `IPPORT_RESERVED`, `IPV6PORT_RESERVED`: fixed, there is no sysctl.
const RESERVED: u16 = 1024;
/// The port of `lights_out_management`.
const RESTRICTED: u16 = 55555;
/// The range of `IP_PORTRANGE_LOW`, lowest and highest port.
pub(super) const LOW_PORTS: (u16, u16) = (600, 1023);
/// How many UDP ports may be taken before the rest is kept back.
const UDP_PORTS: usize = 65535 - 4096;
/// Lifts that limit.
pub(super) const ALLOW_UDP_PORT_EXHAUSTION: &str =
    "net.inet.ip.portrange.ipport_allow_udp_port_exhaustion";

/// The rule of the question: low ports want root, except on the unspecified address.
pub static RESERVED_PORT: Rule = Rule {
    id: "xnu.bind.reserved-port",
    title: "a port below 1024 needs root, since 10.14 only on a specific address",
    fault: "the port is below 1024, which on this address is for root",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "IPPORT_RESERVED"),
        cite(IN_PCB, "in_pcbbind", "PRIV_NETINET_RESERVEDPORT"),
        cite(IN6_PCB, "in6_pcbbind", "IPV6PORT_RESERVED"),
        cite("bsd/kern/kern_priv.c", "priv_check_cred", "kauth_cred_getuid"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.reserved-port.md"),
    stops: |v| {
        let port = v.port();
        if port == 0 || port >= RESERVED || v.uid() == 0 {
            return Ok(false);
        }
        Ok(!(is_unspecified(asked(v)) && v.has(&WILDCARD_EXEMPT)?))
    },
    fixes: &[
        &fixes::ANOTHER_PORT,
        &fixes::EVERY_ADDRESS_DROP_PEERS,
        &fixes::EVERY_ADDRESS,
        &fixes::THIS_RUN,
        &fixes::LAUNCHD_SOCKETS,
        &fixes::PF_REDIRECT,
    ],
};

/// One port is Apple's own.
pub static RESTRICTED_PORT: Rule = Rule {
    id: "xnu.bind.restricted-port",
    title: "TCP port 55555 needs an entitlement of Apple's",
    fault: "TCP port 55555 is for programs with an entitlement of Apple's",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite_at("xnu-7195.141.2", IN_PCB, "in_pcbbind", "current_task_can_use_restricted_in_port"),
        cite_at(
            "xnu-7195.141.2",
            IN6_PCB,
            "in6_pcbbind",
            "current_task_can_use_restricted_in_port",
        ),
        cite_at("xnu-7195.141.2", "bsd/net/restricted_in_port.c", "restricted_port_list", "55555"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.restricted-port.md"),
    stops: |v| Ok(v.port() == RESTRICTED && v.has(&RESTRICTED_TCP_55555)?),
    fixes: &[&fixes::ANOTHER_PORT],
};

/// Ports are kept back for clients that need random ones.
pub static UDP_PORTS_LEFT: Rule = Rule {
    id: "xnu.bind.udp-ports-left",
    title: "at least 4096 UDP ports are left",
    fault: "fewer than 4096 UDP ports are left",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite_at("xnu-8019.80.24", IN_PCB, "in_pcbbind", "UDP_RANDOM_PORT_RESERVE"),
        cite_at("xnu-8019.80.24", IN6_PCB, "in6_pcbbind", "UDP_RANDOM_PORT_RESERVE"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.udp-ports-left.md"),
    stops: |v| {
        let ip = asked(v);
        let in_use = |t: &Socket| {
            t.protocol == Protocol::Udp
                && match ip {
                    IpAddr::V4(_) => laddr4(t).is_some_and(|ip| ip.is_unspecified()),
                    IpAddr::V6(_) => laddr6(t).is_some_and(|(ip, _)| ip.is_unspecified()),
                }
        };
        let taken = v.host().sockets.all()?.filter(|(_, list)| list.iter().any(in_use)).count();
        Ok(taken > UDP_PORTS
            && v.has(&UDP_PORT_RESERVE)?
            && v.sysctl(ALLOW_UDP_PORT_EXHAUSTION)? == 0)
    },
    fixes: &[],
};

/// `IP_PORTRANGE_LOW` asks for a reserved port, on whatever address.
pub static LOW_RANGE: Rule = Rule {
    id: "xnu.bind.low-range",
    title: "an automatic port of IP_PORTRANGE_LOW needs root",
    fault: "an automatic port of IP_PORTRANGE_LOW is for root",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "INP_LOWPORT"),
        cite(IN6_SRC, "in6_pcbsetport", "INP_LOWPORT"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.low-range.md"),
    stops: |v| Ok(v.port() == 0 && wants_root(v)),
    fixes: &[&fixes::CLEAR_LOW_RANGE, &fixes::THIS_RUN],
};

pub(super) fn wants_root(v: &View<'_>) -> bool {
    v.socket().options.portrange_low && v.uid() != 0
}

/// Port 0 takes one that nobody is in the way of.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "xnu.bind.automatic-port",
    title: "for port 0 on IPv4 a port of the automatic range is free",
    fault: "no port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN_PCB, "in_pcbbind", "ipport_firstauto")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.automatic-port.md"),
    stops: |v| Ok(v.port() == 0 && no_automatic_port(v, Laddr::V4(asked4(v)))?),
    fixes: &[&fixes::ANOTHER_PORT],
};

/// Port 0 takes one that nobody is in the way of.
pub static AUTOMATIC_PORT6: Rule = Rule {
    id: "xnu.bind.automatic-port6",
    title: "for port 0 on IPv6 a port of the automatic range is free",
    fault: "no port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EAGAIN),
    cites: &[cite(IN6_SRC, "in6_pcbsetport", "ipport_firstauto")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.automatic-port6.md"),
    stops: |v| Ok(v.port() == 0 && no_automatic_port(v, Laddr::V6(asked6(v)))?),
    fixes: &[&fixes::ANOTHER_PORT],
};

/// The address that an automatic port is looked for at.
#[derive(Clone, Copy)]
pub(super) enum Laddr {
    V4(core::net::Ipv4Addr),
    V6(Zoned),
}

/// Returns whether every port of the range has a socket in the way at `laddr`.
pub(super) fn no_automatic_port(v: &View<'_>, laddr: Laddr) -> Result<bool, Missing> {
    // Asked of all ports or of none: a port that was not observed is not free.
    let _ = v.host().sockets.all()?;
    let (low, high) = match v.socket().options.portrange_low {
        true => LOW_PORTS,
        false => v.local_ports().map(|ports| (ports.low, ports.high))?,
    };
    v.note(|| Evidence::LocalPorts(low, high));
    for port in low..=high {
        if pcbs_on(v, port)?.next().is_some() && is_held(v, port, laddr)? {
            continue;
        }
        if port != RESTRICTED || !v.has(&RESTRICTED_TCP_55555)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_held(v: &View<'_>, port: u16, laddr: Laddr) -> Result<bool, Missing> {
    let how = match laddr {
        Laddr::V4(_) if v.has(&AUTOMATIC_PORT_IGNORES_REUSE)? => Match::BestFit,
        _ if reuses(v.socket())? => Match::Exact,
        _ => Match::BestFit,
    };
    let holder = match laddr {
        Laddr::V4(ip) => lookup4(pcbs_on(v, port)?, ip, how),
        Laddr::V6(zoned) => lookup6(pcbs_on(v, port)?, zoned, how),
    };
    Ok(holder.is_some())
}
