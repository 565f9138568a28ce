//! Opening the program, its interpreters and its loader: `do_open_execat` of `fs/exec.c` and what
//! it calls in `fs/namei.c`.

use super::super::{EXEC_MEASURED, cite, fixes};
use crate::{
    CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, Credentials, Errno, Evidence, Executable, FactKey,
    FileKind, Format, Inode, Missing, Outcome, Rule, Subject, View,
};

/// How many files there may be before the binary itself is one too many.
const FILES: usize = 6;

/// Whoever starts a program passes through its directories.
pub static DIRECTORIES: Rule = Rule {
    id: "linux.exec.directories",
    title: "every directory on the way to the program may be searched",
    fault: "a directory on the way to the program may not be searched",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite("fs/namei.c", "may_lookup", "MAY_EXEC")],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.directories.md"),
    stops: |v| first_is(v, Obstacle::Directory),
    fixes: &[],
};

/// The program itself, or one it needs.
pub static FOUND: Rule = Rule {
    id: "linux.exec.found",
    title: "the program, its interpreter and its loader exist",
    fault: "the program, its interpreter or its loader does not exist",
    outcome: Outcome::Errno(Errno::ENOENT),
    cites: &[
        cite("fs/exec.c", "do_open_execat", "do_filp_open"),
        cite("fs/binfmt_script.c", "load_script", "open_exec"),
        cite("fs/binfmt_elf.c", "load_elf_binary", "open_exec"),
    ],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.found.md"),
    stops: |v| first_is(v, Obstacle::NotThere),
    fixes: &[],
};

/// Directories and devices are not run.
pub static REGULAR_FILE: Rule = Rule {
    id: "linux.exec.regular-file",
    title: "the program is a regular file",
    fault: "the program is no regular file",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite("fs/namei.c", "may_open", "S_IFDIR")],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.regular-file.md"),
    stops: |v| first_is(v, Obstacle::NotRegular),
    fixes: &[],
};

/// A mount option that forbids programs.
pub static NOEXEC: Rule = Rule {
    id: "linux.exec.noexec",
    title: "the program is on a file system without the option noexec",
    fault: "the program is on a file system mounted with noexec",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite("fs/namei.c", "may_open", "path_noexec"),
        cite("fs/exec.c", "path_noexec", "MNT_NOEXEC"),
    ],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.noexec.md"),
    stops: |v| first_is(v, Obstacle::Noexec),
    fixes: &[],
};

/// The permission bits.
pub static PERMISSION: Rule = Rule {
    id: "linux.exec.permission",
    title: "the user may execute the program file",
    fault: "the user may not execute the program file",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite("fs/namei.c", "acl_permission_check", "i_mode"),
        cite("fs/namei.c", "generic_permission", "CAP_DAC_OVERRIDE"),
    ],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.permission.md"),
    stops: |v| first_is(v, Obstacle::Permission),
    fixes: &[&fixes::EXECUTABLE],
};

/// Scripts and binaries, nothing else.
pub static FORMAT: Rule = Rule {
    id: "linux.exec.format",
    title: "the program is a binary for this machine or a script",
    fault: "the program is neither a binary for this machine nor a script",
    outcome: Outcome::Errno(Errno::ENOEXEC),
    cites: &[
        cite("fs/exec.c", "search_binary_handler", "ENOEXEC"),
        cite("fs/binfmt_script.c", "load_script", "ENOEXEC"),
        cite("fs/binfmt_elf.c", "load_elf_binary", "ENOEXEC"),
    ],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.format.md"),
    stops: |v| first_is(v, Obstacle::Format),
    fixes: &[],
};

/// Interpreters of interpreters.
pub static INTERPRETER_DEPTH: Rule = Rule {
    id: "linux.exec.interpreter-depth",
    title: "at most five scripts are interpreted one by the next",
    fault: "more than five scripts are interpreted one by the next",
    outcome: Outcome::Errno(Errno::ELOOP),
    cites: &[cite("fs/exec.c", "exec_binprm", "ELOOP")],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.interpreter-depth.md"),
    stops: |v| first_is(v, Obstacle::Depth),
    fixes: &[],
};

/// What may be in the way, in the order in which the kernel looks at one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    Directory,
    NotThere,
    NotRegular,
    Noexec,
    Permission,
    Depth,
    Format,
}

const ORDER: [Obstacle; 7] = [
    Obstacle::Directory,
    Obstacle::NotThere,
    Obstacle::NotRegular,
    Obstacle::Noexec,
    Obstacle::Permission,
    Obstacle::Depth,
    Obstacle::Format,
];

/// Returns whether the first thing in the way is `wanted`. What is not known about others leaves
/// it to them.
fn first_is(v: &View<'_>, wanted: Obstacle) -> Result<bool, Missing> {
    let mut unknown = None;
    for (n, file) in v.program().opened().enumerate() {
        for obstacle in ORDER {
            match is_in_the_way(v, n, file, obstacle) {
                Ok(None) => {}
                Ok(Some(evidence)) if obstacle == wanted => {
                    v.note(|| evidence);
                    return Ok(true);
                }
                Ok(Some(_)) => return unknown.map_or_else(|| Ok(passes(v, n + 1, wanted)), Err),
                Err(missing) if obstacle == wanted && unknown.is_none() => unknown = Some(missing),
                Err(_) => {}
            }
        }
    }
    unknown.map_or_else(|| Ok(passes(v, usize::MAX, wanted)), Err)
}

/// Records what was looked at in the first `n` files, where it is not in the way. Returns false.
fn passes(v: &View<'_>, n: usize, wanted: Obstacle) -> bool {
    v.program().opened().take(n).for_each(|file| note_passed(v, file, wanted));
    false
}

fn note_passed(v: &View<'_>, file: &Executable, wanted: Obstacle) {
    match (wanted, file.inode.value(), file.mount.value()) {
        (Obstacle::Directory, ..) => {
            file.directories.iter().for_each(|d| v.note(|| Evidence::Inode(d.clone())));
        }
        (Obstacle::Noexec, _, Some(mount)) => {
            v.note(|| Evidence::Mount(file.path.clone(), mount.clone()));
        }
        (_, Some(Some(inode)), _) => v.note(|| Evidence::Inode(inode.clone())),
        _ => {}
    }
}

/// Returns what shows that `obstacle` is in the way at the file that is opened as number `n`.
fn is_in_the_way(
    v: &View<'_>,
    n: usize,
    file: &Executable,
    obstacle: Obstacle,
) -> Result<Option<Evidence>, Missing> {
    let is_loader = n >= v.program().files.len();
    if obstacle == Obstacle::Directory {
        for directory in &file.directories {
            if !may_execute(v, directory)? {
                return Ok(Some(Evidence::Inode(directory.clone())));
            }
        }
        return Ok(None);
    }
    let Some(inode) = file.inode.get()? else {
        let missing = obstacle == Obstacle::NotThere;
        return Ok(missing.then(|| Evidence::NoFile(file.path.clone())));
    };
    let stops = match obstacle {
        Obstacle::NotRegular => inode.kind != FileKind::Regular,
        Obstacle::Noexec => {
            let mount = file.mount.get()?;
            return Ok(mount.noexec.then(|| Evidence::Mount(file.path.clone(), mount.clone())));
        }
        Obstacle::Permission => !may_execute(v, inode)?,
        Obstacle::Depth => n >= FILES && !is_loader,
        Obstacle::Format => !is_loader && *file.format.get()? == Format::Unknown,
        Obstacle::Directory | Obstacle::NotThere => false,
    };
    Ok(stops.then(|| Evidence::Inode(inode.clone())))
}

/// Whether the subject may execute a file or search a directory.
fn may_execute(v: &View<'_>, inode: &Inode) -> Result<bool, Missing> {
    let who = v.credentials()?;
    Ok(permitted_by_mode(inode, who)? || overridden(inode, v.subject(), who)?)
}

fn permitted_by_mode(inode: &Inode, who: &Credentials) -> Result<bool, Missing> {
    let execute = |class: u16| Ok(inode.mode >> class & 1 != 0);
    if inode.uid == who.uids.filesystem {
        return execute(6);
    }
    if inode.acl && inode.mode & 0o070 != 0 {
        return Err(Missing::new(
            FactKey::File(inode.path.clone()),
            "its access control list decides, which was not read",
            alloc::format!("getfacl {}", inode.path),
        ));
    }
    execute(if who.in_group(inode.gid) { 3 } else { 0 })
}

/// Whether a capability lets the subject through all the same. It counts over files whose owner
/// and group the subject's user namespace maps.
fn overridden(inode: &Inode, subject: &Subject, who: &Credentials) -> Result<bool, Missing> {
    let capabilities = subject.capabilities.get()?;
    let directory = inode.kind == FileKind::Directory;
    let helps = (directory || inode.mode & 0o111 != 0) && capabilities.has(CAP_DAC_OVERRIDE)
        || directory && capabilities.has(CAP_DAC_READ_SEARCH);
    Ok(helps && who.ids.get()?.maps(inode.uid, inode.gid))
}
