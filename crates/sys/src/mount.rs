//! statvfs(3), proc_pid_mountinfo(5): how the file system that a file is on is mounted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FsWord, StatVfsMountFlags, StatxFlags};

use crate::{Errno, Error, proc::Proc};

/// How a file system is mounted at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlags {
    /// Programs gain nothing by set-id bits or file capabilities.
    pub nosuid: bool,
    /// Nothing may be executed.
    pub noexec: bool,
}

/// Reads how the file system is mounted that a file is on, following symbolic links. Needs the
/// right to reach the file.
///
/// # Errors
/// Those of stat(2).
pub fn flags(path: &Path) -> Result<MountFlags, Error> {
    const PROC_SUPER_MAGIC: FsWord = 0x9fa0;
    const SYSFS_MAGIC: FsWord = 0x6265_6572;
    let about = |errno: rustix::io::Errno| {
        Error::about("statfs", Errno(errno.raw_os_error()), path.to_string_lossy())
    };
    let flags = rustix::fs::statvfs(path).map_err(about)?.f_flag;
    let kind = rustix::fs::statfs(path).map_err(about)?.f_type;
    Ok(MountFlags {
        nosuid: flags.contains(StatVfsMountFlags::NOSUID),
        // These two allow no programs, however they are mounted.
        noexec: flags.contains(StatVfsMountFlags::NOEXEC)
            || kind == PROC_SUPER_MAGIC
            || kind == SYSFS_MAGIC,
    })
}

/// Says whether the file system that a file is on is mounted read-only there.
pub fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Says whether a path is in a cgroup hierarchy of version 2, see cgroups(7).
pub fn is_cgroup2(path: &Path) -> bool {
    const CGROUP2_SUPER_MAGIC: FsWord = 0x6367_7270;
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == CGROUP2_SUPER_MAGIC)
}

/// Returns where the file system is mounted that a file is on (≥ 5.8), as far as the calling
/// process sees it.
///
/// # Errors
/// Those of stat(2) and of reading `/proc/self/mountinfo`; `ENOENT` if it is not in there.
pub fn point(proc: &Proc, path: &Path) -> Result<PathBuf, Error> {
    let about = |call, errno| Error::about(call, errno, path.to_string_lossy());
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
        .map_err(|errno| about("statx", Errno(errno.raw_os_error())))?;
    let table = proc.mountinfo()?;
    let entry = parse_mountinfo(table).into_iter().find(|entry| entry.id == found.stx_mnt_id);
    entry.map(|entry| entry.point).ok_or_else(|| about("mountinfo", Errno::ENOENT))
}

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The number of the mount, as statx(2) gives it.
    pub id: u64,
    /// What of its file system is there: a path, or for a namespace its kind and inode, such as
    /// `net:[4026531840]`. Untrusted text.
    pub root: String,
    /// Where it is. Untrusted text.
    pub point: PathBuf,
}

/// Reads the text of a mountinfo file; lines it cannot read are left out.
pub fn parse_mountinfo(bytes: &[u8]) -> Vec<MountEntry> {
    let entry = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let root = String::from_utf8_lossy(&unescaped(fields.nth(2)?)).into_owned();
        let point = unescaped(fields.next()?);
        Some(MountEntry { id, root, point: OsString::from_vec(point).into() })
    };
    bytes.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

/// Blanks and their like are written as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        text.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { tail };
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mounts_with_blanks_in_their_names() {
        let text = b"36 35 98:0 / /mnt/a\\040b rw,nosuid - ext4 /dev/sda rw\nx\n37 1 0:5 / / rw - tmpfs t rw";
        let found: Vec<(u64, PathBuf)> =
            parse_mountinfo(text).into_iter().map(|entry| (entry.id, entry.point)).collect();
        assert_eq!(found, [(36, "/mnt/a b".into()), (37, "/".into())]);
    }

    #[test]
    fn of_this_machine() {
        let proc = Path::new("/proc/self/status");
        assert!(flags(proc).unwrap().noexec, "no program is run from /proc");
        match point(&Proc::default(), proc) {
            Ok(at) => assert_eq!(at, Path::new("/proc")),
            Err(error) => crate::not_run!("{error}"),
        }
        assert_eq!(flags(Path::new("/nowhere")).unwrap_err().errno, Errno::ENOENT);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_mountinfo(&bytes);
        }
    }
}
