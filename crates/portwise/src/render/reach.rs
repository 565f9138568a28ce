//! `reach` as text.

use portwise_model::ReachOutcome;

use super::{
    page::{Color, Page, Style},
    text::Detail,
};
use crate::{reach::Answer, verb::reach::Row};

/// Writes the answers, those to one address together.
pub fn text(rows: &[Row], detail: Detail, style: Style) -> String {
    let mut page = Page::new(style);
    let mut to = None;
    for row in rows {
        let answer = &row.answer;
        if detail != Detail::Quiet && to != Some(&answer.to) {
            if to.is_some() {
                page.blank();
            }
            page.plain(&format!("to {}", answer.to));
            to = Some(&answer.to);
        }
        one(&mut page, row, detail);
    }
    page.finish()
}

fn one(page: &mut Page, row: &Row, detail: Detail) {
    let answer = &row.answer;
    let (color, word) = head(answer);
    let errno = answer.errno.map(|errno| format!(" ({errno})")).unwrap_or_default();
    let vantage = match row.vantage.as_str() {
        "" => String::new(),
        vantage => format!("{vantage}, "),
    };
    page.headline(color, word, &format!("{vantage}{}{errno}", answer.from));
    if detail == Detail::Quiet {
        return;
    }
    page.label("why");
    page.text(&answer.because);
    if let Some(text) = &answer.rule_text {
        page.label("rule");
        page.text(text);
    }
    if let Some(socket) = &answer.socket {
        page.label("socket");
        let holder = match (socket.pid, &socket.command) {
            (Some(pid), Some(command)) => format!(", pid {pid} ({command})"),
            _ => String::new(),
        };
        let more = match answer.sockets {
            Some(count) => format!(", one of {count}"),
            None => String::new(),
        };
        page.text(&format!("{}{holder}{more}", socket.local));
    }
    if let Some(device) = &answer.leaves_by {
        page.label("leaves");
        page.text(&format!("by {device}"));
    }
    if let Some(command) = &answer.settle {
        page.label("settle");
        page.command(command);
    }
    if detail == Detail::Verbose {
        page.label("path");
        for step in &answer.path {
            match &step.rule {
                Some(rule) => page.detail(&format!("{rule} {}", step.what)),
                None => page.text(&step.what),
            }
        }
    }
}

fn head(answer: &Answer) -> (Color, &'static str) {
    let color = match answer.outcome {
        ReachOutcome::Accepted | ReachOutcome::Forwarded => Color::Green,
        ReachOutcome::Unknown => Color::Yellow,
        _ => Color::Red,
    };
    (color, crate::reach::word(answer.outcome))
}
