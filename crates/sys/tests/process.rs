//! Programs started as somebody else, which end with whoever started them.
#![cfg(target_os = "linux")]

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use portwise_sys::caps::{self, Sets};
use portwise_sys::pidfd::PidFd;
use portwise_sys::proc::Proc;
use portwise_sys::process::{Credentials, Start, kill_child};

fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

#[test]
fn a_program_ends_with_the_thread_that_started_it() {
    let start = || {
        let start = Start { dies_with_parent: true, ..Start::default() };
        let child = start.spawn(&mut sleep()).expect("there is a sleep");
        let process = PidFd::open(child.id()).expect("nobody waited for it");
        (child, process)
    };
    let (mut child, gone) = thread::spawn(start).join().unwrap();
    assert_eq!(gone.wait(Duration::from_secs(5)), Ok(true));
    child.wait().unwrap();
    let (mut child, stays) = start();
    assert_eq!(stays.wait(Duration::from_millis(50)), Ok(false));
    kill_child(child.id()).unwrap();
    assert_eq!(stays.wait(Duration::from_secs(5)), Ok(true));
    child.wait().unwrap();
}

#[test]
fn a_session_of_its_own() {
    let start = Start { new_session: true, ..Start::default() };
    let mut child = start.spawn(&mut sleep()).unwrap();
    let stat = Proc::default().read(format!("proc/{}/stat", child.id())).unwrap();
    let stat = String::from_utf8(stat).unwrap();
    let session = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)).unwrap();
    assert_eq!(session, child.id().to_string());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What `/proc/self/status` says in a program started with these credentials.
fn status(credentials: Credentials) -> portwise_sys::proc::Status {
    let start = Start { credentials, ..Start::default() };
    let mut cat = Command::new("cat");
    cat.arg("/proc/self/status").stdout(Stdio::piped());
    let mut child = start.spawn(&mut cat).unwrap();
    let mut text = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    portwise_sys::proc::parse_status(&text).unwrap()
}

#[test]
fn credentials_are_taken_on() {
    let own = caps::get(0).unwrap();
    let needed = ["setuid", "setgid", "setpcap", "net_raw", "net_admin"];
    let needed = needed.iter().map(|name| caps::bit(caps::by_name(name).unwrap()));
    if needed.fold(0, |all, bit| all | bit) & !own.effective != 0 {
        return portwise_sys::not_run!("taking on credentials: needs root");
    }
    let raw = caps::bit(caps::NET_RAW);
    let plain = Credentials {
        uid: Some(65534),
        gid: Some(65533),
        groups: Some(vec![65532]),
        sets: Some(Sets::default()),
        ambient: Some(0),
        ..Credentials::default()
    };
    let seen = status(plain.clone());
    assert_eq!((seen.uids.real, seen.uids.saved, seen.gids.effective), (65534, 65534, 65533));
    assert_eq!(seen.groups, [65532]);
    assert_eq!((seen.capabilities.effective, seen.capabilities.permitted), (0, 0));
    assert_ne!(seen.capabilities.bounding, 0);
    let one = Credentials {
        bounding: Some(raw | caps::bit(caps::NET_ADMIN)),
        sets: Some(Sets { effective: raw, permitted: raw, inheritable: raw }),
        ambient: Some(raw),
        ..plain
    };
    let seen = status(one).capabilities;
    assert_eq!((seen.effective, seen.permitted, seen.ambient), (raw, raw, raw));
    assert_eq!(seen.bounding, raw | caps::bit(caps::NET_ADMIN));
    // The thread that asked is who it was.
    assert_eq!(caps::get(0), Ok(own));
}
