//! Who the processes are that hold the sockets.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsString,
    fs,
    hash::BuildHasherDefault,
    time::Duration,
};

use portwise_sys::proc::{self, Cgroup, Proc, Stat, Target};

use super::{cgroup, forward, holders::InodeHasher, supervisor::Ancestors, systemd};
use crate::halves::in_halves;
use crate::observe::{
    inventory::{Identity, Inventory, Link, ParentProcess, Process, Run, Supervisor},
    user,
};

/// Reads the processes that hold the sockets of the inventory and are not known yet.
pub(in crate::observe::inventory) fn describe(inventory: &mut Inventory) {
    // There may be very many sockets of few processes.
    let mut seen = HashSet::with_hasher(BuildHasherDefault::<InodeHasher>::default());
    let holders = inventory.sockets.iter().flat_map(|socket| &socket.holders);
    let identities = holders.map(|holder| Identity { pid: holder.pid, start: holder.start });
    let is_new = |one: &Identity| {
        seen.insert(u64::from(one.pid) << 32 ^ one.start)
            && !inventory.processes.contains_key(&one.pid)
    };
    let mut wanted: Vec<Identity> = identities.filter(is_new).collect();
    wanted.sort();
    if wanted.is_empty() {
        return;
    }
    // A thread costs as much as to read a few processes.
    const MANY: usize = 32;
    let read = |wanted: &[Identity]| -> Vec<Process> {
        let mut reader = Reader::new();
        wanted.iter().filter_map(|identity| reader.read(*identity)).collect()
    };
    let read = in_halves(&wanted, MANY, read).into_iter().flatten();
    inventory.processes.extend(read.map(|process| (process.identity.pid, process)));
}

/// Reads processes, and what they have in common once.
struct Reader {
    proc: Proc,
    users: BTreeMap<u32, String>,
    /// Time since boot.
    uptime: Duration,
    ticks: u64,
    ancestors: Ancestors,
    /// Whether a cgroup is frozen, by its path.
    frozen: BTreeMap<String, bool>,
    /// What restarts a unit of systemd, and its socket unit.
    units: BTreeMap<(String, bool), (Option<String>, Option<String>)>,
}

impl Reader {
    fn new() -> Reader {
        let mut users = BTreeMap::new();
        for (name, uid, _) in user::here().users {
            users.entry(uid).or_insert(name);
        }
        let proc = Proc::default();
        Reader {
            uptime: proc.uptime().unwrap_or_default(),
            proc,
            users,
            ticks: proc::ticks_per_second(),
            ancestors: Ancestors::default(),
            frozen: BTreeMap::new(),
            units: BTreeMap::new(),
        }
    }

    /// Reads one process; `None` if it has ended.
    fn read(&mut self, identity: Identity) -> Option<Process> {
        let dir = self.proc.process(identity.pid).ok()?;
        let (stat, command) = dir.named_stat().ok()?;
        // Its number may be another's by now. From here on all is of one process.
        if stat.start_ticks != identity.start {
            return None;
        }
        let status = dir.status().ok()?;
        let uid = status.uids.effective;
        let arguments: Vec<String> =
            dir.cmdline().unwrap_or_default().into_iter().map(text).collect();
        let cgroups = dir.cgroups().unwrap_or_default();
        let container = cgroup::container(&cgroups);
        let mut units = cgroup::units(&cgroups);
        if container.is_some() {
            // What runs inside of a container is not a unit of this host's systemd.
            units = Default::default();
        }
        let (restart, socket) = match &units.unit {
            Some(unit) => self.unit(unit, units.of_user),
            None => (None, None),
        };
        units.socket = socket;
        let parent = u32::try_from(stat.parent).ok().filter(|&pid| pid != 0);
        let is_service = units.unit.as_ref().is_some_and(|unit| unit.ends_with(".service"));
        let supervisor = match restart {
            Some(value) => Some(Supervisor {
                name: "systemd".into(),
                pid: if units.of_user { parent.unwrap_or(1) } else { 1 },
                setting: Some(format!("Restart={value}")),
            }),
            None => parent.and_then(|pid| self.ancestors.supervisor(&self.proc, pid)),
        };
        Some(Process {
            identity,
            command: text(command),
            exe: dir.link(c"exe").ok().map(link),
            cwd: dir.link(c"cwd").ok().map(link),
            uid,
            user: self.users.get(&uid).cloned(),
            age: self.age(&stat),
            parent: parent.map(|pid| self.parent(pid)),
            parent_gone: parent
                .is_some_and(|pid| self.is_adopted(identity.pid, &stat, pid, is_service)),
            run: self.run(&stat, &cgroups),
            terminal: terminal(stat.terminal),
            forward: forward::forward(&self.proc, identity.pid, &arguments),
            arguments,
            units,
            container,
            supervisor,
        })
    }

    fn unit(&mut self, unit: &str, of_user: bool) -> (Option<String>, Option<String>) {
        let key = (unit.to_owned(), of_user);
        let read = |key: &(String, bool)| {
            (systemd::restart(&key.0, key.1), systemd::socket_of(&key.0, key.1))
        };
        self.units.entry(key).or_insert_with_key(read).clone()
    }

    fn parent(&mut self, pid: u32) -> ParentProcess {
        match self.ancestors.get(&self.proc, pid) {
            Some(known) => {
                let zombie = known.stat.state == 'Z';
                ParentProcess { pid, command: known.command.clone(), zombie }
            }
            None => ParentProcess { pid, command: String::new(), zombie: false },
        }
    }

    /// Whether the parent is not the process that made this one, but took it when that ended.
    fn is_adopted(&mut self, pid: u32, stat: &Stat, parent: u32, is_service: bool) -> bool {
        let Some(known) = self.ancestors.get(&self.proc, parent) else { return false };
        if stat.session == pid.cast_signed() {
            // It began a session of its own. What an init does so is a service; else it was left.
            return parent == 1 && known.command == "systemd" && !is_service;
        }
        // A process is born into the session of its parent.
        stat.session != known.stat.session
    }

    fn age(&self, stat: &Stat) -> Duration {
        let ticks = Duration::from_secs(1) / u32::try_from(self.ticks).unwrap_or(100);
        let whole = Duration::from_secs(stat.start_ticks / self.ticks);
        let started = whole + ticks * (stat.start_ticks % self.ticks) as u32;
        self.uptime.saturating_sub(started)
    }

    fn run(&mut self, stat: &Stat, cgroups: &[Cgroup]) -> Run {
        match stat.state {
            'T' => Run::Stopped,
            't' => Run::Traced,
            'Z' | 'X' => Run::Zombie,
            _ if self.is_frozen(cgroups) => Run::Frozen,
            _ => Run::Running,
        }
    }

    fn is_frozen(&mut self, cgroups: &[Cgroup]) -> bool {
        let Some(unified) = cgroups.iter().find(|cgroup| cgroup.hierarchy == 0) else {
            return false;
        };
        // The root of the hierarchy cannot be frozen, and what is outside of it not looked at.
        let path = unified.path.as_str();
        if path == "/" || path.starts_with("/..") {
            return false;
        }
        *self.frozen.entry(path.to_owned()).or_insert_with(|| {
            let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
            let files = roots.map(|root| format!("{root}{path}/cgroup.events"));
            let events = files.iter().find_map(|file| fs::read_to_string(file).ok());
            events.is_some_and(|events| events.lines().any(|line| line == "frozen 1"))
        })
    }
}

pub(super) fn text(bytes: OsString) -> String {
    bytes.to_string_lossy().into_owned()
}

fn link(target: Target) -> Link {
    Link { path: target.path, deleted: target.deleted }
}

/// The name of the terminal with this device number, see proc_pid_stat(5).
fn terminal(number: i32) -> Option<String> {
    let number = number.cast_unsigned();
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match (major, minor) {
        (0, 0) => None,
        (136..=143, _) => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        (4, 0..=63) => Some(format!("tty{minor}")),
        (4, _) => Some(format!("ttyS{}", minor - 64)),
        (5, 1) => Some("console".into()),
        _ => Some(format!("device {major}:{minor}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_have_names() {
        let names = [0, 34816, 34817, 1025, 1088, 1281, 0x10_8801].map(terminal);
        let names = names.map(Option::unwrap_or_default);
        assert_eq!(names, ["", "pts/0", "pts/1", "tty1", "ttyS0", "console", "pts/257"]);
    }
}
