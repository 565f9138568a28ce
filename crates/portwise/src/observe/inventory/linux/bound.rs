//! Whether there are TCP sockets that are bound and neither listen nor connect. To list them the
//! kernel looks at every connection, in each network namespace anew; its own counts may rule out
//! that there are any.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use portwise_sys::proc::Proc;

use super::{Inventory, Known, Query, list};
use crate::observe::inventory::{self, Namespace, Socket, States, Transport};

/// How a list deals with TCP sockets that are bound and do nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// They are listed with the others.
    With,
    /// They are left out, and so is every TCP socket where the count says that none listens.
    Without,
    /// They alone are listed.
    Only,
}

/// The kernel's counts. It counts what is allocated on the whole machine, and in each namespace
/// what listens or is connected: where the sums are equal, no TCP socket is in another state, and no
/// count is too low. What else is left out of both is no socket yet, or none any more.
pub(super) struct Tally {
    /// How many were allocated at the beginning, if it is worth while to count.
    allocated: Option<u64>,
    in_use: u64,
}

impl Tally {
    /// Begins to count for a list of all namespaces.
    pub(super) fn begin(proc: &Proc, query: &Query, known: &Known) -> Tally {
        let asks = query.transports.contains(&Transport::Tcp) && known.elsewhere == States::Bound;
        let count = || proc.tcp_count().ok().map(|count| count.allocated);
        Tally { allocated: if asks && list::shows_bound() { count() } else { None }, in_use: 0 }
    }

    /// What lists are to do until the sums are known.
    pub(super) fn idle(&self, query: &Query) -> Idle {
        let leave_out = self.allocated.is_some() && query.states == States::Bound;
        if leave_out { Idle::Without } else { Idle::With }
    }

    /// Adds the count of the calling thread's namespace.
    pub(super) fn add(&mut self, in_use: Option<u64>) {
        self.in_use += in_use.unwrap_or_default();
    }

    /// How many there may be that were left out in these namespaces. If sockets have come and gone
    /// meanwhile it counts again, which takes less time than the lists did. That none did where the
    /// number is the same at the end is not sure, but a list is no snapshot either.
    pub(super) fn left_out(&self, proc: &Proc, namespaces: &[Namespace]) -> u64 {
        const ATTEMPTS: usize = 2;
        let mut left = self.difference(proc);
        for _ in 0..ATTEMPTS {
            if left == u64::MAX
                && let Some(again) = Tally::of(proc, namespaces)
            {
                left = again.difference(proc);
            }
        }
        left
    }

    /// The counts of now, if there are any.
    fn of(proc: &Proc, namespaces: &[Namespace]) -> Option<Tally> {
        let allocated = Some(proc.tcp_count().ok()?.allocated);
        let open: Vec<&Namespace> = namespaces.iter().filter(|n| n.closed.is_none()).collect();
        let counts = inventory::within_each(&open, |_| in_use());
        // One that is gone has none any more.
        let in_use = counts.into_iter().filter_map(|count| count.ok().flatten()).sum();
        Some(Tally { allocated, in_use })
    }

    /// How many more are allocated than in use; it is not known if that changed meanwhile.
    fn difference(&self, proc: &Proc) -> u64 {
        let Some(before) = self.allocated else { return 0 };
        let after = proc.tcp_count().map(|count| count.allocated);
        let known = before.checked_sub(self.in_use).filter(|_| after.is_ok_and(|n| n == before));
        known.unwrap_or(u64::MAX)
    }
}

/// The count of the calling thread's namespace.
pub(super) fn in_use() -> Option<u64> {
    Proc::default().tcp_count().ok().map(|count| count.in_use)
}

/// Lists in every namespace what was left out there, until all of so many are found. `query` is that
/// of the own namespace, `there` that of the others.
pub(super) fn add_idle(query: &Query, there: &Query, left: u64, inventory: &mut Inventory) {
    if left == 0 {
        return;
    }
    let tcp = |query: &Query| Query { transports: vec![Transport::Tcp], ..query.clone() };
    let (query_here, query_there) = (tcp(query), tcp(there));
    let is_asked = |namespace: &&Namespace| {
        let asked = if namespace.own { query } else { there };
        namespace.closed.is_none() && asked.states == States::Bound
    };
    let namespaces: Vec<&Namespace> = inventory.namespaces.iter().filter(is_asked).collect();
    let of_tcp = inventory.sockets.iter().filter(|socket| socket.transport == Transport::Tcp);
    let with_tcp: HashSet<u64> = of_tcp.map(|socket| socket.netns).collect();
    let left = AtomicU64::new(left);
    let look = |namespace: &Namespace| {
        if left.load(Relaxed) == 0 {
            return Vec::new();
        }
        let query = if namespace.own { &query_here } else { &query_there };
        // Where the count said that there is none, nothing was listed at all.
        let idle = if with_tcp.contains(&namespace.inode) { Idle::Only } else { Idle::With };
        let listed = list::list_part(query, namespace.inode, idle, None);
        let sockets = listed.map_or_else(|_| Vec::new(), |listed| listed.sockets);
        // Those of other ports or another family were not listed, and count as if there were more.
        let found = sockets.len() as u64;
        let _ = left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(found)));
        sockets
    };
    // What is gone meanwhile has nothing.
    let found = inventory::within_each(&namespaces, look).into_iter().flatten();
    let before = inventory.sockets.len();
    for sockets in found {
        list::append(&mut inventory.sockets, sockets);
    }
    if inventory.sockets.len() > before {
        in_order(query, inventory);
    }
}

/// By namespace, then by protocol as asked for, IPv4 before IPv6.
fn in_order(query: &Query, inventory: &mut Inventory) {
    let Inventory { sockets, namespaces, .. } = inventory;
    let namespace = |socket: &Socket| namespaces.iter().position(|n| n.inode == socket.netns);
    let protocol = |socket: &Socket| query.transports.iter().position(|t| *t == socket.transport);
    sockets.sort_by_cached_key(|s| (namespace(s), protocol(s), s.family));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rule_out_what_was_left_out() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("proc/thread-self/net/sockstat");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let allocated = |count: u32| {
            let line = format!("TCP: inuse 5 orphan 0 tw 0 alloc {count} mem 0\n");
            std::fs::write(&file, line).unwrap();
        };
        allocated(9);
        let proc = Proc::new(root.path());
        let query = Query::default();
        let mut tally = Tally::begin(&proc, &query, &Known { own: None, elsewhere: query.states });
        if tally.idle(&query) == Idle::With {
            return portwise_sys::not_run!("this kernel does not show such sockets");
        }
        tally.add(Some(5));
        assert_eq!(tally.difference(&proc), 4);
        tally.add(Some(4));
        assert_eq!(tally.difference(&proc), 0);
        allocated(10);
        assert_eq!(tally.difference(&proc), u64::MAX, "one came meanwhile");
        allocated(9);
        tally.add(Some(1));
        assert_eq!(tally.difference(&proc), u64::MAX, "one went meanwhile");
    }

    #[test]
    fn who_asks_for_every_state_gets_them_anyhow() {
        let query = Query { states: States::All, ..Query::default() };
        let known = Known { own: None, elsewhere: States::All };
        let tally = Tally::begin(&Proc::default(), &query, &known);
        assert_eq!((tally.idle(&query), tally.left_out(&Proc::default(), &[])), (Idle::With, 0));
    }
}
