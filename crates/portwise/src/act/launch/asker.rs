//! Who the program will be, and whether it has the right already.

use portwise_model::{CAP_NET_BIND_SERVICE, CapSet, Fact, FactKey, UserNs};
use portwise_sys::{
    caps::{self, Sets},
    proc::Proc,
    process::Credentials,
};

use super::{File, Plan};
use crate::{Setting, Trouble, endpoint::Target, observe::user::Named};

/// Who the program will be.
pub(super) struct Asker {
    /// What this process takes on before it executes the program.
    pub(super) credentials: Credentials,
    /// What of the environment goes with the user.
    pub(super) environment: Vec<(&'static str, String)>,
    /// In words.
    pub(super) name: String,
    /// The user, for a unit.
    pub(super) user: Option<String>,
    /// What this process may make effective.
    pub(super) own: u64,
    /// Whether this process may bind ports below the limit itself.
    pub(super) can_bind: bool,
    /// The endpoints for which the program has no right by itself.
    pub(super) lacks: Vec<Target>,
    /// The lowest port that needs no right.
    pub(super) limit: i64,
}

/// The group of a user of whom no group is known: `nogroup` of most systems.
const NO_GROUP: u32 = 65534;

impl Asker {
    pub(super) fn of(plan: &Plan, setting: &mut Setting, file: &File) -> Result<Asker, Trouble> {
        const LIMIT: &str = "net.ipv4.ip_unprivileged_port_start";
        let me = Proc::default().thread_status().map_err(|e| Trouble::new(e.to_string()))?;
        let _ = setting.observe(&FactKey::UserNs);
        let _ = setting.observe(&FactKey::Sysctl(LIMIT.into()));
        let limit = setting.host.sysctl(LIMIT).map_err(|missing| {
            Trouble::new(format!("the port limit is not known: {}", missing.why))
        })?;
        let counts = setting.subject.userns.value() != Some(&UserNs::Foreign);
        let bind = caps::bit(caps::NET_BIND_SERVICE);
        let other = plan.user.as_ref().filter(|user| user.uid != me.uids.effective);
        let mut asker = Asker {
            credentials: Credentials::default(),
            environment: Vec::new(),
            name: String::new(),
            user: None,
            own: me.capabilities.permitted,
            can_bind: counts && me.capabilities.permitted & bind != 0,
            lacks: Vec::new(),
            limit,
        };
        let mut held = match me.uids.effective {
            0 => me.capabilities.bounding,
            _ => me.capabilities.ambient,
        };
        if let Some(user) = &plan.user {
            (asker.credentials, asker.environment) = login(user, me.capabilities.effective)?;
        }
        if let Some(user) = other {
            held = if user.uid == 0 { me.capabilities.bounding } else { 0 };
        }
        if me.no_new_privs != Some(true) {
            held |= file.capabilities & me.capabilities.bounding;
        }
        let uid = other.map_or(me.uids.effective, |user| user.uid);
        asker.user = Proc::default().user_name(uid).ok().flatten();
        asker.name = asker.user.clone().unwrap_or_else(|| format!("uid {uid}"));
        let has = counts && held & bind != 0;
        let needs = |target: &&Target| target.port != 0 && i64::from(target.port) < limit;
        if !has {
            asker.lacks = plan.targets.iter().filter(needs).cloned().collect();
        }
        // As whom the other checks of the kernel are asked: with the right.
        let held = CapSet(held).with(CAP_NET_BIND_SERVICE);
        setting.subject.capabilities = Fact::known(held, "with the right that run gives");
        setting.subject.uid = uid;
        Ok(asker)
    }
}

/// What goes with a user.
pub(super) type Login = (Credentials, Vec<(&'static str, String)>);

/// The credentials and the environment of a user, without capabilities unless it is root.
/// `effective` is what this process has.
pub(super) fn login(user: &Named, effective: u64) -> Result<Login, Trouble> {
    let needed = [("CAP_SETUID", caps::SETUID), ("CAP_SETGID", caps::SETGID)];
    for (name, capability) in needed {
        if effective & caps::bit(capability) == 0 {
            return Err(Trouble::new(format!(
                "--user needs root: {name} is missing; start it with sudo"
            )));
        }
    }
    let name = user.name.clone();
    let gid = user.gid.unwrap_or(NO_GROUP);
    let groups = Proc::default().groups().unwrap_or_default().into_iter();
    let groups =
        groups.filter(|group| name.as_ref().is_some_and(|name| group.members.contains(name)));
    let mut groups: Vec<u32> = groups.map(|group| group.gid).collect();
    groups.push(gid);
    let is_root = user.uid == 0;
    let credentials = Credentials {
        uid: Some(user.uid),
        gid: Some(gid),
        groups: Some(groups),
        bounding: None,
        sets: (!is_root).then(Sets::default),
        ambient: (!is_root).then_some(0),
    };
    let environment =
        name.map(|name| vec![("USER", name.clone()), ("LOGNAME", name)]).unwrap_or_default();
    Ok((credentials, environment))
}
