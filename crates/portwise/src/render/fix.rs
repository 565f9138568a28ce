//! The fixes of an answer, numbered, and what applying one came to.

use super::{
    clean,
    page::{Color, Page, Style},
};
use crate::verb::fix::{Answered, Applied};

/// Writes the fixes, numbered through all answers.
pub fn list(answers: &[Answered], style: Style) -> String {
    let mut page = Page::new(style);
    for answered in answers {
        page.blank();
        let color = match answered.answer {
            crate::Answer::Yes => Color::Green,
            crate::Answer::No => Color::Red,
            crate::Answer::Unknown => Color::Yellow,
        };
        page.headline(color, answered.answer.word(), &answered.said);
        page.blank();
        for numbered in &answered.fixes {
            page.number(numbered.number);
            let fix = &numbered.fix;
            match &fix.detail {
                Some(detail) => page.text(&format!("{}: {detail}", fix.title)),
                None => page.text(&fix.title),
            }
            if let Some(command) = &fix.command {
                page.command(command);
            }
            if !fix.side_effects.is_empty() {
                page.detail(&fix.side_effects);
            }
        }
        match (answered.answer, answered.fixes.is_empty()) {
            (crate::Answer::Yes, _) => page.text("there is nothing to fix"),
            (_, true) => page.text("no change is known that surely helps; `why` has the reasons"),
            _ => {}
        }
    }
    page.finish()
}

/// What is about to be run.
pub fn about_to_run(number: usize, command: &str) -> String {
    format!("portwise: fix {number} runs: {}\n", clean(command))
}

/// What came of it.
pub fn applied(applied: &Applied, style: Style) -> String {
    let mut page = Page::new(style);
    let color = if applied.helped { Color::Green } else { Color::Red };
    page.headline(color, if applied.helped { "done" } else { "not helped" }, &applied.said);
    page.label("ran");
    page.command(&applied.command);
    page.label("undo");
    if let Some(command) = &applied.undo {
        page.command(command);
    }
    if let Some(note) = &applied.undo_note {
        page.text(note);
    }
    page.finish()
}
