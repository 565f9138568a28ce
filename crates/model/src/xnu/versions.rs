//! Which XNU each macOS runs, from Apple's per-release lists of sources.

use alloc::format;
use core::fmt;

use crate::{Kernel, KernelFamily, Text, Version};

/// A version of macOS; 10.14 is 10.14.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Macos {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Macos {
    const fn new(major: u32, minor: u32, patch: u32) -> Macos {
        Macos { major, minor, patch }
    }
}

impl fmt::Display for Macos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch != 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

/// Every macOS whose XNU has a published source, oldest first.
pub static RELEASES: &[(Macos, Version)] = &[
    (Macos::new(10, 11, 0), Version::new(3247, 1, 106)),
    (Macos::new(10, 11, 1), Version::new(3247, 10, 11)),
    (Macos::new(10, 11, 2), Version::new(3248, 20, 55)),
    (Macos::new(10, 11, 3), Version::new(3248, 30, 4)),
    (Macos::new(10, 11, 4), Version::new(3248, 40, 184)),
    (Macos::new(10, 11, 5), Version::new(3248, 50, 21)),
    (Macos::new(10, 11, 6), Version::new(3248, 60, 10)),
    (Macos::new(10, 12, 0), Version::new(3789, 1, 32)),
    (Macos::new(10, 12, 1), Version::new(3789, 21, 4)),
    (Macos::new(10, 12, 2), Version::new(3789, 31, 2)),
    (Macos::new(10, 12, 3), Version::new(3789, 41, 3)),
    (Macos::new(10, 12, 4), Version::new(3789, 51, 2)),
    (Macos::new(10, 12, 5), Version::new(3789, 60, 24)),
    (Macos::new(10, 12, 6), Version::new(3789, 70, 16)),
    (Macos::new(10, 13, 0), Version::new(4570, 1, 46)),
    (Macos::new(10, 13, 1), Version::new(4570, 20, 62)),
    (Macos::new(10, 13, 2), Version::new(4570, 31, 3)),
    (Macos::new(10, 13, 3), Version::new(4570, 41, 2)),
    (Macos::new(10, 13, 4), Version::new(4570, 51, 1)),
    (Macos::new(10, 13, 5), Version::new(4570, 61, 1)),
    (Macos::new(10, 13, 6), Version::new(4570, 71, 2)),
    (Macos::new(10, 14, 1), Version::new(4903, 221, 2)),
    (Macos::new(10, 14, 2), Version::new(4903, 231, 4)),
    (Macos::new(10, 14, 3), Version::new(4903, 241, 1)),
    (Macos::new(10, 14, 6), Version::new(4903, 270, 47)),
    (Macos::new(10, 15, 0), Version::new(6153, 11, 26)),
    (Macos::new(10, 15, 1), Version::new(6153, 41, 3)),
    (Macos::new(10, 15, 2), Version::new(6153, 61, 1)),
    (Macos::new(10, 15, 3), Version::new(6153, 81, 5)),
    (Macos::new(10, 15, 4), Version::new(6153, 101, 6)),
    (Macos::new(10, 15, 5), Version::new(6153, 121, 1)),
    (Macos::new(10, 15, 6), Version::new(6153, 141, 1)),
    (Macos::new(11, 0, 1), Version([7195, 50, 7, 100, 1])),
    (Macos::new(11, 1, 0), Version::new(7195, 60, 75)),
    (Macos::new(11, 2, 0), Version::new(7195, 81, 3)),
    (Macos::new(11, 3, 0), Version::new(7195, 101, 1)),
    (Macos::new(11, 4, 0), Version::new(7195, 121, 3)),
    (Macos::new(11, 5, 0), Version::new(7195, 141, 2)),
    (Macos::new(12, 0, 1), Version::new(8019, 41, 5)),
    (Macos::new(12, 1, 0), Version::new(8019, 61, 5)),
    (Macos::new(12, 2, 0), Version::new(8019, 80, 24)),
    (Macos::new(12, 3, 0), Version::new(8020, 101, 4)),
    (Macos::new(12, 4, 0), Version::new(8020, 121, 3)),
    (Macos::new(12, 5, 0), Version::new(8020, 140, 41)),
    (Macos::new(13, 0, 0), Version::new(8792, 41, 9)),
    (Macos::new(13, 1, 0), Version::new(8792, 61, 2)),
    (Macos::new(13, 2, 0), Version::new(8792, 81, 2)),
    (Macos::new(13, 3, 0), Version::new(8796, 101, 5)),
    (Macos::new(13, 4, 0), Version::new(8796, 121, 2)),
    (Macos::new(13, 5, 0), Version::new(8796, 141, 3)),
    (Macos::new(14, 0, 0), Version::new(10002, 1, 13)),
    (Macos::new(14, 1, 0), Version::new(10002, 41, 9)),
    (Macos::new(14, 2, 0), Version::new(10002, 61, 3)),
    (Macos::new(14, 3, 0), Version::new(10002, 81, 5)),
    (Macos::new(14, 4, 0), Version::new(10063, 101, 15)),
    (Macos::new(14, 5, 0), Version::new(10063, 121, 3)),
    (Macos::new(14, 6, 0), Version::new(10063, 141, 1)),
    (Macos::new(15, 0, 0), Version::new(11215, 1, 10)),
    (Macos::new(15, 1, 0), Version::new(11215, 41, 3)),
    (Macos::new(15, 2, 0), Version::new(11215, 61, 5)),
    (Macos::new(15, 3, 0), Version::new(11215, 81, 4)),
    (Macos::new(15, 4, 0), Version::new(11417, 101, 15)),
    (Macos::new(15, 5, 0), Version::new(11417, 121, 6)),
    (Macos::new(15, 6, 0), Version::new(11417, 140, 69)),
    (Macos::new(26, 0, 0), Version::new(12377, 1, 9)),
];

/// Releases whose sources were published but not read.
static UNREAD: &[Macos] = &[Macos::new(15, 6, 0), Macos::new(26, 0, 0)];

/// After 15 comes 26.
const NEVER_RELEASED: core::ops::RangeInclusive<u32> = 16..=25;

/// Returns the kernel of a macOS version such as `10.14.2`, `11.5` or `15`, which stands for the
/// newest 15 that was read. `None` before 10.11.
///
/// A version without a published source, such as 10.14 or 11.5.1, gets a number between those of
/// its neighbours, so that a feature that came between them stays open.
pub fn from_macos(text: &str) -> Option<Kernel> {
    let asked = parse(text)?;
    let macos = match asked {
        (major, None, None) => newest_of(major)?,
        (major, minor, patch) => Macos::new(major, minor.unwrap_or(0), patch.unwrap_or(0)),
    };
    if NEVER_RELEASED.contains(&macos.major) {
        return None;
    }
    let &(found, version) = RELEASES.iter().rfind(|(release, _)| *release <= macos)?;
    let version = if found == macos { version } else { just_after(version) };
    Some(kernel(version, format!("macos-{text}")))
}

/// Returns the kernel of an XNU tag such as `4903.231.4`, with or without `xnu-` before it.
/// `None` before 3247.1.106, which is macOS 10.11.
pub fn from_tag(text: &str) -> Option<Kernel> {
    let number = text.strip_prefix("xnu-").unwrap_or(text);
    let version = Version::parse(number)?;
    (version >= RELEASES[0].1).then(|| kernel(version, format!("xnu-{number}")))
}

/// Returns the macOS that an XNU belongs to, if its source was published.
pub fn macos_of(version: Version) -> Option<Macos> {
    RELEASES.iter().find(|release| release.1 == version).map(|release| release.0)
}

fn kernel(version: Version, release: impl Into<Text>) -> Kernel {
    Kernel { family: KernelFamily::Xnu, version, release: release.into() }
}

/// The newest release of `major` that was read, else the newest there is.
fn newest_of(major: u32) -> Option<Macos> {
    let of_major = || RELEASES.iter().map(|release| release.0).filter(|m| m.major == major);
    let read = of_major().rfind(|m| !UNREAD.contains(m));
    read.or_else(|| of_major().next_back()).filter(|m| m.major != 10)
}

/// A number above `version` and below that of any other release.
const fn just_after(version: Version) -> Version {
    let [a, b, c, d, e] = version.0;
    Version([a, b, c, d, e + 1])
}

/// Reads one to three numbers separated by dots, and nothing else.
fn parse(text: &str) -> Option<(u32, Option<u32>, Option<u32>)> {
    let mut numbers = text.split('.').map(|n| match n.bytes().all(|b| b.is_ascii_digit()) {
        true => n.parse::<u32>().ok(),
        false => None,
    });
    let major = numbers.next()??;
    let minor = match numbers.next() {
        Some(n) => Some(n?),
        None => None,
    };
    let patch = match numbers.next() {
        Some(n) => Some(n?),
        None => None,
    };
    numbers.next().is_none().then_some((major, minor, patch))
}
