//! Who is in the way. Each rule asks one socket, the best fit, and only that one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{IN_PCB, cite};
use crate::{
    Basis, Errno, Family, Missing, Outcome, Rule, Socket, View,
    pcb::{Match, best, in_the_way, known, laddr6, nobody, pcbs_on, plain_match, unread, zone},
};

/// Asked before the users are.
pub static MAPPED_TAKEN: Rule = Rule {
    id: "netbsd.bind.mapped-taken",
    title: "no IPv6 socket on the IPv4-mapped address holds the port, unless both share it",
    fault: "an IPv6 socket on the IPv4-mapped address holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN_PCB, "in_pcbbind", "in6_pcblookup_port")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.mapped-taken.md"),
    stops: |v| {
        let IpAddr::V4(ip) = v.ip() else { return Ok(false) };
        if v.port() == 0 {
            return Ok(false);
        }
        let mapped = (ip.to_ipv6_mapped(), 0);
        let held = |t: &Socket| match t.ip {
            IpAddr::V6(ip) => Some((ip, zone(ip, t.device))),
            IpAddr::V4(_) => None,
        };
        let how = plain_match(v.socket())?;
        // It may be found by a wildcard too: `::` stands for IPv4 unless it has IPV6_V6ONLY.
        let pcbs = pcbs_on(v, v.port())?.filter(|t| laddr6(t).is_none() || !t.v6only);
        let found = best(pcbs, mapped, (Ipv6Addr::UNSPECIFIED, 0), how, held, |_| 0);
        let Some(t) = found else { return Ok(false) };
        in_the_way(v, t, !may_share(v, t, ip.is_multicast())?)
    },
    fixes: &[],
};

/// Root and multicast are not asked.
pub static OTHER_USER: Rule = Rule {
    id: "netbsd.bind.other-user",
    title: "no socket of another user holds the port, unless it shares the wildcard",
    fault: "a socket of another user holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN_PCB, "in_pcbbind", "ui_uid")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.other-user.md"),
    stops: |v| {
        let laddr = ip(v);
        let socket = v.socket();
        if v.port() == 0 || laddr.is_multicast() || known(socket.uid, socket)? == 0 {
            return Ok(false);
        }
        let Some(t) = holder(v, laddr, Match::BestFit)? else { return nobody(v) };
        let both_any = laddr.is_unspecified() && t.ip.is_unspecified();
        let let_be = both_any && known(t.options.reuseport, t)?;
        in_the_way(v, t, !let_be && known(socket.uid, socket)? != known(t.uid, t)?)
    },
    fixes: &[],
};

/// The port is free, or both sides share it.
pub static PORT_TAKEN: Rule = Rule {
    id: "netbsd.bind.port-taken",
    title: "no socket of that family holds the port, unless both have SO_REUSEPORT",
    fault: "another socket holds the port, and not both have SO_REUSEPORT",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN_PCB, "in_pcbbind", "in_pcblookup_port")],
    basis: Basis::Source,
    page: include_str!("../../pages/netbsd.bind.port-taken.md"),
    stops: |v| {
        let laddr = ip(v);
        if v.port() == 0 {
            return Ok(false);
        }
        let Some(t) = holder(v, laddr, plain_match(v.socket())?)? else { return dual_stack(v) };
        if in_the_way(v, t, !may_share(v, t, laddr.is_multicast())?)? {
            return Ok(true);
        }
        dual_stack(v)
    },
    fixes: &[],
};

/// The address asked for.
fn ip(v: &View<'_>) -> IpAddr {
    v.ip()
}

/// The socket of the same family that holds the asked port at `laddr`.
fn holder<'a>(v: &View<'a>, laddr: IpAddr, how: Match) -> Result<Option<&'a Socket>, Missing> {
    let pcbs = pcbs_on(v, v.port())?;
    Ok(match laddr {
        IpAddr::V4(ip) => {
            let held = |t: &Socket| match t.ip {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            };
            best(pcbs, ip, Ipv4Addr::UNSPECIFIED, how, held, |_| 0)
        }
        IpAddr::V6(ip) => {
            let zoned = (ip, zone(ip, v.sockaddr().scope));
            best(pcbs, zoned, (Ipv6Addr::UNSPECIFIED, 0), how, laddr6, |_| 0)
        }
    })
}

/// Whether both sockets say that the port may be shared. On a multicast address `SO_REUSEADDR`
/// of the asking socket stands for both.
fn may_share(v: &View<'_>, t: &Socket, multicast: bool) -> Result<bool, Missing> {
    let socket = v.socket();
    let (mine, theirs) = (&socket.options, &t.options);
    let (addr, port) = (known(mine.reuseaddr, socket)?, known(mine.reuseport, socket)?);
    let (their_addr, their_port) = (known(theirs.reuseaddr, t)?, known(theirs.reuseport, t)?);
    Ok(port && their_port || multicast && addr && (their_addr || their_port))
}

/// What a dual-stack socket finds among IPv4 ones was not read; without any it does not matter.
fn dual_stack(v: &View<'_>) -> Result<bool, Missing> {
    let socket = v.socket();
    let dual = socket.family == Family::Inet6 && !socket.v6only && v.ipv6().is_unspecified();
    if dual && pcbs_on(v, v.port())?.any(|t| t.family == Family::Inet) {
        return unread("a dual-stack socket beside an IPv4 one");
    }
    nobody(v)
}
