//! The scan of one list of candidates, the same for both protocols: `inet_lhash2_lookup`,
//! `udp4_lib_lookup2` and their twins of IPv6.

use alloc::vec::Vec;

use super::group::{self, Group};
use crate::{Missing, Receivers, Socket, SocketId, State};

/// A socket that could get the packet, and how well it fits.
pub(super) struct Candidate<'a> {
    pub(super) socket: &'a Socket,
    pub(super) score: u8,
}

/// What a scan came to.
pub(super) struct Best<'a> {
    /// The socket that was met, or the first of its group.
    pub(super) socket: &'a Socket,
    /// Who gets the packet.
    pub(super) to: Receivers,
}

/// Walks `candidates` from the newest on. A better score wins; equals stay behind the one met
/// first. The first of a group that is better than what was met so far ends the walk, though a
/// better one may stand behind it.
pub(super) fn scan<'a>(
    mut candidates: Vec<Candidate<'a>>,
    on_port: &'a [Socket],
    groups_with_connections: &[u64],
) -> Result<Option<Best<'a>>, Missing> {
    crate::sort::sort_by_key(&mut candidates, |c| core::cmp::Reverse(c.socket.filed));
    // One candidate gets it whatever its options are, unless it stands for a group.
    if let [only] = candidates.as_slice()
        && group::stands_alone(only.socket, on_port)
    {
        return Ok(Some(one(only.socket)));
    }
    let mut best: Option<(Best<'a>, u8)> = None;
    for Candidate { socket, score } in candidates {
        if best.as_ref().is_some_and(|(_, least)| score <= *least) {
            continue;
        }
        // A connected socket is taken by itself, whatever group it is in.
        let group = match socket.state {
            State::Established => None,
            _ => group::of(socket, on_port)?,
        };
        best = match group {
            None => Some((one(socket), score)),
            Some(Group { id, members }) => {
                let found = Best { socket, to: one_of(members) };
                if id.is_none_or(|id| !groups_with_connections.contains(&id)) {
                    return Ok(Some(found));
                }
                Some((found, score))
            }
        };
    }
    Ok(best.map(|(found, _)| found))
}

fn one(socket: &Socket) -> Best<'_> {
    Best { socket, to: Receivers::One(socket.id) }
}

fn one_of(members: Vec<SocketId>) -> Receivers {
    match members.as_slice() {
        [only] => Receivers::One(*only),
        _ => Receivers::OneOf(members),
    }
}
