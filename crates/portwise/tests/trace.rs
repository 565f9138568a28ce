//! `trace` on this machine, as whoever runs the tests: every program does under it what it does
//! without. What cannot be tried here is printed as `not run: why`.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use portwise_sys::{caps, filecap, proc::Proc};
use serde_json::Value;

mod calls;

const NOBODY: u32 = 65534;

/// A directory that every user may look into.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("portwise").tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

fn calls() -> Option<&'static Path> {
    calls::built()
}

fn portwise() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portwise"))
}

/// What was told and what the program did, the same with and without.
struct Traced {
    /// What the program said.
    out: String,
    /// Lines of JSON.
    told: Vec<Value>,
    /// What is printed among the program's output.
    text: String,
}

impl Traced {
    /// The events of a kind.
    fn events(&self, kind: &str) -> Vec<&Value> {
        self.told.iter().filter(|line| line["event"] == kind).collect()
    }

    /// The failures, as `CALL ADDRESS/PROTOCOL ERRNO RULES` each.
    fn failures(&self) -> Vec<String> {
        let rules = |line: &Value| {
            let rules = line["rules"].as_array().into_iter().flatten();
            rules.filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        };
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let all = self.events("failed").into_iter().map(|line| {
            let [call, address, errno] = ["call", "address", "errno"].map(|f| text(&line[f]));
            format!("{call} {address} {errno} {}", rules(line))
        });
        all.collect()
    }
}

/// Runs the program with these arguments with and without `trace`, as root or as `uid`.
fn traced_as(uid: Option<u32>, program: &Path, args: &[&str]) -> Option<Traced> {
    let as_user = |command: &mut Command| {
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
    };
    let mut direct = Command::new(program);
    as_user(direct.args(args));
    let direct = direct.output().unwrap();
    let file = tempfile::Builder::new().prefix("portwise").tempdir().unwrap();
    fs::set_permissions(file.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let told = file.path().join("told");
    let mut quiet = portwise();
    as_user(quiet.args(["trace", "-q", "-o"]).arg(&told).arg("--").arg(program).args(args));
    let traced = quiet.output().unwrap();
    let said = String::from_utf8_lossy(&traced.stderr).into_owned();
    if traced.status.code() == Some(2) && said.contains("cannot trace") {
        portwise_sys::not_run!("trace: {}", said.trim());
        return None;
    }
    let all =
        |o: &Output| (o.status, String::from_utf8_lossy(&o.stdout).into_owned(), o.stderr.clone());
    assert_eq!(all(&traced), all(&direct), "{said}");
    let mut loud = portwise();
    as_user(loud.args(["trace", "--"]).arg(program).args(args));
    let loud = loud.output().unwrap();
    assert_eq!((loud.status, &loud.stdout), (direct.status, &direct.stdout));
    let lines = fs::read_to_string(&told).unwrap();
    let told = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some(Traced {
        out: String::from_utf8_lossy(&traced.stdout).into_owned(),
        told,
        text: String::from_utf8_lossy(&loud.stderr).into_owned(),
    })
}

fn traced(args: &[&str]) -> Option<Traced> {
    traced_as(None, calls()?, args)
}

fn is_root(what: &str) -> bool {
    let effective = caps::get(0).unwrap().effective;
    let is_root = effective & caps::bit(caps::SYS_ADMIN) != 0 && limit() >= 1024;
    if !is_root {
        portwise_sys::not_run!("{what}: needs root, and a port limit of 1024");
    }
    is_root
}

fn limit() -> u16 {
    let limit = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    limit.trim().parse().unwrap()
}

#[test]
fn a_foreign_address_is_explained() {
    let Some(traced) = traced(&["bind", "8071", "192.0.2.77"]) else { return };
    let failures = traced.failures();
    assert_eq!(failures, ["bind 192.0.2.77:8071 EADDRNOTAVAIL linux.bind.local-address"]);
    let text = &traced.text;
    assert!(text.starts_with("portwise: calls (pid "), "{text}");
    assert!(text.contains("bind 192.0.2.77:8071/tcp: EADDRNOTAVAIL"), "{text}");
    assert!(text.contains("  why    "), "{text}");
    assert!(text.contains("portwise: succeeded: none; failed: 1\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_taken_port_is_explained_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let Some(traced) = traced(&["bind", &port]) else { return };
    let expected = format!("bind 127.0.0.1:{port} EADDRINUSE linux.bind.port-taken");
    assert_eq!(traced.failures(), [expected]);
    assert!(
        traced.text.contains(&format!("held by pid {} (", std::process::id())),
        "{}",
        traced.text
    );
}

#[test]
fn a_low_port_is_explained_for_who_asks() {
    let Some(program) = calls() else { return };
    if limit() < 1024 {
        return portwise_sys::not_run!("a low port under trace: there is none");
    }
    let uid = is_root("trace of a plain user, as root").then_some(NOBODY);
    let Some(traced) = traced_as(uid, program, &["bind", "620"]) else { return };
    assert_eq!(traced.failures(), ["bind 127.0.0.1:620 EACCES linux.bind.reserved-port"]);
}

#[test]
fn rights_that_were_dropped_are_not_there() {
    if !is_root("rights dropped under trace") {
        return;
    }
    let Some(traced) = traced(&["drop", "621"]) else { return };
    assert_eq!(traced.out, "setuid ok\ndrop EACCES\n");
    assert_eq!(traced.failures(), ["bind 127.0.0.1:621 EACCES linux.bind.reserved-port"]);
    let answer = &traced.events("failed")[0]["answers"][0];
    assert_eq!(answer["subject"]["uid"], 65534, "{answer:#}");
}

#[test]
fn a_landlock_domain_is_the_programs_own() {
    let Some(traced) = traced(&["landlock", "8072"]) else { return };
    if traced.out != "landlock EACCES\n" {
        return portwise_sys::not_run!("Landlock under trace: {}", traced.out.trim());
    }
    assert_eq!(traced.events("failed").len(), 1);
    assert!(traced.text.contains("Landlock"), "{}", traced.text);
}

#[test]
fn listen_that_fails_is_explained() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let Some(traced) = traced(&["listen", &port]) else { return };
    assert_eq!(traced.out, "bind ok\nbind ok\nlisten ok\nlisten EADDRINUSE\n");
    let expected = format!("listen 127.0.0.1:{port} EADDRINUSE linux.listen.port-taken");
    assert_eq!(traced.failures(), [expected], "{}", traced.text);
    let ended = traced.events("ended")[0];
    assert_eq!(ended["succeeded"]["bind"], 2, "{ended}");
    assert_eq!(ended["succeeded"]["listen"], 1, "{ended}");
}

#[test]
fn calls_of_other_kinds_are_seen() {
    let Some(i386) = traced(&["i386", "8073"]) else { return };
    match i386.out.contains("EADDRNOTAVAIL") {
        true => {
            let all = ["bind 192.0.2.77:8073 EADDRNOTAVAIL linux.bind.local-address"];
            assert_eq!(i386.failures()[..1], all, "{}", i386.out);
            assert_eq!(i386.failures().len(), 2, "by socketcall and by bind");
        }
        false => portwise_sys::not_run!("calls of 32-bit x86: {}", i386.out.trim()),
    }
    let Some(x32) = traced(&["x32", "8074"]) else { return };
    match x32.out.as_str() {
        "x32 EADDRNOTAVAIL\n" => assert_eq!(x32.failures().len(), 1),
        other => portwise_sys::not_run!("calls of x32: this kernel answers {}", other.trim()),
    }
}

#[test]
fn io_uring_is_said() {
    let Some(traced) = traced(&["uring"]) else { return };
    let notes = traced.events("note");
    assert_eq!(notes.len(), 1, "{}", traced.out);
    assert!(notes[0]["text"].as_str().unwrap().contains("io_uring"), "{notes:?}");
}

#[test]
fn of_other_families_only_unix_sockets_are_told() {
    let Some(traced) = traced(&["others"]) else { return };
    let expected = "unix bind ENOENT\nunix connect ENOENT\nnetlink bind ok\nnot a socket ENOTSOCK\n\
                    no address EFAULT\n";
    assert_eq!(traced.out, expected);
    let wanted = ["bind", "connect"]
        .map(|call| format!("{call} unix:/nowhere/at/all ENOENT linux.unix.directory-found"));
    assert_eq!(traced.failures(), wanted);
}

#[test]
fn a_blocking_connect_is_interrupted_as_ever() {
    let Some(traced) = traced(&["alarm"]) else { return };
    assert_eq!(traced.out, "connect EINTR\n");
}

#[test]
fn threads_that_bind_at_once_get_the_right_answers() {
    let Some(traced) = traced(&["threads", "8075"]) else { return };
    assert_eq!(traced.out, "0 wrong\n");
    let ended = traced.events("ended")[0];
    assert_eq!(ended["succeeded"]["bind"], 64 * 50, "{ended}");
    assert_eq!(ended["failed"][0]["times"], 64 * 50, "{ended}");
    assert_eq!(traced.text.matches("  why  ").count(), 1, "explained once: {}", traced.text);
}

#[test]
fn signals_lose_no_call() {
    let Some(traced) = traced(&["soak", "4", "300"]) else { return };
    assert_eq!(traced.out, "0 processes with a wrong answer\n");
    let ended = traced.events("ended")[0];
    assert_eq!(ended["succeeded"]["bind"], 4 * 294, "{ended}");
    assert_eq!(ended["failed"][0]["times"], 4 * 6, "{ended}");
}

#[test]
fn a_daemon_is_watched_to_its_end() {
    let Some(traced) = traced(&["daemon", "8076"]) else { return };
    assert_eq!(traced.out, "daemon EADDRNOTAVAIL\n");
    assert_eq!(traced.failures().len(), 1);
}

#[test]
fn a_connection_that_is_refused_is_explained() {
    // Nobody listens on what was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!(
        "use Socket qw(:all); use IO::Handle; use Errno; for my $nb (0, SOCK_NONBLOCK) {{ \
         socket(my $s, AF_INET, SOCK_STREAM | $nb, 0); \
         connect($s, pack_sockaddr_in({port}, inet_aton('127.0.0.1'))); print 0 + $!, ' '; \
         select(undef, undef, undef, 0.05); print unpack('i', getsockopt($s, SOL_SOCKET, SO_ERROR)), \"\\n\" }}"
    );
    let perl = Path::new("/usr/bin/perl");
    let Some(traced) = traced_as(None, perl, &["-e", &script]) else { return };
    assert_eq!(traced.out, "111 0\n115 111\n");
    let failed = traced.events("failed");
    assert_eq!(failed.len(), 2, "{:?}", traced.failures());
    assert_eq!((&failed[0]["later"], &failed[1]["later"]), (&false.into(), &true.into()));
    let seen = format!("nothing listens on port {port}/tcp here");
    assert_eq!(failed[0]["seen"][0], seen.as_str(), "{failed:?}");
}

#[test]
fn a_wrong_hint_is_contradicted() {
    let Some(program) = calls() else { return };
    if limit() < 1024 {
        return portwise_sys::not_run!("a wrong hint about a low port: there is none");
    }
    let uid = is_root("a wrong hint, as root").then_some(NOBODY);
    let Some(traced) = traced_as(uid, program, &["hint", "622"]) else { return };
    let wrong = traced.events("wrong-hint");
    assert_eq!(wrong.len(), 1, "{}", traced.text);
    assert!(wrong[0]["hint"].as_str().unwrap().contains("already have another"), "{wrong:?}");
    assert!(traced.text.contains("portwise: what calls says is wrong: "), "{}", traced.text);
}

#[test]
fn status_signals_and_terminal_pass_through() {
    let sh = Path::new("/bin/sh");
    let Some(traced) = traced_as(None, sh, &["-c", "echo out; echo err >&2; exit 7"]) else {
        return;
    };
    assert_eq!(traced.out, "out\n");
    traced_as(None, sh, &["-c", "kill -9 $$"]);
    traced_as(None, sh, &["-c", "grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd"]);
    // A signal to the tracer is for the program.
    let script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = portwise()
        .args(["trace", "-q", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    portwise_sys::pidfd::PidFd::open(child.id()).unwrap().send_signal(15).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_killed_tracer_leaves_nothing() {
    let Some(program) = calls() else { return };
    for round in 0..20u64 {
        let mut child = portwise()
            .args(["trace", "-q", "--"])
            .arg(program)
            .arg("wait")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(round * 700));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    let proc = Proc::default();
    let is_left = |pid: &u32| {
        proc.exe(*pid).is_ok_and(|exe| exe.path == program)
            && proc.cmdline(*pid).is_ok_and(|args| args.iter().any(|arg| arg == "wait"))
    };
    let end = Instant::now() + Duration::from_secs(5);
    while proc.pids().unwrap().iter().any(is_left) {
        assert!(Instant::now() < end, "a program is left");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_cannot_be_traced_is_said() {
    let output = portwise().args(["trace", "--", "no-such-program-here"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let Some(program) = calls() else { return };
    let output = portwise()
        .args(["trace", "-q", "--", env!("CARGO_BIN_EXE_portwise"), "trace", "--"])
        .arg(program)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("a program has one tracer only"), "{said}");
}

#[test]
fn rights_of_files_and_files_that_cannot_be_read() {
    if !is_root("programs with rights of their own under trace") {
        return;
    }
    let Some(program) = calls() else { return };
    let directory = directory();
    let copy = directory.path().join("calls");
    fs::copy(program, &copy).unwrap();
    // Not readable: the memory is closed to a tracer without rights, the result is not.
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o711)).unwrap();
    let Some(traced) = traced_as(Some(NOBODY), &copy, &["bind", "623"]) else { return };
    assert_eq!(traced.out, "bind EACCES\n");
    assert_eq!(traced.failures(), ["bind ? EACCES "]);
    assert!(traced.text.contains("file is not readable"), "{}", traced.text);
    // With a capability: named before, and as it is if root traces.
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    let bind = caps::bit(caps::NET_BIND_SERVICE);
    let given = filecap::FileCaps { permitted: bind, effective: true, ..Default::default() };
    if let Err(error) = filecap::write(&copy, &given) {
        return portwise_sys::not_run!("a file capability under trace: {error}");
    }
    let mut plain = portwise();
    plain.args(["trace", "--"]).arg(&copy).args(["bind", "623"]).uid(NOBODY).gid(NOBODY);
    let plain = plain.output().unwrap();
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "bind EACCES\n");
    let first = said.lines().next().unwrap_or_default();
    assert!(first.contains("file capabilities (cap_net_bind_service)"), "{said}");
    assert!(first.contains("sudo portwise trace --user"), "{said}");
    let root = portwise()
        .args(["trace", "-q", "--user", "65534:65534", "--"])
        .arg(&copy)
        .args(["bind", "623"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&root.stdout), "bind ok\n");
}
