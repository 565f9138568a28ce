//! proc_pid_fd(5): which processes hold a socket.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, open, openat, readlinkat_raw};

use super::Proc;
use crate::{Errno, Error};

/// A file descriptor that refers to a wanted socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The socket.
    pub inode: u64,
    /// The process.
    pub pid: u32,
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
    /// costly way round: some 10 µs per open file of the machine.
    ///
    /// # Errors
    /// Those of open(2) on `/proc`. A process that cannot be looked into is counted, one that
    /// ends meanwhile is left out.
    pub fn holders(&self, wanted: &HashSet<u64>) -> Result<Holders, Error> {
        let mut holders = Holders { hidepid: self.hides_processes(), ..Holders::default() };
        let path = self.path("proc");
        let proc = open(&path, DIRECTORY, Mode::empty())
            .map_err(|e| Error::about("open", Errno(e.raw_os_error()), path.to_string_lossy()))?;
        for pid in self.pids()? {
            match openat(&proc, format!("{pid}/fd"), DIRECTORY, Mode::empty()) {
                Ok(fds) => look_into(pid, &fds, wanted, &mut holders),
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => holders.hidden += 1,
                Err(_) => {}
            }
        }
        Ok(holders)
    }

    /// Reads whether the mount at `/proc` hides processes of other users.
    fn hides_processes(&self) -> bool {
        // Without the list of mounts nothing speaks for it.
        let Ok(mounts) = self.read("proc/self/mountinfo") else { return false };
        String::from_utf8_lossy(&mounts).lines().any(mount_hides_processes)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn look_into(pid: u32, fds: &OwnedFd, wanted: &HashSet<u64>, holders: &mut Holders) {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(fds, &mut buffer);
    let mut refused = false;
    while let Some(Ok(entry)) = entries.next() {
        let Some(fd) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match socket_behind(fds.as_fd(), entry.file_name()) {
            Ok(Some(inode)) if wanted.contains(&inode) => {
                holders.found.push(Holder { inode, pid, fd });
            }
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => refused = true,
            _ => {}
        }
    }
    holders.hidden += u32::from(refused);
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
