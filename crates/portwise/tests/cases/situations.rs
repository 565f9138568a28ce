//! `docs/guide/situations.md` is what the heads of the cases say: compared by default, written
//! anew with `PORTWISE_BLESS=1`.

use std::{env, fmt::Write, fs, path::Path};

use super::{Key, all_cases, name};

const BLESS: &str = "PORTWISE_BLESS=1 cargo test -p portwise --test cases";

/// The folders of `cases/` in the order of the page, with their headings.
const SECTIONS: [(&str, &str); 11] = [
    ("right", "The program may not have the port"),
    ("gate", "Something in front of the rules refuses"),
    ("in-use", "The port is taken"),
    ("unix", "Unix sockets"),
    ("address", "The address is wrong"),
    ("connect", "A client cannot connect"),
    ("reach", "It listens, and nobody gets through"),
    ("share", "Several sockets on one port"),
    ("exposure", "Who can reach it"),
    ("firewall", "A firewall decides"),
    ("nat", "Packets are rewritten"),
];

#[test]
fn situations_are_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/situations.md");
    let generated = page();
    if env::var_os("PORTWISE_BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, generated).unwrap();
        return;
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == generated, "docs/guide/situations.md is not current: {BLESS}");
}

fn page() -> String {
    let mut text = format!(
        "# What portwise says when …\n\nGenerated from the heads of the scripts in `cases/` by \
         `{BLESS}`. Each script makes its\nsituation in network namespaces of its own, asks the \
         question, and a test checks that the answer\nsays what stands here: the first part within \
         its first ten lines. `$PID` and the like stand for what\nis so at that moment.\n"
    );
    let all = all_cases();
    for (folder, heading) in SECTIONS {
        let cases = all.iter().filter(|case| name(case).split('/').next() == Some(folder));
        let mut cases = cases.peekable();
        if cases.peek().is_some() {
            writeln!(text, "\n## {heading}").unwrap();
        }
        for case in cases {
            let script = fs::read_to_string(case).unwrap();
            let key = Key::read(&script);
            let what = script.lines().nth(1).unwrap_or_default().trim_start_matches("# ");
            write!(text, "\n**{what}**\n\n```\n$ {}\n```\n\n", key.asks).unwrap();
            let quoted = |list: &[String]| {
                let words = list.iter().map(|one| {
                    let either: Vec<String> = one
                        .split(" | ")
                        .map(|word| format!("`{}`", word.replace('`', "'")))
                        .collect();
                    either.join(" or ")
                });
                words.collect::<Vec<_>>().join(" · ")
            };
            match (key.first.is_empty(), key.says.is_empty()) {
                (false, true) => writeln!(text, "says {}", quoted(&key.first)),
                (true, false) => writeln!(text, "says {}", quoted(&key.says)),
                _ => writeln!(text, "says {}; then {}", quoted(&key.first), quoted(&key.says)),
            }
            .unwrap();
        }
    }
    text
}

#[test]
fn every_case_stands_in_a_section() {
    for case in all_cases() {
        let name = name(&case);
        let folder = name.split('/').next().unwrap();
        assert!(SECTIONS.iter().any(|(known, _)| *known == folder), "{name} is in no section");
    }
}
