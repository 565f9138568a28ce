//! TCP: `__inet_lookup` and `inet6_lookup`.

use core::net::IpAddr;

use super::{
    CONNECTED, Listening, NOBODY, SPECIFIC, WILDCARD,
    scan::{Candidate, scan},
};
use crate::{
    Choice, Family, Found, Missing, Receivers, Socket, State, linux::LOOKUP_PREFERS_DEVICE,
    lookup::plain,
};

pub(super) fn lookup(asked: &Listening<'_>) -> Result<Found, Missing> {
    if let Some(socket) = connected(asked)? {
        return Ok(Found { to: Receivers::One(socket.id), by: &CONNECTED });
    }
    asked.steered()?;
    let dst = plain(asked.packet.dst.ip());
    let any = match dst {
        IpAddr::V4(_) => Family::Inet.unspecified(),
        IpAddr::V6(_) => Family::Inet6.unspecified(),
    };
    for (at, by) in [(dst, &SPECIFIC), (any, &WILDCARD)] {
        if let Some(found) = listener(asked, at, by)? {
            return Ok(found);
        }
    }
    Ok(Found { to: Receivers::Nobody, by: &NOBODY })
}

/// The socket of a connection between the two ends of the packet.
fn connected<'a>(asked: &Listening<'a>) -> Result<Option<&'a Socket>, Missing> {
    let (src, dst) = (asked.packet.src, asked.packet.dst);
    let ends = |s: &Socket| {
        s.remote.is_some_and(|r| r.port() == src.port() && plain(r.ip()) == plain(src.ip()))
            && plain(s.ip) == plain(dst.ip())
    };
    for socket in asked.of_protocol().filter(|s| s.state != State::Listen && ends(s)) {
        if asked.on_device(socket)? {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

/// The listener of the list of one address.
fn listener(
    asked: &Listening<'_>,
    at: IpAddr,
    by: &'static Choice,
) -> Result<Option<Found>, Missing> {
    let mut candidates = alloc::vec::Vec::new();
    for socket in asked.of_protocol().filter(|s| s.state == State::Listen) {
        if let Some(score) = score(asked, socket, at)? {
            candidates.push(Candidate { socket, score });
        }
    }
    let best = scan(candidates, asked.sockets, &[])?;
    Ok(best.map(|best| Found { to: best.to, by }))
}

/// `compute_score`: `None` if the socket does not fit.
fn score(asked: &Listening<'_>, socket: &Socket, at: IpAddr) -> Result<Option<u8>, Missing> {
    let fits = match at {
        IpAddr::V4(_) => !socket.v6only && filed_at_v4(socket.ip, at),
        IpAddr::V6(_) => socket.family == Family::Inet6 && socket.ip == at,
    };
    if !fits || !asked.on_device(socket)? {
        return Ok(None);
    }
    let own_family = at.is_ipv4() && socket.family == Family::Inet;
    let device = socket.device != 0 && super::has(asked.host, &LOOKUP_PREFERS_DEVICE)?;
    Ok(Some(1 + u8::from(device) + u8::from(own_family)))
}

/// Whether a socket is looked for under the IPv4 address `at`: the wildcard of IPv6 is under
/// `0.0.0.0`.
pub(super) fn filed_at_v4(ip: IpAddr, at: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V6(v6) => v6.is_unspecified() && at == Family::Inet.unspecified(),
        v4 => v4 == at,
    }
}
