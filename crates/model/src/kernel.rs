//! Kernels and their versions, and what differs between versions.

use core::fmt;

use crate::{Cite, Text};

/// A kernel family that has rules here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum KernelFamily {
    /// Linux.
    Linux,
    /// Apple's XNU, the kernel of macOS.
    Xnu,
    /// FreeBSD.
    Freebsd,
    /// OpenBSD.
    Openbsd,
    /// NetBSD.
    Netbsd,
    /// illumos, the kernel of OmniOS, SmartOS and others.
    Illumos,
    /// Microsoft Windows.
    Windows,
}

impl KernelFamily {
    /// Every family.
    pub const ALL: [KernelFamily; 7] = [
        KernelFamily::Linux,
        KernelFamily::Xnu,
        KernelFamily::Freebsd,
        KernelFamily::Openbsd,
        KernelFamily::Netbsd,
        KernelFamily::Illumos,
        KernelFamily::Windows,
    ];

    /// The name used in rule ids and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            KernelFamily::Linux => "linux",
            KernelFamily::Xnu => "xnu",
            KernelFamily::Freebsd => "freebsd",
            KernelFamily::Openbsd => "openbsd",
            KernelFamily::Netbsd => "netbsd",
            KernelFamily::Illumos => "illumos",
            KernelFamily::Windows => "windows",
        }
    }

    /// The name its makers write.
    pub const fn title(self) -> &'static str {
        match self {
            KernelFamily::Linux => "Linux",
            KernelFamily::Xnu => "macOS (XNU)",
            KernelFamily::Freebsd => "FreeBSD",
            KernelFamily::Openbsd => "OpenBSD",
            KernelFamily::Netbsd => "NetBSD",
            KernelFamily::Illumos => "illumos",
            KernelFamily::Windows => "Windows",
        }
    }
}

/// A version as the kernel numbers it, such as 6.18.44 or 4903.231.4; missing parts are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version(pub [u32; 5]);

impl Version {
    /// A version of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Version {
        Version([major, minor, patch, 0, 0])
    }

    /// Reads the leading numbers of `text`: `6.18.44-fc-v782` is 6.18.44. `None` without any.
    pub fn parse(text: &str) -> Option<Version> {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let mut parts = [0; 5];
        let mut any = false;
        for (part, number) in parts.iter_mut().zip(text[..end].trim_end_matches('.').split('.')) {
            *part = number.parse().ok()?;
            any = true;
        }
        any.then_some(Version(parts))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().rposition(|&n| n != 0).map_or(1, |i| i + 1).max(2);
        for (i, n) in self.0[..used].iter().enumerate() {
            write!(f, "{}{n}", if i == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// The kernel that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Kernel {
    /// Which family.
    pub family: KernelFamily,
    /// Which version.
    pub version: Version,
    /// The release as the kernel or the reader names it, such as `6.18.44-fc` or `macos-10.14.2`.
    pub release: Text,
}

impl Kernel {
    /// Whether a kernel of this version has `feature`, if that was read. Who names a series of Linux
    /// and no release of it, as `linux-6.18`, means the newest: features come into old series too.
    pub(crate) fn has(&self, feature: &Feature) -> Option<bool> {
        let series = self.release.strip_prefix("linux-").and_then(|name| name.split_once('.'));
        let is_series = series.is_some_and(|(_, minor)| minor.bytes().all(|b| b.is_ascii_digit()));
        let newest = match self.version.0 {
            [major, minor, 0, ..] if is_series => {
                feature.in_version(Version::new(major, minor, u32::MAX))
            }
            _ => None,
        };
        newest.or_else(|| feature.in_version(self.version))
    }
}

/// A difference between versions of one kernel.
#[derive(Debug)]
pub struct Feature {
    /// Stable name, `kernel.what`.
    pub id: &'static str,
    /// One line: what is so when the feature is there.
    pub title: &'static str,
    /// The last version read without it. `None`: it was in every version that was read.
    pub last_without: Option<Version>,
    /// The first version read with it. Between the two nobody looked.
    pub first_with: Version,
    /// Versions of which this is not so: where it was carried back, or lost for a while.
    pub exceptions: &'static [Exception],
    /// Where it can be read.
    pub cites: &'static [Cite],
}

/// Versions that have or lack a feature, whatever those around them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Whether they have it.
    pub has: bool,
    /// The first of them.
    pub from: Version,
    /// The first that is none of them any more.
    pub below: Version,
}

impl Exception {
    /// A series that got the feature with a point release.
    pub const fn carried_back(major: u32, minor: u32, patch: u32) -> Exception {
        let from = Version::new(major, minor, patch);
        Exception { has: true, from, below: Version::new(major, minor + 1, 0) }
    }

    /// Versions that lost the feature, up to the first that has it again.
    pub const fn lost(from: Version, below: Version) -> Exception {
        Exception { has: false, from, below }
    }
}

impl PartialEq for Feature {
    fn eq(&self, other: &Feature) -> bool {
        self.id == other.id
    }
}

impl Feature {
    /// Returns whether `version` has the feature, or `None` if nobody looked.
    pub fn in_version(&self, version: Version) -> Option<bool> {
        let exception = self.exceptions.iter().find(|e| (e.from..e.below).contains(&version));
        if let Some(exception) = exception {
            return Some(exception.has);
        }
        match self.last_without {
            _ if version >= self.first_with => Some(true),
            Some(without) if version <= without => Some(false),
            Some(_) => None,
            None => Some(true),
        }
    }
}
