//! env(1), which most scripts name in their first line: it becomes the program it is given.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

/// Whether a program is `env`.
pub(super) fn is(program: &Path) -> bool {
    program.file_name() == Some(OsStr::new("env"))
}

/// What `env` starts.
pub(super) struct Next {
    pub(super) command: Vec<OsString>,
    /// The `PATH` it sets before it looks the program up.
    pub(super) path: Option<OsString>,
}

/// Reads the arguments of `env`; `None` if it starts nothing, or is asked for what is not known.
pub(super) fn next(arguments: &[OsString]) -> Option<Next> {
    let mut left: Vec<OsString> = arguments.to_vec();
    let mut path = None;
    loop {
        let word = left.first()?.clone();
        let bytes = word.as_bytes();
        if let Some(text) = split_string(bytes) {
            left.remove(0);
            // A blank after -S, or the words in the same argument.
            let text = if text.is_empty() { take(&mut left)?.into_vec() } else { text.to_vec() };
            left.splice(0..0, words(&text));
        } else if bytes == b"--" {
            left.remove(0);
            return Some(Next { command: left, path }).filter(|next| !next.command.is_empty());
        } else if matches!(bytes, b"-i" | b"-" | b"--ignore-environment" | b"-0" | b"-v") {
            left.remove(0);
        } else if matches!(bytes, b"-u" | b"--unset" | b"-C" | b"--chdir") {
            left.drain(..left.len().min(2));
        } else if bytes.starts_with(b"--unset=") || bytes.starts_with(b"--chdir=") {
            left.remove(0);
        } else if bytes.starts_with(b"-") {
            return None;
        } else if bytes.contains(&b'=') {
            let set = bytes.strip_prefix(b"PATH=").map(|p| OsString::from_vec(p.to_vec()));
            path = set.or(path);
            left.remove(0);
        } else {
            return Some(Next { command: left, path });
        }
    }
}

fn take(left: &mut Vec<OsString>) -> Option<OsString> {
    (!left.is_empty()).then(|| left.remove(0))
}

/// What stands behind `-S`.
fn split_string(word: &[u8]) -> Option<&[u8]> {
    let long = word.strip_prefix(b"--split-string");
    let long = long.map(|rest| rest.strip_prefix(b"=").unwrap_or(rest));
    long.or(word.strip_prefix(b"-S")).or(word.strip_prefix(b"-vS")).map(|rest| {
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        &rest[blanks..]
    })
}

fn words(text: &[u8]) -> Vec<OsString> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_env_starts() {
        let started = |line: &[&str]| {
            let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
            next(&arguments).map(|next| {
                let words: Vec<_> =
                    next.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
                (words.join(" "), next.path.map(|path| path.to_string_lossy().into_owned()))
            })
        };
        let plain = |command: &str| Some((command.to_string(), None));
        assert_eq!(started(&["python3", "/srv/app"]), plain("python3 /srv/app"));
        assert_eq!(started(&["-S python3 -u", "/srv/app"]), plain("python3 -u /srv/app"));
        assert_eq!(started(&["-S", "node --inspect", "x"]), plain("node --inspect x"));
        assert_eq!(started(&["--split-string=ruby -w", "x"]), plain("ruby -w x"));
        assert_eq!(started(&["-i", "-u", "HOME", "A=b", "sh", "-c", "x"]), plain("sh -c x"));
        assert_eq!(started(&["--", "sh"]), plain("sh"));
        let elsewhere = Some(("server".to_string(), Some("/opt/bin".to_string())));
        assert_eq!(started(&["PATH=/opt/bin", "server"]), elsewhere);
        for nothing in [&[][..], &["A=b"], &["-i"], &["--"], &["--unheard-of", "sh"], &["-S"]] {
            assert_eq!(started(nothing), None, "{nothing:?}");
        }
    }
}
