//! Who asks, as text.

use portwise_model::UserNs;

use super::{page::Page, phrase};
use crate::explain::{
    Answer, AskerReport, EvidenceReport, ProcessReport, ProgramReport, Report, RightReport,
};

/// What gives the asker the right that is asked for, or would, where it comes to that.
pub(super) fn rights(page: &mut Page, report: &Report) {
    let about_rights = |seen: &EvidenceReport| matches!(seen, EvidenceReport::Capability { .. });
    let asked = report.trace.iter().any(|step| {
        step.rule == "linux.bind.reserved-port" && step.evidence.iter().any(about_rights)
    });
    let says = |right: &&RightReport| match right.void {
        Some(_) => right.about_low_ports,
        None => right.about_low_ports && right.grant != "root",
    };
    let refused = report.decision.answer == Answer::No;
    for right in report.asker.rights.iter().filter(|_| asked).filter(says) {
        page.label("right");
        match (right.void, refused) {
            // It gave it, and something later took it.
            (None, true) => page.text(&format!("{}, which does not help here", right.text)),
            _ => page.text(&right.text),
        }
    }
}

/// What one would not think of about a program or process, in a line each.
pub(super) fn line(page: &mut Page, report: &Report) {
    let AskerReport { process, programs, becomes, credentials, .. } = &report.asker;
    page.label("who");
    for program in programs {
        if let Some(text) = is(program) {
            page.text(&text);
        }
    }
    let no_new_privs = credentials.as_ref().is_some_and(|c| c.no_new_privs);
    if let Some(process) = process {
        page.text(&in_short(process, no_new_privs));
    } else if no_new_privs {
        page.text("no_new_privs is set for this shell or what started it");
    }
    if let Some(uid) = becomes {
        page.text(&format!("{} then runs as uid {uid}", phrase::subject(&report.subject)));
    }
}

fn is(program: &ProgramReport) -> Option<String> {
    let ProgramReport { name, files, .. } = program;
    match files.as_slice() {
        [] => None,
        [file] => (file != name).then(|| format!("{name} is {file}")),
        [script, interpreters @ ..] => {
            let is = if script == name { String::new() } else { format!("{script}, ") };
            Some(format!("{name} is {is}a script that {} runs", interpreters.join(", by ")))
        }
    }
}

fn in_short(process: &ProcessReport, no_new_privs: bool) -> String {
    let mut words = Vec::new();
    if no_new_privs {
        words.push("no_new_privs is set".to_string());
    }
    if let Some(unit) = &process.unit {
        words.push(format!("it belongs to {unit}"));
    }
    let own = process.namespaces.join(", ");
    let notable = process.namespaces.iter().any(|kind| kind != "mnt" && kind != "cgroup");
    match (&process.container, process.container_shaped) {
        (Some(container), _) => words.push(format!("it is in a container ({container})")),
        (None, true) => {
            words.push(format!("it is in namespaces of its own, as a container: {own}"))
        }
        (None, false) if notable => words.push(format!("in namespaces other than mine: {own}")),
        (None, false) => {}
    }
    let program = process.program.as_deref().unwrap_or("a program I may not see");
    let rest = if words.is_empty() { String::new() } else { format!("; {}", words.join("; ")) };
    format!("pid {} ({}) runs {program}{rest}", process.pid, process.command)
}

/// Everything that is known of the asker.
pub(super) fn in_full(page: &mut Page, report: &Report) {
    let AskerReport { programs, capabilities, user_namespace, credentials, rights, gates, .. } =
        &report.asker;
    page.label("asker");
    if let Some(held) = capabilities {
        page.text(&format!("capabilities at the call: {held}"));
    }
    if let Some(relation) = user_namespace {
        page.text(match relation {
            UserNs::Owner => "its user namespace owns this network namespace",
            other => phrase::user_namespace(*other),
        });
    }
    if let Some(credentials) = credentials {
        page.text(&format!("uid {}, gid {}", credentials.uid, credentials.gid));
        for (name, set) in [
            ("permitted", &credentials.permitted),
            ("inheritable", &credentials.inheritable),
            ("ambient", &credentials.ambient),
            ("bounding set", &credentials.bounding),
        ] {
            page.text(&format!("{name}: {set}"));
        }
        let set = if credentials.no_new_privs { "set" } else { "not set" };
        page.text(&format!("no_new_privs: {set}"));
    }
    for program in programs {
        let linked = match program.is_static {
            Some(true) => ", static",
            Some(false) => ", dynamic",
            None => "",
        };
        let held = program.capabilities.as_deref().unwrap_or("not known");
        let files = program.files.join(", by ");
        page.text(&format!("{} runs {files}{linked}, file capabilities: {held}", program.name));
    }
    for right in rights {
        page.text(&right.text);
    }
    for gate in gates {
        let reveal = match gate.reveal.as_str() {
            "" => String::new(),
            reveal => format!("; to find out: {reveal}"),
        };
        page.text(&format!("{}, {}: {}{reveal}", gate.gate, gate.state, gate.what));
    }
    page.blank();
}
