//! UDP: `__udp4_lib_lookup`, `__udp6_lib_lookup`, and delivery to everybody.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::{
    CONNECTED, EVERYBODY, Listening, NOBODY, SPECIFIC, WILDCARD,
    scan::{Candidate, scan},
    tcp::filed_at_v4,
};
use crate::{
    FactKey, Family, Found, Membership, Missing, Receivers, Socket, State,
    linux::{LOOKUP_PREFERS_DEVICE, LOOKUP_UDP_CONNECTIONS},
    lookup::plain,
};

pub(super) fn lookup(asked: &Listening<'_>) -> Result<Found, Missing> {
    if asked.packet.is_for_all() {
        return everybody(asked);
    }
    let dst = plain(asked.packet.dst.ip());
    let any = match dst {
        IpAddr::V4(_) => Family::Inet.unspecified(),
        IpAddr::V6(_) => Family::Inet6.unspecified(),
    };
    if let Some(socket) = connected(asked, dst)? {
        return Ok(Found { to: Receivers::One(socket.id), by: &CONNECTED });
    }
    let groups = &asked.host.sockets.groups_with_connections;
    let first = scan(candidates(asked, dst)?, asked.sockets, groups)?;
    if let Some(best) = &first
        && best.socket.state == State::Established
    {
        return Ok(Found { to: best.to.clone(), by: &CONNECTED });
    }
    asked.steered()?;
    if let Some(best) = first {
        return Ok(Found { to: best.to, by: &SPECIFIC });
    }
    match scan(candidates(asked, any)?, asked.sockets, groups)? {
        Some(best) => Ok(Found { to: best.to, by: &WILDCARD }),
        None => Ok(Found { to: Receivers::Nobody, by: &NOBODY }),
    }
}

/// The socket of a connection between the two ends of the packet, the newest if there are several.
/// Only those that were seen to be connected have a place there.
fn connected<'a>(asked: &Listening<'a>, dst: IpAddr) -> Result<Option<&'a Socket>, Missing> {
    let between =
        |s: &&Socket| s.met != 0 && s.remote.is_some() && plain(s.ip) == dst && hears(asked, s);
    let mut best: Option<&Socket> = None;
    for socket in asked.of_protocol().filter(between) {
        if best.is_none_or(|b| socket.met > b.met)
            && asked.on_device(socket)?
            && super::has(asked.host, &LOOKUP_UDP_CONNECTIONS)?
        {
            best = Some(socket);
        }
    }
    Ok(best)
}

/// The sockets of the list of one address that fit, with their scores.
fn candidates<'a>(asked: &Listening<'a>, at: IpAddr) -> Result<Vec<Candidate<'a>>, Missing> {
    let mut candidates = Vec::new();
    for socket in asked.of_protocol() {
        if let Some(score) = score(asked, socket, at)? {
            candidates.push(Candidate { socket, score });
        }
    }
    Ok(candidates)
}

/// `compute_score`: `None` if the socket does not fit.
fn score(asked: &Listening<'_>, socket: &Socket, at: IpAddr) -> Result<Option<u8>, Missing> {
    let v4 = at.is_ipv4();
    let fits = match v4 {
        true => !socket.v6only && filed_at_v4(socket.ip, at),
        false => socket.family == Family::Inet6 && socket.ip == at,
    };
    if !fits || !hears(asked, socket) || !asked.on_device(socket)? {
        return Ok(None);
    }
    let device = socket.device != 0 && super::has(asked.host, &LOOKUP_PREFERS_DEVICE)?;
    let connected = socket.remote.is_some();
    // The address of a connection that was taken apart is compared as before, the port is not.
    let near = !v4 && socket.heard.is_some();
    Ok(Some(match v4 {
        true => {
            let family = if socket.family == Family::Inet { 2 } else { 1 };
            family + 4 * u8::from(device) + 8 * u8::from(connected)
        }
        false => 1 + u8::from(device) + 2 * u8::from(connected) + u8::from(near),
    }))
}

/// Whether a socket is not connected to somebody else.
fn hears(asked: &Listening<'_>, socket: &Socket) -> bool {
    let src = asked.packet.src;
    let from =
        |r: core::net::SocketAddr| r.port() == src.port() && plain(r.ip()) == plain(src.ip());
    let heard = |ip: IpAddr| src.is_ipv4() || ip == src.ip();
    socket.remote.is_none_or(from) && socket.heard.is_none_or(heard)
}

fn joined(socket: &Socket) -> Missing {
    Missing::new(
        FactKey::SocketOptions(socket.id),
        "whether the IPv6 socket joined the IPv4 group is not shown",
        "try it",
    )
}

/// Groups of `SO_REUSEPORT` do not matter here.
fn everybody(asked: &Listening<'_>) -> Result<Found, Missing> {
    let dst = plain(asked.packet.dst.ip());
    let mut fitting = Vec::new();
    for socket in asked.of_protocol().filter(|s| hears(asked, s)) {
        let ip = plain(socket.ip);
        // A group of IPv4 reaches an IPv6 socket only if that joined it, which nothing shows.
        if dst.is_ipv4() && dst.is_multicast() && socket.family == Family::Inet6 {
            match socket.group {
                Membership::Unseen if !socket.v6only => return Err(joined(socket)),
                _ => continue,
            }
        }
        let family = match dst {
            IpAddr::V4(_) => !socket.v6only && (ip.is_ipv4() || ip.is_unspecified()),
            IpAddr::V6(_) => socket.family == Family::Inet6 && ip.is_ipv6(),
        };
        if family && (ip.is_unspecified() || ip == dst) && asked.on_device(socket)? {
            fitting.push(socket);
        }
    }
    crate::sort::sort_by_key(&mut fitting, |s| core::cmp::Reverse(s.filed));
    let ids: Vec<_> = fitting.into_iter().map(|s| s.id).collect();
    let to = if ids.is_empty() { Receivers::Nobody } else { Receivers::All(ids) };
    Ok(Found { to, by: &EVERYBODY })
}
