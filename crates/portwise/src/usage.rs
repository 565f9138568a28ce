//! What is said of a command line that asks nothing: help, the version, mistakes.

use std::io::Write;

use crate::{Endpoint, Trouble, render::clean};

/// Help and version go to standard output, mistakes to standard error in one line.
pub(crate) fn usage(
    error: &clap::Error,
    out: &mut dyn Write,
    err: &mut dyn Write,
    colors: &dyn Fn() -> bool,
) -> u8 {
    let text = error.render();
    let (to, text, status): (&mut dyn Write, _, _) = match error.use_stderr() {
        true => (err, mistake(&text.to_string()), 2),
        false if colors() => (out, text.ansi().to_string(), 0),
        false => (out, text.to_string(), 0),
    };
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    status
}

/// What is wrong with a command line, in a line: without the usage, which `--help` shows, and the
/// advice to write `--`, which helps nobody here.
fn mistake(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let lines =
        lines.filter(|line| !line.starts_with("For more") && !line.contains("tip: to pass"));
    let mut said = String::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let (between, line) = match line.strip_prefix("tip: ") {
            Some(tip) => ("; ", tip),
            None if said.is_empty() => ("", line),
            None => (" ", line),
        };
        said += &format!("{between}{}", clean(line));
    }
    format!("portwise: {said}; see `portwise --help`\n")
}

/// What is wrong if a lone word, before endpoints or without any, was most likely meant as a verb.
pub(crate) fn no_verb(typed: &[String]) -> Option<Trouble> {
    let (word, others) = typed.split_first()?;
    let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
    let is_verb = is_word && others.iter().all(|other| other.parse::<Endpoint>().is_ok());
    is_verb.then(|| {
        Trouble::new(format!(
            "`{word}` is neither a verb (`portwise --help` lists them) nor an endpoint, such as \
             {word}:80"
        ))
    })
}
