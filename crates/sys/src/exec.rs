//! execve(2): a program that takes the place of the calling one, and gets everything from it as if
//! it had been started directly.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;

use crate::{Errno, signal};

/// A program, ready to be executed without allocating.
pub struct Program {
    path: CString,
    // What the pointers below point to.
    _texts: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    // For a file that is a script without `#!`, as execvp(3) has it.
    as_script: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
}

impl Program {
    /// A program file with its arguments, the first of which is its name, and environment.
    ///
    /// # Errors
    /// `EINVAL` if a text contains a zero byte.
    pub fn new(
        path: &Path,
        arguments: &[OsString],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Program, Errno> {
        let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let path = text(path.as_os_str().as_bytes().to_vec())?;
        let mut texts = Vec::new();
        let mut pointers = |bytes: Vec<u8>| -> Result<*const libc::c_char, Errno> {
            let text = text(bytes)?;
            let pointer = text.as_ptr();
            // The bytes stay where they are when the vector grows.
            texts.push(text);
            Ok(pointer)
        };
        let mut given = Vec::new();
        for argument in arguments {
            given.push(pointers(argument.as_bytes().to_vec())?);
        }
        let mut variables = Vec::new();
        for (name, value) in environment {
            let mut bytes = name.into_vec();
            bytes.push(b'=');
            bytes.extend(value.into_vec());
            variables.push(pointers(bytes)?);
        }
        let mut as_script = vec![pointers(b"/bin/sh".to_vec())?, path.as_ptr()];
        as_script.extend(given.iter().skip(1));
        for list in [&mut given, &mut as_script, &mut variables] {
            list.push(ptr::null());
        }
        Ok(Program { path, _texts: texts, arguments: given, as_script, environment: variables })
    }

    /// Executes it, with `SIGPIPE` handled as it was when this process started. Returns only if
    /// that fails, with the errno.
    ///
    /// Allocates nothing, so that it can be called between fork(2) and execve(2).
    pub fn exec(&self) -> Errno {
        signal::restore_sigpipe();
        let errno = execve(&self.path, &self.arguments, &self.environment);
        if errno == Errno::ENOEXEC {
            return execve(c"/bin/sh", &self.as_script, &self.environment);
        }
        errno
    }
}

fn execve(
    path: &std::ffi::CStr,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> Errno {
    // SAFETY: the pointers are to texts that live, in lists that end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// Returns the file that executing `name` means: itself if it has a slash, else the first
/// executable one of that name in the directories of `path`, the value of `PATH`.
///
/// # Errors
/// `ENOENT` if there is none; `EACCES` if there is one that this user may not execute.
pub fn find(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Errno> {
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let mut outcome = Errno::ENOENT;
    if name.is_empty() {
        return Err(outcome);
    }
    for directory in std::env::split_paths(path.unwrap_or(OsStr::new("/bin:/usr/bin"))) {
        // An empty entry is the working directory.
        let directory =
            if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        let file = directory.join(name);
        if !file.is_file() {
            continue;
        }
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        match accessat(CWD, &file, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => return Ok(file),
            Err(_) => outcome = Errno::EACCES,
        }
    }
    Err(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_does() {
        let find = |name: &str, path: &str| find(OsStr::new(name), Some(OsStr::new(path)));
        assert_eq!(find("./sh", "/bin"), Ok("./sh".into()));
        assert_eq!(find("sh", "/nowhere:/bin"), Ok("/bin/sh".into()));
        assert_eq!(find("sh", "/nowhere"), Err(Errno::ENOENT));
        assert_eq!(find("", "/bin"), Err(Errno::ENOENT));
        assert_eq!(find("passwd", "/etc"), Err(Errno::EACCES));
    }

    #[test]
    fn texts_with_a_zero_byte_are_refused() {
        let program = Program::new(Path::new("/bin/true"), &["a\0b".into()], []);
        assert_eq!(program.err(), Some(Errno::EINVAL));
    }
}
