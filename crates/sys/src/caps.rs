//! capabilities(7), credentials(7): capability sets and ids of one thread.
//!
//! Everything here changes the calling *thread* only; the C library's functions of the same
//! names change all threads of the process.

use crate::Errno;

/// The sets capget(2) and capset(2) know, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// What permission checks look at.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What may survive execve(2) together with the file's inheritable set.
    pub inheritable: u64,
}

/// The capabilities by number, without the prefix `CAP_`, in lower case.
pub const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `CAP_KILL`.
pub const KILL: u8 = 5;
/// `CAP_SETGID`.
pub const SETGID: u8 = 6;
/// `CAP_SETUID`.
pub const SETUID: u8 = 7;
/// `CAP_NET_BIND_SERVICE`.
pub const NET_BIND_SERVICE: u8 = 10;
/// `CAP_NET_ADMIN`.
pub const NET_ADMIN: u8 = 12;
/// `CAP_NET_RAW`.
pub const NET_RAW: u8 = 13;
/// `CAP_SYS_ADMIN`.
pub const SYS_ADMIN: u8 = 21;
/// `CAP_SYS_PTRACE`.
pub const SYS_PTRACE: u8 = 19;
/// `CAP_PERFMON` (≥ 5.8): BPF programs may read the kernel's memory.
pub const PERFMON: u8 = 38;
/// `CAP_BPF` (≥ 5.8): may load BPF programs.
pub const BPF: u8 = 39;

/// Returns the number of a capability, with or without `cap_`, in any case.
pub fn by_name(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("cap_").unwrap_or(&name);
    NAMES.iter().position(|known| *known == name).and_then(|number| u8::try_from(number).ok())
}

/// Returns the name of a capability without `cap_`, in small letters.
pub fn name(capability: u8) -> Option<&'static str> {
    NAMES.get(usize::from(capability)).copied()
}

/// The bit of a capability in a set.
pub const fn bit(capability: u8) -> u64 {
    1 << (capability & 63)
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

// _LINUX_CAPABILITY_VERSION_3: 64 bits in two halves.
const VERSION: u32 = 0x2008_0522;

/// capget(2) of a thread; 0 is the calling one. Needs no privilege.
///
/// # Errors
/// `ESRCH` if there is no such thread.
pub fn get(pid: u32) -> Result<Sets, Errno> {
    let mut header = Header { version: VERSION, pid: pid.cast_signed() };
    let mut data = [Data::default(); 2];
    // SAFETY: the pointers are to a header and to the two halves version 3 has.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join = |half: fn(&Data) -> u32| u64::from(half(&data[0])) | u64::from(half(&data[1])) << 32;
    Ok(Sets {
        effective: join(|data| data.effective),
        permitted: join(|data| data.permitted),
        inheritable: join(|data| data.inheritable),
    })
}

/// capset(2) of the calling thread.
///
/// # Errors
/// `EPERM` if it would gain something it is not permitted.
pub fn set(sets: &Sets) -> Result<(), Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: the pointers are to a header and to the two halves version 3 has.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
}

/// Says whether the bounding set has a capability. Needs no privilege.
///
/// # Errors
/// `EINVAL` if the kernel does not know it.
pub fn bounding_has(capability: u8) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, capability.into(), 0).map(|value| value != 0)
}

/// Drops a capability from the bounding set: execve(2) can no longer give it. Needs
/// `CAP_SETPCAP`.
///
/// # Errors
/// `EPERM`; `EINVAL` if the kernel does not know it.
pub fn bounding_drop(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map(drop)
}

/// Drops every capability the kernel knows from the bounding set. Needs `CAP_SETPCAP`.
///
/// # Errors
/// `EPERM`.
pub fn bounding_clear() -> Result<(), Errno> {
    for capability in 0..64 {
        match bounding_drop(capability) {
            // The first number beyond the last capability.
            Err(Errno::EINVAL) => break,
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Adds a capability to the ambient set, which execve(2) keeps. It has to be permitted and
/// inheritable already.
///
/// # Errors
/// `EPERM` if it is not, or securebits(7) forbid it; `EINVAL` if the kernel does not know it.
pub fn ambient_raise(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, capability.into()).map(drop)
}

/// Empties the ambient set.
///
/// # Errors
/// `EINVAL` before 4.3.
pub fn ambient_clear() -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0).map(drop)
}

/// Lets the permitted set survive the next change of uids from 0 (`PR_SET_KEEPCAPS`).
///
/// # Errors
/// `EPERM` if securebits lock it.
pub fn keep_caps(on: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, on.into(), 0).map(drop)
}

/// Gives up gaining privileges by execve(2), for good (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// `EINVAL` before 3.5.
pub fn set_no_new_privs() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Reads `no_new_privs`.
///
/// # Errors
/// `EINVAL` before 3.5.
pub fn no_new_privs() -> Result<bool, Errno> {
    prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0).map(|value| value != 0)
}

/// Reads the securebits of the calling thread, see capabilities(7).
///
/// # Errors
/// None is known.
pub fn securebits() -> Result<u32, Errno> {
    prctl(libc::PR_GET_SECUREBITS, 0, 0).map(i32::cast_unsigned)
}

/// Sets real, effective and saved uid; `None` leaves one as it is.
///
/// # Errors
/// `EPERM` without `CAP_SETUID` unless each new id is one of the three; `EINVAL` for an id not
/// mapped into the user namespace.
#[inline]
pub fn set_uids(
    real: Option<u32>,
    effective: Option<u32>,
    saved: Option<u32>,
) -> Result<(), Errno> {
    let [real, effective, saved] = [real, effective, saved].map(|id| id.unwrap_or(u32::MAX));
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(SYS_SETRESUID, real, effective, saved) })
}

/// Sets real, effective and saved gid; `None` leaves one as it is.
///
/// # Errors
/// `EPERM` without `CAP_SETGID` unless each new id is one of the three; `EINVAL` for an id not
/// mapped into the user namespace.
#[inline]
pub fn set_gids(
    real: Option<u32>,
    effective: Option<u32>,
    saved: Option<u32>,
) -> Result<(), Errno> {
    let [real, effective, saved] = [real, effective, saved].map(|id| id.unwrap_or(u32::MAX));
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(SYS_SETRESGID, real, effective, saved) })
}

/// Sets the supplementary groups. Needs `CAP_SETGID`.
///
/// # Errors
/// `EPERM`, also in a user namespace whose `setgroups` file says `deny`.
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the length and pointer describe `groups`.
    check(unsafe { libc::syscall(SYS_SETGROUPS, groups.len(), groups.as_ptr()) })
}

// Where uids once had 16 bits the plain names still do.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use libc::{
    SYS_setgroups as SYS_SETGROUPS, SYS_setresgid as SYS_SETRESGID, SYS_setresuid as SYS_SETRESUID,
};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{
    SYS_setgroups32 as SYS_SETGROUPS, SYS_setresgid32 as SYS_SETRESGID,
    SYS_setresuid32 as SYS_SETRESUID,
};

fn prctl(operation: i32, second: u64, third: u64) -> Result<i32, Errno> {
    let (second, third) = (second as libc::c_ulong, third as libc::c_ulong);
    let none: libc::c_ulong = 0;
    // SAFETY: none of the operations used in this file takes a pointer.
    let result = unsafe { libc::prctl(operation, second, third, none, none) };
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

#[inline]
fn check(result: libc::c_long) -> Result<(), Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(by_name("CAP_NET_BIND_SERVICE"), Some(NET_BIND_SERVICE));
        assert_eq!(by_name("sys_admin"), Some(SYS_ADMIN));
        assert_eq!(by_name("setuid"), Some(SETUID));
        assert_eq!(by_name("cap_nothing"), None);
        assert_eq!(NAMES[usize::from(NET_RAW)], "net_raw");
        assert_eq!(bit(NET_BIND_SERVICE), 0x400);
    }

    #[test]
    fn the_sets_are_those_in_status() {
        let sets = get(0).unwrap();
        let status = crate::proc::Proc::default().thread_status().unwrap();
        assert_eq!(sets.effective, status.capabilities.effective);
        assert_eq!(sets.permitted, status.capabilities.permitted);
        assert_eq!(sets.inheritable, status.capabilities.inheritable);
        let bounding = status.capabilities.bounding;
        assert_eq!(bounding_has(NET_RAW), Ok(bounding & bit(NET_RAW) != 0));
        assert_eq!(no_new_privs().ok(), status.no_new_privs);
    }

    #[test]
    fn giving_up_concerns_this_thread_only() {
        let before = get(0).unwrap();
        std::thread::spawn(|| {
            set(&Sets::default()).unwrap();
            assert_eq!(get(0), Ok(Sets::default()));
            set_no_new_privs().unwrap();
            assert_eq!(no_new_privs(), Ok(true));
        })
        .join()
        .unwrap();
        assert_eq!(get(0), Ok(before));
    }

    #[test]
    fn uids_of_one_thread_change_and_return() {
        if get(0).unwrap().effective & bit(by_name("setuid").unwrap()) == 0 {
            crate::not_run!("needs CAP_SETUID");
            return;
        }
        std::thread::spawn(|| {
            let proc = crate::proc::Proc::default();
            set_uids(None, Some(65534), None).unwrap();
            assert_eq!(proc.thread_status().unwrap().uids.effective, 65534);
            assert_eq!(get(0).unwrap().effective, 0);
            set_uids(None, Some(0), None).unwrap();
            set_groups(&[]).unwrap();
            set_gids(Some(65534), None, None).unwrap();
            assert_eq!(proc.thread_status().unwrap().gids.real, 65534);
            bounding_clear().unwrap();
            assert_eq!(bounding_has(NET_RAW), Ok(false));
        })
        .join()
        .unwrap();
        assert_ne!(crate::proc::Proc::default().thread_status().unwrap().gids.real, 65534);
    }
}
