//! The stories of `cases/stories`: scored with their keys; every printed fix typed; the JSON of
//! every answer held against its schema and its text.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{facts, fixes, in_each_of, in_each_of_and_then, say};

/// What the questions of the stories are, by id.
fn probes() -> BTreeMap<String, String> {
    let keys = fs::read_to_string(folder().join("keys.json")).expect("it is in the project");
    let keys: Vec<Value> = serde_json::from_str(&keys).expect("JSON");
    let text = |key: &Value, name: &str| key[name].as_str().expect("a text").to_string();
    keys.iter().map(|key| (text(key, "id"), text(key, "probe"))).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/stories")
}

/// Whether a script is a story and no case of ours.
pub(super) fn is_story(script: &Path) -> bool {
    script.parent().is_some_and(|folder| folder.ends_with("stories"))
}

/// The script of each story, if its name has in it what `CASES` says.
pub(super) fn stories() -> Vec<PathBuf> {
    let wanted = std::env::var("CASES").unwrap_or_default();
    let mut all: Vec<PathBuf> =
        probes().keys().map(|id| folder().join(format!("{id}.sh"))).collect();
    all.retain(|path| path.with_extension("").to_string_lossy().contains(&wanted));
    all
}

/// Stories with a fix that changes a file of the machine.
const PRIVATE: [&str; 1] = ["grant-env-typo"];

/// What a script that is a story is run with.
pub(super) fn prepare(command: &mut Command, story: &Path) {
    command.env("PROBE", folder().join("ask.sh")).env("PW_QUICK", "1");
    if story.file_stem().is_some_and(|id| PRIVATE.iter().any(|private| id == *private)) {
        command.arg(folder().join("private.sh"));
    }
}

/// What tells whether clients are served as they should be, of the stories about that: in the
/// namespace of the question.
pub(super) fn served(story: &Path) -> Option<String> {
    let (suffix, client, arguments, not) = match story.file_stem()?.to_str()? {
        "reach-rp-filter" => ("s", "c", "10.77.1.1 80 --src 10.99.0.9 --timeout 2", ""),
        "fw-input-drop" => ("h", "c", "10.77.1.1 80", ""),
        "nat-redirect-not-local" => ("h", "h", "127.0.0.1 80", ""),
        "nat-hairpin" => ("h", "c1", "10.77.5.1 8443 --timeout 3", ""),
        // It is too open: what helps closes it.
        "nat-published-bypasses-input" => ("h", "ext", "10.77.1.1 6379", "! "),
        _ => return None,
    };
    Some(format!(
        "{not}ip netns exec ${{PW_NS%{suffix}}}{client} /usr/bin/python3 $DIR/sock.py connect tcp \
         {arguments} | grep -q -- '-> OK'"
    ))
}

fn probe(story: &Path) -> String {
    let id = story.file_stem().expect("a name").to_string_lossy();
    probes().remove(id.as_ref()).expect("a key")
}

#[test]
fn stories_are_explained() {
    in_each_of_and_then(
        Vec::new(),
        |_, _| Vec::new(),
        |path| {
            let mut wrong = Vec::new();
            for lines in ["0", "10"] {
                wrong.extend(score(path, lines));
            }
            wrong
        },
    );
}

/// What is wrong with the answers, or with their first lines.
fn score(path: &str, lines: &str) -> Vec<String> {
    let results = tempfile::NamedTempFile::new().unwrap();
    let ids: Vec<String> = stories()
        .iter()
        .map(|story| story.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let output = Command::new("/usr/bin/python3")
        .arg("-B")
        .arg(folder().join("score.py"))
        .args(["--quick", "--jobs", "4", "--lines", lines, "--ids", &ids.join(","), "--json"])
        .arg(results.path())
        .env("PATH", path)
        .output()
        .expect("there is a python3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Ok(results) = serde_json::from_slice::<Vec<Value>>(&fs::read(results.path()).unwrap())
    else {
        return vec![format!("no score: {text}{}", String::from_utf8_lossy(&output.stderr))];
    };
    let state = |result: &Value, state: &str| result["state"] == state;
    for skipped in results.iter().filter(|result| state(result, "skipped")) {
        say(&format!("not run: {}: {}", skipped["id"], skipped["note"]));
    }
    let first = if lines == "0" { "" } else { "by its first ten lines " };
    let told = results.iter().filter(|result| !state(result, "skipped")).count();
    let explained = results.iter().filter(|result| state(result, "explained")).count();
    say(&format!("stories: {explained} of {told} {first}explained"));
    // Of ten lines, four of five stories are asked for.
    let least = if lines == "0" { told } else { (told * 4).div_ceil(5) };
    if explained >= least { Vec::new() } else { vec![text] }
}

#[test]
fn every_fix_of_a_story_works() {
    let late = fixes::Lates::default();
    in_each_of_and_then(
        stories(),
        |story, path| fixes::of(story, path, &probe(story), &late),
        |_| late.end(),
    );
    say(&format!("stories: {} printed commands and endpoints tried", fixes::tried()));
}

#[test]
fn text_and_json_of_a_story_say_the_same() {
    in_each_of(stories(), |story, path| facts::compare(story, path, &probe(story)));
}
