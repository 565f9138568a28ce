//! `list`: the tables of a made-up machine, and what is so on this one.

mod common;

use std::collections::BTreeMap;

use portwise::{
    explain::{
        listed::{
            Coverage, ListedHolder, ListedProcess, ListedSocket, Listing, NamespaceReport,
            UnseenReport,
        },
        owner::{About, ContainerReport, ForwardReport, PathReport},
    },
    observe::exposure::Exposure,
    render::{
        is_harmful,
        listing::{View, notes, table},
        page::Style,
    },
};
use portwise_model::Family;

fn process(pid: u32, command: &str, arguments: &str, user: &str) -> ListedProcess {
    ListedProcess {
        pid,
        command: command.into(),
        uid: if user == "root" { 0 } else { 1000 },
        user: Some(user.into()),
        about: About {
            arguments: arguments.split(' ').map(Into::into).collect(),
            exe: Some(PathReport { path: format!("/usr/bin/{command}"), deleted: false }),
            cwd: Some(PathReport { path: "/".into(), deleted: false }),
            age_seconds: u64::from(pid) * 100,
            parent: None,
            parent_gone: false,
            run: "running",
            terminal: None,
            unit: None,
            unit_of_user: false,
            socket_unit: None,
            container: None,
            supervisor: None,
            forward: None,
        },
    }
}

fn socket(local: &str, covers: Coverage, exposure: Exposure, pids: &[u32]) -> ListedSocket {
    let (ip, port) = local.rsplit_once(':').unwrap();
    let (ip, port) = (ip.trim_matches(['[', ']']), port.parse().unwrap());
    ListedSocket {
        protocol: "tcp",
        raw: None,
        family: if ip.contains(':') || ip == "*" { Family::Inet6 } else { Family::Inet },
        state: "LISTEN",
        local: local.into(),
        ip: if ip == "*" { "::" } else { ip }.parse().unwrap(),
        port,
        remote: None,
        covers,
        exposure,
        reached: None,
        device: None,
        reuseaddr: None,
        reuseport: None,
        group: None,
        uid: Some(0),
        user: Some("root".into()),
        inode: Some(1),
        cookie: 1,
        received: 0,
        unsent: 128,
        remaining_ms: None,
        netns: 1,
        holders: pids
            .iter()
            .map(|&pid| ListedHolder { pid, fds: vec![3], in_flight: false })
            .collect(),
        no_holder: None,
        no_holder_words: None,
    }
}

fn no_holder(mut socket: ListedSocket, word: &'static str, words: &str) -> ListedSocket {
    (socket.no_holder, socket.no_holder_words) = (Some(word), Some(words.into()));
    socket
}

/// A machine with everything that a table has words for.
fn machine() -> Listing {
    let mut web = process(812, "nginx", "nginx: master process", "root");
    web.about.unit = Some("nginx.service".into());
    let worker = process(813, "nginx", "nginx: worker process", "www-data");
    let mut old = process(900, "python3", "python3 -u /srv/release-7/app.py", "alice");
    old.about.cwd = Some(PathReport { path: "/srv/release-7".into(), deleted: true });
    let mut proxy = process(950, "docker-proxy", "docker-proxy -host-port 8080", "root");
    proxy.about.forward =
        Some(ForwardReport { by: "docker-proxy", to: Some("172.17.0.2:80".into()) });
    let hostile = "x\u{1b}[2J\u{1b}]0;owned\u{7}\n\u{202e}gnp".to_string() + &"y".repeat(4096);
    let mut evil = process(999, &hostile, "x", "mallory\u{1b}[31m");
    (evil.about.run, evil.about.container) = (
        "stopped",
        Some(ContainerReport {
            engine: "docker",
            id: "0123456789abcdef0123".into(),
            pod: Some("p".into()),
        }),
    );
    let mut shared = socket("127.0.0.1:8022", Coverage::Address, Exposure::Loopback, &[900]);
    let mut share2 = socket("127.0.0.1:8022", Coverage::Address, Exposure::Loopback, &[999]);
    (shared.group, share2.group) = (Some(1), Some(1));
    let mut wait = socket("10.0.0.5:8080", Coverage::Address, Exposure::Lan, &[]);
    (wait.state, wait.remote) = ("TIME_WAIT", Some("10.0.0.9:40112".into()));
    (wait.remaining_ms, wait.uid, wait.user) = (Some(41_500), None, None);
    let mut bound = socket("127.0.0.1:5000", Coverage::Address, Exposure::Loopback, &[900]);
    bound.state = "BOUND";
    bound.holders[0].in_flight = true;
    let mut tunnel = socket("0.0.0.0:51820", Coverage::Ipv4, Exposure::EveryNetwork, &[]);
    (tunnel.protocol, tunnel.state) = ("udp", "BOUND");
    let mut there = socket("0.0.0.0:80", Coverage::Ipv4, Exposure::Lan, &[]);
    there.netns = 2;
    Listing {
        is_root: false,
        namespaces: vec![
            NamespaceReport {
                inode: 1,
                own: true,
                name: None,
                pid: Some(1),
                processes: 90,
                closed: None,
                unread_firewall: None,
            },
            NamespaceReport {
                inode: 2,
                own: false,
                name: Some("web".into()),
                pid: Some(77),
                processes: 1,
                closed: None,
                unread_firewall: None,
            },
            NamespaceReport {
                inode: 3,
                own: false,
                name: None,
                pid: Some(78),
                processes: 2,
                closed: Some("setns: Operation not permitted (EPERM)".into()),
                unread_firewall: None,
            },
        ],
        sockets: vec![
            socket("0.0.0.0:80", Coverage::Ipv4, Exposure::EveryNetwork, &[812, 813]),
            socket("[::]:80", Coverage::Ipv6Only, Exposure::EveryNetwork, &[812, 813]),
            bound,
            shared,
            share2,
            socket("*:8080", Coverage::DualStack, Exposure::EveryNetwork, &[950]),
            no_holder(wait, "closed", "closed, kept by the kernel"),
            no_holder(tunnel, "kernel", "kernel: WireGuard"),
            no_holder(there, "unseen", "hidden from you"),
        ],
        processes: vec![web, worker, old, proxy, evil],
        unseen: UnseenReport {
            processes: 45,
            namespaces: 1,
            protocols: BTreeMap::from([("udp", "no module".into())]),
            ..UnseenReport::default()
        },
        path: "proc",
        why_not_faster: Some("BPF needs CAP_BPF".into()),
    }
}

fn view(columns: Option<usize>, states: bool) -> View {
    View { header: true, states, columns, style: Style::default() }
}

#[test]
fn tables() {
    let machine = machine();
    let mut text = String::new();
    for (what, view) in [
        ("a terminal of 80 columns", view(Some(80), false)),
        ("a terminal of 120 columns, every state", view(Some(120), true)),
    ] {
        text += &format!("-- {what}\n{}\n", table(&machine, &view));
    }
    // The long name is in the last column, and whole.
    let piped = table(&machine, &view(None, true)).replace(&"y".repeat(4096), "yyyy(4096)");
    text += &format!("-- no terminal\n{piped}\n-- notes\n{}", notes(&machine, true));
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("tables", text) });
}

#[test]
fn a_table_fits_and_no_name_gets_through() {
    let machine = machine();
    for columns in [60, 80, 100, 200] {
        for states in [false, true] {
            let text = table(&machine, &view(Some(columns), states));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            // With two columns more there is no room in 80.
            assert!(widest <= columns.max(if states { 96 } else { 72 }), "{widest}\n{text}");
        }
    }
    for columns in [None, Some(80)] {
        let text = table(&machine, &view(columns, true)) + &notes(&machine, true);
        assert!(text.chars().all(|c| c == '\n' || !is_harmful(c)), "{text}");
    }
    let piped = table(&machine, &view(None, false));
    assert_eq!(piped.lines().count(), 1 + 11, "{piped}");
    let columns = |line: &str| line.split_whitespace().count();
    assert!(piped.lines().all(|line| columns(line) >= 12), "{piped}");
}

#[cfg(target_os = "linux")]
mod live {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};

    use serde_json::Value;

    use super::common::{line, portwise};

    fn json(args: &str) -> Vec<Value> {
        let run = line(&format!("list --json {args}"));
        let value: Value =
            serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e} {}", run.err));
        value["sockets"].as_array().unwrap().clone()
    }

    fn holds(socket: &Value, pid: u32) -> bool {
        socket["holders"].as_array().unwrap().iter().any(|h| h["pid"] == pid)
    }

    #[test]
    fn our_sockets_are_listed_with_us() {
        let me = std::process::id();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let (port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
        let row = line(&format!("list {port} --no-header"));
        let words: Vec<&str> = row.out.split_whitespace().collect();
        let (local, pid) = (format!("127.0.0.1:{port}"), me.to_string());
        assert_eq!(row.out.lines().count(), 1, "{}", row.out);
        assert_eq!(
            words[..7],
            ["tcp", "LISTEN", &local, "-", "loopback", "address", &pid],
            "{}",
            row.out
        );
        let found = json(&format!("{udp_port} -u"));
        assert!(found.len() == 1 && holds(&found[0], me), "{found:?}");
        assert_eq!((&found[0]["state"], &found[0]["covers"]), (&"BOUND".into(), &"ipv4".into()));
        assert!(json(&format!("{udp_port} -t")).is_empty());
        // What gets packets sent to an address, and no other.
        assert_eq!(json(&format!("{udp_port} 127.0.0.1:{port}")).len(), 2);
        assert_eq!(json(&format!("192.0.2.1:{udp_port}")).len(), 1);
        assert_eq!(json(&format!("192.0.2.1:{port}")).len(), 0);
        assert_eq!(json(&format!("{port} --exposed")).len(), 0);
        assert_eq!(json(&format!("{port} bound")).len(), 0);
        assert_eq!(json(&format!("{port} -6")).len(), 0);
        assert!(json("").iter().any(|s| s["port"] == port && holds(s, me)));
        assert!(json(&format!("--pid {me}")).iter().all(|s| holds(s, me)));
        let none = line(&format!("list {port} --no-holders --json"));
        let none: Value = serde_json::from_str(&none.out).unwrap();
        assert_eq!(none["sockets"][0]["no_holder"], "not-asked");
        assert_eq!(none["path"], "none");
    }

    #[test]
    fn connections_are_listed_when_asked_for() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(json(&format!("{port}")).len(), 1);
        assert_eq!(json(&format!("{port} --all")).len(), 2);
        let both = json(&format!("{port} established"));
        assert!(both.len() == 1 && holds(&both[0], std::process::id()), "{both:?}");
        drop(server);
        drop(client);
        let left = line(&format!("list {port} time-wait"));
        assert!(left.out.contains("TIME_WAIT") && left.out.contains("s more)"), "{}", left.out);
        assert!(left.out.contains("closed, kept by the kernel"), "{}", left.out);
    }

    #[test]
    fn families_are_told_apart() {
        let Ok(six) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
            return println!("not run: no IPv6 here");
        };
        let port = six.local_addr().unwrap().port();
        let found = json(&format!("{port} -6"));
        let dual = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap();
        let covers = if dual.trim() == "0" { "dual-stack" } else { "ipv6-only" };
        assert_eq!(found[0]["covers"], covers);
        assert!(json(&format!("{port} -4")).is_empty());
    }

    #[test]
    fn nothing_listed_is_no_success_and_bad_words_are_trouble() {
        // Port 0 is nobody's.
        let run = line("list 0 -q");
        assert!(matches!(run.status, 1 | 3) && run.out.is_empty(), "{}", run.out);
        let run = line("list 0");
        assert!(run.err.contains("no such socket"), "{}", run.err);
        for (args, said) in [
            ("list nowhere", "`nowhere` is no port, address or state to list"),
            ("list --user nobody-here", "--user: no user `nobody-here`"),
            ("list --on macos-15", "list shows this machine"),
            ("list --netns nowhere-at-all", "no network namespace `nowhere-at-all`"),
            ("list --watch 0", "0 is not in 1.."),
            ("list --json --json-lines", "cannot be used with"),
        ] {
            let run = line(args);
            assert_eq!((run.status, run.out.as_str()), (2, ""), "{args}");
            assert!(run.err.contains(said) && run.err.lines().count() == 1, "{args}: {}", run.err);
        }
    }

    #[test]
    fn without_a_verb_the_sockets_are_listed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let run = portwise(&[]);
        assert!(run.out.contains(&format!("127.0.0.1:{port} ")), "{}", run.out);
        assert_eq!(run.status, 0);
    }
}
