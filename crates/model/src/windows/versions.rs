//! The name of a kernel, read.

use alloc::format;

use crate::{Kernel, KernelFamily, Version};

/// Returns the kernel of a version such as `10` or `11`; `None` before 7, and for what never was.
pub fn from_version(text: &str) -> Option<Kernel> {
    let version = Version::parse(text)?;
    let known = matches!(version.0[0], 7 | 8 | 10 | 11);
    let release = format!("windows-{text}").into();
    known.then_some(Kernel { family: KernelFamily::Windows, version, release })
}
