//! The JSON of every case is what its schema says, and states what its text states.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{
    Key, ask,
    common::schema::{Checker, schema},
    in_each,
};

#[test]
fn text_and_json_say_the_same() {
    in_each(|case, path| {
        let key = Key::read(&fs::read_to_string(case).unwrap());
        compare(case, path, key.asks.split("; ").next().unwrap_or_default())
    });
}

/// What is wrong with the JSON that answers a question, by itself or beside the text.
pub(super) fn compare(case: &Path, path: &str, question: &str) -> Vec<String> {
    if question.contains("--json") {
        return Vec::new();
    }
    // Some ask as another user, or from elsewhere.
    let Some((before, asked)) = question.split_once("portwise ") else { return Vec::new() };
    let (verb, rest) = asked.split_once(' ').unwrap_or((asked, ""));
    let json = match verb {
        "why" => format!("{before}portwise why --json {rest}"),
        "reach" | "list" => {
            let asked = format!("{before}portwise {verb} --json {rest}");
            return valid(case, path, verb, &asked, &format!("{verb}.json"));
        }
        "trace" if !rest.contains("-o ") => {
            let asked = format!(
                "lines=$(mktemp); {before}portwise trace -o $lines {rest} >/dev/null 2>&1; cat \
                 $lines; rm $lines"
            );
            return valid(case, path, verb, &asked, "trace.json");
        }
        _ => return Vec::new(),
    };
    let both = format!("{question}; echo '--- json'; {json}");
    let asked = match ask(case, path, &both) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked,
    };
    let Some((text, json)) = asked.answer.split_once("--- json\n") else {
        return vec![format!("no answer: {}{}", asked.answer, asked.errors)];
    };
    let Ok(json) = serde_json::from_str::<Value>(json) else {
        return vec![format!("no JSON: {json}")];
    };
    let file = if json["schema"] == "portwise.unix/1" { "unix.json" } else { "why.json" };
    let mut checker = Checker { faults: Vec::new(), used: BTreeSet::new() };
    checker.check(&json, &schema(file), file, "why", "why");
    if !checker.faults.is_empty() {
        return checker.faults;
    }
    let flat = squeezed(text);
    let facts: Vec<String> =
        json["answers"].as_array().into_iter().flatten().flat_map(facts).collect();
    let missing = facts.iter().filter(|fact| !flat.contains(&squeezed(fact)));
    let mut wrong: Vec<String> =
        missing.map(|fact| format!("in the JSON, not in the text: {fact}")).collect();
    if facts.len() < 2 {
        wrong.push(format!("the JSON says nothing: {facts:?}"));
    }
    if !wrong.is_empty() {
        wrong.push(text.into());
    }
    wrong
}

/// What is wrong with the JSON of another verb, by its schema.
fn valid(case: &Path, path: &str, verb: &str, asked: &str, file: &str) -> Vec<String> {
    let asked = match ask(case, path, asked) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked,
    };
    let mut checker = Checker { faults: Vec::new(), used: BTreeSet::new() };
    let mut any = false;
    // One document, or one a line.
    for json in serde_json::Deserializer::from_str(&asked.answer).into_iter::<Value>() {
        let Ok(json) = json else {
            return vec![format!("no JSON: {}{}", asked.answer, asked.errors)];
        };
        checker.check(&json, &schema(file), file, verb, verb);
        any = true;
    }
    if !any {
        return vec![format!("no answer: {}", asked.errors)];
    }
    checker.faults
}

/// Without blanks, since lines break anywhere, and without numbers of seconds, which pass.
fn squeezed(text: &str) -> String {
    let text: String = text.split_whitespace().collect();
    let parts =
        text.split("seconds").map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    parts.collect::<Vec<_>>().join("seconds")
}

/// What an answer states, as text has it.
fn facts(answer: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    let mut add = |value: &Value| facts.extend(value.as_str().map(str::to_owned));
    add(&answer["answer"]);
    add(&answer["endpoint"]);
    add(&answer["name"]);
    add(&answer["errno"]);
    add(&answer["check"]["id"]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&answer["outcomes"]).iter().filter(|one| one["outcome"] != "ok").for_each(|one| {
        add(&one["outcome"]);
    });
    list(&answer["rules"]).iter().for_each(&mut add);
    for fix in list(&answer["fixes"]) {
        add(&fix["command"]);
        add(&fix["title"]);
        add(&fix["side_effects"]);
    }
    for note in list(&answer["notes"]) {
        add(if note.is_string() { &note } else { &note["text"] });
    }
    let pids = list(&answer["sockets"]).into_iter().filter(|socket| socket["role"] != "beside");
    let holders: Vec<Value> = pids.flat_map(|socket| list(&socket["holders"])).collect();
    facts.extend(holders.iter().take(3).map(|holder| format!("pid {}", holder["pid"])));
    facts
}
