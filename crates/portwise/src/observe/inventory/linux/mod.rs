//! The inventory of a running Linux.

mod bound;
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
pub(in crate::observe) mod way;

pub(super) use describe::describe;
pub(super) use netns::{number, within, within_each};

use std::{
    collections::{HashMap, HashSet},
    thread,
};

use portwise_sys::{
    Errno, Error,
    bpf::task_file::Walk,
    proc::{Load, Proc},
    sockdiag::DiagSocket,
};

use bound::Tally;
use way::Way;

use super::{Inventory, Namespace, Namespaces, NoHolder, Path, Query, Socket, States, Transport};
use crate::Trouble;

/// The sockets of one namespace, and the protocols that could not be listed.
#[derive(Default)]
struct Listed {
    sockets: Vec<Socket>,
    failed: Vec<(Transport, String)>,
}

/// What is known of the sockets in question, and what is to be known of others.
pub(in crate::observe) struct Known<'a> {
    /// Those of TCP and UDP in the own namespace, if they were just listed, and others perhaps.
    pub own: Option<&'a [DiagSocket]>,
    /// The states to ask for in other namespaces.
    pub elsewhere: States,
}

pub(super) fn take(query: &Query) -> Result<Inventory, Trouble> {
    take_with(query, &Known { own: None, elsewhere: query.states })
}

/// Looks for sockets and their holders, but those that are known.
///
/// # Errors
/// Those of [`super::take`].
pub(in crate::observe) fn take_with(query: &Query, known: &Known) -> Result<Inventory, Trouble> {
    let proc = Proc::default();
    let mut inventory = Inventory::default();
    inventory.unseen.bound_tcp = !list::shows_bound()
        && query.transports.iter().any(|t| matches!(t, Transport::Tcp | Transport::Mptcp));
    let load = proc.load().ok();
    let way = Way::of(&proc, query, load);
    let own = netns::own();
    let mut ahead = Ahead::default();
    match &query.namespaces {
        Namespaces::Own => {
            add(&mut inventory, own.clone(), list::list(query, own.inode, known.own))?
        }
        Namespaces::One(name) => {
            let (namespace, listed) =
                netns::one(name, &own, |inode| list::list(query, inode, None))?;
            add(&mut inventory, namespace, listed)?;
        }
        Namespaces::All => ahead = everywhere(&proc, query, known, &way, &mut inventory)?,
    }
    group(&mut inventory.sockets);
    if query.holders {
        find_holders(&proc, query, &mut inventory, way, ahead, load);
    }
    Ok(inventory)
}

/// What was found out or made ready while the own namespace was listed.
#[derive(Default)]
struct Ahead {
    around: netns::Others,
    /// The walk over open files.
    walk: Option<Walk>,
}

/// Lists the sockets of every namespace.
fn everywhere(
    proc: &Proc,
    query: &Query,
    known: &Known,
    way: &Way,
    inventory: &mut Inventory,
) -> Result<Ahead, Trouble> {
    let own = netns::own();
    let mut tally = Tally::begin(proc, query, known);
    let idle = tally.idle(query);
    let by_bpf = matches!(way, Way::Bpf);
    let look_here = || {
        let in_use = bound::in_use();
        (list::list_with(query, own.inode, known.own, idle, in_use), in_use)
    };
    let look_around = || Ahead {
        around: netns::others(proc, &own, by_bpf),
        walk: if by_bpf && query.holders { holders::ready(query) } else { None },
    };
    let (mut ahead, (listed, in_use)) = match by_bpf {
        true => thread::scope(|scope| {
            let around = scope.spawn(look_around);
            let here = look_here();
            (around.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), here)
        }),
        false => (look_around(), look_here()),
    };
    tally.add(in_use);
    let others = std::mem::take(&mut ahead.around.namespaces);
    inventory.unseen.namespaces = ahead.around.unseen;
    add(inventory, own.counted(&others), listed)?;
    let there = Query { states: known.elsewhere, ..query.clone() };
    let idle = tally.idle(&there);
    let others: Vec<Namespace> = others.into_iter().filter(|n| n.inode != own.inode).collect();
    let look = |other: &Namespace| {
        let in_use = bound::in_use();
        (list::list_part(&there, other.inode, idle, in_use), in_use)
    };
    let looked = within_each(&others.iter().collect::<Vec<_>>(), look);
    for (mut other, looked) in others.into_iter().zip(looked) {
        match looked {
            Ok((Ok(listed), in_use)) => {
                put(inventory, listed);
                tally.add(in_use);
            }
            // It is gone meanwhile; a name without a namespace gives EINVAL.
            Err(Error { errno: Errno::ENOENT | Errno::ESRCH | Errno::EINVAL, .. }) => continue,
            Ok((Err(error), _)) | Err(error) => other.closed = Some(error.to_string()),
        }
        inventory.namespaces.push(other);
    }
    let left = tally.left_out(proc, &inventory.namespaces);
    bound::add_idle(query, &there, left, inventory);
    Ok(ahead)
}

/// The namespaces beside that of the calling thread.
pub(super) fn other_namespaces() -> (Vec<Namespace>, u32) {
    let own = netns::own();
    let proc = Proc::default();
    let by_bpf = way::has_many(proc.load().ok()) && holders::may_use_bpf().is_ok();
    let mut others = netns::others(&proc, &own, by_bpf);
    others.namespaces.retain(|namespace| namespace.inode != own.inode);
    (others.namespaces, others.unseen)
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
    list::append(&mut inventory.sockets, listed.sockets);
    for (transport, why) in listed.failed {
        if !inventory.unseen.transports.iter().any(|(known, _)| *known == transport) {
            inventory.unseen.transports.push((transport, why));
        }
    }
}

/// Marks the listeners of TCP that share address and port: only `SO_REUSEPORT` lets them.
fn group(sockets: &mut [Socket]) {
    let is_tcp = |s: &Socket| matches!(s.transport, Transport::Tcp | Transport::Mptcp);
    let is_meant = |s: &&Socket| s.state == super::State::Listen && is_tcp(s);
    // Nearly all are alone on their port.
    let mut count = vec![0u8; 1 << 16];
    for socket in sockets.iter().filter(is_meant) {
        let count = &mut count[usize::from(socket.port)];
        *count = count.saturating_add(1);
    }
    let mut listeners: Vec<(u16, u32)> = (0u32..)
        .zip(&*sockets)
        .filter(|(_, socket)| is_meant(socket) && count[usize::from(socket.port)] > 1)
        .map(|(at, socket)| (socket.port, at))
        .collect();
    listeners.sort_unstable();
    let mut next = 0;
    for of_port in listeners.chunk_by_mut(|a, b| a.0 == b.0) {
        let key = |at: u32| {
            let s = &sockets[at as usize];
            (s.netns, s.transport, s.family, s.device, s.ip)
        };
        of_port.sort_by_key(|&(_, at)| key(at));
        let same: Vec<&[(u16, u32)]> = of_port.chunk_by(|a, b| key(a.1) == key(b.1)).collect();
        for members in same.into_iter().filter(|members| members.len() > 1) {
            next += 1;
            for (_, at) in members {
                sockets[*at as usize].group = Some(next);
                sockets[*at as usize].reuseport = Some(true);
            }
        }
    }
}

fn is_lost(socket: &Socket) -> bool {
    socket.no_holder == Some(NoHolder::NotFound)
}

/// Finds the holders. A socket may be handed to a new process where the search has already been;
/// so what was not found is looked for again in the processes that were started meanwhile, after
/// those there were at first.
fn find_holders(
    proc: &Proc,
    query: &Query,
    inventory: &mut Inventory,
    way: Way,
    ahead: Ahead,
    load: Option<Load>,
) {
    const ATTEMPTS: usize = 4;
    let may_use_bpf = way.may_use_bpf();
    let mut last = load.map(|load| load.last_pid);
    holders::find(proc, query, inventory, way, ahead.walk);
    for attempt in 0..ATTEMPTS {
        if !inventory.sockets.iter().any(is_lost) {
            return;
        }
        look_again(query, inventory, attempt == 0 && may_use_bpf);
        let now = proc.last_pid().ok();
        let (Some(before), Some(after)) = (last, now) else { break };
        if before == after || !holders::find_in_new(proc, inventory, before, after) {
            break;
        }
        last = now;
    }
    look_for_unseen(proc, inventory, ahead.around.hidden);
}

/// A security module may hide processes from BPF programs: whether one that is hidden so may be
/// looked into in `/proc` decides how sure it is that nobody was found. `hidden` are those that are,
/// if that is known.
fn look_for_unseen(proc: &Proc, inventory: &mut Inventory, hidden: Option<Vec<u32>>) {
    if inventory.path != Path::Bpf || !inventory.sockets.iter().any(is_lost) {
        return;
    }
    let hidden = hidden.unwrap_or_else(|| netns::hidden_from_bpf(proc));
    let refused = proc.holders_among(&HashSet::new(), hidden).map_or(0, |found| found.hidden);
    if refused > 0 {
        inventory.unseen.processes = refused;
        let lost = inventory.sockets.iter_mut().filter(|socket| is_lost(socket));
        lost.for_each(|socket| socket.no_holder = Some(NoHolder::Unseen));
    }
}

/// Drops the sockets that nobody was found to hold because they were closed meanwhile, and tells
/// which of the others are the kernel's, if that is to be asked.
fn look_again(query: &Query, inventory: &mut Inventory, ask_kernel: bool) {
    for namespace in &inventory.namespaces {
        let inode = namespace.inode;
        let here = |s: &&Socket| s.netns == inode && is_lost(s);
        let lost: Vec<&Socket> = inventory.sockets.iter().filter(here).collect();
        if lost.is_empty() {
            continue;
        }
        let look = || {
            let uses = if ask_kernel { kernel::uses(&lost) } else { HashMap::new() };
            still_there(query, inode, &lost).map(|there| (there, uses))
        };
        let seen = if namespace.own { look() } else { within(namespace, look).flatten() };
        // What cannot be looked at again stays.
        let Ok((there, uses)) = seen else { continue };
        inventory.sockets.retain_mut(|socket| {
            if socket.netns != inode || !is_lost(socket) {
                return true;
            }
            if let Some(known) = uses.get(&socket.cookie) {
                socket.no_holder = Some(NoHolder::Kernel(*known));
            }
            there.contains(&socket.cookie)
        });
    }
}

/// The cookies of those sockets that are still there.
fn still_there(query: &Query, netns: u64, lost: &[&Socket]) -> Result<HashSet<u64>, Error> {
    // Looking for one takes microseconds, listing all takes milliseconds.
    const FEW: usize = 64;
    let mut there = if lost.len() <= FEW { list::there(lost)? } else { HashSet::new() };
    let rest: Vec<_> = lost.iter().filter(|socket| !there.contains(&socket.cookie)).collect();
    let Some(first) = rest.first() else { return Ok(there) };
    let is_one_port = rest.iter().all(|socket| socket.port == first.port) && first.port != 0;
    let mut transports: Vec<Transport> = rest.iter().map(|socket| socket.transport).collect();
    transports.sort_unstable();
    transports.dedup();
    let port = is_one_port.then_some(first.port);
    let listed = list::list(&Query { transports, port, ..query.clone() }, netns, None)?;
    there.extend(listed.sockets.iter().map(|socket| socket.cookie));
    Ok(there)
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
