//! seccomp(2): what the filter of the calling thread does to `bind`, and filters for those who look
//! on or answer.

mod calls;
mod notify;

pub use calls::{Call, Filter, decode};
pub use notify::{Listener, Notification, Ready};

use std::io;

use crate::Errno;

/// What became of a `bind` that the kernel refuses in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindProbe {
    /// It reached the socket: neither a filter nor a security module that goes by the kind of
    /// socket forbids it.
    LetThrough,
    /// It, or making the socket, answered this instead.
    Refused(Errno),
    /// A supervisor answers in the kernel's place, by rules of its own.
    Supervised,
    /// The process was ended for it.
    Killed,
}

/// Tries `bind` with an address of no bytes, on a socket of these kinds, in a child process: the
/// kernel answers `EINVAL` before it looks for an address. Needs no privilege and changes nothing.
///
/// # Errors
/// Those of fork(2) and waitpid(2).
pub fn probe_bind(kinds: &[(i32, i32)]) -> Result<BindProbe, Errno> {
    // SAFETY: the child calls nothing but system calls and ends by `_exit`.
    let child = unsafe { libc::fork() };
    match child {
        0 => {
            let status = in_child(kinds);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(status) }
        }
        1.. => Ok(meaning(wait(child)?)),
        _ => Err(Errno::last()),
    }
}

/// The exit status that stands for a supervisor, beyond any error number.
const SUPERVISED: i32 = 255;

fn in_child(kinds: &[(i32, i32)]) -> i32 {
    // No core file, should the filter end this process.
    // SAFETY: takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    if has_supervisor() {
        return SUPERVISED;
    }
    for (family, kind) in kinds {
        // SAFETY: takes no pointer.
        let socket = unsafe { libc::socket(*family, kind | libc::SOCK_CLOEXEC, 0) };
        if socket < 0 {
            let errno = errno();
            // A kernel without the family is no filter.
            if errno == libc::EAFNOSUPPORT && *family == libc::AF_INET6 {
                continue;
            }
            return errno;
        }
        // SAFETY: all-zero is a valid sockaddr_storage, of which no byte is looked at.
        let address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to an address of at least 0 bytes.
        let result = unsafe { libc::bind(socket, (&raw const address).cast(), 0) };
        if result >= 0 || errno() != libc::EINVAL {
            return if result >= 0 { SUPERVISED } else { errno() };
        }
    }
    0
}

/// Returns whether a filter of the calling process asks a supervisor: there may be one only, so
/// that a second is refused.
fn has_supervisor() -> bool {
    const ALLOW_ALL: libc::sock_filter =
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let mut filter = [ALLOW_ALL];
    let program = libc::sock_fprog { len: 1, filter: filter.as_mut_ptr() };
    // SAFETY: takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the pointer is to a program of one instruction.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    result < 0 && errno() == libc::EBUSY
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn wait(child: libc::pid_t) -> Result<i32, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to one int.
        match unsafe { libc::waitpid(child, &raw mut status, 0) } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(Errno::last()),
            _ => return Ok(status),
        }
    }
}

fn meaning(status: i32) -> BindProbe {
    if !libc::WIFEXITED(status) {
        return BindProbe::Killed;
    }
    match libc::WEXITSTATUS(status) {
        0 => BindProbe::LetThrough,
        SUPERVISED => BindProbe::Supervised,
        errno => BindProbe::Refused(Errno(errno)),
    }
}

/// Forbids `bind` to the calling thread and what it starts, with this answer. Needs
/// `no_new_privs` or `CAP_SYS_ADMIN`.
///
/// # Errors
/// `EACCES` without either; `EINVAL` without seccomp filters in the kernel.
pub fn forbid_bind(answer: Errno) -> Result<(), Errno> {
    let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let give = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let errno = libc::SECCOMP_RET_ERRNO | answer.0.cast_unsigned() & libc::SECCOMP_RET_DATA;
    let number = libc::SYS_bind as u32;
    let mut filter = [
        load(0),
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: number },
        give(errno),
        give(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the pointer is to a program of as many instructions as it says.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps;

    const KINDS: [(i32, i32); 2] =
        [(libc::AF_INET, libc::SOCK_STREAM), (libc::AF_INET6, libc::SOCK_DGRAM)];

    #[test]
    fn a_filter_shows_in_what_it_answers() {
        match probe_bind(&KINDS) {
            Ok(BindProbe::LetThrough) => {}
            other => return crate::not_run!("bind is restricted here: {other:?}"),
        }
        std::thread::spawn(|| {
            caps::set_no_new_privs().unwrap();
            forbid_bind(Errno::ENODEV).unwrap();
            assert_eq!(probe_bind(&KINDS), Ok(BindProbe::Refused(Errno::ENODEV)));
        })
        .join()
        .unwrap();
        assert_eq!(probe_bind(&KINDS), Ok(BindProbe::LetThrough), "of that thread only");
    }
}
