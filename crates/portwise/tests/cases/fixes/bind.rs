//! The fixes of `why`: applied, with the question asked again; or, if they start a program, started.

use std::path::Path;

use serde_json::Value;

use super::{Lates, Question, ask, harms, in_general, printed, worked};

/// Tries the fixes of one question and returns what is wrong with them.
pub(super) fn fixes(case: &Path, path: &str, question: &Question, late: &Lates) -> Vec<String> {
    let Question { before, rest, .. } = question;
    let asked = match ask(case, path, &format!("{before}portwise fix --json {rest}")) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked,
    };
    let document = in_general(&asked, &asked.answer);
    let Some(answers) = document["answers"].as_array() else {
        return vec![format!("no JSON: {}{}", asked.answer, asked.errors)];
    };
    let mut wrong = Vec::new();
    for answer in answers {
        let endpoint = answer["endpoint"].as_str().unwrap();
        for fix in answer["fixes"].as_array().unwrap() {
            let (id, title) = (fix["id"].as_str().unwrap(), fix["title"].as_str().unwrap());
            let what = format!("fix {} ({id}, {title})", fix["number"]);
            match trial(case, question, endpoint, fix) {
                Trial::Nothing => {}
                Trial::Wrong(why) => wrong.push(format!("{what}: {why}")),
                Trial::Now(commands) => wrong.extend(worked(case, path, &commands, &what)),
                Trial::Late(commands) => late.begin(case, path, commands, what),
            }
        }
    }
    wrong
}

/// How a fix is tried.
enum Trial {
    /// It says what to change, and has nothing to run.
    Nothing,
    Wrong(String),
    Now(String),
    Late(String),
}

fn trial(case: &Path, question: &Question, endpoint: &str, fix: &Value) -> Trial {
    let command = fix["command"].as_str();
    let waits = match (fix["title"].as_str().unwrap(), command) {
        (title, Some(_)) => title.contains("wait"),
        // Else it waits for whoever is to do something first.
        (title, None) => title.starts_with("wait"),
    };
    if let Some(harm) = command.and_then(|command| harms(case, command)) {
        return Trial::Wrong(harm);
    }
    match (command, fix["endpoint"].as_str()) {
        _ if waits => Trial::Late(waited(question, &fix["number"])),
        (Some(command), _) if starts(command) => {
            Trial::Now(started(question, &fix["number"], command, endpoint))
        }
        (Some(command), _) if command.contains("systemctl restart ") => {
            Trial::Now(restarted(question, &fix["number"], endpoint))
        }
        (Some(_), _) if fix["applicable"] == true => Trial::Now(applied(question, &fix["number"])),
        (Some(command), _) => Trial::Wrong(format!("not applied, for somebody to do: {command}")),
        // Another endpoint: as it was asked, but for that one.
        (None, Some(instead)) => {
            let (_, options, command) = parts(&question.rest);
            let udp = if endpoint.ends_with("/udp") { "/udp" } else { "" };
            let before = &question.before;
            Trial::Now(format!(
                "{before}portwise check \"{instead}{udp}\" {options} {command}; echo \"status $?\""
            ))
        }
        (None, None) => Trial::Nothing,
    }
}

/// The fix applied, and where it can be taken back, taken back.
fn applied(question: &Question, number: &Value) -> String {
    let (endpoint, options, command) = parts(&question.rest);
    let before = &question.before;
    format!(
        "out=$({before}portwise fix --json {endpoint} {options} --apply {number} --yes {command}); \
         status=$?; echo \"$out\"; \
         undo=$(echo \"$out\" | /usr/bin/python3 -c 'import json, sys; \
         print(json.load(sys.stdin)[\"applied\"][\"undo\"] or \"true\")'); \
         case $undo in cd*) ;; *) bash -c \"$undo\" || status=\"0, but $undo failed\";; esac; \
         echo \"status $status\""
    )
}

/// The service started anew, which has to listen then.
fn restarted(question: &Question, number: &Value, endpoint: &str) -> String {
    let port = endpoint.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    format!(
        "{}; bash -c \"$command\" || exit; ss -Hltn \"sport = :{port}\" | grep LISTEN; \
         echo \"status $?\"",
        list(question, number)
    )
}

/// The command run, and what the kernel keeps waited for: not longer than it keeps anything.
fn waited(question: &Question, number: &Value) -> String {
    let (endpoint, options, program) = parts(&question.rest);
    let check = format!("portwise check {endpoint} {options} {program}");
    format!(
        "{}; {check} && exit; bash -c \"$command\" || exit; \
         for i in $(seq 75); do {check} >/dev/null && break; sleep 1; done; \
         {check}; echo \"status $?\"",
        list(question, number)
    )
}

/// Types what the fix of this number prints.
fn list(question: &Question, number: &Value) -> String {
    let Question { before, rest, .. } = question;
    printed(&format!("{before}portwise fix --json {rest}"), number.as_u64().unwrap() as usize)
}

/// Endpoint, options and command of a question.
fn parts(rest: &str) -> (&str, &str, String) {
    let (rest, command) = match rest.split_once("-- ") {
        Some((rest, command)) => (rest.trim(), format!("-- {command}")),
        None => (rest, String::new()),
    };
    let (endpoint, options) = match rest.starts_with('-') {
        true => rest.rsplit_once(' ').map_or((rest, ""), |(options, endpoint)| (endpoint, options)),
        false => rest.split_once(' ').unwrap_or((rest, "")),
    };
    (endpoint, options, command)
}

/// Whether a command starts the program in question.
fn starts(command: &str) -> bool {
    command.contains("setpriv ") || command.contains("portwise run ")
}

/// A command that starts the program, as it was printed. The programs of the cases take from the
/// environment what to bind; into a shell that is started it is typed.
fn started(question: &Question, number: &Value, command: &str, endpoint: &str) -> String {
    let (address, protocol) = endpoint.rsplit_once('/').unwrap();
    let (ip, port) = address.rsplit_once(':').unwrap();
    let ip = ip.trim_matches(['[', ']']).replace('*', "::");
    let bind = format!("bind {protocol} {ip} {port}");
    let typed = match command.ends_with(" sh") {
        true => format!("<<<\"/usr/bin/python3 $DIR/sock.py {bind}\""),
        false => "</dev/null".into(),
    };
    format!(
        "{}; export SOCK_ARGS=\"{bind}\"; said=$(bash -c \"$command\" 2>&1 {typed}); \
         echo \"$said\"; grep -Eq '^(OK|.* -> OK)$' <<<\"$said\"; echo \"status $?\"",
        list(question, number)
    )
}
