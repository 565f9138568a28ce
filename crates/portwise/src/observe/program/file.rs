//! One file on the way to a running program.

use std::path::Path;

use portwise_model::{
    CapSet, Executable, Fact, FactKey, FileCapabilities, FileKind, Format, Inode, Missing, Mount,
};
use portwise_sys::{Error, elf::Elf, filecap, mount, path, proc::Proc};

use super::{Finder, head, is_absent};
use crate::observe::host::unread;

impl Finder {
    /// Observes a file, with its first bytes if they can be read.
    pub(super) fn file(&self, file: &Path) -> (Executable, Option<Vec<u8>>) {
        let found = self.place.resolve(file);
        let is_there = match &found.file {
            Ok(there) => there.is_some(),
            Err(error) => !is_absent(error),
        };
        // Of what is not there the way to it is no name.
        let name = if is_there { &found.path } else { file };
        let name = name.to_string_lossy().into_owned();
        let key = FactKey::File(name.clone().into());
        let missing = || Missing::new(key.clone(), "there is no such file", "");
        let mut executable = Executable {
            path: name.into(),
            directories: found.directories.into_iter().map(inode).collect(),
            inode: Fact::not_asked(key.clone()),
            mount: Fact::Missing(missing()),
            capabilities: Fact::Missing(missing()),
            format: Fact::Missing(missing()),
        };
        let is_regular = match found.file {
            Ok(Some(there)) => {
                let regular = there.kind == path::FileKind::Regular;
                executable.inode = Fact::known(Some(inode(there)), "stat");
                regular
            }
            Ok(None) => {
                executable.inode = Fact::known(None, "stat");
                return (executable, None);
            }
            Err(error) if is_absent(&error) => {
                executable.inode = Fact::known(None, "stat");
                return (executable, None);
            }
            Err(error) => {
                let missing = unread(&key, &error);
                executable.inode = Fact::Missing(missing.clone());
                executable.mount = Fact::Missing(missing.clone());
                executable.capabilities = Fact::Missing(missing.clone());
                executable.format = Fact::Missing(missing);
                return (executable, None);
            }
        };
        let outside = self.place.outside(&found.path);
        executable.mount = fact(&key, "statfs", self.mounted(&outside));
        executable.capabilities = fact(&key, "security.capability", capabilities(&outside));
        if !is_regular {
            return (executable, None);
        }
        match head(&outside) {
            Ok(head) => (executable, Some(head)),
            Err(error) => {
                executable.format = Fact::Missing(unread(&key, &error));
                (executable, None)
            }
        }
    }

    fn mounted(&self, outside: &Path) -> Result<Mount, Error> {
        let mount::MountFlags { nosuid, noexec } = mount::flags(outside)?;
        // Where it is mounted is told only if that matters.
        let at = (nosuid || noexec).then(|| mount::point(&self.proc, outside).ok()).flatten();
        let at = at.map(|at| at.to_string_lossy().into_owned().into());
        Ok(Mount { at, nosuid, noexec })
    }
}

fn fact<T>(key: &FactKey, from: &'static str, read: Result<T, Error>) -> Fact<T> {
    match read {
        Ok(value) => Fact::known(value, from),
        Err(error) => Fact::Missing(unread(key, &error)),
    }
}

fn inode(inode: path::Inode) -> Inode {
    let path::Inode { path, kind, mode, uid, gid, acl } = inode;
    Inode {
        path: path.to_string_lossy().into_owned().into(),
        kind: match kind {
            path::FileKind::Regular => FileKind::Regular,
            path::FileKind::Directory => FileKind::Directory,
            path::FileKind::Other => FileKind::Other,
        },
        mode,
        uid,
        gid,
        acl,
    }
}

fn capabilities(file: &Path) -> Result<Option<FileCapabilities>, Error> {
    Ok(filecap::read(file)?.map(|caps| FileCapabilities {
        permitted: CapSet(caps.permitted),
        inheritable: CapSet(caps.inheritable),
        effective: caps.effective,
        rootid: caps.rootid,
    }))
}

/// Whether a binary is for the processor that this program is for, or for the one it can be.
pub(super) fn is_native(elf: &Elf) -> bool {
    const I386: u16 = 3;
    const ARM: u16 = 40;
    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
    match std::env::consts::ARCH {
        "x86_64" => [X86_64, I386].contains(&elf.machine),
        "aarch64" => [AARCH64, ARM].contains(&elf.machine),
        // Those that are asked elsewhere are most likely right.
        _ => true,
    }
}

/// A format that the kernel does not know by itself: an interpreter may be registered for it.
pub(super) fn unknown_format(proc: &Proc, file: &str) -> Fact<Format> {
    let there = std::fs::read_dir(proc.path("proc/sys/fs/binfmt_misc"));
    let entries = there.into_iter().flatten().filter_map(Result::ok);
    let registered = |name: &std::ffi::OsStr| name != "register" && name != "status";
    if entries.map(|entry| entry.file_name()).any(|name| registered(&name)) {
        let key = FactKey::File(file.to_owned().into());
        let why = "an interpreter that binfmt_misc registers may run it";
        return Fact::Missing(Missing::new(key, why, "try it"));
    }
    Fact::known(Format::Unknown, "its first bytes")
}
