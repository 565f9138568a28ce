//! The checks, tried in the kernel's order on what was seen. Pure: nothing is read here.

use portwise_sys::path::{FileKind, Inode};

use super::{
    Broken, Call, LONGEST, Name, Seen, Who,
    checks::{self, Check},
};

/// What the checks come to.
#[derive(Clone, Debug)]
pub enum Finding {
    /// The call succeeds, as far as these checks go.
    Allowed,
    /// A check stops it, over this file.
    Stopped(&'static Check, Option<Inode>),
    /// What was not seen decides.
    Open {
        /// Why it was not seen.
        why: String,
        /// What would reveal it.
        reveal: String,
    },
}

impl Finding {
    /// Whether the call surely succeeds.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Finding::Allowed)
    }
}

/// Read, write and search permission.
pub(super) const WRITE: u16 = 2;
pub(super) const SEARCH: u16 = 1;

/// Whether permissions let somebody do something with a file; `Err` with the finding if an access
/// control list decides, which is not read.
pub(super) fn may(who: &Who, inode: &Inode, wanted: u16) -> Result<bool, Finding> {
    let is_directory = inode.kind == FileKind::Directory;
    let counts = who.ids.as_ref().is_none_or(|ids| ids.maps(inode.uid, inode.gid));
    let overridden =
        counts && (who.overrides || is_directory && wanted & WRITE == 0 && who.searches);
    let class = match () {
        () if inode.uid == who.uid => 6,
        () if inode.acl && inode.mode & 0o070 != 0 => {
            return match overridden {
                true => Ok(true),
                false => Err(Finding::Open {
                    why: "its access control list decides, which was not read".into(),
                    reveal: format!("getfacl {}", inode.path.display()),
                }),
            };
        }
        () if who.groups.contains(&inode.gid) || who.gid == Some(inode.gid) => 3,
        () => 0,
    };
    Ok(inode.mode >> class & wanted == wanted || overridden)
}

/// Decides a call.
pub fn decide(call: Call, name: &Name, seen: &Seen, who: &Who) -> Finding {
    let path = match name {
        Name::Path(path) => path,
        Name::Abstract(name) if name.len() > LONGEST - 1 => {
            return Finding::Stopped(&checks::LENGTH, None);
        }
        Name::Abstract(_) => return of_abstract(call, seen),
    };
    if path.as_os_str().len() > LONGEST - 1 {
        return Finding::Stopped(&checks::LENGTH, None);
    }
    match way(seen, who) {
        Ok(()) => {}
        Err(finding) => return finding,
    }
    match call {
        Call::Bind => bind(seen, who),
        Call::Connect => connect(seen, who),
    }
}

/// The directories on the way, as path_resolution(7) passes them.
fn way(seen: &Seen, who: &Who) -> Result<(), Finding> {
    for directory in &seen.directories {
        if !may(who, directory, SEARCH)? {
            let check = &checks::DIRECTORY_SEARCHED;
            return Err(Finding::Stopped(check, Some(directory.clone())));
        }
    }
    match &seen.broken {
        None => Ok(()),
        Some(Broken::Missing(_)) => Err(Finding::Stopped(&checks::DIRECTORY_FOUND, None)),
        Some(Broken::NoDirectory(_)) => Err(Finding::Stopped(&checks::DIRECTORY_KIND, None)),
        Some(Broken::Loop(_)) => Err(Finding::Stopped(&checks::LINKS, None)),
        Some(Broken::Unseen(at)) => Err(Finding::Open {
            why: format!("{} cannot be looked at by you", at.display()),
            reveal: "root can".into(),
        }),
    }
}

fn bind(seen: &Seen, who: &Who) -> Finding {
    if let Some(file) = &seen.file {
        return Finding::Stopped(&checks::FREE, Some(file.inode.clone()));
    }
    let Some(directory) = seen.directories.last() else {
        return Finding::Open { why: "the directory was not seen".into(), reveal: String::new() };
    };
    if seen.read_only {
        return Finding::Stopped(&checks::WRITABLE_FILE_SYSTEM, Some(directory.clone()));
    }
    match may(who, directory, WRITE | SEARCH) {
        Ok(true) => Finding::Allowed,
        Ok(false) => Finding::Stopped(&checks::DIRECTORY_WRITABLE, Some(directory.clone())),
        Err(open) => open,
    }
}

fn connect(seen: &Seen, who: &Who) -> Finding {
    let Some(file) = &seen.file else { return Finding::Stopped(&checks::FILE_FOUND, None) };
    let stopped = |check| Finding::Stopped(check, Some(file.inode.clone()));
    match may(who, &file.inode, WRITE) {
        Ok(true) if !file.is_socket() => stopped(&checks::FILE_KIND),
        Ok(true) => held(seen, Some(file.inode.clone())),
        Ok(false) => stopped(&checks::FILE_WRITABLE),
        Err(open) => open,
    }
}

fn of_abstract(call: Call, seen: &Seen) -> Finding {
    match (call, seen.sockets.is_empty(), seen.unseen.as_str()) {
        (_, true, why) if !why.is_empty() => {
            Finding::Open { why: why.into(), reveal: String::new() }
        }
        (Call::Bind, true, _) => Finding::Allowed,
        (Call::Bind, false, _) => Finding::Stopped(&checks::NAME_FREE, None),
        (Call::Connect, ..) => held(seen, None),
    }
}

/// Whether somebody takes connections.
fn held(seen: &Seen, file: Option<Inode>) -> Finding {
    let takes = |socket: &&super::Bound| socket.listens || socket.kind == "datagram";
    let Some(socket) = seen.sockets.iter().find(takes) else {
        if !seen.unseen.is_empty() {
            let why = seen.unseen.clone();
            return Finding::Open { why, reveal: "root can see every namespace".into() };
        }
        return Finding::Stopped(&checks::HELD, file);
    };
    match socket.queue {
        Some((waiting, most)) if waiting > most => Finding::Stopped(&checks::ROOM, file),
        _ => Finding::Allowed,
    }
}
