//! The start of a program that is watched.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
};

use portwise_sys::{Errno, caps, filecap, proc::Proc, process, ptrace, seccomp::Filter, signal};

use super::Plan;
use crate::{
    Trouble,
    act::launch::{NotStarted, Prepared},
};

/// A program that was started.
pub(super) struct Started {
    pub(super) pid: u32,
    pub(super) gains_nothing: bool,
    tells: io::PipeReader,
}

impl Started {
    /// Why it was not executed, if it was not.
    pub(super) fn failed(&self) -> Option<Errno> {
        let mut errno = [0; 4];
        (&self.tells).read_exact(&mut errno).ok()?;
        Some(Errno(i32::from_ne_bytes(errno)))
    }
}

/// Starts the program, attached from before it is executed.
pub(super) fn start(plan: &Plan, note: &mut dyn FnMut(String)) -> Result<Started, NotStarted> {
    let prepared = Prepared::of(&plan.command, plan.user.as_ref())?;
    let own = caps::get(0).map_err(|errno| Trouble::new(format!("capget: {errno}")))?;
    let gains_nothing = own.effective & caps::bit(caps::SYS_ADMIN) == 0;
    if gains_nothing && let Some(rights) = rights(&prepared.path) {
        let path = prepared.path.display();
        note(format!(
            "{path} has {rights}, which count for nothing here: a plain user's trace starts \
             programs without rights of their own; root's does not: sudo portwise trace --user …"
        ));
    }
    let failed = |e: io::Error| Trouble::new(format!("cannot start the program: {e}"));
    let (waits, go) = io::pipe().map_err(failed)?;
    let (tells, told) = io::pipe().map_err(failed)?;
    let filter = Filter::for_tracer();
    let go = Cell::new(Some(go));
    let child = process::fork(|| {
        // Else this process would wait for itself should the other one end.
        drop(go.take());
        let mut byte = [0];
        if !matches!((&waits).read(&mut byte), Ok(1)) {
            return 1;
        }
        let begun = begin(&prepared, &filter, gains_nothing);
        let errno = match begun {
            Ok(()) => prepared.program.exec(),
            Err(errno) => errno,
        };
        let _ = (&told).write_all(&errno.0.to_ne_bytes());
        1
    });
    let pid = child.map_err(|errno| Trouble::new(format!("fork: {errno}")))?;
    drop((waits, told));
    if let Err(errno) = ptrace::seize(pid) {
        return Err(Trouble::new(not_attached(errno)).into());
    }
    signal::pass_on_to(pid).map_err(|errno| Trouble::new(format!("sigaction: {errno}")))?;
    if let Some(mut go) = go.take() {
        go.write_all(&[1]).map_err(failed)?;
    }
    Ok(Started { pid, gains_nothing, tells })
}

/// In the child. Allocates nothing.
fn begin(prepared: &Prepared, filter: &Filter, gains_nothing: bool) -> Result<(), Errno> {
    if gains_nothing {
        caps::set_no_new_privs()?;
    }
    filter.install()?;
    prepared.credentials.take()
}

fn not_attached(errno: Errno) -> String {
    let proc = Proc::default();
    let tracer = proc.thread_status().map_or(0, |status| status.tracer);
    if tracer != 0 {
        return format!(
            "cannot trace here: pid {tracer} traces this process already, and a program has one \
             tracer only"
        );
    }
    match proc.sysctl("kernel.yama.ptrace_scope").as_deref() {
        Ok("2") => "cannot trace: kernel.yama.ptrace_scope is 2, so only root may; start it with \
                    sudo"
            .into(),
        Ok("3") => {
            "cannot trace: kernel.yama.ptrace_scope is 3, so nobody may until the next boot".into()
        }
        _ => format!("cannot trace: {} ({errno}); a container or module forbids it", errno.text()),
    }
}

/// What a program file gives whoever executes it.
fn rights(path: &std::path::Path) -> Option<String> {
    if let Ok(Some(caps)) = filecap::read(path) {
        let names: Vec<String> = (0..64)
            .filter(|n| caps.permitted & caps::bit(*n) != 0)
            .map(|n| caps::name(n).map_or_else(|| n.to_string(), |name| format!("cap_{name}")))
            .collect();
        return Some(format!("file capabilities ({})", names.join(",")));
    }
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    match (mode & 0o4000 != 0, mode & 0o2010 == 0o2010) {
        (true, _) => Some("a set-user-ID bit".into()),
        (_, true) => Some("a set-group-ID bit".into()),
        _ => None,
    }
}

/// What the program that a process just executed would have got.
pub(super) fn lost_rights(pid: u32) -> Option<String> {
    let path = Proc::default().exe(pid).ok()?.path;
    let rights = rights(&path)?;
    let path = path.display();
    Some(format!(
        "{path} (pid {pid}) has {rights}, which count for nothing here; root's trace leaves them"
    ))
}
