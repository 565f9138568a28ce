//! Who is in the way: the test between users, then the plain one. Each asks one socket, the best
//! fit, and only that one.

use core::net::{IpAddr, Ipv4Addr};

use super::{
    IN_PCB, IN6_PCB, MEASURED, cite, fixes,
    pcb::{ANY6, Match, asked, asked4, asked6, known, laddr4, laddr6, lookup4, lookup6, pcbs_on},
};
use crate::{Errno, Evidence, Family, Missing, Outcome, Rule, Socket, View};

/// A user does not take packets from another user's socket.
pub static OTHER_USER: Rule = Rule {
    id: "xnu.bind.other-user",
    title: "no socket of another user holds the port, unless both are on the unspecified address",
    fault: "a socket of another user holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN_PCB, "in_pcbbind", "SOF_REUSESHAREUID")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.other-user.md"),
    stops: |v| {
        let laddr = asked4(v);
        if v.port() == 0 || laddr.is_multicast() || made_by_root(v)? {
            return Ok(false);
        }
        let Some(t) = holder4(v, laddr, Match::BestFit)? else { return visible(v) };
        let both_any = laddr.is_unspecified() && laddr4(t) == Some(Ipv4Addr::UNSPECIFIED);
        in_the_way(v, t, !both_any && !t.options.shareuid && of_another_user(v, t)?)
    },
    fixes: &[&fixes::ANOTHER_PORT, &fixes::STOP_HOLDER],
};

/// A user does not take packets from another user's socket.
pub static OTHER_USER6: Rule = Rule {
    id: "xnu.bind.other-user6",
    title: "no IPv6 socket of another user holds the port, unless it shares the unspecified address",
    fault: "an IPv6 socket of another user holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "SOF_REUSESHAREUID")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.other-user6.md"),
    stops: |v| {
        let laddr = asked6(v);
        if v.port() == 0 || laddr.0.is_multicast() || made_by_root(v)? {
            return Ok(false);
        }
        let Some(t) = holder6(v, laddr, Match::BestFit)? else { return visible(v) };
        let both_any = laddr == ANY6 && laddr6(t) == Some(ANY6);
        let stops = !t.options.shareuid
            && of_another_user(v, t)?
            && !(both_any && known(t.options.reuseport, t)?);
        in_the_way(v, t, stops)
    },
    fixes: &[&fixes::ANOTHER_PORT, &fixes::STOP_HOLDER],
};

/// Without `IPV6_V6ONLY`, `::` means IPv4 too.
pub static OTHER_USER_DUAL_STACK: Rule = Rule {
    id: "xnu.bind.other-user-dual-stack",
    title: "no IPv4 socket of another user is in the way of a dual-stack one",
    fault: "an IPv4 socket of another user is in the way of a dual-stack one",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "in6_sin6_2_sin")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.other-user-dual-stack.md"),
    stops: |v| {
        if !asks_dual_stack(v) || made_by_root(v)? {
            return Ok(false);
        }
        let any = Ipv4Addr::UNSPECIFIED;
        let Some(t) = holder4(v, any, Match::BestFit)? else { return visible(v) };
        let stops = !is_inet_any(t) && of_another_user(v, t)? && !known(t.options.reuseport, t)?;
        in_the_way(v, t, stops)
    },
    fixes: &[&fixes::ANOTHER_PORT, &fixes::V6ONLY, &fixes::STOP_HOLDER],
};

/// The port is free, or both sides share it.
pub static PORT_TAKEN: Rule = Rule {
    id: "xnu.bind.port-taken",
    title: "no socket holds the port, unless both have SO_REUSEPORT",
    fault: "another socket holds the port, and not both have SO_REUSEPORT",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "reuseport"),
        cite(IN_PCB, "in_pcblookup_local", "matchwild"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.port-taken.md"),
    stops: |v| {
        let laddr = asked4(v);
        if v.port() == 0 {
            return Ok(false);
        }
        let Some(t) = holder4(v, laddr, plain_match(v)?)? else { return visible(v) };
        // Two IPv6 sockets on the IPv4 wildcard are not noticed.
        let both_any = laddr.is_unspecified() && laddr4(t) == Some(Ipv4Addr::UNSPECIFIED);
        let unnoticed = both_any && v.socket().family == Family::Inet6 && t.family == Family::Inet6;
        in_the_way(v, t, !unnoticed && !may_share(v, t, laddr.is_multicast())?)
    },
    fixes: PORT_TAKEN_FIXES,
};

/// The port is free, or both sides share it.
pub static PORT_TAKEN6: Rule = Rule {
    id: "xnu.bind.port-taken6",
    title: "no IPv6 socket holds the port, unless both have SO_REUSEPORT",
    fault: "another IPv6 socket holds the port, and not both have SO_REUSEPORT",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite(IN6_PCB, "in6_pcbbind", "reuseport"),
        cite(IN6_PCB, "in6_pcblookup_local", "matchwild"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.port-taken6.md"),
    stops: |v| {
        let laddr = asked6(v);
        if v.port() == 0 {
            return Ok(false);
        }
        let Some(t) = holder6(v, laddr, plain_match(v)?)? else { return visible(v) };
        in_the_way(v, t, !may_share(v, t, laddr.0.is_multicast())?)
    },
    fixes: PORT_TAKEN_FIXES,
};

/// Without `IPV6_V6ONLY`, `::` means IPv4 too; `0.0.0.0` of an IPv4 socket is let be.
pub static PORT_TAKEN_DUAL_STACK: Rule = Rule {
    id: "xnu.bind.port-taken-dual-stack",
    title: "no socket on an IPv4 address is in the way of a dual-stack one",
    fault: "a socket on an IPv4 address is in the way of a dual-stack one",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "SOCK_DOM")],
    basis: MEASURED,
    page: include_str!("../../pages/xnu.bind.port-taken-dual-stack.md"),
    stops: |v| {
        if !asks_dual_stack(v) {
            return Ok(false);
        }
        let any = Ipv4Addr::UNSPECIFIED;
        let Some(t) = holder4(v, any, plain_match(v)?)? else { return visible(v) };
        in_the_way(v, t, !is_inet_any(t) && !may_share(v, t, false)?)
    },
    fixes: &[
        &fixes::REUSEADDR,
        &fixes::ANOTHER_PORT,
        &fixes::V6ONLY,
        &fixes::REUSEPORT_ON_BOTH,
        &fixes::STOP_HOLDER,
    ],
};

static PORT_TAKEN_FIXES: &[&crate::fix::Fix] =
    &[&fixes::REUSEADDR, &fixes::ANOTHER_PORT, &fixes::REUSEPORT_ON_BOTH, &fixes::STOP_HOLDER];

/// Whether the asking socket was made by root; who calls `bind` does not matter here.
fn made_by_root(v: &View<'_>) -> Result<bool, Missing> {
    let socket = v.socket();
    Ok(known(socket.uid, socket)? == 0)
}

fn of_another_user(v: &View<'_>, t: &Socket) -> Result<bool, Missing> {
    let socket = v.socket();
    Ok(known(socket.uid, socket)? != known(t.uid, t)?)
}

/// Whether a port of `::` is asked for IPv4 as well.
fn asks_dual_stack(v: &View<'_>) -> bool {
    v.port() != 0 && asked6(v) == ANY6 && !v.socket().v6only
}

/// Whether `t` is an IPv4 socket on `0.0.0.0`.
fn is_inet_any(t: &Socket) -> bool {
    t.family == Family::Inet && t.ip == Family::Inet.unspecified()
}

/// With either option set, only a socket of the same address counts.
fn plain_match(v: &View<'_>) -> Result<Match, Missing> {
    let reuses = reuses(v.socket())?;
    Ok(if reuses { Match::Exact } else { Match::BestFit })
}

pub(super) fn reuses(socket: &Socket) -> Result<bool, Missing> {
    let options = &socket.options;
    Ok(known(options.reuseaddr, socket)? || known(options.reuseport, socket)?)
}

/// Whether both sockets say that the port may be shared. On a multicast address `SO_REUSEADDR` of
/// the asking socket stands for either option.
fn may_share(v: &View<'_>, t: &Socket, multicast: bool) -> Result<bool, Missing> {
    let socket = v.socket();
    let (mine, theirs) = (&socket.options, &t.options);
    if known(mine.reuseport, socket)? && known(theirs.reuseport, t)? {
        return Ok(true);
    }
    Ok(multicast
        && known(mine.reuseaddr, socket)?
        && (known(theirs.reuseaddr, t)? || known(theirs.reuseport, t)?))
}

fn holder4<'a>(v: &View<'a>, laddr: Ipv4Addr, how: Match) -> Result<Option<&'a Socket>, Missing> {
    Ok(lookup4(pcbs_on(v, v.port())?, laddr, how))
}

fn holder6<'a>(
    v: &View<'a>,
    laddr: (core::net::Ipv6Addr, u32),
    how: Match,
) -> Result<Option<&'a Socket>, Missing> {
    Ok(lookup6(pcbs_on(v, v.port())?, laddr, how))
}

/// The answer where no socket was found: it stands unless some may be hidden.
fn visible(v: &View<'_>) -> Result<bool, Missing> {
    v.host().sockets.hidden.clone().map_or(Ok(false), Err)
}

/// The answer about `t`, which the kernel would ask. A hidden socket might fit better; it changes
/// nothing for one that shares with nobody, unless it is one that is let be on a wildcard.
fn in_the_way(v: &View<'_>, t: &Socket, stops: bool) -> Result<bool, Missing> {
    v.note(|| if stops { Evidence::InTheWay(*t) } else { Evidence::Beside(*t) });
    match &v.host().sockets.hidden {
        Some(missing) if !stops || reuses(v.socket())? || lets_wildcards_be(v) => {
            Err(missing.clone())
        }
        _ => Ok(stops),
    }
}

/// Whether some socket on a wildcard is overlooked, and hides those behind it: an IPv6 socket that
/// asks for `0.0.0.0` as well passes others that hold it.
fn lets_wildcards_be(v: &View<'_>) -> bool {
    let wildcard = match asked(v) {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unspecified() && !v.socket().v6only,
    };
    wildcard && v.socket().family == Family::Inet6
}
