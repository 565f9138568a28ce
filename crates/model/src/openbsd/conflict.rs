//! Who is in the way: the test between users, then the plain one. Each asks one socket of the same
//! family, the best fit, and only that one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{IN_PCB, cite};
use crate::{
    Basis, Errno, Missing, Outcome, Rule, Socket, View,
    pcb::{Match, best, in_the_way, known, laddr6, nobody, pcbs_on, plain_match, zone},
};

/// Root and multicast are not asked.
pub static OTHER_USER: Rule = Rule {
    id: "openbsd.bind.other-user",
    title: "no socket of another user holds the port",
    fault: "a socket of another user holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN_PCB, "in_pcbaddrisavail_lock", "so_euid")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.other-user.md"),
    stops: |v| {
        let laddr = ip(v);
        let socket = v.socket();
        if v.port() == 0 || laddr.is_multicast() || known(socket.uid, socket)? == 0 {
            return Ok(false);
        }
        let Some(t) = holder(v, laddr, Match::BestFit)? else { return nobody(v) };
        in_the_way(v, t, known(socket.uid, socket)? != known(t.uid, t)?)
    },
    fixes: &[],
};

/// The port is free, or both sides share it.
pub static PORT_TAKEN: Rule = Rule {
    id: "openbsd.bind.port-taken",
    title: "no socket of that family holds the port, unless both have SO_REUSEPORT",
    fault: "another socket holds the port, and not both have SO_REUSEPORT",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(IN_PCB, "in_pcbaddrisavail_lock", "reuseport")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.bind.port-taken.md"),
    stops: |v| {
        let laddr = ip(v);
        if v.port() == 0 {
            return Ok(false);
        }
        let Some(t) = holder(v, laddr, plain_match(v.socket())?)? else { return nobody(v) };
        in_the_way(v, t, !may_share(v, t, laddr.is_multicast())?)
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

/// Whether both sockets say that the port may be shared. On a multicast address either option
/// of the asking socket stands for both.
fn may_share(v: &View<'_>, t: &Socket, multicast: bool) -> Result<bool, Missing> {
    let socket = v.socket();
    let (mine, theirs) = (&socket.options, &t.options);
    let (addr, port) = (known(mine.reuseaddr, socket)?, known(mine.reuseport, socket)?);
    let (their_addr, their_port) = (known(theirs.reuseaddr, t)?, known(theirs.reuseport, t)?);
    Ok(port && their_port || multicast && (addr || port) && (their_addr || their_port))
}
