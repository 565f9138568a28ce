//! Groups of sockets that share a port by `SO_REUSEPORT`, read beside
//! `net/core/sock_reuseport.c`.

use alloc::vec::Vec;

use super::super::conflict::{addresses_meet, options_unknown};
use crate::{Host, Membership, Missing, Protocol, Socket, SocketId, State};

/// The members of a group that may be chosen.
pub(super) struct Group {
    /// Its number, if it was seen coming into being.
    pub(super) id: Option<u64>,
    /// Those that are not connected.
    pub(super) members: Vec<SocketId>,
}

/// Returns the group that is asked in place of `socket`: none if the socket has no
/// `SO_REUSEPORT` (any more), or if every member is connected.
pub(super) fn of(socket: &Socket, on_port: &[Socket]) -> Result<Option<Group>, Missing> {
    if !socket.options.reuseport.ok_or_else(|| options_unknown(socket))? {
        return Ok(None);
    }
    let free = |s: &&Socket| s.state != State::Established;
    let mut members = Vec::new();
    let id = match socket.group {
        Membership::None => return Ok(None),
        Membership::Group(id) => {
            members.extend(on_port.iter().filter(|s| s.group == socket.group).filter(free));
            Some(id)
        }
        // Of sockets that were only observed: those that would have come together.
        Membership::Unseen => {
            for other in on_port.iter().filter(|s| could_join(socket, s)).filter(free) {
                if other.options.reuseport.ok_or_else(|| options_unknown(other))? {
                    members.push(other);
                }
            }
            None
        }
    };
    let members: Vec<SocketId> = members.into_iter().map(|s| s.id).collect();
    Ok((!members.is_empty()).then_some(Group { id, members }))
}

/// Whether `socket` gets what it is chosen for, whatever its options are.
pub(super) fn stands_alone(socket: &Socket, on_port: &[Socket]) -> bool {
    match socket.group {
        Membership::None => true,
        Membership::Group(_) => {
            !on_port.iter().any(|s| s.id != socket.id && s.group == socket.group)
        }
        Membership::Unseen => !on_port.iter().any(|s| s.id != socket.id && could_join(socket, s)),
    }
}

/// Whether `other`, on the same port, would be in one group with `socket` if both have
/// `SO_REUSEPORT`.
fn could_join(socket: &Socket, other: &Socket) -> bool {
    let takes_packets = |s: &Socket| match s.protocol {
        Protocol::Tcp => s.state == State::Listen,
        Protocol::Udp => true,
    };
    takes_packets(other)
        && other.protocol == socket.protocol
        && other.family == socket.family
        && other.v6only == socket.v6only
        && other.device == socket.device
        && (other.uid.is_none() || other.uid == socket.uid)
        && addresses_meet(socket, other, false, false)
}

/// Returns the group that `socket` joins when it takes its port, founding one if there is none
/// that fits.
pub(in crate::linux) fn join(host: &mut Host, socket: &Socket) -> Membership {
    if socket.options.reuseport != Some(true) {
        return Membership::None;
    }
    let on_port = host.sockets.on(socket.port).unwrap_or(&[]);
    let fits = on_port.iter().filter(|s| s.id != socket.id && s.options.reuseport == Some(true));
    let mut fits = fits.filter(|s| could_join(socket, s) && s.uid == socket.uid);
    match fits.next().map(|s| (s.group, s.id)) {
        Some((Membership::Group(id), _)) => Membership::Group(id),
        // It was bound before it had the option: it founds the group now.
        Some((Membership::None, other)) => {
            let founded = Membership::Group(host.sockets.new_group());
            if let Some(other) = host.sockets.get_mut(socket.port, other) {
                other.group = founded;
            }
            founded
        }
        Some((Membership::Unseen, _)) => Membership::Unseen,
        None => Membership::Group(host.sockets.new_group()),
    }
}

/// Takes `socket` out of its group.
pub(in crate::linux) fn leave(socket: &Socket) -> Socket {
    Socket { group: Membership::None, ..*socket }
}
