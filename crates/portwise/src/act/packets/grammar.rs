//! Random rules of nftables, in shapes that real ones have.

use super::{
    random::Random,
    words::{matches, statement},
};

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
pub(super) const DEVICES: &str = "dev0";

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
