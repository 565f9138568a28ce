//! `docs/reference/man/` and `docs/reference/completions/` are what the command line says: compared
//! by default, written anew with `PORTWISE_BLESS=1`.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use portwise::{
    cli,
    verb::completions::{Shell, script},
};

const BLESS: &str = "PORTWISE_BLESS=1 cargo test -p portwise --test generated";

/// Compares what is in a directory of the reference with what is generated, or writes it.
fn compare(directory: &str, generated: &BTreeMap<String, String>) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let directory = root.join(directory);
    let there = || {
        let entries = fs::read_dir(&directory).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
    };
    if env::var_os("PORTWISE_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(&directory).unwrap();
        there().filter(|name| !generated.contains_key(name)).for_each(|name| {
            fs::remove_file(directory.join(name)).unwrap();
        });
        for (name, text) in generated {
            fs::write(directory.join(name), text).unwrap();
        }
        return;
    }
    let stray: Vec<String> = there().filter(|name| !generated.contains_key(name)).collect();
    assert!(stray.is_empty(), "not generated: {stray:?}; write it anew with\n{BLESS}");
    for (name, text) in generated {
        let file = fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(file == *text, "{name} is not current; write it anew with\n{BLESS}");
    }
}

#[test]
fn man_pages_are_current() {
    let mut command = cli::command();
    command.build();
    let mut pages = BTreeMap::from([("portwise.1".into(), page(&command))]);
    for verb in command.get_subcommands() {
        pages.insert(format!("portwise-{}.1", verb.get_name()), page(verb));
    }
    compare("man", &pages);
}

/// The page of a command. What stands after its options has lines of its own, which a page would
/// fill into one paragraph.
fn page(command: &clap::Command) -> String {
    let version = concat!("portwise ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("portwise");
    let mut out = Vec::new();
    for render in [
        Man::render_title,
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
    ] {
        render(&man, &mut out).unwrap();
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out).unwrap();
    }
    let extra = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in extra.split("\n\n") {
        let mut roff = Roff::default();
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                roff.text([roman(line.trim_start())]);
            }
            roff.control("fi", []);
        } else if let Some(status) = paragraph.strip_prefix("Exit status: ") {
            roff.control("SH", ["EXIT STATUS"]).text([roman(status)]);
        } else {
            roff.control("SH", ["NOTES"]).text([roman(paragraph)]);
        }
        roff.to_writer(&mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn completions_are_current() {
    let scripts =
        [("portwise.bash", Shell::Bash), ("_portwise", Shell::Zsh), ("portwise.fish", Shell::Fish)];
    compare("completions", &scripts.map(|(name, shell)| (name.into(), script(shell))).into());
}
