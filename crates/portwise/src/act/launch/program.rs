//! The program to start: its file, and what the file tells.

use std::{
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
};

use portwise_sys::{exec, filecap, mount, path};

use super::{Asker, NotStarted, Plan};
use crate::Trouble;

/// A program file.
pub(super) struct File {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its capabilities, as bits of what it gets and may use at once.
    pub(super) capabilities: u64,
}

/// Finds the program of a command line.
pub(super) fn find(command: &[OsString]) -> Result<File, NotStarted> {
    let Some(name) = command.first() else {
        return Err(Trouble::new("no program is named; it stands behind `--`").into());
    };
    let found = exec::find(name, std::env::var_os("PATH").as_deref())
        .map_err(|errno| NotStarted::Program(name.clone(), errno))?;
    // Those of a script count for nothing, nor do any on a file system with nosuid.
    let is_binary = path::head(&found, 2).map_or(true, |head| head != b"#!");
    let counts = is_binary && mount::flags(&found).is_ok_and(|flags| !flags.nosuid);
    let capabilities = if counts { filecap::read(&found).ok().flatten() } else { None };
    let capabilities = capabilities.filter(|caps| caps.effective).map_or(0, |caps| caps.permitted);
    Ok(File { path: found, capabilities })
}

/// A program with the environment of this process and these variables.
pub(super) fn executable<'a>(
    path: &Path,
    command: &[OsString],
    variables: impl Iterator<Item = &'a (&'a str, String)>,
) -> Result<exec::Program, Trouble> {
    let set: Vec<(OsString, OsString)> =
        variables.map(|(name, value)| ((*name).into(), value.into())).collect();
    let is_kept = |name: &OsString| set.iter().all(|(other, _)| other != name);
    let kept: Vec<_> = std::env::vars_os().filter(|(name, _)| is_kept(name)).collect();
    exec::Program::new(path, command, kept.into_iter().chain(set))
        .map_err(|_| Trouble::new("an argument or variable contains a zero byte"))
}

impl File {
    /// The program, ready to be executed with the environment of this process and further
    /// variables.
    pub(super) fn program(
        &self,
        plan: &Plan,
        asker: &Asker,
        further: &[(&str, String)],
    ) -> Result<exec::Program, Trouble> {
        executable(&self.path, &plan.command, asker.environment.iter().chain(further))
    }

    /// Whether the program seems to take sockets that were made for it: its file contains the name
    /// of the variable that announces them. A script does not tell.
    pub(super) fn takes_sockets(&self) -> bool {
        const LONGEST: u64 = 256 << 20;
        const NAME: &[u8] = b"LISTEN_FDS";
        let Ok(file) = std::fs::File::open(&self.path) else { return false };
        let mut file = file.take(LONGEST);
        let mut bytes = vec![0; 1 << 16];
        let mut kept = 0;
        while let Ok(more @ 1..) = file.read(&mut bytes[kept..]) {
            let read = &bytes[..kept + more];
            if read.windows(NAME.len()).any(|window| window == NAME) {
                return true;
            }
            let tail = read.len().saturating_sub(NAME.len() - 1);
            let end = read.len();
            bytes.copy_within(tail..end, 0);
            kept = end - tail;
        }
        false
    }
}
