//! proc_pid_status(5): who a process is and what it may do.

use super::{Proc, malformed};
use crate::Error;

/// Four ids of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Who started it.
    pub real: u32,
    /// What permission checks look at.
    pub effective: u32,
    /// What it may return to.
    pub saved: u32,
    /// What checks on files look at.
    pub filesystem: u32,
}

/// Capability sets, one bit each, see capabilities(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `CapInh`.
    pub inheritable: u64,
    /// `CapPrm`.
    pub permitted: u64,
    /// `CapEff`.
    pub effective: u64,
    /// `CapBnd`.
    pub bounding: u64,
    /// `CapAmb`.
    pub ambient: u64,
}

/// What `/proc/PID/status` says. Ids are those of the reader's user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The program's short name, as the kernel escapes it. Untrusted text.
    pub name: String,
    /// `R` running, `S` sleeping, `D` waiting for a device, `T` stopped, `Z` ended, …
    pub state: char,
    /// The process a thread belongs to.
    pub tgid: u32,
    /// Its parent; 0 if that is outside the reader's pid namespace.
    pub ppid: u32,
    /// The process that traces it, 0 if none does.
    pub tracer: u32,
    /// User ids.
    pub uids: Ids,
    /// Group ids.
    pub gids: Ids,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capabilities; they count in the process's user namespace.
    pub capabilities: Capabilities,
    /// Cannot gain privileges by executing a program (≥ 4.10).
    pub no_new_privs: Option<bool>,
    /// 0 off, 1 strict, 2 filter; absent without seccomp in the kernel.
    pub seccomp: Option<u8>,
    /// Its pid in each pid namespace, outermost first.
    pub ns_pids: Vec<u32>,
}

impl Proc {
    /// Reads `/proc/PID/status`. Any user may, unless `/proc` is mounted with `hidepid`.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, or none this user may see.
    pub fn status(&self, pid: u32) -> Result<Status, Error> {
        self.status_at(format!("proc/{pid}/status"))
    }

    /// Reads the status of the calling thread.
    ///
    /// # Errors
    /// Those of open(2): `/proc` is not mounted, for instance.
    pub fn thread_status(&self) -> Result<Status, Error> {
        self.status_at("proc/thread-self/status".to_owned())
    }

    fn status_at(&self, path: String) -> Result<Status, Error> {
        // It is made as a whole: a read(2) with room left has all of it.
        let bytes = self.read_until(&path, |read| read.ends_with(b"\n"))?;
        parse_status(&bytes).ok_or_else(|| malformed(&self.path(path)))
    }
}

/// Reads the text of a status file; `None` if a line that every kernel writes is missing.
pub fn parse_status(bytes: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(bytes);
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let numbers = |name: &str| -> Option<Vec<u32>> {
        field(name)?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
    };
    let ids = |name: &str| match numbers(name)?[..] {
        [real, effective, saved, filesystem] => Some(Ids { real, effective, saved, filesystem }),
        _ => None,
    };
    let set = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    Some(Status {
        name: field("Name")?.to_owned(),
        state: field("State")?.chars().next()?,
        tgid: field("Tgid")?.parse().ok()?,
        ppid: field("PPid")?.parse().ok()?,
        tracer: field("TracerPid")?.parse().ok()?,
        uids: ids("Uid")?,
        gids: ids("Gid")?,
        groups: numbers("Groups")?,
        capabilities: Capabilities {
            inheritable: set("CapInh")?,
            permitted: set("CapPrm")?,
            effective: set("CapEff")?,
            bounding: set("CapBnd")?,
            ambient: set("CapAmb")?,
        },
        no_new_privs: field("NoNewPrivs").map(|value| value == "1"),
        seccomp: field("Seccomp").and_then(|value| value.parse().ok()),
        ns_pids: numbers("NSpid").unwrap_or_default(),
    })
}
