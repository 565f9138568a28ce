//! poll(2) on several sockets at once.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::{Socket, check};
use crate::Errno;

/// Sockets to wait for, and what was seen of each. It may be used again.
#[derive(Default)]
pub struct Poll {
    fds: Vec<libc::pollfd>,
}

impl Poll {
    /// Forgets every socket.
    pub fn clear(&mut self) {
        self.fds.clear();
    }

    /// Adds a socket, whose place is the number of those added before. It must stay open until
    /// [`Poll::wait`] is over.
    pub fn add(&mut self, socket: &Socket) {
        self.fds.push(libc::pollfd { fd: socket.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    }

    /// Waits until one has something to read or an error; false if the time is over.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, Errno> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            let count = self.fds.len() as libc::nfds_t;
            // SAFETY: the pointer and count describe `fds`.
            match check(unsafe { libc::poll(self.fds.as_mut_ptr(), count, milliseconds) }) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Whether the socket at this place had something to read.
    pub fn is_readable(&self, at: usize) -> bool {
        self.fds.get(at).is_some_and(|fd| fd.revents & libc::POLLIN != 0)
    }

    /// Whether the socket at this place had an error.
    pub fn has_error(&self, at: usize) -> bool {
        self.fds.get(at).is_some_and(|fd| fd.revents & libc::POLLERR != 0)
    }
}
