//! JSON: one object, one schema.

use serde::Serialize;

use super::is_harmful;

/// Writes a value as indented JSON with a final newline. Characters that a terminal may act on
/// are escaped, which JSON allows in strings, the only place where they occur.
pub fn write(value: &impl Serialize) -> String {
    harmless(&serde_json::to_string_pretty(value).expect("reports have string keys"))
}

/// Writes a value as one line of JSON, as [`write()`] does.
pub fn line(value: &impl Serialize) -> String {
    harmless(&serde_json::to_string(value).expect("reports have string keys"))
}

fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c == '\n' || !is_harmful(c) {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hostile_name_stays_itself() {
        let name = "a\u{1b}[2J\u{202e}\u{e0041}\n\"";
        let text = super::write(&name);
        assert!(text.trim_end().chars().all(|c| c.is_ascii_graphic() || c == ' '));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }
}
