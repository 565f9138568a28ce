//! Who the processes are that hold the sockets.

use std::{collections::BTreeMap, time::Duration};

use portwise_sys::proc::{Proc, Stat, Target};

use crate::observe::{
    inventory::{Identity, Inventory, Link, ParentProcess, Process, Run, Units},
    user,
};

/// Reads the processes that hold the sockets of the inventory and are not known yet.
pub(in crate::observe::inventory) fn describe(inventory: &mut Inventory) {
    let holders = inventory.sockets.iter().flat_map(|socket| &socket.holders);
    let mut wanted: Vec<Identity> =
        holders.map(|holder| Identity { pid: holder.pid, start: holder.start }).collect();
    wanted.sort();
    wanted.dedup();
    wanted.retain(|identity| !inventory.processes.contains_key(&identity.pid));
    if wanted.is_empty() {
        return;
    }
    let reader = Reader::new();
    for identity in wanted {
        if let Some(process) = reader.read(identity) {
            inventory.processes.insert(identity.pid, process);
        }
    }
}

struct Reader {
    proc: Proc,
    users: BTreeMap<u32, String>,
}

impl Reader {
    fn new() -> Reader {
        let mut users = BTreeMap::new();
        for (name, uid, _) in user::here().users {
            users.entry(uid).or_insert(name);
        }
        Reader { proc: Proc::default(), users }
    }

    /// Reads one process; `None` if it has ended.
    fn read(&self, identity: Identity) -> Option<Process> {
        let (proc, pid) = (&self.proc, identity.pid);
        let status = proc.status(pid).ok()?;
        let stat = proc.stat(pid).ok()?;
        let uid = status.uids.effective;
        let arguments = proc.cmdline(pid).unwrap_or_default();
        let parent = (status.ppid != 0).then(|| self.parent(status.ppid));
        let process = Process {
            identity,
            command: text(proc.comm(pid).unwrap_or_default()),
            arguments: arguments.into_iter().map(text).collect(),
            exe: proc.exe(pid).ok().map(link),
            cwd: proc.cwd(pid).ok().map(link),
            uid,
            user: self.users.get(&uid).cloned(),
            age: self.age(&stat),
            parent,
            parent_gone: false,
            run: run(status.state),
            terminal: terminal(stat.terminal),
            units: Units::default(),
            container: None,
            supervisor: None,
            forward: None,
        };
        // Its number may have become another's while it was read.
        let same = proc.stat(pid).is_ok_and(|stat| stat.start_ticks == identity.start);
        same.then_some(process)
    }

    fn parent(&self, pid: u32) -> ParentProcess {
        let zombie = self.proc.status(pid).is_ok_and(|status| status.state == 'Z');
        let command = text(self.proc.comm(pid).unwrap_or_default());
        ParentProcess { pid, command, zombie }
    }

    fn age(&self, stat: &Stat) -> Duration {
        self.proc.age(stat).unwrap_or_default()
    }
}

fn text(bytes: std::ffi::OsString) -> String {
    bytes.to_string_lossy().into_owned()
}

fn link(target: Target) -> Link {
    Link { path: target.path, deleted: target.deleted }
}

fn run(state: char) -> Run {
    match state {
        'T' => Run::Stopped,
        't' => Run::Traced,
        'Z' | 'X' => Run::Zombie,
        _ => Run::Running,
    }
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
