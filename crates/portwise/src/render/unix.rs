//! What is said of Unix sockets.

use super::{
    page::{Color, Page, Style},
    phrase,
    text::Detail,
};
use crate::{
    Answer,
    unix::{Call, UnixReport},
};

/// Writes the answers about Unix sockets.
pub fn why(reports: &[UnixReport], detail: Detail, style: Style) -> String {
    let mut page = Page::new(style);
    for report in reports {
        page.blank();
        let (color, rest) = headline(report);
        page.headline(color, report.answer.word(), &rest);
        if detail > Detail::Quiet {
            page.blank();
            body(&mut page, report, detail);
        }
    }
    page.finish()
}

/// What is said below the first line.
pub(super) fn below(report: &UnixReport, style: Style) -> String {
    let mut page = Page::new(style);
    body(&mut page, report, Detail::Normal);
    page.finish()
}

/// The first line: its colour, and what stands behind the word.
pub(crate) fn headline(report: &UnixReport) -> (Color, String) {
    let who = phrase::subject(&report.subject);
    let what = match report.call {
        Call::Bind => "bind",
        Call::Connect => "connect to",
    };
    let name = &report.name;
    match report.answer {
        Answer::Yes => (Color::Green, format!("{who} may {what} {name}")),
        Answer::No => {
            let errno = report.errno.unwrap_or_default();
            let text = report.text.as_deref().unwrap_or_default();
            (Color::Red, format!("{who} may not {what} {name} ({errno}, \"{text}\")"))
        }
        Answer::Unknown => (Color::Yellow, format!("whether {who} may {what} {name} is open")),
    }
}

fn body(page: &mut Page, report: &UnixReport, detail: Detail) {
    if let Some(check) = &report.check {
        page.label("why");
        page.text(check.fault);
        report.evidence.iter().for_each(|line| page.text(line));
    }
    if let Some(missing) = &report.missing {
        page.label("open");
        page.text(&missing.why);
        if !missing.reveal.is_empty() {
            page.text(&format!("to find out: {}", missing.reveal));
        }
    }
    for socket in &report.sockets {
        page.label("held");
        let listens = if socket.listens { ", listening" } else { "" };
        let elsewhere = socket.elsewhere.as_deref().map(|place| format!(", in {place}"));
        let elsewhere = elsewhere.unwrap_or_default();
        page.text(&format!("a {} socket{listens}{elsewhere}", socket.kind));
        for holder in &socket.holders {
            page.detail(&phrase::holder(holder));
        }
        if socket.holders.is_empty() {
            page.detail("its holder was not seen; root can see which process it is");
        }
    }
    for note in &report.notes {
        page.label("note");
        page.text(note);
    }
    super::text::fixes(page, &report.fixes);
    if let Some(check) = &report.check {
        page.label("rule");
        page.text(&format!("{}: {}", check.id, check.title));
        let shown = if detail == Detail::Verbose { check.cites.len() } else { 1 };
        for cite in check.cites.iter().take(shown) {
            page.text(&phrase::cite(cite));
        }
    }
}
