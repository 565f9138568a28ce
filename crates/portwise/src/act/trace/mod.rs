//! A program watched as it binds, listens and connects, with all that it starts. Each call that
//! fails is explained as things are at that moment.
//!
//! The program makes every call itself, with its own rights; a filter stops it only at these few
//! (ptrace(2), seccomp(2)), before the call and after it. So nothing that it does ends otherwise
//! than it would, but for what a tracer rules out in general: another tracer, and rights gained by
//! executing a program, unless root traces.

mod call;
mod connect;
mod explain;
mod firewall;
mod helper;
mod ports;
mod proxy;
mod route;
mod start;
mod tracee;

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    net::SocketAddr,
    process::ExitStatus,
};

use portwise_model::Protocol;
use portwise_sys::{
    Errno,
    proc::Proc,
    ptrace::{self, Event, Until},
    signal,
};

pub(crate) use self::explain::is_explained;
pub use self::{
    connect::Connect,
    explain::{Explained, Failure},
    tracee::{Call, Record},
};
use self::{explain::Explainer, tracee::Tracee};
use crate::{Trouble, act::launch::NotStarted, observe::user::Named};

/// What to watch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The user who is to run it; `None` for the one who asks.
    pub user: Option<Named>,
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Whether calls that succeed are told too.
    pub successes: bool,
}

/// Something to tell.
pub enum Told<'a> {
    /// In a line: how the trace differs from a run without it.
    Note(String),
    /// A call that failed, explained; or one that was explained before, when it failed first.
    Failed(&'a Failure),
    /// A call that succeeded.
    Succeeded(&'a Record, Option<String>),
    /// What the program says of a failure is wrong.
    WrongHint(&'a Record, String, String),
    /// It is over.
    Ended(&'a Summary),
}

/// So many connections without an answer are told.
const MOST_UNANSWERED: usize = 3;

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Calls that succeeded: bind, listen, connect.
    pub succeeded: [u64; 3],
    /// Calls that failed, with how often, in the order in which each failed first.
    pub failed: Vec<(Record, u64)>,
    /// How many processes were watched.
    pub processes: u64,
}

/// Starts the program and watches until all that it started has ended. Returns how the program
/// itself ended. `tell` is told at once.
///
/// # Errors
/// If it cannot be started or watched.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(Told<'_>)) -> Result<ExitStatus, NotStarted> {
    let started = start::start(plan, &mut |note| tell(Told::Note(note)))?;
    let mut watch = Watch {
        main: started.pid,
        tracees: HashMap::new(),
        explainer: Explainer::default(),
        filters: Family::default(),
        helpers: HashMap::new(),
        unanswered: HashSet::new(),
        told: HashSet::new(),
        summary: Summary { processes: 1, ..Summary::default() },
        gains_nothing: started.gains_nothing,
        plan,
        tell,
    };
    let ended = watch.watch()?;
    if let Some(errno) = started.failed() {
        return Err(NotStarted::Program(plan.command[0].clone(), errno));
    }
    (watch.tell)(Told::Ended(&watch.summary));
    Ok(ended)
}

/// Whether a C library or runtime looks there for a service that is mostly not there.
fn is_optional(record: &Record) -> bool {
    const SERVICES: [&str; 5] =
        ["/var/run/nscd/", "/run/nscd/", "/run/systemd/", "/dev/log", "/run/dbus/"];
    let path = record.unix.as_ref().and_then(|name| name.path());
    let path = path.filter(|_| record.call == Call::Connect);
    path.is_some_and(|path| SERVICES.iter().any(|s| path.to_string_lossy().starts_with(s)))
}

/// Processes with something that all inherit which they start.
#[derive(Default)]
struct Family(HashSet<u32>);

impl Family {
    /// A thread, and with it its process, takes it on.
    fn enter(&mut self, tid: u32) {
        self.0.insert(tid);
        self.0.extend(Proc::default().status(tid).map(|status| status.tgid));
    }

    /// A process or thread was started. Returns whether it inherits it.
    fn started(&mut self, tid: u32) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let proc = Proc::default();
        let parent = proc.stat(tid).map_or(0, |stat| stat.parent.cast_unsigned());
        let process = proc.status(tid).map_or(tid, |status| status.tgid);
        let inherits = self.has(parent) || self.has(process);
        if inherits {
            self.0.insert(tid);
        }
        inherits
    }

    fn has(&self, tid: u32) -> bool {
        self.0.contains(&tid)
    }
}

struct Watch<'a> {
    main: u32,
    tracees: HashMap<u32, Tracee>,
    explainer: Explainer,
    /// Those that installed a seccomp filter, with all that they started.
    filters: Family,
    summary: Summary,
    /// Programs that bind for others, with what is to be said if they refuse.
    helpers: HashMap<u32, String>,
    /// Where connections went of which nobody asked how they ended.
    unanswered: HashSet<SocketAddr>,
    /// The families of which a process was told to get no socket.
    told: HashSet<(u32, i32)>,
    /// Whether executing a program gives no rights, because plain users' filters need that.
    gains_nothing: bool,
    plan: &'a Plan,
    tell: &'a mut dyn FnMut(Told<'_>),
}

impl Watch<'_> {
    fn watch(&mut self) -> Result<ExitStatus, Trouble> {
        let mut ended = None;
        let mut claimed = 0;
        loop {
            let (tid, event) = match ptrace::wait() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(Errno::EINTR) => {
                    self.pass_on_to_rest(ended.is_some(), &mut claimed);
                    continue;
                }
                Err(errno) => return Err(Trouble::new(format!("waitpid: {errno}"))),
            };
            match event {
                Event::Ended(status) => {
                    self.ended(tid, status);
                    if tid == self.main {
                        ended = Some(status);
                        signal::pass_on_to_nobody();
                    }
                }
                Event::Filtered => self.at_call(tid, true),
                Event::AtCall => self.at_call(tid, false),
                Event::Executed(before) => self.executed(tid, before),
                Event::Started => {
                    self.summary.processes += 1;
                    self.explainer.domains.started(tid);
                    if self.filters.started(tid) {
                        self.tracees.insert(tid, Tracee::confined());
                    }
                    self.go_on(tid, 0);
                }
                Event::Trap => self.go_on(tid, 0),
                Event::JobControl(_) => {
                    ptrace::stay_stopped(tid);
                    if tid == self.main {
                        // So that a shell sees its job stopped.
                        signal::stop_self();
                    }
                }
                Event::Signal(signal) => self.go_on(tid, signal),
            }
        }
        ended.ok_or_else(|| Trouble::new("the program was lost sight of"))
    }

    /// A thread or process has ended.
    fn ended(&mut self, tid: u32, status: ExitStatus) {
        if let Some(helper) = self.helpers.remove(&tid)
            && !status.success()
        {
            (self.tell)(Told::Note(helper));
        }
        let Some(tracee) = self.tracees.remove(&tid) else { return };
        for address in tracee.unanswered() {
            let new = self.unanswered.insert(address);
            if new && self.unanswered.len() <= MOST_UNANSWERED {
                (self.tell)(Told::Note(helper::unanswered(address)));
            }
        }
    }

    fn go_on(&mut self, tid: u32, signal: i32) {
        let until = self.tracees.get(&tid).map_or(Until::Filtered, Tracee::until);
        ptrace::resume(tid, until, signal);
    }

    fn executed(&mut self, tid: u32, before: u32) {
        if before != tid {
            self.tracees.remove(&before);
        }
        self.helpers.extend(helper::refusal(tid).map(|text| (tid, text)));
        let confined = self.filters.has(tid) || self.filters.has(before);
        let tracee = if confined { Tracee::confined() } else { Tracee::default() };
        self.tracees.insert(tid, tracee);
        if self.gains_nothing
            && tid != self.main
            && let Some(note) = start::lost_rights(tid)
        {
            (self.tell)(Told::Note(note));
        }
        self.go_on(tid, 0);
    }

    fn at_call(&mut self, tid: u32, filtered: bool) {
        let tracee = self.tracees.entry(tid).or_default();
        let heard = tracee.stopped(tid, filtered, self.plan.successes);
        let until = tracee.until();
        match heard {
            tracee::Heard::Nothing => {}
            tracee::Heard::Called(record, facts) => self.called(tid, record, &facts),
            tracee::Heard::Said(text) => self.said(tid, &text),
            tracee::Heard::Landlock => self.explainer.domains.enter(tid),
            tracee::Heard::Seccomp => self.filters.enter(tid),
            tracee::Heard::NoSocket(family, errno) => {
                if let Some(note) = helper::no_socket(tid, family, errno)
                    && self.told.insert((tid, family))
                {
                    (self.tell)(Told::Note(note));
                }
            }
            tracee::Heard::IoUring => {
                if self.explainer.is_first_uring(tid) {
                    let name = tracee::name(tid);
                    (self.tell)(Told::Note(format!(
                        "{name} uses io_uring; what it binds or connects that way is not seen"
                    )));
                }
            }
        }
        // What was called may have changed it.
        let until = self.tracees.get(&tid).map_or(until, Tracee::until);
        ptrace::resume(tid, until, 0);
    }

    fn called(&mut self, tid: u32, record: Record, facts: &tracee::SocketFacts) {
        if record.errno.is_none() {
            self.summary.succeeded[record.call as usize] += 1;
            if self.plan.successes {
                let covers = self.explainer.covers(&record, facts);
                (self.tell)(Told::Succeeded(&record, covers));
            }
            return;
        }
        // Resolvers connect without sending anything, to see which addresses have a route.
        let is_probe = record.call == Call::Connect && record.protocol == Some(Protocol::Udp);
        if is_probe && !self.plan.successes {
            return;
        }
        if !self.plan.successes && is_optional(&record) {
            return;
        }
        let known = self.summary.failed.iter_mut().find(|(known, _)| known.is_like(&record));
        let again = match known {
            Some((_, times)) => {
                *times += 1;
                true
            }
            None => {
                self.summary.failed.push((record.clone(), 1));
                false
            }
        };
        let failure = self.explainer.explain(record, facts, again);
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.failed(&failure);
        }
        (self.tell)(Told::Failed(&failure));
    }

    /// A program said something shortly after a failure.
    fn said(&mut self, tid: u32, text: &str) {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        let Some((record, facts)) = tracee.last_failure() else { return };
        if let Some((hint, because)) = self.explainer.wrong_hint(&record, &facts, text) {
            tracee.explained();
            (self.tell)(Told::WrongHint(&record, hint, because));
        }
    }

    /// Once the program itself has ended, signals are for what it left behind.
    fn pass_on_to_rest(&self, is_rest: bool, claimed: &mut u32) {
        let (count, signal) = signal::unclaimed();
        if is_rest && count != *claimed {
            *claimed = count;
            for tid in self.tracees.keys() {
                let _ = portwise_sys::process::signal_process(*tid, signal);
            }
        }
    }
}
