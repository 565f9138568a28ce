//! The cases of `cases/`: each situation is made in namespaces of its own, the question is asked
//! there, and the answer has to say what is so. `CASES=in-use/time-wait` runs those whose name has
//! that in it, `SHOW=1` prints the answers.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod facts;
mod fixes;
mod situations;
mod stories;

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

/// So many at a time: they wait more than they work.
const AT_A_TIME: usize = 8;

/// What the head of a script says.
#[derive(Default)]
struct Key {
    asks: String,
    says: Vec<String>,
    first: Vec<String>,
    not: Vec<String>,
}

impl Key {
    fn read(script: &str) -> Key {
        let mut key = Key::default();
        for line in script.lines().take_while(|line| line.starts_with('#')) {
            let Some((name, value)) = line.trim_start_matches("# ").split_once(": ") else {
                continue;
            };
            match name {
                "asks" => key.asks = value.into(),
                "says" => key.says.push(value.into()),
                "first" => key.first.push(value.into()),
                "not" => key.not.push(value.into()),
                _ => {}
            }
        }
        key
    }

    /// What is wrong with an answer.
    fn faults(&self, answer: &str, values: &BTreeMap<String, String>) -> Vec<String> {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let all = flat(answer).to_lowercase();
        let lines = answer.lines().filter(|line| !line.trim().is_empty());
        let first = flat(&lines.take(10).collect::<Vec<_>>().join("\n")).to_lowercase();
        let has = |text: &str, wanted: &str| {
            fill(wanted, values).split(" | ").any(|w| text.contains(&w.to_lowercase()))
        };
        let mut faults = Vec::new();
        faults.extend(self.says.iter().filter(|w| !has(&all, w)).map(|w| format!("not said: {w}")));
        faults.extend(
            self.first
                .iter()
                .filter(|w| !has(&first, w))
                .map(|w| format!("not said at first: {w}")),
        );
        faults.extend(self.not.iter().filter(|w| has(&all, w)).map(|w| format!("said: {w}")));
        faults
    }
}

/// Puts values in the place of `$NAME`, the longest names first.
fn fill(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut names: Vec<&String> = values.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.iter().fold(text.into(), |text, name| text.replace(&format!("${name}"), &values[*name]))
}

fn cases() -> Vec<PathBuf> {
    let wanted = env::var("CASES").unwrap_or_default();
    let mut all = all_cases();
    all.retain(|path| path.with_extension("").to_string_lossy().contains(&wanted));
    let is_known = !all.is_empty() || !stories::stories().is_empty();
    assert!(is_known, "no case and no story has {wanted} in its name");
    all
}

fn all_cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut all = Vec::new();
    for folder in fs::read_dir(root).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let scripts = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
        let is_case = |path: &PathBuf| {
            path.extension().is_some_and(|e| e == "sh") && !stories::is_story(path)
        };
        all.extend(scripts.filter(is_case));
    }
    all.sort();
    all
}

fn say(text: &str) {
    // The test harness keeps what a passing test prints.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What was asked in a situation, and what came back.
struct Asked {
    values: BTreeMap<String, String>,
    answer: String,
    errors: String,
    /// What was said after the answer.
    behind: String,
}

/// Makes a situation and asks a question in it. `None` if it cannot be made here.
fn ask(case: &Path, path: &str, question: &str) -> Option<Result<Asked, String>> {
    ask_with(case, path, question, &[])
}

/// The same with variables for the script.
fn ask_with(
    case: &Path,
    path: &str,
    question: &str,
    variables: &[(&str, &str)],
) -> Option<Result<Asked, String>> {
    let mut command = Command::new("bash");
    if stories::is_story(case) {
        stories::prepare(&mut command, case);
    }
    command.arg(case).env("ASK", question).env("PATH", path).envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("there is a bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) {
        say(&format!("not run: {}: {}", name(case), text.trim()));
        return None;
    }
    let Some((before, answer)) = text.split_once("--- answer\n") else {
        return Some(Err(format!("the situation was not made: {text}{errors}")));
    };
    let values = before.lines().filter_map(|line| line.split_once('='));
    let values = values.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let (answer, behind) = answer.rsplit_once("--- status").unwrap_or((answer, ""));
    Some(Ok(Asked { values, answer: answer.into(), errors, behind: behind.into() }))
}

fn name(case: &Path) -> String {
    let case = case.with_extension("");
    let parts: Vec<_> = case.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    format!("{}/{}", parts[1], parts[0])
}

/// Runs one and returns what is wrong with it; nothing if it cannot be made here.
fn run(case: &Path, path: &str) -> Vec<String> {
    let script = fs::read_to_string(case).unwrap();
    let key = Key::read(&script);
    assert!(!key.asks.is_empty() && key.says.len() + key.first.len() > 0, "{}", case.display());
    let Asked { values, answer, errors, .. } = match ask(case, path, &key.asks) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked,
    };
    let name = name(case);
    let answer = format!("{answer}{errors}");
    if env::var_os("SHOW").is_some() {
        say(&format!("== {name}\n{answer}"));
    }
    let mut faults = key.faults(&answer, &values);
    if answer.chars().any(|c| c != '\n' && portwise::render::is_harmful(c)) {
        faults.push("a terminal might act on it".into());
    }
    if !faults.is_empty() {
        faults.push(answer);
    }
    faults
}

#[test]
fn every_case_is_explained() {
    in_each(run);
}

/// Looks at each case, several at a time, and fails with all that was wrong.
fn in_each(look: impl Fn(&Path, &str) -> Vec<String> + Sync) {
    in_each_of(cases(), look);
}

/// Looks at each of these scripts.
fn in_each_of(scripts: Vec<PathBuf>, look: impl Fn(&Path, &str) -> Vec<String> + Sync) {
    in_each_of_and_then(scripts, look, |_| Vec::new());
}

/// The same, and something at the end. Both get the `PATH` on which the program is.
fn in_each_of_and_then(
    scripts: Vec<PathBuf>,
    look: impl Fn(&Path, &str) -> Vec<String> + Sync,
    then: impl FnOnce(&str) -> Vec<String>,
) {
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) != 0) {
        return say("not run: the cases need root, to make network namespaces");
    }
    // Other users are to execute it too.
    let there = tempfile::tempdir().unwrap();
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_portwise"), there.path().join("portwise")).unwrap();
    let path = format!("{}:{}", there.path().display(), env::var("PATH").unwrap_or_default());
    // Taken from the end: first those whose fixes wait for a minute.
    let mut scripts = scripts;
    scripts.sort_by_cached_key(|script| fs::read_to_string(script).unwrap().contains("TIME_WAIT"));
    let (left, faults) = (Mutex::new(scripts), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(case) = left.lock().unwrap().pop() else { return };
                    let wrong = look(&case, &path);
                    if !wrong.is_empty() {
                        let text = format!("{}:\n  {}", name(&case), wrong.join("\n  "));
                        faults.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let mut faults = faults.into_inner().unwrap();
    faults.extend(then(&path));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
