//! Who has the sockets of a question open.

use std::collections::{BTreeMap, HashSet};

use portwise_model::Socket;
use portwise_sys::{
    bpf::task_file::Filter,
    ns::{self, Kind},
    proc::Proc,
};

use super::{
    Holders, Process,
    inventory::{
        Holder, How,
        linux::{
            holders::{Hold, Search, Sought, Wanted, search},
            way::Way,
        },
    },
    is_orphan,
    sockets::of_descriptor,
};

/// Searches every process that may be looked into.
pub(super) fn of(
    proc: &Proc,
    sockets: &[Socket],
    mut user: impl FnMut(u32) -> Option<String>,
) -> Holders {
    let Search { holds, hidden, hidepid, .. } = find(proc, sockets, false);
    let mut holders = Holders { searched: true, ..Holders::default() };
    (holders.unseen, holders.hidden) = (hidden as usize, hidepid);
    let unconnected: HashSet<u64> =
        sockets.iter().filter(|s| s.remote.is_none()).map(|s| s.id.0).collect();
    let mut processes_seen: BTreeMap<u32, Option<Process>> = BTreeMap::new();
    for hold in holds {
        if unconnected.contains(&hold.inode)
            && !holders.options.contains_key(&hold.inode)
            && let Some(Ok(options)) = options(&hold)
        {
            holders.options.insert(hold.inode, options);
        }
        let Holder { pid, start, .. } = hold.holder;
        let processes = holders.of.entry(hold.inode).or_default();
        if processes.iter().any(|p| p.pid == pid) {
            continue;
        }
        let process = processes_seen.entry(pid).or_insert_with(|| {
            // A process that has ended meanwhile holds nothing any more.
            let dir = proc.process(pid).ok()?;
            let status = dir
                .status()
                .ok()
                .filter(|_| dir.stat().is_ok_and(|stat| stat.start_ticks == start))?;
            let uid = status.uids.effective;
            Some(Process { pid, command: status.name, uid, user: user(uid) })
        });
        processes.extend(process.clone());
    }
    holders.of.retain(|_, processes| !processes.is_empty());
    holders
}

/// Finds the descriptors of sockets of the thread's network namespace: one of each will do, or
/// all are wanted.
pub(super) fn find(proc: &Proc, sockets: &[Socket], one_is_enough: bool) -> Search {
    let open = || sockets.iter().filter(|socket| !is_orphan(socket.id));
    let port = open().next().map(|socket| socket.port);
    let netns = ns::own_id(Kind::Net).ok().and_then(|id| u32::try_from(id.inode).ok());
    let filter = Filter {
        port: port.filter(|&port| open().all(|socket| socket.port == port)),
        netns,
        unconnected: false,
        unix: !one_is_enough,
    };
    // The table of sockets does not know their cookies.
    let sockets = open().map(|socket| (socket.id.0, Sought::default())).collect();
    search(proc, &Wanted { sockets, filter, one_is_enough }, Way::to_few(proc), None)
}

/// `SO_REUSEADDR` and `SO_REUSEPORT` of a socket, as seen when its holder was found, or read
/// through the holder's descriptor; `None` if that is not one of the socket itself.
pub(super) fn options(hold: &Hold) -> Option<Result<(bool, bool), portwise_sys::Error>> {
    match (hold.options, hold.holder.how) {
        (Some(seen), _) => Some(Ok((seen.reuseaddr, seen.reuseport))),
        (None, How::Open) => Some(of_descriptor(hold.holder.pid, hold.holder.fd)),
        (None, How::InFlight) => None,
    }
}
