//! ptrace(2): looking on at the calls of a program and of all that it starts.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use crate::Errno;

/// What became of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has ended.
    Ended(ExitStatus),
    /// It is stopped by a filter, before a call.
    Filtered,
    /// It is stopped before or after a call.
    AtCall,
    /// It has executed a program; the number it had before, should it have taken that of its
    /// process.
    Executed(u32),
    /// It has started something, which reports by itself.
    Started,
    /// It is new, or goes on after a stop.
    Trap,
    /// It is stopped by job control, by this signal.
    JobControl(i32),
    /// It is about to get a signal.
    Signal(i32),
}

/// How a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until a filter or a signal stops it.
    Filtered,
    /// Until it begins or ends a call.
    Call,
}

/// Where a stopped thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before a call: architecture (`AUDIT_ARCH_…`), number, arguments.
    Before(u32, u64, [u64; 6]),
    /// After one: what it returned, negative for an errno.
    After(i64),
    /// Elsewhere.
    Elsewhere,
}

/// Attaches to a child, and to all that it will start. It is not stopped. Should this process end
/// before them, they are killed.
///
/// # Errors
/// `EPERM` if Yama or another module forbids it.
pub fn seize(pid: u32) -> Result<(), Errno> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SEIZE, pid, 0, options as usize).map(drop)
}

/// Waits for the next event of any child or attached thread; `None` if there are none left.
///
/// # Errors
/// `EINTR` if a signal came.
pub fn wait() -> Result<Option<(u32, Event)>, Errno> {
    let mut status = 0;
    // SAFETY: the pointer is to an int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
    if pid < 0 {
        return match Errno::last() {
            Errno::ECHILD => Ok(None),
            errno => Err(errno),
        };
    }
    let pid = pid.cast_unsigned();
    if !libc::WIFSTOPPED(status) {
        return Ok(Some((pid, Event::Ended(ExitStatus::from_raw(status)))));
    }
    let signal = libc::WSTOPSIG(status);
    let event = match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Event::Filtered,
        libc::PTRACE_EVENT_EXEC => Event::Executed(message(pid)),
        libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
            Event::Started
        }
        libc::PTRACE_EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                Event::JobControl(signal)
            }
            _ => Event::Trap,
        },
        _ if signal == libc::SIGTRAP | 0x80 => Event::AtCall,
        _ => Event::Signal(signal),
    };
    Ok(Some((pid, event)))
}

fn message(pid: u32) -> u32 {
    let mut message: libc::c_ulong = 0;
    let to = &raw mut message as usize;
    match request(libc::PTRACE_GETEVENTMSG, pid, 0, to) {
        Ok(_) => message as u32,
        Err(_) => pid,
    }
}

/// Where a stopped thread is (≥ 5.3).
///
/// # Errors
/// `EIO` before 5.3; `ESRCH` if it was killed.
pub fn place(pid: u32) -> Result<Place, Errno> {
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        op: u8,
        _pad: [u8; 3],
        arch: u32,
        _ip: u64,
        _sp: u64,
        // number and arguments, or result
        words: [u64; 7],
        _data: u32,
    }
    const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;
    const ENTRY: u8 = 1;
    const EXIT: u8 = 2;
    const SECCOMP: u8 = 3;
    let mut info = Info::default();
    request(PTRACE_GET_SYSCALL_INFO, pid, size_of::<Info>(), &raw mut info as usize)?;
    let [number, arguments @ ..] = info.words;
    Ok(match info.op {
        ENTRY | SECCOMP => Place::Before(info.arch, number, arguments),
        EXIT => Place::After(number.cast_signed()),
        _ => Place::Elsewhere,
    })
}

/// Lets a stopped thread go on, with a signal (0 for none). That it was killed meanwhile is no
/// error.
pub fn resume(pid: u32, until: Until, signal: i32) {
    let how = match until {
        Until::Filtered => libc::PTRACE_CONT,
        Until::Call => libc::PTRACE_SYSCALL,
    };
    let _ = request(how, pid, 0, signal as usize);
}

/// Lets a thread that job control has stopped stay so, until it is told to go on.
pub fn stay_stopped(pid: u32) {
    let _ = request(libc::PTRACE_LISTEN, pid, 0, 0);
}

fn request(what: u32, pid: u32, address: usize, data: usize) -> Result<libc::c_long, Errno> {
    let (address, data) = (
        ptr::without_provenance_mut::<libc::c_void>(address),
        ptr::with_exposed_provenance_mut::<libc::c_void>(data),
    );
    // SAFETY: where a request of this file writes, `data` is the address of what it writes, and
    // `address` the size of that if it wants one.
    let result = unsafe { libc::ptrace(what, pid.cast_signed(), address, data) };
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}
