//! proc(5): processes, their files, and sysctl values.
//!
//! Everything is read below a root directory, `/` unless a test or a recorded machine is read.

mod counts;
mod dir;
mod holders;
mod process;
mod status;

pub use counts::{Load, TcpCount, parse_load, parse_tcp_count};
pub use dir::ProcessDir;
pub use holders::{Holder, Holders, parse_socket_link, processors};
pub use process::{
    Cgroup, Stat, Target, parse_cgroups, parse_stat, parse_stat_name, ticks_per_second,
};
pub use status::{Capabilities, Ids, Status, parse_status};

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{Errno, Error};

/// Reads below one root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proc {
    root: PathBuf,
    mounts: OnceLock<Vec<u8>>,
}

impl Default for Proc {
    /// The running machine.
    fn default() -> Proc {
        Proc::new("/")
    }
}

impl Proc {
    /// Reads `ROOT/proc/…`, and `ROOT/etc/…` for names.
    pub fn new(root: impl Into<PathBuf>) -> Proc {
        Proc { root: root.into(), mounts: OnceLock::new() }
    }

    /// The path of a file of this machine, absolute or relative to its root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Reads a sysctl such as `net.ipv4.ip_unprivileged_port_start`, without the final newline.
    ///
    /// A dot within a name is written `/`, as for sysctl(8): `net.ipv4.conf.eth0/1.rp_filter`.
    /// The values below `net` are those of the network namespace of the calling *thread*.
    ///
    /// # Errors
    /// `ENOENT`: this kernel or namespace has no such value. `EACCES`: it is not for this user.
    pub fn sysctl(&self, name: &str) -> Result<String, Error> {
        let path: String = name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect();
        // The kernel hands out a value with one read(2) that is long enough for it.
        let value = self.read_until(format!("proc/sys/{path}"), |read| read.ends_with(b"\n"))?;
        Ok(String::from_utf8_lossy(&value).trim_end_matches('\n').to_owned())
    }

    /// Lists the processes this user may see, in the kernel's order (ascending).
    ///
    /// # Errors
    /// Those of open(2) on `/proc`.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        let path = self.path("proc");
        let entries = std::fs::read_dir(&path).map_err(|error| failed("open", &path, error))?;
        let names = entries.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Reads how many sockets of each protocol the network namespace of the calling thread has, by
    /// the kernel's name of the protocol: `TCP`, `TCPv6`, `UDP-Lite`, `MPTCP`. Those that hold no
    /// port yet may not be counted; `None` where the kernel does not count.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn protocols(&self) -> Result<Vec<(String, Option<u32>)>, Error> {
        let text = self.read("proc/thread-self/net/protocols")?;
        let line = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            let name = fields.next()?.to_owned();
            Some((name, fields.nth(1)?.parse().ok()))
        };
        Ok(String::from_utf8_lossy(&text).lines().skip(1).filter_map(line).collect())
    }

    /// The text of `/proc/self/mountinfo`, as it was when it was asked for first.
    ///
    /// # Errors
    /// Those of open(2) and read(2).
    pub fn mountinfo(&self) -> Result<&[u8], Error> {
        if let Some(known) = self.mounts.get() {
            return Ok(known);
        }
        let text = self.read("proc/self/mountinfo")?;
        Ok(self.mounts.get_or_init(|| text))
    }

    /// Reads a file whole.
    ///
    /// # Errors
    /// Those of open(2) and read(2); `detail` is the path.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
        self.read_until(path, |_| false)
    }

    /// Reads a file until `is_whole` says that nothing can follow, or to its end.
    fn read_until(
        &self,
        path: impl AsRef<Path>,
        is_whole: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, Error> {
        let path = self.path(path);
        let mut file = std::fs::File::open(&path).map_err(|error| failed("open", &path, error))?;
        // Most files here are short and tell no size: without asking for it, two reads do.
        let (mut bytes, mut length) = (vec![0; 4096], 0);
        loop {
            if length == bytes.len() {
                bytes.resize(2 * length, 0);
            } else if is_whole(&bytes[..length]) {
                break;
            }
            match file.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &path, error)),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn failed(call: &'static str, path: &Path, error: std::io::Error) -> Error {
    Error::about(call, Errno::from(error), path.to_string_lossy())
}

fn malformed(path: &Path) -> Error {
    Error::about("parse", Errno::EBADMSG, path.to_string_lossy())
}
