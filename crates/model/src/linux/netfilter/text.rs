//! A rule in words close to those it was written in.

use alloc::{borrow::ToOwned, collections::BTreeMap, format, string::String, vec::Vec};
use core::fmt::Write;

use super::{
    Cmp, Ct, Data, Expr, FibResult, Header, Match, Meta, NatKind, RejectWith, Rule, Ruleset,
    Target, Verdict, ip_of,
};

/// Writes a rule in nftables' words. What they have no word for stands in brackets.
pub fn rule_text(rules: &Ruleset, rule: &Rule) -> String {
    let mut words = Words { rules, fields: BTreeMap::new(), said: Vec::new() };
    for expr in &rule.exprs {
        words.expr(expr);
    }
    words.said.join(" ")
}

struct Words<'a> {
    rules: &'a Ruleset,
    /// What was loaded into which register, in words, and how to show it.
    fields: BTreeMap<u8, (String, Shown)>,
    said: Vec<String>,
}

/// How the bytes of a field are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Network,
    Host,
    Name,
    Address,
    State,
    Protocol,
    RouteType,
}

impl Words<'_> {
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Payload { base, offset, len, dreg } => {
                let shown = if (*len == 4 || *len == 16) && *base == Header::Network {
                    Shown::Address
                } else if (*base, *len, *offset) == (Header::Network, 1, 9) {
                    Shown::Protocol
                } else {
                    Shown::Network
                };
                self.fields.insert(*dreg, (payload(*base, *offset, *len), shown));
            }
            Expr::Meta { key, dreg } => drop(self.fields.insert(*dreg, meta(*key))),
            Expr::Ct { key, reply, dreg, .. } => {
                let dir = match reply {
                    Some(true) => "reply ",
                    Some(false) => "original ",
                    None => "",
                };
                let (name, shown) = ct(*key);
                self.fields.insert(*dreg, (format!("ct {dir}{name}"), shown));
            }
            Expr::Fib { fib, dreg } => {
                let asked = if fib.daddr { "daddr" } else { "saddr" };
                let with = if fib.iif { " . iif" } else { "" };
                let (result, shown) = match fib.result {
                    FibResult::Type => ("type", Shown::RouteType),
                    _ => ("oif", Shown::Host),
                };
                self.fields.insert(*dreg, (format!("fib {asked}{with} {result}"), shown));
            }
            Expr::Immediate { dreg, data } => {
                let shown = if data.len() == 2 { Shown::Network } else { Shown::Address };
                self.fields.insert(*dreg, (bytes(data, shown), Shown::Address));
            }
            Expr::Bitwise { sreg, dreg, mask, .. } => {
                let (name, shown) = self.field(*sreg);
                // A mask with a comparison for equality is a network or a set of states.
                let name = match shown {
                    Shown::State | Shown::Address => name,
                    _ => format!("{name} & 0x{}", hex(mask)),
                };
                if shown == Shown::State {
                    self.fields.insert(*dreg, (format!("{name} {}", states(mask)), Shown::State));
                } else {
                    self.fields.insert(*dreg, (name, shown));
                }
            }
            Expr::ByteOrder { sreg, dreg, .. } | Expr::Shift { sreg, dreg, .. } => {
                let field = self.field(*sreg);
                self.fields.insert(*dreg, field);
            }
            Expr::Cmp { op, sreg, data } => {
                let (mut name, shown) = self.field(*sreg);
                // nft(8) leaves out that a port is one of that protocol.
                if name.ends_with("port")
                    && let Some(protocol) =
                        self.said.last().and_then(|last| last.strip_prefix("meta l4proto "))
                {
                    name = format!("{protocol} {name}");
                    self.said.pop();
                }
                let op = match op {
                    Cmp::Eq => "",
                    Cmp::Ne => "!= ",
                    Cmp::Lt => "< ",
                    Cmp::Le => "<= ",
                    Cmp::Gt => "> ",
                    Cmp::Ge => ">= ",
                };
                match shown {
                    Shown::State => self.said.push(name),
                    _ => self.said.push(format!("{name} {op}{}", bytes(data, shown))),
                }
            }
            Expr::Range { negated, sreg, from, to } => {
                let (name, shown) = self.field(*sreg);
                let not = if *negated { "!= " } else { "" };
                self.said.push(format!("{name} {not}{}-{}", bytes(from, shown), bytes(to, shown)));
            }
            Expr::Lookup { set, sreg, negated, dreg, verdicts } => {
                let (name, shown) = self.field(*sreg);
                let not = if *negated { "!= " } else { "" };
                let set = self.set(*set, shown);
                match (dreg, verdicts) {
                    (_, true) => self.said.push(format!("{name} vmap {set}")),
                    (Some(dreg), _) => {
                        self.fields.insert(*dreg, (format!("{name} map {set}"), Shown::Host));
                    }
                    _ => self.said.push(format!("{name} {not}{set}")),
                }
            }
            Expr::Dynset { set, key, .. } => {
                let (name, shown) = self.field(*key);
                let set = self.set(*set, shown);
                self.said.push(format!("add {set} {{ {name} }}"));
            }
            other => {
                let words = self.statement(other);
                if !words.is_empty() {
                    self.said.push(words);
                }
            }
        }
    }

    fn statement(&self, expr: &Expr) -> String {
        let field = |reg: &u8| self.field(*reg).0;
        match expr {
            Expr::Verdict(verdict) => self.verdict(*verdict),
            Expr::MetaSet { key, sreg } => format!("{} set {}", meta(*key).0, field(sreg)),
            Expr::CtSet { key, sreg } => format!("ct {} set {}", ct(*key).0, field(sreg)),
            Expr::Reject(with) => reject(*with),
            Expr::Nat { kind, regs } => {
                let kind = if *kind == NatKind::Dnat { "dnat" } else { "snat" };
                let addr = regs.addr.map_or(String::new(), |(low, _)| field(&low));
                format!("{kind} to {addr}{}", self.port(regs.port))
            }
            Expr::Masquerade => "masquerade".into(),
            Expr::Redirect { regs } if regs.port.is_none() => "redirect".into(),
            Expr::Redirect { regs } => format!("redirect to {}", self.port(regs.port)),
            Expr::Tproxy { .. } => "tproxy".into(),
            Expr::Notrack => "notrack".into(),
            Expr::Queue { .. } => "queue".into(),
            Expr::Synproxy => "synproxy".into(),
            Expr::Forwarded => "fwd".into(),
            Expr::Depends { why } => format!("[{why}]"),
            Expr::Unknown(name) => format!("[{name}]"),
            Expr::Match(wanted) => matched(wanted),
            Expr::Target(target) => self.target(target),
            _ => String::new(),
        }
    }

    fn target(&self, target: &Target) -> String {
        match target {
            Target::Verdict(verdict) => self.verdict(*verdict),
            Target::Reject(with) => reject(*with),
            Target::Nat { kind, range } => {
                let kind = if *kind == NatKind::Dnat { "dnat" } else { "snat" };
                let addr = range.addr.map(|(low, _)| format!(" to {low}")).unwrap_or_default();
                let port = range.port.map(|(low, _)| format!(":{low}")).unwrap_or_default();
                format!("{kind}{addr}{port}")
            }
            Target::Masquerade => "masquerade".into(),
            Target::Redirect { port } => {
                let port = port.map(|(low, _)| format!(" to :{low}")).unwrap_or_default();
                format!("redirect{port}")
            }
            Target::Netmap { .. } => "netmap".into(),
            Target::Mark { .. } => "mark".into(),
            Target::Tos { .. } => "tos".into(),
            Target::ChangeSets { .. } => "set".into(),
            Target::Connmark { .. } => "connmark".into(),
            Target::Ct { notrack: true, .. } => "notrack".into(),
            Target::Ct { .. } => "ct".into(),
            Target::Tproxy { port, .. } => format!("tproxy to :{port}"),
            Target::Queue { .. } => "queue".into(),
            Target::Synproxy => "synproxy".into(),
            Target::Nothing => String::new(),
            Target::Unknown(name) => format!("[{name}]"),
        }
    }

    fn verdict(&self, verdict: Verdict) -> String {
        let chain = |index: usize| self.rules.chains.get(index).map_or("?", |chain| &chain.name);
        match verdict {
            Verdict::Accept => "accept".into(),
            Verdict::Drop => "drop".into(),
            Verdict::Continue => "continue".into(),
            Verdict::Return => "return".into(),
            Verdict::Queue => "queue".into(),
            Verdict::Jump(to) => format!("jump {}", chain(to)),
            Verdict::Goto(to) => format!("goto {}", chain(to)),
        }
    }

    /// The lowest port of a rewriting, behind a colon.
    fn port(&self, regs: Option<(u8, u8)>) -> String {
        regs.map(|(low, _)| format!(":{}", self.field(low).0)).unwrap_or_default()
    }

    fn field(&self, reg: u8) -> (String, Shown) {
        let lost = || (String::from("[register]"), Shown::Host);
        self.fields.get(&reg).cloned().unwrap_or_else(lost)
    }

    /// A set by its name; a short one that a rule contains with its elements.
    fn set(&self, index: usize, shown: Shown) -> String {
        let Some(set) = self.rules.sets.get(index) else { return "[set]".into() };
        if !set.name.starts_with("__") {
            return format!("@{}", set.name);
        }
        let mut elements: Vec<String> = Vec::new();
        for element in set.elements.iter().take(4) {
            let mut text = bytes(&element.key, shown);
            if let Some(end) = element.end.as_ref().filter(|end| **end != element.key) {
                let _ = write!(text, "-{}", bytes(end, shown));
            }
            match &element.data {
                Some(Data::Verdict(verdict)) => {
                    let _ = write!(text, " : {}", self.verdict(*verdict));
                }
                Some(Data::Value(value)) => {
                    let _ = write!(text, " : {}", bytes(value, Shown::Address));
                }
                None => {}
            }
            elements.push(text);
        }
        if set.elements.len() > 4 {
            elements.push("…".to_owned());
        }
        format!("{{ {} }}", elements.join(", "))
    }
}

fn payload(base: Header, offset: u16, len: u8) -> String {
    let known = match (base, offset, len) {
        (Header::Network, 12, 4) | (Header::Network, 8, 16) => "ip saddr",
        (Header::Network, 16, 4) | (Header::Network, 24, 16) => "ip daddr",
        (Header::Network, 9, 1) => "ip protocol",
        (Header::Network, 6, 1) => "ip6 nexthdr",
        (Header::Transport, 0, 2) => "sport",
        (Header::Transport, 2, 2) => "dport",
        (Header::Transport, 13, 1) => "tcp flags",
        (Header::Transport, 0, 1) => "icmp type",
        _ => {
            let base = match base {
                Header::Link => "ll",
                Header::Network => "nh",
                Header::Transport => "th",
                Header::Inner => "ih",
            };
            return format!("@{base},{},{}", u32::from(offset) * 8, u32::from(len) * 8);
        }
    };
    known.into()
}

fn meta(key: Meta) -> (String, Shown) {
    let (name, shown) = match key {
        Meta::IifName => ("iifname", Shown::Name),
        Meta::OifName => ("oifname", Shown::Name),
        Meta::Iif => ("iif", Shown::Host),
        Meta::Oif => ("oif", Shown::Host),
        Meta::Mark => ("meta mark", Shown::Host),
        Meta::L4Proto => ("meta l4proto", Shown::Protocol),
        Meta::NfProto => ("meta nfproto", Shown::Host),
        Meta::Protocol => ("meta protocol", Shown::Network),
        Meta::SkUid => ("meta skuid", Shown::Host),
        Meta::SkGid => ("meta skgid", Shown::Host),
        Meta::PktType => ("meta pkttype", Shown::Host),
        other => return (format!("meta {other:?}").to_lowercase(), Shown::Host),
    };
    (name.into(), shown)
}

fn ct(key: Ct) -> (String, Shown) {
    match key {
        Ct::State => ("state".into(), Shown::State),
        Ct::Src => ("saddr".into(), Shown::Address),
        Ct::Dst => ("daddr".into(), Shown::Address),
        Ct::ProtoSrc => ("proto-src".into(), Shown::Network),
        Ct::ProtoDst => ("proto-dst".into(), Shown::Network),
        other => (format!("{other:?}").to_lowercase(), Shown::Host),
    }
}

fn reject(with: RejectWith) -> String {
    match with {
        RejectWith::Reset => "reject with tcp reset".into(),
        RejectWith::Icmp(code) => format!("reject with icmp {code}"),
        RejectWith::Icmpx(code) => format!("reject with icmpx {code}"),
    }
}

fn matched(wanted: &Match) -> String {
    let range = |(low, high, negated): (u16, u16, bool), name: &str| match (low, high) {
        (0, u16::MAX) => String::new(),
        _ if low == high => format!("{name} {}{low} ", if negated { "!= " } else { "" }),
        _ => format!("{name} {}{low}-{high} ", if negated { "!= " } else { "" }),
    };
    match wanted {
        Match::Ports { tcp, src, dst, .. } => {
            let protocol = if *tcp { "tcp" } else { "udp" };
            format!("{protocol} {}{}", range(*src, "sport"), range(*dst, "dport")).trim_end().into()
        }
        Match::Multiport { ranges, .. } => {
            let ranges: Vec<String> = ranges
                .iter()
                .map(|(a, b)| if a == b { format!("{a}") } else { format!("{a}-{b}") })
                .collect();
            format!("ports {{ {} }}", ranges.join(", "))
        }
        Match::Conntrack(_) | Match::State(_) => "ct".into(),
        Match::AddrType { .. } => "addrtype".into(),
        Match::Mark { mark, .. } => format!("mark {mark:#x}"),
        Match::Depends(why) => format!("[{why}]"),
        Match::Ip(header) => {
            let mut text = String::new();
            for (name, value) in [("ip saddr", &header.src), ("ip daddr", &header.dst)] {
                if let Some((net, mask, negated)) = value {
                    let not = if *negated { "!= " } else { "" };
                    let _ = write!(text, "{name} {not}{net}&{mask} ");
                }
            }
            for (name, value) in [("iifname", &header.iif), ("oifname", &header.oif)] {
                if let Some((device, negated)) = value {
                    let not = if *negated { "!= " } else { "" };
                    let more = if device.prefix { "*" } else { "" };
                    let _ = write!(text, "{name} {not}{}{more} ", device.name);
                }
            }
            text.trim_end().into()
        }
        Match::Set { .. } => "ipset".into(),
        Match::Owner { .. } => "owner".into(),
        Match::Physdev { .. } => "physdev".into(),
        _ => String::new(),
    }
}

fn bytes(value: &[u8], shown: Shown) -> String {
    match shown {
        Shown::Address if value.len() == 4 || value.len() == 16 => {
            ip_of(value).map_or_else(|| hex(value), |ip| format!("{ip}"))
        }
        Shown::Name => {
            let text = value.split(|&b| b == 0).next().unwrap_or_default();
            // A prefix is compared without padding.
            let more = if value.len() < 16 { "*" } else { "" };
            format!("\"{}{more}\"", String::from_utf8_lossy(text))
        }
        Shown::Protocol => match value.first() {
            Some(1) => "icmp".into(),
            Some(6) => "tcp".into(),
            Some(17) => "udp".into(),
            Some(58) => "icmpv6".into(),
            Some(other) => format!("{other}"),
            None => String::new(),
        },
        Shown::RouteType => match *value {
            [1, 0, 0, 0] => "unicast".into(),
            [2, 0, 0, 0] => "local".into(),
            [3, 0, 0, 0] => "broadcast".into(),
            [5, 0, 0, 0] => "multicast".into(),
            _ => hex(value),
        },
        Shown::Host => match *value {
            [a] => format!("{a}"),
            [a, b] => format!("{}", u16::from_ne_bytes([a, b])),
            [a, b, c, d] => format!("{}", u32::from_ne_bytes([a, b, c, d])),
            _ => hex(value),
        },
        _ => match *value {
            [a] => format!("{a}"),
            [a, b] => format!("{}", u16::from_be_bytes([a, b])),
            _ => format!("0x{}", hex(value)),
        },
    }
}

fn hex(value: &[u8]) -> String {
    let mut text = String::new();
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn states(mask: &[u8]) -> String {
    let Ok(mask) = <[u8; 4]>::try_from(mask) else { return hex(mask) };
    let mask = u32::from_ne_bytes(mask);
    let names = [(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, n)| *n).collect();
    set.join(",")
}
