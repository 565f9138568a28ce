//! seccomp_unotify(2): calls that another process answers.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Call, Filter, decode};
use crate::Errno;

/// Where calls that wait for an answer are received. Once every copy is closed they, and all later
/// ones, answer `ENOSYS`.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    id: u64,
    /// The thread that makes it, as this process numbers it.
    pub tid: u32,
    /// The call; `None` if it is none of those that are singled out.
    pub call: Option<Call>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A call waits.
    Call,
    /// No process is left that could make one.
    Closed,
    /// Neither, but a signal came or the other descriptor is readable.
    Other,
}

impl Filter {
    /// Puts the filter in front of the calls of the calling thread and what it starts; those that
    /// it singles out are to be answered by whoever has the listener. Where the kernel can (≥ 5.19)
    /// only a deadly signal interrupts a call that was received; the second value says so.
    /// Allocates nothing.
    ///
    /// # Errors
    /// `EBUSY` if there is a listener in force already; those of [`Filter::install`].
    pub fn install_with_listener(&self) -> Result<(Listener, bool), Errno> {
        let new = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
        let (fd, is_killable) = match self.set(new | WAIT_KILLABLE_RECV) {
            Ok(fd) => (fd, true),
            Err(Errno::EINVAL) => (self.set(new)?, false),
            Err(errno) => return Err(errno),
        };
        // SAFETY: the call made it, close-on-exec, and nobody else has it.
        Ok((Listener(unsafe { OwnedFd::from_raw_fd(fd as i32) }), is_killable))
    }
}

impl Listener {
    /// A listener that was received from the process that made it.
    pub fn from_fd(fd: OwnedFd) -> Listener {
        Listener(fd)
    }

    /// Wakes whoever is answered on the same processor (≥ 6.6), which costs less. Without effect
    /// before.
    pub fn answer_on_same_processor(&self) {
        const SET_FLAGS: libc::Ioctl = 0x4008_2104;
        const SYNC_WAKE_UP: u64 = 1;
        // SAFETY: takes no pointer.
        unsafe { libc::ioctl(self.0.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
    }

    /// Waits for a call, the end of all processes, a signal, or that `other` becomes readable.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, other: Option<BorrowedFd<'_>>) -> Result<Ready, Errno> {
        let one = |fd: i32| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [one(self.0.as_raw_fd()), one(other.map_or(-1, |fd| fd.as_raw_fd()))];
        // SAFETY: the pointer is to two of these.
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) } < 0 {
            return match Errno::last() {
                Errno::EINTR => Ok(Ready::Other),
                errno => Err(errno),
            };
        }
        let [listener, _] = fds;
        Ok(match listener.revents {
            events if events & libc::POLLIN != 0 => Ready::Call,
            events if events & libc::POLLHUP != 0 => Ready::Closed,
            _ => Ready::Other,
        })
    }

    /// Whether no process is left that could make a call.
    pub fn is_closed(&self) -> bool {
        let mut fd = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one of these.
        unsafe { libc::poll(&raw mut fd, 1, 0) };
        fd.revents & libc::POLLHUP != 0
    }

    /// Receives the next call.
    ///
    /// # Errors
    /// `ENOENT` if its thread was killed meanwhile; `EINTR`.
    pub fn receive(&self) -> Result<Notification, Errno> {
        // SAFETY: all-zero is valid, and what the kernel wants.
        let mut made: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a notification, which the call fills.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut made)
        };
        if result < 0 {
            return Err(Errno::last());
        }
        let number = u64::from(made.data.nr.cast_unsigned());
        let call = decode(made.data.arch, number, &made.data.args);
        Ok(Notification { id: made.id, tid: made.pid, call })
    }

    /// Whether the thread still waits: what was fetched by its number before is then its own.
    pub fn is_waiting(&self, for_: &Notification) -> bool {
        let id = for_.id;
        // SAFETY: the pointer is to a number of 64 bits.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id)
        };
        result == 0
    }

    /// Answers a call.
    ///
    /// # Errors
    /// `ENOENT` if it does not wait any more.
    pub fn answer(&self, to: &Notification, answer: Result<(), Errno>) -> Result<(), Errno> {
        self.send(to, answer.err().map_or(0, |errno| -errno.0), 0)
    }

    /// Lets the thread make the call itself.
    ///
    /// # Errors
    /// `ENOENT` if it does not wait any more.
    pub fn let_through(&self, to: &Notification) -> Result<(), Errno> {
        const CONTINUE: u32 = 1;
        self.send(to, 0, CONTINUE)
    }

    fn send(&self, to: &Notification, error: i32, flags: u32) -> Result<(), Errno> {
        let response = libc::seccomp_notif_resp { id: to.id, val: 0, error, flags };
        // SAFETY: the pointer is to a response, which the call reads.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response)
        };
        if result < 0 { Err(Errno::last()) } else { Ok(()) }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
