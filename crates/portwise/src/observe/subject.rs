//! The asking process on the running Linux: this one, or another by its pid.

use portwise_model::{CapSet, Credentials, Fact, FactKey, IdMap, Ids, Missing, Subject, UserNs};
use portwise_sys::{
    Errno, Error, caps,
    ns::{self, Kind, Namespace},
    proc::{self, Proc, Status},
};

use super::host::unread;

/// Where securebits are from that nothing shows.
pub(super) const TAKEN: &str =
    "taken to be 0: nothing shows those of another process, and its capabilities are as usual";

/// The process in whose place the question is asked.
#[derive(Debug)]
pub(super) struct Asker {
    /// Its pid; `None` for this process.
    pub pid: Option<u32>,
    /// What `/proc/PID/status` says of it.
    pub status: Status,
}

impl Asker {
    /// This process.
    pub(super) fn own(proc: &Proc) -> Result<Asker, Error> {
        Ok(Asker { pid: None, status: proc.thread_status()? })
    }

    /// Another process.
    pub(super) fn process(proc: &Proc, pid: u32) -> Result<Asker, Error> {
        Ok(Asker { pid: Some(pid), status: proc.status(pid)? })
    }

    fn source(&self) -> String {
        self.pid.map_or("/proc/thread-self/status".into(), |pid| format!("/proc/{pid}/status"))
    }

    /// The process as far as its status describes it.
    pub(super) fn subject(&self) -> Subject {
        let Status { uids, gids, groups, capabilities, no_new_privs, tracer, .. } = &self.status;
        let credentials = Credentials {
            uids: ids(uids),
            gids: ids(gids),
            groups: groups.clone(),
            permitted: CapSet(capabilities.permitted),
            inheritable: CapSet(capabilities.inheritable),
            bounding: CapSet(capabilities.bounding),
            ambient: CapSet(capabilities.ambient),
            no_new_privs: *no_new_privs == Some(true),
            traced: *tracer != 0,
            securebits: Fact::not_asked(FactKey::Securebits),
            ids: Fact::not_asked(FactKey::IdMap),
        };
        Subject {
            capabilities: Fact::known(CapSet(capabilities.effective), self.source()),
            credentials: Fact::known(credentials, self.source()),
            ..Subject::not_asked(uids.filesystem)
        }
    }

    /// Reads how the user namespace of the process relates to the one that owns the network
    /// namespace of this thread.
    pub(super) fn user_namespace(&self, subject: &mut Subject) -> Result<(), Missing> {
        let from = match self.pid {
            None => "/proc/thread-self/ns".into(),
            Some(pid) => format!("/proc/{pid}/ns"),
        };
        put(&mut subject.userns, &FactKey::UserNs, self.relation(subject.uid), from)
    }

    /// `uid` is who asks from this process, which may be as somebody else.
    fn relation(&self, uid: u32) -> Result<UserNs, Error> {
        let (own, euid) = match self.pid {
            None => (ns::own_id(Kind::User)?, uid),
            Some(pid) => (ns::id_of(pid, Kind::User)?, self.status.uids.effective),
        };
        let mut owner = match Namespace::of_thread(Kind::Net)?.owner() {
            Ok(owner) => owner,
            // It is neither ours nor made within ours.
            Err(error) if error.errno == Errno::EPERM => return Ok(UserNs::Foreign),
            Err(error) => return Err(error),
        };
        if owner.id()? == own {
            return Ok(UserNs::Owner);
        }
        // Up to the namespace that was made in that of the process: whoever made it may do
        // anything within.
        loop {
            let parent = match owner.parent() {
                Ok(parent) => parent,
                // The top of what can be seen from here, and it was not on the way.
                Err(error) if error.errno == Errno::EPERM => return Ok(UserNs::Foreign),
                Err(error) => return Err(error),
            };
            if parent.id()? == own {
                break;
            }
            owner = parent;
        }
        Ok(if owner.owner_uid()? == euid { UserNs::Creator } else { UserNs::Ancestor })
    }

    /// Reads the securebits, which no interface shows of another process.
    pub(super) fn securebits(&self, subject: &mut Subject) -> Result<(), Missing> {
        let key = FactKey::Securebits;
        let Fact::Known { value: credentials, .. } = &mut subject.credentials else {
            return Err(Missing::not_asked(key));
        };
        // Root that has all it may have was not kept from it.
        let own = &self.status.capabilities;
        let is_usual = own.bounding & !own.permitted == 0;
        if self.pid.is_some() && is_usual {
            credentials.securebits = Fact::known(0, TAKEN);
            return Ok(());
        }
        if self.pid.is_some() {
            let why = "no interface shows the securebits of another process";
            let missing = Missing::new(key, why, "try it");
            credentials.securebits = Fact::Missing(missing.clone());
            return Err(missing);
        }
        let read = caps::securebits().map_err(|errno| Error::new("prctl", errno));
        put(&mut credentials.securebits, &key, read, "prctl".into())
    }

    /// Reads which ids the user namespace of the process maps.
    pub(super) fn id_map(&self, subject: &mut Subject) -> Result<(), Missing> {
        let Fact::Known { value: credentials, .. } = &mut subject.credentials else {
            return Err(Missing::not_asked(FactKey::IdMap));
        };
        let from = self.pid.map_or("/proc/thread-self".into(), |pid| format!("/proc/{pid}"));
        put(&mut credentials.ids, &FactKey::IdMap, self.maps(), from + "/uid_map")
    }

    fn maps(&self) -> Result<IdMap, Error> {
        let own = ns::own_id(Kind::User)?;
        // Of a process in our namespace the map says how it is seen from outside of both.
        let is_ours = match self.pid {
            None => true,
            Some(pid) => ns::id_of(pid, Kind::User)? == own,
        };
        let (uids, gids) = (ns::read_map(self.pid, "uid_map")?, ns::read_map(self.pid, "gid_map")?);
        let seen = |map: &ns::IdMap| if is_ours { map.inside } else { map.outside };
        let ranges = |maps: &[ns::IdMap]| {
            let range = |map: &ns::IdMap| (seen(map), seen(map).saturating_add(map.count - 1));
            maps.iter().filter(|map| map.count > 0).map(range).collect()
        };
        let root = uids.iter().find(|map| map.inside == 0 && map.count > 0).map(seen);
        let roots_around = if is_ours { Vec::new() } else { vec![0] };
        Ok(IdMap { root, roots_around, uids: ranges(&uids), gids: ranges(&gids) })
    }
}

fn ids(ids: &proc::Ids) -> Ids {
    let proc::Ids { real, effective, saved, filesystem } = *ids;
    Ids { real, effective, saved, filesystem }
}

fn put<T>(
    slot: &mut Fact<T>,
    key: &FactKey,
    read: Result<T, Error>,
    from: String,
) -> Result<(), Missing> {
    match read {
        Ok(value) => {
            *slot = Fact::known(value, from);
            Ok(())
        }
        Err(error) => {
            let missing = unread(key, &error);
            *slot = Fact::Missing(missing.clone());
            Err(missing)
        }
    }
}
