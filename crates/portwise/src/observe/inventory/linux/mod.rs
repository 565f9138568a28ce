//! The inventory of a running Linux.

mod cgroup;
mod describe;
mod forward;
pub(in crate::observe) mod holders;
mod in_flight;
mod kernel;
mod list;
mod netns;
mod supervisor;
mod systemd;

pub(super) use describe::describe;
pub(super) use netns::within;

use std::collections::HashSet;

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
    let forks = if query.holders { proc.last_pid().ok() } else { None };
    let own = netns::own();
    match &query.namespaces {
        Namespaces::Own => add(&mut inventory, own.clone(), list::list(query, own.inode))?,
        Namespaces::One(name) => {
            let (namespace, listed) = netns::one(name, &own, |inode| list::list(query, inode))?;
            add(&mut inventory, namespace, listed)?;
        }
        Namespaces::All => {
            let (others, unseen) = netns::others(&proc, &own, query.holders && !query.no_bpf);
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
        find_holders(&proc, query, &mut inventory, forks);
    }
    Ok(inventory)
}

/// The namespaces beside that of the calling thread.
pub(super) fn other_namespaces() -> (Vec<Namespace>, u32) {
    let own = netns::own();
    let (mut all, unseen) = netns::others(&Proc::default(), &own, true);
    all.retain(|namespace| namespace.inode != own.inode);
    (all, unseen)
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
    // The port first: it decides nearly always.
    let key = |s: &Socket| (s.port, s.netns, s.transport, s.family, s.device, s.ip);
    let is_tcp = |s: &Socket| matches!(s.transport, Transport::Tcp | Transport::Mptcp);
    let mut listeners: Vec<usize> = (0..sockets.len())
        .filter(|&at| sockets[at].state == super::State::Listen && is_tcp(&sockets[at]))
        .collect();
    listeners.sort_unstable_by_key(|&at| key(&sockets[at]));
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

fn is_lost(socket: &Socket) -> bool {
    socket.no_holder == Some(NoHolder::NotFound)
}

/// Finds the holders. A socket may be handed to a new process where the search has already been;
/// so what was not found is looked for again in the processes that were started meanwhile, after
/// `last`.
fn find_holders(proc: &Proc, query: &Query, inventory: &mut Inventory, mut last: Option<u32>) {
    const ATTEMPTS: usize = 4;
    holders::find(proc, query, inventory);
    for _ in 0..ATTEMPTS {
        drop_ended(query, inventory);
        kernel::tell(inventory);
        let now = proc.last_pid().ok();
        let (Some(before), Some(after)) = (last, now) else { return };
        if before == after || !inventory.sockets.iter().any(is_lost) {
            return;
        }
        holders::find_in_new(proc, inventory, |pid| match before < after {
            true => before < pid && pid <= after,
            // The numbers have begun anew.
            false => before < pid || pid <= after,
        });
        last = now;
    }
}

/// Drops the sockets that nobody was found to hold because they were closed meanwhile.
fn drop_ended(query: &Query, inventory: &mut Inventory) {
    for namespace in &inventory.namespaces {
        let here = |s: &&Socket| s.netns == namespace.inode && is_lost(s);
        let mut lost = inventory.sockets.iter().filter(here);
        let Some(first) = lost.next() else { continue };
        let is_one_port = lost.all(|socket| socket.port == first.port) && first.port != 0;
        let again = Query { port: is_one_port.then_some(first.port), ..query.clone() };
        let look = || list::list(&again, namespace.inode);
        let listed = if namespace.own { look() } else { within(namespace, look).flatten() };
        // What cannot be looked at again stays.
        let Ok(listed) = listed else { continue };
        let there: HashSet<u64> = listed.sockets.iter().map(|socket| socket.cookie).collect();
        let inode = namespace.inode;
        let is_there = |s: &Socket| s.netns != inode || !is_lost(s) || there.contains(&s.cookie);
        inventory.sockets.retain(is_there);
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
