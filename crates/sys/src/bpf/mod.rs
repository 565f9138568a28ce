//! bpf(2): the programs that a cgroup has attached, one that lets it bind certain ports, and a walk
//! over all open files.

mod bind;
mod program;
pub mod task_file;

pub use bind::{Allowed, BindGrant, netns_cookie};

use std::os::fd::AsRawFd;
use std::path::Path;

use crate::{Errno, Error};

/// A point at which programs are attached to a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachType(u32);

impl AttachType {
    /// `BPF_CGROUP_INET4_BIND`, before `bind` of an IPv4 socket.
    pub const CGROUP_INET4_BIND: AttachType = AttachType(8);
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

/// Counts the programs that run at this point for processes of a cgroup, those of the cgroups
/// above it too. `cgroup` is its directory in a version 2 hierarchy. Needs `CAP_NET_ADMIN` in the
/// initial user namespace.
///
/// # Errors
/// `EPERM`; `EINVAL` if the kernel has no such point; `EBADF` if the directory is no cgroup.
pub fn attached(cgroup: &Path, at: AttachType) -> Result<u32, Error> {
    const BPF_PROG_QUERY: u32 = 16;
    const EFFECTIVE: u32 = 1;
    let about = |call, errno| Error::about(call, errno, cgroup.to_string_lossy());
    let directory =
        std::fs::File::open(cgroup).map_err(|error| about("open", Errno::from(error)))?;
    let mut query = Query {
        target_fd: directory.as_raw_fd().cast_unsigned(),
        attach_type: at.0,
        query_flags: EFFECTIVE,
        ..Query::default()
    };
    // SAFETY: the pointer is to attributes of this size; without a buffer only the count is set.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
    if result < 0 { Err(about("bpf", Errno::last())) } else { Ok(query.prog_cnt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_counted_or_refused() {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        for root in roots.map(Path::new) {
            match attached(root, AttachType::CGROUP_INET4_BIND) {
                Ok(count) => return println!("{count} programs at {}", root.display()),
                Err(error) => crate::not_run!("{error}"),
            }
        }
        let error = attached(Path::new("/proc"), AttachType::CGROUP_INET6_BIND).unwrap_err();
        assert!(matches!(error.errno, Errno::EPERM | Errno::EBADF | Errno::EINVAL), "{error}");
    }
}
