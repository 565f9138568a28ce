//! The pages of rules, for a terminal: paragraphs and lists wrapped, all else as it stands.

use super::page::{WIDTH, wrap};

/// Wraps the prose of a page. Code, headings and tables stay as they are, and so does what stands
/// between backticks, as far as a line has room for it.
pub(super) fn reflow(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut prose = Prose::default();
    let mut code = false;
    for line in text.lines() {
        let start = line.trim_start();
        let fence = start.starts_with("```");
        if code || fence || start.is_empty() || start.starts_with(['#', '|']) {
            prose.flush(&mut out);
            out.push_str(line);
            out.push('\n');
            code ^= fence;
            continue;
        }
        if let Some(mark) = list_mark(start) {
            prose.flush(&mut out);
            prose.indent = line.len() - start.len();
            prose.hang = prose.indent + mark;
        } else if prose.text.is_empty() {
            prose.indent = line.len() - start.len();
            prose.hang = prose.indent;
        } else {
            prose.text.push(' ');
        }
        prose.text.push_str(start.trim_end());
    }
    prose.flush(&mut out);
    out
}

/// The length of the mark that starts an item of a list.
fn list_mark(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        0 => line.starts_with("- ").then_some(2),
        _ => line[digits..].starts_with(". ").then_some(digits + 2),
    }
}

/// A paragraph or an item of a list, as it is collected.
#[derive(Default)]
struct Prose {
    text: String,
    indent: usize,
    hang: usize,
}

impl Prose {
    fn flush(&mut self, out: &mut String) {
        // No page has such a blank of its own.
        const KEPT: char = '\u{a0}';
        let mut quoted = false;
        let kept: String = self
            .text
            .drain(..)
            .map(|c| {
                quoted ^= c == '`';
                if c == ' ' && quoted { KEPT } else { c }
            })
            .collect();
        if kept.is_empty() {
            return;
        }
        for (i, line) in wrap(&kept, WIDTH - self.indent, WIDTH - self.hang).iter().enumerate() {
            let indent = if i == 0 { self.indent } else { self.hang };
            out.push_str(&" ".repeat(indent));
            out.push_str(&line.replace(KEPT, " "));
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_code_is_not() {
        let long = "word ".repeat(30);
        let text = format!(
            "# A title that is a heading\n{long}\nmore\n\n```\n{long}\n```\n\n- {long}\n  more\n- next\n"
        );
        let done = reflow(&text);
        let lines: Vec<&str> = done.lines().collect();
        assert_eq!(lines[0], "# A title that is a heading");
        assert_eq!(lines[2].split(' ').count(), 15);
        assert!(lines.contains(&long.as_str()));
        assert!(lines.contains(&"- next"));
        let prose = lines.iter().filter(|line| **line != long);
        assert!(prose.clone().all(|line| line.chars().count() <= WIDTH), "{done}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&done), words(&text));
    }

    #[test]
    fn what_is_quoted_stays_on_a_line() {
        let text = format!("{} `sudo sysctl net.ipv4.ip_nonlocal_bind=1` helps.", "x".repeat(60));
        let lines = reflow(&text);
        assert!(lines.contains("\n`sudo sysctl net.ipv4.ip_nonlocal_bind=1` helps."), "{lines}");
    }
}
