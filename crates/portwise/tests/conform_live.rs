//! `conform --live`: scenario files on the running kernel, in network namespaces that it makes; as
//! a plain user in a user namespace. Where there can be none, that is printed as `not run: why`.
#![cfg(target_os = "linux")]

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

const LINUX: &str = r#""kernels":["linux-5.10"]"#;

/// Replays scenarios; `None` where no namespace can be made.
fn replay(lines: &[String], arguments: &[&str]) -> Option<(u8, String)> {
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("scenarios.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwise"));
    command.args(["conform", "--live"]).arg(&file).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&stderr);
    if status.code() == Some(2) && complaint.contains("namespace can be made") {
        portwise_sys::not_run!("{}", complaint.trim());
        return None;
    }
    assert_eq!(complaint, "");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    Some((status.code().unwrap().try_into().unwrap(), text))
}

/// A scenario of Linux with these fields and steps.
fn linux(id: &str, fields: &str, steps: &str) -> String {
    format!(r#"{{"id":"{id}",{LINUX},{fields}"steps":[{steps}]}}"#)
}

fn closes_with(text: &str, counts: &str) {
    let last = text.lines().last().unwrap_or_default();
    assert_eq!(last, format!("conform: {counts}"), "{text}");
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}

fn has_ip() -> bool {
    let found = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
    let found = found.iter().any(|path| fs::exists(path).unwrap_or(false));
    if !found {
        portwise_sys::not_run!("no ip");
    }
    found
}

#[test]
fn calls_are_made_and_compared() {
    let connection = r#"
        {"op":"bind","socket":"l","family":"inet","type":"stream","addr":"127.0.0.1","port":80},
        {"op":"listen","socket":"l"},
        {"op":"accept","socket":"l","as":"none","expect":"EAGAIN"},
        {"op":"connect","socket":"c","family":"inet","type":"stream","addr":"127.0.0.1","port":80},
        {"op":"accept","socket":"l","as":"k"},
        {"op":"getsockname","socket":"k","expect_addr":"127.0.0.1","expect_port":80},
        {"op":"close","socket":"l"},
        {"op":"connect","socket":"d","family":"inet","type":"stream","addr":"127.0.0.1","port":80,
            "expect":"ECONNREFUSED"},
        {"op":"bind","socket":"u","family":"inet6","type":"dgram","addr":"::1","port":"P",
            "opts":{"reuseaddr":1}},
        {"op":"getopt","socket":"u","name":"reuseaddr","expect_value":1},
        {"op":"sysctl","key":"net.ipv4.ip_unprivileged_port_start","value":70000,
            "expect":"EINVAL"}"#
        .replace('\n', " ");
    let low = r#"{"op":"bind","socket":"a","family":"inet","type":"stream","addr":"127.0.0.1",
        "port":80,"uid":1000,"expect":"EACCES"}"#
        .replace('\n', " ");
    let kept = low.replace(r#""uid":1000"#, r#""uid":1000,"caps":["net_bind_service"]"#);
    let wrong = r#"{"op":"socket","socket":"a","family":"inet","type":"stream"},
        {"op":"bind","socket":"a","addr":"127.0.0.1","port":"P","expect":"EADDRINUSE"}"#
        .replace('\n', " ");
    let lines = [
        linux("connection", "", &connection),
        linux("low", "", &low),
        linux("kept", "", &kept),
        linux("wrong", "", &wrong),
    ];
    let Some((status, text)) = replay(&lines, &[]) else { return };
    assert_eq!(status, 1, "{text}");
    let kept = "disagree: kept of linux-5.10, step 0 (bind): recorded EACCES, Linux ";
    assert!(text.contains(kept), "{text}");
    let wrong = "disagree: wrong of linux-5.10, step 1 (bind): recorded EADDRINUSE, Linux ";
    assert!(text.contains(wrong) && text.contains(" says ok\n"), "{text}");
    closes_with(&text, "4 scenarios, 2 agree, 2 disagree, 0 unsupported");
}

#[test]
fn several_users_need_root() {
    let bind = |socket: char, uid: u32, expect: &str| {
        format!(
            r#"{{"op":"bind","socket":"{socket}","uid":{uid},"family":"inet","type":"dgram",
            "addr":"127.0.0.1","port":"P","opts":{{"reuseport":1}},"expect":"{expect}"}}"#
        )
        .replace('\n', " ")
    };
    let steps = [bind('a', 1000, "ok"), bind('b', 1000, "ok"), bind('c', 1001, "EADDRINUSE")];
    let Some((status, text)) = replay(&[linux("users", "", &steps.join(","))], &[]) else { return };
    if is_root() {
        assert_eq!(status, 0, "{text}");
        closes_with(&text, "1 scenarios, 1 agree, 0 disagree, 0 unsupported");
    } else {
        assert_eq!(status, 3, "{text}");
        assert!(text.contains("a user namespace has one uid"), "{text}");
        closes_with(&text, "1 scenarios, 0 agree, 0 disagree, 1 unsupported");
    }
}

#[test]
fn each_scenario_has_its_own_surroundings() {
    if !has_ip() {
        return;
    }
    let shows = |words: &str, text: &str| format!("ip -o {words} | grep -qF '{text}'");
    let setup = format!(
        r#""setup":{{"veth":true,"devs":["d0"],"sysctl":{{"net.ipv4.ip_nonlocal_bind":1}},
        "cmds":["{}","{}","! {}"],"peer_cmds":["{}","{}","! {}"]}},"#,
        shows("addr show dev v0", "192.0.2.1/24"),
        shows("addr show dev v0", "2001:db8::1/64"),
        shows("link show", "v1:"),
        shows("addr show dev v1", "192.0.2.2/24"),
        shows("link show dev lo", "LOWER_UP"),
        shows("link show", "v0:"),
    )
    .replace('\n', " ");
    let bind = |addr: &str, expect: &str| {
        format!(
            r#"{{"op":"bind","socket":"s{addr}","family":"inet","type":"stream",
            "addr":"{addr}","port":"P","expect":"{expect}"}}"#
        )
        .replace('\n', " ")
    };
    let down = format!(
        r#""setup":{{"lo_down":true,"cmds":["! {}"]}},"#,
        shows("link show lo", "LOWER_UP")
    );
    let lines = [
        linux("veth", &setup, &[bind("192.0.2.1", "ok"), bind("203.0.113.1", "ok")].join(",")),
        linux(
            "fresh",
            "",
            &[bind("192.0.2.1", "EADDRNOTAVAIL"), bind("127.0.0.1", "ok")].join(","),
        ),
        linux("down", &down, &bind("0.0.0.0", "ok")),
    ];
    let before = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let Some((status, text)) = replay(&lines, &["--jobs", "1"]) else { return };
    assert_eq!(status, 0, "{text}");
    closes_with(&text, "3 scenarios, 3 agree, 0 disagree, 0 unsupported");
    assert_eq!(fs::read_to_string("/proc/net/dev").unwrap().lines().count(), before);
}

#[test]
fn what_cannot_be_had_is_said() {
    let socket = r#"{"op":"socket","socket":"a","family":"inet","type":"stream"}"#;
    let command = |command: &str| format!(r#"{{"op":"cmd","cmd":"{command}"}}"#);
    let lines = [
        linux("new", r#""versions":{"since":"99.1"},"#, socket),
        linux("feature", r#""requires":["telepathy"],"#, socket),
        linux("tool", "", &command("no-such-tool-here; true")),
        linux("failed", "", &command("false")),
        linux("setup", r#""setup":{"sysctl":{"net.ipv4.no_such":1}},"#, socket),
        linux("machine", "", r#"{"op":"sysctl","key":"kernel.hostname","value":"x"}"#),
        linux("op", "", r#"{"op":"lookup","addr":"127.0.0.1","port":1,"expect":"none"}"#),
        socket_on(r#""kernels":["linux-6.18","freebsd-15"],"#),
        socket_on(r#""kernel":"xnu-4570.71.2","#),
        socket_on(""),
    ];
    let Some((status, text)) = replay(&lines, &[]) else { return };
    assert_eq!(status, 3, "{text}");
    for why in [
        "since 99.1, and ",
        "requires telepathy: there is no test for it",
        "command `no-such-tool-here; true`: sh: ",
        "command `false`: exit status: 1",
        "sysctl net.ipv4.no_such cannot be written: ENOENT",
        "sysctl kernel.hostname: not one of a network namespace",
        "op lookup",
        "kernel freebsd-15 is not the one that runs",
        "kernel xnu-4570.71.2 is not the one that runs",
        "it names no kernel",
    ] {
        assert!(text.contains(why), "{why}\n{text}");
    }
    closes_with(&text, "10 scenarios, 0 agree, 0 disagree, 10 unsupported");
    let Some((status, text)) = replay(&lines[7..], &["--on", "linux-6.18"]) else { return };
    assert_eq!(status, 0, "{text}");
    closes_with(&text, "1 scenarios, 1 agree, 0 disagree, 0 unsupported");
}

fn socket_on(kernels: &str) -> String {
    let socket = r#"{"op":"socket","socket":"a","family":"inet","type":"stream"}"#;
    format!(r#"{{"id":"kernels",{kernels}"steps":[{socket}]}}"#)
}

#[test]
fn a_command_leaves_nothing_running() {
    // A time that no other process sleeps.
    let seconds = format!("1{:06}", std::process::id());
    let steps = format!(r#"{{"op":"cmd","cmd":"sleep {seconds} & sleep {seconds} & true"}}"#);
    let started = Instant::now();
    let Some((status, text)) = replay(&[linux("left", "", &steps)], &["--json"]) else { return };
    assert_eq!(status, 0, "{text}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(text.contains(r#""kernel": "#), "{text}");
    let sleeps = |entry: fs::DirEntry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&seconds)
    };
    assert!(!fs::read_dir("/proc").unwrap().flatten().any(sleeps));
}
