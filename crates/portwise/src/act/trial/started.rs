//! The rights of a server once it is started, here and in the copy: what the model says of the
//! execution of its file.

use portwise_model::{
    CapSet, Credentials, Errno, Fact, FactKey, Finding, Host, IdMap, Ids, Outcome, Program,
    Subject, after_programs, asked_alone, exec_path,
};
use portwise_sys::proc::{Capabilities, Status};

use crate::Setting;

/// What becomes of a process that executes a program.
pub(super) struct Started {
    /// The process afterwards.
    pub(super) subject: Subject,
    /// The rule that keeps the program from being started, in words, with its errno.
    pub(super) refused: Option<(String, Errno)>,
}

impl Started {
    /// Executes `programs` as `before`.
    pub(super) fn of(host: &Host, before: &Subject, programs: &[Program]) -> Started {
        let before = Subject { programs: programs.to_vec(), ..before.clone() };
        Started {
            subject: Subject { programs: Vec::new(), ..after_programs(host, &before) },
            refused: refused(host, &before),
        }
    }

    /// What it may make effective, as bits; `None` if that cannot be told.
    pub(super) fn effective(&self) -> Option<u64> {
        self.subject.capabilities.value().map(|held| held.0)
    }
}

/// Why the program is not started. That there is none is for the system to say.
fn refused(host: &Host, subject: &Subject) -> Option<(String, Errno)> {
    let request = portwise_model::Request {
        call: portwise_model::Call::Listen(0),
        socket: portwise_model::Socket::new(
            portwise_model::SocketId::ASKING,
            portwise_model::Family::Inet,
            portwise_model::Protocol::Tcp,
            subject.uid,
        ),
    };
    let rules = exec_path(host.kernel.family);
    let steps = asked_alone(host, subject, &request);
    let stop = steps.iter().find(|step| {
        step.finding == Finding::Stops && rules.iter().any(|rule| rule.id == step.rule.id)
    })?;
    match stop.rule.outcome {
        Outcome::Errno(errno) if !stop.rule.id.ends_with(".found") => {
            Some((format!("{} [{}]", stop.rule.fault, stop.rule.id), errno))
        }
        _ => None,
    }
}

/// Puts what `execve` reckons with into a subject: sets as they will be given to the process that
/// starts the program, and the ids of its user namespace.
pub(super) fn equip(
    setting: &mut Setting,
    me: &Status,
    gid: u32,
    sets: &Capabilities,
    one_id: bool,
) -> Subject {
    for key in [FactKey::IdMap, FactKey::Securebits] {
        let _ = setting.observe(&key);
    }
    let mut subject = setting.subject.clone();
    let uid = subject.uid;
    let known = subject.credentials.value().cloned();
    let known = known.unwrap_or_else(|| Credentials::login(uid, gid, me.groups.clone()));
    let ids = match one_id {
        true => Fact::known(one(uid, gid, known.ids.value()), "the copy is made by this process"),
        false => known.ids.clone(),
    };
    subject.capabilities = Fact::known(CapSet(sets.effective), "this process");
    let credentials = Credentials {
        uids: Ids::all(uid),
        gids: Ids::all(gid),
        permitted: CapSet(sets.permitted),
        inheritable: CapSet(sets.inheritable),
        bounding: CapSet(sets.bounding),
        ambient: CapSet(sets.ambient),
        // Nothing that is started here gets rid of it.
        no_new_privs: me.no_new_privs == Some(true),
        ids,
        ..known
    };
    subject.credentials = Fact::known(credentials, "this process");
    subject
}

/// A user namespace that knows one user and one group.
fn one(uid: u32, gid: u32, around: Option<&IdMap>) -> IdMap {
    let outer = around.and_then(|map| map.root);
    let further = around.map(|map| map.roots_around.clone()).unwrap_or_default();
    IdMap {
        root: (uid == 0).then_some(0),
        roots_around: outer.into_iter().chain(further).collect(),
        uids: vec![(uid, uid)],
        gids: vec![(gid, gid)],
    }
}
