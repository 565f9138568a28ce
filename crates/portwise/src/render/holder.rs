//! Words for those who hold sockets, and for sockets that nobody is named for.

use portwise_model::State;

use super::phrase::{asked, quoted, user};
use crate::explain::{
    Elsewhere, HeldSocket, NoHolder, Report,
    owner::{About, Owner, age, program},
};

/// A process that holds a socket, and in further lines what is odd about it.
pub fn lines(owner: &Owner) -> Vec<String> {
    let who = user(owner.user.as_deref(), owner.uid);
    let Some(about) = &owner.about else {
        return vec![format!("held by pid {} ({}), {who}", owner.pid, owner.command)];
    };
    let name = program(&owner.command, &about.arguments);
    let since = age(about.age_seconds);
    let mut lines = vec![format!("held by pid {} ({name}), {who}, started {since} ago", owner.pid)];
    if owner.in_flight {
        lines[0] = format!(
            "on its way to pid {} ({name}), {who}: it was sent over a Unix socket that this \
             process has open, and nobody has received it yet",
            owner.pid
        );
    }
    let odd = [condition(owner.pid, about), descent(owner, about), gone(about), home(about)];
    lines.extend(odd.into_iter().flatten());
    if lines.len() == 1 {
        lines.extend(started_as(about));
    }
    lines
}

/// A process in a few words: `pid 7 (python3 app.py)`.
pub fn short(owner: &Owner) -> String {
    let arguments = owner.about.as_ref().map_or(&[][..], |about| &about.arguments);
    let name = program(&owner.command, arguments);
    let run = owner.about.as_ref().map(|about| about.run).filter(|run| *run != "running");
    let run = run.map(|run| format!(", {run}")).unwrap_or_default();
    format!("pid {} ({name}){run}", owner.pid)
}

/// Whether it runs.
fn condition(pid: u32, about: &About) -> Option<String> {
    match about.run {
        "stopped" => {
            let terminal = about.terminal.as_deref();
            let terminal = terminal.map(|name| format!(" on {name}")).unwrap_or_default();
            Some(format!(
                "stopped by Ctrl-Z or SIGSTOP{terminal}: clients wait, nobody answers; `kill -CONT \
                 {pid}` lets it go on"
            ))
        }
        "traced" => Some("stopped in a debugger: clients wait, nobody answers".into()),
        "frozen" => Some("its cgroup is frozen: clients wait, nobody answers".into()),
        "zombie" => Some("its first thread has ended (zombie), others of it go on".into()),
        _ => None,
    }
}

/// Where it comes from.
fn descent(owner: &Owner, about: &About) -> Option<String> {
    if owner.inherited {
        return Some(
            "inherited the socket from a server that has ended: this program never listens by \
             itself (the descriptor is not close-on-exec)"
                .into(),
        );
    }
    match &about.parent {
        _ if about.parent_gone => {
            Some("its parent is gone: it has outlived what started it".into())
        }
        // A first process that is no systemd may have started it itself.
        Some(parent) if parent.pid == 1 && about.unit.is_none() && about.container.is_none() => {
            Some(format!(
                "its parent is pid 1 ({}): what started it has most likely ended",
                parent.command
            ))
        }
        Some(parent) if parent.zombie => Some(format!(
            "its parent, pid {} ({}), has ended and is a zombie",
            parent.pid, parent.command
        )),
        _ => None,
    }
}

/// What it runs that is no longer there.
fn gone(about: &About) -> Option<String> {
    let deleted = |path: &Option<crate::explain::owner::PathReport>| {
        path.as_ref().filter(|path| path.deleted).map(|path| path.path.clone())
    };
    match (deleted(&about.exe), deleted(&about.cwd)) {
        (Some(exe), _) => Some(format!(
            "its program {exe} was deleted or replaced: it runs what was there before"
        )),
        (None, Some(cwd)) => Some(format!("its directory {cwd} was deleted")),
        _ => None,
    }
}

/// What it belongs to: a container, a unit, or the command it was started with.
fn home(about: &About) -> Option<String> {
    if let Some(forward) = &about.forward {
        let to = forward.to.as_deref().unwrap_or("a container");
        return Some(format!("{} passes connections on to {to}", forward.by));
    }
    let mut words = Vec::new();
    if let Some(container) = &about.container {
        let id: String = container.id.chars().take(12).collect();
        let pod = container.pod.as_deref().map(|pod| format!(" of pod {pod}"));
        let pod = pod.unwrap_or_default();
        words.push(match container.engine {
            "container" => format!("in the container {id}{pod}"),
            engine => format!("in the {engine} container {id}{pod}"),
        });
    } else if let Some(unit) = &about.unit {
        let socket = about.socket_unit.as_deref();
        let socket = socket.map(|socket| format!(", started by {socket}")).unwrap_or_default();
        words.push(format!("in {unit}{socket}"));
    }
    if let Some(supervisor) = &about.supervisor {
        let setting = supervisor.setting.as_deref().map(|s| format!(" ({s})"));
        let setting = setting.unwrap_or_default();
        words.push(format!("{} starts it again{setting}", supervisor.name));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// The command it was started with, in one line.
fn started_as(about: &About) -> Option<String> {
    const LONGEST: usize = 68;
    if about.arguments.len() < 2 {
        return None;
    }
    let cwd = about.cwd.as_ref().filter(|cwd| !cwd.deleted && cwd.path != "/");
    let cwd = cwd.map(|cwd| format!(" in {}", cwd.path)).unwrap_or_default();
    let command = about.arguments.join(" ");
    let line = format!("`{command}`{cwd}");
    if line.chars().count() <= LONGEST {
        return Some(line);
    }
    let room = LONGEST.saturating_sub(cwd.chars().count() + 3).max(20);
    let short: String = command.chars().take(room).collect();
    Some(if short == command { format!("`{command}`") } else { format!("`{short}…`{cwd}") })
}

/// Why no holder is named, with what the kernel says of the owner.
pub fn no_holder(report: &Report, held: &HeldSocket, reason: NoHolder) -> String {
    let socket = &held.socket;
    let owner = match socket.uid {
        Some(uid) if reason != NoHolder::KernelUse => {
            format!("it belongs to {}; ", user(socket.user.as_deref(), uid))
        }
        _ => String::new(),
    };
    let left = held.remaining_seconds.map(|s| format!(" for {s} seconds more"));
    let left = left.unwrap_or_default();
    let rest = match reason {
        NoHolder::Kernel if socket.state == State::TimeWait => {
            format!("nobody holds it any more, the kernel keeps the port{left}")
        }
        NoHolder::Kernel => {
            let within = held.remaining_seconds.map(|s| format!(" within {s} seconds"));
            let within = within.unwrap_or_default();
            format!("no program has it open any more: the kernel ends the connection{within}")
        }
        NoHolder::NotAccepted => {
            "no program has it open: its listener has not accepted it yet".into()
        }
        NoHolder::KernelUse => match held.kernel_use {
            Some("kernel") | None => "it is the kernel's own: no process holds it".into(),
            Some(part) => format!("it is the kernel's own ({part}): no process holds it"),
        },
        NoHolder::NotRoot => format!(
            "I cannot see the holder: not root; `sudo {} why {}` shows it",
            quoted(&report.program),
            quoted(&asked(report))
        ),
        NoHolder::NotAllowed if report.unseen_processes == 0 => "I cannot see the holder: it is a \
            process outside of this pid namespace, in another container or on the host; ask there"
            .into(),
        NoHolder::NotAllowed => format!(
            "I cannot see the holder: {} may not be looked into",
            match report.unseen_processes {
                1 => "1 process".to_string(),
                n => format!("{n} processes"),
            }
        ),
        NoHolder::NotFound => "no process I can see has it open: one of another pid namespace \
            does, or the kernel, or it is on its way between processes"
            .into(),
        NoHolder::NotGiven => "who holds it is not among the facts given".into(),
    };
    format!("{owner}{rest}")
}

/// A socket of another network namespace.
pub fn elsewhere(there: &Elsewhere) -> String {
    let state = match there.state {
        "LISTEN" => "listening",
        "BOUND" if there.protocol == "tcp" => "bound, not listening",
        _ => "bound",
    };
    let held = there.holders.first().map(|owner| {
        let arguments = owner.about.as_ref().map_or(&[][..], |about| &about.arguments);
        let more = match there.holders.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        format!(", held by pid {} ({}){more}", owner.pid, program(&owner.command, arguments))
    });
    format!(
        "{}/{} {state} in another network namespace (--netns {}){}",
        there.local,
        there.protocol,
        quoted(&there.argument),
        held.unwrap_or_default()
    )
}
