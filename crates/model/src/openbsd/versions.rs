//! The name of a kernel, read.

use alloc::format;

use crate::{Kernel, KernelFamily, Version};

/// Returns the kernel of a version such as `7` or `7.8`, or of a year before 2016, which is that of
/// its last release; `None` for what is between those that were read.
pub fn from_version(text: &str) -> Option<Kernel> {
    let number = Version::parse(text)?;
    let version = match number.0[0] {
        2013 => Version::new(5, 4, 0),
        2014 => Version::new(5, 5, 0),
        5..=9 => number,
        _ => return None,
    };
    let release = format!("openbsd-{text}").into();
    Some(Kernel { family: KernelFamily::Openbsd, version, release })
}
