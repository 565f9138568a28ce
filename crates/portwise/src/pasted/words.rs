//! A message as words with their places. Words are ASCII, everything else separates them.

/// How far words of a line are looked at for what they say of another: no sentence is longer, and a
/// text without line breaks is not searched again for each of its words.
const NEAR: usize = 40;

/// One word of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    /// The word, with the punctuation that an address may have.
    pub text: &'a str,
    /// Where it starts, in bytes.
    pub start: usize,
    /// The line it stands on, from 0.
    pub line: usize,
}

impl Word<'_> {
    /// Returns whether it is one of these words, whatever their case and closing punctuation.
    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        let plain = self.plain();
        words.iter().any(|word| plain.eq_ignore_ascii_case(word))
    }

    /// The word without punctuation at its ends.
    pub(super) fn plain(&self) -> &str {
        self.text.trim_matches(|c: char| !c.is_ascii_alphanumeric())
    }

    /// Returns whether `part` occurs in it, whatever the case.
    pub(super) fn has(&self, part: &str) -> bool {
        self.text.to_ascii_lowercase().contains(part)
    }
}

/// The words of a message.
#[derive(Debug)]
pub(super) struct Words<'a> {
    /// The message.
    pub text: &'a str,
    /// Its words, in order.
    pub list: Vec<Word<'a>>,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Words<'a> {
        let mut list = Vec::new();
        let (mut line, mut start) = (0, None);
        for (at, c) in text.char_indices().chain([(text.len(), '\n')]) {
            match (start, is_part(c)) {
                (None, true) => start = Some(at),
                (Some(from), false) => {
                    list.push(Word { text: &text[from..at], start: from, line });
                    start = None;
                }
                _ => {}
            }
            line += usize::from(c == '\n');
        }
        Words { text, list }
    }

    /// The word at `index`, if there is one.
    pub(super) fn get(&self, index: usize) -> Option<&Word<'a>> {
        self.list.get(index)
    }

    /// What stands between the word at `index` and the one before it.
    pub(super) fn gap(&self, index: usize) -> &'a str {
        let before = index.checked_sub(1).and_then(|i| self.list.get(i));
        let from = before.map_or(0, |word| word.start + word.text.len());
        &self.text[from..self.list.get(index).map_or(self.text.len(), |word| word.start)]
    }

    /// The nearest words before `index` on its line, the nearest first.
    pub(super) fn before(&self, index: usize) -> impl Iterator<Item = &Word<'a>> {
        let line = self.list[index].line;
        self.list[..index].iter().rev().take(NEAR).take_while(move |word| word.line == line)
    }

    /// The nearest words behind `index` on its line.
    pub(super) fn behind(&self, index: usize) -> impl Iterator<Item = &Word<'a>> {
        let line = self.list[index].line;
        self.list[index + 1..].iter().take(NEAR).take_while(move |word| word.line == line)
    }
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".:_%*+#[]-/".contains(c)
}

/// Takes out what a terminal acts on (colours, titles) and makes lines of `\n` written out, as in
/// a log of JSON.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\u{1b}', Some('[')) => {
                chars.next();
                let _ = chars.find(|c| ('@'..='~').contains(c));
                out.push(' ');
            }
            ('\u{1b}', Some(']')) => {
                let _ = chars.find(|&c| c == '\u{7}' || c == '\u{1b}');
                out.push(' ');
            }
            ('\\', Some('n')) => {
                chars.next();
                out.push('\n');
            }
            ('\n' | '\t', _) => out.push(c),
            _ if c.is_control() => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_their_lines_and_gaps() {
        let words = Words::of("bind() to [::]:80 failed\n(98: in use)");
        let texts: Vec<&str> = words.list.iter().map(|word| word.text).collect();
        assert_eq!(texts, ["bind", "to", "[::]:80", "failed", "98:", "in", "use"]);
        assert_eq!(words.list[4].line, 1);
        assert_eq!((words.gap(0), words.gap(1), words.gap(4)), ("", "() ", "\n("));
        assert_eq!(words.before(5).count(), 1);
        assert_eq!(words.behind(0).count(), 3);
    }

    #[test]
    fn what_a_terminal_acts_on_is_taken_out() {
        assert_eq!(plain("\u{1b}[31mError:\u{1b}[0m x\r\\ny"), " Error:  x \ny");
        assert_eq!(plain("\u{1b}]0;title\u{7}x\u{1b}["), " x ");
    }
}
