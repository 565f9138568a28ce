//! The name of a kernel, read.

use alloc::format;

use crate::{Kernel, KernelFamily, Version};

/// What is appended to a version for a kernel built with `options IPNOPRIVPORTS`.
pub(super) const WITHOUT: &str = "-ipnoprivports";

/// Returns the kernel of a version such as `9` or `9-ipnoprivports`; `None` before 4.
pub fn from_version(text: &str) -> Option<Kernel> {
    let version = Version::parse(text.strip_suffix(WITHOUT).unwrap_or(text))?;
    let release = format!("netbsd-{text}").into();
    let read = Version::new(4, 0, 0)..Version::new(100, 0, 0);
    read.contains(&version).then_some(Kernel { family: KernelFamily::Netbsd, version, release })
}
