//! The fixes of `trace`: the program that failed is started again, and does not.

use std::path::Path;

use serde_json::Value;

use super::{Question, ask, harms, in_general, is_story, printed, worked};

/// Tries the fixes of one question and returns what is wrong with them.
pub(super) fn fixes(case: &Path, path: &str, question: &Question) -> Vec<String> {
    let Some((options, program)) = question.rest.split_once("-- ") else {
        return vec![format!("not understood: {}", question.rest)];
    };
    let trace = format!(
        "portwise trace {options} -q -o $DIR/calls -- {program} >/dev/null 2>&1; cat $DIR/calls"
    );
    let asked = match ask(case, path, &trace) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked,
    };
    let (mut wrong, mut number) = (Vec::new(), 0);
    for line in asked.answer.lines().filter(|line| line.starts_with('{')) {
        let event = in_general(&asked, line);
        for fix in all(&event) {
            number += 1;
            let Some(command) = fix["command"].as_str() else { continue };
            if let Some(harm) = harms(case, command) {
                wrong.push(harm);
                continue;
            }
            let what = format!("{}: {command}", fix["id"]);
            let types = printed(&trace, number);
            let trial = format!("{types}; {}", again(case, &event, fix, command, program));
            wrong.extend(worked(case, path, &trial, &what));
        }
    }
    wrong
}

/// All fixes of an event, wherever they stand.
fn all(event: &Value) -> Vec<&Value> {
    match event {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value.as_array()) {
                ("fixes", Some(fixes)) => fixes.iter().collect(),
                _ => all(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(all).collect(),
        _ => Vec::new(),
    }
}

/// The command, and then the program; where that has to name another path, it does. A command that
/// starts a program is both.
fn again(case: &Path, event: &Value, fix: &Value, command: &str, program: &str) -> String {
    let judged = |start: &str| match is_story(case) {
        // The programs of stories say nothing: what becomes of their calls does.
        true => format!(
            "said=$(portwise trace -- {start} 2>&1 </dev/null); echo \"$said\"; \
             grep -Eq '^portwise: succeeded: [1-9].*; failed: 0$' <<<\"$said\"; echo \"status $?\""
        ),
        // It says the errno alone on a line, if there is one.
        false => format!(
            "said=$({start} 2>&1 </dev/null); echo \"$said\"; \
             ! grep -Eq '^(|E[A-Z]+)$' <<<\"$said\"; echo \"status $?\""
        ),
    };
    if command.contains("setpriv ") || command.contains("portwise run ") {
        return judged("bash -c \"$command\"");
    }
    let path = |text: &Value| text.as_str().map(|t| t.trim_start_matches("unix:").to_string());
    let program = match (path(&event["address"]), path(&fix["endpoint"])) {
        (Some(before), Some(after)) => format!(
            "sed \"s#{before}#{after}#\" {program} >$DIR/again; chmod 755 $DIR/again; \
             program=$DIR/again"
        ),
        _ => format!("program={program}"),
    };
    format!("{program}; bash -c \"$command\" || exit; {}", judged("$program"))
}
