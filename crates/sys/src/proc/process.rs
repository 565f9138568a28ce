//! proc_pid(5): command line, program, directory, cgroup, start time.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Proc, failed, malformed};
use crate::{Errno, Error};

/// Where a link such as `/proc/PID/exe` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path, as the process sees it. Untrusted text.
    pub path: PathBuf,
    /// No longer there: deleted, or replaced by an upgrade.
    pub deleted: bool,
}

/// A part of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// As [`super::Status::state`].
    pub state: char,
    /// Its parent; 0 if that is outside the reader's pid namespace.
    pub parent: i32,
    /// Its process group.
    pub process_group: i32,
    /// Its session.
    pub session: i32,
    /// The device number of its terminal, 0 if none.
    pub terminal: i32,
    /// When it started, in clock ticks after boot. With the pid it identifies a process.
    pub start_ticks: u64,
}

/// A line of `/proc/PID/cgroup`, see cgroups(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// 0 for version 2.
    pub hierarchy: u32,
    /// The controllers of a version 1 hierarchy.
    pub controllers: String,
    /// The path below the root of the hierarchy.
    pub path: String,
}

impl Proc {
    /// Reads the arguments; empty for kernel threads and ended processes. Untrusted text.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, or none this user may see.
    pub fn cmdline(&self, pid: u32) -> Result<Vec<OsString>, Error> {
        let mut bytes = self.read(format!("proc/{pid}/cmdline"))?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        } else if bytes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(bytes.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect())
    }

    /// Reads the short name of the program or thread, at most 15 bytes. Untrusted text.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, or none this user may see.
    pub fn comm(&self, pid: u32) -> Result<OsString, Error> {
        let mut bytes = self.read(format!("proc/{pid}/comm"))?;
        bytes.truncate(bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len));
        Ok(OsString::from_vec(bytes))
    }

    /// Reads which program file a process runs.
    ///
    /// # Errors
    /// `EACCES` if this user may not trace the process; `ENOENT` if there is no such process,
    /// and for kernel threads.
    pub fn exe(&self, pid: u32) -> Result<Target, Error> {
        self.target(format!("proc/{pid}/exe"))
    }

    /// Reads the working directory of a process.
    ///
    /// # Errors
    /// Those of [`Proc::exe`].
    pub fn cwd(&self, pid: u32) -> Result<Target, Error> {
        self.target(format!("proc/{pid}/cwd"))
    }

    /// Reads the root directory of a process.
    ///
    /// # Errors
    /// Those of [`Proc::exe`].
    pub fn root(&self, pid: u32) -> Result<Target, Error> {
        self.target(format!("proc/{pid}/root"))
    }

    fn target(&self, link: String) -> Result<Target, Error> {
        const MARK: &[u8] = b" (deleted)";
        let link = self.path(link);
        let path = std::fs::read_link(&link).map_err(|error| failed("readlink", &link, error))?;
        // A file may really be called so.
        match path.as_os_str().as_bytes().strip_suffix(MARK) {
            Some(rest) if path.symlink_metadata().is_err() => Ok(Target {
                path: Path::new(std::ffi::OsStr::from_bytes(rest)).into(),
                deleted: true,
            }),
            _ => Ok(Target { path, deleted: false }),
        }
    }

    /// Reads `/proc/PID/stat`.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, or none this user may see.
    pub fn stat(&self, pid: u32) -> Result<Stat, Error> {
        let path = format!("proc/{pid}/stat");
        parse_stat(&self.read(&path)?).ok_or_else(|| malformed(&self.path(path)))
    }

    /// Returns how long ago a process started.
    ///
    /// # Errors
    /// Those of [`Proc::stat`], and of reading `/proc/uptime`.
    pub fn age(&self, stat: &Stat) -> Result<Duration, Error> {
        let seconds = self.uptime()?.as_secs_f64();
        let started = stat.start_ticks as f64 / ticks_per_second() as f64;
        Ok(Duration::try_from_secs_f64(seconds - started).unwrap_or_default())
    }

    /// Reads how long ago the machine was started.
    ///
    /// # Errors
    /// Those of reading `/proc/uptime`.
    pub fn uptime(&self) -> Result<Duration, Error> {
        let uptime = self.read("proc/uptime")?;
        let first =
            String::from_utf8_lossy(&uptime).split_ascii_whitespace().next().map(str::parse);
        let seconds = first.and_then(|seconds| seconds.ok());
        let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        uptime.ok_or_else(|| malformed(&self.path("proc/uptime")))
    }

    /// Reads the cgroups of a process.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, or the kernel has no cgroups.
    pub fn cgroups(&self, pid: u32) -> Result<Vec<Cgroup>, Error> {
        Ok(parse_cgroups(&self.read(format!("proc/{pid}/cgroup"))?))
    }

    /// Reads the label a security module gave a process, `None` if there is no such module.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process; `EACCES`, `EPERM` by choice of the module.
    pub fn security_label(&self, pid: u32) -> Result<Option<String>, Error> {
        match self.read(format!("proc/{pid}/attr/current")) {
            Ok(label) => {
                let label = String::from_utf8_lossy(&label);
                let label = label.trim_end_matches(['\0', '\n']);
                Ok((!label.is_empty()).then(|| label.to_owned()))
            }
            // The kernel's answer where no module has labels.
            Err(error) if error.errno == Errno::EINVAL => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How many clock ticks a second has, as counted in `/proc`.
pub fn ticks_per_second() -> u64 {
    // SAFETY: takes no pointer.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

/// Reads the text of a stat file.
pub fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    // The second field is in parentheses and may itself contain blanks and parentheses.
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(&bytes[end + 1..]).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    // Fields are numbered from 1 in the manual page; the list begins with number 3.
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        process_group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        terminal: field(7)?.parse().ok()?,
        start_ticks: field(22)?.parse().ok()?,
    })
}

/// Finds the name in the bytes of a stat file. It is untrusted text.
pub fn parse_stat_name(bytes: &[u8]) -> Option<&[u8]> {
    let start = bytes.iter().position(|byte| *byte == b'(')? + 1;
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    bytes.get(start..end)
}

/// Reads the text of a cgroup file; lines it cannot read are left out.
pub fn parse_cgroups(bytes: &[u8]) -> Vec<Cgroup> {
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        Some(Cgroup {
            hierarchy: parts.next()?.parse().ok()?,
            controllers: parts.next()?.to_owned(),
            path: parts.next()?.to_owned(),
        })
    };
    String::from_utf8_lossy(bytes).lines().filter_map(line).collect()
}
