//! Every command that a fix prints is run as it was printed, in the situation it was printed for,
//! and what did not work before has to work then. Nothing is left out: a command that this machine
//! cannot carry out is one that the case has a stand-in for (`stand_in` in `cases/lib.sh`), which
//! knows the exact words and does to the sockets what the real program would.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use serde_json::Value;

use super::{Asked, Key, ask, cases, in_each_of_and_then, name, stories::is_story};

mod bind;
mod packets;
mod traced;

/// Fixes that wait for the kernel, for a minute or more: tried beside the others.
#[derive(Default)]
pub(super) struct Lates(Mutex<Vec<JoinHandle<Vec<String>>>>);

impl Lates {
    fn begin(&self, case: &Path, path: &str, commands: String, what: String) {
        let (case, path) = (case.to_path_buf(), path.to_string());
        let trial = thread::spawn(move || {
            let wrong = worked(&case, &path, &commands, &what);
            wrong.into_iter().map(|wrong| format!("{}: {wrong}", name(&case))).collect()
        });
        self.0.lock().unwrap().push(trial);
    }

    /// What is wrong with those begun.
    pub(super) fn end(&self) -> Vec<String> {
        let begun = std::mem::take(&mut *self.0.lock().unwrap());
        begun.into_iter().flat_map(|trial| trial.join().unwrap()).collect()
    }
}

/// How many were tried of stories.
static TRIED: AtomicUsize = AtomicUsize::new(0);

pub(super) fn tried() -> usize {
    TRIED.load(Relaxed)
}

/// Counts one that is tried.
fn count(case: &Path) {
    TRIED.fetch_add(usize::from(is_story(case)), Relaxed);
}

#[test]
fn every_printed_fix_works() {
    let late = Lates::default();
    let look = |case: &Path, path: &str| {
        let key = Key::read(&fs::read_to_string(case).unwrap());
        of(case, path, &key.asks, &late)
    };
    in_each_of_and_then(cases(), look, |_| late.end());
}

/// Tries the fixes of every question and returns what is wrong with them.
pub(super) fn of(case: &Path, path: &str, asks: &str, late: &Lates) -> Vec<String> {
    let try_it = |question: &Question| match question.verb {
        "why" => bind::fixes(case, path, question, late),
        "reach" => packets::fixes(case, path, question),
        _ => traced::fixes(case, path, question),
    };
    let mut wrong = Vec::new();
    // A few at a time: one case asks a dozen.
    for some in questions(asks).chunks(4) {
        thread::scope(|scope| {
            let tried: Vec<_> = some.iter().map(|q| scope.spawn(move || try_it(q))).collect();
            wrong.extend(tried.into_iter().flat_map(|one| one.join().unwrap()));
        });
    }
    wrong
}

/// One question of a case.
struct Question {
    /// What stands in front of `portwise`, such as the user it runs as.
    before: String,
    verb: &'static str,
    rest: String,
}

/// The questions of a case that may be answered with fixes.
fn questions(asks: &str) -> Vec<Question> {
    let mut ports: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for part in asks.split(';').map(str::trim) {
        if let Some(list) = part.strip_prefix("for port in ") {
            ports = list.split_whitespace().collect();
        }
        let part = part.strip_prefix("do ").unwrap_or(part);
        let verbs = ["why", "reach", "trace"].into_iter();
        let mut asked = verbs.filter_map(|verb| {
            let (before, rest) = part.split_once(&format!("portwise {verb} "))?;
            Some((before, verb, rest))
        });
        let Some((before, verb, rest)) = asked.next() else { continue };
        // How it is printed makes no difference.
        if rest.contains("--json") {
            continue;
        }
        let each = if rest.contains("$port") { ports.as_slice() } else { &[""] };
        found.extend(each.iter().map(|port| Question {
            before: before.into(),
            verb,
            rest: rest.replace("$port", port),
        }));
    }
    found
}

/// Makes the situation and runs commands there of which the last says how it ended.
fn worked(case: &Path, path: &str, commands: &str, what: &str) -> Vec<String> {
    count(case);
    let said = match ask(case, path, commands) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked.answer + &asked.errors,
    };
    match said.lines().rev().find(|line| line.starts_with("status ")) {
        Some("status 0") => Vec::new(),
        _ => vec![format!("{what} does not work:\n{commands}\n{said}")],
    }
}

/// A document with `$DIR` in place of the directory, which is another each time.
fn in_general(asked: &Asked, document: &str) -> Value {
    let directory = asked.values.get("DIR");
    let text = directory.map_or(document.into(), |at| document.replace(at, "$DIR"));
    serde_json::from_str(&text).unwrap_or_default()
}

/// What puts the command of a fix into the variable `command`, as it is printed there and then:
/// process ids are others each time. `list` prints JSON, one document or one a line; `number`
/// counts its fixes from 1.
fn printed(list: &str, number: usize) -> String {
    const PICK: &str = "import json, sys
def fixes(o):
    if isinstance(o, dict):
        for k, v in o.items(): yield from v if k == \"fixes\" and v else fixes(v)
    elif isinstance(o, list):
        for v in o: yield from fixes(v)
text = sys.stdin.read()
try: parts = [json.loads(text)]
except ValueError: parts = [json.loads(line) for line in text.splitlines()]
print(list(fixes(parts))[int(sys.argv[1]) - 1][\"command\"] or \"true\")";
    format!("command=$({list} | /usr/bin/python3 -c '{PICK}' {number}); echo \"types: $command\"")
}

/// What keeps a command from being tried on this machine: it changes a file that is not the test's
/// own, and the case has no file system of its own.
fn harms(case: &Path, command: &str) -> Option<String> {
    let changes = ["setcap ", "chmod ", "chown ", "rm ", "install ", "usermod "];
    let changes = changes.iter().any(|tool| command.contains(tool));
    let private = |case: &Path| fs::read_to_string(case).unwrap().contains("\nprivate ");
    let own = command.contains("$DIR/") || is_story(case) || private(case);
    (changes && !own).then(|| format!("{} is not private, and prints: {command}", name(case)))
}
