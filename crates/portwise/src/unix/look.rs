//! What there is at the name of a Unix socket: read from the file system and from unix_diag(7).

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use portwise_sys::{
    Errno, mount, ns,
    path::{FileKind, Inode, Place, Resolved},
    proc::Proc,
    unix::{self, UnixSocket},
};

use super::{Bound, Broken, Call, File, Name, Seen};
use crate::observe::{Process, inventory, user};

/// Looks, from where `place` is.
pub(super) fn at(name: &Name, call: Call, place: &Place) -> Seen {
    let mut seen = Seen::default();
    match name {
        Name::Path(path) => {
            let Some((outside, metadata)) = follow(path, call, place, &mut seen) else {
                return seen;
            };
            let key = (metadata.ino(), metadata.dev());
            let outside = outside.to_string_lossy().into_owned();
            let is_it = |socket: &UnixSocket| {
                // Some file systems, such as overlayfs, show another number in stat(2).
                socket.file == Some(key) || socket.name.as_deref() == Some(outside.as_bytes())
            };
            if metadata.file_type().is_socket() {
                sockets(&mut seen, true, is_it);
            }
        }
        Name::Abstract(name) => {
            let full = [&b"\0"[..], name].concat();
            sockets(&mut seen, false, |socket| socket.name.as_ref() == Some(&full));
        }
    }
    seen
}

/// Follows the path to its directory and on to the file, if there is one.
fn follow(
    path: &Path,
    call: Call,
    place: &Place,
    seen: &mut Seen,
) -> Option<(std::path::PathBuf, fs::Metadata)> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    };
    let Resolved { path: at, directories, file } = place.resolve(parent);
    seen.directories = directories;
    let broken = |errno| match errno {
        Errno::ENOTDIR => Broken::NoDirectory(at.clone()),
        Errno::ELOOP => Broken::Loop(at.clone()),
        Errno::ENOENT => Broken::Missing(at.clone()),
        _ => Broken::Unseen(at.clone()),
    };
    match file {
        Ok(Some(directory)) if directory.kind == FileKind::Directory => {
            if seen.directories.last() != Some(&directory) {
                seen.directories.retain(|known| known.path != directory.path);
                seen.directories.push(directory);
            }
        }
        Ok(Some(_)) => seen.broken = Some(broken(Errno::ENOTDIR)),
        Ok(None) => seen.broken = Some(broken(Errno::ENOENT)),
        Err(error) => seen.broken = Some(broken(error.errno)),
    }
    if seen.broken.is_some() {
        return None;
    }
    seen.read_only = mount::is_read_only(&place.outside(&at));
    let inside = at.join(path.file_name()?);
    let outside = place.outside(&inside);
    let look = match call {
        // A symbolic link has the name too.
        Call::Bind => fs::symlink_metadata(&outside),
        Call::Connect => fs::metadata(&outside),
    };
    match look {
        Ok(metadata) => {
            seen.file = Some(file_of(&metadata, &inside, &outside));
            Some((outside, metadata))
        }
        Err(error) => {
            if Errno::from(error) != Errno::ENOENT {
                seen.broken = Some(Broken::Unseen(at));
            }
            None
        }
    }
}

fn file_of(metadata: &fs::Metadata, inside: &Path, outside: &Path) -> File {
    let kind = match metadata.file_type() {
        kind if kind.is_socket() => "socket",
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symbolic link",
        kind if kind.is_file() => "regular file",
        _ => "special file",
    };
    let inode = Inode {
        path: inside.into(),
        kind: match kind {
            "directory" => FileKind::Directory,
            "regular file" => FileKind::Regular,
            _ => FileKind::Other,
        },
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        acl: portwise_sys::path::has_acl(outside),
    };
    File { inode, kind }
}

/// Finds the sockets that have the name: in this network namespace, and for a file that no socket
/// of it has, in the others.
fn sockets(seen: &mut Seen, everywhere: bool, is_it: impl Fn(&UnixSocket) -> bool + Sync + Send) {
    match unix::named() {
        Ok(list) => seen.sockets.extend(list.iter().filter(|s| is_it(s)).map(|s| bound(s, None))),
        Err(error) => seen.unseen = format!("the Unix sockets cannot be listed: {error}"),
    }
    if everywhere && seen.sockets.is_empty() && seen.unseen.is_empty() {
        let (others, hidden) = inventory::other_namespaces();
        for other in &others {
            let Ok(Ok(list)) = inventory::within(other, unix::named) else { continue };
            let place = format!("the network namespace {}", other.argument());
            let there = list.iter().filter(|s| is_it(s));
            seen.sockets.extend(there.map(|s| bound(s, Some(place.clone()))));
        }
        if seen.sockets.is_empty() && hidden > 0 {
            seen.unseen = format!(
                "no socket of this network namespace has the name, and those that processes in \
                 others have may not be seen by you ({hidden} hidden)"
            );
        }
    }
    let wanted: HashSet<u64> = seen.sockets.iter().map(|s| s.inode).collect();
    if wanted.is_empty() {
        return;
    }
    let proc = Proc::default();
    let Ok(found) = proc.holders(&wanted) else { return };
    let users = user::here().users;
    for socket in &mut seen.sockets {
        for holder in found.found.iter().filter(|holder| holder.inode == socket.inode) {
            let Ok(status) = proc.status(holder.pid) else { continue };
            let uid = status.uids.effective;
            let name = users.iter().find(|(_, known, _)| *known == uid).map(|(n, ..)| n.clone());
            let process = Process { pid: holder.pid, command: status.name, uid, user: name };
            if !socket.holders.contains(&process) {
                socket.holders.push(process);
            }
        }
    }
}

fn bound(socket: &UnixSocket, elsewhere: Option<String>) -> Bound {
    Bound {
        inode: socket.inode,
        kind: match socket.kind {
            2 => "datagram",
            5 => "packets",
            _ => "stream",
        },
        listens: socket.listens,
        queue: socket.queue,
        elsewhere,
        holders: Vec::new(),
    }
}

/// Where a process follows paths from: this one if none is given.
pub(super) fn place(pid: Option<u32>) -> Option<Place> {
    let Some(pid) = pid else { return Place::here().ok() };
    let proc = Proc::default();
    let same = ns::id_of(pid, ns::Kind::Mount)
        .and_then(|id| Ok(id == ns::own_id(ns::Kind::Mount)?))
        .unwrap_or(false);
    let is_ours = same && proc.root(pid).is_ok_and(|target| target.path == Path::new("/"));
    let root = if is_ours { "/".into() } else { format!("/proc/{pid}/root").into() };
    let directory = proc.cwd(pid).map_or_else(|_| "/".into(), |target| target.path);
    Some(Place { root, directory })
}
