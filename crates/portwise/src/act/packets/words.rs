//! What random rules of nftables consist of: matches and statements, each with its name.

use super::{grammar::DEVICES, random::Random};

const PORTS: &[&str] =
    &["22", "80", "53", "6379", "8080", "1000", "20-100", "1024-65535", "0-1023"];

fn port(random: &mut Random) -> &'static str {
    PORTS[random.below(PORTS.len())]
}

/// A match: its name, and its words.
pub(super) fn matches(random: &mut Random, head: &str) -> (&'static str, String) {
    let p = port(random);
    let not = if random.chance(1, 5) { "!= " } else { "" };
    let v4 = random.of(&[
        "198.51.100.0/24",
        "198.51.100.7",
        "10.77.1.2",
        "10.0.0.0/8",
        "192.0.2.10",
        "127.0.0.0/8",
        "0.0.0.0/1",
    ]);
    let v6 = random.of(&["2001:db8:99::/64", "fd77:1::2", "fd00::/8", "::1", "2001:db8:1::10"]);
    let device = random.of(&["wan", "lan", "lo", "w*", "nosuch"]);
    let in_known = !head.contains("output") && !head.contains("postrouting");
    let out_known =
        head.contains("output") || head.contains("postrouting") || head.contains("forward");
    match random.below(45) {
        0..=5 => ("tcp dport", format!("tcp dport {not}{p}")),
        6..=7 => ("udp dport", format!("udp dport {not}{p}")),
        8 => ("th dport", format!("meta l4proto {{ tcp, udp }} th dport {p}")),
        9 => ("tcp dport set", format!("tcp dport {not}{{ 22, {p} }}").replace("22, 22 ", "22 ")),
        10 => ("tcp dport @", "tcp dport @ports".into()),
        11..=12 => ("ip saddr", format!("ip saddr {not}{v4}")),
        13 => ("ip daddr", format!("ip daddr {not}{v4}")),
        14 => ("ip saddr @", "ip saddr @hosts".into()),
        15 => ("concatenation", "ip daddr . tcp dport @pairs".into()),
        16 => ("ip6 saddr", format!("ip6 saddr {not}{v6}")),
        17 => ("ip6 daddr", format!("ip6 daddr {not}{v6}")),
        18..=19 if in_known => ("iifname", format!("iifname {not}\"{device}\"")),
        20 if out_known => ("oifname", format!("oifname {not}\"{device}\"")),
        18..=20 => ("iif", "iif lo".into()),
        21..=22 => (
            "ct state",
            format!(
                "ct state {not}{}",
                random.of(&[
                    "new",
                    "established",
                    "established,related",
                    "invalid",
                    "untracked",
                    "new,untracked"
                ])
            ),
        ),
        23 => ("ct direction", format!("ct direction {}", random.of(&["original", "reply"]))),
        24 => ("ct status", format!("ct status {}", random.of(&["dnat", "snat", "seen-reply"]))),
        25 => ("ct original", format!("meta l4proto tcp ct original proto-dst {p}")),
        26 => ("meta mark", format!("meta mark {not}{}", random.of(&["0x0", "0x5", "0x9"]))),
        27 => ("meta mark &", "meta mark & 0x1 == 0x1".into()),
        28 => ("ct mark", format!("ct mark {}", random.of(&["0x0", "0x5"]))),
        29 => ("meta l4proto", format!("meta l4proto {not}{}", random.of(&["tcp", "udp", "icmp"]))),
        30 => ("meta nfproto", format!("meta nfproto {}", random.of(&["ipv4", "ipv6"]))),
        31 => (
            "fib type",
            format!(
                "fib {} type {not}{}",
                random.of(&["daddr", "saddr"]),
                random.of(&["local", "unicast"])
            ),
        ),
        32 if head.contains("prerouting") => {
            ("fib oif", format!("fib saddr . iif oif {}", random.of(&["missing", "exists"])))
        }
        32 => ("meta pkttype", "meta pkttype host".into()),
        33 => (
            "tcp flags",
            random
                .of(&[
                    "tcp flags & (fin|syn|rst|ack) == syn",
                    "tcp flags & (syn|ack) == syn|ack",
                    "tcp flags rst",
                    "tcp flags & syn != 0",
                ])
                .into(),
        ),
        34 => {
            ("tcp sport", format!("tcp sport {}", random.of(&["1024-65535", "0-1023", "80", "22"])))
        }
        35 => ("udp sport", format!("udp sport {}", random.of(&["53", "1024-65535"]))),
        36 if out_known => ("meta skuid", format!("meta skuid {not}{}", random.of(&["0", "1000"]))),
        36 => ("meta iifgroup", "meta iifgroup 0".into()),
        37 => ("limit", "limit rate 5/second".into()),
        38 => (
            "ip fields",
            random
                .of(&[
                    "ip dscp 0",
                    "ip frag-off & 0x1fff == 0",
                    "ip protocol tcp",
                    "ip6 nexthdr tcp",
                    "ip ttl 1",
                ])
                .into(),
        ),
        39 => ("numgen", "numgen random mod 2 0".into()),
        n => more_matches(random, head, n - 40),
    }
}

fn more_matches(random: &mut Random, head: &str, nth: usize) -> (&'static str, String) {
    let sees_sockets = head.contains("prerouting") || head.contains("input");
    let (part, words): (_, &[&str]) = match nth {
        0 => (
            "masks",
            &[
                "ip saddr & 255.255.0.0 == 10.77.0.0",
                "tcp dport & 1 == 0",
                "ip6 daddr & ffff:: == fd77::",
            ],
        ),
        1 => (
            "icmp type",
            &[
                "icmp type echo-request",
                "icmp type destination-unreachable",
                "icmpv6 type destination-unreachable",
            ],
        ),
        2 if sees_sockets => {
            ("socket", &["socket transparent 1", "socket transparent 0", "socket wildcard 0"])
        }
        2 => ("ct mark &", &["ct mark & 0x4 == 0x4"]),
        3 => ("concatenation of intervals", &["ip saddr . tcp dport { 10.77.1.0/24 . 22-80 }"]),
        4 if random.chance(1, 3) => ("quota", &["quota 1 mbytes", "quota over 1 mbytes"]),
        4 if random.chance(1, 2) => ("ct count", &["ct count 20", "ct count over 20"]),
        _ => ("udp masks", &["udp dport & 0xff == 53", "udp sport & 1 == 1"]),
    };
    (part, random.of(words).to_owned())
}

/// What a rule does: its name, and its words.
pub(super) fn statement(random: &mut Random, name: &str, head: &str) -> (&'static str, String) {
    let is_base = name.starts_with('c');
    if head.contains("type nat") {
        return nat(random, head);
    }
    // Subchains call further ones only, so that none calls itself.
    let later = match name {
        "sub1" => &["sub2", "sub3"][..],
        "sub2" => &["sub3"],
        "sub3" | DEVICES => &[],
        _ => &["sub1", "sub2", "sub3"],
    };
    let may_reject =
        is_base && ["input", "forward", "output"].iter().any(|hook| head.contains(hook));
    match random.below(20) {
        0..=3 => ("accept", "accept".into()),
        4..=5 => ("drop", "drop".into()),
        6..=8 if may_reject => reject(random),
        9..=10 if !later.is_empty() => ("jump", format!("jump {}", random.of(later))),
        11 if !later.is_empty() => ("goto", format!("goto {}", random.of(later))),
        12 => ("return", "return".into()),
        13 => ("mark set", format!("meta mark set {}", random.of(&["0x5", "0x9", "0x7", "0x0"]))),
        14 => (
            "ct mark set",
            random
                .of(&["ct mark set 0x5", "ct mark set meta mark", "meta mark set ct mark"])
                .into(),
        ),
        15 if head.contains("priority -300") => ("notrack", "notrack".into()),
        15 if head.contains("prerouting") && head.contains("-150") => (
            "tproxy",
            format!(
                "meta nfproto ipv4 meta l4proto {} accept",
                random.of(&[
                    "tcp tproxy ip to :50080 meta mark set 0x9",
                    "tcp tproxy ip to :50080 meta mark set 0x9",
                    "udp tproxy ip to :50053 meta mark set 0x9",
                    "tcp tproxy ip to :50080",
                ])
            ),
        ),
        16 => (
            "vmap",
            format!(
                "tcp dport vmap {{ 22 : accept, 80 : {}, 1000-2000 : drop }}",
                random.of(&["drop", "return", "continue"])
            ),
        ),
        17 => ("map", "meta mark set tcp dport map @marks".into()),
        18 => ("log", random.of(&["log", "log prefix \"p\" accept", "log drop"]).into()),
        19 => (
            "concatenation vmap",
            "ip saddr . tcp dport vmap { 198.51.100.7 . 80 : drop, 10.77.1.2 . 22-80 : accept }"
                .into(),
        ),
        _ => ("counter", "counter".into()),
    }
}

fn reject(random: &mut Random) -> (&'static str, String) {
    let words = random.of(&[
        "reject",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmpx admin-prohibited",
        "reject with icmpx host-unreachable",
        "meta nfproto ipv4 reject with icmp host-prohibited",
        "meta nfproto ipv6 reject with icmpv6 admin-prohibited",
    ]);
    ("reject", words.to_owned())
}

fn nat(random: &mut Random, head: &str) -> (&'static str, String) {
    if head.contains("postrouting") {
        let words = random.of(&[
            "masquerade",
            "meta nfproto ipv4 snat ip to 192.0.2.10",
            "accept",
            "counter",
        ]);
        return ("snat, masquerade", words.to_owned());
    }
    let words = random.of(&[
        "tcp dport 1000 redirect to :80",
        "tcp dport 80 redirect to :8080",
        "udp dport 53 redirect to :123",
        "meta nfproto ipv4 tcp dport 1000 dnat ip to 10.77.1.2:80",
        "meta nfproto ipv4 tcp dport 2000 dnat ip to 10.77.1.1:8080",
        "meta nfproto ipv4 udp dport 1000 dnat ip to 192.0.2.10:53",
        "meta nfproto ipv6 tcp dport 1000 dnat ip6 to [fd77:1::2]:80",
        "meta nfproto ipv4 dnat ip to tcp dport map { 2000 : 10.77.1.2, 9999 : 192.0.2.10 }",
        "meta nfproto ipv4 tcp dport 9999 dnat ip to 127.0.0.1:6379",
        "accept",
        "return",
    ]);
    ("dnat, redirect", words.to_owned())
}
