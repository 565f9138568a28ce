//! The way by a broker: the program's bind(2) waits while this process, which has the right, binds
//! the very socket to an address it read once. Works for every program, with a price: this process
//! stays beside it, and bind acts with this process's rights.
//!
//! So it acts only for the endpoints asked for, on sockets of the same network namespace, and not
//! once a process of the program has put itself into a Landlock domain, nor for one with another
//! label of a security module. In all these cases the program makes the call itself, as it would
//! have done.

mod judge;

use std::{
    net::SocketAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitStatus,
};

use portwise_sys::{
    Errno, caps,
    caps::Sets,
    exec, handover,
    pidfd::PidFd,
    proc::Proc,
    process::{self, Change, Credentials},
    seccomp::{Filter, Listener, Notification, Ready},
    signal,
};

use self::judge::{Judge, Judgement};
use super::Plan;
use crate::Trouble;

/// Why this way cannot be gone, as far as it can be seen without going it.
pub(super) fn reason_against(own: u64) -> Option<String> {
    let proc = Proc::default();
    let actions = proc.sysctl("kernel.seccomp.actions_avail").unwrap_or_default();
    if !actions.split(' ').any(|action| action == "user_notif") {
        return Some("the kernel hands no calls to others (seccomp user notification)".into());
    }
    let yama = proc.sysctl("kernel.yama.ptrace_scope").ok().and_then(|v| v.parse::<u32>().ok());
    let is_able = own & caps::bit(caps::SYS_PTRACE) != 0;
    match yama {
        Some(3) => Some("kernel.yama.ptrace_scope is 3: nobody may fetch a socket".into()),
        Some(2) if !is_able => {
            Some("kernel.yama.ptrace_scope is 2: only root may fetch a socket".into())
        }
        _ => None,
    }
}

/// A program that waits for being executed, its calls in front of this process.
pub(super) struct Waiting {
    pid: u32,
    over: UnixStream,
    listener: Listener,
    judge: Judge,
    is_safe: bool,
}

/// What the child says before it executes the program, beside an errno: that its filter is in
/// force, and whether only a deadly signal interrupts a call.
const READY: [u8; 4] = [0xff; 4];
const READY_SAFE: [u8; 4] = [0xfe; 4];

/// Starts a child that puts the filter in front of its calls.
///
/// # Errors
/// Why this way cannot be gone, in words.
pub(super) fn begin(
    plan: &Plan,
    scopes: &[u32],
    credentials: &Credentials,
    program: &exec::Program,
) -> Result<Waiting, String> {
    let judge = Judge::new(plan, scopes)?;
    let failed = |what: &dyn std::fmt::Display| format!("the broker cannot be started: {what}");
    let (over, theirs) = UnixStream::pair().map_err(|e| failed(&e))?;
    let own = caps::get(0).map_err(|errno| failed(&errno))?;
    let is_able = own.effective & caps::bit(caps::SYS_ADMIN) != 0;
    let filter = Filter::for_broker();
    let ours = std::cell::Cell::new(Some(over));
    let pid = process::fork(|| {
        drop(ours.take());
        let errno = in_child(&theirs, &filter, is_able, credentials, program);
        let _ = handover::send(&theirs, errno.0.to_ne_bytes(), None);
        1
    });
    let pid = pid.map_err(|errno| failed(&errno))?;
    drop(theirs);
    let over = ours.take().ok_or("the broker cannot be started")?;
    match handover::receive(&over) {
        Ok(Some((ready @ (READY | READY_SAFE), Some(fd)))) => {
            let listener = Listener::from_fd(fd);
            listener.answer_on_same_processor();
            Ok(Waiting { pid, over, listener, judge, is_safe: ready == READY_SAFE })
        }
        Ok(Some((errno, _))) => {
            let _ = process::changed();
            Err(match Errno(i32::from_ne_bytes(errno)) {
                Errno::EBUSY => "another supervisor answers calls of this process already \
                                 (seccomp user notification)"
                    .into(),
                errno => failed(&errno),
            })
        }
        Ok(None) | Err(_) => Err(failed(&"it has ended")),
    }
}

/// In the child. Allocates nothing. Returns only if the program is not executed.
fn in_child(
    over: &UnixStream,
    filter: &Filter,
    is_able: bool,
    credentials: &Credentials,
    program: &exec::Program,
) -> Errno {
    let begun = (|| {
        if !is_able {
            caps::set_no_new_privs()?;
        }
        let (listener, is_safe) = filter.install_with_listener()?;
        let ready = if is_safe { READY_SAFE } else { READY };
        handover::send(over, ready, Some(listener.as_fd()))?;
        drop(listener);
        // Until the other side has said how it will be started.
        handover::receive(over)?.ok_or(Errno::EPIPE)?;
        credentials.take()?;
        // Without the broker bind would answer ENOSYS; and whoever kills `run` means the program.
        process::die_with_parent()
    })();
    match begun {
        Ok(()) => program.exec(),
        Err(errno) => errno,
    }
}

impl Waiting {
    /// Lets the program begin, and answers its calls until it ends. Returns how it ended, or why
    /// it could not be executed. Should something that it started live on, that is served from the
    /// background.
    ///
    /// # Errors
    /// If this process cannot do its part.
    pub(super) fn serve(self) -> Result<Result<ExitStatus, Errno>, Trouble> {
        let Waiting { pid, over, listener, mut judge, is_safe } = self;
        let failed =
            |what: &str, errno: Errno| Trouble::new(format!("{what}: {} ({errno})", errno.text()));
        signal::pass_on_to(pid).map_err(|errno| failed("sigaction", errno))?;
        signal::wake_for_children().map_err(|errno| failed("sigaction", errno))?;
        limit_self().map_err(|errno| failed("capset", errno))?;
        // Where Yama lets ancestors look only, orphans must stay below this process.
        let _ = process::adopt_orphans();
        handover::send(&over, READY, None).map_err(|errno| failed("sendmsg", errno))?;
        let main = PidFd::open(pid).map_err(|error| Trouble::new(error.to_string()))?;
        let mut ended = None;
        while ended.is_none() {
            match listener.wait(Some(main.as_fd())).map_err(|errno| failed("poll", errno))? {
                Ready::Call => answer(&listener, &mut judge, is_safe),
                Ready::Closed | Ready::Other => {}
            }
            while let Some((changed, change)) = process::changed() {
                match change {
                    Change::Ended(status) if changed == pid => ended = Some(status),
                    Change::Stopped if changed == pid => signal::stop_self(),
                    _ => {}
                }
            }
        }
        let Some(ended) = ended else { return Err(Trouble::new("the program was lost sight of")) };
        if let Ok(Some((errno, _))) = handover::receive(&over) {
            return Ok(Err(Errno(i32::from_ne_bytes(errno))));
        }
        if !listener.is_closed() {
            process::in_background(&[listener.as_fd()], || {
                while let Ok(ready) = listener.wait(None) {
                    match ready {
                        Ready::Call => answer(&listener, &mut judge, is_safe),
                        Ready::Closed => break,
                        Ready::Other => {}
                    }
                }
            })
            .map_err(|errno| failed("fork", errno))?;
        }
        Ok(Ok(ended))
    }
}

/// Answers one call.
fn answer(listener: &Listener, judge: &mut Judge, is_safe: bool) {
    let Ok(call) = listener.receive() else { return };
    let done = match judge.judge(listener, &call) {
        Judgement::ByItself => listener.let_through(&call),
        Judgement::Bind(socket, address) => act(listener, judge, &call, &socket, address, is_safe),
    };
    let _ = done;
}

/// Binds the socket in place of the program. Where a call is not safe from signals (before 5.19),
/// one takes it back even after it was done, and the program makes it again.
fn act(
    listener: &Listener,
    judge: &mut Judge,
    call: &Notification,
    socket: &portwise_sys::sock::Socket,
    address: SocketAddr,
    is_safe: bool,
) -> Result<(), Errno> {
    if !is_safe && judge.is_done(socket, address) {
        return listener.answer(call, Ok(()));
    }
    let outcome = socket.bind(&portwise_sys::sock::Address::new(address));
    if !is_safe && outcome.is_ok() {
        judge.remember(socket, address);
    }
    listener.answer(call, outcome)
}

/// Keeps only what answering takes.
fn limit_self() -> Result<(), Errno> {
    let own = caps::get(0)?;
    let needed = [caps::NET_BIND_SERVICE, caps::SYS_PTRACE, caps::KILL];
    let kept = own.permitted & needed.iter().fold(0, |set, c| set | caps::bit(*c));
    caps::set(&Sets { effective: kept, permitted: kept, inheritable: 0 })
}
