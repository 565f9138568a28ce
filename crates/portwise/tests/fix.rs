//! `fix`: what it lists, what it refuses to run, and what it runs. Each kind of change is really
//! made: here those that any user may make, in `cases.rs` the others, in namespaces.
#![cfg(target_os = "linux")]

mod common;

use std::{
    net::TcpListener,
    process::{Command, Stdio},
};

use common::{line, portwise};

#[test]
fn fixes_are_numbered() {
    let run = line("fix 127.0.0.1:80 --on linux-6.12");
    assert_eq!(run.status, 1, "{}", run.err);
    let text = run.out;
    assert!(text.starts_with("no: uid 1000 may not bind 127.0.0.1:80/tcp (EACCES"), "{text}");
    assert!(text.contains("\n  1      another port: 8080 is free\n"), "{text}");
    assert!(text.contains("\n  2      ") && text.contains("sudo sysctl"), "{text}");
    let run = line("fix 127.0.0.1:8080 --on linux-6.12");
    assert_eq!((run.status, run.out.contains("nothing to fix")), (0, true), "{}", run.out);
}

#[test]
fn what_is_not_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (args, wanted) in [
        (
            &["fix", "127.0.0.1:80", "--on", "linux-6.12", "--apply", "1"][..],
            "changes this machine",
        ),
        (&["fix", &taken, "--apply", "1", "--yes"], "nothing to run; it would bind 127.0.0.1:"),
        (&["fix", &taken, "--apply", "77", "--yes"], "there are fixes 1 to"),
        (&["fix", "127.0.0.1:0", "--apply", "1", "--yes"], "there is nothing to fix"),
        (&["fix", "127.0.0.1:80x"], "bad endpoint"),
        (&["fix", "127.0.0.1:80", "--yes"], "--apply"),
    ] {
        let run = portwise(args);
        assert_eq!(run.status, 2, "{args:?}: {}", run.out);
        assert!(run.err.contains(wanted), "{args:?}: {}", run.err);
    }
    drop(listener);
}

/// A server of ours that is stopped, unless nobody agrees.
#[test]
fn the_holder_is_stopped_once_somebody_agrees() {
    let script = "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, pack_sockaddr_in(0, \
                  inet_aton('127.0.0.1'))); listen(S, 1); $| = 1; \
                  print +(unpack_sockaddr_in(getsockname(S)))[0], \"\\n\"; sleep 60";
    let server = Command::new("perl").args(["-e", script]).stdout(Stdio::piped()).spawn();
    let Ok(mut server) = server else {
        return portwise_sys::not_run!("there is no perl here");
    };
    let mut port = String::new();
    let out = server.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut port).unwrap();
    let endpoint = format!("127.0.0.1:{}", port.trim());
    let listed = portwise(&["fix", &endpoint]).out;
    let kill = format!("kill {}", server.id());
    let Some(number) = listed.lines().collect::<Vec<_>>().windows(2).find_map(|two| {
        two[1].trim().ends_with(&kill).then(|| two[0].trim().split(' ').next().unwrap().to_string())
    }) else {
        panic!("no `{kill}` in {listed}");
    };
    let binary = env!("CARGO_BIN_EXE_portwise");
    let run = Command::new(binary)
        .args(["fix", &endpoint, "--apply", &number])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains(&kill) && said.contains("--yes"), "{said}");
    assert!(server.try_wait().unwrap().is_none(), "it was stopped though nobody agreed");
    let applied = std::thread::scope(|scope| {
        // Else it stays a zombie, which is no holder any more, but untidy.
        scope.spawn(|| server.wait());
        portwise(&["fix", &endpoint, "--apply", &number, "--yes"])
    });
    assert_eq!(applied.status, 0, "{}{}", applied.out, applied.err);
    assert!(applied.out.starts_with("done: yes: "), "{}", applied.out);
    assert!(applied.out.contains("\n  undo     cd "), "{}", applied.out);
}
