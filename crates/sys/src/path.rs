//! path_resolution(7): every directory and symbolic link on the way to a file.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::{Errno, Error};

/// A root directory and a working directory, from which paths are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the root is, as the calling process sees it; `/proc/PID/root` for that of another.
    pub root: PathBuf,
    /// The working directory, below that root.
    pub directory: PathBuf,
}

/// What permission checks look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// The path, without symbolic links, below the root of the place.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// The low twelve bits of `st_mode`.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Whether it has a POSIX access control list, see acl(5).
    pub acl: bool,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A device, socket or pipe.
    Other,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path without symbolic links, as far as it could be followed.
    pub path: PathBuf,
    /// The directories in which something was looked up, in that order, each once.
    pub directories: Vec<Inode>,
    /// The file; `None` if there is none.
    pub file: Result<Option<Inode>, Error>,
}

impl Place {
    /// The place of the calling process.
    ///
    /// # Errors
    /// `ENOENT` if its working directory was removed.
    pub fn here() -> Result<Place, Error> {
        let directory =
            std::env::current_dir().map_err(|error| Error::new("getcwd", Errno::from(error)))?;
        Ok(Place { root: "/".into(), directory })
    }

    /// The path by which the calling process reaches a resolved one.
    pub fn outside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Follows a path, symbolic links too, as the kernel does for open(2). What this user may not
    /// look into ends it with an error in `file`.
    pub fn resolve(&self, path: &Path) -> Resolved {
        let start = if path.is_absolute() { Path::new("/") } else { &self.directory };
        let mut walk = Walk { place: self, at: start.into(), directories: Vec::new() };
        let file = walk.follow(path);
        Resolved { path: walk.at, directories: walk.directories, file }
    }
}

struct Walk<'a> {
    place: &'a Place,
    at: PathBuf,
    directories: Vec<Inode>,
}

impl Walk<'_> {
    fn follow(&mut self, path: &Path) -> Result<Option<Inode>, Error> {
        const MAX_LINKS: u32 = 40;
        let mut links = 0;
        let mut left: VecDeque<OsString> = parts(path).collect();
        let mut found = self.directory()?;
        while let Some(part) = left.pop_front() {
            if found.kind != FileKind::Directory {
                return Err(self.error(Errno::ENOTDIR));
            }
            if part == ".." {
                self.at.pop();
                found = self.directory()?;
                continue;
            }
            self.at.push(&part);
            let outside = self.place.outside(&self.at);
            let metadata = match fs::symlink_metadata(&outside) {
                Ok(metadata) => metadata,
                Err(error) => match Errno::from(error) {
                    Errno::ENOENT => return Ok(None),
                    errno => return Err(self.error(errno)),
                },
            };
            if metadata.is_symlink() {
                links += 1;
                let target = fs::read_link(&outside).map_err(|e| self.error(Errno::from(e)))?;
                if links > MAX_LINKS {
                    return Err(self.error(Errno::ELOOP));
                }
                self.at.pop();
                if target.is_absolute() {
                    self.at = "/".into();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part);
                }
                found = self.directory()?;
                continue;
            }
            found = self.inode(&metadata);
            if found.kind == FileKind::Directory && !left.is_empty() {
                self.record(found.clone());
            }
        }
        Ok(Some(found))
    }

    /// The directory in which the walk stands.
    fn directory(&mut self) -> Result<Inode, Error> {
        let metadata = fs::metadata(self.place.outside(&self.at));
        let metadata = metadata.map_err(|error| self.error(Errno::from(error)))?;
        let inode = self.inode(&metadata);
        self.record(inode.clone());
        Ok(inode)
    }

    fn record(&mut self, inode: Inode) {
        if inode.kind == FileKind::Directory
            && !self.directories.iter().any(|known| known.path == inode.path)
        {
            self.directories.push(inode);
        }
    }

    fn inode(&self, metadata: &Metadata) -> Inode {
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_file() => FileKind::Regular,
            _ => FileKind::Other,
        };
        Inode {
            path: self.at.clone(),
            kind,
            mode: (metadata.mode() & 0o7777) as u16,
            uid: metadata.uid(),
            gid: metadata.gid(),
            acl: has_acl(&self.place.outside(&self.at)),
        }
    }

    fn error(&self, errno: Errno) -> Error {
        Error::about("stat", errno, self.at.to_string_lossy())
    }
}

/// The names in a path, `..` among them.
fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Says whether a file has a POSIX access control list, see acl(5).
pub fn has_acl(path: &Path) -> bool {
    let mut none: [u8; 0] = [];
    rustix::fs::getxattr(path, OsStr::new("system.posix_acl_access"), &mut none)
        .is_ok_and(|size| size > 0)
}

/// Reads the first bytes of a file, at most `length`. Needs the right to read it.
///
/// # Errors
/// Those of open(2) and read(2).
pub fn head(path: &Path, length: u64) -> Result<Vec<u8>, Error> {
    let failed = |call| {
        move |error: std::io::Error| Error::about(call, Errno::from(error), path.to_string_lossy())
    };
    let file = fs::File::open(path).map_err(failed("open"))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(failed("read"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// `bin/tool`, reached through an absolute link, a relative one and `..`.
    #[test]
    fn links_and_directories_on_the_way() {
        let there = tempfile::tempdir().unwrap();
        let root = there.path().canonicalize().unwrap();
        let place = Place { root: root.clone(), directory: "/srv".into() };
        for directory in ["srv", "opt", "opt/bin", "shut"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        fs::write(root.join("opt/bin/tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("opt/bin/tool"), fs::Permissions::from_mode(0o4751)).unwrap();
        symlink("/opt/bin", root.join("bin")).unwrap();
        symlink("../srv/../bin/tool", root.join("srv/link")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let found = place.resolve(Path::new("link"));
        let file = found.file.unwrap().unwrap();
        assert_eq!(found.path, Path::new("/opt/bin/tool"));
        assert_eq!((file.kind, file.mode, file.acl), (FileKind::Regular, 0o4751, false));
        let names: Vec<String> =
            found.directories.iter().map(|d| d.path.display().to_string()).collect();
        assert_eq!(names, ["/srv", "/", "/opt", "/opt/bin"]);
        let directory = place.resolve(Path::new("/opt/./bin/")).file.unwrap().unwrap();
        assert_eq!(directory.kind, FileKind::Directory);
        assert_eq!(place.resolve(Path::new("/opt/none")).file, Ok(None));
        assert_eq!(place.resolve(Path::new("/none/none")).file, Ok(None));
        let errno = |path: &str| place.resolve(Path::new(path)).file.unwrap_err().errno;
        assert_eq!(errno("/opt/bin/tool/x"), Errno::ENOTDIR);
        assert_eq!(errno("/loop"), Errno::ELOOP);
        assert_eq!(head(&place.outside(&found.path), 4).unwrap(), b"#!/b");
    }

    #[test]
    fn above_the_root_is_the_root() {
        let place = Place::here().unwrap();
        let found = place.resolve(Path::new("/../../proc/self/status"));
        assert!(found.path.starts_with("/proc") && found.path.ends_with("status"));
        assert!(found.file.unwrap().is_some());
        assert_eq!(
            place.resolve(Path::new("/dev/null")).file.unwrap().unwrap().kind,
            FileKind::Other
        );
    }
}
