//! The inventory of a running Linux.

mod cgroup;
mod describe;
mod forward;
pub(in crate::observe) mod holders;
mod in_flight;
mod list;
mod netns;
mod supervisor;
mod systemd;

pub(super) use describe::describe;
pub(super) use netns::within;

use portwise_sys::{Errno, Error, proc::Proc};

use super::{Inventory, Namespace, Namespaces, NoHolder, Query, Socket, Transport};
use crate::Trouble;

/// The sockets of one namespace, and the protocols that could not be listed.
struct Listed {
    sockets: Vec<Socket>,
    failed: Vec<(Transport, String)>,
}

pub(super) fn take(query: &Query) -> Result<Inventory, Trouble> {
    let proc = Proc::default();
    let mut inventory = Inventory::default();
    inventory.unseen.bound_tcp = !list::shows_bound()
        && query.transports.iter().any(|t| matches!(t, Transport::Tcp | Transport::Mptcp));
    let own = netns::own();
    match &query.namespaces {
        Namespaces::Own => add(&mut inventory, own.clone(), list::list(query, own.inode))?,
        Namespaces::One(name) => {
            let (namespace, listed) = netns::one(name, &own, |inode| list::list(query, inode))?;
            add(&mut inventory, namespace, listed)?;
        }
        Namespaces::All => {
            let (others, unseen) = netns::others(&proc, &own);
            inventory.unseen.namespaces = unseen;
            add(&mut inventory, own.counted(&others), list::list(query, own.inode))?;
            for mut other in others.into_iter().filter(|n| n.inode != own.inode) {
                match netns::within(&other, || list::list(query, other.inode)) {
                    Ok(Ok(listed)) => put(&mut inventory, listed),
                    // It is gone meanwhile; a name without a namespace gives EINVAL.
                    Err(Error { errno: Errno::ENOENT | Errno::ESRCH | Errno::EINVAL, .. }) => {
                        continue;
                    }
                    Ok(Err(error)) | Err(error) => other.closed = Some(error.to_string()),
                }
                inventory.namespaces.push(other);
            }
        }
    }
    group(&mut inventory.sockets);
    if query.holders {
        holders::find(&proc, query, &mut inventory);
    }
    Ok(inventory)
}

/// Adds the namespace that the question is about.
fn add(
    inventory: &mut Inventory,
    namespace: Namespace,
    listed: Result<Listed, Error>,
) -> Result<(), Trouble> {
    let listed = listed.map_err(|e| Trouble::new(format!("the sockets cannot be listed: {e}")))?;
    put(inventory, listed);
    inventory.namespaces.push(namespace);
    Ok(())
}

fn put(inventory: &mut Inventory, listed: Listed) {
    inventory.sockets.extend(listed.sockets);
    for (transport, why) in listed.failed {
        if !inventory.unseen.transports.iter().any(|(known, _)| *known == transport) {
            inventory.unseen.transports.push((transport, why));
        }
    }
}

/// Marks the listeners of TCP that share address and port: only `SO_REUSEPORT` lets them.
fn group(sockets: &mut [Socket]) {
    let key = |s: &Socket| (s.netns, s.transport, s.family, s.port, s.device, s.ip);
    let is_tcp = |s: &Socket| matches!(s.transport, Transport::Tcp | Transport::Mptcp);
    let mut listeners: Vec<usize> = (0..sockets.len())
        .filter(|&at| sockets[at].state == super::State::Listen && is_tcp(&sockets[at]))
        .collect();
    listeners.sort_by_key(|&at| key(&sockets[at]));
    let (mut next, mut before) = (0, None::<usize>);
    for at in listeners {
        if let Some(before) = before
            && key(&sockets[before]) == key(&sockets[at])
        {
            next += u32::from(sockets[before].group.is_none());
            for member in [before, at] {
                sockets[member].group = Some(next);
                sockets[member].reuseport = Some(true);
            }
        }
        before = Some(at);
    }
}

/// Why a socket has no holder, before anybody has looked.
fn unsought(socket: &Socket) -> NoHolder {
    use super::State::{CloseWait, Established, SynRecv};
    match socket.state {
        _ if socket.inode.is_some() => NoHolder::NotAsked,
        Established | SynRecv | CloseWait => NoHolder::NotAccepted,
        _ => NoHolder::Closed,
    }
}
