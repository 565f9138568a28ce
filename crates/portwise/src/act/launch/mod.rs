//! A program started with the right to bind certain addresses and ports, and no others.
//!
//! There are several ways, tried in this order: the program has the right already; a BPF program
//! of a fresh cgroup; the listening sockets made beforehand (`LISTEN_FDS`). An ambient capability
//! is wider than what is asked for, so it is taken only by name.
//!
//! Wherever it can, this process *becomes* the program: it keeps its pid, its parent, its terminal
//! and everything else, and there is nothing to pass on.

mod announce;
mod asker;
mod broker;
mod cgroup;
mod exact;
mod program;
mod rung;
mod sockets;
mod unit;

use std::process::ExitStatus;

use portwise_sys::Errno;

pub use self::{announce::Words, rung::Rung};
use self::{asker::Asker, program::File, rung::Ladder};
use crate::{Setting, SocketSettings, Trouble, endpoint::Target, observe::user::Named};

/// What to start, and what it may bind.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The endpoints.
    pub targets: Vec<Target>,
    /// What is set on sockets that are made beforehand.
    pub settings: SocketSettings,
    /// The user who is to run it; `None` for the one who asks.
    pub user: Option<Named>,
    /// The way to take, and no other.
    pub how: Option<Rung>,
    /// The program and its arguments.
    pub command: Vec<std::ffi::OsString>,
}

/// A program that is ready to be started.
pub(crate) struct Prepared {
    /// Its file.
    pub(crate) path: std::path::PathBuf,
    /// What to execute.
    pub(crate) program: portwise_sys::exec::Program,
    /// What to take on before.
    pub(crate) credentials: portwise_sys::process::Credentials,
}

impl Prepared {
    /// Finds the program, to be run by this user.
    ///
    /// # Errors
    /// If the program cannot be found, or this process may not become that user.
    pub(crate) fn of(
        command: &[std::ffi::OsString],
        user: Option<&Named>,
    ) -> Result<Prepared, NotStarted> {
        let path = program::find(command)?.path;
        let own = portwise_sys::caps::get(0);
        let own = own.map_err(|errno| Trouble::new(format!("capget: {errno}")))?;
        let login = user.map(|user| asker::login(user, own.effective)).transpose()?;
        let (credentials, environment) = login.unwrap_or_default();
        let program = program::executable(&path, command, environment.iter())?;
        Ok(Prepared { path, program, credentials })
    }
}

/// What became of a plan that did not start anything, or of one that is not to.
#[derive(Debug)]
pub struct Looked {
    /// What there is to say, a line each.
    pub words: Words,
    /// Whether there is a way.
    pub is_possible: bool,
}

/// Says how a plan would be carried out, and does nothing.
///
/// # Errors
/// If the program or user cannot be found.
pub fn look(plan: &Plan, setting: &mut Setting) -> Result<Looked, NotStarted> {
    let file = program::find(&plan.command)?;
    let asker = Asker::of(plan, setting, &file)?;
    let ladder = Ladder::climb(plan, &asker, &file);
    let words = announce::words(plan, setting, &asker, &ladder);
    Ok(Looked { words, is_possible: ladder.chosen().is_some() })
}

/// The equivalent systemd units.
///
/// # Errors
/// If the program or user cannot be found.
pub fn units(plan: &Plan, setting: &mut Setting) -> Result<String, NotStarted> {
    let file = program::find(&plan.command)?;
    let asker = Asker::of(plan, setting, &file)?;
    Ok(unit::text(plan, &asker, &file))
}

/// Starts the program. `announce` is told how, just before. Returns only if it was not started, or
/// if this process stayed beside it until it ended.
///
/// # Errors
/// If it was not started.
pub fn start(
    plan: &Plan,
    setting: &mut Setting,
    mut announce: impl FnMut(&Words),
) -> Result<ExitStatus, NotStarted> {
    let file = program::find(&plan.command)?;
    let asker = Asker::of(plan, setting, &file)?;
    let scopes = scopes(plan, setting)?;
    let mut ladder = Ladder::climb(plan, &asker, &file);
    // A way that looked open may turn out not to be.
    let made = loop {
        let made = match ladder.chosen() {
            Some(Rung::Cgroup) => cgroup::make(plan).map(Made::Cgroup),
            Some(Rung::Broker) => {
                let program = file.program(plan, &asker, &[])?;
                let credentials = &asker.credentials;
                broker::begin(plan, &scopes, credentials, &program).map(Made::Broker)
            }
            _ => Ok(Made::Nothing),
        };
        match made {
            Ok(made) => break made,
            Err(why) => ladder.rule_out(why, plan, &asker, &file),
        }
    };
    let mut words = announce::words(plan, setting, &asker, &ladder);
    let Some(rung) = ladder.chosen() else { return Err(NotStarted::NoWay(words)) };
    if let Made::Cgroup(cgroup) = &made {
        words.tidied(cgroup.tidied);
    }
    announce(&words);
    let failed = |errno| NotStarted::Program(plan.command[0].clone(), errno);
    if let Made::Broker(waiting) = made {
        return waiting.serve()?.map_err(failed);
    }
    let mut credentials = asker.credentials.clone();
    let mut variables = Vec::new();
    match rung {
        Rung::Already | Rung::Cgroup | Rung::Broker => {}
        Rung::Ambient => rung::with_ambient(&mut credentials)?,
        Rung::Activation => variables = sockets::make(plan, &scopes)?,
    }
    let program = file.program(plan, &asker, &variables)?;
    if let Made::Cgroup(cgroup) = made {
        cgroup.enter()?;
    }
    credentials.take().map_err(|errno| {
        Trouble::new(format!("cannot become that user: {} ({errno})", errno.text()))
    })?;
    Err(failed(program.exec()))
}

/// What was made for the chosen way.
enum Made {
    Nothing,
    Cgroup(cgroup::Made),
    Broker(broker::Waiting),
}

/// Why nothing was started.
#[derive(Debug)]
pub enum NotStarted {
    /// The program cannot be executed.
    Program(std::ffi::OsString, Errno),
    /// Something else is in the way.
    Trouble(Trouble),
    /// There is no way: what was tried, and what would help.
    NoWay(Words),
}

impl From<Trouble> for NotStarted {
    fn from(trouble: Trouble) -> NotStarted {
        NotStarted::Trouble(trouble)
    }
}

/// The indexes of the interfaces that the endpoints name.
fn scopes(plan: &Plan, setting: &mut Setting) -> Result<Vec<u32>, Trouble> {
    let mut scopes = Vec::new();
    for target in &plan.targets {
        let request = setting.request(target, &plan.settings)?;
        scopes.push(match request.call {
            portwise_model::Call::Bind(addr) => addr.scope,
            _ => 0,
        });
    }
    Ok(scopes)
}
