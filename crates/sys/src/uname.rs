//! uname(2): which kernel runs.

use std::ffi::CStr;

use crate::{Errno, Error};

/// Returns the release of the running kernel, such as `6.18.44`. Needs no privilege.
///
/// # Errors
/// None is known.
pub fn release() -> Result<String, Error> {
    // SAFETY: all-zero is a valid utsname.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills in one utsname.
    if unsafe { libc::uname(&raw mut name) } < 0 {
        return Err(Error::new("uname", Errno::last()));
    }
    // SAFETY: the call ended each field with a zero byte.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    Ok(release.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_release_is_that_in_proc() {
        let there = crate::proc::Proc::default().sysctl("kernel.osrelease").unwrap();
        assert_eq!(super::release(), Ok(there));
    }
}
