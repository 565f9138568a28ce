//! `run` by a broker: exactly what was asked for, and everything else as it was.

use std::{os::unix::process::ExitStatusExt, path::Path, process::Command, time::Duration};

use portwise_sys::proc::Proc;

use super::{BINDS, alone, calls, exactly, is_root, portwise, run, wait_for};

#[test]
fn a_broker_gives_exactly_what_is_asked_for() {
    let _alone = alone();
    if !is_root("run by a broker") {
        return;
    }
    let said = exactly("broker");
    assert!(said.contains("no other port, by portwise, which binds for it"), "{said}");
}

/// What a program that is run by a broker says, and its status.
fn brokered(endpoint: &str, program: &[&str]) -> (String, Option<i32>) {
    let args = ["-q", "-l", endpoint, "--user", "65534:65534", "--how", "broker", "--"];
    let output = run(&[&args[..], program].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (String::from_utf8_lossy(&output.stdout).into_owned() + &said, output.status.code())
}

#[test]
fn a_broker_changes_nothing_else() {
    if !is_root("what a broker leaves alone") {
        return;
    }
    let Some(calls) = calls::built() else { return };
    let calls = calls.to_str().unwrap();
    let said = |args: &[&str]| brokered("127.0.0.1:617", &[&[calls], args].concat()).0;
    assert_eq!(
        said(&["others"]),
        "unix bind ENOENT\nunix connect ENOENT\nnetlink bind ok\nnot a socket ENOTSOCK\nno address EFAULT\n"
    );
    assert_eq!(said(&["alarm"]), "connect EINTR\n");
    assert_eq!(said(&["threads", "8617"]), "0 wrong\n");
    // Taken, and not this host's.
    let holder = std::net::TcpListener::bind("127.0.0.1:617").unwrap();
    assert_eq!(said(&["bind", "617"]), "bind EADDRINUSE\n");
    drop(holder);
    let foreign = brokered("192.0.2.77:617", &[calls, "bind", "617", "192.0.2.77"]);
    assert_eq!(foreign.0, "bind EADDRNOTAVAIL\n");
    #[cfg(target_arch = "x86_64")]
    match brokered("192.0.2.77:617", &[calls, "i386", "617"]).0.as_str() {
        "socketcall EADDRNOTAVAIL\nbind EADDRNOTAVAIL\n" => {}
        other => portwise_sys::not_run!("a broker for 32-bit x86: {}", other.trim()),
    }
    let (_, status) = brokered("127.0.0.1:617", &["sh", "-c", "exit 7"]);
    assert_eq!(status, Some(7));
    let gone = brokered("127.0.0.1:617", &["no-such-program-here"]);
    assert_eq!(gone.1, Some(127), "{}", gone.0);
    let mut killed = portwise();
    killed.args(["run", "-q", "-l", "127.0.0.1:617", "--how", "broker", "--", "sh", "-c"]);
    assert_eq!(killed.arg("kill -TERM $$").status().unwrap().signal(), Some(15));
}

#[test]
fn a_broker_bypasses_no_landlock_domain() {
    if !is_root("a broker and Landlock") {
        return;
    }
    let Some(calls) = calls::built() else { return };
    let calls = calls.to_str().unwrap();
    // One that the program puts itself into.
    let own = brokered("127.0.0.1:618", &[calls, "landlock", "618"]).0;
    // One that it was started in, where another port may be bound.
    let mut within = Command::new(calls);
    within.args(["within", "619", env!("CARGO_BIN_EXE_portwise"), "run", "-q", "--how", "broker"]);
    within.args(["--user", "65534:65534", "-l", "127.0.0.1:618", "-l", "127.0.0.1:619", "--"]);
    within.args(["perl", "-e", BINDS, "127.0.0.1", "618", "tcp", "127.0.0.1", "619", "tcp"]);
    let within = within.output().unwrap();
    let within = String::from_utf8_lossy(&within.stdout).into_owned();
    if own.contains("no landlock") || within.contains("no landlock") {
        return portwise_sys::not_run!("a broker and Landlock: the kernel has none");
    }
    assert_eq!(own, "landlock EACCES\n");
    assert_eq!(within, "127.0.0.1 618 tcp 13\n127.0.0.1 619 tcp ok\n");
}

#[test]
fn a_broker_loses_no_call_to_signals() {
    if !is_root("a broker and signals") {
        return;
    }
    let Some(calls) = calls::built() else { return };
    let portwise = env!("CARGO_BIN_EXE_portwise");
    // As this kernel has it, and as those before 5.19 do.
    for before in [&[][..], &["old"]] {
        let mut command = Command::new(if before.is_empty() { Path::new(portwise) } else { calls });
        command.args(before).args(before.iter().map(|_| portwise)).args(["run", "-q"]);
        for n in 1..=4 {
            command.args(["-l", &format!("127.0.0.{n}:620")]);
        }
        command.args(["--user", "65534:65534", "--how", "broker", "--"]).arg(calls);
        let output = command.args(["soak", "4", "300", "620"]).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(lines, "0 processes with a wrong answer\n", "{before:?} {said}");
    }
}

#[test]
fn a_broker_serves_what_lives_on_and_ends_with_it() {
    if !is_root("a broker in the background") {
        return;
    }
    let script = format!("(sleep 0.3; exec perl -e '{BINDS}' 127.0.0.1 621 tcp) & exit 3");
    let (lines, status) = brokered("127.0.0.1:621", &["sh", "-c", &script]);
    assert_eq!((lines.as_str(), status), ("127.0.0.1 621 tcp ok\n", Some(3)));
    wait_for("the broker has ended", || running("127.0.0.1:621") == 0);
    // Killed, it takes the program along and leaves nothing that waits.
    for round in 0..20u64 {
        let mut child = portwise()
            .args(["run", "-q", "-l", "127.0.0.1:622", "--user", "65534:65534"])
            .args(["--how", "broker", "--", "sleep", "9.622"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(round * 700));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_for("nothing is left", || running("127.0.0.1:622") + running("9.622") == 0);
}

/// How many processes have this argument.
fn running(argument: &str) -> usize {
    let proc = Proc::default();
    let has = |pid: &u32| proc.cmdline(*pid).is_ok_and(|args| args.iter().any(|a| a == argument));
    proc.pids().unwrap().iter().filter(|pid| has(pid)).count()
}

#[test]
fn there_is_one_broker_only() {
    if !is_root("a broker within a broker") {
        return;
    }
    let inner = ["run", "-l", "127.0.0.1:623", "--how", "broker", "--", "true"];
    let mut command = portwise();
    command.args(["run", "-q", "-l", "127.0.0.1:623", "--how", "broker", "--"]);
    let output = command.arg(env!("CARGO_BIN_EXE_portwise")).args(inner).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("another supervisor answers"), "{said}");
}
