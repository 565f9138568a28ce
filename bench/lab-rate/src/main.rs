//! How many socket scenarios a second the bare system calls allow on this machine.
//!
//! A scenario opens two to four sockets with random family, type, `SO_REUSEADDR`, `SO_REUSEPORT`,
//! `IPV6_V6ONLY`, address and one of three ports; root makes a quarter of them under another
//! effective uid. Each is bound, half of the bound TCP sockets listen, then all are closed. There
//! is no model, no record and no comparison: what `portwise conform --random` adds to this is its
//! own cost.
//!
//! ```text
//! cargo run --release --manifest-path bench/lab-rate/Cargo.toml -- [SCENARIOS [PROCESSES [SEED]]]
//! ```
//!
//! Every process has a network namespace of its own, so that nothing here meets another socket of
//! this machine. A plain user gets it inside a user namespace, which holds one uid only.

use std::io::{self, Error, ErrorKind, Read as _, Write as _};
use std::os::fd::FromRawFd as _;
use std::process::exit;
use std::time::Instant;
use std::{fs, mem};

use libc::{AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM, c_int};

/// Below the default `ip_unprivileged_port_start`, and two above it.
const PORTS: [u16; 3] = [80, 8080, 8081];
/// The last is no address of the namespace.
const ADDRESSES4: [[u8; 4]; 4] = [[0; 4], [127, 0, 0, 1], [127, 0, 0, 2], [192, 0, 2, 9]];
/// `::`, `::1`, `::ffff:127.0.0.1`, `::ffff:0.0.0.0`.
const ADDRESSES6: [[u8; 16]; 4] = [
    [0; 16],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
];
/// The other user; it needs no entry in the password file.
const OTHER_UID: u32 = 1000;

fn main() {
    if let Err(error) = run() {
        eprintln!("lab-rate: {error}");
        exit(2);
    }
}

fn run() -> io::Result<()> {
    let argument = |n, default| match std::env::args().nth(n) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| {
            let usage =
                format!("{text}: not a number; usage: lab-rate [SCENARIOS [PROCESSES [SEED]]]");
            Error::new(ErrorKind::InvalidInput, usage)
        }),
    };
    let cores = std::thread::available_parallelism()?.get() as u64;
    let (scenarios, processes, seed) =
        (argument(1, 200_000)?.max(1), argument(2, cores)?.max(1), argument(3, 1)?);
    // SAFETY: geteuid has no arguments and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;

    let started = Instant::now();
    let mut children = Vec::new();
    for index in 0..processes {
        let share = scenarios / processes + u64::from(index < scenarios % processes);
        children.push(start(share, seed.wrapping_add(index), root)?);
    }
    let mut total = Counts::default();
    for child in children {
        total.add(child.counts()?);
    }
    let seconds = started.elapsed().as_secs_f64();

    println!(
        "binds: {} ok, {} failed; listens: {} ok, {} failed; {}",
        total.bound,
        total.refused,
        total.listening,
        total.listen_refused,
        if root { "a quarter of the sockets under another uid" } else { "one uid: not root" },
    );
    println!(
        "lab-rate: {scenarios} scenarios, {processes} processes, {seconds:.2} s, {:.0} scenarios/s, \
         {:.1} us of processor time each",
        scenarios as f64 / seconds,
        children_seconds()? * 1e6 / scenarios as f64,
    );
    Ok(())
}

/// Processor time of the children waited for: what a busy machine does not change much.
fn children_seconds() -> io::Result<f64> {
    // SAFETY: an all-zero rusage is valid and is valid for writing.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        check(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage))?;
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// What a process saw; sent to its parent as four native integers.
#[derive(Default)]
struct Counts {
    bound: u64,
    refused: u64,
    listening: u64,
    listen_refused: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.bound += other.bound;
        self.refused += other.refused;
        self.listening += other.listening;
        self.listen_refused += other.listen_refused;
    }
}

/// A running process and the pipe it reports on.
struct Child {
    pid: libc::pid_t,
    report: fs::File,
}

impl Child {
    fn counts(mut self) -> io::Result<Counts> {
        let mut bytes = [0; 32];
        let read = self.report.read_exact(&mut bytes);
        let mut status = 0;
        // SAFETY: our own child, waited for once; `status` is valid for writing.
        check(unsafe { libc::waitpid(self.pid, &mut status, 0) })?;
        read.map_err(|_| Error::other("a process ended without its result"))?;
        let number =
            |n: usize| u64::from_ne_bytes(bytes[n * 8..][..8].try_into().expect("eight bytes"));
        Ok(Counts {
            bound: number(0),
            refused: number(1),
            listening: number(2),
            listen_refused: number(3),
        })
    }
}

fn start(scenarios: u64, seed: u64, root: bool) -> io::Result<Child> {
    let mut pipe = [0; 2];
    // SAFETY: `pipe` has room for the two descriptors.
    check(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both descriptors are new and owned by these files alone.
    let (report, mut out) =
        unsafe { (fs::File::from_raw_fd(pipe[0]), fs::File::from_raw_fd(pipe[1])) };
    // SAFETY: this program has one thread, so the child may use all of it.
    let pid = check(unsafe { libc::fork() })?;
    if pid != 0 {
        return Ok(Child { pid, report });
    }
    let done = private_namespace(root).and_then(|()| work(scenarios, seed, root)).and_then(|c| {
        let numbers = [c.bound, c.refused, c.listening, c.listen_refused];
        numbers.iter().try_for_each(|n| out.write_all(&n.to_ne_bytes()))
    });
    if let Err(error) = &done {
        eprintln!("lab-rate: {error}");
    }
    exit(i32::from(done.is_err()))
}

/// Enters a new network namespace with its loopback device up.
fn private_namespace(root: bool) -> io::Result<()> {
    let user = if root { 0 } else { libc::CLONE_NEWUSER };
    // SAFETY: geteuid and getegid cannot fail; unshare concerns only this single-threaded process.
    let (uid, gid, unshared) =
        unsafe { (libc::geteuid(), libc::getegid(), libc::unshare(user | libc::CLONE_NEWNET)) };
    check(unshared).map_err(|e| Error::new(e.kind(), format!("no private namespace: {e}")))?;
    if !root {
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    // SAFETY: an all-zero ifreq is valid, and the socket and ifreq outlive the calls.
    unsafe {
        let socket = check(libc::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))?;
        let mut request: libc::ifreq = mem::zeroed();
        request.ifr_name[0] = b'l' as _;
        request.ifr_name[1] = b'o' as _;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
        let up = check(libc::ioctl(socket, libc::SIOCSIFFLAGS, &request));
        libc::close(socket);
        up.map(drop)
    }
}

fn work(scenarios: u64, seed: u64, root: bool) -> io::Result<Counts> {
    let mut random = Random::new(seed);
    let mut counts = Counts::default();
    for _ in 0..scenarios {
        let mut open = [-1; 4];
        let sockets = 2 + (random.next() % 3) as usize;
        for slot in &mut open[..sockets] {
            *slot = one_socket(random.next(), root, &mut counts)?;
        }
        for &socket in &open[..sockets] {
            // SAFETY: each was opened above and is closed once.
            unsafe { libc::close(socket) };
        }
    }
    Ok(counts)
}

/// Opens, binds and perhaps listens, as the bits of `choice` say. Returns the open socket.
fn one_socket(choice: u64, root: bool, counts: &mut Counts) -> io::Result<c_int> {
    let bit = |n: u32| choice >> n & 1 != 0;
    let of4 = |n: u32| (choice >> n) as usize % 4;
    let (six, datagram) = (bit(0), bit(1));
    let other = root && of4(2) == 3;
    if other {
        effective_uid(OTHER_UID)?;
    }
    let family = if six { AF_INET6 } else { AF_INET };
    let kind = if datagram { SOCK_DGRAM } else { SOCK_STREAM };
    // SAFETY: no pointers.
    let socket = check(unsafe { libc::socket(family, kind | SOCK_CLOEXEC, 0) })?;
    if bit(4) {
        option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    }
    if bit(5) {
        option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    if six {
        option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, bit(6).into())?;
    }
    let port = PORTS[(choice >> 8) as usize % 3];
    let bound = if six {
        bind6(socket, ADDRESSES6[of4(12)], port)
    } else {
        bind4(socket, ADDRESSES4[of4(12)], port)
    };
    *(if bound { &mut counts.bound } else { &mut counts.refused }) += 1;
    if bound && !datagram && bit(16) {
        // SAFETY: no pointers.
        let listens = unsafe { libc::listen(socket, 1) } == 0;
        *(if listens { &mut counts.listening } else { &mut counts.listen_refused }) += 1;
    }
    if other {
        effective_uid(0)?;
    }
    Ok(socket)
}

fn effective_uid(uid: u32) -> io::Result<()> {
    const UNCHANGED: u32 = u32::MAX;
    // The system call itself: the C library's function also looks for other threads to change.
    // SAFETY: no pointers.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, UNCHANGED, uid, UNCHANGED) };
    check(done as c_int).map(drop)
}

fn option(socket: c_int, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the size are those of `value`.
    let done = unsafe {
        libc::setsockopt(socket, level, name, (&raw const value).cast(), size_of::<c_int>() as _)
    };
    check(done).map(drop)
}

fn bind4(socket: c_int, address: [u8; 4], port: u16) -> bool {
    // SAFETY: an all-zero sockaddr_in is valid; the pointer and the size are those of `name`.
    unsafe {
        let mut name: libc::sockaddr_in = mem::zeroed();
        name.sin_family = AF_INET as _;
        name.sin_port = port.to_be();
        name.sin_addr.s_addr = u32::from_ne_bytes(address);
        libc::bind(socket, (&raw const name).cast(), size_of_val(&name) as _) == 0
    }
}

fn bind6(socket: c_int, address: [u8; 16], port: u16) -> bool {
    // SAFETY: an all-zero sockaddr_in6 is valid; the pointer and the size are those of `name`.
    unsafe {
        let mut name: libc::sockaddr_in6 = mem::zeroed();
        name.sin6_family = AF_INET6 as _;
        name.sin6_port = port.to_be();
        name.sin6_addr.s6_addr = address;
        libc::bind(socket, (&raw const name).cast(), size_of_val(&name) as _) == 0
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// A splitmix64 sequence: cheap, and equal seeds give equal scenarios.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
