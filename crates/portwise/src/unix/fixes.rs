//! Changes that allow a call on a Unix socket, each kept only if deciding again says yes.

use std::path::{Path, PathBuf};

use portwise_model::fix::Breadth;
use portwise_sys::path::{FileKind, Inode};

use super::{
    Broken, Call, Name, Seen, Who,
    checks::{self, Check},
    decide::decide,
};
use crate::{
    explain::{FixReport, breadth},
    render::phrase::quoted,
};

/// A call that was stopped.
pub(super) struct Question<'a> {
    pub call: Call,
    pub name: &'a Name,
    pub seen: &'a Seen,
    pub who: &'a Who,
    pub stopped: &'static Check,
    pub over: Option<&'a Inode>,
    pub runner: u32,
    pub user: Option<String>,
}

/// Directories that belong to the system, which no single program gets.
const SYSTEM: [&str; 14] = [
    "/", "/run", "/var", "/var/run", "/var/lib", "/tmp", "/var/tmp", "/etc", "/usr", "/home",
    "/srv", "/opt", "/dev", "/dev/shm",
];

/// The fixes, smallest first.
pub(super) fn of(question: &Question<'_>) -> Vec<FixReport> {
    let all = match question.call {
        Call::Bind => bind(question),
        Call::Connect => connect(question),
    };
    all.into_iter()
        .filter_map(|(fix, name, seen, who)| {
            decide(question.call, &name, &seen, &who).is_allowed().then_some(fix)
        })
        .collect()
}

/// A change in words, and what is so with it.
type Change = (FixReport, Name, Seen, Who);

fn fix(
    id: &str,
    title: String,
    breadth_: Breadth,
    command: Option<String>,
    effects: &str,
) -> FixReport {
    FixReport {
        id: id.into(),
        title,
        breadth: breadth(breadth_),
        detail: None,
        endpoint: None,
        command,
        side_effects: effects.into(),
    }
}

impl Question<'_> {
    fn sudo(&self) -> &'static str {
        if self.runner == 0 { "" } else { "sudo " }
    }

    fn owner(&self) -> String {
        let group = self.who.gid.map(|gid| format!(" -g {gid}")).unwrap_or_default();
        format!("-o {}{group}", self.who.uid)
    }

    fn unchanged(&self, fix: FixReport) -> Change {
        (fix, self.name.clone(), self.seen.clone(), self.who.clone())
    }
}

fn bind(q: &Question<'_>) -> Vec<Change> {
    let Some(path) = q.name.path() else { return of_abstract(q) };
    let mut all = Vec::new();
    let is = |check: &Check| q.stopped.id == check.id;
    if is(&checks::DIRECTORY_FOUND)
        && let Some(Broken::Missing(at)) = &q.seen.broken
    {
        all.push(make_directory(q, path, at));
    }
    if is(&checks::DIRECTORY_WRITABLE)
        && let Some(directory) = q.over
    {
        all.push(own_directory(q, path, directory));
        if !SYSTEM.iter().any(|system| directory.path == Path::new(system)) {
            all.push(give_directory(q, directory));
        }
    }
    if is(&checks::DIRECTORY_SEARCHED)
        && let Some(directory) = q.over
    {
        all.push(open_directory(q, directory));
    }
    if is(&checks::FREE)
        && let Some(file) = &q.seen.file
    {
        let unused = q.seen.sockets.is_empty() && q.seen.unseen.is_empty();
        if file.is_socket() && unused {
            all.push(remove(q, &file.inode));
        }
        all.push(another_path(q, path));
        if let Some(stop) = stop_holder(q) {
            all.push(stop);
        }
    }
    if is(&checks::WRITABLE_FILE_SYSTEM) {
        let title = "a path on a file system that may be written to, such as below /run".into();
        let fix = fix("linux.unix.other-file-system", title, Breadth::Request, None, "");
        let mut change = q.unchanged(fix);
        change.2.read_only = false;
        all.push(change);
    }
    if is(&checks::LENGTH) {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        let directory = path.parent().unwrap_or(Path::new("/")).display().to_string();
        let title = format!(
            "a shorter path, or the bare name from within its directory: cd {} and bind {}",
            quoted(&directory),
            name.display()
        );
        let fix = fix("linux.unix.shorter", title, Breadth::Request, None, "");
        let mut change = q.unchanged(fix);
        change.1 = Name::Path(name);
        all.push(change);
    }
    all
}

/// The directory that is missing, made for this user.
fn make_directory(q: &Question<'_>, path: &Path, missing: &Path) -> Change {
    let directory = path.parent().unwrap_or(Path::new("."));
    let shown = quoted(&directory.to_string_lossy());
    let below_run = ["/run", "/var/run", "/tmp"].iter().any(|top| directory.starts_with(top));
    let effects = match below_run {
        true => "lost at reboot; in a unit of systemd RuntimeDirectory= makes it at each start",
        false => "",
    };
    let command = format!("{}install -d {} -m 755 {shown}", q.sudo(), q.owner());
    let title = "make the directory, for this user".into();
    let fix = fix("linux.unix.make-directory", title, Breadth::Process, Some(command), effects);
    let mut change = q.unchanged(fix);
    change.2.broken = None;
    change.2.directories.push(owned(q, missing));
    change
}

/// A directory of the user's own beside the socket that was asked for.
fn own_directory(q: &Question<'_>, path: &Path, directory: &Inode) -> Change {
    let file = path.file_name().unwrap_or_default();
    let stem = path.file_stem().unwrap_or(file).to_string_lossy().into_owned();
    let stem = if stem.as_str() == file.to_string_lossy() { format!("{stem}.d") } else { stem };
    let own = directory.path.join(&stem);
    let name = own.join(file);
    let shown = quoted(&own.to_string_lossy());
    let command = format!("{}install -d {} -m 755 {shown}", q.sudo(), q.owner());
    let effects = match directory.path.starts_with("/run") || directory.path.starts_with("/var/run")
    {
        true => "lost at reboot; in a unit of systemd RuntimeDirectory= makes it at each start",
        false => "",
    };
    let title = format!("a directory that this user may write to: bind {}", name.display());
    let mut fix = fix("linux.unix.own-directory", title, Breadth::Process, Some(command), effects);
    fix.endpoint = Some(format!("unix:{}", name.display()));
    let mut change = q.unchanged(fix);
    change.1 = Name::Path(name);
    change.2.directories.push(owned(q, &own));
    change
}

/// The directory itself, given to the user.
fn give_directory(q: &Question<'_>, directory: &Inode) -> Change {
    let shown = quoted(&directory.path.to_string_lossy());
    let command = format!("{}chown {} {shown}", q.sudo(), q.who.uid);
    let effects = "the user may then remove and replace every file in it; its owner until now may \
                   have needed it";
    let title = "give the directory to this user".to_string();
    let fix = fix("linux.unix.give-directory", title, Breadth::Program, Some(command), effects);
    let mut change = q.unchanged(fix);
    if let Some(last) = change.2.directories.last_mut() {
        last.uid = q.who.uid;
    }
    change
}

/// A directory on the way, opened for everybody.
fn open_directory(q: &Question<'_>, directory: &Inode) -> Change {
    let shown = quoted(&directory.path.to_string_lossy());
    let command = format!("{}chmod a+x {shown}", q.sudo());
    let effects = "every user may then pass through it to files whose names they know";
    let title = "let users pass through the directory".to_string();
    let fix = fix("linux.unix.open-directory", title, Breadth::Host, Some(command), effects);
    let mut change = q.unchanged(fix);
    for known in change.2.directories.iter_mut().filter(|known| known.path == directory.path) {
        known.mode |= 0o111;
    }
    change
}

fn owned(q: &Question<'_>, path: &Path) -> Inode {
    Inode {
        path: path.into(),
        kind: FileKind::Directory,
        mode: 0o755,
        uid: q.who.uid,
        gid: q.who.gid.unwrap_or(0),
        acl: false,
    }
}

/// A socket file that nobody has any more, removed.
fn remove(q: &Question<'_>, file: &Inode) -> Change {
    let sudo = if file.uid == q.runner { "" } else { q.sudo() };
    let command = format!("{sudo}rm {}", quoted(&file.path.to_string_lossy()));
    let title = "remove the file that was left behind".to_string();
    let fix = fix("linux.unix.remove-stale", title, Breadth::Request, Some(command), "");
    let mut change = q.unchanged(fix);
    change.2.file = None;
    change
}

fn another_path(q: &Question<'_>, path: &Path) -> Change {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy()));
    let other = path.with_file_name(format!("{stem}-2{}", extension.unwrap_or_default()));
    let title = format!("another path, such as {}", other.display());
    let mut fix = fix("linux.unix.another-path", title, Breadth::Request, None, "");
    fix.endpoint = Some(format!("unix:{}", other.display()));
    let mut change = q.unchanged(fix);
    (change.1, change.2.file) = (Name::Path(other), None);
    change
}

/// The one program that has it, stopped, and the file removed that it may leave behind.
fn stop_holder(q: &Question<'_>) -> Option<Change> {
    let [socket] = q.seen.sockets.as_slice() else { return None };
    let [holder] = socket.holders.as_slice() else { return None };
    let sudo = if holder.uid == q.runner { "" } else { q.sudo() };
    let mut command = (holder.pid != 1).then(|| format!("{sudo}kill {}", holder.pid))?;
    let mut title = "stop the program that has it".to_string();
    if let Some(file) = &q.seen.file {
        let path = quoted(&file.inode.path.to_string_lossy());
        command += &format!("; {sudo}rm -f {path}");
        title += ", and remove the file that it may leave behind";
    }
    let effects = "its clients lose it";
    let fix = fix("linux.unix.stop-holder", title, Breadth::Holder, Some(command), effects);
    let mut change = q.unchanged(fix);
    change.2.file = None;
    change.2.sockets.clear();
    Some(change)
}

fn of_abstract(q: &Question<'_>) -> Vec<Change> {
    let mut all = Vec::new();
    if let Name::Abstract(name) = q.name {
        let other = [name, &b"-2"[..]].concat();
        let title = format!("another name, such as @{}", String::from_utf8_lossy(&other));
        let fix = fix("linux.unix.another-path", title, Breadth::Request, None, "");
        let mut change = q.unchanged(fix);
        change.1 = Name::Abstract(other);
        change.2.sockets.clear();
        all.push(change);
    }
    all.extend(stop_holder(q));
    all
}

fn connect(q: &Question<'_>) -> Vec<Change> {
    let is = |check: &Check| q.stopped.id == check.id;
    if is(&checks::DIRECTORY_SEARCHED)
        && let Some(directory) = q.over
    {
        return vec![open_directory(q, directory)];
    }
    if is(&checks::FILE_WRITABLE)
        && let Some(file) = q.over
        && file.mode & 0o020 != 0
        && file.gid != 0
    {
        return vec![join_group(q, file)];
    }
    Vec::new()
}

/// The user, made a member of the group that may write to the socket.
fn join_group(q: &Question<'_>, file: &Inode) -> Change {
    let groups = crate::observe::user::here().groups;
    let group = groups.iter().find(|(_, gid)| *gid == file.gid).map(|(name, _)| name.clone());
    let command = match (&group, &q.user) {
        (Some(group), Some(user)) => {
            Some(format!("{}usermod -aG {} {}", q.sudo(), quoted(group), quoted(user)))
        }
        _ => None,
    };
    let title = format!(
        "make the user a member of group {}",
        group.clone().unwrap_or(file.gid.to_string())
    );
    let effects = match group.as_deref() {
        Some("docker") => {
            "counts from the next login on; whoever may talk to Docker is as good as root"
        }
        _ => "counts from the next login on; a member may do whatever the server allows",
    };
    let fix = fix("linux.unix.join-group", title, Breadth::Program, command, effects);
    let mut change = q.unchanged(fix);
    change.3.groups.push(file.gid);
    change
}
