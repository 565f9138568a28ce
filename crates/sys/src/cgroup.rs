//! cgroups(7): the hierarchy of version 2, and a fresh cgroup in it.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, flock};

use crate::{Errno, Error, proc::Proc};

/// Returns the directory of the calling process's cgroup in the hierarchy of version 2, which may
/// be mounted beside those of version 1. Needs no privilege.
///
/// # Errors
/// `ENOENT` if there is none, or it lies outside of what is mounted.
pub fn own(proc: &Proc) -> Result<PathBuf, Error> {
    let none = |what: &str| Error::about("cgroup", Errno::ENOENT, what);
    let table = proc.read("proc/self/mountinfo")?;
    let (root, point) = hierarchy(&String::from_utf8_lossy(&table))
        .ok_or_else(|| none("a mounted hierarchy of version 2"))?;
    let cgroups = proc.cgroups(std::process::id())?;
    let own = cgroups.iter().find(|cgroup| cgroup.hierarchy == 0);
    let own = own.ok_or_else(|| none("of this process in the hierarchy of version 2"))?;
    let below = Path::new(&own.path).strip_prefix(&root).ok();
    let below = below.filter(|path| !path.components().any(|part| part.as_os_str() == ".."));
    let below = below.ok_or_else(|| none("the mounted part of the hierarchy has not this one"))?;
    Ok(proc.path(point.join(below)))
}

/// Returns whether the calling process may make cgroups in this directory.
pub fn is_writable(directory: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    accessat(CWD, directory, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// The part that is mounted and where, of the first mount of such a hierarchy.
fn hierarchy(mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        source.starts_with("cgroup2 ").then_some(())?;
        Some((mount.next()?.into(), mount.next()?.into()))
    })
}

/// A cgroup made for one purpose. It is locked (flock(2)) as long as a copy of this is open, which
/// tells it from one that was left behind.
#[derive(Debug)]
pub struct Fresh {
    path: PathBuf,
    directory: File,
    events: File,
}

impl Fresh {
    /// Makes the cgroup `name` within `parent`. Needs the right to write there: root has it, and
    /// whom the directory was given to.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`; `EEXIST`; `EOPNOTSUPP` below a cgroup of threads; `EAGAIN` from a limit
    /// on cgroups.
    pub fn make(parent: &Path, name: &str) -> Result<Fresh, Error> {
        let path = parent.join(name);
        let failed = |call: &'static str, error: io::Error| {
            Error::about(call, error.into(), path.to_string_lossy())
        };
        fs::create_dir(&path).map_err(|error| failed("mkdir", error))?;
        let made = (|| {
            let directory = File::open(&path)?;
            flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
            // Somebody who tidies up may have had it first.
            if fs::metadata(&path)?.ino() != directory.metadata()?.ino() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let events = File::open(path.join("cgroup.events"))?;
            Ok((directory, events))
        })();
        match made {
            Ok((directory, events)) => Ok(Fresh { path, directory, events }),
            Err(error) => {
                let error = failed("open", error);
                let _ = fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// The descriptors it consists of.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.directory.as_fd(), self.events.as_fd()]
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the calling process into it; what it starts is there too. Needs the right to write
    /// to `cgroup.procs` here, where the process was, and in the cgroup above both.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` if it was removed.
    pub fn enter(&self) -> Result<(), Error> {
        let file = self.path.join("cgroup.procs");
        let about = |error: io::Error| Error::about("write", error.into(), file.to_string_lossy());
        fs::write(&file, "0").map_err(about)
    }

    /// Waits until no process is left in it or below it.
    ///
    /// # Errors
    /// Those of read(2) and poll(2).
    pub fn wait_until_empty(&self) -> Result<(), Error> {
        let about = |call, errno: Errno| Error::about(call, errno, "cgroup.events");
        loop {
            let mut text = String::new();
            let mut events = &self.events;
            let read = events.rewind().and_then(|()| events.read_to_string(&mut text));
            match read.map_err(Errno::from) {
                Ok(_) if is_populated(&text) => {}
                Ok(_) | Err(Errno(libc::ENODEV)) => return Ok(()),
                Err(errno) => return Err(about("read", errno)),
            }
            let mut fds = [PollFd::new(&self.events, PollFlags::PRI)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(about("poll", Errno(errno.raw_os_error()))),
            }
        }
    }

    /// Removes it, with what was made below it.
    ///
    /// # Errors
    /// `EBUSY` if there is a process in it.
    pub fn remove(&self) -> Result<(), Error> {
        remove_tree(&self.path)
    }
}

impl AsFd for Fresh {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Removes the cgroups directly within `parent` whose names start so, which nobody has locked and
/// in which no process is. Returns how many those were. Needs the right to write there.
///
/// # Errors
/// Those of open(2) on `parent`. What cannot be removed stays.
pub fn tidy(parent: &Path, start: &str) -> Result<usize, Error> {
    let about = |error: io::Error| Error::about("open", error.into(), parent.to_string_lossy());
    let mut removed = 0;
    for entry in fs::read_dir(parent).map_err(about)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(start) {
            continue;
        }
        let path = entry.path();
        let Ok(directory) = File::open(&path) else { continue };
        if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let events = fs::read_to_string(path.join("cgroup.events")).unwrap_or_default();
        if !events.is_empty() && !is_populated(&events) && remove_tree(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

fn remove_tree(path: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    // A process that has just ended is counted a moment longer.
    for _ in 0..100 {
        match fs::remove_dir(path).map_err(Errno::from) {
            Err(Errno::EBUSY) => std::thread::sleep(std::time::Duration::from_millis(1)),
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(Error::about("rmdir", errno, path.to_string_lossy())),
        }
    }
    Err(Error::about("rmdir", Errno::EBUSY, path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_alone_and_beside_version_1() {
        let alone = "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let beside = "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            42 24 0:39 /../.. /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(hierarchy(alone), Some(("/".into(), "/sys/fs/cgroup".into())));
        let found = hierarchy(beside).unwrap();
        assert_eq!(found.1, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(hierarchy("22 1 8:1 / / rw - ext4 /dev/sda1 rw"), None);
    }

    #[test]
    fn one_is_made_and_removed() {
        use std::io::Write;
        let not_run = |why: String| drop(writeln!(io::stderr(), "not run: a fresh cgroup: {why}"));
        let parent = match own(&Proc::default()) {
            Ok(parent) => parent,
            Err(error) => return not_run(error.to_string()),
        };
        let name = format!("portwise-test-{}-a", std::process::id());
        let fresh = match Fresh::make(&parent, &name) {
            Ok(fresh) => fresh,
            Err(error) => return not_run(error.to_string()),
        };
        let start = format!("portwise-test-{}-", std::process::id());
        assert_eq!(tidy(&parent, &start), Ok(0), "it is locked");
        fs::create_dir(fresh.path().join("below")).unwrap();
        fresh.wait_until_empty().unwrap();
        let path = fresh.path().to_owned();
        drop(fresh);
        assert_eq!(tidy(&parent, &start), Ok(1));
        assert!(!path.exists());
    }
}
