//! landlock(7): whether the calling thread is in a Landlock domain.

use std::os::fd::{FromRawFd, OwnedFd};

use crate::{Errno, caps};

/// How many domains a thread may be in, one within the other.
const MAX_LAYERS: u32 = 16;

/// Returns the version of the interface, 4 and above with rules for TCP ports. Needs no privilege.
///
/// # Errors
/// `ENOSYS` before 5.13 or without Landlock in the kernel, `EOPNOTSUPP` if it is switched off.
pub fn abi() -> Result<u32, Errno> {
    const VERSION: u32 = 1;
    let none = std::ptr::null::<u64>();
    // SAFETY: for the version the pointer has to be null.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION) };
    u32::try_from(abi).map_err(|_| Errno::last())
}

/// Returns whether the calling thread is in a domain, which nothing tells directly: a thread made
/// for the purpose enters further domains until no more are allowed. The calling thread stays as
/// it is. Needs no privilege.
///
/// # Errors
/// Those of [`abi`]; `EPERM` where a seccomp filter forbids it.
pub fn is_restricted() -> Result<bool, Errno> {
    abi()?;
    let tried = std::thread::Builder::new().spawn(|| -> Result<bool, Errno> {
        caps::set_no_new_privs()?;
        let ruleset = create_ruleset()?;
        for _ in 0..MAX_LAYERS {
            match restrict_self(&ruleset) {
                Ok(()) => {}
                Err(Errno::E2BIG) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
        Ok(false)
    });
    let tried = tried.map_err(Errno::from)?;
    tried.join().unwrap_or(Err(Errno::EIO))
}

/// Puts the calling thread, and what it starts, into a domain that forbids `bind` of TCP sockets
/// but for these ports. Needs `no_new_privs` or `CAP_SYS_ADMIN`.
///
/// # Errors
/// `EPERM` without either; `EINVAL` before 6.7; those of [`abi`].
pub fn restrict_tcp_bind(allowed: &[u16]) -> Result<(), Errno> {
    let rules: Vec<(u64, u16)> = allowed.iter().map(|port| (BIND_TCP, *port)).collect();
    restrict_tcp(BIND_TCP, &rules)
}

/// The right to `bind` a TCP socket.
pub const BIND_TCP: u64 = 1;
/// The right to `connect` one.
pub const CONNECT_TCP: u64 = 2;

/// Puts the calling thread, and what it starts, into a domain that forbids the rights `handled` but
/// for those named with a port. Needs `no_new_privs` or `CAP_SYS_ADMIN`.
///
/// # Errors
/// As [`restrict_tcp_bind`]; `EINVAL` for a rule with a right that is not handled.
pub fn restrict_tcp(handled: u64, rules: &[(u64, u16)]) -> Result<(), Errno> {
    const RULE_NET_PORT: u32 = 2;
    let ruleset = ruleset(&[0, handled])?;
    for (rights, port) in rules {
        let rule = [*rights, u64::from(*port)];
        // SAFETY: a rule for a port is two numbers of 64 bits.
        let result = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                std::os::fd::AsRawFd::as_raw_fd(&ruleset),
                RULE_NET_PORT,
                rule.as_ptr(),
                0u32,
            )
        };
        if result < 0 {
            return Err(Errno::last());
        }
    }
    restrict_self(&ruleset)
}

/// A ruleset that concerns next to nothing.
fn create_ruleset() -> Result<OwnedFd, Errno> {
    const MAKE_BLOCK: u64 = 1 << 11;
    ruleset(&[MAKE_BLOCK])
}

fn ruleset(handled: &[u64]) -> Result<OwnedFd, Errno> {
    // SAFETY: the attributes are numbers of 64 bits; a kernel takes as many as it knows.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            handled.as_ptr(),
            size_of_val(handled),
            0u32,
        )
    };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call made it and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn restrict_self(ruleset: &OwnedFd) -> Result<(), Errno> {
    let fd = std::os::fd::AsRawFd::as_raw_fd(ruleset);
    // SAFETY: takes no pointer.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd, 0u32) };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_whether_it_is_in_a_domain() {
        let abi = match abi() {
            Ok(abi) => abi,
            Err(errno) => return crate::not_run!("no Landlock here: {errno}"),
        };
        if abi < 4 {
            return crate::not_run!("this Landlock knows no ports");
        }
        let before = is_restricted();
        std::thread::spawn(move || {
            caps::set_no_new_privs().unwrap();
            restrict_tcp_bind(&[0]).unwrap();
            assert_eq!(is_restricted(), Ok(true));
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_ok());
            let error = std::net::TcpListener::bind("127.0.0.1:65533").unwrap_err();
            assert_eq!(Errno::from(error), Errno::EACCES);
        })
        .join()
        .unwrap();
        assert_eq!(is_restricted(), before, "the thread that asks stays as it is");
    }
}
