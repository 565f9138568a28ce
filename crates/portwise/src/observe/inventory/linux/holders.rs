//! Which processes hold sockets: by a BPF program that walks over all open files where that may
//! be done, else by reading `/proc/PID/fd` of each process.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use portwise_model::Family;
use portwise_sys::{
    Errno, Error,
    bpf::task_file::{self, Filter, Walk},
    caps,
    ns::{self, Kind},
    proc::{self, Proc},
    unix,
};

use super::{in_flight, way::Way};

use crate::observe::inventory::{
    Holder, How, Inventory, Namespace, Namespaces, NoHolder, Path, Query, Socket, States, Transport,
};

/// The inodes of the initial pid and time namespaces (`PROC_PID_INIT_INO`, `PROC_TIME_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;
const INITIAL_TIME_NAMESPACE: u64 = 0xefff_fffa;

/// Nanoseconds of a clock tick, which every system has a hundred a second of
/// (`sysconf(_SC_CLK_TCK)`).
const TICK: u64 = 10_000_000;

/// What is sought, by inode.
pub(in crate::observe) type Inodes = HashMap<u64, Sought, BuildHasherDefault<InodeHasher>>;

/// A socket whose holders are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::observe) struct Sought {
    /// Its cookie; 0 fits any.
    pub cookie: u64,
    /// Which one it is among those of who looks.
    pub at: u32,
}

/// The kernel counts inodes up, so nothing better is needed to spread them.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::observe) struct InodeHasher(u64);

impl Hasher for InodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let wide = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (wide >> 64 ^ wide) as u64;
    }
}

/// The sockets whose holders are looked for.
pub(in crate::observe) struct Wanted {
    /// Each of them.
    pub sockets: Inodes,
    /// What they have in common, for the walk within the kernel.
    pub filter: Filter,
    /// One holder of each is enough.
    pub one_is_enough: bool,
}

/// A descriptor of a wanted socket.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe) struct Hold {
    /// The socket.
    pub inode: u64,
    /// Who holds it.
    pub holder: Holder,
    /// What the kernel was seen to know of it; not in `/proc`.
    pub options: Option<Options>,
}

/// Options of a socket, and its group, 0 if it is in none.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe) struct Options {
    pub reuseaddr: bool,
    pub reuseport: bool,
    pub v6only: bool,
    pub group: u64,
}

/// What a search came to.
#[derive(Debug, Default)]
pub(in crate::observe) struct Search {
    /// Every descriptor found, by pid.
    pub holds: Vec<Hold>,
    /// Processes that could not be looked into.
    pub hidden: u32,
    /// There may be processes that were not even counted.
    pub hidepid: bool,
    /// This is not the initial pid namespace.
    pub outside: bool,
    /// Which way it was done.
    pub path: Path,
    /// Why not in a better one.
    pub why_not_faster: Option<String>,
}

/// Finds every descriptor of the wanted sockets, those in flight too. `walk` is one over open files
/// that was made ready.
pub(in crate::observe) fn search(
    proc: &Proc,
    wanted: &Wanted,
    way: Way,
    walk: Option<Walk>,
) -> Search {
    let mut search = Search::default();
    if wanted.sockets.is_empty() {
        return search;
    }
    search.outside = is_outside();
    let found = match way {
        Way::Bpf => by_bpf(wanted, walk).map_err(|error| Some(refused(&error))),
        Way::Proc(why) => Err(why),
    };
    let carriers = match found {
        Ok((holds, carriers)) => {
            (search.path, search.holds) = (Path::Bpf, holds);
            carriers
        }
        Err(why) => {
            search.why_not_faster = why;
            by_proc(proc, wanted, &mut search)
        }
    };
    in_flight::find(&wanted.sockets, &carriers, &mut search.holds);
    search
}

/// Finds them in `/proc`, and returns who has Unix sockets with messages waiting.
fn by_proc(proc: &Proc, wanted: &Wanted, search: &mut Search) -> Vec<Hold> {
    search.path = Path::Proc;
    let carriers = unix::with_messages().unwrap_or_default();
    let inodes: HashSet<u64> = wanted.sockets.keys().copied().chain(carriers).collect();
    let found = match wanted.one_is_enough {
        true => proc.first_holders(&wanted.sockets.keys().copied().collect()),
        false => proc.holders(&inodes),
    };
    let Ok(found) = found else {
        search.hidepid = true;
        return Vec::new();
    };
    (search.hidden, search.hidepid) = (found.hidden, found.hidepid);
    let holds =
        found.found.iter().map(|h| Hold { inode: h.inode, holder: holder(h), options: None });
    let (holds, carriers) = holds.partition(|hold| wanted.sockets.contains_key(&hold.inode));
    search.holds = holds;
    carriers
}

/// Makes the walk ready before the sockets of all namespaces are known.
pub(super) fn ready(query: &Query) -> Option<Walk> {
    // A walk that finds more sockets is made ready again, which takes two milliseconds.
    const EXPECTED: usize = 12_000;
    Walk::new(&filter(query, None), EXPECTED).ok()
}

/// Finds them, and who has Unix sockets with messages waiting, by a walk within the kernel.
fn by_bpf(wanted: &Wanted, walk: Option<Walk>) -> Result<(Vec<Hold>, Vec<Hold>), Error> {
    let expected = wanted.sockets.len();
    let walk = match walk {
        Some(walk) => walk,
        None => Walk::new(&wanted.filter, expected)?,
    };
    let fits = |socket: &task_file::OpenSocket| {
        let cookie = wanted.sockets.get(&socket.inode).map(|sought| sought.cookie);
        // Two sockets may have had one inode, one after the other; never one cookie.
        cookie.is_some_and(|cookie| cookie == socket.cookie || cookie == 0 || socket.cookie == 0)
    };
    let (mut holds, mut carriers) = (Vec::with_capacity(expected), Vec::new());
    let mut has_groups = false;
    walk.run(expected, |socket| {
        if socket.is_unix {
            carriers.push(hold(&socket));
        } else if fits(&socket) {
            has_groups |= socket.group != 0;
            holds.push(hold(&socket));
        }
    })?;
    if has_groups {
        // Their numbers are not to depend on the way that the walk took.
        portwise_model::sort::sort_by_key(&mut holds, |hold| (hold.holder.pid, hold.holder.fd));
    }
    Ok((holds, carriers))
}

/// Whether this is another pid namespace than the initial one.
fn is_outside() -> bool {
    ns::own_id(Kind::Pid).is_ok_and(|id| id.inode != INITIAL_PID_NAMESPACE)
}

/// Says why no BPF program can look at processes, if it is plain.
pub(in crate::observe) fn may_use_bpf() -> Result<(), String> {
    if is_outside() {
        return Err("BPF numbers processes as the initial pid namespace does, not this one".into());
    }
    if ns::own_id(Kind::Time).is_ok_and(|id| id.inode != INITIAL_TIME_NAMESPACE) {
        return Err("this is not the initial time namespace".into());
    }
    let effective = caps::get(0).map_or(0, |sets| sets.effective);
    let has = |capability| effective & caps::bit(capability) != 0;
    if !(has(caps::SYS_ADMIN) || has(caps::BPF) && has(caps::PERFMON)) {
        return Err("BPF needs CAP_BPF and CAP_PERFMON, which root has".into());
    }
    Ok(())
}

fn hold(socket: &task_file::OpenSocket) -> Hold {
    Hold {
        inode: socket.inode,
        holder: Holder {
            pid: socket.pid,
            start: socket.start / TICK,
            fd: socket.fd,
            how: How::Open,
        },
        options: Some(Options {
            reuseaddr: socket.reuseaddr,
            reuseport: socket.reuseport,
            v6only: socket.v6only,
            group: socket.group,
        }),
    }
}

fn refused(error: &Error) -> String {
    match error.errno {
        Errno::ENOENT => format!("this kernel has no BTF: {error}"),
        Errno::EPERM => format!("this kernel does not let me load a BPF program: {error}"),
        _ => format!("the BPF program does not run on this kernel: {error}"),
    }
}

/// Finds the holders of the sockets of an inventory for which nobody has looked yet.
pub(super) fn find(
    proc: &Proc,
    query: &Query,
    inventory: &mut Inventory,
    way: Way,
    walk: Option<Walk>,
) {
    let (sockets, twins) = sought(&inventory.sockets);
    let filter = filter(query, inventory.namespaces.first());
    let wanted = Wanted { sockets, filter, one_is_enough: false };
    let way = if way == Way::Proc(None) && may_group(&inventory.sockets) { Way::Bpf } else { way };
    let search = search(proc, &wanted, way, walk);
    let unseen = &mut inventory.unseen;
    unseen.outside = search.outside && search.path != Path::None;
    (unseen.processes, unseen.hidepid) = (search.hidden, search.hidepid);
    (inventory.path, inventory.why_not_faster) = (search.path, search.why_not_faster);
    let mut groups: HashMap<u64, u32> = HashMap::new();
    let first = inventory.sockets.iter().filter_map(|s| s.group).max().map_or(0, |last| last + 1);
    for hold in &search.holds {
        let Some(sought) = wanted.sockets.get(&hold.inode) else { continue };
        let from = twins.partition_point(|(inode, _)| *inode < hold.inode);
        let further = twins[from..].iter().take_while(|(inode, _)| *inode == hold.inode);
        let is_one = further.clone().next().is_none();
        for at in further.map(|(_, at)| *at).chain([sought.at as usize]) {
            let socket = &mut inventory.sockets[at];
            if socket.holders.is_empty() {
                // Most have one, and there may be very many.
                socket.holders.reserve_exact(1);
            }
            socket.holders.push(hold.holder);
            socket.no_holder = None;
            // Those of a part of an MPTCP socket are not those of the whole.
            let Some(options) = hold.options.filter(|_| is_one) else {
                continue;
            };
            socket.reuseaddr = Some(options.reuseaddr);
            socket.reuseport = Some(options.reuseport);
            if socket.family == Family::Inet6 {
                socket.v6only = Some(options.v6only);
            }
            if options.group != 0 && socket.group.is_none() {
                let next = first + groups.len() as u32;
                socket.group = Some(*groups.entry(options.group).or_insert(next));
            }
        }
    }
    let hidden = inventory.unseen.hides_holders();
    for socket in &mut inventory.sockets {
        if socket.holders.len() > 1 {
            portwise_model::sort::sort_by_key(&mut socket.holders, |holder| holder.pid);
        }
        if socket.no_holder == Some(NoHolder::NotAsked) {
            let reason = if hidden { NoHolder::Unseen } else { NoHolder::NotFound };
            socket.no_holder = Some(reason);
        }
    }
}

/// Looks for the holders of sockets that nobody was found to hold in the processes that were
/// started after the one with the number `before`, up to `after`. Says whether there are any.
pub(super) fn find_in_new(proc: &Proc, inventory: &mut Inventory, before: u32, after: u32) -> bool {
    let new = new(proc, before, after);
    if new.is_empty() {
        return false;
    }
    let lost = |s: &&mut Socket| s.no_holder == Some(NoHolder::NotFound);
    let wanted: HashSet<u64> =
        inventory.sockets.iter_mut().filter(lost).filter_map(|s| s.inode).collect();
    let Ok(found) = proc.holders_among(&wanted, new) else { return true };
    for socket in inventory.sockets.iter_mut().filter(lost) {
        let of_it = found.found.iter().filter(|holder| Some(holder.inode) == socket.inode);
        socket.holders.extend(of_it.map(holder));
        if !socket.holders.is_empty() {
            socket.no_holder = None;
        }
    }
    true
}

/// The processes with the numbers that were given out last.
fn new(proc: &Proc, before: u32, after: u32) -> Vec<u32> {
    // To try so many numbers is faster than to list all processes.
    const FEW: u32 = 256;
    if before < after && after - before <= FEW {
        // Some of them are threads.
        let is_process = |pid: &u32| proc.status(*pid).is_ok_and(|status| status.tgid == *pid);
        return (before + 1..=after).filter(is_process).collect();
    }
    let is_new = |pid: &u32| match before < after {
        true => before < *pid && *pid <= after,
        // The numbers have begun anew.
        false => before < *pid || *pid <= after,
    };
    proc.pids().unwrap_or_default().into_iter().filter(is_new).collect()
}

fn holder(found: &proc::Holder) -> Holder {
    Holder { pid: found.pid, start: found.start, fd: found.fd, how: How::Open }
}

/// The sockets whose holders nobody has looked for, and by inode where further ones are with an
/// inode that another one has. An MPTCP socket and its first part have one inode, and the file is that of the
/// first: then any cookie fits.
fn sought(sockets: &[Socket]) -> (Inodes, Vec<(u64, usize)>) {
    let mut sought = Inodes::with_capacity_and_hasher(sockets.len(), Default::default());
    let mut twins = Vec::new();
    for (at, socket) in sockets.iter().enumerate() {
        let is_sought = socket.no_holder == Some(NoHolder::NotAsked);
        let Some(inode) = socket.inode.filter(|_| is_sought) else { continue };
        match sought.entry(inode) {
            Entry::Vacant(entry) => {
                entry.insert(Sought { cookie: socket.cookie, at: at as u32 });
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().cookie = 0;
                twins.push((inode, at));
            }
        }
    }
    twins.sort_unstable();
    (sought, twins)
}

/// What all sockets of a query have in common; `first` is the namespace asked for, if one is.
fn filter(query: &Query, first: Option<&Namespace>) -> Filter {
    let one = first.filter(|_| query.namespaces != Namespaces::All);
    Filter {
        port: query.port,
        netns: one.and_then(|namespace| u32::try_from(namespace.inode).ok()),
        unconnected: query.states == States::Bound,
        unix: true,
    }
}

/// Whether sockets of UDP share address and port: whether they are a group only BPF sees.
fn may_group(sockets: &[Socket]) -> bool {
    let is_udp = |s: &&Socket| matches!(s.transport, Transport::Udp | Transport::UdpLite);
    let mut seen = HashSet::new();
    let key = |s: &Socket| (s.netns, s.transport, s.family, s.ip, s.port, s.device, s.remote);
    sockets.iter().filter(is_udp).any(|socket| !seen.insert(key(socket)))
}
