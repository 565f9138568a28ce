//! Who makes the calls: as this machine knows them, and as they are in the copy.

use portwise_model::{CapSet, Errno, Fact, FactKey, Subject, UserNs};
use portwise_sys::{
    caps::{self, Sets},
    ns,
    proc::{Capabilities, Proc},
    process::Credentials,
};

use super::started::{self, Started};
use crate::{Setting, Trouble};

/// Who asks.
pub(super) struct Asker {
    /// As the model takes it, in a network namespace made for it; a program that was started.
    pub(super) subject: Subject,
    /// The same on the network itself.
    pub(super) real: Subject,
    /// Why the program will not be started, and with which errno.
    pub(super) refused: Option<(String, Errno)>,
    /// Whether a thread of this process cannot have the rights that the program will.
    pub(super) is_limited: bool,
    /// What a thread becomes that makes the calls itself.
    pub(super) direct: Credentials,
    /// What a program is started as.
    pub(super) program: Credentials,
    /// What of the environment goes with the user.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Whether this process moves into a user namespace first.
    pub(super) user_namespace: bool,
}

/// The group of a user of whom no group is known: `nogroup` of most systems.
const NO_GROUP: u32 = 65534;

impl Asker {
    /// Who asks in a private copy (`here` false) or on this very network.
    ///
    /// # Errors
    /// If somebody else is asked for and this process may not become them.
    pub(super) fn of(
        setting: &mut Setting,
        is_program: bool,
        here: bool,
    ) -> Result<Asker, Trouble> {
        let programs = std::mem::take(&mut setting.subject.programs);
        let me = Proc::default().thread_status().map_err(|e| Trouble::new(e.to_string()))?;
        let uid = setting.subject.uid;
        let held = |capability| me.capabilities.effective & caps::bit(capability) != 0;
        let is_able = me.uids.effective == 0 && held(caps::SYS_ADMIN);
        let is_other = !setting.is_self && uid != me.uids.effective;
        if is_other && !(is_able && held(caps::SETUID)) {
            return Err(Trouble::new("--as another user: only root can try that"));
        }
        let _ = setting.observe(&FactKey::UserNs);
        // The gates of this process are those of what it starts, in the copy as well.
        let _ = setting.observe(&FactKey::Gates);
        // A user namespace in which everything is to be had would answer another question.
        let sets = match setting.is_self || !is_other {
            true => me.capabilities,
            false => login(&me.capabilities, uid),
        };
        let gid = setting.gid.unwrap_or(NO_GROUP);
        let own = started::equip(setting, &me, gid, &sets, false);
        let sets = counting(&sets, setting.subject.userns.value().copied());
        let in_copy = started::equip(setting, &me, gid, &sets, !here && !is_able);
        let real = Started::of(&setting.host, &own, &programs);
        let copy = Started::of(&setting.host, &in_copy, &programs);
        let copy = if here { Started { subject: real.subject.clone(), ..copy } } else { copy };
        let guess = if is_program { after_exec(&sets, uid) } else { sets.effective };
        let asked = copy.effective().unwrap_or(guess);
        let mut asker = Asker {
            subject: Subject { uid: copy.subject.uid, ..setting.subject.clone() },
            real: real.subject,
            refused: copy.refused,
            is_limited: false,
            direct: Credentials::default(),
            program: Credentials::default(),
            environment: Vec::new(),
            user_namespace: !here && !is_able,
        };
        let from = setting.subject.capabilities.source().to_string();
        asker.subject.capabilities = Fact::known(CapSet(asked), from.clone());
        if asker.real.capabilities.value().is_none() {
            asker.real.capabilities = Fact::known(CapSet(guess), from);
        }
        if !here {
            asker.subject.userns = Fact::known(UserNs::Owner, "the copy is made by this process");
        }
        if is_other {
            asker.become_other(setting);
        }
        // On this very network capabilities count as they do: nothing is left out of them.
        let sets = if here && !is_other { me.capabilities } else { sets };
        if asker.subject.uid != uid && is_able {
            // The program changes the user.
            asker.direct.uid = Some(asker.subject.uid);
        }
        asker.direct.sets = Some(Sets { effective: asked, permitted: asked, inheritable: 0 });
        asker.direct.ambient = Some(0);
        let Capabilities { inheritable, permitted, effective, bounding, ambient } = sets;
        asker.program.sets = Some(Sets { effective, permitted, inheritable });
        asker.program.bounding = Some(bounding);
        asker.program.ambient = Some(ambient);
        Ok(asker)
    }

    fn become_other(&mut self, setting: &mut Setting) {
        let uid = setting.subject.uid;
        let proc = Proc::default();
        let name = proc.user_name(uid).ok().flatten();
        let gid = setting.gid.unwrap_or(NO_GROUP);
        let groups = proc.groups().unwrap_or_default().into_iter();
        let member = |g: &portwise_sys::passwd::Group| {
            name.as_ref().is_some_and(|name| g.members.contains(name))
        };
        let mut groups: Vec<u32> = groups.filter(member).map(|g| g.gid).collect();
        groups.push(gid);
        for credentials in [&mut self.direct, &mut self.program] {
            credentials.uid = Some(uid);
            credentials.gid = Some(gid);
            credentials.groups = Some(groups.clone());
        }
        if let Some(name) = name {
            self.environment = vec![("USER", name.clone()), ("LOGNAME", name)];
        }
    }

    /// Leaves out of what is to be taken on what this thread cannot have: called once it is where
    /// it will start programs.
    pub(super) fn limit(&mut self) -> Result<(), Trouble> {
        let own = caps::get(0).map_err(|errno| Trouble::new(format!("capget: {errno}")))?;
        let wanted = self.direct.sets.map_or(0, |sets| sets.effective);
        self.is_limited = wanted & !own.permitted != 0;
        if self.is_limited {
            self.subject.capabilities =
                Fact::known(CapSet(wanted & own.permitted), "what this process can have");
        }
        for credentials in [&mut self.direct, &mut self.program] {
            if let Some(sets) = &mut credentials.sets {
                sets.permitted &= own.permitted;
                sets.effective &= own.permitted;
            }
        }
        Ok(())
    }
}

/// What a login process of `uid` has.
fn login(me: &Capabilities, uid: u32) -> Capabilities {
    let all = if uid == 0 { me.permitted } else { 0 };
    Capabilities {
        inheritable: 0,
        permitted: all,
        effective: all,
        bounding: me.bounding,
        ambient: 0,
    }
}

/// The capabilities as far as they count in the network namespace, which the copy's user
/// namespace owns.
fn counting(held: &Capabilities, relation: Option<UserNs>) -> Capabilities {
    const NONE: Capabilities =
        Capabilities { inheritable: 0, permitted: 0, effective: 0, bounding: 0, ambient: 0 };
    match relation {
        Some(UserNs::Foreign) => NONE,
        Some(UserNs::Creator) => Capabilities {
            inheritable: 0,
            permitted: u64::MAX,
            effective: u64::MAX,
            bounding: u64::MAX,
            ambient: 0,
        },
        Some(UserNs::Owner | UserNs::Ancestor) | None => *held,
    }
}

/// What a program without capabilities of its own has when it starts.
fn after_exec(held: &Capabilities, uid: u32) -> u64 {
    if uid == 0 { held.bounding } else { held.ambient }
}

/// Moves this process, which must have one thread, into a user namespace where its own ids are
/// the only ones.
///
/// # Errors
/// If none can be made.
pub(super) fn enter_user_namespace() -> Result<(), Trouble> {
    let me = Proc::default().thread_status().map_err(|e| Trouble::new(e.to_string()))?;
    ns::unshare(&[ns::Kind::User]).map_err(|errno| {
        Trouble::new(format!(
            "no user namespace can be made here ({errno}: {}), and a private network needs one: \
             run it as root, or with --here on the network itself",
            errno.text()
        ))
    })?;
    let one = |id| [ns::IdMap { inside: id, outside: id, count: 1 }];
    ns::map_ids(&one(me.uids.effective), &one(me.gids.effective), true)
        .map_err(|e| Trouble::new(format!("the user namespace cannot have your ids: {e}")))
}
