//! What else is worth knowing of a program or process that asks.

use std::path::Path;

use portwise_model::{CAP_NET_BIND_SERVICE, Program, Subject, UserNs, Verdict};

use super::{
    asker::{AskerReport, GateReport},
    report::Note,
};
use crate::{Setting, observe::AskingProcess};

/// The notes on the asker: what lies behind a missing right, and what a right costs.
pub(super) fn notes(setting: &mut Setting, verdict: &Verdict, asker: &AskerReport) -> Vec<Note> {
    let mut notes = Vec::new();
    let lacks = verdict.obstacles().any(|step| step.rule.id == "linux.bind.reserved-port");
    let process = setting.asking_process().cloned();
    if lacks {
        if let Some(process) = &process {
            notes.extend(misplaced(&process.misplaced));
            notes.extend(process.replaced.then(|| {
                note(
                    "replaced",
                    "the file of its program was deleted or replaced since it started, as an \
                     upgrade does; what the new file has counts from the next start",
                )
            }));
        }
        let running = process.as_ref().and_then(|process| process.program.as_ref());
        let program = setting.subject.programs.last().or(running);
        let foreign = asker.user_namespace == Some(UserNs::Foreign);
        notes.extend(foreign.then(foreign_namespace));
        notes.extend(program.filter(|_| !foreign).and_then(|program| bare(program, asker)));
        notes.extend(program.and_then(preload));
    }
    notes.extend(taken(&setting.subject));
    if !verdict.is_refused() {
        notes.extend(secure_mode(&setting.subject.programs, asker));
        let subject = &setting.subject;
        notes.extend(process.as_ref().and_then(|process| gone_at_next_start(subject, process)));
    }
    notes.extend(setting.subject.programs.last().and_then(launcher));
    if setting.netns.is_some() && lacks {
        notes.push(note(
            "limit-of-namespace",
            "the limit is that of this network namespace: each has its own, and what is set on the \
             host or in another container does not count here",
        ));
    }
    if process.is_some() && !verdict.is_refused() {
        notes.extend(unseen(asker));
    }
    notes
}

/// The gates of which it could not be seen whether another process has them in its way.
fn unseen(asker: &AskerReport) -> Option<Note> {
    let is_open = |gate: &&GateReport| gate.state == "unseen" && !gate.reveal.is_empty();
    let open: Vec<&GateReport> = asker.gates.iter().filter(is_open).collect();
    let what: Vec<&str> = open.iter().map(|gate| gate.what.as_str()).collect();
    let reveal = open.iter().map(|gate| gate.reveal.as_str()).max_by_key(|reveal| reveal.len())?;
    let text =
        format!("not seen, and taken not to refuse: {}; to find out: {reveal}", what.join("; "));
    Some(note("unseen-gates", text))
}

fn note(id: &'static str, text: impl Into<String>) -> Note {
    Note { id, text: text.into(), cites: Vec::new() }
}

/// What capabilities of a user namespace are good for.
fn foreign_namespace() -> Note {
    note(
        "foreign-user-namespace",
        "root of a user namespace is root in network namespaces that it owns only, such as one made \
         with `unshare -rn` or that of a rootless container; this one has another owner",
    )
}

/// A process that has the right by a file that is no longer there.
fn gone_at_next_start(subject: &Subject, process: &AskingProcess) -> Option<Note> {
    let credentials = subject.credentials.value()?;
    let file = process.program.as_ref()?.binary()?;
    let holds = subject.capabilities.value()?.has(CAP_NET_BIND_SERVICE);
    let by_file = holds && !credentials.ambient.has(CAP_NET_BIND_SERVICE) && subject.uid != 0;
    let is_bare = matches!(file.capabilities.value(), Some(None));
    (process.replaced && by_file && is_bare).then(|| {
        let text = format!(
            "{} was deleted or replaced since the process started, and what is there now has no \
             capabilities: if the right came from the file, it is gone at the next start",
            file.path
        );
        note("gone-at-next-start", text)
    })
}

/// Directives that someone wrote among the environment variables.
fn misplaced(names: &[String]) -> Option<Note> {
    let first = names.first()?;
    let text = format!(
        "{} is only an environment variable of the process, and variables grant nothing: in a unit \
         the directive stands on a line of its own below [Service], not within Environment= or an \
         EnvironmentFile=",
        match names.len() {
            1 => first.clone(),
            _ => names.join(", "),
        }
    );
    Some(note("misplaced-directive", text))
}

/// A program whose file gives nothing.
fn bare(program: &Program, asker: &AskerReport) -> Option<Note> {
    let file = program.binary()?;
    if file.capabilities.value() != Some(&None) || file.inode.value().is_none_or(Option::is_none) {
        return None;
    }
    let root = asker.rights.iter().any(|right| right.grant == "root");
    let tried = asker.rights.iter().any(|right| right.grant == "file-capabilities");
    let text = match (root, tried) {
        (true, _) => return None,
        (false, true) => format!("{} itself has no capabilities", file.path),
        (false, false) => format!(
            "{} has no capabilities of its own: a copy, an upgrade and chown lose those it had",
            file.path
        ),
    };
    Some(note("no-file-capabilities", text))
}

/// A program that helpers which preload a library do not reach.
fn preload(program: &Program) -> Option<Note> {
    let file = program.binary()?;
    (program.is_static()?).then(|| {
        let text = format!(
            "{} is statically linked: a helper that preloads a library (LD_PRELOAD), such as \
             authbind, does not reach it",
            file.path
        );
        note("static", text)
    })
}

/// That root of another process is taken to have the privilege it usually has.
fn taken(subject: &Subject) -> Option<Note> {
    let credentials = subject.credentials.value().filter(|_| !subject.programs.is_empty())?;
    let is_root =
        credentials.ids.value().is_some_and(|ids| ids.root == Some(credentials.uids.effective));
    let from = credentials.securebits.source();
    (is_root && from.starts_with("taken"))
        .then(|| note("securebits", format!("its securebits are {from}")))
}

/// What the loader ignores in a program that gains rights.
fn secure_mode(programs: &[Program], asker: &AskerReport) -> Option<Note> {
    let is_secure = |(_, done): &(&Program, &super::ProgramReport)| done.secure == Some(true);
    let (program, _) = programs.iter().zip(&asker.programs).rfind(is_secure)?;
    program.loader.as_ref()?;
    let file = program.binary()?;
    let by = match asker.rights.iter().any(|r| r.grant == "file-capabilities" && r.void.is_none()) {
        true => "the file capabilities make its loader start it",
        false => "its loader starts it",
    };
    let (lost, origin) = (program.elsewhere.join(", "), program.origin.join(":"));
    if lost.is_empty() && origin.is_empty() {
        let text = format!(
            "{by} in secure mode (AT_SECURE), which ignores LD_LIBRARY_PATH and LD_PRELOAD"
        );
        return Some(note("secure-mode", text));
    }
    let mut text = String::new();
    if !lost.is_empty() {
        text += &format!("but {} will most likely not start, for want of {lost}: ", file.path);
    }
    text += &format!("{by} in secure mode (AT_SECURE), which ignores LD_LIBRARY_PATH");
    if !origin.is_empty() {
        text += &format!(" and $ORIGIN in its run path ({origin})");
    }
    text += "; an ambient capability in place of that of the file does without (setpriv, \
        AmbientCapabilities=), and so do libraries whose directory is in /etc/ld.so.conf.d, after \
        ldconfig";
    Some(note("secure-mode", text))
}

/// Programs that are there to start others.
fn launcher(program: &Program) -> Option<Note> {
    const BECOME_OTHERS: [&str; 12] = [
        "sudo",
        "su",
        "runuser",
        "doas",
        "setpriv",
        "capsh",
        "unshare",
        "nsenter",
        "systemd-run",
        "docker",
        "podman",
        "chroot",
    ];
    const STAY: [&str; 10] =
        ["sh", "bash", "dash", "zsh", "ksh", "busybox", "nohup", "setsid", "nice", "timeout"];
    let called = |path: &str, names: &[&str]| {
        let name = Path::new(path).file_name().unwrap_or_default();
        names.iter().any(|known| name == *known)
    };
    let file = program.binary()?;
    let is = |names: &[&str]| called(&program.name, names) || called(&file.path, names);
    if is(&BECOME_OTHERS) {
        let text = format!(
            "this is the answer for {} itself; what it starts is another program, maybe another \
             user: ask for those with --as USER -- PROGRAM",
            program.name
        );
        return Some(note("launcher", text));
    }
    is(&STAY).then(|| {
        let text = format!(
            "this is the answer for {} itself; the file of a program that it starts has \
             capabilities of its own, or none: ask for that with -- PROGRAM",
            file.path
        );
        note("launcher", text)
    })
}
