//! The processes above a process, and whether one of them starts it again when it ends.

use std::{collections::BTreeMap, path::Path};

use portwise_sys::proc::{Proc, Stat};

use super::describe::text;
use crate::observe::inventory::Supervisor;

/// How far up a supervisor is looked for: beyond, it restarts something else.
const GENERATIONS: usize = 4;

/// Programs that start their children again.
const SUPERVISORS: [&str; 16] = [
    "supervisord",
    "runsv",
    "s6-supervise",
    "circusd",
    "pm2",
    "nodemon",
    "forever",
    "foreman",
    "honcho",
    "hivemind",
    "overmind",
    "watchexec",
    "watchmedo",
    "entr",
    "monit",
    "daemontools",
];

/// What runs programs whose own name says little.
const INTERPRETERS: [&str; 6] = ["node", "python", "python3", "ruby", "perl", "sh"];

/// A process above another.
pub(super) struct Ancestor {
    pub stat: Stat,
    pub command: String,
}

/// Processes above others, each read once.
#[derive(Default)]
pub(super) struct Ancestors {
    known: BTreeMap<u32, Option<Ancestor>>,
    /// What starts the children of a process again.
    supervisors: BTreeMap<u32, Option<Supervisor>>,
}

impl Ancestors {
    /// Reads a process; `None` if it has ended.
    pub(super) fn get(&mut self, proc: &Proc, pid: u32) -> Option<&Ancestor> {
        let read = || {
            let dir = proc.process(pid).ok()?;
            let (stat, command) = dir.named_stat().ok()?;
            Some(Ancestor { stat, command: text(command) })
        };
        self.known.entry(pid).or_insert_with(read).as_ref()
    }

    /// The nearest process from `pid` upwards that starts its children again.
    pub(super) fn supervisor(&mut self, proc: &Proc, pid: u32) -> Option<Supervisor> {
        if let Some(known) = self.supervisors.get(&pid) {
            return known.clone();
        }
        let found = self.find_supervisor(proc, pid);
        self.supervisors.entry(pid).or_insert(found).clone()
    }

    fn find_supervisor(&mut self, proc: &Proc, pid: u32) -> Option<Supervisor> {
        let mut pid = pid;
        for _ in 0..GENERATIONS {
            if pid <= 1 {
                return None;
            }
            let known = self.get(proc, pid)?;
            let parent = known.stat.parent;
            let arguments = || {
                let arguments = proc.process(pid).and_then(|dir| dir.cmdline());
                arguments.unwrap_or_default().into_iter().map(text).collect()
            };
            if let Some(name) = name(&known.command, arguments) {
                return Some(Supervisor { name: name.into(), pid, setting: None });
            }
            pid = u32::try_from(parent).ok()?;
        }
        None
    }
}

/// The name of the supervisor that a process is, if it is one.
fn name(command: &str, arguments: impl FnOnce() -> Vec<String>) -> Option<&'static str> {
    // PM2 calls itself `PM2 v5.3.0: God Daemon`.
    if command.starts_with("PM2 ") {
        return Some("pm2");
    }
    let known = |name: &str| SUPERVISORS.into_iter().find(|known| *known == name);
    if let Some(name) = known(command) {
        return Some(name);
    }
    if !INTERPRETERS.iter().any(|name| command == *name || command.starts_with("python3.")) {
        return None;
    }
    let arguments = arguments();
    let script = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'))?;
    let file = Path::new(script).file_name()?.to_str()?;
    known(file.split('.').next().unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supervisors_are_known_by_their_names_or_scripts() {
        let of = |command: &str, line: &str| {
            name(command, || line.split(' ').map(str::to_owned).collect())
        };
        assert_eq!(of("runsv", ""), Some("runsv"));
        assert_eq!(of("PM2 v5.3.0: God", ""), Some("pm2"));
        assert_eq!(of("node", "node --x /usr/lib/nodemon.js app.js"), Some("nodemon"));
        assert_eq!(of("python3", "/usr/bin/python3 /usr/bin/supervisord -n"), Some("supervisord"));
        assert_eq!(of("python3", "python3"), None);
        assert_eq!(of("bash", "bash nodemon"), None);
    }
}
