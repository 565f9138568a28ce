//! What `trace` tells, as text and as lines of JSON.

use std::fmt::Write;

use portwise_sys::Errno;
use serde::Serialize;

use super::{
    clean, json,
    page::{Page, Style},
    text::{self, Detail},
};
use crate::{
    Answer,
    act::trace::{Call, Connect, Explained, Failure, Record, Summary, is_explained},
    explain::{FixReport, Report},
    unix::UnixReport,
};

/// The mark of lines that are not the program's.
const MARK: &str = "portwise: ";

/// A line about the trace itself.
pub fn note(note: &str) -> String {
    format!("{MARK}{}\n", clean(note))
}

/// A failure in one block.
pub fn failure(failure: &Failure, style: Style) -> String {
    let Failure { record, explained, .. } = failure;
    let mut block = format!("{MARK}{}\n", said(record));
    match explained {
        Explained::Bind(reports) => {
            let text = text::why(reports, &[], &[], Detail::Normal, style);
            let one = if let [one] = reports.as_slice() { Some(one) } else { None };
            let is_allowed = one.is_some_and(|report| report.decision.answer == Answer::Yes);
            // Its first line says again what is said already, or of a call that failed that it
            // succeeds.
            let is_said = is_allowed || one.is_some_and(|report| is_explained(report, record));
            if is_allowed {
                block += &before_the_rules(style);
            }
            let lines = text.split_inclusive('\n');
            match is_said {
                true => block.extend(lines.skip_while(|line| *line != "\n").skip(1)),
                false => block.extend(lines),
            }
        }
        Explained::Listen(rules) => block += &listen(rules, style),
        Explained::Connect(connect) => block += &connected(connect, style),
        Explained::Unix(report) => block += &unix(report, record, style),
        Explained::Gate(why) => block += &gate(why, style),
        Explained::Not(why) if why.is_empty() => {}
        Explained::Not(why) => {
            let mut page = Page::new(style);
            page.label("open");
            page.text(why);
            block += &page.finish();
        }
    }
    block
}

fn gate(why: &str, style: Style) -> String {
    let mut page = Page::new(style);
    page.label("why");
    page.text(why);
    page.label("fix");
    page.text(
        "allow the call in the filter: SystemCallFilter= of a unit, the seccomp profile of a \
         container, or the program's own sandbox setting",
    );
    format!("\n{}", page.finish())
}

/// What a call came to that the rules for ports let pass.
fn before_the_rules(style: Style) -> String {
    let mut page = Page::new(style);
    page.label("why");
    page.text("no rule about ports or addresses refuses it: something in front of them did");
    format!("\n{}", page.finish())
}

fn listen(rules: &[(&'static str, &'static str, &'static str)], style: Style) -> String {
    let mut page = Page::new(style);
    for (fault, _, _) in rules {
        page.label("why");
        page.text(fault);
    }
    for (_, id, title) in rules {
        page.label("rule");
        page.text(&format!("{id}: {title}"));
    }
    if rules.is_empty() {
        page.label("open");
        page.text(
            "no rule that is known gives this: a security module, seccomp filter or BPF \
                   program may",
        );
    }
    page.finish()
}

fn unix(report: &UnixReport, record: &Record, style: Style) -> String {
    let errno = record.errno.and_then(|errno| errno.name());
    let mut block = "\n".to_string();
    if report.errno != errno || errno.is_none() {
        let mut page = Page::new(style);
        page.label("open");
        page.text(
            "the permissions of files do not give this: a security module, Landlock domain or \
             seccomp filter may",
        );
        block += &page.finish();
    }
    if report.errno.is_none() || report.errno == errno {
        block += &super::unix::below(report, style);
    }
    block
}

fn connected(connect: &Connect, style: Style) -> String {
    let mut page = Page::new(style);
    if !connect.because.is_empty() {
        page.label("why");
        page.text(&connect.because);
    }
    for seen in &connect.seen {
        page.label("seen");
        page.text(seen);
    }
    text::fixes(&mut page, &connect.fixes);
    page.finish()
}

/// A call that succeeded, in a line.
pub fn success(record: &Record, covers: Option<&str>) -> String {
    let covers = covers.map(|covers| format!(": covers {}", clean(covers))).unwrap_or_default();
    format!("{MARK}{}{covers}\n", said(record))
}

/// That what a program says is wrong.
pub fn wrong_hint(record: &Record, hint: &str, because: &str) -> String {
    let (hint, because) = (clean(hint.trim()), clean(because));
    format!("{MARK}what {} says is wrong: \"{hint}\"\n{MARK}{because}\n", clean(&record.program))
}

/// Who made which call, and what came of it.
fn said(record: &Record) -> String {
    const WIDTH: usize = 80 - MARK.len();
    let who = format!("{} (pid {})", clean(&record.program), record.pid);
    let outcome = record.errno.map_or("ok".into(), |errno| errno.to_string());
    let mut said = format!("{who}: {} {}: {outcome}", record.call.name(), place(record));
    let text = record.errno.map(|errno| format!(", \"{}\"", errno.text()));
    let later = record.later.then(|| ", in the background".to_string());
    for more in [text, later].into_iter().flatten() {
        if said.chars().count() + more.chars().count() <= WIDTH {
            said += &more;
        }
    }
    said
}

fn place(record: &Record) -> String {
    let protocol = record.protocol.map(|p| format!("/{}", p.name())).unwrap_or_default();
    if let Some(name) = &record.unix {
        return clean(&name.to_string()).into_owned();
    }
    match record.address {
        Some(address) => format!("{address}{protocol}"),
        None => format!("an address that cannot be read{protocol}"),
    }
}

/// What happened in all.
pub fn summary(summary: &Summary) -> String {
    let calls = [Call::Bind, Call::Listen, Call::Connect];
    let counted: Vec<String> = calls
        .iter()
        .zip(summary.succeeded)
        .filter(|(_, n)| *n > 0)
        .map(|(call, n)| format!("{n} {}", call.name()))
        .collect();
    let succeeded = if counted.is_empty() { "none".into() } else { counted.join(", ") };
    let failed: u64 = summary.failed.iter().map(|(_, times)| times).sum();
    let mut text = format!("{MARK}succeeded: {succeeded}; failed: {failed}\n");
    for (record, times) in &summary.failed {
        let errno = record.errno.map(|errno| errno.to_string()).unwrap_or_default();
        let times = if *times > 1 { format!(", {times} times") } else { String::new() };
        let _ = writeln!(
            text,
            "{MARK}  {} {} {errno}: {}{times}",
            record.call.name(),
            place(record),
            clean(&record.program)
        );
    }
    text
}

/// One line of JSON.
#[derive(Default, Serialize)]
struct Line<'a> {
    schema: &'static str,
    event: &'static str,
    #[serde(flatten)]
    call: Option<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixes: Option<&'a [FixReport]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unix: Option<&'a UnixReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covers: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a [Report]>,
    #[serde(flatten)]
    summary: Option<Counted<'a>>,
}

#[derive(Serialize)]
struct Called<'a> {
    call: &'static str,
    program: &'a str,
    pid: u32,
    tid: u32,
    address: Option<String>,
    protocol: Option<&'static str>,
    errno: Option<String>,
    later: bool,
}

#[derive(Serialize)]
struct Counted<'a> {
    processes: u64,
    succeeded: Calls,
    failed: Vec<Times<'a>>,
}

#[derive(Serialize)]
struct Calls {
    bind: u64,
    listen: u64,
    connect: u64,
}

#[derive(Serialize)]
struct Times<'a> {
    #[serde(flatten)]
    call: Called<'a>,
    times: u64,
}

const SCHEMA: &str = "portwise.trace/1";

fn called(record: &Record) -> Called<'_> {
    Called {
        call: record.call.name(),
        program: &record.program,
        pid: record.pid,
        tid: record.tid,
        address: match &record.unix {
            Some(name) => Some(name.to_string()),
            None => record.address.map(|address| address.to_string()),
        },
        protocol: record.protocol.map(portwise_model::Protocol::name),
        errno: record.errno.map(|errno: Errno| errno.to_string()),
        later: record.later,
    }
}

fn line(line: &Line<'_>) -> String {
    json::line(line)
}

/// A note as JSON.
pub fn note_json(text: &str) -> String {
    line(&Line { schema: SCHEMA, event: "note", text: Some(text), ..Line::default() })
}

/// A failure as JSON.
pub fn failure_json(failure: &Failure) -> String {
    let mut made = Line {
        schema: SCHEMA,
        event: "failed",
        call: Some(called(&failure.record)),
        again: Some(failure.again),
        ..Line::default()
    };
    match &failure.explained {
        Explained::Bind(reports) => {
            made.rules = Some(reports.iter().flat_map(|r| r.decision.rules.clone()).collect());
            made.answers = Some(reports);
        }
        Explained::Listen(rules) => made.rules = Some(rules.iter().map(|rule| rule.1).collect()),
        Explained::Unix(report) => {
            made.rules = Some(report.check.iter().map(|check| check.id).collect());
            made.unix = Some(report);
        }
        Explained::Connect(connect) => {
            made.because = Some(&connect.because);
            made.seen = Some(&connect.seen);
            made.fixes = Some(&connect.fixes);
        }
        Explained::Not(why) if why.is_empty() => {}
        Explained::Gate(why) | Explained::Not(why) => made.because = Some(why),
    }
    line(&made)
}

/// A success as JSON.
pub fn success_json(record: &Record, covers: Option<&str>) -> String {
    let call = Some(called(record));
    line(&Line { schema: SCHEMA, event: "succeeded", call, covers, ..Line::default() })
}

/// A wrong hint as JSON.
pub fn wrong_hint_json(record: &Record, hint: &str, because: &str) -> String {
    line(&Line {
        schema: SCHEMA,
        event: "wrong-hint",
        call: Some(called(record)),
        hint: Some(hint),
        because: Some(because),
        ..Line::default()
    })
}

/// The end as JSON.
pub fn summary_json(summary: &Summary) -> String {
    let [bind, listen, connect] = summary.succeeded;
    let failed =
        summary.failed.iter().map(|(record, times)| Times { call: called(record), times: *times });
    line(&Line {
        schema: SCHEMA,
        event: "ended",
        summary: Some(Counted {
            processes: summary.processes,
            succeeded: Calls { bind, listen, connect },
            failed: failed.collect(),
        }),
        ..Line::default()
    })
}
