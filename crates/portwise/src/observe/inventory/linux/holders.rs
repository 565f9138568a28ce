//! Which processes hold the sockets.

use std::collections::{BTreeMap, HashMap, HashSet};

use portwise_sys::{
    ns::{self, Kind},
    proc::{self, Proc},
};

use crate::observe::inventory::{Holder, How, Inventory, NoHolder, Path, Query};

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Finds the holders of all sockets that may have one.
pub(super) fn find(proc: &Proc, _: &Query, inventory: &mut Inventory) {
    let wanted: HashSet<u64> = inventory.sockets.iter().filter_map(|s| s.inode).collect();
    if wanted.is_empty() {
        return;
    }
    let unseen = &mut inventory.unseen;
    unseen.outside = ns::own_id(Kind::Pid).is_ok_and(|id| id.inode != INITIAL_PID_NAMESPACE);
    inventory.path = Path::Proc;
    let found =
        proc.holders(&wanted).unwrap_or(proc::Holders { hidepid: true, ..Default::default() });
    unseen.processes = found.hidden;
    unseen.hidepid = found.hidepid;
    let mut starts: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    let mut holders: HashMap<u64, Vec<Holder>> = HashMap::new();
    for proc::Holder { inode, pid, fd } in found.found {
        let start =
            *starts.entry(pid).or_insert_with(|| proc.stat(pid).ok().map(|stat| stat.start_ticks));
        // A process that has ended meanwhile holds nothing any more.
        let Some(start) = start else { continue };
        holders.entry(inode).or_default().push(Holder { pid, start, fd, how: How::Open });
    }
    let hidden = unseen.hides_holders();
    for socket in &mut inventory.sockets {
        let Some(inode) = socket.inode else { continue };
        match holders.get(&inode) {
            Some(found) => {
                socket.holders.clone_from(found);
                socket.no_holder = None;
            }
            None if hidden => socket.no_holder = Some(NoHolder::Unseen),
            None => socket.no_holder = Some(NoHolder::NotFound),
        }
    }
}
