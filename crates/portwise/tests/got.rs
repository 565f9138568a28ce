//! `--got` and pasted messages, from the command line to the answer.

mod common;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use common::{line, portwise};

const HOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/host.json");

/// What `portwise` prints about a message, on one line.
fn about(message: &str, options: &[&str]) -> (u8, String) {
    let run = portwise(&[&[message], options].concat());
    (run.status, run.out.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn an_errno_is_held_against_what_the_kernel_answers() {
    let facts = ["--facts", HOST];
    let linux = ["--on", "linux-6.12"];
    let macos = ["--on", "macos-10.14.2"];
    for (message, options, status, said) in [
        (
            "bind 127.0.0.1:80: EACCES",
            linux,
            1,
            "EACCES, \"Permission denied\": what the kernel answers here",
        ),
        (
            "bind 127.0.0.1:8080: EADDRINUSE",
            linux,
            0,
            "now the call would succeed could no socket in the way holds the TCP port linux.bind.port-taken not now; at that time a socket may have held the port",
        ),
        ("bind 127.0.0.1:8080: EADDRINUSE", facts, 1, "what the kernel answers here"),
        (
            "bind 127.0.0.1:80: EADDRINUSE",
            linux,
            1,
            "not what the kernel answers here now, that is EACCES",
        ),
        ("bind 192.0.2.9:80: EADDRNOTAVAIL", linux, 1, "the kernel may answer it here"),
        (
            "bind 127.0.0.1:80: EADDRNOTAVAIL",
            linux,
            1,
            "at that time the host may not have had the address",
        ),
        (
            "bind 0.0.0.0:8080: EADDRNOTAVAIL",
            linux,
            0,
            "cannot the address is one of the host's linux.bind.local-address address 0.0.0.0",
        ),
        (
            "bind 127.0.0.1:8080: EACCES",
            linux,
            0,
            "cannot a port below the limit needs CAP_NET_BIND_SERVICE linux.bind.reserved-port port 8080 limit of this namespace: net.ipv4.ip_unprivileged_port_start is 1024",
        ),
        (
            "bind 127.0.0.1:8080: EACCES",
            linux,
            0,
            "could what cannot be read from here: a security module",
        ),
        (
            "bind 127.0.0.1:8080: EPERM",
            linux,
            0,
            "a BPF program of the cgroup, such as systemd's SocketBindDeny= sudo bpftool",
        ),
        ("bind 127.0.0.1:8080: EPERM", linux, 0, "settle strace -f -e trace=bind,listen sh"),
        (
            "bind 127.0.0.1:79: EACCES",
            facts,
            0,
            "not for this asker, but for one without privileges: portwise why 127.0.0.1:79 --as USER",
        ),
        (
            "bind 198.51.100.1:8080: EADDRINUSE",
            facts,
            1,
            "it would, but linux.bind.local-address stops the call before",
        ),
        (
            "bind 127.0.0.1:8080: EINVAL",
            linux,
            0,
            "the socket is neither bound, listening nor connected yet linux.bind.unbound-socket not for a fresh socket",
        ),
        (
            "bind [::1]:80: EPERM",
            macos,
            1,
            "no security policy, such as the program's sandbox, forbids bind xnu.bind.mac-policy not now; at that time it may have",
        ),
        (
            "bind 127.0.0.1:80: [Errno 48]",
            linux,
            1,
            "the message is of macOS or a BSD, the answer of another kernel: --on macos-15 asks there",
        ),
        (
            "Port 3000 is in use",
            linux,
            0,
            "the program's own words amount to it; the message tells no errno",
        ),
        (
            "bind() to 0.0.0.0:80 failed (13: x)\nbind() to [::]:80 failed (13: x)",
            linux,
            1,
            "the message names '[::]:80' too: portwise why '[::]:80' --got EACCES",
        ),
    ] {
        let (code, text) = about(message, &options);
        assert!(text.contains(said) && code == status, "{message}: {code}\n  {said}\n  {text}");
    }
}

#[test]
fn a_hint_is_held_against_errno_and_facts() {
    let facts = ["--facts", HOST];
    let linux = ["--on", "linux-6.12"];
    for (message, options, said) in [
        (
            "could not bind IPv4 address \"127.0.0.1\": Permission denied\nHINT:  Is another \
             postmaster already running on port 666? If not, wait a few seconds and retry.",
            linux,
            "that message is wrong: \"Is another postmaster already running on port 666?\" EACCES is \
             about something else; a taken port gives EADDRINUSE",
        ),
        (
            "Bind on TCP/IP port: Cannot assign requested address\nDo you already have another \
             mysqld server running on port: 3306 ?",
            linux,
            "that message is wrong",
        ),
        (
            "listen 127.0.0.1:8080 EADDRINUSE: try again with sudo",
            facts,
            "wrong: \"try again with sudo\" no privilege lifts EADDRINUSE",
        ),
        (
            "listen 127.0.0.1:80 EACCES. Try again with sudo",
            linux,
            "right: \"Try again with sudo\" with \
          every capability the call would succeed",
        ),
        (
            "listen 127.0.0.1:8080 EACCES. Try again with sudo",
            linux,
            "wrong: \"Try again with sudo\" the \
          call needs no privilege here",
        ),
        (
            "listen 127.0.0.1:79 EACCES. Try again with sudo",
            facts,
            "right: \"Try again with sudo\" it holds \
          for an asker without privileges",
        ),
        (
            "Bind for 0.0.0.0:8080 failed: port is already allocated",
            facts,
            "right: \"port is already \
          allocated\" a socket is in the way; Docker has a table",
        ),
        (
            "Failed to start server. Is port 80 in use?",
            linux,
            "wrong: \"Is port 80 in use?\" no socket is in \
          the way, and the kernel answers EACCES here",
        ),
        (
            "Failed to start server. Is port 8081 in use?",
            linux,
            "perhaps: \"Is port 8081 in use?\" no socket \
          is in the way now",
        ),
        (
            "listen tcp 0.0.0.0:8080: WSAEACCES. Is another process running?",
            linux,
            "perhaps: \"Is another \
          process running?\" the message is of Windows",
        ),
        (
            "Unable to bind to address /127.0.0.1:80. Set listen_address.\nPermission denied",
            linux,
            "wrong: \
          \"Set listen_address\" EACCES is not about the address",
        ),
        (
            "cannot bind socket [0.0.0.0:80], is another process running?",
            linux,
            "wrong: \"cannot bind socket \
          [0.0.0.0:80], is another process running?\" the kernel answers EACCES here, whoever holds the port",
        ),
    ] {
        let (_, text) = about(message, &options);
        assert!(text.contains(said), "{message}\n  {said}\n  {text}");
    }
}

#[test]
fn a_message_comes_in_one_argument_in_several_or_on_standard_input() {
    let one = portwise(&["listen tcp 127.0.0.1:80: bind: permission denied", "--on", "linux-6.12"]);
    assert!(one.status == 1 && one.out.contains("got    EACCES"), "{}{}", one.out, one.err);
    let several = line("listen tcp 127.0.0.1:80: bind: permission denied --on linux-6.12");
    let verb = line("why listen tcp 127.0.0.1:80: bind: permission denied --on linux-6.12");
    assert_eq!((&several.out, &verb.out), (&one.out, &one.out));
    for (input, out, err) in [
        (
            "Error: listen tcp 127.0.0.1:80:\n bind: permission denied\n".to_string(),
            one.out.as_str(),
            "",
        ),
        ("127.0.0.1:80\n".into(), "no: uid 1000 may not bind 127.0.0.1:80/tcp", ""),
        ("\u{1b}[2J".into(), "", "portwise: neither an endpoint nor"),
        ("x".repeat(70_000), "", "portwise: the message is longer than 64 KiB"),
    ] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_portwise"))
            .args(["-", "--on", "linux-6.12"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It stops reading where the message is too long.
        let _ = run.stdin.take().unwrap().write_all(input.as_bytes());
        let output = run.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(text(&output.stdout).starts_with(out), "{}", text(&output.stdout));
        assert!(text(&output.stderr).starts_with(err), "{}", text(&output.stderr));
    }
}

#[test]
fn mistakes_get_one_line() {
    for (args, said) in [
        ("why 80 --got EFOO --on linux-6.12", "--got: `EFOO` is no errno of bind or listen"),
        ("why 80 --got 48 --on linux-6.12", "on macOS or a BSD it is EADDRINUSE"),
        ("why 80 --got 98 --on macos-15", "on Linux it is EADDRINUSE"),
        ("--got EACCES check 80 --on linux-6.12", "--got stands behind `why`"),
        ("good morning", "neither an endpoint nor an error message that names one"),
        ("bind: Address already in use", "portwise why 127.0.0.1:8080 --got EADDRINUSE"),
        ("80 127.0.0.1:99999", "above 65535"),
        ("127.0.0.1:80 nonsense", "bad endpoint `nonsense`"),
        (
            "dial tcp 127.0.0.1:80: connect: connection refused",
            "ECONNREFUSED is an answer to connect",
        ),
        ("why 80 443", ""),
    ] {
        let run = line(args);
        if said.is_empty() {
            assert_ne!(run.status, 2, "{}", run.err);
            continue;
        }
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{args}");
        assert!(run.err.contains(said) && run.err.lines().count() == 1, "{args}: {}", run.err);
    }
}

#[test]
fn nothing_of_a_message_reaches_the_terminal_raw() {
    for message in [
        "bind 127.0.0.1:80: EACCES. Is another process\u{1b}[2J\u{202e} running?",
        "\u{9b}31m bind [fe80::1%\u{1b}eth0]:80: EACCES",
        "could not bind address fe80::1%\u{7}x: EACCES",
    ] {
        for options in [&["--on", "linux-6.12"][..], &["--on", "linux-6.12", "--json"]] {
            let run = portwise(&[&[message], options].concat());
            let harmful = |c: char| c != '\n' && portwise::render::is_harmful(c);
            assert!(!run.out.contains(harmful) && !run.err.contains(harmful), "{}", run.out);
        }
    }
}

/// What the kernel under us really says, read back.
#[cfg(target_os = "linux")]
#[test]
fn a_real_refusal_is_explained() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let error = std::net::TcpListener::bind(at).unwrap_err();
    let (status, text) = about(&format!("cannot bind {at}: {error}"), &[]);
    let expected = "EADDRINUSE, \"Address already in use\": what the kernel answers here";
    assert!(status == 1 && text.contains(expected), "{error}: {text}");
    drop(listener);
    let (_, text) = about(&format!("cannot bind {at}: {error}"), &[]);
    assert!(text.contains("not now; at that time a socket may have held the port"), "{text}");
}
