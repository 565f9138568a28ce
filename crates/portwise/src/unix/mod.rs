//! Unix sockets: may a name be bound or connected to, which check of the kernel stops it, who has
//! the name, and what helps. Their names are paths, so that permissions of directories decide in
//! the place of ports.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use portwise_model::IdMap;
use portwise_sys::path::Inode;
use serde::Serialize;

use crate::{Trouble, observe::Process};

pub mod checks;
pub mod decide;
mod fixes;
mod look;
mod report;

pub use report::{UnixReport, UnixSocketReport, why};

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A file.
    Path(PathBuf),
    /// A name without a file, which belongs to a network namespace.
    Abstract(Vec<u8>),
}

/// How long a name is at most: the size of `sun_path`.
pub const LONGEST: usize = 108;

impl Name {
    /// Reads `unix:PATH`, `unix:@NAME` or an absolute path; `None` if it is none of these.
    ///
    /// # Errors
    /// If nothing stands behind `unix:`.
    pub fn typed(text: &str) -> Option<Result<Name, Trouble>> {
        let rest = match text.strip_prefix("unix:") {
            Some(rest) if rest.starts_with("//") => &rest[2..],
            Some(rest) => rest,
            None if text.starts_with('/') && !text.contains(char::is_whitespace) => text,
            None => return None,
        };
        Some(match rest.strip_prefix('@') {
            Some("") => Err(empty(text)),
            Some(name) => Ok(Name::Abstract(name.into())),
            None if rest.is_empty() => Err(empty(text)),
            None => Ok(Name::Path(rest.into())),
        })
    }

    /// Reads what follows the family in a `sockaddr_un`; `None` for one without a name.
    pub fn of_bytes(bytes: &[u8]) -> Option<Name> {
        match bytes.split_first()? {
            (0, rest) => Some(Name::Abstract(rest.to_vec())),
            _ => {
                let path = bytes.split(|b| *b == 0).next()?;
                Some(Name::Path(String::from_utf8_lossy(path).into_owned().into()))
            }
        }
    }

    /// The path, unless it is abstract.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Name::Path(path) => Some(path),
            Name::Abstract(_) => None,
        }
    }
}

fn empty(text: &str) -> Trouble {
    Trouble::new(format!("bad endpoint `{text}`: the path is missing, such as unix:/run/app.sock"))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Path(path) => write!(f, "unix:{}", path.display()),
            Name::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// What is to be done with the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// bind(2), which makes the file.
    Bind,
    /// connect(2), which finds it.
    Connect,
}

/// Who makes the call, as far as permissions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user that file systems see.
    pub uid: u32,
    /// The group.
    pub gid: Option<u32>,
    /// Every group.
    pub groups: Vec<u32>,
    /// Whether CAP_DAC_OVERRIDE lets through.
    pub overrides: bool,
    /// Whether CAP_DAC_READ_SEARCH lets through directories.
    pub searches: bool,
    /// The ids over whose files these capabilities count; `None` for every one.
    pub ids: Option<IdMap>,
}

/// What there is at the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The directories on the way, the last one last.
    pub directories: Vec<Inode>,
    /// What keeps the way from being followed.
    pub broken: Option<Broken>,
    /// What has the name already.
    pub file: Option<File>,
    /// Whether the file system may not be written to.
    pub read_only: bool,
    /// The sockets that have the name.
    pub sockets: Vec<Bound>,
    /// Why sockets with that name may be unseen; empty if they were all looked at.
    pub unseen: String,
}

/// Where the way to a name ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// There is no such directory.
    Missing(PathBuf),
    /// It is no directory.
    NoDirectory(PathBuf),
    /// Symbolic links lead in circles.
    Loop(PathBuf),
    /// Whoever looks may not look into it.
    Unseen(PathBuf),
}

/// A file that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its permissions and owner.
    pub inode: Inode,
    /// What it is, in a word.
    pub kind: &'static str,
}

impl File {
    /// Whether it is a socket.
    pub fn is_socket(&self) -> bool {
        self.kind == "socket"
    }
}

/// A socket that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its number.
    pub inode: u64,
    /// `stream`, `datagram` or `packets`.
    pub kind: &'static str,
    /// Whether it listens.
    pub listens: bool,
    /// Of one that listens: how many connections wait, and how many may.
    pub queue: Option<(u32, u32)>,
    /// The network namespace it is in, if that is another one.
    pub elsewhere: Option<String>,
    /// Who has it open, as far as seen.
    pub holders: Vec<Process>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_typed() {
        let typed = |text| Name::typed(text).map(|name| name.map(|name| name.to_string()));
        assert_eq!(typed("unix:/run/a.sock"), Some(Ok("unix:/run/a.sock".into())));
        assert_eq!(typed("unix:///run/a.sock"), Some(Ok("unix:/run/a.sock".into())));
        assert_eq!(typed("unix:a.sock"), Some(Ok("unix:a.sock".into())));
        assert_eq!(typed("unix:@a"), Some(Ok("unix:@a".into())));
        assert_eq!(typed("/run/a.sock"), Some(Ok("unix:/run/a.sock".into())));
        assert!(typed("unix:").unwrap().is_err() && typed("unix:@").unwrap().is_err());
        for other in ["127.0.0.1:80", "localhost:80", "/etc/x: permission denied", ""] {
            assert_eq!(typed(other), None, "{other}");
        }
    }

    #[test]
    fn names_as_the_kernel_has_them() {
        assert_eq!(Name::of_bytes(b""), None);
        assert_eq!(Name::of_bytes(b"\0ab"), Some(Name::Abstract(b"ab".into())));
        assert_eq!(Name::of_bytes(b"/run/a\0junk"), Some(Name::Path("/run/a".into())));
    }
}
