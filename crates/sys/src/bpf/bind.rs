//! A program for `bind` that sets the port limit aside for certain addresses and ports, and links
//! that attach it to a cgroup for as long as they are open.
//!
//! The instructions are written by hand: there are few, and no compiler, type information or
//! library is needed for them. See bpf(2) and the kernel's `Documentation/bpf`.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::AttachType;
use crate::{Errno, Error, sock::Socket};

/// An address and port that may be bound though the port is below the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The address, as bind(2) is given it.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub kind: i32,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: i32,
}

/// The links that attach the programs. When the last copy of them is closed the programs are gone.
#[derive(Debug)]
pub struct BindGrant {
    links: [OwnedFd; 2],
}

impl BindGrant {
    /// Lets the sockets that processes of `cgroup` make, in the network namespace with this
    /// cookie, bind these addresses and ports without `CAP_NET_BIND_SERVICE`. Everything else is
    /// as it was: programs of cgroups above, the other checks of the kernel, every other port.
    ///
    /// `cgroup` is an open directory of a version 2 hierarchy. Needs `CAP_BPF` and
    /// `CAP_NET_ADMIN`, or `CAP_SYS_ADMIN`, in the initial user namespace.
    ///
    /// # Errors
    /// `EPERM` without them, or if a cgroup above allows no further program; `EINVAL` before
    /// 5.12; `ENOSYS` without bpf(2).
    pub fn attach(
        cgroup: BorrowedFd<'_>,
        netns: u64,
        allowed: &[Allowed],
    ) -> Result<BindGrant, Error> {
        let one = |at: AttachType, program: Vec<Instruction>| {
            let program = load(&program, at)?;
            link(program.as_fd(), cgroup, at)
        };
        let four = one(AttachType::CGROUP_INET4_BIND, four(netns, allowed))?;
        let six = one(AttachType::CGROUP_INET6_BIND, six(netns, allowed))?;
        Ok(BindGrant { links: [four, six] })
    }

    /// The links.
    pub fn links(&self) -> [BorrowedFd<'_>; 2] {
        self.links.each_ref().map(AsFd::as_fd)
    }
}

/// The number by which a BPF program knows the network namespace of the calling thread (≥ 5.14).
///
/// # Errors
/// `ENOPROTOOPT` before 5.14; those of socket(2).
pub fn netns_cookie() -> Result<u64, Errno> {
    const SO_NETNS_COOKIE: i32 = 71;
    Socket::new(libc::AF_INET, libc::SOCK_DGRAM, 0)?.number64(libc::SOL_SOCKET, SO_NETNS_COOKIE)
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, immediate }
}

/// What the kernel answers for 1 and for 3: go on, and go on without the check of the port.
const GO_ON: i32 = 1;
const GO_ON_WITHOUT_LIMIT: i32 = 3;

// Where `struct bpf_sock_addr` has what is compared.
const USER_IP4: i16 = 4;
const USER_IP6: i16 = 8;
const USER_PORT: i16 = 24;
const TYPE: i16 = 32;
const PROTOCOL: i16 = 36;

/// Loads 32 bits of what the program is given, kept in register 6.
const fn load_field(to: u8, offset: i16) -> Instruction {
    const LDX_MEM_W: u8 = 0x61;
    instruction(LDX_MEM_W, to, 6, offset, 0)
}

/// Jumps unless the lower 32 bits are these.
const fn unless(register: u8, is: u32, skip: i16) -> Instruction {
    const JMP32_JNE_K: u8 = 0x56;
    instruction(JMP32_JNE_K, register, 0, skip, is.cast_signed())
}

fn answer(value: i32) -> [Instruction; 2] {
    const ALU64_MOV_K: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    [instruction(ALU64_MOV_K, 0, 0, 0, value), instruction(EXIT, 0, 0, 0, 0)]
}

/// Answers [`GO_ON`] in another network namespace than this.
fn in_namespace(netns: u64) -> Vec<Instruction> {
    const ALU64_MOV_X: u8 = 0xbf;
    const CALL: u8 = 0x85;
    const GET_NETNS_COOKIE: i32 = 122;
    const LD_IMM64: u8 = 0x18;
    const JEQ_X: u8 = 0x1d;
    let [low, high] = [netns as u32, (netns >> 32) as u32].map(u32::cast_signed);
    let mut program = vec![
        instruction(ALU64_MOV_X, 6, 1, 0, 0),
        instruction(CALL, 0, 0, 0, GET_NETNS_COOKIE),
        instruction(LD_IMM64, 1, 0, 0, low),
        instruction(0, 0, 0, 0, high),
        instruction(JEQ_X, 0, 1, 2, 0),
    ];
    program.extend(answer(GO_ON));
    program
}

/// Whether a register holds each of these, then answer that the limit is set aside.
fn one_of(program: &mut Vec<Instruction>, fields: &[(u8, u32)]) {
    for (done, (register, is)) in fields.iter().enumerate() {
        let left = (fields.len() - 1 - done + answer(0).len()) as i16;
        program.push(unless(*register, *is, left));
    }
    program.extend(answer(GO_ON_WITHOUT_LIMIT));
}

/// The kernel keeps ports and addresses in the order of the network, whatever the machine's is.
fn port(allowed: &Allowed) -> u32 {
    allowed.port.to_be().into()
}

fn four(netns: u64, allowed: &[Allowed]) -> Vec<Instruction> {
    let mut program = in_namespace(netns);
    let fields = [(1, USER_PORT), (2, TYPE), (3, PROTOCOL), (4, USER_IP4)];
    program.extend(fields.map(|(to, offset)| load_field(to, offset)));
    for one in allowed {
        let IpAddr::V4(ip) = one.ip else { continue };
        let ip = u32::from_ne_bytes(ip.octets());
        let [kind, protocol] = [one.kind, one.protocol].map(i32::cast_unsigned);
        one_of(&mut program, &[(1, port(one)), (2, kind), (3, protocol), (4, ip)]);
    }
    program.extend(answer(GO_ON));
    program
}

fn six(netns: u64, allowed: &[Allowed]) -> Vec<Instruction> {
    let mut program = in_namespace(netns);
    let fields = [(1, USER_PORT), (2, TYPE), (3, PROTOCOL)];
    program.extend(fields.map(|(to, offset)| load_field(to, offset)));
    const WORDS: [u8; 4] = [4, 7, 8, 9];
    let words = WORDS.into_iter().zip([0, 4, 8, 12]);
    program.extend(words.map(|(to, offset)| load_field(to, USER_IP6 + offset)));
    for one in allowed {
        let IpAddr::V6(ip) = one.ip else { continue };
        let [kind, protocol] = [one.kind, one.protocol].map(i32::cast_unsigned);
        let mut fields = vec![(1, port(one)), (2, kind), (3, protocol)];
        let octets = ip.octets();
        let (quads, _) = octets.as_chunks::<4>();
        fields.extend(WORDS.into_iter().zip(quads.iter().map(|quad| u32::from_ne_bytes(*quad))));
        one_of(&mut program, &fields);
    }
    program.extend(answer(GO_ON));
    program
}

/// `union bpf_attr` of `BPF_PROG_LOAD`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// `union bpf_attr` of `BPF_LINK_CREATE`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Link {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

fn load(program: &[Instruction], at: AttachType) -> Result<OwnedFd, Error> {
    const BPF_PROG_LOAD: u32 = 5;
    const CGROUP_SOCK_ADDR: u32 = 18;
    let mut attributes = Load {
        prog_type: CGROUP_SOCK_ADDR,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        prog_name: *b"portwise_bind\0\0\0",
        expected_attach_type: at.0,
        ..Load::default()
    };
    // SAFETY: the attributes point to a program of so many instructions and to a text, which both
    // outlive the call.
    unsafe { bpf(BPF_PROG_LOAD, &mut attributes) }
        .map_err(|errno| Error::about("bpf", errno, "BPF_PROG_LOAD"))
}

fn link(program: BorrowedFd<'_>, to: BorrowedFd<'_>, at: AttachType) -> Result<OwnedFd, Error> {
    const BPF_LINK_CREATE: u32 = 28;
    let mut attributes = Link {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_fd: to.as_raw_fd().cast_unsigned(),
        attach_type: at.0,
        flags: 0,
    };
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf(BPF_LINK_CREATE, &mut attributes) }
        .map_err(|errno| Error::about("bpf", errno, "BPF_LINK_CREATE"))
}

/// A command that returns a descriptor, which the kernel makes close-on-exec.
///
/// # Safety
/// Pointers in the attributes are valid for what the command does with them.
unsafe fn bpf<T>(command: u32, attributes: &mut T) -> Result<OwnedFd, Errno> {
    // SAFETY: the pointer is to attributes of this size; the caller vouches for what is in them.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call made it and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_past_one_entry() {
        let allowed = Allowed {
            ip: "::1".parse().unwrap(),
            port: 80,
            kind: libc::SOCK_STREAM,
            protocol: libc::IPPROTO_TCP,
        };
        let program = six(7, &[allowed, allowed]);
        let entry = 7 + 2;
        let start = program.len() - 2 - 2 * entry;
        for (at, i) in program.iter().enumerate().skip(start).filter(|(_, i)| i.code == 0x56) {
            let to = at + 1 + usize::try_from(i.offset).unwrap();
            assert_eq!((to - start) % entry, 0, "instruction {at} leads to {to}");
        }
        assert_eq!(four(7, &[allowed]).len(), 7 + 4 + 2, "an IPv6 address is none of IPv4");
    }

    #[test]
    fn a_namespace_has_a_cookie() {
        match netns_cookie() {
            Ok(cookie) => assert_ne!(cookie, 0),
            Err(errno) => assert_eq!(errno, Errno::ENOPROTOOPT),
        }
    }
}
