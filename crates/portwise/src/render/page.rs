//! Lines with a label in front, wrapped at 80 columns.

use std::borrow::Cow;

use super::clean;

pub(super) const WIDTH: usize = 80;
const LABEL: usize = 9;

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Colours are wanted.
    pub color: bool,
}

/// A colour, which never carries the meaning alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Good news.
    Green,
    /// Bad news.
    Red,
    /// Open.
    Yellow,
    /// A label.
    Bold,
    /// Beside the point.
    Dim,
}

impl Style {
    /// Colours `text`, which is clean already.
    pub fn paint(self, color: Color, text: &str) -> String {
        let code = match color {
            Color::Green => 32,
            Color::Red => 31,
            Color::Yellow => 33,
            Color::Bold => 1,
            Color::Dim => 2,
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// A text under construction.
#[derive(Debug, Default)]
pub struct Page {
    out: String,
    style: Style,
    label: Cow<'static, str>,
}

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Page {
        Page { style, ..Page::default() }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.out
    }

    /// Adds the first line of an answer: a coloured word and the rest, wrapped.
    pub fn headline(&mut self, color: Color, word: &str, rest: &str) {
        let rest = clean(rest);
        let lines = wrap(&rest, WIDTH - word.len() - 2, WIDTH - 4);
        for (i, line) in lines.iter().enumerate() {
            match i {
                0 => {
                    self.out.push_str(&self.style.paint(color, word));
                    self.out.push_str(": ");
                }
                _ => self.out.push_str("    "),
            }
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// Adds an empty line.
    pub fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        self.label = Cow::default();
    }

    /// Sets the label of the next line; the same label is not repeated.
    pub fn label(&mut self, label: &'static str) {
        self.label = label.into();
    }

    /// Puts a number in the place of the next line's label.
    pub fn number(&mut self, number: usize) {
        self.label = format!("{number}").into();
    }

    /// Adds text behind the label, wrapped.
    pub fn text(&mut self, text: &str) {
        let text = clean(text);
        for line in wrap(&text, WIDTH - LABEL, WIDTH - LABEL) {
            self.line(line, None);
        }
    }

    /// Adds text that belongs to the line above, indented and wrapped.
    pub fn detail(&mut self, text: &str) {
        let text = clean(text);
        for line in wrap(&text, WIDTH - LABEL - 2, WIDTH - LABEL - 2) {
            self.line(&format!("  {line}"), None);
        }
    }

    /// Adds a line that is not wrapped, because it is to be copied.
    pub fn command(&mut self, text: &str) {
        self.line(&format!("  {}", clean(text)), None);
    }

    /// Adds text with a name at the right edge, on the same line if both fit.
    pub fn named(&mut self, text: &str, name: &str) {
        let text = clean(text);
        let lines = wrap(&text, WIDTH - LABEL, WIDTH - LABEL);
        let last = lines.len() - 1;
        for (i, line) in lines.iter().enumerate() {
            let fits = i == last && line.chars().count() + 2 + name.len() <= WIDTH - LABEL;
            self.line(line, fits.then_some(name));
            if i == last && !fits {
                self.line("", Some(name));
            }
        }
    }

    /// Adds a line that starts at the left edge and stands out.
    pub fn heading(&mut self, text: &str) {
        let text = clean(text);
        for line in wrap(&text, WIDTH, WIDTH) {
            self.out.push_str(&self.style.paint(Color::Bold, line));
            self.out.push('\n');
        }
    }

    /// Adds text that starts at the left edge, wrapped.
    pub fn paragraph(&mut self, text: &str) {
        let text = clean(text);
        for line in wrap(&text, WIDTH, WIDTH) {
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// Adds lines of our own as they are.
    pub fn plain(&mut self, text: &str) {
        self.out.push_str(text.trim_end_matches('\n'));
        self.out.push('\n');
    }

    /// Adds a page of ours, its prose wrapped.
    pub fn markdown(&mut self, text: &str) {
        self.out.push_str(super::markdown::reflow(text).trim_end_matches('\n'));
        self.out.push('\n');
    }

    /// Adds an item of a list.
    pub fn item(&mut self, text: &str) {
        let text = clean(text);
        for (i, line) in wrap(&text, WIDTH - 4, WIDTH - 4).into_iter().enumerate() {
            self.out.push_str(if i == 0 { "  - " } else { "    " });
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// Adds a name and, below it, what it is.
    pub fn entry(&mut self, name: &str, text: &str) {
        self.out.push_str(&format!("  {}\n", clean(name)));
        let text = clean(text);
        for line in wrap(&text, WIDTH - 6, WIDTH - 6) {
            self.out.push_str(&format!("      {line}\n"));
        }
    }

    /// Adds a labelled fact and where it was read.
    pub fn fact(&mut self, label: &'static str, text: &str, from: &str) {
        self.label(label);
        if from.is_empty() { self.text(text) } else { self.named(text, &clean(from)) }
    }

    fn line(&mut self, text: &str, name: Option<&str>) {
        let label = std::mem::take(&mut self.label);
        let padded = format!("  {label:<width$}", width = LABEL - 2);
        let label = if label.is_empty() { padded } else { self.style.paint(Color::Bold, &padded) };
        let mut line = format!("{label}{text}");
        if let Some(name) = name {
            let space = (WIDTH - LABEL).saturating_sub(text.chars().count() + name.len());
            line.push_str(&" ".repeat(space));
            line.push_str(&self.style.paint(Color::Dim, name));
        }
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }
}

/// Breaks text at blanks into lines of at most `first`, then `others` characters; longer words
/// stay whole.
pub(super) fn wrap(text: &str, first: usize, others: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text.trim_end();
    let mut width = first;
    loop {
        let end = rest.char_indices().nth(width).map(|(at, _)| at);
        let Some(end) = end else { break };
        let cut = match rest[..end].rfind(' ').filter(|&at| at > 0) {
            _ if rest[end..].starts_with(' ') => end,
            Some(at) => at,
            None => match rest.find(' ') {
                Some(at) => at,
                None => break,
            },
        };
        lines.push(rest[..cut].trim_end());
        rest = rest[cut..].trim_start();
        width = others;
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("one two three", 7, 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 8, 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4, 4), ["abcdefghij", "k"]);
        assert_eq!(wrap("äöü äöü", 3, 3), ["äöü", "äöü"]);
        assert_eq!(wrap("", 3, 3), [""]);
    }

    #[test]
    fn a_label_stands_once() {
        let mut page = Page::new(Style::default());
        page.label("why");
        page.named("a title", "an.id");
        page.text("more");
        let text = page.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].len(), WIDTH);
        assert!(lines[0].starts_with("  why    a title") && lines[0].ends_with("an.id"));
        assert_eq!(lines[1], "         more");
    }
}
