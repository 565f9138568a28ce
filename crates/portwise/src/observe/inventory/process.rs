//! A process of an inventory.

use std::{path::PathBuf, time::Duration};

/// A process. What this user may not read is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number in this pid namespace, and when it started.
    pub identity: Identity,
    /// The short name of its program, at most 15 bytes, which it may change.
    pub command: String,
    /// Its arguments, the program first; empty for a thread of the kernel. It may change them.
    pub arguments: Vec<String>,
    /// The program's file.
    pub exe: Option<Link>,
    /// Its working directory.
    pub cwd: Option<Link>,
    /// Its effective user.
    pub uid: u32,
    /// The login name of that user.
    pub user: Option<String>,
    /// How long ago it started.
    pub age: Duration,
    /// Its parent; `None` if that is outside this pid namespace.
    pub parent: Option<ParentProcess>,
    /// Whether the process that started it has ended, and it was left to another.
    pub parent_gone: bool,
    /// Whether it runs.
    pub run: Run,
    /// Its terminal, such as `pts/0`.
    pub terminal: Option<String>,
    /// The units of systemd.
    pub units: Units,
    /// The container it is in.
    pub container: Option<Container>,
    /// What will start it again when it ends.
    pub supervisor: Option<Supervisor>,
    /// For whom it listens, if it passes connections on.
    pub forward: Option<Forward>,
}

/// What tells a process from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its number, which another process gets after it.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// Where a link such as `/proc/PID/exe` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The path, as the process sees it.
    pub path: PathBuf,
    /// It has been deleted or replaced.
    pub deleted: bool,
}

/// The parent of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentProcess {
    /// Its pid.
    pub pid: u32,
    /// The short name of its program; empty if it has just ended.
    pub command: String,
    /// It has ended and is still to be waited for.
    pub zombie: bool,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Run {
    /// It runs, or waits for something to do.
    Running,
    /// It was stopped by a signal (`SIGSTOP`, Ctrl-Z): its sockets are open, nobody answers.
    Stopped,
    /// It is stopped in a debugger.
    Traced,
    /// Its cgroup is frozen.
    Frozen,
    /// It has ended and is still to be waited for; other threads of it may go on.
    Zombie,
}

/// The units of systemd that a process belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The service or scope, such as `nginx.service`.
    pub unit: Option<String>,
    /// That is one of a user's own manager (`systemctl --user`).
    pub of_user: bool,
    /// The socket unit of that service: starting with a connection, it holds the socket while the
    /// service does not run.
    pub socket: Option<String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What runs it: `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `systemd-nspawn`, or
    /// `container` if only that it is one is known.
    pub engine: &'static str,
    /// Its id or name.
    pub id: String,
    /// The id of its pod (Kubernetes).
    pub pod: Option<String>,
}

/// What starts a process again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Its name, such as `systemd`, `supervisord` or `runsv`.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// What it was told about that, such as `Restart=always`.
    pub setting: Option<String>,
}

/// For whom a process listens (docker-proxy, rootlessport).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What passes connections on, such as `docker-proxy`.
    pub by: &'static str,
    /// Where to, such as `172.17.0.2:80`; `None` if it does not say.
    pub to: Option<String>,
}
