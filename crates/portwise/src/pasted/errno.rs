//! The errno of a message: by its name, its text, its number, or by what the message says in words
//! of its own.

use std::fmt;

use portwise_model::{Errno, KernelFamily};
use serde::Serialize;

use super::words::{Word, Words};

/// A system with error numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Linux, with the numbers of `asm-generic/errno.h`: all but Alpha, MIPS, PA-RISC and SPARC.
    Linux,
    /// macOS, whose numbers the BSDs share as far as `bind` and `listen` go.
    Macos,
    /// Windows, with those of Winsock.
    Windows,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Linux => "Linux",
            System::Macos => "macOS or a BSD",
            System::Windows => "Windows",
        })
    }
}

impl From<KernelFamily> for System {
    fn from(family: KernelFamily) -> System {
        match family {
            KernelFamily::Linux => System::Linux,
            KernelFamily::Windows => System::Windows,
            // The numbers of illumos are others: see `given`.
            _ => System::Macos,
        }
    }
}

/// How a message tells its errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// By its name, such as `EACCES`.
    Name,
    /// By the text of a C library or of the system.
    Text,
    /// By its number.
    Number,
    /// Not at all: the program has its own words, and they amount to this errno.
    Words,
}

/// Numbers on Linux, macOS and Windows; 0 where there is none.
const NUMBERS: &[(Errno, [u16; 3])] = &[
    (Errno::EPERM, [1, 1, 0]),
    (Errno::ENOENT, [2, 2, 0]),
    (Errno::ENOEXEC, [8, 8, 0]),
    (Errno::EBADF, [9, 9, 10009]),
    (Errno::EAGAIN, [11, 35, 10035]),
    (Errno::EACCES, [13, 13, 10013]),
    (Errno::EFAULT, [14, 14, 10014]),
    (Errno::ENODEV, [19, 19, 0]),
    (Errno::EINVAL, [22, 22, 10022]),
    (Errno::ENAMETOOLONG, [36, 63, 10063]),
    (Errno::ELOOP, [40, 62, 10062]),
    (Errno::ENOTSOCK, [88, 38, 10038]),
    (Errno::EDESTADDRREQ, [89, 39, 10039]),
    (Errno::EPROTOTYPE, [91, 41, 10041]),
    (Errno::ENOPROTOOPT, [92, 42, 10042]),
    (Errno::EPROTONOSUPPORT, [93, 43, 10043]),
    (Errno::ESOCKTNOSUPPORT, [94, 44, 10044]),
    (Errno::EOPNOTSUPP, [95, 102, 10045]),
    (Errno::EAFNOSUPPORT, [97, 47, 10047]),
    (Errno::EADDRINUSE, [98, 48, 10048]),
    (Errno::EADDRNOTAVAIL, [99, 49, 10049]),
    (Errno::ENETUNREACH, [101, 51, 10051]),
    (Errno::ECONNABORTED, [103, 53, 10053]),
    (Errno::ECONNRESET, [104, 54, 10054]),
    (Errno::EPIPE, [32, 32, 0]),
    (Errno::EISCONN, [106, 56, 10056]),
    (Errno::ENOTCONN, [107, 57, 10057]),
    (Errno::ETIMEDOUT, [110, 60, 10060]),
    (Errno::ECONNREFUSED, [111, 61, 10061]),
    (Errno::EHOSTUNREACH, [113, 65, 10065]),
    (Errno::EALREADY, [114, 37, 10037]),
    (Errno::EINPROGRESS, [115, 36, 10036]),
];

const SYSTEMS: [System; 3] = [System::Linux, System::Macos, System::Windows];

/// The errno with this number on a system.
pub fn numbered(number: u16, system: System) -> Option<Errno> {
    let column = SYSTEMS.iter().position(|&s| s == system)?;
    NUMBERS.iter().find(|(_, all)| number != 0 && all[column] == number).map(|(errno, _)| *errno)
}

/// Reads an errno as it is given by hand: its name, or its number on the kernel asked about.
///
/// # Errors
/// One line for the user if it is neither.
pub fn given(word: &str, kernel: KernelFamily) -> Result<Errno, String> {
    let system = System::from(kernel);
    let name = word.to_ascii_uppercase();
    if let Some(errno) = Errno::from_name(name.strip_prefix("WSA").unwrap_or(&name)) {
        return Ok(errno);
    }
    let Ok(number) = word.strip_prefix('-').unwrap_or(word).parse::<u16>() else {
        return Err(format!("`{word}` is no errno of bind or listen, such as EACCES or 13"));
    };
    if kernel == KernelFamily::Illumos {
        return Err("the errno numbers of illumos are not known here; give its name".into());
    }
    numbered(number, system).ok_or_else(|| {
        let others = SYSTEMS.iter().filter(|&&other| other != system);
        let there = others.filter_map(|&other| Some((other, numbered(number, other)?))).next();
        let there = there.map(|(other, errno)| format!("; on {other} it is {errno}"));
        let there = there.unwrap_or_default();
        format!("{number} is no errno of bind or listen on {system}, such as EACCES or 13{there}")
    })
}

/// Texts that are not those of Linux's `strerror`, and names that are not those of the manual.
const TEXTS: &[(&str, Errno, How, Option<System>)] = {
    use {Errno::*, How::*, System::*};
    &[
        ("address in use", EADDRINUSE, Text, None),
        ("only one usage of each socket address", EADDRINUSE, Text, Some(Windows)),
        ("addrinuse", EADDRINUSE, Name, None),
        ("can't assign requested address", EADDRNOTAVAIL, Text, Some(Macos)),
        ("address not available", EADDRNOTAVAIL, Text, None),
        ("requested address is not valid in its context", EADDRNOTAVAIL, Text, Some(Windows)),
        ("addrnotavailable", EADDRNOTAVAIL, Name, None),
        ("in a way forbidden by its access permissions", EACCES, Text, Some(Windows)),
        ("permissiondenied", EACCES, Name, None),
        ("address family not supported by protocol family", EAFNOSUPPORT, Text, Some(Macos)),
        ("address incompatible with the requested protocol", EAFNOSUPPORT, Text, Some(Windows)),
        ("an invalid argument was supplied", EINVAL, Text, Some(Windows)),
        // Qt says what it took the errno for.
        ("bound address is already in use", EADDRINUSE, Text, None),
        ("the address is protected", EACCES, Text, None),
        ("the address is not available", EADDRNOTAVAIL, Text, None),
        ("port is already allocated", EADDRINUSE, Words, None),
        ("already in use", EADDRINUSE, Words, None),
        ("is in use", EADDRINUSE, Words, None),
        ("in use?", EADDRINUSE, Words, None),
        ("(in use)", EADDRINUSE, Words, None),
        ("connection in use", EADDRINUSE, Words, None),
        ("port in use", EADDRINUSE, Words, None),
        ("already running on port", EADDRINUSE, Words, None),
        ("already running at port", EADDRINUSE, Words, None),
        ("already listen on", EADDRINUSE, Words, None),
        ("already listening on", EADDRINUSE, Words, None),
        ("being used by another process", EADDRINUSE, Words, None),
        ("another process may be running", EADDRINUSE, Words, None),
        ("expose privileged port", EACCES, Words, None),
        ("privileged ports can only", EACCES, Words, None),
        ("permission to access that port", EACCES, Words, None),
        ("address can't be assigned to", EADDRNOTAVAIL, Words, None),
    ]
};

/// Words before a number that make it an errno.
const CUES: [&str; 7] = ["errno", "error", "code", "exception", "failed", "err", "errorcode"];

/// An errno in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub errno: Errno,
    pub how: How,
    /// The system it is of, if only one says it like that.
    pub system: Option<System>,
    /// Where, in bytes.
    pub at: usize,
    pub line: usize,
}

/// Finds every errno of a message.
pub(super) fn find(words: &Words<'_>) -> Vec<Found> {
    let lower = words.text.to_ascii_lowercase();
    let ends: Vec<usize> = lower.match_indices('\n').map(|(at, _)| at).collect();
    let mut found = Vec::new();
    let mut add = |phrase: &str, errno, how, system| {
        for (at, _) in lower.match_indices(phrase) {
            if is_whole(&lower, at, phrase) {
                let line = ends.partition_point(|&end| end < at);
                found.push(Found { errno, how, system, at, line });
            }
        }
    };
    for &errno in Errno::ALL {
        let name = errno.name().to_ascii_lowercase();
        add(&name, errno, How::Name, None);
        add(&format!("wsa{name}"), errno, How::Name, Some(System::Windows));
        add(&errno.text().to_ascii_lowercase(), errno, How::Text, None);
    }
    for &(phrase, errno, how, system) in TEXTS {
        add(phrase, errno, how, system);
    }
    let numbers = (0..words.list.len()).filter_map(|index| number(words, index));
    found.extend(numbers);
    found
}

/// Whether a phrase stands by itself, not inside a longer word.
fn is_whole(text: &str, at: usize, phrase: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric();
    let end = at + phrase.len();
    let goes_on = phrase.ends_with(inside) && text[end..].starts_with(inside);
    !goes_on && !text[..at].ends_with(inside)
}

/// Reads the word at `index` as an error number.
fn number(words: &Words<'_>, index: usize) -> Option<Found> {
    let word = words.get(index)?;
    let number: u16 = word.plain().parse().ok()?;
    let gap = words.gap(index);
    if gap.contains('\n') || gap.len() > 4 {
        return None;
    }
    let before = index.checked_sub(1).and_then(|i| words.get(i));
    let cue = before.map(|word| word.plain().to_ascii_lowercase()).unwrap_or_default();
    let is_cued = CUES.iter().any(|word| cue.ends_with(word));
    let names_errno = cue.ends_with("errno") || cue == "error" && is_os_error(words, index);
    // `(13)Permission denied`, `failed, (10013).`
    let in_parentheses = gap.ends_with('(') && number > 2;
    let of = |system| numbered(number, system).filter(|&errno| is_of_bind(errno));
    let everywhere = of(System::Linux).is_some() && of(System::Linux) == of(System::Macos);
    if !(names_errno || is_cued && number > 2 || in_parentheses && (everywhere || number > 40)) {
        return None;
    }
    let (system, errno) = SYSTEMS.iter().find_map(|&system| Some((system, of(system)?)))?;
    let system = (!everywhere).then_some(system);
    Some(Found { errno, how: How::Number, system, at: word.start, line: word.line })
}

fn is_os_error(words: &Words<'_>, index: usize) -> bool {
    index.checked_sub(2).and_then(|i| words.get(i)).is_some_and(|w: &Word<'_>| w.is_any(&["os"]))
}

/// Numbers are read only for what `bind` and `listen` answer: small numbers are many things.
fn is_of_bind(errno: Errno) -> bool {
    use Errno::*;
    matches!(errno, EPERM | EACCES | ENODEV | EINVAL | EOPNOTSUPP)
        || matches!(errno, EAFNOSUPPORT | EADDRINUSE | EADDRNOTAVAIL)
}

/// The errno nearest to a place of the message: one that is told before one that is meant.
pub(super) fn nearest(found: &[Found], line: usize, at: usize) -> Option<Found> {
    let told = |f: &&Found| match f.how {
        How::Name | How::Text => 0,
        How::Number => 1,
        How::Words => 2,
    };
    let nearest = found
        .iter()
        .min_by_key(|f| (told(f) == 2, f.line.abs_diff(line), told(f), f.at.abs_diff(at)));
    let system = |f: &Found| {
        let same = found.iter().filter(|other| other.errno == f.errno);
        same.filter_map(|other| other.system).next()
    };
    nearest.map(|f| Found { system: f.system.or_else(|| system(f)), ..*f })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<(Errno, How, Option<System>)> {
        let found = find(&Words::of(text));
        nearest(&found, 0, 0).map(|f| (f.errno, f.how, f.system))
    }

    #[test]
    fn numbers_are_of_the_kernel_asked() {
        assert_eq!(given("98", KernelFamily::Linux), Ok(Errno::EADDRINUSE));
        assert_eq!(given("-98", KernelFamily::Linux), Ok(Errno::EADDRINUSE));
        assert_eq!(given("48", KernelFamily::Xnu), Ok(Errno::EADDRINUSE));
        assert_eq!(given("eacces", KernelFamily::Xnu), Ok(Errno::EACCES));
        assert_eq!(given("WSAEACCES", KernelFamily::Linux), Ok(Errno::EACCES));
        let wrong = given("48", KernelFamily::Linux).unwrap_err();
        assert!(wrong.contains("on macOS or a BSD it is EADDRINUSE"), "{wrong}");
        assert!(
            given("10013", KernelFamily::Linux).unwrap_err().contains("on Windows it is EACCES")
        );
        for word in ["EFOO", "", "0", "70000", "-", "bind"] {
            assert!(given(word, KernelFamily::Linux).is_err(), "{word}");
        }
    }

    #[test]
    fn every_errno_has_its_numbers() {
        for errno in Errno::ALL {
            assert!(NUMBERS.iter().any(|(known, _)| known == errno), "{errno}");
        }
        for system in SYSTEMS {
            for (errno, all) in NUMBERS {
                let number = all[SYSTEMS.iter().position(|&s| s == system).unwrap()];
                assert!(number == 0 || numbered(number, system) == Some(*errno), "{errno}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_numbers_of_linux_are_those_of_the_running_kernel() {
        for (errno, [number, ..]) in NUMBERS {
            let here = portwise_sys::Errno::from_name(errno.name());
            assert_eq!(here.map(|e| e.0), Some(i32::from(*number)), "{errno}");
        }
    }

    #[test]
    fn names_texts_numbers_and_words() {
        use Errno::*;
        use How::*;
        for (text, errno) in [
            ("Permission denied", Some((EACCES, Text, None))),
            ("listen EACCES", Some((EACCES, Name, None))),
            ("Errno::EADDRINUSE", Some((EADDRINUSE, Name, None))),
            (":eaddrinuse", Some((EADDRINUSE, Name, None))),
            ("WSAEADDRINUSE", Some((EADDRINUSE, Name, Some(System::Windows)))),
            ("kind: AddrInUse", Some((EADDRINUSE, Name, None))),
            ("[Errno 48] x", Some((EADDRINUSE, Number, Some(System::Macos)))),
            ("[Errno 13] x", Some((EACCES, Number, None))),
            ("errno: -98", Some((EADDRINUSE, Number, Some(System::Linux)))),
            ("(98)Adresse wird bereits verwendet", Some((EADDRINUSE, Number, Some(System::Linux)))),
            ("failed (13: ...)", Some((EACCES, Number, None))),
            ("failed, (10013).", Some((EACCES, Number, Some(System::Windows)))),
            ("os error 1", Some((EPERM, Number, None))),
            ("[Errno 98] Address already in use", Some((EADDRINUSE, Text, Some(System::Linux)))),
            ("Port 3000 is in use", Some((EADDRINUSE, Words, None))),
            ("exit code 1", None),
            ("bind(2)", None),
            ("AH00072: make_sock", None),
            ("PEACCESS", None),
            ("in user land", None),
        ] {
            assert_eq!(told(text), errno, "{text}");
        }
    }
}
