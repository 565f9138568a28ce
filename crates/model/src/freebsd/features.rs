//! What differs between versions of FreeBSD, as far as they were read.

use super::{IN_PCB, cite};
use crate::{Feature, Version};

/// Two sockets on the wildcard.
pub static OTHER_USER_ASKS_LB: Feature = Feature {
    id: "freebsd.other-user-asks-lb",
    title: "sockets of two users share the wildcard by SO_REUSEPORT_LB and not by SO_REUSEPORT",
    last_without: Some(Version::new(10, 4, 0)),
    first_with: Version::new(15, 0, 0),
    exceptions: &[],
    cites: &[cite(IN_PCB, "in_pcbbind_setup", "SO_REUSEPORT_LB")],
};

/// Every feature of FreeBSD.
pub static FEATURES: &[&Feature] = &[&OTHER_USER_ASKS_LB];
