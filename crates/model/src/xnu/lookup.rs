//! Which socket gets an arriving packet, read beside `in_pcblookup_hash` and
//! `in6_pcblookup_hash`. Nobody asks whether the socket listens, and `SO_REUSEPORT` spreads nothing.

use core::net::{IpAddr, Ipv4Addr};

use super::{
    IN_PCB, IN6_PCB, MEASURED, cite,
    pcb::{ANY6, laddr4, laddr6},
};
use crate::{
    Basis, Choice, FactKey, Family, Found, Host, Missing, Packet, Protocol, Receivers, Socket,
    lookup::plain,
};

/// Both ends of a connection name each other.
pub static CONNECTED: Choice = Choice {
    id: "xnu.lookup.connected",
    title: "a socket that is connected to the sender comes before all others",
    cites: &[
        cite(IN_PCB, "in_pcblookup_hash", "inp_faddr"),
        cite(IN6_PCB, "in6_pcblookup_hash", "in6p_faddr"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.lookup.connected.md"),
};

/// The newest of them.
pub static SPECIFIC: Choice = Choice {
    id: "xnu.lookup.specific",
    title: "the newest socket on the very address of the packet gets it, listening or not",
    cites: &[
        cite(IN_PCB, "in_pcblookup_hash", "inp_laddr"),
        cite(IN6_PCB, "in6_pcblookup_hash", "in6p_laddr"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.lookup.specific.md"),
};

/// The oldest of them.
pub static WILDCARD: Choice = Choice {
    id: "xnu.lookup.wildcard",
    title: "else the oldest socket on the wildcard of the packet's own family gets it",
    cites: &[
        cite(IN_PCB, "in_pcblookup_hash", "local_wild"),
        cite(IN6_PCB, "in6_pcblookup_hash", "local_wild"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.lookup.wildcard.md"),
};

/// After every IPv4 socket.
pub static DUAL_STACK: Choice = Choice {
    id: "xnu.lookup.dual-stack",
    title: "an IPv4 packet that no IPv4 socket wants goes to the oldest dual-stack socket",
    cites: &[cite(IN_PCB, "in_pcblookup_hash", "local_wild_mapped")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.lookup.dual-stack.md"),
};

/// The sender is told so, unless a socket was found that does not listen.
pub static NOBODY: Choice = Choice {
    id: "xnu.lookup.nobody",
    title: "without a socket TCP answers with a reset and UDP with port unreachable",
    cites: &[
        cite("bsd/netinet/tcp_input.c", "tcp_input", "TCPS_CLOSED"),
        cite("bsd/netinet/udp_usrreq.c", "udp_input", "ICMP_UNREACH_PORT"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.lookup.nobody.md"),
};

/// Every step, in the kernel's order.
pub static LOOKUP: &[&Choice] = &[&CONNECTED, &SPECIFIC, &WILDCARD, &DUAL_STACK, &NOBODY];

/// Returns who gets `packet`. A TCP socket that is found and does not listen drops it, so that the
/// client hears nothing.
///
/// # Errors
/// The fact that is missing: of multicast and broadcast, who has joined.
pub fn lookup(host: &Host, packet: &Packet) -> Result<Found, Missing> {
    if packet.protocol == Protocol::Udp && packet.is_for_all() {
        return Err(Missing::new(
            FactKey::Policy("multicast-memberships".into()),
            "which sockets have joined the group is not known",
            "netstat -g",
        ));
    }
    let of_protocol = |s: &&Socket| s.protocol == packet.protocol;
    let newest_first = || host.sockets.on(packet.dst.port()).map(|l| l.iter().filter(of_protocol));
    let found = |socket: &Socket, by| Ok(Found { to: Receivers::One(socket.id), by });
    let (src, dst) = (packet.src, plain(packet.dst.ip()));
    let ends = |s: &&Socket| {
        s.remote.is_some_and(|r| r.port() == src.port() && plain(r.ip()) == plain(src.ip()))
            && plain(s.ip) == dst
    };
    if let Some(socket) = newest_first()?.find(ends) {
        return found(socket, &CONNECTED);
    }
    let here = |s: &&Socket| s.remote.is_none() && is_at(s, dst, packet.device);
    if let Some(socket) = newest_first()?.find(here) {
        return found(socket, &SPECIFIC);
    }
    let any = |s: &Socket| {
        s.remote.is_none()
            && match dst {
                IpAddr::V4(_) => laddr4(s) == Some(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => laddr6(s) == Some(ANY6),
            }
    };
    let own = |s: &Socket| any(s) && (dst.is_ipv6() || s.family == Family::Inet);
    if let Some(socket) = newest_first()?.rfind(|s| own(s)) {
        return found(socket, &WILDCARD);
    }
    match newest_first()?.rfind(|s| any(s)) {
        Some(socket) => found(socket, &DUAL_STACK),
        None => Ok(Found { to: Receivers::Nobody, by: &NOBODY }),
    }
}

/// Whether a socket is bound to `dst`, a link-local one on `device`.
fn is_at(socket: &Socket, dst: IpAddr, device: u32) -> bool {
    match dst {
        IpAddr::V4(ip) => laddr4(socket) == Some(ip) && !ip.is_unspecified(),
        IpAddr::V6(ip) => {
            laddr6(socket).is_some_and(|(at, zone)| at == ip && (zone == 0 || zone == device))
        }
    }
}
