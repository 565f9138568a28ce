//! Keeps the registry honest: every rule is named, listed, cited and explained, and its body
//! knows neither kernels nor versions. Each check returns problems; what is let off stands in
//! `EXCEPTIONS`, and an exception that excuses nothing is a problem too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs, ptr};

use portwise_model::{
    Basis, Choice, Cite, Rule, TOPICS, choices, features, fix::Fix, paths, rules,
};

/// Check, subject, and why the subject is let off.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// One thing that is not in order.
#[derive(Debug, PartialEq)]
struct Problem {
    check: &'static str,
    subject: String,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check, self.subject, self.what)
    }
}

fn problem(check: &'static str, subject: &str, what: impl Into<String>) -> Problem {
    Problem { check, subject: subject.into(), what: what.into() }
}

#[test]
fn the_registry_is_tidy() {
    let mut found = Vec::new();
    for rule in rules() {
        found.extend(id(rule.id));
        found.extend(title(rule.id, rule.title));
        found.extend(page(rule.id, rule.title, rule.page, &SECTIONS));
        found.extend(references(rule.id, rule.page));
        found.extend(basis(rule.id, rule.cites, rule.basis));
    }
    for choice in choices() {
        found.extend(id(choice.id));
        found.extend(title(choice.id, choice.title));
        found.extend(page(choice.id, choice.title, choice.page, &CHOICE_SECTIONS));
        found.extend(references(choice.id, choice.page));
        found.extend(basis(choice.id, choice.cites, choice.basis));
    }
    for topic in TOPICS {
        let known = |id: &&str| {
            rules().iter().any(|r| r.id == *id) || choices().any(|choice| choice.id == *id)
        };
        let unknown = topic.ids.iter().filter(|id| !known(id));
        found.extend(unknown.map(|id| problem("topic", topic.id, format!("{id} is no rule"))));
        found.extend(title(topic.id, topic.title));
    }
    found.extend(unique_rules());
    found.extend(unique_fixes());
    found.extend(feature_list());
    found.extend(nothing_left_out());
    found.extend(pages_without_rule());
    found.extend(switches());
    let excused = |p: &Problem| EXCEPTIONS.iter().any(|e| e.0 == p.check && e.1 == p.subject);
    let needless = EXCEPTIONS
        .iter()
        .filter(|e| !found.iter().any(|p| e.0 == p.check && e.1 == p.subject))
        .map(|e| problem("needless-exception", e.1, format!("{} is in order", e.0)));
    let left: Vec<Problem> = needless.collect();
    let left = found.into_iter().filter(|p| !excused(p)).chain(left);
    let lines: Vec<String> = left.map(|p| p.to_string()).collect();
    assert!(lines.is_empty(), "{} problems:\n{}", lines.len(), lines.join("\n"));
}

/// `kernel.call.what`.
fn id(id: &str) -> Option<Problem> {
    let parts: Vec<&str> = id.split('.').collect();
    let well = match parts[..] {
        [kernel, call, what] => KERNELS.contains(&kernel) && kebab(call) && kebab(what),
        _ => false,
    };
    (!well).then(|| problem("id", id, "is not kernel.call.what"))
}

const KERNELS: [&str; 7] = ["linux", "xnu", "freebsd", "openbsd", "netbsd", "illumos", "windows"];

fn kebab(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

/// Titles state what is required, so that they read well whether the call passes or stops.
fn title(id: &str, title: &str) -> Vec<Problem> {
    const FAULTS: [&str; 14] = [
        "fails",
        "fail",
        "failed",
        "failure",
        "error",
        "errors",
        "invalid",
        "illegal",
        "wrong",
        "bad",
        "cannot",
        "denied",
        "refused",
        "forbidden",
    ];
    let words = title.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let mut found: Vec<Problem> = words
        .filter(|word| FAULTS.contains(&word.as_str()))
        .map(|word| problem("title", id, format!("names a fault: {word}")))
        .collect();
    if title.is_empty() || title.ends_with(['.', '!', '?', ':', ' ']) {
        found.push(problem("title", id, "is empty or ends with a mark"));
    }
    if title.len() > 90 || title.contains('\n') {
        found.push(problem("title", id, "does not fit on a line"));
    }
    found
}

const SECTIONS: [&str; 5] =
    ["What", "Why", "Whom it concerns", "How to see it", "How to change it"];

/// Nobody changes how a kernel looks a socket up.
const CHOICE_SECTIONS: [&str; 3] = ["What", "Why", "How to see it"];

/// The title, then the sections with something in each.
fn page(id: &str, title: &str, page: &str, sections: &[&str]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut parts = page.split("\n## ");
    let heading = parts.next().unwrap_or("");
    if heading.trim_end() != format!("# {title}") {
        found.push(problem("page", id, format!("does not start with the line `# {title}`")));
    }
    let parts: Vec<(&str, &str)> = parts.map(|p| p.split_once('\n').unwrap_or((p, ""))).collect();
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    if names != sections {
        found.push(problem("page", id, format!("has the sections {names:?}")));
    }
    for (name, text) in parts {
        if text.split_whitespace().map(str::len).sum::<usize>() < 40 {
            found.push(problem("page", id, format!("says next to nothing under {name}")));
        }
        if text.matches("```").count() % 2 == 1 {
            found.push(problem("page", id, format!("leaves a code block open under {name}")));
        }
    }
    found
}

/// Rules that a page points to exist.
fn references(id: &str, page: &str) -> Vec<Problem> {
    let mut known: BTreeSet<&str> = rules().iter().map(|r| r.id).collect();
    known.extend(choices().map(|c| c.id));
    let token = |c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-');
    let words = page.split(token).map(|word| word.trim_matches('.'));
    words
        .filter(|word| KERNELS.contains(&word.split('.').next().unwrap_or("")))
        .filter(|word| word.split('.').count() == 3 && !known.contains(word))
        .map(|word| problem("reference", id, format!("{word} is no rule")))
        .collect()
}

/// It can be looked up how a rule is known.
fn basis(id: &str, cited: &[Cite], basis: Basis) -> Vec<Problem> {
    let mut found: Vec<Problem> = cites(id, cited);
    if cited.is_empty() && basis != Basis::Guess {
        found.push(problem("basis", id, "has no citation"));
    }
    if let Basis::Measured(note) = basis {
        let there = note.starts_with("lab/") && repository().join(note).is_file();
        if !there {
            found.push(problem("note", note, format!("is not in lab/; {id} needs it")));
        }
    }
    found
}

fn cites(id: &str, cites: &[Cite]) -> Vec<Problem> {
    let whole = |c: &Cite| {
        c.repo.split('/').count() == 2
            && [c.rev, c.path, c.function, c.needle].iter().all(|part| !part.trim().is_empty())
    };
    let broken = cites.iter().filter(|c| !whole(c));
    broken.map(|c| problem("cite", id, format!("{c:?} lacks a part"))).collect()
}

/// An id means one rule, also across kernels.
fn unique_rules() -> Vec<Problem> {
    let mut seen: BTreeMap<&str, &Rule> = BTreeMap::new();
    let mut found = Vec::new();
    for &rule in paths().flatten() {
        if !ptr::eq(*seen.entry(rule.id).or_insert(rule), rule) {
            found.push(problem("unique", rule.id, "names two rules"));
        }
    }
    found
}

fn unique_fixes() -> Vec<Problem> {
    let mut seen: BTreeMap<&str, &Fix> = BTreeMap::new();
    let mut found = Vec::new();
    for &fix in rules().iter().flat_map(|rule| rule.fixes) {
        if !ptr::eq(*seen.entry(fix.id).or_insert(fix), fix) {
            found.push(problem("unique", fix.id, "names two fixes"));
        }
    }
    found
}

fn feature_list() -> Vec<Problem> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for feature in features() {
        let well = match feature.id.split_once('.') {
            Some((kernel, what)) => KERNELS.contains(&kernel) && kebab(what),
            None => false,
        };
        if !well {
            found.push(problem("id", feature.id, "is not kernel.what"));
        }
        if !seen.insert(feature.id) {
            found.push(problem("unique", feature.id, "names two features"));
        }
        if feature.last_without.is_some_and(|last| last >= feature.first_with) {
            found.push(problem("feature", feature.id, "comes before it is gone"));
        }
        if feature.exceptions.iter().any(|e| e.from >= e.below) {
            found.push(problem("feature", feature.id, "has an exception without versions"));
        }
        if feature.cites.is_empty() {
            found.push(problem("basis", feature.id, "has no citation"));
        }
        found.extend(title(feature.id, feature.title));
        found.extend(cites(feature.id, feature.cites));
    }
    found
}

/// What a source file declares is on a list, else nobody ever asks it.
fn nothing_left_out() -> Vec<Problem> {
    let mut listed: BTreeSet<&str> = rules().iter().map(|rule| rule.id).collect();
    listed.extend(rules().iter().flat_map(|rule| rule.fixes).map(|fix| fix.id));
    listed.extend(features().map(|feature| feature.id));
    listed.extend(choices().map(|choice: &Choice| choice.id));
    let (mut found, mut declared) = (Vec::new(), BTreeSet::new());
    for (file, text) in sources() {
        for kind in ["Rule", "Fix", "Feature", "Choice"] {
            let declaration = format!(": {kind} = {kind} {{");
            for body in text.split(&declaration).skip(1) {
                let id = body.split("id: \"").nth(1).and_then(|rest| rest.split('"').next());
                let id = id.unwrap_or("").to_owned();
                if !listed.contains(id.as_str()) {
                    found.push(problem("listed", &id, format!("{kind} of {file} is on no list")));
                }
                if !declared.insert(id.clone()) {
                    found.push(problem("unique", &id, format!("{file} declares it once more")));
                }
            }
        }
    }
    found
}

fn pages_without_rule() -> Vec<Problem> {
    let ids = rules().into_iter().map(|r| r.id).chain(choices().map(|c| c.id));
    let known: BTreeSet<String> = ids.map(|id| format!("{id}.md")).collect();
    let names = files(&crate_dir().join("pages")).into_iter().map(|(name, _)| name);
    names
        .filter(|name| !known.contains(name))
        .map(|name| problem("page", &name, "belongs to no rule"))
        .collect()
}

/// One directory per kernel and one list per call: bodies ask for features, not for versions.
fn switches() -> Vec<Problem> {
    const SWITCHES: [&str; 5] =
        ["KernelFamily::", "Version::", "Version(", "in_version(", "kernel.version"];
    let mut found = Vec::new();
    for (file, text) in sources() {
        if file.ends_with("/features.rs") || file.ends_with("/versions.rs") {
            continue;
        }
        for (n, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for switch in SWITCHES.iter().filter(|switch| code.contains(**switch)) {
                found.push(problem("switch", &file, format!("line {}: {switch}", n + 1)));
            }
        }
    }
    found
}

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> PathBuf {
    crate_dir().join("../..")
}

/// The source files of every kernel, named `kernel/file.rs`.
fn sources() -> Vec<(String, String)> {
    let of = |kernel: &str| {
        let named = move |(name, text): (String, String)| (format!("{kernel}/{name}"), text);
        files(&crate_dir().join("src").join(kernel)).into_iter().map(named).collect::<Vec<_>>()
    };
    let below = ["linux/exec", "linux/lookup"];
    KERNELS.iter().copied().chain(below).flat_map(of).collect()
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut all: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_net_has_no_hole() {
    assert!(title("x", "a port is free").is_empty());
    assert_eq!(title("x", "bind fails.").len(), 2);
    let section = |name: &str| format!("\n## {name}\n{}\n", "long enough ".repeat(4));
    let sections: String = SECTIONS.iter().map(|name| section(name)).collect();
    assert_eq!(page("x", "a title", &format!("# a title\n{sections}"), &SECTIONS), []);
    assert_eq!(page("x", "a title", &format!("# another title\n{sections}"), &SECTIONS).len(), 1);
    assert_eq!(page("x", "a title", &format!("# a title\n{sections}more ```"), &SECTIONS).len(), 1);
    assert_eq!(page("x", "a title", "# a title\n\n## What\nShort.\n", &SECTIONS).len(), 2);
    assert_eq!(
        page("x", "a title", &format!("# a title\n{sections}{}", section("More")), &SECTIONS).len(),
        1
    );
}
