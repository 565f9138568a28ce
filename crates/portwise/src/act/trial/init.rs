//! The program between this one and a server: it starts the server and ends with this program,
//! and everything that the server started ends with it. It is this program again, under another
//! name, so that it shares no memory and no lock with the one that started it.
//!
//! It is the first process of a pid namespace where one can be had: then the kernel kills all
//! others when it ends. Elsewhere it adopts what loses its parent, and kills that.

use std::{
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use portwise_sys::{
    caps::Sets,
    proc::Proc,
    process::{self, Credentials, Start},
};
use serde::{Deserialize, Serialize};

/// What its first argument is.
pub(super) const NAME: &str = "portwise: init";

/// How often it looks.
const STEP: Duration = Duration::from_millis(5);

/// What it is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// Variables to set.
    pub(super) environment: Vec<(String, String)>,
    /// Whether it is the first process of a pid namespace.
    pub(super) is_first: bool,
    /// Who the program is to be.
    pub(super) who: Who,
}

/// [`Credentials`], to be written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Who {
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    bounding: Option<u64>,
    sets: Option<[u64; 3]>,
    ambient: Option<u64>,
}

impl From<&Credentials> for Who {
    fn from(of: &Credentials) -> Who {
        let sets = of.sets.as_ref().map(|s| [s.effective, s.permitted, s.inheritable]);
        let Credentials { uid, gid, bounding, ambient, .. } = *of;
        Who { uid, gid, groups: of.groups.clone(), bounding, sets, ambient }
    }
}

impl From<Who> for Credentials {
    fn from(who: Who) -> Credentials {
        let Who { uid, gid, groups, bounding, sets, ambient } = who;
        let sets = sets.map(|[effective, permitted, inheritable]| Sets {
            effective,
            permitted,
            inheritable,
        });
        Credentials { uid, gid, groups, bounding, sets, ambient }
    }
}

/// What it reports, a line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The program runs.
    Started,
    /// It could not be started: an errno.
    Failed(i32),
    /// It has ended: what wait(2) tells.
    Ended(i32),
}

impl Event {
    fn line(self) -> String {
        match self {
            Event::Started => "started 0\n".into(),
            Event::Failed(errno) => format!("failed {errno}\n"),
            Event::Ended(status) => format!("ended {status}\n"),
        }
    }

    /// Reads a line.
    pub(super) fn parse(line: &str) -> Option<Event> {
        let (word, number) = line.trim_end().split_once(' ')?;
        let number = number.parse().ok()?;
        match word {
            "started" => Some(Event::Started),
            "failed" => Some(Event::Failed(number)),
            "ended" => Some(Event::Ended(number)),
            _ => None,
        }
    }
}

/// Does what [`main`](crate::cli::main) was started for, if that is this; `None` otherwise.
pub(crate) fn main() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    if args.next()? != NAME {
        return None;
    }
    let order = args.next()?.into_string().ok()?;
    let order: Order = serde_json::from_str(&order).ok()?;
    Some(if run(order).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(order: Order) -> io::Result<()> {
    // The way back is the standard input: it is closed when the other side is gone.
    let mut back = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    back.set_read_timeout(Some(STEP))?;
    if !order.is_first {
        process::adopt_orphans().map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    }
    let is_first = order.is_first;
    let server = match start(order) {
        Ok(pid) => {
            back.write_all(Event::Started.line().as_bytes())?;
            Some(pid)
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(0);
            back.write_all(Event::Failed(errno).line().as_bytes())?;
            None
        }
    };
    while is_open(&mut back) {
        while let Ok(Some((pid, status))) = process::reap() {
            if Some(pid) == server {
                let _ = back.write_all(Event::Ended(raw(status)).line().as_bytes());
            }
        }
    }
    if !is_first {
        kill_all();
    }
    Ok(())
}

fn start(order: Order) -> io::Result<u32> {
    let Some((program, args)) = order.command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let says = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    let mut command = Command::new(program);
    command.args(args).envs(order.environment).stdin(Stdio::null()).stdout(says()?);
    let start = Start { credentials: order.who.into(), ..Start::default() };
    // Whoever waits for it is `reap`.
    start.spawn(&mut command).map(|child| child.id())
}

fn raw(status: ExitStatus) -> i32 {
    status.into_raw()
}

fn is_open(back: &mut UnixStream) -> bool {
    match back.read(&mut [0; 16]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
        ),
    }
}

/// Kills every descendant: those of a killed one come here, and are killed too.
fn kill_all() {
    let proc = Proc::default();
    loop {
        while let Ok(Some(_)) = process::reap() {}
        let me = std::process::id();
        let is_mine = |pid: &u32| proc.status(*pid).is_ok_and(|status| status.ppid == me);
        let mine: Vec<u32> = proc.pids().unwrap_or_default().into_iter().filter(is_mine).collect();
        if mine.is_empty() {
            return;
        }
        for pid in mine {
            let _ = process::kill_child(pid);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
