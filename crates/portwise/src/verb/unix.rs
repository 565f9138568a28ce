//! `why` and `check` of Unix sockets, whose names are paths.

use std::{ffi::OsString, fmt::Write};

use serde::Serialize;

use super::{KernelReport, kernel, status};
use crate::{
    Setting, Trouble,
    cli::{Global, Output},
    render::{clean, json, unix as render},
    unix::{self, Call, Name, UnixReport},
};

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    answers: &'a [UnixReport],
}

/// The names that were typed; `None` if they are of ports.
pub(super) fn names(typed: &[String]) -> Result<Option<Vec<Name>>, Trouble> {
    let names: Vec<Option<_>> = typed.iter().map(|text| Name::typed(text)).collect();
    match names.iter().filter(|name| name.is_some()).count() {
        0 => Ok(None),
        n if n == names.len() => names.into_iter().flatten().collect::<Result<_, _>>().map(Some),
        // A message may name a path among other words.
        _ if typed.iter().all(|text| !text.starts_with("unix:")) => Ok(None),
        _ => Err(Trouble::new("ask about Unix sockets apart from addresses and ports")),
    }
}

/// Runs `why` and returns its exit status.
pub(super) fn why(
    names: &[Name],
    command: &[OsString],
    got: Option<&str>,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    if got.is_some() {
        return Err(Trouble::new("--got is about addresses and ports"));
    }
    let mut setting = setting(command, global)?;
    let reports = answers(&mut setting, names);
    if global.json {
        write(&setting, &reports, output);
    } else {
        output.data(&render::why(&reports, global.detail(), output.style()));
    }
    Ok(status(reports.iter().map(|report| report.answer)))
}

/// Runs `check` and returns its exit status.
pub(super) fn check(
    names: &[Name],
    command: &[OsString],
    global: &Global,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    let mut setting = setting(command, global)?;
    let reports = answers(&mut setting, names);
    if global.json {
        write(&setting, &reports, output);
    } else if !global.quiet {
        let mut text = String::new();
        for report in &reports {
            let _ = writeln!(
                text,
                "{}  {:7}  {}  {}",
                clean(&report.name),
                report.answer.word(),
                report.errno.unwrap_or("-"),
                report.check.as_ref().map_or("-", |check| check.id),
            );
        }
        output.data(&text);
    }
    Ok(status(reports.iter().map(|report| report.answer)))
}

fn setting(command: &[OsString], global: &Global) -> Result<Setting, Trouble> {
    if global.on.is_some() || global.facts.is_some() {
        return Err(Trouble::new("paths are looked at on this machine only: no --on, no --facts"));
    }
    global.setting_of(command)
}

fn answers(setting: &mut Setting, names: &[Name]) -> Vec<UnixReport> {
    names.iter().map(|name| unix::why(setting, name, Call::Bind)).collect()
}

fn write(setting: &Setting, reports: &[UnixReport], output: &mut Output<'_>) {
    let kernel = kernel(setting);
    output.data(&json::write(&Document { schema: "portwise.unix/1", kernel, answers: reports }));
}
