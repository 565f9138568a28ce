//! Sockets whose descriptor waits in a message between processes: no process has them open.

use std::collections::{HashMap, HashSet};

use portwise_sys::{pidfd::PidFd, sock::Socket, unix::peek_descriptors};

use super::holders::{Hold, Inodes};
use crate::observe::inventory::{Holder, How};

/// More Unix sockets with messages waiting are not looked into.
const MOST: usize = 1000;

/// Looks for the wanted sockets (inode and cookie, 0 for any) that nobody was found to hold in the
/// messages that wait at these Unix sockets.
pub(super) fn find(wanted: &Inodes, carriers: &[Hold], holds: &mut Vec<Hold>) {
    if carriers.is_empty() {
        return;
    }
    let held: HashSet<u64> = holds.iter().map(|hold| hold.inode).collect();
    if held.len() == wanted.len() {
        return;
    }
    // Several processes may have one Unix socket: each may receive what is under way.
    let mut carried: HashMap<u64, Vec<u64>> = HashMap::new();
    for carrier in carriers.iter().take(MOST) {
        let unix = carrier.inode;
        let inodes = carried.entry(unix).or_insert_with(|| {
            let Some(sockets) = peek(carrier.holder) else { return Vec::new() };
            let known = sockets.iter().filter_map(|socket| {
                let inode = socket.inode().ok().filter(|inode| !held.contains(inode))?;
                let cookie = wanted.get(&inode)?.cookie;
                // What is no socket has no cookie, though it may have that number.
                let own = socket.cookie().ok()?;
                (cookie == 0 || own == cookie).then_some(inode)
            });
            known.collect()
        });
        holds.extend(inodes.iter().map(|&inode| Hold {
            inode,
            holder: Holder { how: How::InFlight, ..carrier.holder },
            options: None,
        }));
    }
}

/// What waits at a Unix socket of another process; `None` if that cannot be seen.
fn peek(holder: Holder) -> Option<Vec<Socket>> {
    let process = PidFd::open(holder.pid).ok()?;
    let unix = Socket::from(process.get_fd(holder.fd).ok()?);
    let descriptors = peek_descriptors(&unix).ok()?;
    Some(descriptors.into_iter().map(Socket::from).collect())
}
