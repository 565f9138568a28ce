//! socket(7), ip(7), ipv6(7): one thin function per call, for experiments.
//!
//! Each function makes exactly the system calls it names and allocates nothing. Addresses are
//! bytes, so that wrong ones can be tried.

mod address;
mod option;
mod poll;

pub use address::Address;
pub use option::SocketOption;
pub use poll::Poll;

use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::Errno;

/// A socket, closed when dropped.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// socket(2), always close-on-exec. `kind` may contain `SOCK_NONBLOCK`.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`; `EPERM` for raw sockets; `EMFILE`.
    #[inline]
    pub fn new(family: i32, kind: i32, protocol: i32) -> Result<Socket, Errno> {
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
        Ok(Socket::own(fd))
    }

    fn own(fd: i32) -> Socket {
        // SAFETY: the kernel just returned this descriptor to us and nobody else has it.
        Socket { fd: unsafe { OwnedFd::from_raw_fd(fd) } }
    }

    /// bind(2) with all of the address's bytes.
    ///
    /// # Errors
    /// What the kernel answered.
    #[inline]
    pub fn bind(&self, address: &Address) -> Result<(), Errno> {
        // SAFETY: the pointer is to 128 bytes, and the kernel refuses more unread.
        check(unsafe { libc::bind(self.raw(), address.pointer(), address.socklen()) }).map(drop)
    }

    /// listen(2).
    ///
    /// # Errors
    /// What the kernel answered.
    #[inline]
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        // SAFETY: takes no pointer.
        check(unsafe { libc::listen(self.raw(), backlog) }).map(drop)
    }

    /// connect(2). With family `AF_UNSPEC` it disconnects.
    ///
    /// # Errors
    /// What the kernel answered: `EINPROGRESS` on a nonblocking socket that has to wait.
    #[inline]
    pub fn connect(&self, address: &Address) -> Result<(), Errno> {
        // SAFETY: the pointer is to 128 bytes, and the kernel refuses more unread.
        check(unsafe { libc::connect(self.raw(), address.pointer(), address.socklen()) }).map(drop)
    }

    /// connect(2) on a *nonblocking* socket, then waits for the outcome.
    ///
    /// # Errors
    /// What the kernel answered; `EINPROGRESS` if there is no outcome when the time is over.
    pub fn connect_within(&self, address: &Address, timeout: Duration) -> Result<(), Errno> {
        match self.connect(address) {
            Err(Errno::EINPROGRESS) => {}
            outcome => return outcome,
        }
        if !self.wait(libc::POLLOUT, timeout)? {
            return Err(Errno::EINPROGRESS);
        }
        match self.get(SocketOption::SO_ERROR)? {
            0 => Ok(()),
            error => Err(Errno(error)),
        }
    }

    /// accept4(2), close-on-exec.
    ///
    /// # Errors
    /// What the kernel answered: `EAGAIN` on a nonblocking socket that has to wait.
    pub fn accept(&self) -> Result<(Socket, Address), Errno> {
        let mut address = Address::EMPTY;
        let fd = address.fill(|pointer, length| {
            // SAFETY: `fill` passes a buffer and its length.
            unsafe { libc::accept4(self.raw(), pointer, length, libc::SOCK_CLOEXEC) as isize }
        })?;
        Ok((Socket::own(fd as i32), address))
    }

    /// Waits for a connection, then accept4(2).
    ///
    /// # Errors
    /// What the kernel answered; `EAGAIN` if none came in time.
    pub fn accept_within(&self, timeout: Duration) -> Result<(Socket, Address), Errno> {
        if self.wait(libc::POLLIN, timeout)? { self.accept() } else { Err(Errno::EAGAIN) }
    }

    /// poll(2) for `POLLIN` or `POLLOUT`; false if the time is over. Errors count as ready.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn wait(&self, events: i16, timeout: Duration) -> Result<bool, Errno> {
        let end = Instant::now() + timeout;
        let mut poll = libc::pollfd { fd: self.raw(), events, revents: 0 };
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be spent spinning.
            let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            // SAFETY: the pointer is to one pollfd.
            match check(unsafe { libc::poll(&raw mut poll, 1, milliseconds) }) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// getsockname(2).
    ///
    /// # Errors
    /// What the kernel answered.
    #[inline]
    pub fn local_address(&self) -> Result<Address, Errno> {
        let mut address = Address::EMPTY;
        address.fill(|pointer, length| {
            // SAFETY: `fill` passes a buffer and its length.
            unsafe { libc::getsockname(self.raw(), pointer, length) as isize }
        })?;
        Ok(address)
    }

    /// getpeername(2).
    ///
    /// # Errors
    /// `ENOTCONN` if it is not connected.
    pub fn peer_address(&self) -> Result<Address, Errno> {
        let mut address = Address::EMPTY;
        address.fill(|pointer, length| {
            // SAFETY: `fill` passes a buffer and its length.
            unsafe { libc::getpeername(self.raw(), pointer, length) as isize }
        })?;
        Ok(address)
    }

    /// shutdown(2) with `SHUT_RD`, `SHUT_WR` or `SHUT_RDWR`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn shutdown(&self, how: i32) -> Result<(), Errno> {
        // SAFETY: takes no pointer.
        check(unsafe { libc::shutdown(self.raw(), how) }).map(drop)
    }

    /// send(2) without SIGPIPE.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = libc::MSG_NOSIGNAL;
        // SAFETY: the pointer and length describe `bytes`.
        size(unsafe { libc::send(self.raw(), bytes.as_ptr().cast(), bytes.len(), flags) })
    }

    /// sendto(2) without SIGPIPE.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn send_to(&self, bytes: &[u8], to: &Address) -> Result<usize, Errno> {
        // SAFETY: the first pointer and length describe `bytes`; the second pointer is to 128
        // bytes, and the kernel refuses more unread.
        size(unsafe {
            libc::sendto(
                self.raw(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
                to.pointer(),
                to.socklen(),
            )
        })
    }

    /// recv(2).
    ///
    /// # Errors
    /// What the kernel answered: `EAGAIN` on a nonblocking socket that has to wait.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the pointer and length describe `buffer`.
        size(unsafe { libc::recv(self.raw(), buffer.as_mut_ptr().cast(), buffer.len(), 0) })
    }

    /// Waits for something to read, then recvfrom(2). The sender is empty for streams.
    ///
    /// # Errors
    /// What the kernel answered; `EAGAIN` if nothing came in time.
    pub fn recv_within(
        &self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<(usize, Address), Errno> {
        if !self.wait(libc::POLLIN, timeout)? {
            return Err(Errno::EAGAIN);
        }
        let mut from = Address::EMPTY;
        let got = from.fill(|pointer, length| {
            let (start, room) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: the pointers and lengths describe `buffer` and the buffer of `fill`.
            unsafe { libc::recvfrom(self.raw(), start, room, 0, pointer, length) }
        })?;
        Ok((got, from))
    }

    /// setsockopt(2) with an `int`.
    ///
    /// # Errors
    /// What the kernel answered: `ENOPROTOOPT` if it does not know the option.
    #[inline]
    pub fn set(&self, option: SocketOption, value: i32) -> Result<(), Errno> {
        self.set_raw(option.level, option.number, &value.to_ne_bytes())
    }

    /// Sets `SO_BINDTODEVICE`; an empty name unbinds.
    ///
    /// # Errors
    /// `ENODEV`; `EPERM`: a socket already bound to a device needs `CAP_NET_RAW` (any needs it
    /// before 5.7).
    pub fn bind_to_device(&self, name: &[u8]) -> Result<(), Errno> {
        self.set_raw(libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name)
    }

    /// Sets `SO_LINGER`: close(2) waits that long; after zero seconds it resets the connection.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn set_linger(&self, seconds: Option<u16>) -> Result<(), Errno> {
        let mut value = [0; 8];
        value[..4].copy_from_slice(&i32::from(seconds.is_some()).to_ne_bytes());
        value[4..].copy_from_slice(&i32::from(seconds.unwrap_or(0)).to_ne_bytes());
        self.set_raw(libc::SOL_SOCKET, libc::SO_LINGER, &value)
    }

    /// Sets `SO_SNDTIMEO`: how long connect(2) and send(2) of a blocking socket wait, for ever if
    /// zero. A connect(2) that waited in vain answers `EINPROGRESS`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn set_send_timeout(&self, timeout: Duration) -> Result<(), Errno> {
        self.set_timeout(libc::SO_SNDTIMEO, timeout)
    }

    /// Sets `SO_RCVTIMEO`: how long recv(2) of a blocking socket waits, for ever if zero.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn set_receive_timeout(&self, timeout: Duration) -> Result<(), Errno> {
        self.set_timeout(libc::SO_RCVTIMEO, timeout)
    }

    fn set_timeout(&self, option: i32, timeout: Duration) -> Result<(), Errno> {
        let value = libc::timeval {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_usec: timeout.subsec_micros() as libc::suseconds_t,
        };
        let length = mem::size_of_val(&value) as libc::socklen_t;
        // SAFETY: the pointer and length describe `value`.
        check(unsafe {
            libc::setsockopt(
                self.raw(),
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                length,
            )
        })
        .map(drop)
    }

    /// setsockopt(2) with any value.
    ///
    /// # Errors
    /// What the kernel answered.
    #[inline]
    pub fn set_raw(&self, level: i32, number: i32, value: &[u8]) -> Result<(), Errno> {
        let length = value.len() as libc::socklen_t;
        // SAFETY: the pointer and length describe `value`.
        check(unsafe { libc::setsockopt(self.raw(), level, number, value.as_ptr().cast(), length) })
            .map(drop)
    }

    /// getsockopt(2) of an `int`.
    ///
    /// # Errors
    /// What the kernel answered: `ENOPROTOOPT` if it does not know the option.
    #[inline]
    pub fn get(&self, option: SocketOption) -> Result<i32, Errno> {
        self.get_raw(option.level, option.number)
    }

    /// Reads `SO_COOKIE` (≥ 4.6), the number sock_diag knows the socket by.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn cookie(&self) -> Result<u64, Errno> {
        self.get_raw(libc::SOL_SOCKET, libc::SO_COOKIE)
    }

    /// getsockopt(2) of an option whose value is a number of 64 bits.
    ///
    /// # Errors
    /// What the kernel answered, such as `ENOPROTOOPT`.
    pub fn number64(&self, level: i32, number: i32) -> Result<u64, Errno> {
        self.get_raw(level, number)
    }

    /// getsockopt(2) into `value`, which may also tell the kernel what is asked for.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn get_bytes(&self, level: i32, number: i32, value: &mut [u8]) -> Result<(), Errno> {
        let mut length = value.len() as libc::socklen_t;
        // SAFETY: the pointer and length describe `value`.
        check(unsafe {
            let pointer = value.as_mut_ptr().cast();
            libc::getsockopt(self.raw(), level, number, pointer, &raw mut length)
        })
        .map(drop)
    }

    // Only for integers, of which every pattern of bits is valid.
    #[inline]
    fn get_raw<T: From<u8>>(&self, level: i32, number: i32) -> Result<T, Errno> {
        let mut value = T::from(0);
        let mut length = mem::size_of::<T>() as libc::socklen_t;
        // SAFETY: the pointer and length describe `value`, an integer.
        check(unsafe {
            libc::getsockopt(self.raw(), level, number, (&raw mut value).cast(), &raw mut length)
        })?;
        Ok(value)
    }

    /// The inode of the socket's file (fstat(2)), the number `/proc/PID/fd` shows.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn inode(&self) -> Result<u64, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the pointer is to a stat, which the call fills if it succeeds.
        check(unsafe { libc::fstat(self.raw(), stat.as_mut_ptr()) })?;
        // SAFETY: filled just now.
        Ok(unsafe { stat.assume_init() }.st_ino)
    }

    #[inline]
    fn raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket { fd }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.fd
    }
}

#[inline]
fn check(result: i32) -> Result<i32, Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

#[inline]
fn size(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::last())
}
