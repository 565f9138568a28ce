//! `try` on this machine, as whoever runs the tests. What cannot be tried here is printed as
//! `not run: why`.
#![cfg(target_os = "linux")]

mod common;

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// In a process of its own: a user namespace can only be made by a process with one thread.
fn binary(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwise"));
    command.arg("try").args(args).output().expect("the binary was built")
}

/// The JSON and the exit status; `None` where no namespaces can be made.
fn tried(args: &[&str]) -> Option<(Value, i32)> {
    let output = binary(&[&["--json"], args].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(2) && said.contains(" can be made here") {
        portwise_sys::not_run!("try: {}", said.lines().last().unwrap_or_default());
        return None;
    }
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{said}", String::from_utf8_lossy(&output.stdout)));
    Some((value, output.status.code().unwrap()))
}

fn is_root() -> bool {
    status_field("CapEff").is_some_and(|caps| caps != "0000000000000000")
}

fn status_field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.to_string())
}

fn cell<'a>(answer: &'a Value, vantage: &str) -> &'a Value {
    let cells = answer["cells"].as_array().unwrap();
    let found = cells.iter().find(|cell| cell["vantage"] == vantage);
    &found.unwrap_or_else(|| panic!("no {vantage}: {answer}"))["observed"]["outcome"]
}

#[test]
fn what_is_bound_is_reached_as_predicted() {
    let endpoints = ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080", "127.0.0.1:5300/udp"];
    let Some((value, status)) = tried(&endpoints) else { return };
    assert_eq!((status, &value["summary"]["disagree"]), (0, &Value::from(0)), "{value:#}");
    assert_eq!(value["place"], "copy");
    for answer in value["answers"].as_array().unwrap() {
        assert_eq!(answer["observed"]["outcome"], "ok", "{answer}");
        assert_eq!(cell(answer, "lo4"), "connected", "{answer}");
    }
}

#[test]
fn a_low_port_is_refused_as_predicted() {
    let limit = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let limit: u16 = limit.unwrap().trim().parse().unwrap();
    if limit <= 81 {
        return portwise_sys::not_run!("a low port: the limit is {limit} here");
    }
    let who: &[&str] = if is_root() { &["--as", "65534:65534"] } else { &[] };
    let args = ["127.0.0.1:81", "0.0.0.0:81", "127.0.0.1:81/udp"];
    let Some((value, status)) = tried(&[who, &args].concat()) else { return };
    assert_eq!(status, 0, "{value:#}");
    for answer in value["answers"].as_array().unwrap() {
        assert_eq!(answer["observed"]["outcome"], "EACCES", "{answer}");
        assert_eq!(answer["predicted"]["rules"][0], "linux.bind.reserved-port");
        assert_eq!(answer["cells"].as_array().unwrap().len(), 0, "{answer}");
    }
}

#[test]
fn a_placeholder_stands_for_a_socket_in_the_way() {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let [tcp, udp] = [tcp.local_addr(), udp.local_addr()].map(|addr| addr.unwrap());
    let udp = format!("{udp}/udp");
    let Some((value, status)) = tried(&[&tcp.to_string(), &udp]) else { return };
    assert_eq!(status, 0, "{value:#}");
    for answer in value["answers"].as_array().unwrap() {
        assert_eq!(answer["observed"]["outcome"], "EADDRINUSE", "{answer}");
        assert_eq!(cell(answer, "lo4"), "other", "{answer}");
    }
}

/// Not a test: the server that the tests below start. It listens on the address in this variable.
#[test]
fn a_server() {
    let Ok(address) = env::var("PORTWISE_TEST_SERVER") else { return };
    let listener = TcpListener::bind(address).expect("an address to listen on");
    let _ = writeln!(std::io::stderr(), "listening, {}", status_field("CapEff").unwrap());
    for connection in listener.incoming().flatten() {
        let mut connection = connection;
        let _ = connection.write_all(b"hello\n");
        let _ = connection.read(&mut [0; 64]);
    }
}

/// A command that starts it.
fn server() -> Vec<String> {
    let me = env::current_exe().unwrap();
    let script = "PORTWISE_TEST_SERVER={addr}:{port} exec \"$0\" --exact a_server --nocapture";
    ["sh", "-c", script, me.to_str().unwrap()].map(str::to_string).to_vec()
}

#[test]
fn a_server_listens_and_ends() {
    let server = server();
    let command: Vec<&str> = server.iter().map(String::as_str).collect();
    let client = "sh -c 'echo {host} {port}; exit 4'";
    let args = [&["127.0.0.1:8080", "[::]:8080", "--client", client, "--"][..], &command].concat();
    let Some((value, status)) = tried(&args) else { return };
    assert_eq!(status, 0, "{value:#}");
    let answers = value["answers"].as_array().unwrap();
    for answer in answers {
        let server = &answer["server"];
        assert_eq!(server["listens"].as_array().unwrap().len(), 1, "{answer}");
        let said = server["said"].as_str().unwrap();
        assert!(said.contains("listening, "), "{said}");
        assert!(is_root() || said.contains("listening, 0000000000000000"), "{said}");
        assert_eq!(cell(answer, "lo4"), "connected", "{answer}");
        assert_eq!(answer["client"]["status"], 4, "{answer}");
    }
    assert_eq!(answers[0]["client"]["first_line"], "127.0.0.1 8080");
    assert_eq!(answers[1]["client"]["first_line"], "::1 8080");
    assert_eq!(cell(&answers[0], "lo6"), "refused");
    assert_eq!(cell(&answers[1], "lo6"), "connected");
}

#[test]
fn a_server_that_does_not_listen_is_no_success() {
    let Some((value, status)) = tried(&["127.0.0.1:8080", "--", "sh", "-c", "echo no; exit 3"])
    else {
        return;
    };
    assert_eq!(status, 1, "{value:#}");
    let server = &value["answers"][0]["server"];
    assert_eq!((&server["ended"]["status"], &server["agrees"]), (&3.into(), &false.into()));
    assert_eq!(server["said"], "no\n");
    let Some((value, status)) = tried(&["127.0.0.1:8080", "--", "/no/such/server"]) else { return };
    assert_eq!(status, 1);
    let words = value["answers"][0]["server"]["ended"]["words"].as_str().unwrap();
    assert!(words.contains("ENOENT"), "{words}");
}

/// The rights of a server's file, tried as root for another user, and by that user.
#[test]
fn a_server_whose_file_has_the_capability() {
    use std::os::unix::fs::PermissionsExt;
    let there = tempfile::tempdir().unwrap();
    std::fs::set_permissions(there.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = |name: &str, of: &Path| {
        let file = there.path().join(name);
        std::fs::copy(of, &file).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        file.display().to_string()
    };
    let portwise = copy("portwise", Path::new(env!("CARGO_BIN_EXE_portwise")));
    let server = copy("server", &env::current_exe().unwrap());
    let bit = portwise_sys::caps::bit(portwise_sys::caps::NET_BIND_SERVICE);
    let caps =
        portwise_sys::filecap::FileCaps { permitted: bit, effective: true, ..Default::default() };
    if let Err(error) = portwise_sys::filecap::write(Path::new(&server), &caps) {
        portwise_sys::not_run!("try: no file capabilities can be given here: {error}");
        return;
    }
    let variable = "PORTWISE_TEST_SERVER={addr}:{port}";
    let server = ["--", "env", variable, &server, "--exact", "a_server", "--nocapture"];
    let user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    for (start, more, bind, listens) in [
        (&[][..], &["--as", "1000:1000"][..], "ok", 1),
        (&user, &[], "ok", 1),
        (&[&user[..], &["setpriv", "--no-new-privs"]].concat(), &[], "EACCES", 0),
        (&[&user[..], &["--bounding-set=-net_bind_service"]].concat(), &[], "EACCES", 0),
    ] {
        let words = [start, &[&portwise, "try", "--json", "127.0.0.1:80"], more, &server].concat();
        let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(2) && said.contains(" can be made here") {
            portwise_sys::not_run!("try: {said}");
            continue;
        }
        let value: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{words:?}: {e}: {said}"));
        assert_eq!(output.status.code(), Some(0), "{words:?}: {value:#}");
        let answer = &value["answers"][0];
        assert_eq!(answer["observed"]["outcome"], bind, "{words:?}: {answer:#}");
        let found = answer["server"]["listens"].as_array().unwrap().len();
        assert_eq!(found, listens, "{words:?}: {answer:#}");
    }
}

/// Whether a process has this among its arguments.
fn is_running(argument: &str) -> bool {
    let arguments = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(arguments);
    all.into_iter().any(|line| line.split(|b| *b == 0).any(|arg| arg == argument.as_bytes()))
}

#[test]
fn nothing_that_a_server_started_stays() {
    // Told apart from any other by its number.
    let number = format!("1000.{}", std::process::id());
    let script = "setsid sh -c \"sleep $0 & sleep $0\" & sleep $0 & exit 0";
    for here in [&[][..], &["--here"]] {
        let args = [here, &["127.0.0.1:0", "--wait", "1", "--", "sh", "-c", script, &number]];
        let Some((value, status)) = tried(&args.concat()) else { return };
        assert_eq!(status, 1, "{value:#}");
        assert_eq!(value["answers"][0]["server"]["ended"]["status"], 0, "{value:#}");
        // What was killed takes a moment to end.
        let end = Instant::now() + Duration::from_secs(5);
        while is_running(&number) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        assert!(!is_running(&number), "{here:?}");
    }
}

#[test]
fn on_the_network_itself() {
    let server = server();
    let command: Vec<&str> = server.iter().map(String::as_str).collect();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let endpoint = port.to_string();
    for rest in [&[][..], &[&["--"][..], &command].concat()] {
        let (value, status) = tried(&[&["--here", &endpoint], rest].concat()).unwrap();
        assert_eq!((status, &value["place"]), (0, &Value::from("here")), "{value:#}");
        assert_eq!(cell(&value["answers"][0], "lo4"), "connected", "{value:#}");
        assert!(value["vantages"].as_array().unwrap().iter().all(|v| v["from"] == "host"));
    }
    let held = TcpListener::bind(port);
    if held.is_err() {
        return portwise_sys::not_run!(
            "a port that is held, on the network itself: somebody took it meanwhile"
        );
    }
    let (value, status) = tried(&["--here", &endpoint]).unwrap();
    assert_eq!(status, 0, "{value:#}");
    assert_eq!(value["answers"][0]["observed"]["outcome"], "EADDRINUSE");
}

#[test]
fn what_cannot_be_tried_is_said_in_one_line() {
    let other = if is_root() { "nobody-of-this-name" } else { "0" };
    for (args, says) in [
        (&["127.0.0.1:80", "--on", "linux-6.12"][..], "--on"),
        (&["127.0.0.1:80", "--as", other], "--as"),
        (&["127.0.0.1:80", "--client", "'", "--", "true"], "--client"),
        (&["127.0.0.1:80", "--client", "", "--", "true"], "--client"),
    ] {
        let output = binary(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?} {said}");
        assert!(said.lines().count() == 1 && said.contains(says), "{args:?} {said}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(binary(&["127.0.0.1:80", "--client", "curl"]).status.code(), Some(2));
    assert_eq!(binary(&[]).status.code(), Some(2));
}

#[test]
fn the_table_says_it_in_words() {
    let output = binary(&["127.0.0.1:8080", "[::1]:8080"]);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(2) {
        return portwise_sys::not_run!("the table of try: {}", err.trim());
    }
    assert!(err.starts_with("portwise: in a private copy of this network"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(out.contains("127.0.0.1:8080/tcp  ok    connected"), "{out}");
    assert!(out.lines().last().is_some_and(|line| line.starts_with("as predicted: all ")), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let quiet = binary(&["-q", "127.0.0.1:8080"]);
    assert!(quiet.stderr.is_empty());
    assert_eq!(String::from_utf8_lossy(&quiet.stdout).lines().count(), 1);
}

#[test]
fn interrupted_runs_leave_nothing() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/try-interrupt.sh");
    let runs = env::var("PORTWISE_INTERRUPTS").unwrap_or_else(|_| "25".into());
    let mut command = Command::new("bash");
    let output = command.arg(script).args([&runs, env!("CARGO_BIN_EXE_portwise")]).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return portwise_sys::not_run!("interruptions of try: bash: {error}"),
    };
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(3) => portwise_sys::not_run!("interruptions of try: {}", out.trim()),
        status => assert_eq!(status, Some(0), "{out}{err}"),
    }
}
