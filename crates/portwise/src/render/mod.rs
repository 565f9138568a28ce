//! Reports as text and as JSON. Nothing else in the crate prints an answer.

use std::borrow::Cow;

mod asker;
mod audience;
#[cfg(target_os = "linux")]
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod fix;
mod got;
pub mod holder;
pub mod json;
pub mod listing;
mod markdown;
pub mod page;
pub mod phrase;
pub mod reach;
pub mod text;
#[cfg(target_os = "linux")]
pub mod trace;
#[cfg(target_os = "linux")]
pub mod trial;
#[cfg(target_os = "linux")]
pub mod unix;

/// Makes text from the machine harmless for a terminal: control characters and the marks that
/// change the direction of writing are written out.
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~');
    if text.as_bytes().iter().all(is_plain) || !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Returns whether a terminal may act on `c` instead of showing it.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{061c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_harmful_is_left() {
        assert_eq!(clean("nginx: worker"), "nginx: worker");
        assert_eq!(clean("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(clean("\u{202e}evil\u{9b}"), "\\u{202e}evil\\u{9b}");
        assert!(!clean("\u{7f}\u{200b}\u{2066}").chars().any(is_harmful));
    }
}
