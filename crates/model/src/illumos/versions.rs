//! The name of a kernel, read.

use crate::{Kernel, KernelFamily, Version};

/// Returns the kernel: illumos has no versions.
pub fn kernel() -> Kernel {
    let version = Version::new(5, 11, 0);
    Kernel { family: KernelFamily::Illumos, version, release: "illumos".into() }
}
