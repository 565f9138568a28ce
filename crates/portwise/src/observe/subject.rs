//! The asking process on the running Linux.

use portwise_model::{CapSet, Fact, FactKey, Missing, Subject, UserNs};
use portwise_sys::{
    Errno, Error,
    ns::{self, Kind, Namespace},
    proc::Status,
};

use super::host::unread;

/// The process that `status` describes.
pub(super) fn of(status: &Status) -> Subject {
    let mut subject = Subject::not_asked(status.uids.filesystem);
    let effective = CapSet(status.capabilities.effective);
    subject.capabilities = Fact::known(effective, "/proc/thread-self/status");
    subject
}

/// Reads how the user namespace of this process relates to the one that owns its network
/// namespace.
pub(super) fn user_namespace(subject: &mut Subject) -> Result<(), Missing> {
    match relation(subject.uid) {
        Ok(relation) => {
            subject.userns = Fact::known(relation, "/proc/thread-self/ns");
            Ok(())
        }
        Err(error) => {
            let missing = unread(&FactKey::UserNs, &error);
            subject.userns = Fact::Missing(missing.clone());
            Err(missing)
        }
    }
}

fn relation(uid: u32) -> Result<UserNs, Error> {
    let own = ns::own_id(Kind::User)?;
    let mut owner = match Namespace::of_thread(Kind::Net)?.owner() {
        Ok(owner) => owner,
        // It is neither ours nor made within ours.
        Err(error) if error.errno == Errno::EPERM => return Ok(UserNs::Foreign),
        Err(error) => return Err(error),
    };
    if owner.id()? == own {
        return Ok(UserNs::Owner);
    }
    // Up to the namespace that was made in ours: whoever made it may do anything within.
    loop {
        let parent = owner.parent()?;
        if parent.id()? == own {
            break;
        }
        owner = parent;
    }
    Ok(if owner.owner_uid()? == uid { UserNs::Creator } else { UserNs::Ancestor })
}
