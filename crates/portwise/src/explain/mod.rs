//! From a verdict to a report: what was looked at, who is in the way, what is covered, what else
//! is worth knowing, and what would help. Nothing here prints.

use portwise_model::{Case, Fact, FactKey, KernelFamily, Request, Socket, Verdict};

use crate::{Setting, endpoint::Target};

mod around;
mod asker;
mod clients;
mod covers;
mod evidence;
mod fixes;
mod got;
mod holders;
pub mod listed;
pub mod names;
mod notes;
pub mod owner;
pub mod port;
mod relation;
mod report;
mod started;
mod stop;
mod trace;

pub use asker::{
    AskerReport, CredentialsReport, GateReport, ProcessReport, ProgramReport, RightReport,
};
pub(crate) use got::against;
pub use got::{Could, Gate, Got, Heard, Holds, JudgedHint, Now, UnreadGate};
pub(crate) use notes::listen_stopped;
pub use report::*;
pub use trace::*;

/// Describes a socket with the names of its device and owner.
pub fn describe(setting: &mut Setting, socket: &Socket) -> SocketReport {
    evidence::socket(setting, socket)
}

/// Ranges of ports, as the kernel writes them.
pub fn ranges(list: &[(u16, u16)]) -> Vec<String> {
    let range = |&(low, high): &(u16, u16)| {
        if low == high { low.to_string() } else { format!("{low}-{high}") }
    };
    list.iter().map(range).collect()
}

/// What the socket of a `bind` covers once it is bound.
#[cfg(target_os = "linux")]
pub(crate) fn covers(setting: &mut Setting, request: &Request) -> Covers {
    if matches!(setting.host.interfaces, Fact::Missing(_)) {
        let _ = setting.observe(&FactKey::Interfaces);
    }
    covers::of(setting, request)
}

/// The answer to one target, with everything `why` says about it.
pub fn report(
    setting: &mut Setting,
    asked: &str,
    target: &Target,
    request: &Request,
    verdict: &Verdict,
) -> Report {
    let decision = Decision::new(verdict, |missing| setting.reason(missing));
    look_around(setting, target);
    let case = setting.case(request);
    let held = holders::on_port(setting, &case, verdict, target);
    let covers = (decision.answer != Answer::No).then(|| covers::of(setting, request));
    let asker = match case.host.kernel.family {
        KernelFamily::Linux => asker::of(setting),
        _ => AskerReport::default(),
    };
    let mut notes = around::notes(setting, request);
    notes.extend(started::notes(setting, verdict, &asker));
    notes.extend(notes::of(setting, &case, verdict, target, &held.sockets));
    if verdict.is_allowed() {
        notes.extend(clients::of(&case, target));
    }
    let fixes = match decision.answer {
        Answer::Yes => Vec::new(),
        _ => fixes::of(setting, &case, verdict, target, &held.sockets),
    };
    Report {
        asked: asked.into(),
        about_port: target.about_port,
        program: setting.program.clone(),
        endpoint: target.shown.clone(),
        protocol: target.protocol,
        family: request.socket.family,
        ip: target.ip,
        port: target.port,
        socket: evidence::socket(setting, &request.socket),
        subject: subject(setting),
        asker,
        trace: evidence::trace(setting, verdict),
        decision,
        covers,
        audience: None,
        sockets: held.sockets,
        elsewhere: held.elsewhere,
        netns: setting.elsewhere.clone(),
        sockets_hidden: held.hidden,
        unseen_processes: held.unseen,
        notes,
        fixes,
        got: None,
    }
}

/// Observes what `why` tells beyond the verdict: the sockets of the port and the interfaces.
fn look_around(setting: &mut Setting, target: &Target) {
    if target.port != 0 && setting.host.sockets.on(target.port).is_err() {
        let _ = setting.observe(&FactKey::Sockets(target.port));
    }
    if matches!(setting.host.interfaces, Fact::Missing(_)) {
        let _ = setting.observe(&FactKey::Interfaces);
    }
}

/// The user who asks, and in whose place.
pub(crate) fn subject(setting: &mut Setting) -> SubjectReport {
    let uid = setting.subject.uid;
    let user = setting.subject.user.as_ref().map(ToString::to_string);
    let user = user.or_else(|| setting.user(uid));
    let process = setting.process.clone();
    let process = process.map(|(pid, command)| AskingReport { pid, command });
    let program = setting.subject.programs.first().map(|program| program.name.to_string());
    SubjectReport { uid, user, gid: setting.gid, is_self: setting.is_self, process, program }
}

/// The same question asked with every capability, or as root: what stands behind a missing right.
fn with_every_right(case: &Case) -> Case {
    let mut changed = case.clone();
    changed.subject = portwise_model::Subject::plain(0, "changed");
    // Sharing a port is a matter of the user who made the socket, which stays the same.
    changed.subject.uid = match case.host.kernel.family {
        KernelFamily::Linux => case.subject.uid,
        _ => 0,
    };
    changed
}
