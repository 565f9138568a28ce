//! Who is in the way on a UDP port, read beside `udp_lib_get_port` in `net/ipv4/udp.c`. The
//! first socket met decides, so the answer depends on the order in which they were bound.

use super::{
    MEASURED, cite,
    conflict::{addresses_meet, both, devices_meet, options_unknown, same_user},
    features::UDP_WILDCARD_MEETS_ALL,
    fixes,
    port::at_conflict,
};
use crate::{
    Errno, Evidence, Missing, Outcome, Protocol, Rule, Socket, View, is_unspecified, v4_mapped,
};

/// The port is free, or its owners let it be shared.
pub static PORT_TAKEN: Rule = Rule {
    id: "linux.bind.udp-port-taken",
    title: "no socket in the way holds the UDP port",
    fault: "another socket holds the UDP port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite("net/ipv4/udp.c", "udp_lib_get_port", "udp_lib_lport_inuse"),
        cite("net/ipv4/udp.c", "udp_lib_lport_inuse", "sk_reuseport_cb"),
        cite("net/ipv4/udp.c", "udp_lib_lport_inuse2", "udp_portaddr_for_each_entry"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.udp-port-taken.md"),
    stops: |v| if v.port() == 0 { Ok(false) } else { is_taken(v, &at_conflict(v)) },
    fixes: &[&fixes::REUSEADDR, &fixes::ANOTHER_PORT, &fixes::V6ONLY, &fixes::STOP_HOLDER],
};

/// With more sockets than this on a port, the kernel looks only at those of the same address and
/// at the wildcards.
const FEW: usize = 10;

fn is_taken(v: &View<'_>, asking: &Socket) -> Result<bool, Missing> {
    let others = || Ok(v.others_on(asking.port)?.filter(|s| s.protocol == Protocol::Udp));
    if others()?.count() <= FEW || (!is_specific(asking) && v.has(&UDP_WILDCARD_MEETS_ALL)?) {
        return first_decides(v, asking, others()?);
    }
    // The slot of a wildcard is the wildcards'.
    let of_its_address = others()?.filter(|s| is_specific(asking) && is_specific(s));
    Ok(first_decides(v, asking, of_its_address)?
        || first_decides(v, asking, others()?.filter(|s| !is_specific(s)))?)
}

/// The first socket that `asking` meets and may not pass decides.
fn first_decides<'a>(
    v: &View<'_>,
    asking: &Socket,
    others: impl Iterator<Item = &'a Socket>,
) -> Result<bool, Missing> {
    for other in others {
        let both_reuse = both(asking.options.reuseaddr, other.options.reuseaddr);
        let apart = !devices_meet(asking, other) || !addresses_meet(asking, other, true, true);
        if apart || both_reuse == Some(true) {
            v.note(|| Evidence::Beside(*other));
            continue;
        }
        let both_share = both(asking.options.reuseport, other.options.reuseport);
        let (Some(_), Some(shares)) = (both_reuse, both(both_share, same_user(asking, other)))
        else {
            return Err(options_unknown(other));
        };
        v.note(|| if shares { Evidence::Beside(*other) } else { Evidence::InTheWay(*other) });
        return Ok(!shares);
    }
    Ok(false)
}

/// Returns whether the kernel does not choose `other`'s port for `asking`. Sockets that would let
/// it be shared do not keep it.
pub(super) fn keeps_automatic_port(asking: &Socket, other: &Socket) -> bool {
    let reuse = both(asking.options.reuseaddr, other.options.reuseaddr);
    let share = both(asking.options.reuseport, other.options.reuseport);
    let share = both(share, same_user(asking, other));
    let meet = devices_meet(asking, other) && addresses_meet(asking, other, true, true);
    meet && reuse != Some(true) && share != Some(true)
}

fn is_specific(socket: &Socket) -> bool {
    let wild = match socket.ip {
        core::net::IpAddr::V6(ip) => v4_mapped(ip).is_some_and(|ip| ip.is_unspecified()),
        core::net::IpAddr::V4(_) => false,
    };
    !is_unspecified(socket.ip) && !wild
}
