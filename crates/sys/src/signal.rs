//! signal(7), sigaction(2): signals passed on to a program that was started, and what was in force
//! before this process had a say.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};

use crate::Errno;

/// What `SIGPIPE` did when this process started: Rust's runtime ignores it before `main`.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: the section holds addresses of functions, which the loader calls before `main`.
#[unsafe(link_section = ".init_array")]
#[used]
static BEFORE_MAIN: extern "C" fn() = look_at_sigpipe;

extern "C" fn look_at_sigpipe() {
    // SAFETY: all-zero is a valid sigaction.
    let mut was: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a sigaction, which the call fills.
    let read = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut was) };
    SIGPIPE_WAS_IGNORED.store(read == 0 && was.sa_sigaction == libc::SIG_IGN, Relaxed);
}

/// Handles `SIGPIPE` as when this process started.
pub fn restore_sigpipe() {
    let to = if SIGPIPE_WAS_IGNORED.load(Relaxed) { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither value is a function.
    unsafe { libc::signal(libc::SIGPIPE, to) };
}

/// To whom signals are passed on: 0 to nobody.
static TO: AtomicI32 = AtomicI32::new(0);

/// How many signals came while nobody was there to pass them on to; the last of them.
static UNCLAIMED: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicI32 = AtomicI32::new(0);

/// The signals that are passed on: those that ask a program something.
const PASSED_ON: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGTSTP,
];

/// From now on passes signals on to a child. Those that the terminal sends to the whole foreground
/// are left out: the child has them already. What was ignored stays ignored.
///
/// # Errors
/// Those of sigaction(2).
pub fn pass_on_to(pid: u32) -> Result<(), Errno> {
    TO.store(pid.cast_signed(), Relaxed);
    // How a child ends is lost where its end is ignored.
    // SAFETY: the value is no function.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    for signal in PASSED_ON {
        // SAFETY: all-zero is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a sigaction, which the call fills.
        check(unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) })?;
        if action.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        action.sa_sigaction = pass_on as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler takes what SA_SIGINFO promises and makes system calls only.
        check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// The child is gone: signals are counted from now on. Returns nothing about earlier ones.
pub fn pass_on_to_nobody() {
    TO.store(0, Relaxed);
}

/// How many signals other than `SIGCONT`, `SIGTSTP` and `SIGWINCH` came for nobody, and the last
/// of them.
pub fn unclaimed() -> (u32, i32) {
    (UNCLAIMED.load(Relaxed), LAST.load(Relaxed))
}

/// From now on the end or stop of a child interrupts what the calling process waits for.
///
/// # Errors
/// Those of sigaction(2).
pub fn wake_for_children() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as libc::sighandler_t;
    // SAFETY: the handler does nothing.
    check(unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) })
}

extern "C" fn nothing(_: i32) {}

extern "C" fn pass_on(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo to a handler with SA_SIGINFO.
    let from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    let to = TO.load(Relaxed);
    if to > 0 && !from_terminal {
        // SAFETY: errno is this thread's; kill takes no pointer.
        unsafe {
            let errno = libc::__errno_location();
            let kept = *errno;
            libc::kill(to, signal);
            *errno = kept;
        }
    } else if to == 0 && !matches!(signal, libc::SIGCONT | libc::SIGTSTP | libc::SIGWINCH) {
        LAST.store(signal, Relaxed);
        UNCLAIMED.fetch_add(1, Relaxed);
    }
}

/// Stops the calling process, as job control does, until it is told to go on.
pub fn stop_self() {
    // SAFETY: takes no pointer.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Ends the calling process by a signal, so that whoever waits for it sees that one, without a
/// core file. Returns if the signal does not end a process.
pub fn end_self_by(signal: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a limit; the others take none.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
    }
}

fn check(result: i32) -> Result<(), Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}
