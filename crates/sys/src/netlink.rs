//! netlink(7): one request socket, dumps, and iterators over messages and attributes.
//!
//! Parsing is done by pure functions on bytes; none of them panics or loops on hostile input.

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Errno, Error};

/// `NETLINK_ROUTE`: links, addresses, routes, see rtnetlink(7).
pub const NETLINK_ROUTE: i32 = libc::NETLINK_ROUTE;
/// `NETLINK_SOCK_DIAG`: sockets, see sock_diag(7).
pub const NETLINK_SOCK_DIAG: i32 = libc::NETLINK_SOCK_DIAG;

const HEADER: usize = 16;
// The kernel never makes a dump message longer than 32 KiB; single answers can be longer.
const BUFFER: usize = 256 * 1024;
// A table that keeps changing under a dump is asked this often before giving up.
const ATTEMPTS: usize = 16;

const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

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
        let mut socket = Netlink { fd, call, sequence: 0, strict: false, buffer: vec![0; BUFFER] };
        // The kernel answers at once; whatever emulates it must not hang us.
        socket.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &libc::timeval { tv_sec: 10, tv_usec: 0 });
        // Both options are newer than netlink; without them answers are wider and terser.
        socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, &1i32);
        socket.strict = socket.set(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, &1i32);
        Ok(socket)
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

    /// Says whether the kernel (≥ 4.20) applies the filters of a dump request.
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
        for _ in 0..ATTEMPTS {
            let sequence = self.send(request, libc::NLM_F_DUMP as u16)?;
            let mut rows = Vec::new();
            if self.collect(sequence, &mut parse, &mut rows)? {
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
        self.collect(sequence, &mut parse, &mut rows)?;
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
    fn collect<T>(
        &mut self,
        sequence: u32,
        parse: &mut impl FnMut(&Message<'_>) -> Result<Option<T>, Malformed>,
        rows: &mut Vec<T>,
    ) -> Result<bool, Error> {
        let mut consistent = true;
        // The first error; the rest of the answer is still read, or it would be taken for the
        // answer to the next request.
        let mut failure = None;
        loop {
            let length = self.receive()?;
            for message in messages(&self.buffer[..length]) {
                let message = message.map_err(|Malformed| Error::new(self.call, Errno::EBADMSG))?;
                if message.sequence != sequence {
                    continue;
                }
                consistent &= message.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                let last = matches!(i32::from(message.kind), libc::NLMSG_DONE | libc::NLMSG_ERROR);
                let outcome =
                    if last { message.status() } else { parse(&message).map(Outcome::Row) };
                match outcome {
                    Ok(Outcome::Row(row)) => rows.extend(row),
                    Ok(Outcome::Success) => {}
                    Ok(Outcome::Failure(errno, detail)) => {
                        failure.get_or_insert(Error { call: self.call, errno, detail });
                    }
                    Err(Malformed) => {
                        failure.get_or_insert(Error::new(self.call, Errno::EBADMSG));
                    }
                }
                if last {
                    return failure.map_or(Ok(consistent), Err);
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

enum Outcome<T> {
    Row(Option<T>),
    Success,
    Failure(Errno, String),
}

/// The bytes do not have the layout the kernel documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Reads `NLMSG_DONE` or `NLMSG_ERROR`; both begin with a negated errno, 0 for success.
    fn status<T>(&self) -> Result<Outcome<T>, Malformed> {
        let code = match self.payload.first_chunk() {
            Some(bytes) => i32::from_ne_bytes(*bytes),
            // Old kernels end a dump with a bare NLMSG_DONE.
            None if i32::from(self.kind) == libc::NLMSG_DONE => 0,
            None => return Err(Malformed),
        };
        if code >= 0 {
            return Ok(Outcome::Success);
        }
        // The explanation follows the code, in NLMSG_ERROR after the request's header as well;
        // without NETLINK_CAP_ACK after the whole request.
        let skip = if i32::from(self.kind) == libc::NLMSG_DONE {
            4
        } else {
            let request = u32_at(self.payload, 4).map_or(HEADER, |length| length as usize);
            4usize.saturating_add(align(request))
        };
        let text = (self.flags & NLM_F_ACK_TLVS != 0)
            .then(|| attributes(self.payload.get(skip..).unwrap_or_default()))
            .and_then(|mut list| list.find(|a| a.kind == NLMSGERR_ATTR_MSG))
            .map(|attribute| attribute.text())
            .unwrap_or_default();
        Ok(Outcome::Failure(Errno(code.saturating_neg()), text))
    }
}

/// Splits what one recv(2) returned into messages. Ends after the first malformed one.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = split_message(rest);
        rest = match message {
            Ok(m) => rest.get(align(HEADER + m.payload.len())..).unwrap_or_default(),
            Err(Malformed) => &[],
        };
        Some(message)
    })
}

fn split_message(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let length = u32_at(bytes, 0).ok_or(Malformed)? as usize;
    let payload = bytes.get(HEADER..length).ok_or(Malformed)?;
    Ok(Message {
        kind: u16_at(bytes, 4).ok_or(Malformed)?,
        flags: u16_at(bytes, 6).ok_or(Malformed)?,
        sequence: u32_at(bytes, 8).ok_or(Malformed)?,
        payload,
    })
}

/// One attribute of a message, see netlink(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// `nla_type` without the flags for nesting and byte order.
    pub kind: u16,
    /// What follows the attribute's header.
    pub payload: &'a [u8],
}

impl Attribute<'_> {
    /// The first byte.
    pub fn u8(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// The first two bytes, in the host's order.
    pub fn u16(&self) -> Option<u16> {
        u16_at(self.payload, 0)
    }

    /// The first four bytes, in the host's order.
    pub fn u32(&self) -> Option<u32> {
        u32_at(self.payload, 0)
    }

    /// The first eight bytes, in the host's order.
    pub fn u64(&self) -> Option<u64> {
        self.payload.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }

    /// The bytes before the first NUL; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        let text = self.payload.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

/// Iterates over attributes. Stops silently where the bytes no longer hold a whole one.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & !(libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;
        let payload = rest.get(4..length)?;
        rest = rest.get(align(length)..).unwrap_or_default();
        Some(Attribute { kind, payload })
    })
}

/// A request being built: a type, a fixed part, attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    kind: u16,
    // The message with room for its header.
    bytes: Vec<u8>,
}

impl Request {
    /// A request of this type with its fixed part.
    pub fn new(kind: u16, fixed: &[u8]) -> Request {
        let mut bytes = vec![0; HEADER];
        bytes.extend_from_slice(fixed);
        pad(&mut bytes);
        Request { kind, bytes }
    }

    /// Appends an attribute.
    ///
    /// # Panics
    /// If the payload is longer than an attribute can be, 65,531 bytes.
    #[must_use]
    pub fn with(mut self, kind: u16, payload: &[u8]) -> Request {
        let length = u16::try_from(4 + payload.len()).expect("an attribute fits in 64 KiB");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        pad(&mut self.bytes);
        self
    }

    /// Appends an attribute that contains what `fill` adds to it.
    ///
    /// # Panics
    /// If the contents are longer than an attribute can be, 65,531 bytes.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, fill: impl FnOnce(Request) -> Request) -> Request {
        let start = self.bytes.len();
        self = self.with(kind | libc::NLA_F_NESTED as u16, &[]);
        self = fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("an attribute fits in 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Appends raw bytes, for attributes that begin with a structure.
    #[must_use]
    pub fn with_raw(mut self, raw: &[u8]) -> Request {
        self.bytes.extend_from_slice(raw);
        pad(&mut self.bytes);
        self
    }

    fn with_header(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let length = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes
    }
}

fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(align(bytes.len()), 0);
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}
