//! Which socket gets an arriving packet, read beside `in_pcblookup_hash_locked` and
//! `in_pcblookup_hash_wild_locked`.

use core::net::IpAddr;

use super::{IN_PCB, cite};
use crate::{
    Basis, Choice, FactKey, Family, Found, Host, Missing, Packet, Protocol, Receivers, Socket,
    is_unspecified,
    lookup::plain,
    pcb::{laddr4, laddr6},
};

/// Both ends of a connection name each other.
pub static CONNECTED: Choice = Choice {
    id: "freebsd.lookup.connected",
    title: "a socket that is connected to the sender comes before all others",
    cites: &[cite(IN_PCB, "in_pcblookup_hash_locked", "in_pcblookup_hash_exact")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.lookup.connected.md"),
};

/// Before the exact address.
pub static GROUP: Choice = Choice {
    id: "freebsd.lookup.group",
    title: "a group of SO_REUSEPORT_LB sockets comes before single sockets and spreads the load",
    cites: &[cite(IN_PCB, "in_pcblookup_hash_locked", "in_pcblookup_lbgroup")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.lookup.group.md"),
};

/// Before any wildcard.
pub static SPECIFIC: Choice = Choice {
    id: "freebsd.lookup.specific",
    title: "a socket on the very address of the packet gets it, listening or not",
    cites: &[cite(IN_PCB, "in_pcblookup_hash_wild_locked", "local_exact")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.lookup.specific.md"),
};

/// IPv4 before dual stack.
pub static WILDCARD: Choice = Choice {
    id: "freebsd.lookup.wildcard",
    title: "else a socket on the wildcard gets it, an IPv4 one before a dual-stack one",
    cites: &[cite(IN_PCB, "in_pcblookup_hash_wild_locked", "local_wild_mapped")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.lookup.wildcard.md"),
};

/// The same for a socket that does not listen.
pub static NOBODY: Choice = Choice {
    id: "freebsd.lookup.nobody",
    title: "without a listening socket TCP answers with a reset",
    cites: &[cite("freebsd/sys/netinet/tcp_input.c", "tcp_input_with_port", "TCPS_CLOSED")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.lookup.nobody.md"),
};

/// Every step, in the kernel's order. Jails come first, and are not asked about here.
pub static LOOKUP: &[&Choice] = &[&CONNECTED, &GROUP, &SPECIFIC, &WILDCARD, &NOBODY];

/// Returns who gets `packet`. A TCP socket that is found and does not listen refuses.
///
/// # Errors
/// The fact that is missing: which of several sockets of one address comes first, and who has
/// joined a group.
pub fn lookup(host: &Host, packet: &Packet) -> Result<Found, Missing> {
    if packet.protocol == Protocol::Udp && packet.is_for_all() {
        return Err(open("which sockets get a packet to a group was not read"));
    }
    let on_port = host.sockets.on(packet.dst.port())?;
    let (src, dst) = (packet.src, plain(packet.dst.ip()));
    let all = || on_port.iter().filter(|s| s.protocol == packet.protocol);
    let ends = |s: &&Socket| {
        s.remote.is_some_and(|r| r.port() == src.port() && plain(r.ip()) == plain(src.ip()))
            && plain(s.ip) == dst
    };
    if let Some(socket) = all().find(ends) {
        return Ok(Found { to: Receivers::One(socket.id), by: &CONNECTED });
    }
    let at = |s: &Socket, ip: IpAddr| match ip {
        IpAddr::V4(ip) => laddr4(s) == Some(ip),
        IpAddr::V6(ip) => laddr6(s).is_some_and(|(there, _)| there == ip),
    };
    let any = match dst {
        IpAddr::V4(_) => Family::Inet.unspecified(),
        IpAddr::V6(_) => Family::Inet6.unspecified(),
    };
    let free = || all().filter(|s| s.remote.is_none());
    if free().any(|s| s.options.reuseport_lb && (at(s, dst) || at(s, any))) {
        return Err(open("how a group of SO_REUSEPORT_LB sockets shares was not read"));
    }
    let own = |s: &&Socket| dst.is_ipv6() || s.family == Family::Inet;
    let steps = [
        (free().filter(|s| at(s, dst) && !is_unspecified(dst)).count(), &SPECIFIC, dst, false),
        (free().filter(|s| at(s, any) && own(s)).count(), &WILDCARD, any, true),
        (free().filter(|s| at(s, any)).count(), &WILDCARD, any, false),
    ];
    for (count, by, ip, only_own) in steps {
        match count {
            0 => {}
            1 => {
                let mut fits = free().filter(|s| at(s, ip) && (!only_own || own(s)));
                let to = fits.next().map_or(Receivers::Nobody, |s| Receivers::One(s.id));
                return Ok(Found { to, by });
            }
            _ => return Err(open("which of several sockets of one address comes first")),
        }
    }
    Ok(Found { to: Receivers::Nobody, by: &NOBODY })
}

fn open(why: &'static str) -> Missing {
    Missing::new(FactKey::Feature("lookup".into()), why, "try it on that system")
}
