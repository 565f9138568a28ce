//! What `doctor` found.

use super::{
    page::{Color, Page, Style},
    text::Detail,
};
use crate::health::{Finding, State};

/// Writes the findings: what is hidden, then what is odd, then what is fine.
pub fn page(findings: &[Finding], detail: Detail, style: Style) -> String {
    let of = |state: State| findings.iter().filter(move |finding| finding.state == state);
    let mut page = Page::new(style);
    let (hidden, odd) = (of(State::Hidden).count(), of(State::Odd).count());
    let color = if hidden + odd == 0 { Color::Green } else { Color::Yellow };
    let word = if hidden + odd == 0 { "fine" } else { "look" };
    let count = |n: usize, what: &str| match n {
        0 => format!("nothing is {what}"),
        1 => format!("1 thing is {what}"),
        n => format!("{n} things are {what}"),
    };
    page.headline(color, word, &format!("{}, {}", count(hidden, "hidden"), count(odd, "odd")));
    if detail == Detail::Quiet {
        return page.finish();
    }
    for (state, label) in [(State::Hidden, "hidden"), (State::Odd, "odd"), (State::Fine, "fine")] {
        if of(state).next().is_some() {
            page.blank();
        }
        for finding in of(state) {
            page.label(label);
            page.text(&finding.what);
            if !finding.because.is_empty() && (state != State::Fine || detail == Detail::Verbose) {
                page.detail(&finding.because);
            }
            if let Some(command) = &finding.settle {
                page.command(command);
            }
        }
    }
    page.finish()
}
