//! Random rules of nftables, in shapes that real ones have.

use super::random::Random;

/// Rules as text, line by line, so that lines can be left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// The lines.
    pub lines: Vec<Line>,
    tool: Tool,
}

/// A rule, and the chain it stands in.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub chain: usize,
    pub text: String,
    /// What occurs in it: matches and a statement.
    pub parts: Vec<String>,
}

/// What loads the rules, and the chains, each with how it is declared.
#[derive(Clone, Debug)]
enum Tool {
    Nft { family: &'static str, sets: Vec<String>, chains: Vec<(String, String)> },
    Iptables { nft: bool, tables: Vec<Table> },
}

impl Default for Tool {
    fn default() -> Tool {
        Tool::Nft { family: "inet", sets: Vec::new(), chains: Vec::new() }
    }
}

/// A table of iptables: its family, its name, and its chains with their policies.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub v6: bool,
    pub name: &'static str,
    pub chains: Vec<(String, &'static str)>,
}

impl Rules {
    pub(super) fn of_iptables(nft: bool, tables: Vec<Table>) -> Rules {
        Rules { tool: Tool::Iptables { nft, tables }, ..Rules::default() }
    }

    /// The texts to load, each with the tool that loads it.
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        match &self.tool {
            Tool::Nft { family, sets, chains } => vec![("nft", self.nft(family, sets, chains))],
            Tool::Iptables { nft, tables } => [false, true]
                .into_iter()
                .filter(|v6| tables.iter().any(|table| table.v6 == *v6))
                .map(|v6| {
                    let tool = match (nft, v6) {
                        (true, false) => "iptables-nft-restore",
                        (true, true) => "ip6tables-nft-restore",
                        (false, false) => "iptables-legacy-restore",
                        (false, true) => "ip6tables-legacy-restore",
                    };
                    (tool, self.restore(tables, v6))
                })
                .collect(),
        }
    }

    /// The line of a text that a tool complains about, as an index of `lines`.
    pub(super) fn line_at(&self, tool: &str, number: usize) -> Option<usize> {
        let (_, text) = self.files().into_iter().find(|(name, _)| *name == tool)?;
        let line = text.lines().nth(number.checked_sub(1)?)?;
        let is = |rule: &Line| {
            line.ends_with(&rule.text) && (line.starts_with("add rule") || line.starts_with("-A "))
        };
        self.lines.iter().position(is)
    }

    /// The rules for a reader.
    pub(super) fn text(&self) -> String {
        let files = self.files();
        files.iter().map(|(tool, text)| format!("# {tool}\n{text}")).collect()
    }

    fn nft(&self, family: &str, sets: &[String], chains: &[(String, String)]) -> String {
        let mut text = format!("table {family} t {{\n");
        sets.iter().for_each(|set| text += &format!("  {set}\n"));
        let declare =
            |(name, head): &(String, String)| format!("  chain {name} {{\n    {head}\n  }}\n");
        let (devices, own): (Vec<_>, Vec<_>) = chains.iter().partition(|chain| is_of_device(chain));
        own.into_iter().for_each(|chain| text += &declare(chain));
        text += "}\n";
        if !devices.is_empty() {
            text += "table netdev t {\n";
            devices.into_iter().for_each(|chain| text += &declare(chain));
            text += "}\n";
        }
        for line in &self.lines {
            let chain = &chains[line.chain];
            let family = if is_of_device(chain) { "netdev" } else { family };
            text += &format!("add rule {family} t {} {}\n", chain.0, line.text);
        }
        text
    }

    fn restore(&self, tables: &[Table], v6: bool) -> String {
        let mut text = String::new();
        let mut first = 0;
        for table in tables {
            let chains = first..first + table.chains.len();
            first = chains.end;
            if table.v6 != v6 {
                continue;
            }
            text += &format!("*{}\n", table.name);
            for (name, policy) in &table.chains {
                text += &format!(":{name} {policy} [0:0]\n");
            }
            for line in self.lines.iter().filter(|line| chains.contains(&line.chain)) {
                let name = &table.chains[line.chain - chains.start].0;
                text += &format!("-A {name} {}\n", line.text);
            }
            text += "COMMIT\n";
        }
        text
    }

    /// Random rules of nftables.
    pub(super) fn nftables(random: &mut Random) -> Rules {
        let family = random.of(&["inet", "inet", "inet", "inet", "ip", "ip6"]);
        let sets = vec![
            "set ports { type inet_service; flags interval; elements = { 20-25, 80, 5000-6500 }; }".into(),
            "set hosts { type ipv4_addr; flags interval; elements = { 198.51.100.0/24, 10.77.1.2 }; }".into(),
            "set pairs { type ipv4_addr . inet_service; flags interval; elements = { 192.0.2.0/24 . 80-90, 10.77.1.2 . 53 }; }".into(),
            "map marks { type inet_service : mark; elements = { 80 : 0x5, 22 : 0x7, 53 : 0x9 }; }".into(),
        ];
        let mut chains: Vec<(String, String)> = Vec::new();
        for name in ["sub1", "sub2", "sub3"] {
            chains.push((name.into(), String::new()));
        }
        for (at, (hook, kind, priority)) in BASES.iter().enumerate() {
            if !random.chance(1, if *hook == "input" { 1 } else { 3 }) {
                continue;
            }
            let drops = *kind == "filter" && *priority >= 0 && random.chance(1, 3);
            let policy = if drops { "drop" } else { "accept" };
            let head = format!("type {kind} hook {hook} priority {priority}; policy {policy};");
            chains.push((format!("c{at}"), head));
        }
        if random.chance(1, 6) {
            let device = random.of(&["wan", "lan", "lo"]);
            let head = format!("type filter hook ingress device {device} priority 0;");
            chains.push((DEVICES.into(), head));
        }
        let tool = Tool::Nft { family, sets, chains: chains.clone() };
        let mut rules = Rules { tool, ..Rules::default() };
        for (at, (name, head)) in chains.iter().enumerate() {
            let count =
                if head.contains("nat") { 1 + random.below(3) } else { 1 + random.below(5) };
            if head.contains("policy drop") && random.chance(3, 4) {
                rules.push(
                    at,
                    "ct state established,related accept".into(),
                    vec!["ct state".into(), "accept".into()],
                );
            }
            for _ in 0..count {
                rules.one(random, at, name, head);
            }
        }
        // What is not of the table's family.
        let other = match family {
            "ip" => &["ip6 ", "ipv6", "icmpv6", "icmpx"][..],
            "ip6" => &["ip ", "ipv4", "icmp ", "icmpx", "@hosts", "@pairs"],
            _ => &[],
        };
        rules.lines.retain(|line| {
            is_of_device(&chains[line.chain]) || !other.iter().any(|word| line.text.contains(word))
        });
        for line in &mut rules.lines {
            let family = if is_of_device(&chains[line.chain]) { "netdev" } else { family };
            line.parts.push(format!("table {family}"));
        }
        rules
    }

    /// Adds a line, with what occurs in it.
    pub(super) fn push(&mut self, chain: usize, text: String, parts: Vec<String>) {
        self.lines.push(Line { chain, text, parts });
    }

    fn one(&mut self, random: &mut Random, chain: usize, name: &str, head: &str) {
        let mut text = String::new();
        let mut parts = Vec::new();
        for _ in 0..[0, 1, 1, 1, 2, 2, 3][random.below(7)] {
            let (part, words) = matches(random, head);
            text += &words;
            text += " ";
            parts.push(part.to_owned());
        }
        let (part, words) = statement(random, name, head);
        parts.push(part.to_owned());
        // The kernel then says whether a packet met it.
        let counter = if words.starts_with("counter") { "" } else { "counter " };
        self.push(chain, format!("{text}{counter}{words}"), parts);
    }
}

/// The chain at a device's own hook.
const DEVICES: &str = "dev0";

fn is_of_device((name, _): &(String, String)) -> bool {
    name == DEVICES
}

const BASES: &[(&str, &str, i32)] = &[
    ("prerouting", "filter", -300),
    ("prerouting", "filter", -150),
    ("prerouting", "nat", -100),
    ("prerouting", "filter", -10),
    ("input", "filter", 0),
    ("input", "filter", 10),
    ("forward", "filter", 0),
    ("output", "filter", -300),
    ("output", "route", -150),
    ("output", "nat", -100),
    ("output", "filter", 0),
    ("postrouting", "filter", -150),
    ("postrouting", "nat", 100),
];

const PORTS: &[&str] =
    &["22", "80", "53", "6379", "8080", "1000", "20-100", "1024-65535", "0-1023"];

fn port(random: &mut Random) -> &'static str {
    PORTS[random.below(PORTS.len())]
}

/// A match: its name, and its words.
fn matches(random: &mut Random, head: &str) -> (&'static str, String) {
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
fn statement(random: &mut Random, name: &str, head: &str) -> (&'static str, String) {
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
