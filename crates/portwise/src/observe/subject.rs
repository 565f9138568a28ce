//! The asking process on the running Linux.

use portwise_model::{CapSet, Fact, FactKey, Missing, Subject};
use portwise_sys::proc::Status;

/// The process that `status` describes.
pub(super) fn of(status: &Status) -> Subject {
    let mut subject = Subject::not_asked(status.uids.filesystem);
    let effective = CapSet(status.capabilities.effective);
    subject.capabilities = Fact::known(effective, "/proc/thread-self/status");
    subject
}

/// Says that the owner of the network namespace is not read: a capability may count or not.
pub(super) fn user_namespace(subject: &mut Subject) -> Result<(), Missing> {
    let missing = Missing::new(
        FactKey::UserNs,
        "which user namespace owns this network namespace is not read by this version",
        "lsns -t net",
    );
    subject.userns = Fact::Missing(missing.clone());
    Err(missing)
}
