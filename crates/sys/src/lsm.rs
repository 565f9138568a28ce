//! lsm_list_modules(2): the security modules of the running kernel.

use crate::{Errno, Error, proc::Proc};

/// Returns the names of the security modules in force, in the order in which they are asked. By
/// system call (≥ 6.8), else from `/sys/kernel/security/lsm`. Needs no privilege.
///
/// # Errors
/// `ENOENT` before 6.8 where securityfs is not mounted; `EBADMSG` for more modules than fit.
pub fn modules(proc: &Proc) -> Result<Vec<String>, Error> {
    match list() {
        Ok(ids) => Ok(ids.into_iter().map(name).collect()),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let text = proc.read("sys/kernel/security/lsm")?;
            let text = String::from_utf8_lossy(&text);
            Ok(text.trim().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
        }
        Err(errno) => Err(Error::new("lsm_list_modules", errno)),
    }
}

fn list() -> Result<Vec<u64>, Errno> {
    // Numbers of system calls this new keep their distance on every architecture.
    const SYS_LSM_LIST_MODULES: libc::c_long = libc::SYS_landlock_restrict_self + 15;
    let mut ids = [0u64; 64];
    let mut size = size_of_val(&ids) as u32;
    // SAFETY: the kernel writes at most `size` bytes to `ids`, and the bytes needed to `size`.
    let count =
        unsafe { libc::syscall(SYS_LSM_LIST_MODULES, ids.as_mut_ptr(), &raw mut size, 0u32) };
    match usize::try_from(count) {
        Ok(count) => ids.get(..count).map(<[u64]>::to_vec).ok_or(Errno::EBADMSG),
        Err(_) => Err(Errno::last()),
    }
}

/// The name of a module by its number in `linux/lsm.h`.
fn name(id: u64) -> String {
    const FIRST: u64 = 100;
    const NAMES: [&str; 14] = [
        "capability",
        "selinux",
        "smack",
        "tomoyo",
        "apparmor",
        "yama",
        "loadpin",
        "safesetid",
        "lockdown",
        "bpf",
        "landlock",
        "ima",
        "evm",
        "ipe",
    ];
    let index = id.checked_sub(FIRST).and_then(|n| usize::try_from(n).ok());
    index.and_then(|n| NAMES.get(n)).map_or_else(|| id.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_always_among_them() {
        match modules(&Proc::default()) {
            Ok(modules) => assert!(modules.iter().any(|m| m == "capability"), "{modules:?}"),
            Err(error) => crate::not_run!("{error}"),
        }
        assert_eq!(
            (name(101), name(110), name(999)),
            ("selinux".into(), "landlock".into(), "999".into())
        );
    }
}
