//! The answer about a Unix socket, with everything that a rendering says.

use portwise_model::{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
use portwise_sys::path::Inode;
use serde::Serialize;

use super::{
    Call, Name, Seen, Who, checks,
    decide::{Finding, decide},
    fixes, look,
};
use crate::{
    Answer, Setting,
    explain::{self, CiteReport, FixReport, SubjectReport, cites},
    observe::Process,
    render::phrase,
};

/// The answer about a Unix socket.
#[derive(Clone, Debug, Serialize)]
pub struct UnixReport {
    /// The name, as `unix:PATH` or `unix:@NAME`.
    pub name: String,
    /// What is to be done with it.
    pub call: Call,
    /// Who asks.
    pub subject: SubjectReport,
    /// The answer.
    pub answer: Answer,
    /// The errno, if a check stops the call.
    pub errno: Option<&'static str>,
    /// Its text.
    pub text: Option<String>,
    /// The check that stops the call.
    pub check: Option<CheckReport>,
    /// What it was seen by, a line each.
    pub evidence: Vec<String>,
    /// What is not known and decides.
    pub missing: Option<UnseenReport>,
    /// The sockets that have the name.
    pub sockets: Vec<UnixSocketReport>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// Changes that allow the call.
    pub fixes: Vec<FixReport>,
}

/// A check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Its id.
    pub id: &'static str,
    /// The requirement.
    pub title: &'static str,
    /// What is so if it stops the call.
    pub fault: &'static str,
    /// Where it can be read.
    pub cites: Vec<CiteReport>,
}

/// What is not known.
#[derive(Clone, Debug, Serialize)]
pub struct UnseenReport {
    /// Why.
    pub why: String,
    /// What would reveal it; empty if nothing does.
    pub reveal: String,
}

/// A socket that has the name.
#[derive(Clone, Debug, Serialize)]
pub struct UnixSocketReport {
    /// Its number.
    pub inode: u64,
    /// `stream`, `datagram` or `packets`.
    pub kind: &'static str,
    /// Whether it listens.
    pub listens: bool,
    /// The network namespace it is in, if that is another one.
    pub elsewhere: Option<String>,
    /// The processes that were seen to have it open.
    pub holders: Vec<Process>,
}

/// Answers.
pub fn why(setting: &mut Setting, name: &Name, call: Call) -> UnixReport {
    let who = who(setting);
    let pid = setting.process.as_ref().map(|(pid, _)| *pid);
    let seen = match look::place(pid) {
        Some(place) => look::at(name, call, &place),
        None => Seen::default(),
    };
    let finding = decide(call, name, &seen, &who);
    let mut report = UnixReport {
        name: name.to_string(),
        call,
        subject: explain::subject(setting),
        answer: Answer::Yes,
        errno: None,
        text: None,
        check: None,
        evidence: Vec::new(),
        missing: None,
        sockets: Vec::new(),
        notes: Vec::new(),
        fixes: Vec::new(),
    };
    match &finding {
        Finding::Allowed => {}
        Finding::Stopped(check, over) => {
            report.answer = Answer::No;
            (report.errno, report.text) = (check.errno.name(), Some(check.errno.text()));
            let checks::Check { id, title, fault, .. } = *check;
            report.check = Some(CheckReport { id, title, fault, cites: cites(check.cites) });
            report.evidence = evidence(setting, name, &seen, over.as_ref());
            report.fixes = fixes::of(&fixes::Question {
                call,
                name,
                seen: &seen,
                who: &who,
                stopped: check,
                over: over.as_ref(),
                runner: setting.runner.unwrap_or(0),
                user: report.subject.user.clone(),
            });
        }
        Finding::Open { why, reveal } => {
            report.answer = Answer::Unknown;
            report.missing = Some(UnseenReport { why: why.clone(), reveal: reveal.clone() });
        }
    }
    report.notes = notes(name, call, &finding, &seen);
    report.sockets = seen.sockets.iter().map(socket).collect();
    report
}

/// The asker, as far as permissions go.
fn who(setting: &mut Setting) -> Who {
    setting.look_at_credentials();
    let asker = setting.asker();
    let credentials = asker.credentials.value();
    let has = |capability| asker.capabilities.value().is_some_and(|all| all.has(capability));
    Who {
        uid: asker.uid,
        gid: credentials.map(|c| c.gids.filesystem).or(setting.gid),
        groups: credentials.map(|c| c.groups.clone()).unwrap_or_default(),
        overrides: has(CAP_DAC_OVERRIDE),
        searches: has(CAP_DAC_READ_SEARCH),
        ids: credentials.and_then(|c| c.ids.value().cloned()),
    }
}

fn evidence(setting: &mut Setting, name: &Name, seen: &Seen, over: Option<&Inode>) -> Vec<String> {
    let mut lines = Vec::new();
    match &seen.broken {
        Some(super::Broken::Missing(at)) => lines.push(format!("there is no {}", at.display())),
        Some(super::Broken::NoDirectory(at)) => {
            lines.push(format!("{} is no directory", at.display()));
        }
        Some(super::Broken::Loop(at)) => lines.push(format!("at {}", at.display())),
        _ => {}
    }
    if let Some(inode) = over {
        lines.push(permissions(setting, inode));
    }
    if let (Some(file), Some(_)) = (&seen.file, over)
        && !file.is_socket()
    {
        lines.push(format!("it is a {}", file.kind));
    }
    if let Some(path) = name.path()
        && path.as_os_str().len() >= super::LONGEST
    {
        lines.push(format!("it has {} bytes", path.as_os_str().len()));
    }
    lines
}

/// A file as `ls -l` shows it.
fn permissions(setting: &mut Setting, inode: &Inode) -> String {
    use portwise_sys::path::FileKind;
    let kind = match inode.kind {
        FileKind::Directory => portwise_model::FileKind::Directory,
        FileKind::Regular => portwise_model::FileKind::Regular,
        FileKind::Other => portwise_model::FileKind::Other,
    };
    let owner = setting.user(inode.uid);
    let owner = owner.unwrap_or_else(|| inode.uid.to_string());
    let mode = phrase::mode(kind, inode.mode).replace('?', "s");
    let groups = crate::observe::user::here().groups;
    let group = groups.iter().find(|(_, gid)| *gid == inode.gid).map(|(name, _)| name.clone());
    let group = group.unwrap_or_else(|| inode.gid.to_string());
    format!("{}: {mode} {owner} {group} (mode {:o})", inode.path.display(), inode.mode)
}

fn notes(name: &Name, call: Call, finding: &Finding, seen: &Seen) -> Vec<String> {
    let mut notes = Vec::new();
    let stopped_by =
        |check: &checks::Check| matches!(finding, Finding::Stopped(by, _) if by.id == check.id);
    if call == Call::Bind
        && stopped_by(&checks::FREE)
        && seen.file.as_ref().is_some_and(super::File::is_socket)
    {
        notes.push(match (seen.sockets.as_slice(), seen.unseen.as_str()) {
            ([], "") => "it is stale: no socket has it any more, a server left it behind".into(),
            ([], why) => format!("whether somebody still has it is not known: {why}"),
            _ => return notes,
        });
    }
    if finding.is_allowed() && call == Call::Bind && name.path().is_some() {
        notes.push(
            "that is what the permissions of directories say; a security module, Landlock domain or \
             full disk may still refuse"
                .into(),
        );
    }
    if stopped_by(&checks::LENGTH) && name.path().is_some() {
        notes.push("most languages refuse such a path themselves, before any call".into());
    }
    if let Name::Abstract(_) = name {
        notes.push(
            "an abstract name belongs to the network namespace: no file, no permissions".into(),
        );
    }
    notes
}

fn socket(bound: &super::Bound) -> UnixSocketReport {
    UnixSocketReport {
        inode: bound.inode,
        kind: bound.kind,
        listens: bound.listens,
        elsewhere: bound.elsewhere.clone(),
        holders: bound.holders.clone(),
    }
}
