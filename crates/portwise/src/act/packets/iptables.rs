//! Random rules of iptables, for either of its variants.

use super::{
    grammar::{Rules, Table},
    random::Random,
};

const POLICIES: &[(&str, &[&str])] = &[
    ("raw", &["PREROUTING", "OUTPUT"]),
    ("mangle", &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]),
    ("nat", &["PREROUTING", "OUTPUT", "POSTROUTING"]),
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
];

/// Random rules, loaded by the nftables variant or the legacy one.
pub(super) fn rules(random: &mut Random, nft: bool) -> Rules {
    let mut tables = Vec::new();
    for v6 in [false, true] {
        for (name, chains) in POLICIES {
            if *name != "filter" && !random.chance(1, 3) {
                continue;
            }
            let mut list: Vec<(String, &'static str)> = chains
                .iter()
                .map(|chain| {
                    let drops = *name == "filter" && random.chance(1, 3);
                    ((*chain).to_owned(), if drops { "DROP" } else { "ACCEPT" })
                })
                .collect();
            list.push(("SUB".into(), "-"));
            tables.push(Table { v6, name, chains: list });
        }
    }
    let mut rules = Rules::of_iptables(nft, tables.clone());
    let mut at = 0;
    for table in &tables {
        for (chain, policy) in &table.chains {
            if *policy == "DROP" && random.chance(3, 4) {
                let words = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".into();
                rules.push(at, words, vec!["-m conntrack".into(), "-j ACCEPT".into()]);
            }
            for _ in 0..random.below(4) {
                one(&mut rules, random, at, table, chain);
            }
            at += 1;
        }
    }
    rules
}

fn one(rules: &mut Rules, random: &mut Random, at: usize, table: &Table, chain: &str) {
    let protocol = random.of(&["", "tcp", "tcp", "udp"]);
    let mut text = String::new();
    if !protocol.is_empty() {
        text = format!("-p {protocol} ");
    }
    let mut parts = Vec::new();
    for _ in 0..[0, 1, 1, 2][random.below(4)] {
        let (part, words) = matches(random, table, chain, protocol);
        // A match may not be asked for twice in some of the combinations.
        if text.contains(part) {
            continue;
        }
        text += &words;
        text += " ";
        parts.push(part.to_owned());
    }
    let (part, words) = target(random, table, chain, protocol);
    parts.push(part.to_owned());
    parts.push(if table.v6 { "ip6tables" } else { "iptables" }.to_owned());
    rules.push(at, text + &words, parts);
}

fn matches(
    random: &mut Random,
    table: &Table,
    chain: &str,
    protocol: &str,
) -> (&'static str, String) {
    let not = if random.chance(1, 5) { "! " } else { "" };
    let net = match table.v6 {
        false => {
            random.of(&["198.51.100.0/24", "10.77.1.2", "10.0.0.0/8", "192.0.2.10", "127.0.0.0/8"])
        }
        true => random.of(&["2001:db8:99::/64", "fd77:1::2", "fd00::/8", "::1"]),
    };
    let has_in = !["OUTPUT", "POSTROUTING", "SUB"].contains(&chain);
    let has_out = ["OUTPUT", "POSTROUTING", "FORWARD"].contains(&chain);
    let port = random.of(&["22", "80", "53", "8080", "20:100", "1000"]);
    match random.below(26) {
        0..=4 if !protocol.is_empty() => ("--dport", format!("-m {protocol} {not}--dport {port}")),
        5 if protocol == "tcp" => ("--syn", format!("-m tcp {not}--syn")),
        6 if !protocol.is_empty() => (
            "-m multiport",
            format!("-m multiport {not}--dports {}", random.of(&["22,80", "53,1000:9000", "80"])),
        ),
        7..=8 => ("-s", format!("{not}-s {net}")),
        9 => ("-d", format!("{not}-d {net}")),
        10 if has_in => ("-i", format!("{not}-i {}", random.of(&["wan", "lan", "lo", "w+"]))),
        11 if has_out => ("-o", format!("{not}-o {}", random.of(&["wan", "lan", "lo"]))),
        12..=13 => (
            "-m conntrack",
            format!(
                "-m conntrack {not}--ctstate {}",
                random.of(&["NEW", "ESTABLISHED", "INVALID", "NEW,UNTRACKED", "DNAT"])
            ),
        ),
        14 => ("-m addrtype", format!("-m addrtype {not}--dst-type LOCAL")),
        15 => ("-m mark", format!("-m mark {not}--mark 0x{}", random.of(&["0", "5", "1/1"]))),
        16 if chain == "OUTPUT" => ("-m owner", format!("-m owner {not}--uid-owner 0")),
        17 => ("-m limit", "-m limit --limit 5/s".into()),
        18 if !table.v6 => {
            ("-m iprange", format!("-m iprange {not}--src-range 10.0.0.1-192.0.2.9"))
        }
        20 => (
            "-m state",
            format!("-m state {not}--state {}", random.of(&["NEW", "RELATED,ESTABLISHED"])),
        ),
        21 if protocol == "tcp" => (
            "--tcp-flags",
            format!(
                "-m tcp {not}--tcp-flags {}",
                random.of(&["SYN,ACK SYN", "ALL ACK", "RST RST"])
            ),
        ),
        21 if protocol == "udp" => ("--sport", format!("-m udp {not}--sport 1024:65535")),
        22 => (
            "-m set",
            format!(
                "-m set {not}--match-set {} {}",
                if table.v6 { "nets6" } else { "nets" },
                random.of(&["src", "dst"])
            ),
        ),
        23 if chain == "INPUT" || chain == "FORWARD" => (
            "-m physdev",
            random.of(&["-m physdev ! --physdev-is-bridged", "-m physdev --physdev-in wan"]).into(),
        ),
        23 if table.name == "mangle" && chain == "PREROUTING" => {
            ("-m socket", random.of(&["-m socket", "-m socket --transparent"]).into())
        }
        24 if random.chance(1, 2) => chance(random),
        _ => ("-m comment", "-m comment --comment x".into()),
    }
}

/// What depends on time, chance, or what came before.
fn chance(random: &mut Random) -> (&'static str, String) {
    let (part, words) = [
        ("-m statistic", "-m statistic --mode random --probability 0.5"),
        ("-m recent", "-m recent --name x --rcheck --seconds 60"),
        ("-m connlimit", "-m connlimit --connlimit-above 20"),
        ("-m quota", "-m quota --quota 1000000"),
    ][random.below(4)];
    (part, words.to_owned())
}

fn target(
    random: &mut Random,
    table: &Table,
    chain: &str,
    protocol: &str,
) -> (&'static str, String) {
    if table.name == "nat" {
        return nat(random, table.v6, chain, protocol);
    }
    match random.below(13) {
        0..=3 => ("-j ACCEPT", "-j ACCEPT".into()),
        12 => ("-j LOG", "-j LOG --log-prefix x".into()),
        4..=5 => ("-j DROP", "-j DROP".into()),
        6..=7 if table.name == "filter" && chain != "SUB" => match (table.v6, protocol) {
            (_, "tcp") if random.chance(1, 2) => {
                ("-j REJECT", "-j REJECT --reject-with tcp-reset".into())
            }
            (false, _) => (
                "-j REJECT",
                format!(
                    "-j REJECT --reject-with {}",
                    random.of(&[
                        "icmp-port-unreachable",
                        "icmp-admin-prohibited",
                        "icmp-host-unreachable"
                    ])
                ),
            ),
            (true, _) => ("-j REJECT", "-j REJECT --reject-with icmp6-adm-prohibited".into()),
        },
        8 => ("-j RETURN", "-j RETURN".into()),
        9 if table.name == "mangle" => {
            ("-j MARK", format!("-j MARK --set-mark {}", random.of(&["0x5", "0x9", "0x7"])))
        }
        10 if table.name == "mangle" && chain == "PREROUTING" && protocol == "tcp" => (
            "-j TPROXY",
            "-j TPROXY --on-port 50080 --on-ip 0.0.0.0 --tproxy-mark 0x9".replace(
                "--on-ip 0.0.0.0",
                if table.v6 { "--on-ip ::" } else { "--on-ip 0.0.0.0" },
            ),
        ),
        10 if table.name == "raw" => ("-j CT", "-j CT --notrack".into()),
        10 if table.name == "mangle" => (
            "-j CONNMARK",
            random.of(&["-j CONNMARK --save-mark", "-j CONNMARK --restore-mark"]).into(),
        ),
        _ if chain != "SUB" => ("-j chain", format!("{} SUB", random.of(&["-j", "-g"]))),
        _ => ("no target", String::new()),
    }
}

fn nat(random: &mut Random, v6: bool, chain: &str, protocol: &str) -> (&'static str, String) {
    let has_ports = protocol == "tcp" || protocol == "udp";
    match (chain, random.below(4)) {
        ("SUB", _) => ("-j RETURN", "-j RETURN".into()),
        ("POSTROUTING", 0 | 1) => ("-j MASQUERADE", "-j MASQUERADE".into()),
        ("POSTROUTING", 2) if !v6 => ("-j SNAT", "-j SNAT --to-source 192.0.2.10".into()),
        ("POSTROUTING", _) => ("-j ACCEPT", "-j ACCEPT".into()),
        (_, 0) if has_ports => {
            ("-j REDIRECT", format!("-j REDIRECT --to-ports {}", random.of(&["80", "8080", "53"])))
        }
        (_, 1) if has_ports && !v6 => (
            "-j DNAT",
            format!(
                "-j DNAT --to-destination {}",
                random.of(&["10.77.1.2:80", "10.77.1.1:8080", "192.0.2.10:53"])
            ),
        ),
        (_, 1) if has_ports => ("-j DNAT", "-j DNAT --to-destination [fd77:1::2]:80".into()),
        (_, 2) => ("-j chain", "-j SUB".into()),
        _ => ("-j RETURN", "-j RETURN".into()),
    }
}
