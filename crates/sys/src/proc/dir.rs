//! A process held fast: `/proc/PID` opened once, which never becomes that of another process.

use std::ffi::{CStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, readlinkat_raw, statat};

use super::{
    Cgroup, Proc, Stat, Status, Target, parse_cgroups, parse_stat, parse_stat_name, parse_status,
};
use crate::{Errno, Error};

/// An open `/proc/PID`. Everything read through it is of one process; when that has ended, reading
/// fails with `ESRCH`, even if another one has its number.
#[derive(Debug)]
pub struct ProcessDir {
    pid: u32,
    fd: OwnedFd,
}

impl Proc {
    /// Opens a process. Needs no privilege.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, or none this user may see.
    pub fn process(&self, pid: u32) -> Result<ProcessDir, Error> {
        let path = self.path(format!("proc/{pid}"));
        let flags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        let fd = open(&path, flags, Mode::empty())
            .map_err(|e| Error::about("open", Errno(e.raw_os_error()), path.to_string_lossy()))?;
        Ok(ProcessDir { pid, fd })
    }
}

impl ProcessDir {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn failed(&self, call: &'static str, file: &CStr, errno: rustix::io::Errno) -> Error {
        let path = format!("/proc/{}/{}", self.pid, file.to_string_lossy());
        Error::about(call, Errno(errno.raw_os_error()), path)
    }

    /// Reads one of its files whole.
    ///
    /// # Errors
    /// `ESRCH` if the process has ended; `EACCES`.
    pub fn read(&self, file: &CStr) -> Result<Vec<u8>, Error> {
        let flags = OFlags::RDONLY.union(OFlags::CLOEXEC);
        let opened = openat(&self.fd, file, flags, Mode::empty())
            .map_err(|errno| self.failed("open", file, errno))?;
        let (mut bytes, mut length) = (vec![0; 2048], 0);
        loop {
            match rustix::io::read(opened.as_fd(), &mut bytes[length..]) {
                // The files read here are made as a whole, and one read(2) with room left has it
                // all; only a long command line comes in pieces.
                Ok(more) if length + more < bytes.len() => {
                    bytes.truncate(length + more);
                    return Ok(bytes);
                }
                Ok(more) => length += more,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(self.failed("read", file, errno)),
            }
            if length == bytes.len() {
                bytes.resize(2 * length, 0);
            }
        }
    }

    /// Reads `stat`.
    ///
    /// # Errors
    /// Those of [`ProcessDir::read`]; `EBADMSG`.
    pub fn stat(&self) -> Result<Stat, Error> {
        parse_stat(&self.read(c"stat")?).ok_or_else(|| self.malformed(c"stat"))
    }

    /// Reads `stat`, and from it what [`ProcessDir::comm`] returns too.
    ///
    /// # Errors
    /// Those of [`ProcessDir::read`]; `EBADMSG`.
    pub fn named_stat(&self) -> Result<(Stat, OsString), Error> {
        let bytes = self.read(c"stat")?;
        let stat = parse_stat(&bytes).zip(parse_stat_name(&bytes));
        let (stat, name) = stat.ok_or_else(|| self.malformed(c"stat"))?;
        Ok((stat, OsString::from_vec(name.to_vec())))
    }

    /// Reads `status`.
    ///
    /// # Errors
    /// Those of [`ProcessDir::read`]; `EBADMSG`.
    pub fn status(&self) -> Result<Status, Error> {
        parse_status(&self.read(c"status")?).ok_or_else(|| self.malformed(c"status"))
    }

    fn malformed(&self, file: &CStr) -> Error {
        self.failed("parse", file, rustix::io::Errno::BADMSG)
    }

    /// Reads its short name, at most 15 bytes. Untrusted text.
    ///
    /// # Errors
    /// Those of [`ProcessDir::read`].
    pub fn comm(&self) -> Result<OsString, Error> {
        let mut bytes = self.read(c"comm")?;
        bytes.truncate(bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len));
        Ok(OsString::from_vec(bytes))
    }

    /// Reads its arguments; empty for a thread of the kernel. Untrusted text.
    ///
    /// # Errors
    /// Those of [`ProcessDir::read`].
    pub fn cmdline(&self) -> Result<Vec<OsString>, Error> {
        let mut bytes = self.read(c"cmdline")?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        } else if bytes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(bytes.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect())
    }

    /// Reads its cgroups.
    ///
    /// # Errors
    /// Those of [`ProcessDir::read`]; `ENOENT` if the kernel has none.
    pub fn cgroups(&self) -> Result<Vec<Cgroup>, Error> {
        Ok(parse_cgroups(&self.read(c"cgroup")?))
    }

    /// Reads which program file it runs, or its working or root directory: `exe`, `cwd`, `root`.
    ///
    /// # Errors
    /// `EACCES` if this user may not trace the process; `ENOENT` for a thread of the kernel;
    /// `ESRCH` if it has ended.
    pub fn link(&self, name: &CStr) -> Result<Target, Error> {
        const MARK: &[u8] = b" (deleted)";
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let (path, _) = readlinkat_raw(&self.fd, name, &mut buffer)
            .map_err(|errno| self.failed("readlink", name, errno))?;
        // A file may really be called so: then it still has a name.
        let has_name = || statat(&self.fd, name, AtFlags::empty()).is_ok_and(|s| s.st_nlink > 0);
        let (path, deleted) = match path.strip_suffix(MARK) {
            Some(rest) if !has_name() => (rest, true),
            _ => (&*path, false),
        };
        Ok(Target { path: PathBuf::from(OsString::from_vec(path.to_vec())), deleted })
    }
}
