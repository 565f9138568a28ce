//! `conform`: what it counts, what it refuses, and a few hundred random scenarios where this
//! machine allows namespaces.

mod common;

use std::{
    io::Write,
    process::{Command, Output},
};

use common::{line, portwise};

fn data(file: &str) -> String {
    format!("{}/../../tests/data/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn last_two(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(2)..].join("\n")
}

/// In a process of its own: a user namespace can only be made by a process with one thread.
fn binary(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portwise")).args(args).output().expect("the binary was built")
}

#[test]
fn recorded_files_are_counted() {
    let run = portwise(&["conform", &data("linux-own.jsonl")]);
    assert_eq!(
        last_two(&run.out),
        "steps: 526 checked, 526 agree, 0 disagree\n\
         conform: 131 scenarios, 130 agree, 0 disagree, 1 unsupported",
        "{}",
        run.out
    );
    assert_eq!(run.status, 3);
}

#[test]
fn one_kernel_of_a_file() {
    let file = data("other-kernels.jsonl");
    let run = portwise(&["conform", &file, "--on", "xnu-4903.231.4"]);
    assert!(last_two(&run.out).contains("conform: 122 scenarios, "), "{}", run.out);
    assert!(last_two(&run.out).contains(" 0 disagree"), "{}", run.out);
}

#[test]
fn a_disagreement_is_shown_and_counted() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let step = r#"{"op":"bind","socket":"a","family":"inet","type":"stream","addr":"127.0.0.1","port":80,"uid":1000}"#;
    writeln!(file, r#"{{"id":"wrong","kernels":["linux-6.18"],"steps":[{step}]}}"#).unwrap();
    let run = portwise(&["conform", file.path().to_str().unwrap()]);
    assert_eq!(run.status, 1);
    assert_eq!(
        run.out,
        "disagree: wrong on linux-6.18, step 0 (bind): recorded ok, the model says EACCES\n\
         steps: 1 checked, 0 agree, 1 disagree\n\
         conform: 1 scenarios, 0 agree, 1 disagree, 0 unsupported\n"
    );
}

#[test]
fn what_is_not_understood_is_never_agreement() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for scenario in [
        r#"{"id":"field","kernels":["linux-6.18"],"steps":[{"op":"bind","colour":"red"}]}"#,
        r#"{"id":"op","kernels":["linux-6.18"],"steps":[{"op":"dance"}]}"#,
        r#"{"id":"kernel","kernels":["plan9-4"],"steps":[]}"#,
        r#"{"id":"none","steps":[]}"#,
    ] {
        writeln!(file, "{scenario}").unwrap();
    }
    let run = portwise(&["conform", file.path().to_str().unwrap()]);
    assert_eq!(run.status, 3);
    assert!(
        run.out.ends_with("conform: 4 scenarios, 0 agree, 0 disagree, 4 unsupported\n"),
        "{}",
        run.out
    );
    for why in ["unknown field `colour`", "op dance", "kernel plan9-4", "it names no kernel"] {
        assert!(run.out.contains(why), "{why} in {}", run.out);
    }
}

#[test]
fn bad_input_gets_one_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "not json").unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    for args in [
        vec!["conform", name.as_str()],
        vec!["conform", "no/such/file.jsonl"],
        vec!["conform", "--random", "1", "--on", "linux-6.12"],
    ] {
        let run = portwise(&args);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{args:?}");
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    }
    assert_eq!(line("conform").status, 2);
    assert_eq!(line("conform --random many").status, 2);
}

#[test]
fn random_scenarios_agree_and_repeat() {
    let first = binary(&["conform", "--random", "400", "--seed", "11", "--json"]);
    if first.status.code() == Some(2) {
        return portwise_sys::not_run!(
            "random scenarios: {}",
            String::from_utf8_lossy(&first.stderr).trim()
        );
    }
    let counts = |output: &Output| -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        serde_json::json!([value["steps"], value["scenarios"], value["rules"]])
    };
    let value: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(value["scenarios"]["disagree"], 0, "{value}");
    assert_eq!(value["scenarios"]["agree"], 400, "{value}");
    // Whatever the number of threads.
    let again = binary(&["conform", "--random", "400", "--seed", "11", "--json", "--jobs", "1"]);
    assert_eq!(counts(&first), counts(&again));
}

#[test]
fn recorded_scenarios_can_be_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recorded.jsonl");
    let file = file.to_str().unwrap();
    let made = binary(&["conform", "--random", "100", "--seed", "12", "--record", file]);
    if made.status.code() == Some(2) {
        return portwise_sys::not_run!("recording random scenarios: no namespaces here");
    }
    let run = portwise(&["conform", file]);
    assert!(run.out.contains(" 0 disagree, "), "{}", run.out);
    assert!(run.out.contains("conform: 100 scenarios, "), "{}", run.out);
}

#[cfg(target_os = "linux")]
#[test]
fn probes_find_of_the_running_kernel_what_its_version_says() {
    let run = binary(&["conform", "--features"]);
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if out.is_empty() {
        return portwise_sys::not_run!("{}", err.trim());
    }
    assert_eq!(run.status.code(), Some(0), "{out}");
    assert!(out.contains("yes    yes      linux.unprivileged-port-start\n"), "{out}");
    assert!(out.contains(", 0 disagree, "), "{out}");
}

#[test]
fn probes_ask_the_running_kernel_only() {
    let run = portwise(&["conform", "--features", "--on", "linux-6.1"]);
    assert_eq!(run.status, 2, "{}", run.out);
}
