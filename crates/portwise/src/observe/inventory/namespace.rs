//! A network namespace of an inventory.

use std::path::PathBuf;

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its inode, as `/proc/PID/ns/net` shows it.
    pub inode: u64,
    /// It is that of the calling thread.
    pub own: bool,
    /// Its name, as `ip netns list` shows it.
    pub name: Option<String>,
    /// The process with the lowest pid in it.
    pub pid: Option<u32>,
    /// How many processes were seen in it.
    pub processes: u32,
    /// A place where it is mounted.
    pub mount: Option<PathBuf>,
    /// How it was found first.
    pub found: Found,
    /// Why its sockets could not be listed, in words; `None` if they were.
    pub closed: Option<String>,
}

impl Namespace {
    /// What `--netns` takes to look into it: its name, a path, or a pid.
    pub fn argument(&self) -> String {
        match (&self.name, &self.mount, self.pid) {
            (Some(name), ..) => name.clone(),
            (_, Some(mount), _) => mount.to_string_lossy().into_owned(),
            (_, _, Some(pid)) => pid.to_string(),
            (None, None, None) => "/proc/self/ns/net".into(),
        }
    }
}

/// How a namespace was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// The calling thread is in it.
    #[default]
    Own,
    /// It was asked for.
    Asked,
    /// A process is in it.
    Process,
    /// It is mounted, as by `ip netns add`.
    Mount,
}
