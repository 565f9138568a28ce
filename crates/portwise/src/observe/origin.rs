//! Whether a process made the socket it holds, or inherited it from one that is gone.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use portwise_sys::{
    elf::{self, Loader},
    proc::Proc,
};

use super::inventory::{Holder, How, Process, Socket, State, Transport};

/// Programs above this size are not read.
const LARGEST: u64 = 8 << 20;

/// Libraries in which no program listens by accident.
const PLAIN: [&str; 24] = [
    "libc.so",
    "libm.so",
    "libdl.so",
    "libpthread.so",
    "librt.so",
    "libtinfo.so",
    "libncurses",
    "libreadline.so",
    "libselinux.so",
    "libacl.so",
    "libattr.so",
    "libcap.so",
    "libgmp.so",
    "libcrypto.so",
    "libpcre",
    "libz.so",
    "liblzma.so",
    "libzstd.so",
    "libgcc_s.so",
    "libstdc++.so",
    "libaudit.so",
    "libproc",
    "libmd.so",
    "libutil.so",
];

/// Whether the holder of a listening socket surely did not make it: the process that started it
/// is gone, the descriptor stays open across execve(2), and its program does not call listen(2).
pub(super) fn inherited(proc: &Proc, socket: &Socket, holder: &Holder, process: &Process) -> bool {
    let listens = socket.transport == Transport::Tcp && socket.state == State::Listen;
    listens
        && holder.how == How::Open
        && stays_open(proc, holder)
        && !may_listen(&proc.path(format!("proc/{}/exe", process.identity.pid)))
}

/// Whether the descriptor lacks `O_CLOEXEC`.
fn stays_open(proc: &Proc, holder: &Holder) -> bool {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let info = proc.read(format!("proc/{}/fdinfo/{}", holder.pid, holder.fd)).unwrap_or_default();
    let text = String::from_utf8_lossy(&info);
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & O_CLOEXEC == 0)
}

/// Whether a program may call listen(2): it says so, or it cannot be told.
fn may_listen(exe: &Path) -> bool {
    read(exe).is_none_or(|bytes| calls_listen(&bytes))
}

fn read(exe: &Path) -> Option<Vec<u8>> {
    let file = File::open(PathBuf::from(exe)).ok()?;
    let size = file.metadata().ok()?.len();
    let mut bytes = Vec::new();
    (size <= LARGEST).then(|| file.take(LARGEST).read_to_end(&mut bytes).ok())??;
    Some(bytes)
}

/// A program that uses libraries has the names of the functions it calls as strings, and those of
/// the libraries.
fn calls_listen(bytes: &[u8]) -> bool {
    let dynamic = elf::parse(bytes).is_some_and(|elf| matches!(elf.loader, Loader::Dynamic(_)));
    if !dynamic {
        return true;
    }
    bytes.split(|byte| *byte == 0).any(|string| {
        let library = string.starts_with(b"lib") && string.windows(3).any(|w| w == b".so");
        let plain = || PLAIN.iter().any(|name| string.starts_with(name.as_bytes()));
        string == b"listen" || library && !plain()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_never_listen() {
        for (program, may) in [("/usr/bin/sleep", false), ("/usr/bin/python3", true)] {
            match std::fs::exists(program) {
                Ok(true) => assert_eq!(may_listen(Path::new(program)), may, "{program}"),
                _ => println!("not run: no {program} here"),
            }
        }
        assert!(may_listen(Path::new("/nowhere")) && may_listen(Path::new("/etc/passwd")));
    }
}
