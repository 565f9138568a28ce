//! Who is in the way: the test between users, then the plain one. Each asks one socket, the best
//! fit, and only that one.

use core::net::{IpAddr, Ipv4Addr};

use super::{IN_PCB, IN6_PCB, OTHER_USER_ASKS_LB, cite};
use crate::{
    Basis, Errno, Family, Missing, Outcome, Protocol, Rule, Socket, View, is_unspecified,
    pcb::{
        Match, asked, best, in_the_way, known, laddr4, laddr6, nobody, pcbs_on, plain_match, zone,
    },
};

/// Root and multicast are not asked.
pub static OTHER_USER: Rule = Rule {
    id: "freebsd.bind.other-user",
    title: "no socket of another user holds the port",
    fault: "a socket of another user holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite(IN_PCB, "in_pcbbind_setup", "PRIV_NETINET_REUSEPORT"),
        cite(IN6_PCB, "in6_pcbbind", "PRIV_NETINET_REUSEPORT"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.other-user.md"),
    stops: |v| {
        let laddr = asked(v);
        if v.port() == 0 || laddr.is_multicast() || made_by_root(v)? {
            return Ok(false);
        }
        let Some(t) = holder(v, laddr, Match::BestFit)? else { return nobody(v) };
        if v.protocol() == Protocol::Tcp && t.remote.is_some() || !of_another_user(v, t)? {
            return in_the_way(v, t, false);
        }
        let both_any = is_unspecified(laddr) && is_any(t);
        // Before, `SO_REUSEPORT` of the other was what let both be; in between nobody looked.
        let let_be = match v.has(&OTHER_USER_ASKS_LB)? {
            true => !known(t.options.reuseport, t)? && t.options.reuseport_lb,
            false => known(t.options.reuseport, t)?,
        };
        in_the_way(v, t, !(both_any && let_be))
    },
    fixes: &[],
};

/// Without an exception for the wildcard, unlike on macOS.
pub static OTHER_USER_DUAL_STACK: Rule = Rule {
    id: "freebsd.bind.other-user-dual-stack",
    title: "no IPv4 socket of another user is in the way of a dual-stack one",
    fault: "an IPv4 socket of another user is in the way of a dual-stack one",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "in6_sin6_2_sin")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.other-user-dual-stack.md"),
    stops: |v| {
        if !asks_dual_stack(v) || made_by_root(v)? {
            return Ok(false);
        }
        let any = Family::Inet.unspecified();
        let Some(t) = holder(v, any, Match::BestFit)? else { return nobody(v) };
        let connected = v.protocol() == Protocol::Tcp && t.remote.is_some();
        in_the_way(v, t, !connected && of_another_user(v, t)?)
    },
    fixes: &[],
};

/// The port is free, or both sides share it.
pub static PORT_TAKEN: Rule = Rule {
    id: "freebsd.bind.port-taken",
    title: "no socket holds the port, unless both have SO_REUSEPORT or SO_REUSEPORT_LB",
    fault: "another socket holds the port, and not both share it",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite(IN_PCB, "in_pcbbind_setup", "reuseport_lb"),
        cite(IN_PCB, "in_pcblookup_local", "INP_LOOKUP_MAPPED_PCB_COST"),
        cite(IN6_PCB, "in6_pcbbind", "reuseport_lb"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.port-taken.md"),
    stops: |v| {
        let laddr = asked(v);
        if v.port() == 0 {
            return Ok(false);
        }
        let Some(t) = holder(v, laddr, plain_match(v.socket())?)? else { return nobody(v) };
        // Two IPv6 sockets on the IPv4 wildcard are not noticed.
        let unnoticed = laddr == Family::Inet.unspecified()
            && is_any(t)
            && v.socket().family == Family::Inet6
            && t.family == Family::Inet6;
        in_the_way(v, t, !unnoticed && !may_share(v, t, laddr.is_multicast())?)
    },
    fixes: &[],
};

/// `0.0.0.0` of an IPv4 socket is let be.
pub static PORT_TAKEN_DUAL_STACK: Rule = Rule {
    id: "freebsd.bind.port-taken-dual-stack",
    title: "no socket on an IPv4 address is in the way of a dual-stack one",
    fault: "a socket on an IPv4 address is in the way of a dual-stack one",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN6_PCB, "in6_pcbbind", "INP_IPV6PROTO")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.bind.port-taken-dual-stack.md"),
    stops: |v| {
        if !asks_dual_stack(v) {
            return Ok(false);
        }
        let any = Family::Inet.unspecified();
        let Some(t) = holder(v, any, plain_match(v.socket())?)? else { return nobody(v) };
        let let_be = t.family == Family::Inet && is_any(t);
        in_the_way(v, t, !let_be && !may_share(v, t, false)?)
    },
    fixes: &[],
};

/// A dual-stack socket fits worse than any IPv4 one.
const MAPPED_COST: u8 = 3;

/// The socket that holds the asked port at `laddr`.
fn holder<'a>(v: &View<'a>, laddr: IpAddr, how: Match) -> Result<Option<&'a Socket>, Missing> {
    let pcbs = pcbs_on(v, v.port())?;
    Ok(match laddr {
        IpAddr::V4(ip) => {
            let cost = |t: &Socket| match t.ip {
                IpAddr::V6(ip) if ip.is_unspecified() => MAPPED_COST,
                _ => 0,
            };
            best(pcbs, ip, Ipv4Addr::UNSPECIFIED, how, laddr4, cost)
        }
        IpAddr::V6(ip) => {
            let any = (core::net::Ipv6Addr::UNSPECIFIED, 0);
            let zoned = (ip, zone(ip, v.sockaddr().scope));
            best(pcbs, zoned, any, how, laddr6, |_| 0)
        }
    })
}

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
    v.port() != 0 && asked(v) == Family::Inet6.unspecified() && !v.socket().v6only
}

fn is_any(t: &Socket) -> bool {
    is_unspecified(t.ip.to_canonical())
}

/// Whether both sockets say that the port may be shared. On a multicast address any reuse option
/// of the asking socket stands for all.
fn may_share(v: &View<'_>, t: &Socket, multicast: bool) -> Result<bool, Missing> {
    let socket = v.socket();
    let (mine, theirs) = (&socket.options, &t.options);
    let (addr, port) = (known(mine.reuseaddr, socket)?, known(mine.reuseport, socket)?);
    let (their_addr, their_port) = (known(theirs.reuseaddr, t)?, known(theirs.reuseport, t)?);
    let both = port && their_port || mine.reuseport_lb && theirs.reuseport_lb;
    let any = addr || port || mine.reuseport_lb;
    Ok(both || multicast && any && (their_addr || their_port || theirs.reuseport_lb))
}
