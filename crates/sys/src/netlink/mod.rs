//! netlink(7): one request socket, dumps, and iterators over messages and attributes.
//!
//! Parsing is done by pure functions on bytes; none of them panics or loops on hostile input.

mod message;
mod request;

pub(crate) use message::u32_at;
pub use message::{Attribute, Malformed, Message, attributes, is_whole, messages};
pub use request::Request;

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use crate::{Errno, Error};

/// `NETLINK_ROUTE`: links, addresses, routes, see rtnetlink(7).
pub const NETLINK_ROUTE: i32 = libc::NETLINK_ROUTE;
/// `NETLINK_SOCK_DIAG`: sockets, see sock_diag(7).
pub const NETLINK_SOCK_DIAG: i32 = libc::NETLINK_SOCK_DIAG;

// The kernel never makes a dump message longer than 32 KiB; single answers can be longer. Up to
// 128 KiB the allocator needs no mapping of its own.
const BUFFER: usize = 64 * 1024;
// A table that keeps changing under a dump is asked this often before giving up.
const ATTEMPTS: usize = 16;

/// A netlink socket that talks to the kernel only.
///
/// It belongs to the network namespace the thread was in when it was opened, and keeps talking
/// about that one. It serves any number of requests, one after another.
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
    call: &'static str,
    sequence: u32,
    strict: bool,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
}

impl Netlink {
    /// Opens a socket for one netlink protocol. Needs no privilege.
    ///
    /// `call` is the name errors carry, such as `sock_diag`.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` if the kernel lacks the protocol; `EACCES`, `EPERM` under seccomp or an
    /// LSM.
    pub fn open(protocol: i32, call: &'static str) -> Result<Netlink, Error> {
        // SAFETY: takes no pointer.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol)
        };
        if fd < 0 {
            return Err(Error::about(call, Errno::last(), "socket"));
        }
        // SAFETY: the call above just made it and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all-zero is a valid sockaddr_nl, and nl_pid 0 is the kernel.
        let mut kernel: libc::sockaddr_nl = unsafe { mem::zeroed() };
        kernel.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        // A connected netlink socket refuses messages from other processes.
        // SAFETY: the pointer and length describe `kernel`.
        let rc = unsafe {
            libc::connect(
                fd.as_raw_fd(),
                (&raw const kernel).cast(),
                mem::size_of_val(&kernel) as libc::socklen_t,
            )
        };
        if rc != 0 {
            return Err(Error::about(call, Errno::last(), "connect"));
        }
        let mut socket = Netlink::of(fd, call);
        // The kernel answers at once; whatever emulates it must not hang us.
        socket.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &libc::timeval { tv_sec: 10, tv_usec: 0 });
        if protocol == NETLINK_ROUTE {
            // Both are newer than netlink; without them answers are wider and terser. Sockets are
            // listed the same way with and without.
            socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, &1i32);
            socket.strict = socket.set(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, &1i32);
        }
        Ok(socket)
    }

    fn of(fd: OwnedFd, call: &'static str) -> Netlink {
        let buffer = vec![0; BUFFER];
        Netlink { fd, call, sequence: 0, strict: false, buffer, deadline: None }
    }

    /// Gives up what takes longer than until then.
    ///
    /// What is left of the answer is not read, however long: the kernel walks through a set of
    /// nf_tables from its beginning for each part of it. The socket is of no use afterwards.
    pub fn until(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Whether the time is over that was set.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    fn set<T>(&self, level: i32, option: i32, value: &T) -> bool {
        // SAFETY: the pointer and length describe `value`.
        unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                mem::size_of::<T>() as libc::socklen_t,
            ) == 0
        }
    }

    /// Says whether the kernel (≥ 4.20) applies the filters of a dump request for
    /// `NETLINK_ROUTE`.
    ///
    /// Where it does not, it answers with everything and the caller has to filter.
    pub fn filters_dumps(&self) -> bool {
        self.strict
    }

    /// Asks for a table and returns what `parse` makes of each message, in the kernel's order.
    ///
    /// `parse` returns `Ok(None)` to skip a message. A dump the kernel marks as interrupted by a
    /// change of the table (`NLM_F_DUMP_INTR`) is asked again.
    ///
    /// # Errors
    /// What the kernel answered; `EAGAIN` if the table changed under every attempt; `EBADMSG`
    /// if `parse` returned [`Malformed`] or the framing is broken.
    pub fn dump<T>(
        &mut self,
        request: &Request,
        mut parse: impl FnMut(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, Error> {
        self.dump_into(request, |rows: &mut Vec<T>, message| {
            rows.extend(parse(message)?);
            Ok(())
        })
    }

    /// The same, but `take_in` puts what it makes of a message where it likes. It begins anew with
    /// an empty `R` if the dump is asked again.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn dump_into<R: Default>(
        &mut self,
        request: &Request,
        mut take_in: impl FnMut(&mut R, &Message<'_>) -> Result<(), Malformed>,
    ) -> Result<R, Error> {
        for _ in 0..ATTEMPTS {
            let sequence = self.send(request, libc::NLM_F_DUMP as u16)?;
            let mut rows = R::default();
            if self.collect(sequence, |message| take_in(&mut rows, message))? {
                return Ok(rows);
            }
        }
        Err(Error::about(self.call, Errno::EAGAIN, "the table changed during every dump"))
    }

    /// Sends a request for one answer, or for a change, and waits for the acknowledgement.
    ///
    /// `extra_flags` are `NLM_F_CREATE`, `NLM_F_EXCL` and the like.
    ///
    /// # Errors
    /// What the kernel answered, with its explanation if it gave one.
    pub fn request<T>(
        &mut self,
        request: &Request,
        extra_flags: u16,
        mut parse: impl FnMut(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, Error> {
        let sequence = self.send(request, libc::NLM_F_ACK as u16 | extra_flags)?;
        let mut rows = Vec::new();
        self.collect(sequence, |message| {
            rows.extend(parse(message)?);
            Ok(())
        })?;
        Ok(rows)
    }

    fn send(&mut self, request: &Request, flags: u16) -> Result<u32, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.with_header(libc::NLM_F_REQUEST as u16 | flags, self.sequence);
        loop {
            // SAFETY: the pointer and length describe `bytes`.
            let sent =
                unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
            match sent {
                0.. => return Ok(self.sequence),
                _ if Errno::last() == Errno::EINTR => {}
                _ => return Err(Error::about(self.call, Errno::last(), "send")),
            }
        }
    }

    /// Receives until the answer to `sequence` is complete; `false` if it was interrupted.
    fn collect(
        &mut self,
        sequence: u32,
        mut take_in: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<bool, Error> {
        let mut consistent = true;
        // The first error; the rest of the answer is still read, or it would be taken for the
        // answer to the next request.
        let mut failure = None;
        loop {
            if self.is_late() {
                return Err(Error::about(self.call, Errno::ETIMEDOUT, "it takes too long"));
            }
            let length = self.receive()?;
            for message in messages(&self.buffer[..length]) {
                let message = message.map_err(|Malformed| Error::new(self.call, Errno::EBADMSG))?;
                if message.sequence != sequence {
                    continue;
                }
                consistent &= message.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                let malformed = || Error::new(self.call, Errno::EBADMSG);
                if message.is_last() {
                    match message.failure() {
                        Ok(None) => {}
                        Ok(Some((errno, detail))) => {
                            failure.get_or_insert(Error { call: self.call, errno, detail });
                        }
                        Err(Malformed) => {
                            failure.get_or_insert_with(malformed);
                        }
                    }
                    return failure.map_or(Ok(consistent), Err);
                }
                if let Err(Malformed) = take_in(&message) {
                    failure.get_or_insert_with(malformed);
                }
            }
        }
    }

    fn receive(&mut self) -> Result<usize, Error> {
        loop {
            // With MSG_TRUNC the result is the true length, so a cut message is noticed.
            // SAFETY: the pointer and length describe `buffer`, and only bytes are written.
            let got = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    libc::MSG_TRUNC,
                )
            };
            match usize::try_from(got) {
                Ok(0) => return Err(Error::about(self.call, Errno::EBADMSG, "empty answer")),
                Ok(length) if length > self.buffer.len() => {
                    return Err(Error::about(self.call, Errno::EMSGSIZE, "recv"));
                }
                Ok(length) => return Ok(length),
                Err(_) if Errno::last() == Errno::EINTR => {}
                Err(_) => return Err(Error::about(self.call, Errno::last(), "recv")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of `parts` datagrams, each with one message, and the end of it.
    fn answering(parts: usize) -> (Netlink, OwnedFd) {
        let mut ends = [0; 2];
        // SAFETY: the pointer is to two numbers, which become descriptors that nobody else owns.
        let (socket, kernel) = unsafe {
            let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            assert_eq!(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()), 0);
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        for part in 0..=parts {
            let kind = if part == parts { libc::NLMSG_DONE as u16 } else { 16 };
            let mut message = Vec::new();
            message.extend_from_slice(&20u32.to_ne_bytes());
            message.extend_from_slice(&kind.to_ne_bytes());
            message.extend_from_slice(&(libc::NLM_F_MULTI as u16).to_ne_bytes());
            message.extend_from_slice(&1u32.to_ne_bytes());
            message.extend_from_slice(&[0; 8]);
            // SAFETY: the pointer and length describe `message`.
            let sent = unsafe {
                libc::send(kernel.as_raw_fd(), message.as_ptr().cast(), message.len(), 0)
            };
            assert_eq!(sent, 20);
        }
        (Netlink::of(socket, "test"), kernel)
    }

    /// How many datagrams are left to read.
    fn left(socket: &mut Netlink) -> usize {
        std::iter::from_fn(|| socket.receive().ok()).count()
    }

    #[test]
    fn what_comes_too_late_is_not_read() {
        const PARTS: usize = 100;
        let (mut socket, _kernel) = answering(PARTS);
        let mut read = 0;
        let whole = socket.collect(1, |_| {
            read += 1;
            Ok(())
        });
        assert_eq!((whole, read, left(&mut socket)), (Ok(true), PARTS, 0));
        let (mut socket, _kernel) = answering(PARTS);
        socket.until(Some(Instant::now() - std::time::Duration::from_secs(1)));
        let late = socket.collect(1, |_| Ok(()));
        assert_eq!(late.map_err(|error| error.errno), Err(Errno::ETIMEDOUT));
        assert_eq!(left(&mut socket), PARTS + 1, "nothing of the answer was read");
    }
}
