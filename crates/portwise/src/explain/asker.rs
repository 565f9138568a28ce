//! Who asks, in full: the process or the program, what it may do, and what gave it rights or did
//! not.

use portwise_model::{
    CAP_NET_BIND_SERVICE, CapSet, Credentials, Fact, FactKey, FileCapabilities, Host, Program,
    Subject, UserNs,
    linux::exec::{self, Executed, Grant, Source, Void},
};
use serde::Serialize;

use crate::{Setting, capability, observe::AskingProcess};

/// Who asks, beyond the user.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AskerReport {
    /// The process in whose place the question is asked.
    pub process: Option<ProcessReport>,
    /// The programs it executes before the call, one after the other.
    pub programs: Vec<ProgramReport>,
    /// The user it then is, if execve changes that.
    pub becomes: Option<u32>,
    /// The capabilities it has when it makes the call; null if not known.
    pub capabilities: Option<String>,
    /// How its user namespace relates to that of the network.
    pub user_namespace: Option<UserNs>,
    /// What execve reckons with, before the programs are executed.
    pub credentials: Option<CredentialsReport>,
    /// What gives it rights, or would, each with the reason if it has no effect.
    pub rights: Vec<RightReport>,
    /// The gates in front of its calls.
    pub gates: Vec<GateReport>,
}

/// A process that asks.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessReport {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub command: String,
    /// The file of its program.
    pub program: Option<String>,
    /// Whether that file was deleted or replaced since it started.
    pub replaced: bool,
    /// The namespaces it does not share with the observer.
    pub namespaces: Vec<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// Its container.
    pub container: Option<String>,
    /// Whether it looks like one of a container.
    pub container_shaped: bool,
}

/// A program that is executed.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramReport {
    /// The name it was called by.
    pub name: String,
    /// The file, its interpreter, that of this one, and so on: the last is the binary.
    pub files: Vec<String>,
    /// Whether the binary has its libraries built in.
    pub is_static: Option<bool>,
    /// The capabilities of the binary; null if they could not be read.
    pub capabilities: Option<String>,
    /// Whether its loader starts it in secure mode (AT_SECURE).
    pub secure: Option<bool>,
}

/// Ids and sets of a process.
#[derive(Clone, Debug, Serialize)]
pub struct CredentialsReport {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// What may be made effective.
    pub permitted: String,
    /// What a file with an inheritable set may give.
    pub inheritable: String,
    /// What a file may give at most.
    pub bounding: String,
    /// What plain programs keep.
    pub ambient: String,
    /// Whether execve gives nothing any more.
    pub no_new_privs: bool,
}

/// Something that gives rights, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RightReport {
    /// The file it belongs to.
    pub path: String,
    /// What it is: `file-capabilities`, `set-user-id`, `set-group-id`, `root`, `ambient`.
    pub grant: &'static str,
    /// Why it has no effect; null if it has.
    pub void: Option<&'static str>,
    /// Whether it is about the capability for low ports.
    pub about_low_ports: bool,
    /// In words.
    pub text: String,
}

/// A gate in front of the asker's calls.
#[derive(Clone, Debug, Serialize)]
pub struct GateReport {
    /// Its name.
    pub gate: String,
    /// `refuses`, `decides` by rules that cannot be read, or `unseen`: not known to be there.
    pub state: &'static str,
    /// What is known of it.
    pub what: String,
    /// What would show what it answers.
    pub reveal: String,
}

/// Reports who asks.
pub(super) fn of(setting: &mut Setting) -> AskerReport {
    let process = setting.asking_process().cloned();
    if process.is_some() || !setting.subject.programs.is_empty() {
        setting.look_at_credentials();
        // Whatever the answer needed of it: who asks is told in full.
        if setting.subject.userns == Fact::not_asked(FactKey::UserNs) {
            let _ = setting.observe(&FactKey::UserNs);
        }
        if setting.subject.gates == Fact::not_asked(FactKey::Gates) {
            let _ = setting.observe(&FactKey::Gates);
        }
    }
    let subject = &setting.subject;
    let after = setting.asker();
    let started = executed(&setting.host, subject, &subject.programs);
    let binary = |program: &Program| {
        let capabilities = program.binary()?.capabilities.value()?;
        Some(capability::file(&capabilities.unwrap_or_default()))
    };
    let programs = subject.programs.iter().zip(&started).map(|(program, done)| ProgramReport {
        name: program.name.to_string(),
        files: program.files.iter().map(|file| file.path.to_string()).collect(),
        is_static: program.is_static(),
        capabilities: binary(program),
        secure: done.secure,
    });
    let programs = programs.collect();
    let rights = match &process {
        Some(process) if subject.programs.is_empty() => of_running(&setting.host, subject, process),
        _ => {
            let all = started.iter().zip(&subject.programs);
            all.flat_map(|(done, program)| rights(done, program)).collect()
        }
    };
    AskerReport {
        process: process.as_ref().map(reported),
        programs,
        becomes: (after.uid != subject.uid).then_some(after.uid),
        capabilities: after.capabilities.value().map(|held| capability::set(*held)),
        user_namespace: after.userns.value().copied(),
        credentials: subject.credentials.value().map(credentials),
        rights,
        gates: gates(subject),
    }
}

/// Each program executed, as far as the one before it can be.
fn executed(host: &Host, subject: &Subject, programs: &[Program]) -> Vec<Executed> {
    let mut asker = subject.clone();
    let mut done = Vec::new();
    for program in programs {
        let executed = exec::exec(host, &asker, program);
        asker = executed.subject.clone();
        done.push(executed);
    }
    done
}

fn reported(process: &AskingProcess) -> ProcessReport {
    let binary = process.program.as_ref().and_then(Program::binary);
    ProcessReport {
        pid: process.pid,
        command: process.command.clone(),
        program: binary.map(|file| file.path.to_string()),
        replaced: process.replaced,
        namespaces: process.namespaces.clone(),
        unit: process.unit.clone(),
        container: process.container.clone(),
        container_shaped: process.is_container_shaped(),
    }
}

fn credentials(credentials: &Credentials) -> CredentialsReport {
    CredentialsReport {
        uid: credentials.uids.effective,
        gid: credentials.gids.effective,
        permitted: capability::set(credentials.permitted),
        inheritable: capability::set(credentials.inheritable),
        bounding: capability::set(credentials.bounding),
        ambient: capability::set(credentials.ambient),
        no_new_privs: credentials.no_new_privs,
    }
}

fn gates(subject: &Subject) -> Vec<GateReport> {
    let Some(gates) = subject.gates.value() else { return Vec::new() };
    let present = gates.present.iter().map(|gate| (gate, gate.refuses));
    let present =
        present.map(|(gate, refuses)| (gate, if refuses { "refuses" } else { "decides" }));
    let all = present.chain(gates.unseen.iter().map(|gate| (gate, "unseen")));
    all.map(|(gate, state)| GateReport {
        gate: gate.name.to_string(),
        state,
        what: gate.what.to_string(),
        reveal: gate.reveal.to_string(),
    })
    .collect()
}

/// What the file of a running program gives whoever executes it as the process is now: why the
/// process has it or not.
fn of_running(host: &Host, subject: &Subject, process: &AskingProcess) -> Vec<RightReport> {
    let mut found = Vec::new();
    let held = subject.capabilities.value().copied().unwrap_or_default();
    if let Some(program) = &process.program {
        let done = exec::exec(host, subject, program);
        for (source, mut right) in done.sources.iter().zip(rights(&done, program)) {
            let gives = right.void.is_none() && right.about_low_ports;
            if gives && !held.has(CAP_NET_BIND_SERVICE) {
                right.void = Some("not-yet");
                right.text = format!(
                    "{}, and the process has not: it was given after the process started, or the \
                     process gave it up",
                    has(source)
                );
            }
            found.push(right);
        }
    }
    found.extend(in_reserve(subject, held));
    found
}

/// Capabilities that a process has in sets which do not count by themselves.
fn in_reserve(subject: &Subject, effective: CapSet) -> Option<RightReport> {
    let credentials = subject.credentials.value()?;
    let text = if effective.has(CAP_NET_BIND_SERVICE) {
        return None;
    } else if credentials.permitted.has(CAP_NET_BIND_SERVICE) {
        "CAP_NET_BIND_SERVICE is permitted, without effect: the program has to make it effective"
    } else if credentials.inheritable.has(CAP_NET_BIND_SERVICE) {
        "CAP_NET_BIND_SERVICE is inheritable, without effect: by itself that set gives nothing, \
         the ambient one does"
    } else {
        return None;
    };
    Some(RightReport {
        path: String::new(),
        grant: "process",
        void: Some("not-effective"),
        about_low_ports: true,
        text: text.into(),
    })
}

fn rights(done: &Executed, program: &Program) -> Vec<RightReport> {
    let bounding = done.subject.credentials.value().map_or(CapSet::ALL, |after| after.bounding);
    done.sources.iter().map(|source| right(source, bounding, program)).collect()
}

fn right(source: &Source, bounding: CapSet, program: &Program) -> RightReport {
    let grant = match source.grant {
        Grant::File(_) => "file-capabilities",
        Grant::SetUid(_) => "set-user-id",
        Grant::SetGid(_) => "set-group-id",
        Grant::Root => "root",
        Grant::Ambient(_) => "ambient",
    };
    let is_bounded = source.grant == Grant::Root && !bounding.has(CAP_NET_BIND_SERVICE);
    let void = source.void.or(is_bounded.then_some(Void::Bounding));
    let text = match void {
        None => has(source),
        Some(Void::Bounding) if is_bounded => {
            format!("{}, which lacks CAP_NET_BIND_SERVICE", has(source))
        }
        Some(void) => format!("{}, without effect: {}", has(source), why(void, program)),
    };
    RightReport {
        path: source.path.to_string(),
        grant,
        void: void.map(name),
        about_low_ports: gives_low_ports(&source.grant),
        text,
    }
}

fn gives_low_ports(grant: &Grant) -> bool {
    match grant {
        Grant::File(FileCapabilities { permitted, inheritable, .. }) => {
            permitted.or(*inheritable).has(CAP_NET_BIND_SERVICE)
        }
        Grant::Ambient(set) => set.has(CAP_NET_BIND_SERVICE),
        Grant::SetUid(uid) => *uid == 0,
        Grant::Root => true,
        Grant::SetGid(_) => false,
    }
}

fn has(source: &Source) -> String {
    let path = &source.path;
    match &source.grant {
        Grant::File(capabilities) => format!("{path} has {}", capability::file(capabilities)),
        Grant::SetUid(0) => format!("{path} is set-user-ID root"),
        Grant::SetUid(uid) => format!("{path} is set-user-ID uid {uid}"),
        Grant::SetGid(gid) => format!("{path} is set-group-ID gid {gid}"),
        Grant::Root => "root gets every capability of the bounding set".into(),
        Grant::Ambient(set) => format!("the ambient set has {}", capability::set(*set)),
    }
}

fn why(void: Void, program: &Program) -> String {
    let mount = program.binary().and_then(|file| file.mount.value()?.at.clone());
    match void {
        Void::Nosuid => match mount {
            Some(at) => format!("its file system, at {at}, is mounted with nosuid"),
            None => "its file system is mounted with nosuid".into(),
        },
        Void::NoNewPrivs => "no_new_privs is set, and execve then gives nothing".into(),
        Void::Script => {
            let interpreter = program.binary().map(|file| file.path.as_ref()).unwrap_or("?");
            format!("it is a script, and what counts is its interpreter {interpreter}")
        }
        Void::OtherUserNs => "it is meant for another user namespace".into(),
        Void::Bounding => "the bounding set lacks it".into(),
        Void::Inheritable => "the inheritable set of the process lacks it".into(),
        Void::NotEffective => {
            "it is not effective from the start (no `e`), and the program has to raise it".into()
        }
        Void::Noroot => "the securebit NOROOT takes root its privilege".into(),
        Void::Privileged => {
            "execve clears it, as the file has capabilities of its own or changes the user".into()
        }
        Void::FileInstead => "the capabilities of the file count instead".into(),
    }
}

fn name(void: Void) -> &'static str {
    match void {
        Void::Nosuid => "nosuid",
        Void::NoNewPrivs => "no-new-privs",
        Void::Script => "script",
        Void::OtherUserNs => "other-user-namespace",
        Void::Bounding => "bounding-set",
        Void::Inheritable => "inheritable-set",
        Void::NotEffective => "not-effective",
        Void::Noroot => "noroot",
        Void::Privileged => "privileged-file",
        Void::FileInstead => "file-instead",
    }
}
