//! What differs between versions of OpenBSD, as far as they were read.

use super::{IN_PCB, cite};
use crate::{Feature, Version};

/// The order was changed in between.
pub static PRIVILEGE_LAST: Feature = Feature {
    id: "openbsd.privilege-last",
    title: "whether a low port is taken is asked before whether the user may have it",
    last_without: Some(Version::new(5, 5, 0)),
    first_with: Version::new(7, 0, 0),
    exceptions: &[],
    cites: &[cite(IN_PCB, "in_pcbbind_locked", "in_rootonly")],
};

/// Every feature of OpenBSD.
pub static FEATURES: &[&Feature] = &[&PRIVILEGE_LAST];
