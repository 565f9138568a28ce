//! `run` on this machine, as whoever runs the tests. What cannot be tried here is printed as
//! `not run: why`.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use portwise_sys::{caps, cgroup, filecap, proc::Proc};

#[path = "../calls/mod.rs"]
mod calls;

mod broker;

const NOBODY: u32 = 65534;

/// Binds what it is given and says what became of it: `ADDRESS PORT KIND` each.
const BINDS: &str = r#"use Socket qw(:all); $| = 1;
while (@ARGV) { my ($a, $p, $k) = splice @ARGV, 0, 3;
  my $six = $a =~ /:/; my $s;
  socket($s, $six ? AF_INET6 : AF_INET, $k eq "udp" ? SOCK_DGRAM : SOCK_STREAM, 0) or die $!;
  my $to = $six ? pack_sockaddr_in6($p, inet_pton(AF_INET6, $a)) : pack_sockaddr_in($p, inet_aton($a));
  my $e = bind($s, $to) ? "ok" : 0 + $!; print "$a $p $k $e\n"; }"#;

fn portwise() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portwise"))
}

fn run(args: &[&str]) -> Output {
    portwise().arg("run").args(args).output().expect("the binary was built")
}

/// What a program that binds these says, one line each.
fn binds(args: &[&str], wanted: &[&str]) -> (Vec<String>, String) {
    let wanted = wanted.iter().flat_map(|w| w.split(' '));
    let mut command = portwise();
    command.arg("run").args(args).args(["--", "perl", "-e", BINDS]).args(wanted);
    let output = command.output().expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    (out.lines().map(str::to_owned).collect(), said)
}

/// One at a time: they make cgroups in the same place.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn limit() -> u16 {
    let limit = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    limit.trim().parse().unwrap()
}

/// Whether this is root of the machine, with a port limit.
fn is_root(what: &str) -> bool {
    let effective = caps::get(0).unwrap().effective;
    let is_root = [caps::SYS_ADMIN, caps::SETUID, caps::NET_BIND_SERVICE]
        .iter()
        .all(|capability| effective & caps::bit(*capability) != 0);
    if !is_root || limit() < 1024 {
        portwise_sys::not_run!("{what}: needs root, and a port limit of 1024");
    }
    is_root && limit() >= 1024
}

/// Whether a BPF program can be attached here.
fn has_cgroup(what: &str) -> bool {
    if !is_root(what) {
        return false;
    }
    let args = ["-l", "127.0.0.1:600", "--user", "65534:65534", "--how", "cgroup", "--", "true"];
    let tried = run(&args);
    if !tried.status.success() {
        portwise_sys::not_run!("{what}: {}", String::from_utf8_lossy(&tried.stderr).trim());
    }
    tried.status.success()
}

/// The cgroups of `run` that are there.
fn cgroups() -> Vec<PathBuf> {
    let own = cgroup::own(&Proc::default()).unwrap();
    let all = fs::read_dir(own).unwrap().flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("portwise-run-"))
    };
    all.filter(is_ours).collect()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cgroup_program_gives_exactly_what_is_asked_for() {
    let _alone = alone();
    if !has_cgroup("run by cgroup") {
        return;
    }
    let said = exactly("cgroup");
    assert!(said.contains("no other port, by a BPF program of a fresh cgroup"), "{said}");
}

/// Binds addresses that were asked for, and others beside them. Returns what portwise said.
fn exactly(how: &str) -> String {
    let endpoints = ["-l", "127.0.0.1:601", "-l", "[::1]:602/udp", "-l", "*:603"];
    let (lines, said) = binds(
        &[&endpoints[..], &["--user", "65534:65534", "--how", how]].concat(),
        &[
            "127.0.0.1 601 tcp",
            "::ffff:127.0.0.1 601 tcp",
            "127.0.0.1 601 udp",
            "127.0.0.2 601 tcp",
            "0.0.0.0 601 tcp",
            "::1 601 tcp",
            ":: 601 tcp",
            "127.0.0.1 600 tcp",
            "::1 602 udp",
            "::1 602 tcp",
            "127.0.0.1 602 udp",
            "0.0.0.0 603 tcp",
            ":: 603 tcp",
            "127.0.0.1 603 tcp",
            "127.0.0.1 8603 tcp",
        ],
    );
    let expected = [
        "127.0.0.1 601 tcp ok",
        "::ffff:127.0.0.1 601 tcp ok",
        "127.0.0.1 601 udp 13",
        "127.0.0.2 601 tcp 13",
        "0.0.0.0 601 tcp 13",
        "::1 601 tcp 13",
        ":: 601 tcp 13",
        "127.0.0.1 600 tcp 13",
        "::1 602 udp ok",
        "::1 602 tcp 13",
        "127.0.0.1 602 udp 13",
        "0.0.0.0 603 tcp ok",
        ":: 603 tcp ok",
        "127.0.0.1 603 tcp 13",
        "127.0.0.1 8603 tcp ok",
    ];
    assert_eq!(lines, expected, "{said}");
    said
}

#[test]
fn a_socket_of_another_network_namespace_gains_nothing() {
    let _alone = alone();
    if !has_cgroup("run in another network namespace") {
        return;
    }
    for how in ["cgroup", "broker"] {
        let args = ["-q", "-l", "*:604", "--how", how, "--", "unshare", "--net", "setpriv"];
        let drop = ["--reuid=65534", "--clear-groups", "--bounding-set=-all", "perl", "-e", BINDS];
        let what = ["0.0.0.0", "604", "tcp"];
        let output = run(&[&args[..], &drop, &what].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return portwise_sys::not_run!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        assert_eq!(said.trim(), "0.0.0.0 604 tcp 13", "{how}");
    }
}

#[test]
fn the_program_is_this_very_process() {
    let _alone = alone();
    let how: &[&str] = if has_cgroup("run by cgroup, as the same process") {
        &["-l", "127.0.0.1:605", "--user", "65534:65534", "--how", "cgroup"]
    } else {
        &["-l", "127.0.0.1:8605"]
    };
    let sh = |script: &str| {
        let mut command = portwise();
        command.arg("run").arg("-q").args(how).args(["--", "/bin/sh", "-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"from stdin\n").unwrap();
        (child.id(), child.wait_with_output().unwrap())
    };
    let (pid, output) = sh("echo $$; cat; echo to stderr >&2; exit 7");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{pid}\nfrom stdin\n"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "to stderr\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(sh("kill -TERM $$").1.status.signal(), Some(15));
    // Nothing is ignored, blocked or open that would not be without `run`.
    let look = "grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd";
    let (_, through) = sh(look);
    let mut direct = Command::new("/bin/sh");
    direct.args(["-c", look]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let direct = direct.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(through.stdout, direct.stdout, "{}", String::from_utf8_lossy(&through.stderr));
}

#[test]
fn a_program_that_is_not_there() {
    let output = run(&["-l", "127.0.0.1:8606", "--", "no-such-program-here"]);
    assert_eq!(output.status.code(), Some(127));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.ends_with("such-program-here`: No such file or directory (ENOENT)\n"), "{said}");
    let output = run(&["-l", "127.0.0.1:8606", "--", "/etc/passwd"]);
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(run(&["--", "true"]).status.code(), Some(2), "no endpoint");
}

#[test]
fn nothing_is_left_when_it_ends_or_is_killed() {
    let _alone = alone();
    if !has_cgroup("what run leaves behind") {
        return;
    }
    wait_for("the cgroups of ended runs are gone", || cgroups().is_empty());
    for round in 0..40u64 {
        let mut child = portwise()
            .args(["run", "-q", "-l", "127.0.0.1:607", "--user", "65534:65534", "--", "sleep", "9"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(round * 500));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Those that were killed before anybody watched over them are cleared by the next.
    run(&["-l", "127.0.0.1:607", "--user", "65534:65534", "--", "true"]);
    wait_for("no cgroup is left", || cgroups().is_empty());
}

#[test]
fn a_descendant_keeps_the_right_until_it_ends() {
    let _alone = alone();
    if !has_cgroup("what a descendant of run may") {
        return;
    }
    let script = format!("(sleep 0.3; exec perl -e '{BINDS}' 127.0.0.1 608 tcp) & exit 0");
    let (lines, _) = {
        let args = ["-q", "-l", "127.0.0.1:608", "--user", "65534:65534", "--", "sh", "-c"];
        let output = run(&[&args[..], &[&script]].concat());
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status)
    };
    assert_eq!(lines, "127.0.0.1 608 tcp ok\n");
    wait_for("its cgroup is gone", || cgroups().is_empty());
}

#[test]
fn without_its_keeper_the_right_is_gone_and_the_next_start_tidies_up() {
    let _alone = alone();
    if !has_cgroup("run without its keeper") {
        return;
    }
    wait_for("the cgroups of earlier runs are gone", || cgroups().is_empty());
    let script = format!("echo ready; read go; exec perl -e '{BINDS}' 127.0.0.1 609 tcp");
    let mut child = portwise()
        .args(["run", "-q", "-l", "127.0.0.1:609", "--user", "65534:65534", "--", "sh", "-c"])
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let proc = Proc::default();
    let made = cgroups().pop().expect("a cgroup");
    let keeps = |pid: &u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target == made)
    };
    let keeper = proc.pids().unwrap().into_iter().find(keeps).expect("who watches over it");
    portwise_sys::pidfd::PidFd::open(keeper).unwrap().send_signal(9).unwrap();
    wait_for("it has ended", || !keeps(&keeper));
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "127.0.0.1 609 tcp 13");
    child.wait().unwrap();
    let next = run(&["-l", "127.0.0.1:609", "--user", "65534:65534", "--", "true"]);
    let said = String::from_utf8_lossy(&next.stderr).into_owned();
    assert!(said.contains("removed a cgroup that earlier runs had left behind (1)"), "{said}");
    assert!(!made.exists());
}

#[test]
fn sockets_are_handed_over() {
    if !is_root("run by sockets made beforehand") {
        return;
    }
    let script = r#"print "$ENV{LISTEN_FDS} $ENV{LISTEN_FDNAMES} ", $ENV{LISTEN_PID} == $$, "\n";
        use Socket qw(:all); for my $fd (3, 4) { open(my $s, "+<&=", $fd) or die $!;
        my ($p, $a) = sockaddr_in(getsockname($s)); print inet_ntoa($a), " $p $>\n"; }
        print -e "/proc/self/fd/5" ? "more\n" : "no more\n";"#;
    let args = ["-q", "-l", "127.0.0.1:610", "-l", "127.0.0.1:611/udp", "--user", "65534:65534"];
    let output = run(&[&args[..], &["--how", "activation", "--", "perl", "-e", script]].concat());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "2 tcp-610:udp-611 1\n127.0.0.1 610 65534\n127.0.0.1 611 65534\nno more\n";
    assert_eq!(lines, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_plain_user_is_told_what_would_help() {
    if limit() < 1024 {
        return portwise_sys::not_run!("a plain user who may bind every port");
    }
    let mut command = portwise();
    let args = ["run", "-l", "127.0.0.1:612", "--", "perl", "-e", "print 'started'"];
    command.args(args);
    if is_root("a plain user, as root") {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
    for part in [
        "there is no way to give 127.0.0.1:612/tcp",
        "not already",
        "not cgroup",
        "not ambient",
        "not activation",
        "not broker",
        " run --user ",
        " -l 127.0.0.1:612/tcp -- perl -e 'print '\\''started'\\'''\n",
        "sudo setcap cap_net_bind_service=p /",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_an_administrator_can_do_once_helps() {
    if !is_root("portwise with a file capability") {
        return;
    }
    let directory = tempfile::Builder::new().prefix("portwise").tempdir().unwrap();
    let copy = directory.path().join("portwise");
    fs::copy(env!("CARGO_BIN_EXE_portwise"), &copy).unwrap();
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let bind = caps::bit(caps::NET_BIND_SERVICE);
    let given = filecap::FileCaps { permitted: bind, ..Default::default() };
    if let Err(error) = filecap::write(&copy, &given) {
        return portwise_sys::not_run!("portwise with a file capability: {error}");
    }
    let plain =
        |args: &[&str]| Command::new(&copy).args(args).uid(NOBODY).gid(NOBODY).output().unwrap();
    // What portwise has is nothing the asker has.
    assert_eq!(plain(&["check", "127.0.0.1:613"]).status.code(), Some(1));
    let script = r#"open(my $s, "+<&=", 3) or die $!; use Socket; my ($p) = sockaddr_in(getsockname($s));
        open(my $f, "<", "/proc/self/status"); print "$p ", scalar(grep(m/^CapPrm:\s0+$/, <$f>)), "\n";"#;
    let args = ["run", "-l", "127.0.0.1:613", "--how", "activation", "--", "perl", "-e", script];
    let output = plain(&args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "613 1\n", "{said}");
    // A program that knows nothing of that is served by the broker.
    let args = ["run", "-l", "127.0.0.1:613", "--", "perl", "-e", BINDS];
    let output =
        plain(&[&args[..], &["127.0.0.1", "613", "tcp", "127.0.0.1", "616", "tcp"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(lines, "127.0.0.1 613 tcp ok\n127.0.0.1 616 tcp 13\n", "{said}");
    assert!(said.contains("not activation"), "{said}");
}

#[test]
fn looking_changes_nothing() {
    let _alone = alone();
    let user: &[&str] = if is_root("a look as root") { &["--user", "65534:65534"] } else { &[] };
    let looked = run(&[
        &["-l", "127.0.0.1:614", "--dry-run"],
        user,
        &["--", "touch", "/tmp/never"],
    ]
    .concat());
    let said = String::from_utf8_lossy(&looked.stderr).into_owned();
    assert!(matches!(looked.status.code(), Some(0 | 1)), "{said}");
    assert!(!Path::new("/tmp/never").exists());
    let unit =
        run(&["-l", "127.0.0.1:615", "-l", "*:8615/udp", "--print-unit", "--", "sleep", "9 %"]);
    let text = String::from_utf8_lossy(&unit.stdout).into_owned();
    for line in ["[Service]", "ListenStream=127.0.0.1:615", "ListenDatagram=8615", "[Install]"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("sleep \"9 %%\"\n"), "{text}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = holder.local_addr().unwrap().to_string();
    let output = run(&["-l", &endpoint, "--", "true"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("{endpoint} is refused even so, now: EADDRINUSE")), "{said}");
    assert_eq!(output.status.code(), Some(0), "the program may wait for it");
}
