//! The name of a kernel, read.

use alloc::format;

use crate::{Kernel, KernelFamily, Version};

/// Returns the kernel of a version such as `14`, `13.2` or `15.0-2024-10-29`; `None` before 9 and
/// after what was read.
pub fn from_version(text: &str) -> Option<Kernel> {
    let number = text.split('-').next().unwrap_or(text);
    let version = Version::parse(number)?;
    let read = Version::new(9, 0, 0)..=Version::new(15, 0, 0);
    let release = format!("freebsd-{text}").into();
    read.contains(&version).then_some(Kernel { family: KernelFamily::Freebsd, version, release })
}
