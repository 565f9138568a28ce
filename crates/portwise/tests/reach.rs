//! `reach` in network namespaces of its own, with rules that the real tools load.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs a script of the shell in a namespace of its own, where it is root. `$PORTWISE` is the
/// command. `None`, with the reason on standard error, where that cannot be had.
fn inside(what: &str, tools: &[&str], script: &str) -> Option<Output> {
    let has = |tool: &&&str| {
        let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        paths.split(':').any(|dir| std::path::Path::new(dir).join(tool).exists())
    };
    if let Some(absent) = [&["unshare", "ip"], tools].concat().iter().find(|tool| !has(tool)) {
        portwise_sys::not_run!("{what}: no {absent} here");
        return None;
    }
    // Root of a user namespace is not told which tables of iptables there are.
    if std::fs::File::open("/proc/net/ip_tables_names")
        .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
    {
        portwise_sys::not_run!("{what}: only root is told the tables of iptables");
        return None;
    }
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--net", "--map-root-user", "sh", "-euc", script])
            .env("PORTWISE", env!("CARGO_BIN_EXE_portwise"))
            .env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin")
            .output()
            .expect("unshare is there")
    };
    if !run("ip link set lo up").status.success() {
        portwise_sys::not_run!("{what}: no namespaces here");
        return None;
    }
    Some(run(&format!("ip link set lo up\n{script}")))
}

/// The answers that a script printed, one JSON object for each line of questions.
fn answers(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found = Vec::new();
    for document in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        let document = document.unwrap_or_else(|e| {
            panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr));
        });
        found.extend(document["answers"].as_array().unwrap().iter().cloned());
    }
    found
}

fn check(found: &[Value], expected: &[(&str, &str, &str)]) {
    let short = |answer: &Value| {
        let field = |name: &str| answer[name].as_str().unwrap_or("").to_owned();
        (field("outcome"), field("errno"), field("rule"))
    };
    let found: Vec<_> = found.iter().map(short).collect();
    let expected: Vec<_> =
        expected.iter().map(|&(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).collect();
    assert_eq!(found, expected);
}

const ASK: &str = "ask() { $PORTWISE reach \"$1\" --from \"$2\" --json || true; }\n";

#[test]
fn rules_of_nftables() {
    let script = "
nft -f - <<'END'
table inet f {
  set bad { type ipv4_addr; flags interval; elements = { 127.0.5.0/24 }
  }
  map jobs { type inet_service : verdict; flags interval; elements = { 1000-1999 : jump high, 22 : drop }
  }
  chain high {
    ip saddr @bad reject with icmpx admin-prohibited
    ip saddr . tcp dport { 127.0.0.1 . 1500-1600 } drop
  }
  chain in { type filter hook input priority 0; policy accept;
    ct state established,related accept
    tcp dport vmap @jobs
    tcp dport 2000 limit rate 1/second drop
    tcp dport 2001 numgen random mod 2 0 drop
    tcp dport 2002 ip daddr & 255.255.0.0 == 127.0.0.0 reject with tcp reset
    meta l4proto udp th dport != 53 drop
  }
  chain out { type filter hook output priority 0; policy accept;
    tcp dport 2003 meta skuid 4242 reject
  }
  chain nat { type nat hook output priority -100; policy accept;
    tcp dport 81 redirect to :22
    tcp dport 82 dnat ip to 127.0.0.9:83
  }
}
END
ask 127.0.0.1:22 127.0.0.1%lo
ask 127.0.0.1:81 127.0.0.1%lo
ask 127.0.0.1:82 127.0.0.1%lo
ask 127.0.0.1:1550 127.0.0.1%lo
ask 127.0.0.1:1550 127.0.5.1%lo
ask 127.0.0.1:1700 127.0.0.1%lo
ask 127.0.0.1:2000 127.0.0.1%lo
ask 127.0.0.1:2001 127.0.0.1%lo
ask 127.0.0.1:2002 127.0.0.1%lo
ask 127.0.0.1:53/udp 127.0.0.1%lo
ask 127.0.0.1:54/udp 127.0.0.1%lo
ask [::1]:22 ::1%lo
$PORTWISE reach 127.0.0.1:2003 --from 127.0.0.1%lo --json --as 4242 || true
ask 127.0.0.1:2003 127.0.0.1%lo
";
    let script = format!("{ASK}{script}");
    let Some(output) = inside("rules of nftables", &["nft"], &script) else { return };
    check(
        &answers(&output),
        &[
            ("silent", "", "inet f in handle 11"),
            ("silent", "", "inet f in handle 11"),
            ("refused", "ECONNREFUSED", "kernel no-listener"),
            ("silent", "", "inet f high handle 9"),
            ("refused", "EHOSTUNREACH", "inet f high handle 7"),
            ("refused", "ECONNREFUSED", "kernel no-listener"),
            ("unknown", "", ""),
            ("unknown", "", ""),
            ("refused", "ECONNREFUSED", "inet f in handle 14"),
            ("refused", "ECONNREFUSED", "kernel no-listener"),
            ("silent", "", "inet f in handle 15"),
            ("silent", "", "inet f in handle 11"),
            ("refused", "ECONNREFUSED", "inet f out handle 16"),
            ("refused", "ECONNREFUSED", "kernel no-listener"),
        ],
    );
}

/// Both variants of iptables take the same rules; theirs are told apart by how rules are named.
#[test]
fn rules_of_iptables() {
    for (tool, names) in
        [("iptables-nft", ["handle", "handle"]), ("iptables-legacy", ["rule", "rule"])]
    {
        let script = format!(
            "{ASK}
{tool} -N CALLED
{tool} -A CALLED -p tcp --dport 80 -j RETURN
{tool} -A CALLED -j REJECT --reject-with icmp-host-prohibited
{tool} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{tool} -A INPUT -p tcp -m multiport --dports 80,1000:1010 -j CALLED
{tool} -A INPUT -p tcp --dport 90 -m addrtype --dst-type LOCAL -j DROP
{tool} -A INPUT -p tcp --dport 91 -m limit --limit 1/s -j DROP
{tool} -P FORWARD DROP
ask 127.0.0.1:80 127.0.0.1%lo
ask 127.0.0.1:1005 127.0.0.1%lo
ask 127.0.0.1:90 127.0.0.1%lo
ask 127.0.0.1:91 127.0.0.1%lo
"
        );
        let Some(output) = inside("rules of iptables", &[tool], &script) else { continue };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            portwise_sys::not_run!("rules of {tool}: {}", said.lines().next().unwrap_or_default());
            continue;
        }
        let found = answers(&output);
        let outcomes: Vec<&str> = found.iter().map(|a| a["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["refused", "refused", "silent", "unknown"], "{tool}");
        let rule = |n: usize| found[n]["rule"].as_str().unwrap().to_owned();
        assert_eq!(rule(0), "kernel no-listener");
        assert!(rule(1).starts_with(&format!("ip filter CALLED {} ", names[0])), "{}", rule(1));
        assert!(rule(2).starts_with(&format!("ip filter INPUT {} ", names[1])), "{}", rule(2));
        assert_eq!(found[1]["errno"], "EHOSTUNREACH");
    }
}

/// Who may not read the rules is told so, what would be so without them, and what settles it.
#[test]
fn rules_that_may_not_be_read() {
    let Some(output) = inside("rules that may not be read", &["setpriv"], "true") else { return };
    assert!(output.status.success());
    let script = "setpriv --bounding-set -all --inh-caps -all $PORTWISE reach 127.0.0.1:9 \
                  --from 127.0.0.1%lo --json || true";
    let Some(output) = inside("rules that may not be read", &["setpriv"], script) else { return };
    let found = answers(&output);
    assert_eq!(found[0]["outcome"], "unknown");
    let because = found[0]["because"].as_str().unwrap();
    assert!(because.contains("root only") && because.contains("refused"), "{because}");
    assert!(found[0]["settle"].as_str().unwrap().starts_with("sudo "));
}

#[test]
fn bad_input_is_one_line() {
    for (args, said) in [
        (&["reach", "127.0.0.1:80", "--from", "nonsense"][..], "--from: `nonsense`"),
        (&["reach", "127.0.0.1:80", "--from", "127.0.0.1%nosuch0"], "no interface `nosuch0`"),
        (&["reach", "127.0.0.1:80", "--from", "::1%lo"], "one is an IPv4 address"),
        (&["reach", "127.0.0.1:80", "--on", "macos-15"], "a running Linux only"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_portwise")).args(args).output().unwrap();
        let err = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(said) && err.lines().count() == 1, "{args:?}: {err}");
    }
}

/// A few random firewalls; many are tried by `.ci/run`.
#[test]
fn packets_end_where_it_is_said() {
    let run = Command::new(env!("CARGO_BIN_EXE_portwise"))
        .args(["conform", "--random-rules", "4", "--within", "20"])
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.code() == Some(2) {
        return portwise_sys::not_run!("packets through random rules: {}", err.trim());
    }
    assert_eq!(run.status.code(), Some(0), "{out}");
    assert!(out.contains(" 0 disagree"), "{out}");
}
