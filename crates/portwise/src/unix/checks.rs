//! The checks of bind(2) and connect(2) for Unix sockets, as the kernel makes them.

use portwise_model::Cite;
use portwise_sys::Errno;

/// One check: what it requires, what is so if it stops the call, and the error then.
#[derive(Debug)]
pub struct Check {
    /// Stable name.
    pub id: &'static str,
    /// The requirement.
    pub title: &'static str,
    /// What is so if it stops the call.
    pub fault: &'static str,
    /// What the call answers then.
    pub errno: Errno,
    /// Where it can be read.
    pub cites: &'static [Cite],
}

const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    Cite { repo: "gregkh/linux", rev: "v6.12.117", path, function, needle }
}

const SOURCE: &str = "net/unix/af_unix.c";

macro_rules! checks {
    ($($name:ident: $id:literal, $errno:ident, $title:literal, $fault:literal, [$($cite:expr),*];)*) => {
        $(
            #[doc = concat!("That ", $title, ".")]
            pub static $name: Check = Check {
                id: $id, title: $title, fault: $fault, errno: Errno::$errno, cites: &[$($cite),*],
            };
        )*
        /// Every check.
        pub static ALL: &[&Check] = &[$(&$name),*];
    };
}

checks! {
    LENGTH: "linux.unix.length", EINVAL,
        "the path of a Unix socket has at most 107 bytes",
        "the path is too long for a Unix socket",
        [cite(SOURCE, "unix_validate_addr", "addr_len")];
    DIRECTORY_FOUND: "linux.unix.directory-found", ENOENT,
        "the directory of the path exists",
        "the directory of the Unix socket does not exist",
        [cite("fs/namei.c", "filename_create", "filename_parentat")];
    DIRECTORY_KIND: "linux.unix.directory-kind", ENOTDIR,
        "what stands before the last name of the path is a directory",
        "what should be its directory is none",
        [cite("fs/namei.c", "link_path_walk", "ENOTDIR")];
    LINKS: "linux.unix.links", ELOOP,
        "symbolic links on the way lead somewhere",
        "symbolic links on the way lead in circles",
        [cite("fs/namei.c", "pick_link", "ELOOP")];
    DIRECTORY_SEARCHED: "linux.unix.directory-searched", EACCES,
        "every directory on the way may be searched",
        "a directory on the way may not be searched by this user",
        [cite("fs/namei.c", "may_lookup", "MAY_EXEC")];
    FREE: "linux.unix.free", EADDRINUSE,
        "no file has the name yet",
        "a file of that name is there already",
        [cite(SOURCE, "unix_bind_bsd", "EADDRINUSE"), cite("fs/namei.c", "filename_create", "EEXIST")];
    WRITABLE_FILE_SYSTEM: "linux.unix.writable-file-system", EROFS,
        "the file system may be written to",
        "the file system is mounted read-only",
        [cite("fs/namei.c", "filename_create", "mnt_want_write")];
    DIRECTORY_WRITABLE: "linux.unix.directory-writable", EACCES,
        "bind makes a file, which takes write permission in its directory",
        "this user may not make files in the directory, which bind of a Unix socket does",
        [cite("fs/namei.c", "may_create", "MAY_WRITE")];
    NAME_FREE: "linux.unix.name-free", EADDRINUSE,
        "no socket of the network namespace has the abstract name",
        "a socket of this network namespace has the name",
        [cite(SOURCE, "unix_bind_abstract", "EADDRINUSE")];
    FILE_FOUND: "linux.unix.file-found", ENOENT,
        "the file that the path names exists",
        "there is no such file: no server has made it, or it was removed",
        [cite(SOURCE, "unix_find_bsd", "kern_path")];
    FILE_WRITABLE: "linux.unix.file-writable", EACCES,
        "connect takes write permission on the socket's file",
        "this user may not write to the socket's file",
        [cite(SOURCE, "unix_find_bsd", "MAY_WRITE")];
    FILE_KIND: "linux.unix.file-kind", ECONNREFUSED,
        "the file is a socket",
        "the file is no socket",
        [cite(SOURCE, "unix_find_bsd", "S_ISSOCK")];
    HELD: "linux.unix.held", ECONNREFUSED,
        "a socket has the name and listens",
        "nobody listens on it any more",
        [cite(SOURCE, "unix_find_bsd", "unix_find_socket_byinode"),
         cite(SOURCE, "unix_stream_connect", "TCP_LISTEN")];
    ROOM: "linux.unix.room", EAGAIN,
        "the queue of connections to be accepted has room",
        "the server's queue of connections is full: it does not accept",
        [cite(SOURCE, "unix_stream_connect", "unix_recvq_full_lockless")];
}
