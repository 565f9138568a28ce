//! uname(2): which kernel runs.

use std::ffi::CStr;

use crate::{Errno, Error};

/// The name of the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uname {
    /// The release, such as `6.18.44`.
    pub release: String,
    /// How and when it was built, such as `#1 SMP Debian 6.1.192-2 (2026-08-01)`.
    pub version: String,
}

/// Returns the name of the running kernel. Needs no privilege.
///
/// # Errors
/// None is known.
pub fn uname() -> Result<Uname, Error> {
    // SAFETY: all-zero is a valid utsname.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills in one utsname.
    if unsafe { libc::uname(&raw mut name) } < 0 {
        return Err(Error::new("uname", Errno::last()));
    }
    let text = |field: &[libc::c_char]| {
        // SAFETY: the call ended each field with a zero byte.
        unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
    };
    Ok(Uname { release: text(&name.release), version: text(&name.version) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_that_in_proc() {
        let proc = crate::proc::Proc::default();
        let name = super::uname().unwrap();
        assert_eq!(Ok(name.release), proc.sysctl("kernel.osrelease"));
        assert_eq!(Ok(name.version), proc.sysctl("kernel.version"));
    }
}
