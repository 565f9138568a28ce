//! `run -l ENDPOINT… -- CMD …`: a program started with just enough right to bind those.

use std::{ffi::OsString, os::unix::process::ExitStatusExt, process::ExitStatus};

use portwise_sys::{Errno, signal};

use super::targets;
use crate::{
    Trouble,
    act::launch::{self, Looked, NotStarted, Plan, Rung, Words},
    cli::{Global, Output},
    observe::user,
    render::clean,
};

/// Examples for the help.
pub(crate) const EXAMPLES: &str = "\
It says on standard error how it gives the right, and why no better way was open; -q says nothing.
Then it becomes the program.

Examples:
  sudo portwise run --user www-data -l 127.0.0.1:80 -- php -S 127.0.0.1:80
  sudo portwise run --user nobody -l '*:53/udp' -l '*:53' -- ./resolver
  portwise run -l 127.0.0.1:80 --dry-run -- ./server
  portwise run -l '*:443' --user www-data --print-unit -- /usr/local/bin/server

Exit status: that of the program; 127 if it is not found, 126 if it cannot be executed, 2 if there
is no way or another trouble; with --dry-run 0 if there is a way, 1 if not";

/// Arguments of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// An address and port that the program may bind, such as 127.0.0.1:80; may be repeated
    #[arg(short, long = "listen", value_name = "ENDPOINT")]
    pub listen: Vec<String>,
    /// Run it as this user, with the user's groups; needs root
    #[arg(long, value_name = "USER|UID[:GROUP]")]
    pub user: Option<String>,
    /// Only in this way
    #[arg(long, value_enum, value_name = "WAY")]
    pub how: Option<Rung>,
    /// Say how it would be started, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write systemd units that do the same, and do nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub print_unit: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Runs the verb. Returns only if it did not become the program.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() || global.netns.is_some() {
        return Err(Trouble::new("run starts a program here; leave out --on, --facts, --netns"));
    }
    if global.who.is_some() || global.pid.is_some() {
        return Err(Trouble::new("run starts a program; --user says as whom"));
    }
    if global.json {
        return Err(Trouble::new("run writes no JSON; leave out --json"));
    }
    if args.listen.is_empty() {
        return Err(Trouble::new("run: say what may be bound, such as -l 127.0.0.1:80"));
    }
    let endpoints = global.endpoints(&args.listen)?;
    let user = args.user.as_deref().map(|who| user::named(who, &user::here())).transpose();
    let user = user.map_err(|what| Trouble::new(what.replace("--as", "--user")))?;
    let mut setting = global.setting()?;
    let settings = global.socket_settings();
    let mut plan =
        Plan { targets: Vec::new(), settings, user, how: args.how, command: args.command.clone() };
    for endpoint in &endpoints {
        plan.targets.extend(targets(&setting, endpoint, global.family(), &plan.settings)?);
    }
    let looked = if args.dry_run {
        launch::look(&plan, &mut setting)
    } else if args.print_unit {
        return match launch::units(&plan, &mut setting) {
            Ok(units) => {
                output.data(&units);
                Ok(0)
            }
            Err(not_started) => failed(not_started, output),
        };
    } else {
        return match launch::start(&plan, &mut setting, |words| say(words, global.quiet, output)) {
            Ok(ended) => Ok(end_as(ended)),
            Err(not_started) => failed(not_started, output),
        };
    };
    match looked {
        Ok(Looked { words, is_possible }) => {
            say(&words, global.quiet, output);
            Ok(if is_possible { 0 } else { 1 })
        }
        Err(not_started) => failed(not_started, output),
    }
}

fn say(words: &Words, quiet: bool, output: &mut Output<'_>) {
    if !quiet {
        let lines = words.lines.iter().map(|line| format!("portwise: {}\n", clean(line)));
        output.note(&lines.collect::<String>());
    }
}

/// Ends as the program did: by the same signal, or returns the same status.
pub(super) fn end_as(ended: ExitStatus) -> u8 {
    if let Some(signal) = ended.signal() {
        signal::end_self_by(signal);
    }
    ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)
}

/// The exit status where nothing was started: as env(1) has it where the program is to blame.
pub(super) fn failed(not_started: NotStarted, output: &mut Output<'_>) -> Result<u8, Trouble> {
    match not_started {
        NotStarted::Trouble(trouble) => Err(trouble),
        NotStarted::NoWay(words) => {
            say(&words, false, output);
            Ok(2)
        }
        NotStarted::Program(name, errno) => {
            let name = name.to_string_lossy();
            output.note(&format!(
                "portwise: cannot execute `{}`: {} ({errno})\n",
                clean(&name),
                errno.text()
            ));
            Ok(if errno == Errno::ENOENT { 127 } else { 126 })
        }
    }
}
