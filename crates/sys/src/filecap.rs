//! capabilities(7): the capabilities of a file, kept in the attribute `security.capability`.

use std::ffi::OsStr;
use std::path::Path;

use crate::{Errno, Error};

/// The capabilities of a file, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCaps {
    /// What the program gets as far as its bounding set has it.
    pub permitted: u64,
    /// What the program gets as far as its process has it in the inheritable set.
    pub inheritable: u64,
    /// Whether the program starts with them effective.
    pub effective: bool,
    /// The root user of the user namespaces they are meant for, as the reader's namespace numbers
    /// it; 0 for the reader's own and all within.
    pub rootid: u32,
}

/// Reads the capabilities of a file, following symbolic links; `None` if it has none that count
/// in this user namespace. Needs the right to reach the file, not to read it.
///
/// # Errors
/// Those of stat(2); `EBADMSG` for an attribute that is none.
pub fn read(path: &Path) -> Result<Option<FileCaps>, Error> {
    let about = |call, errno| Error::about(call, errno, path.to_string_lossy());
    let mut bytes = [0u8; 64];
    let size = match rustix::fs::getxattr(path, OsStr::new("security.capability"), &mut bytes) {
        Ok(size) => size,
        Err(errno) => match Errno(errno.raw_os_error()) {
            // None at all, or of a user namespace beyond this one.
            Errno(libc::ENODATA) | Errno::EOPNOTSUPP | Errno::EOVERFLOW => return Ok(None),
            errno => return Err(about("getxattr", errno)),
        },
    };
    let parsed = bytes.get(..size).and_then(parse);
    parsed.map(Some).ok_or_else(|| about("getxattr", Errno::EBADMSG))
}

const REVISION_1: u32 = 0x0100_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const EFFECTIVE: u32 = 1;

/// Reads the value of the attribute: revision 1, 2, or 3 with a root user. `None` if it is none.
pub fn parse(bytes: &[u8]) -> Option<FileCaps> {
    let (words, []) = bytes.as_chunks::<4>() else { return None };
    let word = |n: usize| u64::from(words.get(n).copied().map_or(0, u32::from_le_bytes));
    let magic = u32::from_le_bytes(*words.first()?);
    let (halves, rootid) = match (magic & 0xff00_0000, words.len()) {
        (REVISION_1, 3) => (1, 0),
        (REVISION_2, 5) => (2, 0),
        (REVISION_3, 6) => (2, u32::from_le_bytes(words[5])),
        _ => return None,
    };
    let second = |n| if halves == 2 { word(n) << 32 } else { 0 };
    Some(FileCaps {
        permitted: word(1) | second(3),
        inheritable: word(2) | second(4),
        effective: magic & EFFECTIVE != 0,
        rootid,
    })
}

/// Writes the value of the attribute, of revision 2, or 3 with a root user.
pub fn format(caps: &FileCaps) -> Vec<u8> {
    let revision = if caps.rootid == 0 { REVISION_2 } else { REVISION_3 };
    let halves = |set: u64| [set as u32, (set >> 32) as u32];
    let ([permitted, permitted_high], [inheritable, inheritable_high]) =
        (halves(caps.permitted), halves(caps.inheritable));
    let mut words = vec![
        revision | u32::from(caps.effective),
        permitted,
        inheritable,
        permitted_high,
        inheritable_high,
    ];
    words.extend((caps.rootid != 0).then_some(caps.rootid));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Gives a file capabilities in place of those it has. Needs `CAP_SETFCAP`.
///
/// # Errors
/// `EPERM`; `EOPNOTSUPP` on file systems without extended attributes.
pub fn write(path: &Path, caps: &FileCaps) -> Result<(), Error> {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, OsStr::new("security.capability"), &format(caps), flags).map_err(
        |errno| Error::about("setxattr", Errno(errno.raw_os_error()), path.to_string_lossy()),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_as_setcap_writes_them() {
        // cap_net_bind_service=ep
        let ep = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let caps = FileCaps { permitted: 0x400, effective: true, ..FileCaps::default() };
        assert_eq!(parse(&ep), Some(caps));
        assert_eq!(format(&caps), ep);
        // cap_net_bind_service=ip for root of a user namespace, 100000 outside.
        let namespaced =
            FileCaps { permitted: 0x400, inheritable: 0x400, effective: false, rootid: 100_000 };
        assert_eq!(format(&namespaced).len(), 24);
        assert_eq!(parse(&format(&namespaced)), Some(namespaced));
        let old = [1, 0, 0, 1, 0, 4, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse(&old), Some(caps));
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[1, 0, 0, 4]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(permitted: u64, inheritable: u64, effective: bool, rootid: u32) {
            let caps = FileCaps { permitted, inheritable, effective, rootid };
            prop_assert_eq!(parse(&format(&caps)), Some(caps));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(caps) = parse(&bytes) {
                prop_assert!([12, 20, 24].contains(&bytes.len()));
                prop_assert!(bytes.len() == 24 || caps.rootid == 0);
                prop_assert!(bytes.len() > 12 || (caps.permitted | caps.inheritable) >> 32 == 0);
            }
        }
    }

    #[test]
    fn files_without_capabilities() {
        assert_eq!(read(Path::new("/proc/self/exe")), Ok(None));
        assert_eq!(read(Path::new("/nowhere/at/all")).unwrap_err().errno, Errno::ENOENT);
    }
}
