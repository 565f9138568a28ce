//! A process that holds a socket, with what is known of it, as answers show it.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

use crate::observe::{
    inventory::{self, Run},
    owners::Owners,
};

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// Its id in the pid namespace of the asker.
    pub pid: u32,
    /// The name of its program: not to be trusted.
    pub command: String,
    /// Its effective user.
    pub uid: u32,
    /// The login name of that user.
    pub user: Option<String>,
    /// Its descriptors of the socket.
    pub fds: Vec<u32>,
    /// Whether the socket was sent to it and not received yet.
    pub in_flight: bool,
    /// Whether it surely did not make the socket but inherited it from a process that is gone.
    pub inherited: bool,
    /// What else is known.
    pub about: Option<About>,
}

impl From<&crate::observe::Process> for Owner {
    fn from(process: &crate::observe::Process) -> Owner {
        Owner {
            pid: process.pid,
            command: process.command.clone(),
            uid: process.uid,
            user: process.user.clone(),
            fds: Vec::new(),
            in_flight: false,
            inherited: false,
            about: None,
        }
    }
}

/// The processes that hold a socket, each once.
pub fn of(owners: &Owners, socket: &inventory::Socket) -> Vec<Owner> {
    let mut list: Vec<Owner> = Vec::new();
    for holder in &socket.holders {
        let in_flight = holder.how == inventory::How::InFlight;
        if let Some(known) =
            list.iter_mut().find(|o| o.pid == holder.pid && o.in_flight == in_flight)
        {
            known.fds.push(holder.fd);
            continue;
        }
        // One that is not described has ended meanwhile.
        let Some(process) = owners.process(holder.pid) else { continue };
        list.push(Owner {
            pid: holder.pid,
            command: process.command.clone(),
            uid: process.uid,
            user: process.user.clone(),
            fds: vec![holder.fd],
            in_flight,
            inherited: socket.inode.is_some_and(|inode| owners.inherited.contains(&inode)),
            about: Some(About::from(process)),
        });
    }
    list
}

/// What is known of a process beyond its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// Its arguments, the program first: not to be trusted.
    pub arguments: Vec<String>,
    /// The file of its program.
    pub exe: Option<PathReport>,
    /// Its working directory.
    pub cwd: Option<PathReport>,
    /// How long ago it started, in seconds.
    pub age_seconds: u64,
    /// Its parent.
    pub parent: Option<ParentReport>,
    /// Whether the process that started it has ended.
    pub parent_gone: bool,
    /// `running`, `stopped`, `traced`, `frozen` or `zombie`.
    pub run: &'static str,
    /// Its terminal.
    pub terminal: Option<String>,
    /// Its unit of systemd.
    pub unit: Option<String>,
    /// Whether that is one of a user's own manager.
    pub unit_of_user: bool,
    /// The socket unit of that service.
    pub socket_unit: Option<String>,
    /// The container it is in.
    pub container: Option<ContainerReport>,
    /// What starts it again.
    pub supervisor: Option<SupervisorReport>,
    /// For whom it listens, if it passes connections on.
    pub forward: Option<ForwardReport>,
}

/// A path of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathReport {
    /// The path as the process sees it: not to be trusted.
    pub path: String,
    /// Whether it was deleted or replaced.
    pub deleted: bool,
}

/// A parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParentReport {
    /// Its number.
    pub pid: u32,
    /// The name of its program.
    pub command: String,
    /// Whether it has ended and nobody has taken note.
    pub zombie: bool,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerReport {
    /// What runs it.
    pub engine: &'static str,
    /// Its id or name.
    pub id: String,
    /// The id of its pod.
    pub pod: Option<String>,
}

/// What starts a process again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SupervisorReport {
    /// Its name.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// What it was told about that.
    pub setting: Option<String>,
}

/// For whom a process listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForwardReport {
    /// What passes connections on.
    pub by: &'static str,
    /// Where to.
    pub to: Option<String>,
}

impl From<&inventory::Link> for PathReport {
    fn from(link: &inventory::Link) -> PathReport {
        PathReport { path: shown(&link.path), deleted: link.deleted }
    }
}

fn shown(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

impl From<&inventory::Process> for About {
    fn from(process: &inventory::Process) -> About {
        let inventory::Process { units, .. } = process;
        About {
            arguments: process.arguments.clone(),
            exe: process.exe.as_ref().map(PathReport::from),
            cwd: process.cwd.as_ref().map(PathReport::from),
            age_seconds: process.age.as_secs(),
            parent: process.parent.as_ref().map(|parent| ParentReport {
                pid: parent.pid,
                command: parent.command.clone(),
                zombie: parent.zombie,
            }),
            parent_gone: process.parent_gone,
            run: run(process.run),
            terminal: process.terminal.clone(),
            unit: units.unit.clone(),
            unit_of_user: units.of_user,
            socket_unit: units.socket.clone(),
            container: process.container.as_ref().map(|container| ContainerReport {
                engine: container.engine,
                id: container.id.clone(),
                pod: container.pod.clone(),
            }),
            supervisor: process.supervisor.as_ref().map(|supervisor| SupervisorReport {
                name: supervisor.name.clone(),
                pid: supervisor.pid,
                setting: supervisor.setting.clone(),
            }),
            forward: process
                .forward
                .as_ref()
                .map(|forward| ForwardReport { by: forward.by, to: forward.to.clone() }),
        }
    }
}

const fn run(run: Run) -> &'static str {
    match run {
        Run::Running => "running",
        Run::Stopped => "stopped",
        Run::Traced => "traced",
        Run::Frozen => "frozen",
        Run::Zombie => "zombie",
    }
}

/// The name of a program: of an interpreter with the script it runs.
pub fn program(command: &str, arguments: &[String]) -> String {
    const INTERPRETERS: [&str; 12] = [
        "python", "node", "ruby", "perl", "php", "bash", "sh", "dash", "deno", "bun", "lua", "java",
    ];
    let known = |name: &&str| {
        command
            .strip_prefix(name)
            .is_some_and(|version| version.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let script = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    let script = script.filter(|_| INTERPRETERS.iter().any(known));
    let base = script.map(PathBuf::from).and_then(|path| path.file_name().map(|n| n.to_owned()));
    match base {
        // `-c` and `-m` make the first word something else than a file.
        Some(base) if !arguments.iter().any(|a| matches!(a.as_str(), "-c" | "-e" | "-r")) => {
            format!("{command} {}", base.to_string_lossy())
        }
        _ => command.into(),
    }
}

/// A time in the largest unit that fits, such as `3 h`.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

/// The whole seconds until something is over: at least one.
pub fn seconds_left(left: Duration) -> u64 {
    left.as_millis().div_ceil(1000).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_named_with_its_script() {
        let named = |command: &str, arguments: &str| {
            let arguments: Vec<String> = arguments.split(' ').map(Into::into).collect();
            program(command, &arguments)
        };
        assert_eq!(named("python3", "python3 -u /srv/app.py --port 80"), "python3 app.py");
        assert_eq!(named("python3.11", "python3.11 /srv/app.py"), "python3.11 app.py");
        assert_eq!(named("node", "node server.js"), "node server.js");
        assert_eq!(named("python3", "python3 -c pass"), "python3");
        assert_eq!(named("nginx", "nginx: master process"), "nginx");
        assert_eq!(named("shell", "shell /x"), "shell");
    }

    #[test]
    fn ages() {
        for (seconds, text) in [(0, "0 s"), (61, "1 min"), (7200, "2 h"), (200_000, "2 d")] {
            assert_eq!(age(seconds), text);
        }
    }
}
