//! `fix ENDPOINT [--apply N]`: the changes that would allow a bind, numbered; one of them made on
//! request, checked by deciding again, and with the way back.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{KernelReport, kernel, unix};
use crate::{
    Answer, Endpoint, Setting, Trouble,
    act::fix::{Action, Undo},
    cli::{Global, Output, ProgramArg},
    explain::FixReport,
    render::{fix as render, json, text},
    unix::{Call, Name},
};

/// Examples for the help.
pub(crate) const EXAMPLES: &str = "\
Without --apply nothing is changed. With it the command of that fix is shown, run once you say yes
on the terminal (or at once with --yes), and the question is asked again. What leads back is printed.

Examples:
  portwise fix 127.0.0.1:3000
  portwise fix 3000 --apply 2                    asks before it runs anything
  sudo portwise fix 0.0.0.0:80 --apply 1 --yes -- /srv/app/server
  portwise fix unix:/run/app.sock

Exit status: 0 nothing to fix, or it helped; 1 there are fixes, or it did not help; 2 usage or
trouble, such as a fix that has nothing to run; 3 cannot be known from here";

/// Arguments of `fix`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// An address and port, such as 127.0.0.1:80 or 3000, or unix:/run/app.sock
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// Make this change, by its number in the list
    #[arg(long, value_name = "N")]
    pub apply: Option<usize>,
    /// Do not ask
    #[arg(long, requires = "apply")]
    pub yes: bool,
    #[command(flatten)]
    pub(crate) program: ProgramArg,
}

/// The answer to one address, with its fixes.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    /// The address and port, or the name of a Unix socket.
    pub endpoint: String,
    /// The answer.
    pub answer: Answer,
    /// The same in words.
    pub said: String,
    /// The fixes.
    pub fixes: Vec<Numbered>,
}

/// A fix with its number.
#[derive(Clone, Debug, Serialize)]
pub struct Numbered {
    /// What `--apply` takes.
    pub number: usize,
    /// Whether `--apply` has something to run.
    pub applicable: bool,
    /// Why it has not.
    pub why_not: Option<String>,
    /// The fix.
    #[serde(flatten)]
    pub fix: FixReport,
}

/// What a fix came to.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// Its number.
    pub number: usize,
    /// What was run.
    pub command: String,
    /// Whether the answer is yes now.
    pub helped: bool,
    /// The answer now, in words.
    pub said: String,
    /// The command that undoes it.
    pub undo: Option<String>,
    /// What is to be said of that, or why there is none.
    pub undo_note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    assumed: &'a [String],
    answers: &'a [Answered],
    applied: Option<&'a Applied>,
}

/// What is asked.
enum Asked {
    Ip(Endpoint),
    Unix(Name),
}

/// How long a change may take to show.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let asked = match unix::names(std::slice::from_ref(&args.endpoint))?.and_then(|mut n| n.pop()) {
        Some(name) => Asked::Unix(name),
        None => Asked::Ip(args.endpoint.parse::<Endpoint>()?),
    };
    let (answers, setting) = answers(&asked, args, global)?;
    let Some(number) = args.apply else {
        write(&setting, &answers, None, global, output);
        return Ok(status(&answers));
    };
    if setting.runner.is_none() {
        return Err(Trouble::new("--apply changes this machine; leave out --on and --facts"));
    }
    let all: Vec<&Numbered> = answers.iter().flat_map(|answered| &answered.fixes).collect();
    let Some(chosen) = all.iter().find(|numbered| numbered.number == number) else {
        return Err(Trouble::new(match all.len() {
            0 => "there is nothing to fix, or no fix is known".into(),
            most => format!(
                "--apply {number}: there are fixes 1 to {most}; without --apply they \
                             are listed"
            ),
        }));
    };
    let action = Action::of(&chosen.fix)
        .map_err(|why| Trouble::new(format!("fix {number} cannot be applied: {why}")))?;
    output.note(&render::about_to_run(number, &action.command));
    if !args.yes && !confirmed(output)? {
        return Err(Trouble::new("nothing was changed"));
    }
    drop(setting);
    action.run()?;
    let (helped, now, setting) = again(&asked, args, global)?;
    let Undo { command: undo, note: undo_note } = action.undo;
    let said = now.iter().map(|answered| match (answered.answer, helped) {
        (Answer::Yes, _) | (_, false) => format!("{}: {}", answered.answer.word(), answered.said),
        _ => {
            "its file gives it the right by now: it counts once the program is started anew".into()
        }
    });
    let said = said.collect::<Vec<_>>().join("; ");
    let applied = Applied { number, command: action.command, helped, said, undo, undo_note };
    write(&setting, &now, Some(&applied), global, output);
    Ok(u8::from(!helped))
}

/// Whether whoever sits at the terminal agrees.
fn confirmed(output: &mut Output<'_>) -> Result<bool, Trouble> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Trouble::new(
            "nothing was changed: there is no terminal to ask on; --yes applies it without asking",
        ));
    }
    output.note("run it? [y/N] ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    read.map_err(|e| Trouble::new(format!("cannot read the terminal: {e}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Asks again until the change shows.
fn again(
    asked: &Asked,
    args: &Args,
    global: &Global,
) -> Result<(bool, Vec<Answered>, Setting), Trouble> {
    let start = Instant::now();
    loop {
        let (now, setting) = answers(asked, args, global)?;
        // What is given to a file counts once the program is started again.
        let restart = |fix: &Numbered| fix.fix.id == "linux.restart";
        let helped = now
            .iter()
            .all(|answered| answered.answer == Answer::Yes || answered.fixes.iter().any(restart));
        if helped || start.elapsed() > PATIENCE {
            return Ok((helped, now, setting));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The answers as things are now.
fn answers(
    asked: &Asked,
    args: &Args,
    global: &Global,
) -> Result<(Vec<Answered>, Setting), Trouble> {
    let mut setting = global.setting_of(&args.program.command)?;
    let mut list = Vec::new();
    match asked {
        Asked::Ip(endpoint) => {
            let settings = global.socket_settings();
            for report in super::why::why(&mut setting, endpoint, global.family(), &settings)? {
                list.push(Answered {
                    endpoint: format!("{}/{}", report.endpoint, report.protocol.name()),
                    answer: report.decision.answer,
                    said: text::headline(&report).1,
                    fixes: numbered(&report.fixes, &list),
                });
            }
        }
        Asked::Unix(name) => {
            if global.on.is_some() || global.facts.is_some() {
                return Err(Trouble::new("paths are looked at on this machine only"));
            }
            let report = crate::unix::why(&mut setting, name, Call::Bind);
            list.push(Answered {
                endpoint: report.name.clone(),
                answer: report.answer,
                said: crate::render::unix::headline(&report).1,
                fixes: numbered(&report.fixes, &[]),
            });
        }
    }
    Ok((list, setting))
}

fn numbered(fixes: &[FixReport], before: &[Answered]) -> Vec<Numbered> {
    let first = 1 + before.iter().map(|answered| answered.fixes.len()).sum::<usize>();
    let number = |(n, fix): (usize, &FixReport)| {
        let why_not = Action::of(fix).err();
        Numbered { number: first + n, applicable: why_not.is_none(), why_not, fix: fix.clone() }
    };
    fixes.iter().enumerate().map(number).collect()
}

fn status(answers: &[Answered]) -> u8 {
    super::status(answers.iter().map(|answered| answered.answer))
}

fn write(
    setting: &Setting,
    answers: &[Answered],
    applied: Option<&Applied>,
    global: &Global,
    output: &mut Output<'_>,
) {
    if global.json {
        let (kernel, assumed) = (kernel(setting), setting.assumed.as_slice());
        let schema = "portwise.fix/1";
        output.data(&json::write(&Document { schema, kernel, assumed, answers, applied }));
        return;
    }
    match applied {
        Some(applied) => output.data(&render::applied(applied, output.style())),
        None => {
            output.data(&render::list(answers, output.style()));
            output.note(&text::assumptions(&setting.assumed));
        }
    }
}
