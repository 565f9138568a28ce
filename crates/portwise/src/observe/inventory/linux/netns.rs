//! The network namespaces there are, and how to look into them.

use std::{collections::BTreeMap, path::PathBuf, thread};

use portwise_sys::{
    Errno, Error,
    bpf::tasks::{self, InNetwork},
    mount,
    ns::{self, Kind},
    proc::Proc,
};

use super::Listed;
use crate::{
    Trouble,
    halves::in_halves,
    observe::{
        inventory::{Found, Namespace},
        network::named,
    },
};

/// The places where ip-netns(8) keeps names.
const NAMES: [&str; 2] = ["/run/netns/", "/var/run/netns/"];

/// The namespace of the calling thread.
pub(super) fn own() -> Namespace {
    let inode = ns::own_id(Kind::Net).map_or(0, |id| id.inode);
    Namespace { inode, own: true, found: Found::Own, ..Namespace::default() }
}

impl Namespace {
    /// The own namespace with what was found out about it among the others.
    pub(super) fn counted(&self, all: &[Namespace]) -> Namespace {
        let found = all.iter().find(|namespace| namespace.inode == self.inode);
        Namespace { own: true, found: Found::Own, ..found.unwrap_or(self).clone() }
    }

    fn file(&self) -> Option<PathBuf> {
        let of_process = self.pid.map(|pid| format!("/proc/{pid}/ns/net").into());
        self.mount.clone().or(of_process)
    }
}

/// What was found of the namespaces there are.
#[derive(Default)]
pub(super) struct Others {
    /// All of them, the own one first.
    pub namespaces: Vec<Namespace>,
    /// How many processes do not show theirs.
    pub unseen: u32,
    /// The processes that BPF programs are not shown, where it was plain that there are some.
    pub hidden: Option<Vec<u32>>,
}

/// Every namespace that a process is in or that is mounted somewhere, by the lowest pid in it.
/// `by_bpf`: a BPF program may be used, and there is so much that it pays.
pub(super) fn others(proc: &Proc, own: &Namespace, by_bpf: bool) -> Others {
    let mut by_inode: BTreeMap<u64, Namespace> = BTreeMap::new();
    let mut add = |pid: u32, inode: u64| {
        let namespace = by_inode.entry(inode).or_insert_with(|| Namespace {
            inode,
            own: inode == own.inode,
            pid: Some(pid),
            found: Found::Process,
            ..Namespace::default()
        });
        namespace.processes += 1;
    };
    let found = if by_bpf { tasks::network_namespaces().ok() } else { None };
    let mut hidden = None;
    let denied = match found {
        Some(found) => {
            found.iter().for_each(|process| add(process.pid, process.netns.into()));
            // There is always an init. Where it is hidden, others may be too.
            if found.iter().all(|process| process.pid != 1) {
                hidden = Some(hidden_among(proc, &found));
            }
            by_proc(hidden.as_deref().unwrap_or_default(), add)
        }
        None => by_proc(&proc.pids().unwrap_or_default(), add),
    };
    let unseen = elsewhere(denied, by_inode.values());
    for (inode, place) in mounted(proc) {
        let namespace = by_inode.entry(inode).or_insert_with(|| Namespace {
            inode,
            own: inode == own.inode,
            found: Found::Mount,
            ..Namespace::default()
        });
        let shown = place.to_string_lossy();
        let name = NAMES.iter().find_map(|names| shown.strip_prefix(names));
        if namespace.name.is_none() {
            namespace.name = name.map(str::to_owned);
        }
        if namespace.mount.is_none() || name.is_some() {
            namespace.mount = Some(place);
        }
    }
    let mut namespaces: Vec<Namespace> = by_inode.into_values().collect();
    portwise_model::sort::sort_by_key(&mut namespaces, |namespace| {
        (!namespace.own, namespace.inode)
    });
    Others { namespaces, unseen, hidden }
}

/// The processes that a BPF program is not shown, though `/proc` has them.
pub(super) fn hidden_from_bpf(proc: &Proc) -> Vec<u32> {
    tasks::network_namespaces().map(|seen| hidden_among(proc, &seen)).unwrap_or_default()
}

fn hidden_among(proc: &Proc, seen: &[InNetwork]) -> Vec<u32> {
    let mut known: Vec<u32> = seen.iter().map(|process| process.pid).collect();
    known.sort_unstable();
    let mut pids = proc.pids().unwrap_or_default();
    pids.retain(|pid| known.binary_search(pid).is_err());
    pids
}

/// Finds the namespaces of these processes in `/proc`, and returns those that do not show theirs.
fn by_proc(pids: &[u32], mut add: impl FnMut(u32, u64)) -> Vec<u32> {
    let mut denied = Vec::new();
    for &pid in pids {
        match ns::inode_of(pid, Kind::Net) {
            Ok(inode) => add(pid, inode),
            Err(error) if error.is_denied() => denied.push(pid),
            Err(_) => {}
        }
    }
    denied
}

/// How many of these processes are in none of the namespaces. Whether two are in the same one,
/// everybody may see.
fn elsewhere<'a>(pids: Vec<u32>, known: impl Iterator<Item = &'a Namespace>) -> u32 {
    if pids.is_empty() {
        return 0;
    }
    let others = known.filter_map(|namespace| ns::network_files(namespace.pid?).ok());
    let known: Vec<_> = others.chain(ns::own_network_files().ok()).collect();
    let is_known = |pid: &u32| ns::network_files(*pid).is_ok_and(|id| known.contains(&id));
    pids.iter().filter(|pid| !is_known(pid)).count() as u32
}

/// The network namespaces that are mounted somewhere.
fn mounted(proc: &Proc) -> Vec<(u64, PathBuf)> {
    let table = proc.mountinfo().unwrap_or_default();
    let entries = mount::parse_mountinfo(table).into_iter();
    let inode = |entry: &mount::MountEntry| {
        entry.root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
    };
    entries.filter_map(|entry| Some((inode(&entry)?, entry.point))).collect()
}

/// Does something in the namespace that `name` stands for.
pub(super) fn one(
    name: &str,
    own: &Namespace,
    look: impl FnOnce(u64) -> Result<Listed, Error> + Send,
) -> Result<(Namespace, Result<Listed, Error>), Trouble> {
    let file = named(name)?;
    let refused = |error: Error| {
        let help = if error.is_denied() { "; root can enter it" } else { "" };
        Trouble::new(format!("the network namespace `{name}` cannot be looked into: {error}{help}"))
    };
    let there = ns::Namespace::open(&file).map_err(refused)?;
    let inode = there.id().map_err(refused)?.inode;
    let is_name = NAMES.iter().any(|names| file.starts_with(names));
    let namespace = Namespace {
        inode,
        own: inode == own.inode,
        name: is_name.then(|| name.to_owned()),
        pid: name.parse().ok().filter(|_| !is_name),
        mount: (is_name || name.contains('/')).then_some(file),
        found: Found::Asked,
        ..Namespace::default()
    };
    if namespace.own {
        return Ok((namespace, look(inode)));
    }
    let listed = in_thread(there, || look(inode)).map_err(refused)?;
    Ok((namespace, listed))
}

/// Does something in a namespace, unless that is gone.
pub(in crate::observe::inventory) fn within<T: Send>(
    namespace: &Namespace,
    look: impl FnOnce() -> T + Send,
) -> Result<T, Error> {
    in_thread(open(namespace)?, look)
}

/// The number by which the thread's namespace knows it, as devices that lead there name it.
pub(in crate::observe::inventory) fn number(namespace: &Namespace) -> Option<u32> {
    let there = open(namespace).ok()?;
    portwise_sys::rtnetlink::RtNetlink::open().ok()?.number_of(&there).ok()?
}

/// Does the same in each of these namespaces.
pub(in crate::observe::inventory) fn within_each<T: Send>(
    namespaces: &[&Namespace],
    look: impl Fn(&Namespace) -> T + Sync,
) -> Vec<Result<T, Error>> {
    if namespaces.is_empty() {
        return Vec::new();
    }
    let one = |namespace: &&Namespace| {
        open(namespace)?.enter(Kind::Net).map_err(|errno| Error::new("setns", errno))?;
        Ok(look(namespace))
    };
    // A thread costs as much as to look into a few.
    const MANY: usize = 4;
    let all = |part: &[&Namespace]| part.iter().map(one).collect::<Vec<_>>();
    away(|| in_halves(namespaces, MANY, all).into_iter().flatten().collect())
}

fn open(namespace: &Namespace) -> Result<ns::Namespace, Error> {
    let file = namespace.file().ok_or_else(|| Error::new("setns", Errno::ENOENT))?;
    let there = ns::Namespace::open(&file)?;
    if there.id()?.inode != namespace.inode {
        // The process has left it, or another one has its number.
        return Err(Error::about("setns", Errno::ENOENT, "it is gone"));
    }
    Ok(there)
}

fn in_thread<T: Send>(there: ns::Namespace, look: impl FnOnce() -> T + Send) -> Result<T, Error> {
    away(|| {
        there.enter(Kind::Net).map_err(|errno| Error::new("setns", errno))?;
        Ok(look())
    })
}

/// A thread that enters namespaces ends when it is done, so nobody is left in a wrong one.
fn away<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
