//! Who has a socket open, by `/proc/PID/fd`.

use std::collections::{BTreeMap, HashSet};

use portwise_model::Socket;
use portwise_sys::proc::Proc;

use super::{Holders, Process, is_orphan, sockets::of_descriptor};

/// Searches every process that may be looked into.
pub(super) fn of(
    proc: &Proc,
    sockets: &[Socket],
    mut user: impl FnMut(u32) -> Option<String>,
) -> Holders {
    let wanted: HashSet<u64> =
        sockets.iter().filter(|s| !is_orphan(s.id)).map(|s| s.id.0).collect();
    let mut holders = Holders { searched: true, ..Holders::default() };
    if wanted.is_empty() {
        return holders;
    }
    let found = match proc.holders(&wanted) {
        Ok(found) => found,
        Err(_) => return Holders { hidden: true, ..holders },
    };
    holders.unseen = found.hidden as usize;
    holders.hidden = found.hidepid;
    let unconnected: HashSet<u64> =
        sockets.iter().filter(|s| s.remote.is_none()).map(|s| s.id.0).collect();
    let mut processes_seen: BTreeMap<u32, Option<Process>> = BTreeMap::new();
    for holder in found.found {
        if unconnected.contains(&holder.inode)
            && !holders.options.contains_key(&holder.inode)
            && let Ok(options) = of_descriptor(holder.pid, holder.fd)
        {
            holders.options.insert(holder.inode, options);
        }
        let processes = holders.of.entry(holder.inode).or_default();
        if processes.iter().any(|p| p.pid == holder.pid) {
            continue;
        }
        let process = processes_seen.entry(holder.pid).or_insert_with(|| {
            // A process that has ended meanwhile holds nothing any more.
            let status = proc.status(holder.pid).ok()?;
            let uid = status.uids.effective;
            Some(Process { pid: holder.pid, command: status.name, uid, user: user(uid) })
        });
        processes.extend(process.clone());
    }
    holders.of.retain(|_, processes| !processes.is_empty());
    holders
}
