//! `trace -- CMD …`: a program watched, and each bind, listen and connect that fails explained.

use std::{ffi::OsString, fs::File, io::Write, path::PathBuf};

use super::run::{end_as, failed};
use crate::{
    Trouble,
    act::trace::{self, Plan, Told},
    cli::{Global, Output},
    observe::user,
    render::trace as render,
};

/// Examples for the help.
pub(crate) const EXAMPLES: &str = "\
What is told goes to standard error, among what the program says there. Nothing that the program
does ends otherwise than without it, but for this: a debugger cannot attach, and without root
programs gain no rights of their own by set-ID bits or file capabilities.

Examples:
  portwise trace -- php -S 127.0.0.1:80
  portwise trace -v -- node server.js       also what succeeds, and what that covers
  portwise trace -q -o calls.jsonl -- make check
  sudo portwise trace --user alice -- ./server

Exit status: that of the program; 127 if it is not found, 126 if it cannot be executed, 2 if it
cannot be watched";

/// Arguments of `trace`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Write what is told to this file too, in lines of JSON
    #[arg(short, long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Run it as this user, with the user's groups; needs root
    #[arg(long, value_name = "USER|UID[:GROUP]")]
    pub user: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Runs the verb and returns the exit status of the program.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() || global.netns.is_some() {
        return Err(Trouble::new("trace watches a program here; leave out --on, --facts, --netns"));
    }
    if global.who.is_some() || global.pid.is_some() {
        return Err(Trouble::new("trace starts a program; --user says as whom"));
    }
    if global.json {
        return Err(Trouble::new("trace writes JSON into a file; -o FILE in place of --json"));
    }
    let user = args.user.as_deref().map(|who| user::named(who, &user::here())).transpose();
    let user = user.map_err(|what| Trouble::new(what.replace("--as", "--user")))?;
    let mut file = match &args.out {
        None => None,
        Some(path) => Some(
            File::create(path)
                .map_err(|e| Trouble::new(format!("cannot write {}: {e}", path.display())))?,
        ),
    };
    let plan = Plan { user, command: args.command.clone(), successes: global.verbose };
    let style = output.error_style();
    let quiet = global.quiet;
    let mut unwritten = None;
    let mut tell = |told: Told<'_>| {
        let (text, line) = match &told {
            Told::Note(text) => (render::note(text), render::note_json(text)),
            Told::Failed(failure) if failure.again => {
                (String::new(), render::failure_json(failure))
            }
            Told::Failed(failure) => {
                (render::failure(failure, style), render::failure_json(failure))
            }
            Told::Succeeded(record, covers) => (
                render::success(record, covers.as_deref()),
                render::success_json(record, covers.as_deref()),
            ),
            Told::WrongHint(record, hint, because) => (
                render::wrong_hint(record, hint, because),
                render::wrong_hint_json(record, hint, because),
            ),
            Told::Ended(summary) => (render::summary(summary), render::summary_json(summary)),
        };
        if !quiet && !text.is_empty() {
            output.note(&text);
        }
        if let Some(file) = &mut file
            && let Err(error) = file.write_all(line.as_bytes())
        {
            unwritten = Some(error);
        }
    };
    let ended = match trace::run(&plan, &mut tell) {
        Ok(ended) => ended,
        Err(not_started) => return failed(not_started, output),
    };
    if let Some(error) = unwritten {
        output.note(&format!("portwise: --out: {error}\n"));
    }
    Ok(end_as(ended))
}
