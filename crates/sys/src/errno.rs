//! errno(3): error numbers, their names and texts, and the error every reader returns.

use core::fmt;
use std::io;

/// An error number of the running kernel, as errno(3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

macro_rules! names {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, see errno(3).")]
                pub const $name: Errno = Errno(libc::$name);
            )*

            /// Returns the symbolic name, such as `EACCES`; `None` for a number this list lacks.
            pub fn name(self) -> Option<&'static str> {
                // Not a `match`: on some systems two names share a number.
                $(if self.0 == libc::$name { return Some(stringify!($name)); })*
                None
            }

            /// Returns the errno with this symbolic name on the running kernel.
            pub fn from_name(name: &str) -> Option<Errno> {
                match name { $(stringify!($name) => Some(Errno::$name),)* _ => None }
            }
        }
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC
    ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOSYS ENOTEMPTY ELOOP
    EOVERFLOW EBADMSG EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED
    EPROTO EILSEQ
}

impl Errno {
    /// Reads what the last failed call of this thread left behind.
    #[inline]
    pub fn last() -> Errno {
        Errno(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// Returns the text strerror(3) gives, such as `Permission denied`.
    pub fn text(self) -> String {
        let text = io::Error::from_raw_os_error(self.0).to_string();
        // The standard library appends " (os error 13)".
        match text.rfind(" (os error ") {
            Some(end) => text[..end].to_owned(),
            None => text,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

impl From<io::Error> for Errno {
    /// An error that never was one of the kernel becomes `EIO`.
    fn from(error: io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::EIO, Errno)
    }
}

/// A failed read: which call, on what, and the errno.
///
/// An answer that could be received but not understood is `EBADMSG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The call that failed, such as `open` or `sock_diag`.
    pub call: &'static str,
    /// Its error number.
    pub errno: Errno,
    /// The path, or the kernel's own explanation; may be empty. Untrusted text.
    pub detail: String,
}

impl Error {
    /// An error without detail.
    pub fn new(call: &'static str, errno: Errno) -> Error {
        Error { call, errno, detail: String::new() }
    }

    /// An error about `detail`, a path for instance.
    pub fn about(call: &'static str, errno: Errno, detail: impl Into<String>) -> Error {
        Error { call, errno, detail: detail.into() }
    }

    /// Says whether more privilege could have helped (`EPERM`, `EACCES`).
    pub fn is_denied(&self) -> bool {
        matches!(self.errno, Errno::EPERM | Errno::EACCES)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        write!(f, ": {} ({})", self.errno.text(), self.errno)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts() {
        assert_eq!(Errno::EADDRINUSE.name(), Some("EADDRINUSE"));
        assert_eq!(Errno::from_name("EACCES"), Some(Errno(libc::EACCES)));
        assert_eq!(Errno::from_name("ENONSENSE"), None);
        assert_eq!(Errno::EACCES.text(), "Permission denied");
        assert_eq!(Errno(99999).to_string(), "errno 99999");
    }

    #[test]
    fn an_error_says_what_failed() {
        let error = Error::about("open", Errno::EACCES, "/proc/1/fd");
        assert_eq!(error.to_string(), "open /proc/1/fd: Permission denied (EACCES)");
        assert!(error.is_denied());
    }
}
