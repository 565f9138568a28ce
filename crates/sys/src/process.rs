//! fork(2), execve(2), prctl(2), credentials(7): programs started as somebody else, that end when
//! whoever started them ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use crate::Errno;
use crate::caps::{self, Sets};

/// Who a thread or a program is to be. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved uid.
    pub uid: Option<u32>,
    /// Real, effective and saved gid.
    pub gid: Option<u32>,
    /// Supplementary groups.
    pub groups: Option<Vec<u32>>,
    /// The capabilities that stay in the bounding set.
    pub bounding: Option<u64>,
    /// Effective, permitted and inheritable capabilities; with `None` those stay that a change of
    /// uid leaves.
    pub sets: Option<Sets>,
    /// The ambient capabilities, which have to be permitted and inheritable.
    pub ambient: Option<u64>,
}

impl Credentials {
    /// Takes them on for the calling *thread*, with the privileges that each call needs.
    ///
    /// Allocates nothing, so that it can be called between fork(2) and execve(2).
    ///
    /// # Errors
    /// `EPERM` without `CAP_SETUID`, `CAP_SETGID` or `CAP_SETPCAP` where they are needed, or if
    /// more is asked for than is permitted; `EINVAL` for an id that is not mapped. The thread is
    /// then somewhere in between and must not go on.
    pub fn take(&self) -> Result<(), Errno> {
        if let Some(kept) = self.bounding {
            for capability in 0..64 {
                match caps::bounding_has(capability) {
                    // The first number beyond the last capability.
                    Err(Errno::EINVAL) => break,
                    Ok(true) if kept & caps::bit(capability) == 0 => {
                        caps::bounding_drop(capability)?;
                    }
                    Ok(_) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        if let Some(groups) = &self.groups {
            caps::set_groups(groups)?;
        }
        if self.gid.is_some() {
            caps::set_gids(self.gid, self.gid, self.gid)?;
        }
        if self.uid.is_some() {
            // What is permitted must outlive uid 0 if it is to be chosen from afterwards.
            caps::keep_caps(self.sets.is_some())?;
            caps::set_uids(self.uid, self.uid, self.uid)?;
            caps::keep_caps(false)?;
        }
        if let Some(sets) = &self.sets {
            caps::set(sets)?;
        }
        if let Some(ambient) = self.ambient {
            caps::ambient_clear()?;
            for capability in (0..64).filter(|c| ambient & caps::bit(*c) != 0) {
                match caps::ambient_raise(capability) {
                    Err(Errno::EINVAL) => break,
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }
}

/// How a program is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Who it is, from before execve(2).
    pub credentials: Credentials,
    /// It leads a session of its own, without terminal: setsid(2).
    pub new_session: bool,
    /// It is killed when the *thread* that started it ends (`PR_SET_PDEATHSIG`). A program with
    /// file capabilities or set-user-ID loses this at execve(2).
    pub dies_with_parent: bool,
}

impl Start {
    /// Starts `command`.
    ///
    /// # Errors
    /// That of the call that failed: fork(2), one of [`Credentials::take`], execve(2).
    pub fn spawn(self, command: &mut Command) -> io::Result<Child> {
        let in_child =
            move || self.in_child().map_err(|Errno(errno)| io::Error::from_raw_os_error(errno));
        // SAFETY: the closure makes system calls only: it allocates nothing and takes no lock, so
        // it may run in the child of a process with several threads.
        unsafe { command.pre_exec(in_child) };
        command.spawn()
    }

    fn in_child(&self) -> Result<(), Errno> {
        if self.new_session {
            // SAFETY: takes no pointer.
            check(unsafe { libc::setsid() })?;
        }
        self.credentials.take()?;
        if self.dies_with_parent {
            // After the credentials, whose change clears it.
            die_with_parent()?;
        }
        Ok(())
    }
}

/// Runs `run` in a child process, which ends with what it returns, and returns its pid. Needs a
/// process with one thread: a lock that another thread holds would stay locked in the child.
///
/// # Errors
/// `EBUSY` with several threads; those of fork(2).
pub fn fork(run: impl FnOnce() -> i32) -> Result<u32, Errno> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: no other thread holds a lock or is in the middle of anything.
    match unsafe { libc::fork() } {
        0 => {
            let run = std::panic::AssertUnwindSafe(run);
            let status = std::panic::catch_unwind(run).unwrap_or(101);
            // SAFETY: ends the child at once, without what is meant for its parent's end.
            unsafe { libc::_exit(status) }
        }
        pid @ 1.. => Ok(pid.cast_unsigned()),
        _ => Err(Errno::last()),
    }
}

/// Runs `run` in the background: in a process that belongs to no terminal and is nobody's child,
/// in the root directory, with no descriptor but `kept`. Needs a process with one thread.
///
/// # Errors
/// Those of [`fork`].
pub fn in_background(kept: &[BorrowedFd<'_>], run: impl FnOnce()) -> Result<(), Errno> {
    let between = fork(|| {
        let started = fork(|| {
            // SAFETY: takes no pointer.
            unsafe { libc::setsid() };
            let _ = std::env::set_current_dir("/");
            close_all_but(kept);
            run();
            0
        });
        started.map_or_else(|errno| errno.0, |_| 0)
    })?;
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to an int.
        let waited = unsafe { libc::waitpid(between.cast_signed(), &raw mut status, 0) };
        match check(waited) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(()) if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 => return Ok(()),
            Ok(()) => return Err(Errno(libc::WEXITSTATUS(status))),
        }
    }
}

/// Closes every descriptor but these, and puts `/dev/null` in the place of the first three. Whoever
/// owned one in this process must not use it any more.
fn close_all_but(kept: &[BorrowedFd<'_>]) {
    // SAFETY: the path ends with a zero byte.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    for fd in 0..3 {
        // SAFETY: takes no pointer; what these were is of no use here.
        unsafe { libc::dup2(null, fd) };
    }
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd.saturating_add(1).max(first);
    }
}

fn close_range(first: u32, last: u32) {
    // SAFETY: takes no pointer; the caller vouches for the descriptors.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
    if done < 0 {
        // Before 5.9.
        for fd in first..=last.min(4096) {
            // SAFETY: as above.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}

/// Returns whether the calling process got this descriptor from whoever started it, and hands it
/// on to what it executes.
pub fn is_handed_on(fd: i32) -> bool {
    // SAFETY: takes no pointer.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Puts descriptors in the places from `first` on, where the next program gets them. What was
/// there is closed: it must be nothing that is still used. Returns nothing to close: they stay.
///
/// # Errors
/// `EMFILE`.
pub fn hand_on(fds: Vec<OwnedFd>, first: i32) -> Result<(), Errno> {
    let beyond = first + fds.len() as i32;
    let mut moved = Vec::new();
    for fd in &fds {
        // Out of the way of the places to be filled.
        // SAFETY: takes no pointer.
        let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, beyond) };
        check(copy)?;
        // SAFETY: the call made it and nobody else has it.
        moved.push(unsafe { OwnedFd::from_raw_fd(copy) });
    }
    drop(fds);
    for (place, fd) in (first..).zip(&moved) {
        // SAFETY: takes no pointer.
        check(unsafe { libc::dup2(fd.as_raw_fd(), place) })?;
    }
    Ok(())
}

/// Returns whether the calling process was started with more rights than who started it had, by
/// its file's set-id bits or capabilities (`AT_SECURE`, getauxval(3)).
pub fn is_privileged_program() -> bool {
    // SAFETY: takes no pointer.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Lets the kernel kill the calling process when the thread that started it ends.
///
/// # Errors
/// None is known.
pub fn die_with_parent() -> Result<(), Errno> {
    let signal = libc::SIGKILL as libc::c_ulong;
    // SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })
}

/// Makes the calling process the parent of whatever its descendants leave behind
/// (`PR_SET_CHILD_SUBREAPER`, ≥ 3.4).
///
/// # Errors
/// None is known.
pub fn adopt_orphans() -> Result<(), Errno> {
    let on: libc::c_ulong = 1;
    // SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, on) })
}

/// Sends `SIGKILL` to a child of the calling process, which cannot be another process by mistake
/// as long as nobody has waited for it.
///
/// # Errors
/// `ESRCH`; `EPERM` if it is somebody else by now.
pub fn kill_child(pid: u32) -> Result<(), Errno> {
    let Ok(pid @ 1..) = i32::try_from(pid) else { return Err(Errno::ESRCH) };
    // SAFETY: takes no pointer.
    check(unsafe { libc::kill(pid, libc::SIGKILL) })
}

/// Sends a signal to a process, which this one started or traces.
///
/// # Errors
/// `ESRCH`; `EPERM`.
pub fn signal_process(pid: u32, signal: i32) -> Result<(), Errno> {
    let Ok(pid @ 1..) = i32::try_from(pid) else { return Err(Errno::ESRCH) };
    // SAFETY: takes no pointer.
    check(unsafe { libc::kill(pid, signal) })
}

/// How a child has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended.
    Ended(ExitStatus),
    /// Job control has stopped it.
    Stopped,
}

/// Returns how any child of the calling process has changed, with its pid; `None` if none has, or
/// there is none.
pub fn changed() -> Option<(u32, Change)> {
    let mut status = 0;
    // SAFETY: the pointer is to an int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
    let change = match libc::WIFSTOPPED(status) {
        true => Change::Stopped,
        false => Change::Ended(ExitStatus::from_raw(status)),
    };
    (pid > 0).then(|| (pid.cast_unsigned(), change))
}

/// Waits for any child of the calling process that has ended, and returns its pid and status;
/// `None` if there are children and none has.
///
/// # Errors
/// `ECHILD` if it has no child.
pub fn reap() -> Result<Option<(u32, ExitStatus)>, Errno> {
    let mut status = 0;
    // SAFETY: the pointer is to an int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    check(pid)?;
    Ok((pid > 0).then(|| (pid.cast_unsigned(), ExitStatus::from_raw(status))))
}

fn check(result: i32) -> Result<(), Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}
