//! proc_pid_fd(5): which processes hold a socket.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::thread;

use rustix::fs::{Mode, OFlags, RawDir, open, openat, readlinkat_raw};

use super::{Proc, parse_stat};
use crate::{Errno, Error};

/// A file descriptor that refers to a wanted socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The socket.
    pub inode: u64,
    /// The process.
    pub pid: u32,
    /// When it started, in clock ticks after boot: read while the descriptor was known to be this
    /// process's, so it is not that of another one with its number.
    pub start: u64,
    /// The descriptor's number there.
    pub fd: u32,
}

/// Who holds the wanted sockets, as far as this user may look.
///
/// A socket without holder, where nothing was hidden, is held by the kernel, by a process of
/// another pid namespace, by a message in flight between processes, by an io_uring, or by a
/// thread with a descriptor table of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// Every descriptor found, by pid in the kernel's order.
    pub found: Vec<Holder>,
    /// How many processes this user may not look into (`EACCES`): each may be a holder.
    pub hidden: u32,
    /// `/proc` is mounted with `hidepid`: there may be processes that were not even counted.
    pub hidepid: bool,
}

impl Holders {
    /// Says whether everything could be looked into.
    pub fn is_complete(&self) -> bool {
        self.hidden == 0 && !self.hidepid
    }
}

impl Proc {
    /// Looks into every process for descriptors of the wanted sockets.
    ///
    /// Needs nothing for the user's own processes and `CAP_SYS_PTRACE` for others. This is the
    /// costly way round: some 3 µs per open file of the machine. Where there are many processes,
    /// several threads share them.
    ///
    /// # Errors
    /// Those of open(2) on `/proc`. A process that cannot be looked into is counted, one that
    /// ends meanwhile is left out.
    pub fn holders(&self, wanted: &HashSet<u64>) -> Result<Holders, Error> {
        let hidepid = self.hides_processes();
        Ok(Holders { hidepid, ..self.search(wanted, None, self.pids()?)? })
    }

    /// Looks into processes until a descriptor of each wanted socket is found: there may be more.
    ///
    /// # Errors
    /// Those of [`Proc::holders`].
    pub fn first_holders(&self, wanted: &HashSet<u64>) -> Result<Holders, Error> {
        let missing = Some(Mutex::new(wanted.clone()));
        let hidepid = self.hides_processes();
        Ok(Holders { hidepid, ..self.search(wanted, missing, self.pids()?)? })
    }

    /// Looks into these processes only, and not whether `/proc` hides some.
    ///
    /// # Errors
    /// Those of [`Proc::holders`].
    pub fn holders_among(&self, wanted: &HashSet<u64>, pids: Vec<u32>) -> Result<Holders, Error> {
        self.search(wanted, None, pids)
    }

    fn search(
        &self,
        wanted: &HashSet<u64>,
        missing: Option<Mutex<HashSet<u64>>>,
        pids: Vec<u32>,
    ) -> Result<Holders, Error> {
        // As many processes as one thread does in the time that it takes to start another.
        const BATCH: usize = 64;
        let path = self.path("proc");
        let proc = open(&path, DIRECTORY, Mode::empty())
            .map_err(|e| Error::about("open", Errno(e.raw_os_error()), path.to_string_lossy()))?;
        let walk = Walk { proc, pids, wanted, missing, next: AtomicUsize::new(0) };
        let threads = processors().min(walk.pids.len() / BATCH).clamp(1, 8);
        let (mut found, mut hidden) = (Vec::new(), 0);
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| walk.share())).collect();
            let mut shares = vec![walk.share()];
            shares.extend(others.into_iter().filter_map(|other| other.join().ok()));
            for share in shares {
                found.extend(share.found);
                hidden += share.hidden;
            }
        });
        if threads > 1 {
            found.sort_by_key(|holder| holder.pid);
        }
        Ok(Holders { found, hidden, hidepid: false })
    }

    /// Reads whether the mount at `/proc` hides processes of other users.
    fn hides_processes(&self) -> bool {
        // Without the list of mounts nothing speaks for it.
        let Ok(mounts) = self.mountinfo() else { return false };
        String::from_utf8_lossy(mounts).lines().any(mount_hides_processes)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How many processors this process may run on (sched_getaffinity(2)).
pub fn processors() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}

/// A walk through the processes, which several threads may share.
struct Walk<'a> {
    proc: OwnedFd,
    pids: Vec<u32>,
    wanted: &'a HashSet<u64>,
    /// The sockets that still miss a holder, if the walk ends when there are none.
    missing: Option<Mutex<HashSet<u64>>>,
    next: AtomicUsize,
}

#[derive(Default)]
struct Share {
    found: Vec<Holder>,
    hidden: u32,
}

impl Walk<'_> {
    /// Takes one process after the other until none is left.
    fn share(&self) -> Share {
        let mut share = Share::default();
        while let Some(&pid) = self.pids.get(self.next.fetch_add(1, Relaxed)) {
            match openat(&self.proc, format!("{pid}/fd"), DIRECTORY, Mode::empty()) {
                Ok(fds) => self.look_into(pid, &fds, &mut share),
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => share.hidden += 1,
                Err(_) => {}
            }
        }
        share
    }

    fn look_into(&self, pid: u32, fds: &OwnedFd, share: &mut Share) {
        let first = share.found.len();
        // To name a descriptor costs the kernel more than to read its link: of a process that shows
        // none, few are to be named.
        if self.look_at_some::<1024>(pid, fds, share) {
            while self.look_at_some::<{ 16 * 1024 }>(pid, fds, share) {}
        }
        if share.found.len() == first {
            return;
        }
        match start(fds) {
            Some(start) => share.found[first..].iter_mut().for_each(|holder| holder.start = start),
            // It has ended meanwhile and holds nothing any more.
            None => share.found.truncate(first),
        }
        if let Some(missing) = &self.missing {
            let mut missing = missing.lock().unwrap_or_else(|poison| poison.into_inner());
            for holder in &share.found[first..] {
                missing.remove(&holder.inode);
            }
            if missing.is_empty() {
                self.next.store(self.pids.len(), Relaxed);
            }
        }
    }

    /// Looks at as many descriptors as the kernel names at once, in a buffer of `SIZE` bytes.
    /// Returns whether there may be more.
    fn look_at_some<const SIZE: usize>(&self, pid: u32, fds: &OwnedFd, share: &mut Share) -> bool {
        // An entry takes 24 or 32 bytes, and the kernel fills the buffer as far as it can.
        let full = SIZE / 40;
        let mut buffer = [MaybeUninit::uninit(); SIZE];
        let mut entries = RawDir::new(fds, &mut buffer);
        let mut count = 0;
        while count == 0 || !entries.is_buffer_empty() {
            let Some(Ok(entry)) = entries.next() else { return false };
            count += 1;
            let name = entry.file_name();
            let Some(fd) = name.to_str().ok().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match socket_behind(fds.as_fd(), name) {
                Ok(Some(inode)) if self.wanted.contains(&inode) => {
                    share.found.push(Holder { inode, pid, start: 0, fd });
                }
                // A process shows all or nothing.
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
                    share.hidden += 1;
                    return false;
                }
                _ => {}
            }
        }
        count > full
    }
}

/// When the process of an open `/proc/PID/fd` started. An open directory stays that of its
/// process, whoever gets the number.
fn start(fds: &OwnedFd) -> Option<u64> {
    let flags = OFlags::RDONLY.union(OFlags::CLOEXEC);
    let stat = openat(fds, c"../stat", flags, Mode::empty()).ok()?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let (read, _) = rustix::io::read(stat, &mut buffer).ok()?;
    parse_stat(read).map(|stat| stat.start_ticks)
}

fn socket_behind(
    fds: BorrowedFd<'_>,
    name: &std::ffi::CStr,
) -> Result<Option<u64>, rustix::io::Errno> {
    let mut buffer = [MaybeUninit::uninit(); 64];
    let (target, _) = readlinkat_raw(fds, name, &mut buffer)?;
    Ok(parse_socket_link(target))
}

/// Reads the inode from a link target such as `socket:[12345]`.
pub fn parse_socket_link(target: &[u8]) -> Option<u64> {
    let number = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Judges a line of proc_pid_mountinfo(5).
fn mount_hides_processes(line: &str) -> bool {
    let Some((mount, source)) = line.split_once(" - ") else { return false };
    let options = source.split_ascii_whitespace().nth(2).unwrap_or_default();
    mount.split_ascii_whitespace().nth(4) == Some("/proc")
        && options.split(',').any(|option| {
            matches!(
                option,
                "hidepid=1"
                    | "hidepid=2"
                    | "hidepid=4"
                    | "hidepid=noaccess"
                    | "hidepid=invisible"
                    | "hidepid=ptraceable"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidepid_is_seen() {
        let line = "24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw,hidepid=invisible";
        assert!(mount_hides_processes(line));
        assert!(!mount_hides_processes("24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw"));
        assert!(!mount_hides_processes("24 30 0:22 / /mnt rw - proc proc rw,hidepid=2"));
    }
}
