//! The way by a fresh cgroup with a BPF program that sets the port limit aside for exactly the
//! endpoints asked for. Nothing is interposed, and the program has no capability.
//!
//! A process in the background holds what attaches the program, until nothing is left in the
//! cgroup; then it removes the cgroup. Should it be killed, the kernel removes the program at
//! once, and whoever starts next the empty cgroup.

use std::{
    io::{self, Read},
    os::fd::{AsFd, IntoRawFd},
};

use portwise_sys::{
    Errno, Error,
    bpf::{self, BindGrant},
    caps,
    cgroup::{self, Fresh},
    ns,
    proc::Proc,
    process,
};

use super::{Plan, exact};
use crate::Trouble;

/// What the names of these cgroups start with.
const NAME: &str = "portwise-run-";

/// A cgroup with its program, not yet entered.
pub(super) struct Made {
    cgroup: Fresh,
    grant: BindGrant,
    /// How many cgroups an earlier run had left behind, which are gone now.
    pub(super) tidied: usize,
}

/// Makes the cgroup and attaches the program.
///
/// # Errors
/// Why it cannot be done, in words.
pub(super) fn make(plan: &Plan) -> Result<Made, String> {
    let parent = cgroup::own(&Proc::default()).map_err(|e| e.to_string())?;
    let tidied = cgroup::tidy(&parent, NAME).unwrap_or(0);
    let netns = bpf::netns_cookie().map_err(|errno| errno.to_string())?;
    let name = |n: u32| format!("{NAME}{}-{n}", std::process::id());
    // A name may be taken by what an earlier process of this number left, and whoever tidies up may
    // take away what was just made.
    let mut made = (0..100).map(|n| Fresh::make(&parent, &name(n))).skip_while(is_taken);
    let cgroup = made.next().ok_or("no free name for a cgroup")?.map_err(|e| e.to_string())?;
    match BindGrant::attach(cgroup.as_fd(), netns, &exact::allowed(&plan.targets)) {
        Ok(grant) => Ok(Made { cgroup, grant, tidied }),
        Err(error) => {
            let _ = cgroup.remove();
            Err(error.to_string())
        }
    }
}

fn is_taken(made: &Result<Fresh, Error>) -> bool {
    made.as_ref().is_err_and(|error| error.call == "open" || error.errno == Errno::EEXIST)
}

/// Why this way cannot be gone, as far as it can be seen without going it.
pub(super) fn reason_against(plan: &Plan, own: u64) -> Option<String> {
    if let Some(target) = plan.targets.iter().find(|target| exact::depends_on_interface(target)) {
        return Some(format!(
            "a BPF program does not see the interface that {} depends on",
            target.shown
        ));
    }
    let has = |capability| own & caps::bit(capability) != 0;
    const BPF: u8 = 39;
    let is_able = has(caps::SYS_ADMIN) || has(BPF) && has(caps::NET_ADMIN);
    if !is_able {
        return Some("attaching a BPF program needs root (CAP_BPF and CAP_NET_ADMIN)".into());
    }
    let maps = ns::read_map(None, "uid_map").unwrap_or_default();
    if !maps.iter().any(|map| map.inside == 0 && map.outside == 0 && map.count == u32::MAX) {
        return Some(
            "attaching a BPF program needs root of the machine, not of a container".into(),
        );
    }
    match cgroup::own(&Proc::default()) {
        Err(error) => Some(error.to_string()),
        Ok(directory) if !cgroup::is_writable(&directory) => {
            Some(format!("no cgroup can be made in {}", directory.display()))
        }
        Ok(_) => bpf::netns_cookie().err().map(|errno| {
            format!("the kernel does not number network namespaces ({errno}; Linux 5.14 does)")
        }),
    }
}

impl Made {
    /// Moves this process into the cgroup, with another one in the background that takes it down
    /// when everything in it has ended.
    ///
    /// # Errors
    /// If the process in the background cannot be started, or the cgroup cannot be entered.
    pub(super) fn enter(self) -> Result<(), Trouble> {
        let Made { cgroup, grant, .. } = self;
        let failed = |what: &dyn std::fmt::Display| {
            Trouble::new(format!("the cgroup cannot be entered: {what}"))
        };
        let (waits, started) = io::pipe().map_err(|e| failed(&e))?;
        let ([directory, events], [four, six]) = (cgroup.descriptors(), grant.links());
        process::in_background(&[directory, events, four, six, waits.as_fd()], || {
            // Until this process has become the program, or ended: then the other end is closed.
            while let Err(error) = (&waits).read(&mut [0]) {
                if error.kind() != io::ErrorKind::Interrupted {
                    break;
                }
            }
            let _ = cgroup.wait_until_empty();
            let _ = cgroup.remove();
        })
        .map_err(|errno| failed(&errno))?;
        cgroup.enter().map_err(|error| failed(&error))?;
        // What is held here is closed by execve, not before.
        let _ = started.into_raw_fd();
        std::mem::forget((cgroup, grant));
        Ok(())
    }
}
