//! `why ENDPOINT… --on all`: one line for each kernel that has rules, or with `--json` one `check`
//! document a line.

use std::fmt::Write;

use super::{
    check::{Checked, Document, check},
    kernel, status,
};
use crate::{
    Endpoint, Setting, Trouble,
    cli::{Global, Output},
    explain::join,
    observe::assumed,
    render::{clean, json},
};

/// Asks every kernel and returns the exit status: that of all answers together.
pub(super) fn run(
    endpoints: &[Endpoint],
    global: &Global,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    let (mut answered, mut text) = (Vec::new(), String::new());
    let width = assumed::ALL.iter().map(|name| name.len()).max().unwrap_or(0);
    for name in assumed::ALL {
        let mut setting = global.setting_on(name)?;
        let mut answers = Vec::new();
        for endpoint in endpoints {
            let settings = global.socket_settings();
            answers.extend(check(&mut setting, endpoint, global.family(), &settings)?);
        }
        if global.json {
            text += &document(&setting, &answers);
        } else {
            text += &lines(name, width, &answers);
        }
        answered.extend(answers.iter().map(|checked| checked.decision.answer));
    }
    output.data(&text);
    if !global.json {
        output
            .note("each with its defaults: --on with one kernel says what is assumed, and more\n");
    }
    Ok(status(answered))
}

/// The lines of one kernel: one, unless several addresses were asked about.
fn lines(name: &str, width: usize, answers: &[Checked]) -> String {
    let mut text = String::new();
    for checked in answers {
        let decision = &checked.decision;
        let endpoint = match answers.len() {
            1 => String::new(),
            _ => format!("{}/{}  ", clean(&checked.endpoint), checked.protocol.name()),
        };
        let _ = writeln!(
            text,
            "{name:width$}  {endpoint}{:7}  {}  {}",
            decision.answer.word(),
            decision.refusals(),
            join(decision.rules.iter().copied()),
        );
    }
    text
}

/// What `check --json` writes of one kernel, on one line.
fn document(setting: &Setting, answers: &[Checked]) -> String {
    let (kernel, assumed) = (kernel(setting), setting.assumed.as_slice());
    let document = Document { schema: "portwise.check/1", kernel, assumed, answers };
    json::line(&document)
}
