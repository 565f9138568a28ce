//! pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2): a process that cannot be mistaken for
//! another one that got its number later.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{self, Pid, PidfdFlags, PidfdGetfdFlags};

use crate::{Errno, Error};

/// A process, kept apart from those that get its number after it.
#[derive(Debug)]
pub struct PidFd {
    pid: u32,
    fd: OwnedFd,
}

impl PidFd {
    /// pidfd_open(2), ≥ 5.3. Needs no privilege.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process; `ENOSYS`.
    pub fn open(pid: u32) -> Result<PidFd, Error> {
        let about = || format!("of {pid}");
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| Error::about("pidfd_open", Errno::EINVAL, about()))?;
        let fd = process::pidfd_open(number, PidfdFlags::empty())
            .map_err(|errno| Error::about("pidfd_open", Errno(errno.raw_os_error()), about()))?;
        Ok(PidFd { pid, fd })
    }

    /// The process of a thread: by the thread (≥ 6.9), or by the number of its process, which
    /// before costs a look into `/proc`. Needs no privilege.
    ///
    /// # Errors
    /// `ESRCH` if there is no such thread.
    pub fn of_thread(tid: u32) -> Result<PidFd, Error> {
        const PIDFD_THREAD: u32 = libc::O_EXCL as u32;
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid, PIDFD_THREAD) };
        if fd >= 0 {
            // SAFETY: the call made it and nobody else has it.
            return Ok(PidFd { pid: tid, fd: unsafe { OwnedFd::from_raw_fd(fd as i32) } });
        }
        match Errno::last() {
            Errno::EINVAL => PidFd::open(crate::proc::Proc::default().status(tid)?.tgid),
            errno => Err(Error::about("pidfd_open", errno, format!("of {tid}"))),
        }
    }

    /// The number it was opened by.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Fetches one of its descriptors (pidfd_getfd(2), ≥ 5.6): the same open file, not a copy.
    ///
    /// Whatever is *done* with it happens to the process; reading socket options changes
    /// nothing. Needs the right to attach a debugger (`CAP_SYS_PTRACE`, or the same user where
    /// Yama allows it).
    ///
    /// # Errors
    /// `EPERM`; `EBADF` if it has no such descriptor; `ESRCH` if it has ended.
    pub fn get_fd(&self, fd: u32) -> Result<OwnedFd, Error> {
        let about = || format!("of {} fd {fd}", self.pid);
        let number =
            i32::try_from(fd).map_err(|_| Error::about("pidfd_getfd", Errno::EBADF, about()))?;
        process::pidfd_getfd(&self.fd, number, PidfdGetfdFlags::empty())
            .map_err(|errno| Error::about("pidfd_getfd", Errno(errno.raw_os_error()), about()))
    }

    /// pidfd_send_signal(2), with a number such as `SIGTERM`; 0 only checks.
    ///
    /// # Errors
    /// `EPERM`; `ESRCH` if it has ended; `EINVAL` for a number that is no signal.
    pub fn send_signal(&self, signal: i32) -> Result<(), Error> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the pointer to what the signal carries may be null.
        let result = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), signal, none, 0)
        };
        if result < 0 {
            let about = format!("signal {signal} to {}", self.pid);
            return Err(Error::about("pidfd_send_signal", Errno::last(), about));
        }
        Ok(())
    }

    /// Waits until it has ended; false if it has not when the time is over.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let timeout = timeout.try_into().ok();
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, timeout.as_ref())
            .map(|ready| ready > 0)
            .map_err(|errno| Error::new("poll", Errno(errno.raw_os_error())))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
