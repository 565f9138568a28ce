//! namespaces(7), ioctl_ns(2): which namespaces there are, who owns them, and entering new ones.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::{Errno, Error};

/// What tells one namespace from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsId {
    /// The device of the kernel's namespace file system.
    pub device: u64,
    /// The number `/proc/PID/ns` shows.
    pub inode: u64,
}

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// network_namespaces(7).
    Net,
    /// user_namespaces(7).
    User,
    /// pid_namespaces(7).
    Pid,
    /// mount_namespaces(7).
    Mount,
    /// cgroup_namespaces(7).
    Cgroup,
    /// time_namespaces(7), ≥ 5.6.
    Time,
}

impl Kind {
    /// The file's name below `/proc/PID/ns`.
    pub const fn file(self) -> &'static str {
        match self {
            Kind::Net => "net",
            Kind::User => "user",
            Kind::Pid => "pid",
            Kind::Mount => "mnt",
            Kind::Cgroup => "cgroup",
            Kind::Time => "time",
        }
    }

    /// The flag unshare(2) and setns(2) take.
    pub const fn flag(self) -> i32 {
        match self {
            Kind::Net => libc::CLONE_NEWNET,
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Pid => libc::CLONE_NEWPID,
            Kind::Mount => libc::CLONE_NEWNS,
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::Time => 0x80,
        }
    }
}

/// A namespace held open; it lives at least as long as this.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    /// Opens a namespace of a process.
    ///
    /// # Errors
    /// `EACCES` if this user may not trace the process; `ENOENT` if there is no such process.
    pub fn of_process(pid: u32, kind: Kind) -> Result<Namespace, Error> {
        Namespace::open_link(format!("/proc/{pid}/ns/{}", kind.file()).as_ref())
    }

    /// Opens a namespace of the calling thread.
    ///
    /// # Errors
    /// Those of open(2): `/proc` is not mounted, for instance.
    pub fn of_thread(kind: Kind) -> Result<Namespace, Error> {
        Namespace::open_link(format!("/proc/thread-self/ns/{}", kind.file()).as_ref())
    }

    /// Opens a namespace by its file, such as `/run/netns/NAME` of ip-netns(8).
    ///
    /// # Errors
    /// Those of open(2); `EINVAL` if the file is no namespace.
    pub fn open(path: impl AsRef<Path>) -> Result<Namespace, Error> {
        let path = path.as_ref();
        let namespace = Namespace::open_link(path)?;
        // Any other file takes the ioctl for one of its own, or refuses it.
        if !namespace.is_in_nsfs() {
            return Err(Error::about("open", Errno::EINVAL, path.to_string_lossy()));
        }
        Ok(namespace)
    }

    /// Opens a file that leads to a namespace and nothing else.
    fn open_link(path: &Path) -> Result<Namespace, Error> {
        let failed = |e| Error::about("open", Errno::from(e), path.to_string_lossy());
        Ok(Namespace { fd: fs::File::open(path).map_err(failed)?.into() })
    }

    fn is_in_nsfs(&self) -> bool {
        const NSFS_MAGIC: u64 = 0x6e73_6673;
        rustix::fs::fstatfs(&self.fd).is_ok_and(|fs| fs.f_type as u64 == NSFS_MAGIC)
    }

    /// Returns what identifies it.
    ///
    /// # Errors
    /// None is known.
    pub fn id(&self) -> Result<NsId, Error> {
        let stat = rustix::fs::fstat(&self.fd)
            .map_err(|errno| Error::new("fstat", Errno(errno.raw_os_error())))?;
        Ok(NsId { device: stat.st_dev, inode: stat.st_ino })
    }

    /// Opens the user namespace that owns this one (`NS_GET_USERNS`, ≥ 4.9): capabilities count
    /// here if a process has them there or in one of its ancestors.
    ///
    /// # Errors
    /// `EPERM`: the owner is neither the caller's user namespace nor one made within it.
    pub fn owner(&self) -> Result<Namespace, Error> {
        self.related(1, "NS_GET_USERNS")
    }

    /// Opens the namespace this one was made in (`NS_GET_PARENT`, ≥ 4.9), user and pid only.
    ///
    /// # Errors
    /// `EPERM`: the parent is outside of what the caller can see; `EINVAL`: other kinds have
    /// none.
    pub fn parent(&self) -> Result<Namespace, Error> {
        self.related(2, "NS_GET_PARENT")
    }

    /// Returns the uid of who made a user namespace (`NS_GET_OWNER_UID`, ≥ 4.11), as seen from
    /// the caller's user namespace.
    ///
    /// # Errors
    /// `EINVAL` if it is no user namespace.
    pub fn owner_uid(&self) -> Result<u32, Error> {
        let mut uid: libc::uid_t = 0;
        // SAFETY: the ioctl writes one uid_t.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), ns_ioctl(4), &raw mut uid) };
        if result < 0 {
            return Err(Error::about("ioctl", Errno::last(), "NS_GET_OWNER_UID"));
        }
        Ok(uid)
    }

    fn related(&self, number: u32, name: &'static str) -> Result<Namespace, Error> {
        // SAFETY: the ioctl takes no argument.
        let fd = unsafe { libc::ioctl(self.fd.as_raw_fd(), ns_ioctl(number)) };
        if fd < 0 {
            return Err(Error::about("ioctl", Errno::last(), name));
        }
        // SAFETY: the ioctl made it and nobody else has it.
        Ok(Namespace { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Moves the calling thread into it (setns(2)). Needs `CAP_SYS_ADMIN` there, and for all
    /// kinds but user in the thread's own user namespace too.
    ///
    /// # Errors
    /// `EPERM`; `EINVAL` if it is of another kind, or a user namespace the process is already
    /// in, or the process has several threads (user).
    pub fn enter(&self, kind: Kind) -> Result<(), Errno> {
        // SAFETY: takes no pointer.
        let result = unsafe { libc::setns(self.fd.as_raw_fd(), kind.flag()) };
        if result < 0 { Err(Errno::last()) } else { Ok(()) }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// _IO(0xb7, number)
fn ns_ioctl(number: u32) -> libc::Ioctl {
    (0xb700 | number) as libc::Ioctl
}

/// Returns the identity of a process's namespace without opening it.
///
/// # Errors
/// `EACCES` if this user may not trace the process; `ENOENT` if there is no such process.
pub fn id_of(pid: u32, kind: Kind) -> Result<NsId, Error> {
    id_at(&format!("/proc/{pid}/ns/{}", kind.file()))
}

/// Returns the number of a process's namespace, as its link in `/proc` says it. That takes half as
/// long as asking the namespace.
///
/// # Errors
/// Those of [`id_of`].
pub fn inode_of(pid: u32, kind: Kind) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/ns/{}", kind.file());
    let failed = |errno| Error::about("readlink", errno, &path);
    // `net:[4026531833]`
    let mut text = [std::mem::MaybeUninit::uninit(); 64];
    let (text, _) = rustix::fs::readlinkat_raw(rustix::fs::CWD, &path, &mut text)
        .map_err(|errno| failed(Errno(errno.raw_os_error())))?;
    let number = std::str::from_utf8(text).ok().and_then(|text| {
        let (_, number) = text.strip_suffix(']')?.split_once(":[")?;
        number.parse().ok()
    });
    number.ok_or_else(|| failed(Errno(libc::EPROTO)))
}

/// Says whether a process is in the network namespace of the calling thread. Any user may ask.
///
/// # Errors
/// `ENOENT` if there is no such process, or none this user may see.
pub fn same_network(pid: u32) -> Result<bool, Error> {
    Ok(network_files(pid)? == own_network_files()?)
}

/// Returns the same of the calling thread as [`network_files`].
///
/// # Errors
/// Those of stat(2): `/proc` is not mounted, for instance.
pub fn own_network_files() -> Result<NsId, Error> {
    id_at("/proc/thread-self/net/dev")
}

/// Returns what the files below `/proc/PID/net` tell a network namespace by: the same for all
/// processes in it, but not what [`id_of`] returns. Any user may ask.
///
/// # Errors
/// `ENOENT` if there is no such process, or none this user may see.
pub fn network_files(pid: u32) -> Result<NsId, Error> {
    id_at(&format!("/proc/{pid}/net/dev"))
}

/// Returns the identity of a namespace of the calling thread.
///
/// # Errors
/// Those of stat(2): `/proc` is not mounted, for instance.
pub fn own_id(kind: Kind) -> Result<NsId, Error> {
    id_at(&format!("/proc/thread-self/ns/{}", kind.file()))
}

fn id_at(path: &str) -> Result<NsId, Error> {
    let stat = fs::metadata(path).map_err(|e| Error::about("stat", Errno::from(e), path))?;
    Ok(NsId { device: stat.dev(), inode: stat.ino() })
}

/// Moves the calling thread into new namespaces of these kinds (unshare(2)).
///
/// Needs `CAP_SYS_ADMIN`, which a new user namespace made in the same call gives. A new network
/// namespace has nothing but `lo`, and that is down: see [`lo_up`].
///
/// # Errors
/// `EPERM`; `EINVAL` for a user namespace if the process has several threads; `ENOSPC` if there
/// are too many; `EACCES` by choice of a security module.
pub fn unshare(kinds: &[Kind]) -> Result<(), Errno> {
    let flags = kinds.iter().fold(0, |flags, kind| flags | kind.flag());
    // SAFETY: takes no pointer; none of the flags shares or separates memory.
    let result = unsafe { libc::unshare(flags) };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Gives the calling thread a table of open files of its own, with what is open now. No other
/// thread waits for it then, nor it for them, when files are opened and closed.
///
/// # Errors
/// `ENOMEM`, `EMFILE`.
pub fn unshare_files() -> Result<(), Errno> {
    // SAFETY: takes no pointer. Descriptors that other threads close stay open here, which
    // whoever owns them in Rust does not notice.
    let result = unsafe { libc::unshare(libc::CLONE_FILES) };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// A line of `uid_map` or `gid_map`, see user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Maps ids of the user namespace the calling process has just made. Once only.
///
/// Without privilege outside, each map may have one line with one id, the caller's own, and
/// `deny_setgroups` is required before gids can be mapped.
///
/// # Errors
/// `EPERM` if the map says more than the writer may, or was written before.
pub fn map_ids(uids: &[IdMap], gids: &[IdMap], deny_setgroups: bool) -> Result<(), Error> {
    if deny_setgroups {
        write_at_once("/proc/self/setgroups", "deny")?;
    }
    write_at_once("/proc/self/uid_map", &lines(uids))?;
    write_at_once("/proc/self/gid_map", &lines(gids))
}

/// Reads `uid_map` or `gid_map` of a process, or of the calling thread: the outer ids are those of
/// the reader's user namespace, or of its parent if the process is in the reader's own.
///
/// # Errors
/// Those of open(2); `EBADMSG`.
pub fn read_map(pid: Option<u32>, file: &str) -> Result<Vec<IdMap>, Error> {
    let path = pid.map_or(format!("/proc/thread-self/{file}"), |pid| format!("/proc/{pid}/{file}"));
    let text = fs::read_to_string(&path)
        .map_err(|error| Error::about("open", Errno::from(error), path.as_str()))?;
    parse_map(&text).ok_or_else(|| Error::about("parse", Errno::EBADMSG, path))
}

/// Reads the text of a `uid_map` file.
pub fn parse_map(text: &str) -> Option<Vec<IdMap>> {
    let line = |line: &str| {
        let numbers: Option<Vec<u32>> =
            line.split_ascii_whitespace().map(|number| number.parse().ok()).collect();
        match numbers?[..] {
            [inside, outside, count] => Some(IdMap { inside, outside, count }),
            _ => None,
        }
    };
    text.lines().map(line).collect()
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count)).collect()
}

/// Writes with a single write(2), as these files want it.
fn write_at_once(path: &str, text: &str) -> Result<(), Error> {
    let failed = |call| move |e: std::io::Error| Error::about(call, Errno::from(e), path);
    let mut file = fs::OpenOptions::new().write(true).open(path).map_err(failed("open"))?;
    file.write_all(text.as_bytes()).map_err(failed("write"))
}

/// Switches on the loopback interface of the thread's network namespace. Needs
/// `CAP_NET_ADMIN` over it.
///
/// # Errors
/// `EPERM`.
pub fn lo_up() -> Result<(), Errno> {
    let socket = crate::sock::Socket::new(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the ioctl reads one ifreq.
    let result = unsafe {
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            libc::SIOCSIFFLAGS as libc::Ioctl,
            &raw const request,
        )
    };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}
