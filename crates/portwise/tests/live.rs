//! The running machine: no root, no network and no other program is needed. What cannot be tried
//! here is printed as `not run: why`.
#![cfg(target_os = "linux")]

mod common;

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process::Command,
};

use common::line;

/// Whether `bind` really succeeds.
fn binds(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn sysctl(name: &str) -> Option<String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::read_to_string(path).ok().map(|text| text.trim().into())
}

#[test]
fn a_listener_of_ours_is_named_with_its_pid() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = line(&format!("why 127.0.0.1:{port}"));
    let me = std::process::id();
    assert_eq!(run.status, 1, "{}", run.out);
    assert!(run.out.contains("EADDRINUSE") && run.out.contains("linux.bind.port-taken"));
    assert!(run.out.contains(&format!("127.0.0.1:{port}/tcp listening")), "{}", run.out);
    assert!(run.out.contains(&format!("held by pid {me} (")), "{}", run.out);
    assert!(run.out.contains(" is free"), "{}", run.out);
    let bare = line(&format!("why {port}"));
    assert!(bare.out.contains(&format!("held by pid {me} (")), "{}", bare.out);
    let check = line(&format!("check 127.0.0.1:{port} 127.0.0.2:{port} 127.0.0.1:{port}/udp"));
    let lines: Vec<&str> = check.out.lines().collect();
    assert!(lines[0].contains(" no ") && lines[1].contains(" yes "), "{}", check.out);
    assert_eq!(lines.len(), 3);
}

#[test]
fn the_free_port_that_is_offered_is_free() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let out = line(&format!("why 127.0.0.1:{port}")).out;
    let offered = out.split("another port: ").nth(1).and_then(|rest| rest.split(' ').next());
    let offered: u16 = offered.unwrap_or_else(|| panic!("{out}")).parse().unwrap();
    assert!(offered > port && binds(offered), "{out}");
}

#[test]
fn a_socket_that_is_bound_and_does_not_listen_is_seen() {
    // std binds and listens at once; UDP is never listening.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let run = line(&format!("why 127.0.0.1:{port}/udp"));
    assert!(run.out.contains("linux.bind.udp-port-taken"), "{}", run.out);
    assert!(run.out.contains(&format!("127.0.0.1:{port}/udp bound")), "{}", run.out);
    assert_eq!(line(&format!("check 127.0.0.1:{port}/udp")).status, 1);
}

#[test]
fn options_of_a_socket_of_ours_are_read() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Our own listener has no SO_REUSEPORT, so ours does not help either: that is certain.
    let run = line(&format!("check 127.0.0.1:{port} --reuseport"));
    if run.status == 3 && run.err.contains("not permitted") {
        portwise_sys::not_run!("pidfd_getfd is not allowed here: {}", run.err);
        return;
    }
    assert_eq!(run.status, 1, "{}{}", run.out, run.err);
}

#[test]
fn a_low_port_is_answered_as_the_kernel_does() {
    let limit: u16 = sysctl("net.ipv4.ip_unprivileged_port_start").unwrap().parse().unwrap();
    if limit <= 81 {
        portwise_sys::not_run!("the limit of reserved ports is {limit} here");
        return;
    }
    // A port of its own, which no test and hardly a service uses.
    let port = limit.min(1024) - 1;
    let may = binds(port);
    let run = line(&format!("check 127.0.0.1:{port}"));
    assert_eq!(run.status, u8::from(!may), "{}{}", run.out, run.err);
    if may {
        portwise_sys::not_run!("this user may bind low ports");
        return;
    }
    let why = line(&format!("why 127.0.0.1:{port}")).out;
    for said in [
        "EACCES",
        "net.ipv4.ip_unprivileged_port_start",
        "without CAP_NET_BIND_SERVICE",
        "linux.bind.reserved-port",
        "setcap on its file",
        "another port",
    ] {
        assert!(why.contains(said), "{said}\n{why}");
    }
}

#[test]
fn facts_of_this_machine_give_the_same_answers() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("facts.json");
    let file = file.to_str().unwrap();
    assert_eq!(line(&format!("facts -o {file}")).status, 0);
    let endpoints =
        format!("127.0.0.1:{port} 127.0.0.2:{port} [::1]:{port} 192.0.2.99:{port} {port}");
    for options in ["", "--reuseaddr", "--reuseport"] {
        let live = line(&format!("check {endpoints} {options}"));
        let given = line(&format!("check {endpoints} {options} --facts {file}"));
        assert_eq!((live.status, live.out), (given.status, given.out));
    }
}

#[test]
fn localhost_is_resolved() {
    let run = line("check localhost:65432");
    assert!(matches!(run.status, 0 | 1), "{}{}", run.out, run.err);
    assert!(run.out.lines().all(|line| line.contains(":65432/tcp")), "{}", run.out);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let binary = env!("CARGO_BIN_EXE_portwise");
    let command = format!("{binary} explain | head -n 1; exit ${{PIPESTATUS[0]}}");
    match Command::new("bash").args(["-c", &command]).output() {
        Ok(output) => {
            assert!(output.status.success(), "{:?}", output.status);
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => portwise_sys::not_run!("no bash: {error}"),
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_trouble() {
    let full = match std::fs::OpenOptions::new().write(true).open("/dev/full") {
        Ok(full) => full,
        Err(error) => return portwise_sys::not_run!("no /dev/full: {error}"),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwise"));
    command.args(["check", "80", "--on", "linux-6.12", "--as", "0"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("portwise: cannot write the answer: No space left"), "{said}");
}

#[test]
fn an_argument_that_is_no_utf8_is_no_panic() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"127.0.0.1\xff:80");
    let output = Command::new(env!("CARGO_BIN_EXE_portwise")).arg(odd).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// Root of a user namespace may do nothing on a network that belongs to another.
#[test]
fn capabilities_count_in_the_owner_of_the_network() {
    let limit: u16 = sysctl("net.ipv4.ip_unprivileged_port_start").unwrap().parse().unwrap();
    if limit <= 81 {
        portwise_sys::not_run!("the limit of reserved ports is {limit} here");
        return;
    }
    let inside = |namespaces: &[&str], verb: &str| {
        Command::new("unshare")
            .args(namespaces)
            .args([env!("CARGO_BIN_EXE_portwise"), verb, "0.0.0.0:81"])
            .output()
    };
    match inside(&["--user", "--map-root-user"], "why") {
        Ok(output) if output.stdout.is_empty() => {
            portwise_sys::not_run!("{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        Err(error) => {
            portwise_sys::not_run!("no unshare: {error}");
            return;
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(flat.contains("in another user namespace than the one that owns"), "{text}");
            assert!(
                flat.contains("with a CAP_NET_BIND_SERVICE that does not count here"),
                "{text}"
            );
        }
    }
    let own = inside(&["--user", "--map-root-user", "--net"], "check").unwrap();
    let text = String::from_utf8_lossy(&own.stdout);
    assert_eq!(own.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&own.stderr));
}

/// A program that is looked at: it need not be started, and its arguments stay here.
#[test]
fn facts_keep_no_arguments() {
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("facts.json");
    let facts = |more: &str| {
        let run = line(&format!("facts -o {} {more} -- sh --password=hunter2", file.display()));
        assert_eq!(run.status, 0, "{}", run.err);
        std::fs::read_to_string(&file).unwrap()
    };
    let text = facts("");
    assert!(!text.contains("hunter2") && text.contains("\"sh\""), "{text}");
    let by_file = line(&format!("check 127.0.0.1:80 --facts {}", file.display()));
    let live = line("check 127.0.0.1:80 -- sh --password=hunter2");
    assert_eq!((by_file.out, by_file.status), (live.out, live.status));
    assert!(facts("--with-args").contains("hunter2"));
    let both = line(&format!("check 80 --facts {} -- sh", file.display()));
    assert!(both.status == 2 && both.err.lines().count() == 1, "{}", both.err);
    let nowhere = line("check 80 -- no-such-program-anywhere");
    assert!(nowhere.status == 2 && nowhere.err.contains("in PATH"), "{}", nowhere.err);
    let absent = line("check 127.0.0.1:8080 -- /no/such/program");
    assert!(absent.out.contains("ENOENT") && absent.out.contains("linux.exec."), "{}", absent.out);
    for wrong in ["-- sh", "-- sh 80", "check -- sh"] {
        let run = line(wrong);
        assert!(
            run.status == 2 && run.out.is_empty() && !run.err.is_empty(),
            "{wrong}: {}",
            run.out
        );
    }
}
