//! Filters that single out the few calls that concern addresses, in whatever way a process of this
//! machine may make them, and the same calls read back.

use crate::Errno;

/// A call that concerns addresses, with what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// bind(2): descriptor, address and its length.
    Bind(i32, u64, u32),
    /// connect(2): descriptor, address and its length.
    Connect(i32, u64, u32),
    /// listen(2): descriptor and backlog.
    Listen(i32, i32),
    /// socket(2): family and type. No filter stops at it.
    Socket(i32, i32),
    /// getsockopt(2) of `SO_ERROR`: descriptor and where the value goes.
    SocketError(i32, u64),
    /// socketcall(2) for one of these: which, and where its arguments are, of 32 bits each.
    Packed(u32, u64),
    /// io_uring_setup(2).
    IoUring,
    /// landlock_restrict_self(2).
    Landlock,
    /// seccomp(2) or prctl(2) that installs a filter.
    Seccomp,
    /// write(2): descriptor, bytes and their number.
    Write(i32, u64, u64),
    /// writev(2): descriptor, list and its length.
    WriteVectors(i32, u64, u64),
}

// What `struct seccomp_data` has, and where.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Where the lower half of an argument is.
const fn argument(n: u32) -> u32 {
    16 + 8 * n + if cfg!(target_endian = "big") { 4 } else { 0 }
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
#[cfg(target_arch = "x86")]
const NATIVE: u32 = 0x4000_0003;
#[cfg(target_arch = "riscv64")]
const NATIVE: u32 = 0xc000_00f3;
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "x86",
    target_arch = "riscv64"
)))]
const NATIVE: u32 = 0;

const I386: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;

// The numbers of 32-bit x86; those of newer calls are the same everywhere.
const I386_BIND: u32 = 361;
const I386_CONNECT: u32 = 362;
const I386_LISTEN: u32 = 363;
const I386_GETSOCKOPT: u32 = 365;
const I386_SOCKETCALL: u32 = 102;
const I386_WRITE: u32 = 4;
const I386_WRITEV: u32 = 146;
const IO_URING_SETUP: u32 = 425;
const LANDLOCK_RESTRICT_SELF: u32 = 446;
const I386_PRCTL: u32 = 172;
const I386_SECCOMP: u32 = 354;

// What installs a filter: the first argument of prctl(2), and that of seccomp(2).
const PR_SET_SECCOMP: u32 = 22;
const SET_MODE_FILTER: u32 = 1;

// What socketcall(2) does.
const SYS_BIND: u32 = 2;
const SYS_CONNECT: u32 = 3;
const SYS_LISTEN: u32 = 4;
const SYS_GETSOCKOPT: u32 = 15;

/// Reads a call back; `None` if it is none of those.
pub fn decode(architecture: u32, number: u64, arguments: &[u64; 6]) -> Option<Call> {
    let [a, b, c, d, ..] = *arguments;
    let fd = a as i32;
    let number = u32::try_from(number).ok()?;
    if architecture == I386 && NATIVE != I386 {
        let low = |value: u64| u64::from(value as u32);
        return Some(match number {
            I386_BIND => Call::Bind(fd, low(b), c as u32),
            I386_CONNECT => Call::Connect(fd, low(b), c as u32),
            I386_LISTEN => Call::Listen(fd, b as i32),
            I386_GETSOCKOPT => Call::SocketError(fd, low(d)),
            I386_SOCKETCALL => Call::Packed(a as u32, low(b)),
            I386_WRITE => Call::Write(fd, low(b), low(c)),
            I386_WRITEV => return None,
            IO_URING_SETUP => Call::IoUring,
            LANDLOCK_RESTRICT_SELF => Call::Landlock,
            I386_PRCTL if a as u32 == PR_SET_SECCOMP => Call::Seccomp,
            I386_SECCOMP if a as u32 == SET_MODE_FILTER => Call::Seccomp,
            _ => return None,
        });
    }
    if architecture != NATIVE {
        return None;
    }
    let number = if cfg!(target_arch = "x86_64") { number & !X32_BIT } else { number };
    let number = libc::c_long::from(number.cast_signed());
    Some(match number {
        libc::SYS_bind => Call::Bind(fd, b, c as u32),
        libc::SYS_connect => Call::Connect(fd, b, c as u32),
        libc::SYS_listen => Call::Listen(fd, b as i32),
        libc::SYS_socket => Call::Socket(a as i32, b as i32),
        libc::SYS_getsockopt => Call::SocketError(fd, d),
        libc::SYS_io_uring_setup => Call::IoUring,
        libc::SYS_landlock_restrict_self => Call::Landlock,
        libc::SYS_prctl if a as u32 == PR_SET_SECCOMP => Call::Seccomp,
        libc::SYS_seccomp if a as u32 == SET_MODE_FILTER => Call::Seccomp,
        libc::SYS_write => Call::Write(fd, b, c),
        libc::SYS_writev => Call::WriteVectors(fd, b, c),
        _ => return None,
    })
}

impl Call {
    /// The call within a socketcall(2), whose arguments were read; itself otherwise.
    pub fn unpacked(self, arguments: &[u32; 5]) -> Option<Call> {
        let Call::Packed(which, _) = self else { return Some(self) };
        let [a, b, c, d, _] = *arguments;
        let fd = a.cast_signed();
        Some(match which {
            SYS_BIND => Call::Bind(fd, b.into(), c),
            SYS_CONNECT => Call::Connect(fd, b.into(), c),
            SYS_LISTEN => Call::Listen(fd, b.cast_signed()),
            SYS_GETSOCKOPT if (b, c) == (SOL_SOCKET, SO_ERROR) => Call::SocketError(fd, d.into()),
            _ => return None,
        })
    }
}

const SOL_SOCKET: u32 = libc::SOL_SOCKET as u32;
const SO_ERROR: u32 = libc::SO_ERROR as u32;

/// The number of a call, and which of its arguments have to have which values.
type Numbered<'a> = (u32, &'a [(u32, u32)]);

/// A filter: instructions for the kernel.
pub struct Filter(Vec<libc::sock_filter>);

const fn load(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset }
}

/// Goes on with the next instruction if they are equal, else skips it.
const fn if_equal(k: u32) -> libc::sock_filter {
    libc::sock_filter { code: 0x15, jt: 0, jf: 1, k }
}

const fn give(k: u32) -> libc::sock_filter {
    libc::sock_filter { code: 0x06, jt: 0, jf: 0, k }
}

impl Filter {
    /// Stops at bind, listen, connect, `SO_ERROR`, io_uring_setup, and where a process confines
    /// itself by Landlock or seccomp, for whoever traces the process. In a process that nobody traces these calls answer `ENOSYS`.
    pub fn for_tracer() -> Filter {
        let stop = give(libc::SECCOMP_RET_TRACE);
        let mut native: Vec<Numbered<'_>> = Vec::new();
        for number in [libc::SYS_bind, libc::SYS_listen, libc::SYS_connect] {
            native.push((number as u32, &[]));
        }
        native.push((IO_URING_SETUP, &[]));
        native.push((LANDLOCK_RESTRICT_SELF, &[]));
        native.push((libc::SYS_prctl as u32, &[(0, PR_SET_SECCOMP)]));
        native.push((libc::SYS_seccomp as u32, &[(0, SET_MODE_FILTER)]));
        native.push((libc::SYS_getsockopt as u32, &[(1, SOL_SOCKET), (2, SO_ERROR)]));
        let other: &[Numbered<'_>] = &[
            (I386_BIND, &[]),
            (I386_LISTEN, &[]),
            (I386_CONNECT, &[]),
            (IO_URING_SETUP, &[]),
            (LANDLOCK_RESTRICT_SELF, &[]),
            (I386_PRCTL, &[(0, PR_SET_SECCOMP)]),
            (I386_SECCOMP, &[(0, SET_MODE_FILTER)]),
            (I386_GETSOCKOPT, &[(1, SOL_SOCKET), (2, SO_ERROR)]),
            (I386_SOCKETCALL, &[(0, SYS_BIND)]),
            (I386_SOCKETCALL, &[(0, SYS_CONNECT)]),
            (I386_SOCKETCALL, &[(0, SYS_LISTEN)]),
            (I386_SOCKETCALL, &[(0, SYS_GETSOCKOPT)]),
        ];
        Filter::new(&native, other, stop)
    }

    /// Hands bind and landlock_restrict_self to whoever has the listener.
    pub fn for_broker() -> Filter {
        let ask = give(libc::SECCOMP_RET_USER_NOTIF);
        let native: [Numbered<'_>; 2] =
            [(libc::SYS_bind as u32, &[]), (LANDLOCK_RESTRICT_SELF, &[])];
        let other: [Numbered<'_>; 3] =
            [(I386_BIND, &[]), (I386_SOCKETCALL, &[(0, SYS_BIND)]), (LANDLOCK_RESTRICT_SELF, &[])];
        Filter::new(&native, &other, ask)
    }

    /// `native`: calls to be answered so; `i386`: those of 32-bit x86, where that is another
    /// architecture. Everything else passes.
    fn new(native: &[Numbered<'_>], i386: &[Numbered<'_>], answer: libc::sock_filter) -> Filter {
        let pass = give(libc::SECCOMP_RET_ALLOW);
        let mut ours = vec![load(NUMBER)];
        if cfg!(target_arch = "x86_64") {
            const AND: u16 = 0x54;
            ours.push(libc::sock_filter { code: AND, jt: 0, jf: 0, k: !X32_BIT });
        }
        for (number, arguments) in native {
            one(&mut ours, *number, arguments, answer);
        }
        ours.push(pass);
        let mut theirs = vec![load(NUMBER)];
        for (number, arguments) in i386 {
            one(&mut theirs, *number, arguments, answer);
        }
        theirs.push(pass);
        const JUMP: u16 = 0x05;
        let jump = |past: usize| libc::sock_filter { code: JUMP, jt: 0, jf: 0, k: past as u32 };
        let mut program = vec![
            load(ARCHITECTURE),
            if_equal(NATIVE),
            jump(3),
            if_equal(I386),
            jump(1 + ours.len()),
            pass,
        ];
        program.extend(ours);
        if cfg!(target_arch = "x86_64") {
            program.extend(theirs);
        } else {
            program.push(pass);
        }
        Filter(program)
    }

    /// Puts the filter in front of the calls of the calling thread and what it starts. Needs
    /// `no_new_privs` or `CAP_SYS_ADMIN`. Allocates nothing.
    ///
    /// # Errors
    /// `EACCES` without either; `EINVAL` without seccomp filters in the kernel.
    pub fn install(&self) -> Result<(), Errno> {
        self.set(0).map(drop)
    }

    pub(super) fn set(&self, flags: libc::c_ulong) -> Result<libc::c_long, Errno> {
        let program =
            libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: the pointer is to a program of as many instructions as it says, which the kernel
        // only reads.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if result < 0 { Err(Errno::last()) } else { Ok(result) }
    }
}

/// Answers a call whose arguments are these; the accumulator holds its number before and after.
fn one(
    program: &mut Vec<libc::sock_filter>,
    number: u32,
    arguments: &[(u32, u32)],
    answer: libc::sock_filter,
) {
    // Each argument takes a load and a comparison; on a mismatch the number is loaded again.
    let rest = 2 * arguments.len() + 1;
    let again = usize::from(!arguments.is_empty());
    program.push(libc::sock_filter { code: 0x15, jt: 0, jf: (rest + again) as u8, k: number });
    for (at, (n, value)) in arguments.iter().enumerate() {
        let left = 2 * (arguments.len() - 1 - at) + 1;
        program.push(load(argument(*n)));
        program.push(libc::sock_filter { code: 0x15, jt: 0, jf: left as u8, k: *value });
    }
    program.push(answer);
    if again == 1 {
        program.push(load(NUMBER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers, by the rules of the kernel's interpreter.
    fn answer(filter: &Filter, architecture: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let field = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => architecture,
            _ => arguments[(offset as usize - 16) / 8],
        };
        let (mut at, mut value) = (0, 0);
        loop {
            let i = filter.0[at];
            at += 1;
            match i.code {
                0x20 => value = field(i.k),
                0x54 => value &= i.k,
                0x05 => at += i.k as usize,
                0x15 => at += usize::from(if value == i.k { i.jt } else { i.jf }),
                0x06 => return i.k,
                other => panic!("instruction {other:x}"),
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_calls_are_singled_out_however_they_are_made() {
        let filter = Filter::for_tracer();
        let (stop, pass) = (libc::SECCOMP_RET_TRACE, libc::SECCOMP_RET_ALLOW);
        let none = [0; 6];
        for (number, expected) in [(49, stop), (50, stop), (42, stop), (425, stop), (1, pass)] {
            assert_eq!(answer(&filter, NATIVE, number, none), expected, "{number}");
            let x32 = number | X32_BIT;
            assert_eq!(answer(&filter, NATIVE, x32, none), expected, "x32 {number}");
        }
        assert_eq!(answer(&filter, NATIVE, 55, [3, 1, 4, 0, 0, 0]), stop, "SO_ERROR");
        assert_eq!(answer(&filter, NATIVE, 55, [3, 1, 3, 0, 0, 0]), pass, "SO_TYPE");
        assert_eq!(answer(&filter, NATIVE, 55, [3, 6, 4, 0, 0, 0]), pass, "of TCP");
        for (number, first, expected) in [
            (361, 3, stop),
            (102, 2, stop),
            (102, 1, pass),
            (102, 4, stop),
            (102, 15, stop),
            (49, 3, pass),
            (4, 3, pass),
        ] {
            assert_eq!(answer(&filter, I386, number, [first, 0, 0, 0, 0, 0]), expected, "{number}");
        }
        assert_eq!(answer(&filter, 0x1234, 49, none), pass);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn calls_are_read_back() {
        let arguments = [3, 0x1_0000_1000, 16, 0, 0, 0];
        assert_eq!(decode(NATIVE, 49, &arguments), Some(Call::Bind(3, 0x1_0000_1000, 16)));
        let x32 = u64::from(X32_BIT) + 49;
        assert_eq!(decode(NATIVE, x32, &arguments), Some(Call::Bind(3, 0x1_0000_1000, 16)));
        assert_eq!(decode(I386, 361, &arguments), Some(Call::Bind(3, 0x1000, 16)));
        let packed = decode(I386, 102, &[2, 0x1000, 0, 0, 0, 0]).unwrap();
        assert_eq!(packed, Call::Packed(2, 0x1000));
        assert_eq!(packed.unpacked(&[3, 8, 16, 0, 0]), Some(Call::Bind(3, 8, 16)));
        assert_eq!(decode(NATIVE, 0, &arguments), None);
    }
}
