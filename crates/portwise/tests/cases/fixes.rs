//! Every command that a fix prints is run as it was printed, in the situation it was printed for,
//! and the question is asked again.

use std::{fs, path::Path};

use serde_json::Value;

use super::{Key, ask, in_each, name, say};

#[test]
fn every_printed_fix_works() {
    in_each(|case, path| {
        let key = Key::read(&fs::read_to_string(case).unwrap());
        let Some(rest) = key.asks.strip_prefix("portwise why ") else { return Vec::new() };
        // Several commands, or one as another user, are no single question.
        if rest.contains(';') || rest.contains("--json") {
            return Vec::new();
        }
        let list = match ask(case, path, &format!("portwise fix --json {rest}")) {
            None => return Vec::new(),
            Some(Err(wrong)) => return vec![wrong],
            Some(Ok(asked)) => asked,
        };
        let Ok(document) = serde_json::from_str::<Value>(&list.answer) else {
            return vec![format!("no JSON: {}{}", list.answer, list.errors)];
        };
        // Every time a situation is made it has another directory.
        let directory = list.values.get("DIR").cloned().unwrap_or_default();
        let mut document = document.to_string().replace(&directory, "$DIR");
        if let Some(asker) = list.values.get("ASKER") {
            document = document.replace(&format!("/proc/{asker}/"), "/proc/$ASKER/");
        }
        let document: Value = serde_json::from_str(&document).unwrap();
        let answers = document["answers"].as_array().unwrap();
        let all = answers.iter().flat_map(|one| {
            let fixes = one["fixes"].as_array().unwrap().iter();
            fixes.map(|fix| (one["endpoint"].as_str().unwrap(), fix))
        });
        all.flat_map(|(endpoint, fix)| check(case, path, rest, endpoint, fix)).collect()
    });
}

/// Makes the situation anew for one fix, applies it, and returns what is wrong.
fn check(case: &Path, path: &str, rest: &str, endpoint: &str, fix: &Value) -> Vec<String> {
    let (id, number) = (fix["id"].as_str().unwrap(), &fix["number"]);
    let title = fix["title"].as_str().unwrap();
    let question = match (fix["command"].as_str(), fix["applicable"] == true) {
        (Some(_), true) => {
            // What takes a minute is not waited for.
            if title.contains("wait") || needs_what_is_not_here(fix) || is_of_the_machine(fix) {
                say(&format!(
                    "not run: {}: fix {number} ({id}) takes what is not here",
                    name(case)
                ));
                return Vec::new();
            }
            applied(rest, number)
        }
        (Some(command), false) => match as_a_start(command, endpoint) {
            Some(question) => question,
            None => {
                say(&format!("not run: {}: fix {number} ({id}) is for somebody to do", name(case)));
                return Vec::new();
            }
        },
        (None, _) => match fix["endpoint"].as_str() {
            // Another endpoint: as it was asked, but for that one.
            Some(instead) => {
                let (_, options, command) = parts(rest);
                let udp = if endpoint.ends_with("/udp") { "/udp" } else { "" };
                format!("portwise check \"{instead}{udp}\" {options} {command}; echo \"status $?\"")
            }
            None => return Vec::new(),
        },
    };
    let said = match ask(case, path, &question) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked.answer + &asked.errors,
    };
    let last = said.lines().rev().find(|line| line.starts_with("status "));
    match last {
        Some("status 0") => Vec::new(),
        _ => vec![format!("fix {number} ({id}, {title}) does not work:\n{question}\n{said}")],
    }
}

/// The fix applied, and where it can be taken back, taken back.
fn applied(rest: &str, number: &Value) -> String {
    let (endpoint, options, command) = parts(rest);
    format!(
        "out=$(portwise fix --json {endpoint} {options} --apply {number} --yes {command}); status=$?; \
         echo \"$out\"; \
         undo=$(echo \"$out\" | /usr/bin/python3 -c 'import json, sys; \
         print(json.load(sys.stdin)[\"applied\"][\"undo\"] or \"true\")'); \
         case $undo in cd*) ;; *) bash -c \"$undo\" || status=\"0, but $undo failed\";; esac; \
         echo \"status $status\""
    )
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

/// Whether a command changes a file that is not the test's own.
fn is_of_the_machine(fix: &Value) -> bool {
    let command = fix["command"].as_str().unwrap_or_default();
    let changes = ["setcap ", "chmod ", "chown ", "rm ", "install "];
    changes.iter().any(|tool| command.contains(tool)) && !command.contains("$DIR/")
}

/// A command that starts the program, with one that binds in the program's place.
fn as_a_start(command: &str, endpoint: &str) -> Option<String> {
    if !command.contains("setpriv ") && !command.contains(" run ") {
        return None;
    }
    let (address, protocol) = endpoint.rsplit_once('/')?;
    let (ip, port) = address.rsplit_once(':')?;
    let ip = ip.trim_matches(['[', ']']).replace('*', "::");
    let program = format!("/usr/bin/python3 $DIR/sock.py bind {protocol} {ip} {port}");
    let command = match command.contains("PROGRAM") {
        true => command.replace("PROGRAM", &program),
        // The program of the case, which gets what to bind from the environment.
        false => format!("{command} $ARGS bind {protocol} {ip} {port}"),
    };
    Some(format!(
        "said=$({command} 2>&1); echo \"$said\"; grep -qx OK <<<\"$said\"; echo \"status $?\""
    ))
}

/// Whether a command calls for something that a test does not have, such as a service manager.
fn needs_what_is_not_here(fix: &Value) -> bool {
    let command = fix["command"].as_str().unwrap_or_default();
    ["systemctl", "docker", "podman", "crictl", "usermod"].iter().any(|tool| command.contains(tool))
}
