//! bpf(2): the programs that a cgroup has attached, one that lets it bind certain ports, and a walk
//! over all open files.

mod bind;
pub mod kernel;
mod layout;
mod map;
mod program;
mod tables;
pub mod task_file;
pub mod tasks;

pub use bind::{Allowed, BindGrant, netns_cookie};

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::{Errno, Error};

/// A point at which programs are attached to a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachType(u32);

impl AttachType {
    /// `BPF_CGROUP_INET4_BIND`, before `bind` of an IPv4 socket.
    pub const CGROUP_INET4_BIND: AttachType = AttachType(8);
    /// Packets that arrive for sockets of the cgroup.
    pub const CGROUP_INET_INGRESS: AttachType = AttachType(0);
    /// Packets that sockets of the cgroup send.
    pub const CGROUP_INET_EGRESS: AttachType = AttachType(1);
    /// `BPF_CGROUP_INET6_BIND`, before `bind` of an IPv6 socket.
    pub const CGROUP_INET6_BIND: AttachType = AttachType(9);
    /// `BPF_CGROUP_INET4_POST_BIND`, after it.
    pub const CGROUP_INET4_POST_BIND: AttachType = AttachType(12);
    /// `BPF_CGROUP_INET6_POST_BIND`, after it.
    pub const CGROUP_INET6_POST_BIND: AttachType = AttachType(13);
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// A program that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its number, as `bpftool prog` shows it.
    pub id: u32,
    /// The name its author gave it, if that can be read. Untrusted text.
    pub name: Option<String>,
}

const EFFECTIVE: u32 = 1;

/// Lists the programs that run at this point for processes of a cgroup, those of the cgroups
/// above it too. `cgroup` is its directory in a version 2 hierarchy. Needs `CAP_NET_ADMIN` in the
/// initial user namespace, and for their names `CAP_SYS_ADMIN`.
///
/// # Errors
/// `EPERM`; `EINVAL` if the kernel has no such point; `EBADF` if the directory is no cgroup.
pub fn attached(cgroup: &Path, at: AttachType) -> Result<Vec<Attached>, Error> {
    const BPF_PROG_QUERY: i64 = 16;
    const MOST: usize = 64;
    let about = |call, errno| Error::about(call, errno, cgroup.to_string_lossy());
    let directory =
        std::fs::File::open(cgroup).map_err(|error| about("open", Errno::from(error)))?;
    let mut ids = [0u32; MOST];
    let mut query = Query {
        target_fd: directory.as_raw_fd().cast_unsigned(),
        attach_type: at.0,
        query_flags: EFFECTIVE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST as u32,
        ..Query::default()
    };
    // SAFETY: the attributes are of this size, and the kernel writes at most `prog_cnt` numbers.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
    // With more than fit the first of them are there all the same.
    if result < 0 && Errno::last() != Errno(libc::ENOSPC) {
        return Err(about("bpf", Errno::last()));
    }
    let count = MOST.min(query.prog_cnt as usize);
    Ok(ids[..count].iter().map(|&id| Attached { id, name: name(id) }).collect())
}

/// The name of a program.
fn name(id: u32) -> Option<String> {
    const BPF_PROG_GET_FD_BY_ID: i64 = 13;
    const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
    /// The part of `struct bpf_prog_info` that ends with the name.
    const LENGTH: usize = 80;
    const NAME_AT: usize = 64;
    let wanted = [id, 0, 0];
    // SAFETY: the pointer is to attributes of this size.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, wanted.as_ptr(), size_of_val(&wanted))
    };
    if fd < 0 {
        return None;
    }
    // SAFETY: the call made it and nobody else has it.
    let program = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    #[repr(C)]
    struct Info {
        fd: u32,
        length: u32,
        info: u64,
    }
    let mut info = [0u8; LENGTH];
    let mut wanted = Info {
        fd: program.as_raw_fd().cast_unsigned(),
        length: LENGTH as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the attributes are of this size, and the kernel writes at most `length` bytes.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw mut wanted, size_of::<Info>())
    };
    let text = info[NAME_AT..].split(|byte| *byte == 0).next()?;
    (result >= 0 && !text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_counted_or_refused() {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        for root in roots.map(Path::new) {
            match attached(root, AttachType::CGROUP_INET4_BIND) {
                Ok(programs) => return println!("{programs:?} at {}", root.display()),
                Err(error) => crate::not_run!("{error}"),
            }
        }
        let error = attached(Path::new("/proc"), AttachType::CGROUP_INET6_BIND).unwrap_err();
        assert!(matches!(error.errno, Errno::EPERM | Errno::EBADF | Errno::EINVAL), "{error}");
    }
}
