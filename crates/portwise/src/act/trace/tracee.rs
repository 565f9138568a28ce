//! One thread that is watched: the call it is in, and what it says after a failure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use portwise_model::Protocol;
use portwise_sys::{
    Errno, memory,
    pidfd::PidFd,
    proc::Proc,
    ptrace::{self, Place, Until},
    seccomp,
    sock::{Socket, SocketOption},
};

use super::{call, explain::Failure};
use crate::unix::Name;

/// How many calls a thread is listened to after a failure, for what its program says about it.
const LISTENS: u32 = 300;

/// A call that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// connect(2).
    Connect,
}

impl Call {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Call::Bind => "bind",
            Call::Listen => "listen",
            Call::Connect => "connect",
        }
    }
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The call.
    pub call: Call,
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// The short name of the program. Untrusted text.
    pub program: String,
    /// The address: given to the call, or that of the socket. `None` if it cannot be read.
    pub address: Option<SocketAddr>,
    /// The name of a Unix socket, which has no such address.
    pub unix: Option<Name>,
    /// The protocol of the socket; `None` if it cannot be looked at.
    pub protocol: Option<Protocol>,
    /// Why it failed; `None` if it succeeded.
    pub errno: Option<Errno>,
    /// Whether the call had gone on in the background, and told later.
    pub later: bool,
    /// Whether a seccomp filter answered it in the kernel's place.
    pub by_filter: bool,
}

impl Record {
    /// Whether it is the same failure of the same program.
    pub(super) fn is_like(&self, other: &Record) -> bool {
        let key = |r: &Record| (r.call, r.address, r.protocol, r.errno);
        key(self) == key(other) && self.unix == other.unix && self.program == other.program
    }
}

/// What matters of a socket beside its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SocketFacts {
    pub(super) reuseaddr: bool,
    pub(super) reuseport: bool,
    pub(super) v6only: bool,
    pub(super) freebind: bool,
    pub(super) device: u32,
    pub(super) inode: u64,
    pub(super) listens: bool,
}

/// What a stop of a thread came to.
pub(super) enum Heard {
    Nothing,
    Called(Record, SocketFacts),
    Said(String),
    IoUring,
    Landlock,
    Seccomp,
    /// socket(2) of this family failed in a process that has a filter.
    NoSocket(i32, Errno),
}

/// A thread.
#[derive(Default)]
pub(super) struct Tracee {
    /// The call it is in.
    pending: Option<Pending>,
    /// What it is about to say.
    saying: Option<String>,
    /// Connections that go on in the background, by descriptor.
    connecting: Vec<(i32, SocketAddr)>,
    /// The ports to which a connection was made.
    connected: Vec<u16>,
    /// How many calls more it is listened to.
    listened: u32,
    heard: String,
    failure: Option<(Record, SocketFacts)>,
    /// Whether it has a seccomp filter beside the one that stops it.
    is_confined: bool,
    /// Whether the call that it is in came through to the one that stops it.
    passed: bool,
}

enum Pending {
    Address(Call, i32, Option<SocketAddr>),
    Unix(Call, Name),
    Listen(i32),
    Error(i32, u64),
    Socket(i32),
}

impl Tracee {
    /// Connections that went on in the background, and of which nobody asked how they ended.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = SocketAddr> {
        // Who tries several addresses at once drops the others when one answers.
        let reached = |address: &SocketAddr| self.connected.contains(&address.port());
        self.connecting.iter().map(|(_, address)| *address).filter(move |a| !reached(a))
    }

    /// Where it is to stop next.
    pub(super) fn until(&self) -> Until {
        match self.pending.is_some() || self.listened > 0 || self.is_confined {
            true => Until::Call,
            false => Until::Filtered,
        }
    }

    /// One whose parent, or whose program until now, had a filter.
    pub(super) fn confined() -> Tracee {
        Tracee { is_confined: true, ..Tracee::default() }
    }

    /// It stopped before or after a call; `filtered`: at the filter.
    pub(super) fn stopped(&mut self, tid: u32, filtered: bool, successes: bool) -> Heard {
        match ptrace::place(tid) {
            Ok(Place::Before(architecture, number, arguments)) => {
                self.passed = filtered;
                self.before(tid, seccomp::decode(architecture, number, &arguments))
            }
            Ok(Place::After(result)) => self.after(tid, result, successes),
            Ok(Place::Elsewhere) | Err(_) => Heard::Nothing,
        }
    }

    fn before(&mut self, tid: u32, call: Option<seccomp::Call>) -> Heard {
        use seccomp::Call as Made;
        self.pending = None;
        let call = call.and_then(|call| call::unpack(tid, call));
        let address = |call, fd, pointer, length| match call::address(tid, pointer, length) {
            call::Address::Ip(address) => Some(Pending::Address(call, fd, Some(address))),
            call::Address::Unreadable => Some(Pending::Address(call, fd, None)),
            call::Address::Unix(name) => Some(Pending::Unix(call, name)),
            call::Address::Other => None,
        };
        match call {
            Some(Made::Bind(fd, pointer, length)) => {
                self.pending = address(Call::Bind, fd, pointer, length);
            }
            Some(Made::Connect(fd, pointer, length)) => {
                self.pending = address(Call::Connect, fd, pointer, length);
            }
            Some(Made::Listen(fd, _)) => self.pending = Some(Pending::Listen(fd)),
            Some(Made::Socket(family, _)) if self.is_confined => {
                self.pending = Some(Pending::Socket(family));
            }
            Some(Made::SocketError(fd, to))
                if self.connecting.iter().any(|(known, _)| *known == fd) =>
            {
                self.pending = Some(Pending::Error(fd, to));
            }
            Some(Made::IoUring) => return Heard::IoUring,
            Some(Made::Landlock) => return Heard::Landlock,
            Some(Made::Seccomp) => {
                // From now on another filter may answer before the one that stops it.
                self.is_confined = true;
                return Heard::Seccomp;
            }
            Some(Made::Write(_, from, length)) if self.listened > 0 => {
                self.saying = call::text(tid, from, length);
            }
            Some(Made::WriteVectors(_, list, length)) if self.listened > 0 => {
                self.saying = call::texts(tid, list, length);
            }
            _ => {}
        }
        Heard::Nothing
    }

    fn after(&mut self, tid: u32, result: i64, successes: bool) -> Heard {
        self.listened = self.listened.saturating_sub(1);
        if let Some(text) = self.saying.take() {
            self.heard.push_str(&text);
            return Heard::Said(self.heard.clone());
        }
        let Some(pending) = self.pending.take() else { return Heard::Nothing };
        let by_filter = self.is_confined && !self.passed;
        let heard = self.ended(tid, pending, result, successes);
        match heard {
            Heard::Called(record, facts) => Heard::Called(Record { by_filter, ..record }, facts),
            other => other,
        }
    }

    /// A call has ended.
    fn ended(&mut self, tid: u32, pending: Pending, result: i64, successes: bool) -> Heard {
        let errno = match result {
            // Interrupted by a signal; the kernel makes the call again or answers EINTR itself.
            -516..=-512 => return Heard::Nothing,
            ..0 => Some(Errno(i32::try_from(-result).unwrap_or(0))),
            _ => None,
        };
        let (call, fd, address) = match pending {
            Pending::Address(call, fd, address) => (call, fd, address),
            Pending::Unix(call, name) => return named(tid, call, name, errno),
            Pending::Listen(fd) => (Call::Listen, fd, None),
            Pending::Error(fd, to) => return self.connected(tid, fd, to, errno),
            Pending::Socket(family) => {
                return errno.map_or(Heard::Nothing, |errno| Heard::NoSocket(family, errno));
            }
        };
        if call == Call::Connect && errno == Some(Errno::EINPROGRESS) {
            self.connecting.retain(|(known, _)| *known != fd);
            self.connecting.extend(address.map(|address| (fd, address)));
            return Heard::Nothing;
        }
        if call == Call::Connect && errno != Some(Errno::EALREADY) {
            self.connecting.retain(|(known, _)| *known != fd);
            if matches!(errno, None | Some(Errno::EISCONN)) {
                self.reached(address);
            }
        }
        // Of calls that succeed only their number is told, unless more is asked for.
        let looks = errno.is_some() || successes || call == Call::Listen;
        self.record(tid, call, fd, address, errno, looks)
    }

    /// A program asked how a connection in the background has ended.
    fn connected(&mut self, tid: u32, fd: i32, to: u64, errno: Option<Errno>) -> Heard {
        let Some(at) = self.connecting.iter().position(|(known, _)| *known == fd) else {
            return Heard::Nothing;
        };
        let (_, address) = self.connecting.swap_remove(at);
        let mut value = [0; 4];
        if errno.is_some() || memory::read(tid, to, &mut value) != Ok(4) {
            return Heard::Nothing;
        }
        let error = i32::from_ne_bytes(value);
        let errno = (error != 0).then_some(Errno(error));
        if errno.is_none() {
            self.reached(Some(address));
        }
        match self.record(tid, Call::Connect, fd, Some(address), errno, true) {
            Heard::Called(record, facts) => Heard::Called(Record { later: true, ..record }, facts),
            other => other,
        }
    }

    fn reached(&mut self, address: Option<SocketAddr>) {
        let port = address.map(|address| address.port());
        self.connected.extend(port.filter(|port| !self.connected.contains(port)));
    }

    fn record(
        &self,
        tid: u32,
        call: Call,
        fd: i32,
        address: Option<SocketAddr>,
        errno: Option<Errno>,
        looks: bool,
    ) -> Heard {
        let proc = Proc::default();
        let mut record = Record {
            call,
            tid,
            pid: tid,
            program: String::new(),
            address,
            unix: None,
            protocol: None,
            errno,
            later: false,
            by_filter: false,
        };
        let mut facts = SocketFacts::default();
        if !looks {
            return Heard::Called(record, facts);
        }
        record.pid = proc.status(tid).map_or(tid, |status| status.tgid);
        record.program = name_of(record.pid);
        let socket = socket(record.pid, fd);
        match &socket {
            Some(socket) => {
                let get = |option| socket.get(option).unwrap_or(0);
                let family = get(SocketOption::SO_DOMAIN);
                // listen(2) has no address that tells.
                if call == Call::Listen && family != 2 && family != 10 {
                    return Heard::Nothing;
                }
                record.protocol = match get(SocketOption::SO_PROTOCOL) {
                    6 | 262 => Some(Protocol::Tcp),
                    17 => Some(Protocol::Udp),
                    _ => None,
                };
                if call == Call::Listen {
                    record.address = socket.local_address().ok().and_then(|a| a.to_socket_addr());
                }
                let is = |option| socket.get(option) == Ok(1);
                facts = SocketFacts {
                    reuseaddr: is(SocketOption::SO_REUSEADDR),
                    reuseport: is(SocketOption::SO_REUSEPORT),
                    v6only: family == 10 && is(SocketOption::IPV6_V6ONLY),
                    freebind: is(SocketOption::IP_FREEBIND),
                    device: get(SocketOption::SO_BINDTOIFINDEX).cast_unsigned(),
                    inode: socket.inode().unwrap_or(0),
                    listens: is(SocketOption::SO_ACCEPTCONN),
                };
            }
            // A descriptor that is none, or no socket: neither is ours to explain at length.
            None if call == Call::Listen && errno.is_none() => return Heard::Nothing,
            None => {}
        }
        Heard::Called(record, facts)
    }

    /// Its call failed: from now on what it says is listened to for a while.
    pub(super) fn failed(&mut self, failure: &Failure) {
        if failure.record.call == Call::Connect {
            return;
        }
        self.listened = LISTENS;
        self.heard.clear();
        self.failure = Some((failure.record.clone(), failure.facts));
    }

    pub(super) fn last_failure(&self) -> Option<(Record, SocketFacts)> {
        self.failure.clone()
    }

    /// Nothing more is to be listened to.
    pub(super) fn explained(&mut self) {
        (self.listened, self.failure) = (0, None);
    }
}

/// A call on a Unix socket.
fn named(tid: u32, call: Call, name: Name, errno: Option<Errno>) -> Heard {
    let pid = Proc::default().status(tid).map_or(tid, |status| status.tgid);
    let program = name_of(pid);
    let (address, protocol, later) = (None, None, false);
    let (unix, by_filter) = (Some(name), false);
    let record =
        Record { call, tid, pid, program, address, unix, protocol, errno, later, by_filter };
    Heard::Called(record, SocketFacts::default())
}

/// The socket behind a descriptor of a process.
fn socket(pid: u32, fd: i32) -> Option<Socket> {
    let fd = u32::try_from(fd).ok()?;
    PidFd::open(pid).ok()?.get_fd(fd).ok().map(Socket::from)
}

fn name_of(pid: u32) -> String {
    let name = Proc::default().comm(pid).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A process in words.
pub(super) fn name(tid: u32) -> String {
    format!("{} (pid {tid})", name_of(tid))
}

/// Reads an address as the kernel does, which for IPv4 goes by the family that the socket has.
pub(super) fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match i32::from(family) {
        // AF_UNSPEC with the address of all zeros counts as IPv4.
        2 | 0 if bytes.len() >= 16 => {
            let ip = Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?);
            (family == 2 || ip.is_unspecified()).then(|| (IpAddr::V4(ip), port).into())
        }
        10 if bytes.len() >= 24 => {
            let ip = Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?);
            let scope = bytes.get(24..28).and_then(|b| Some(u32::from_ne_bytes(*b.first_chunk()?)));
            Some(SocketAddrV6::new(ip, port, 0, scope.unwrap_or(0)).into())
        }
        _ => None,
    }
}
