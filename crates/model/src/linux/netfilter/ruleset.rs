//! What is loaded: tables of chains of rules, sets, and at which hooks they stand.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use super::{Expr, IpSet, Set};
use crate::Text;

/// The family of a table, as `nft(8)` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum TableFamily {
    /// IPv4 packets.
    Ip,
    /// IPv6 packets.
    Ip6,
    /// Both.
    Inet,
    /// ARP, which no packet of a connection is.
    Arp,
    /// Frames that a bridge passes on.
    Bridge,
    /// Frames as one device receives or sends them.
    Netdev,
}

impl TableFamily {
    /// The name as `nft(8)` has it.
    pub const fn name(self) -> &'static str {
        match self {
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
            TableFamily::Inet => "inet",
            TableFamily::Arp => "arp",
            TableFamily::Bridge => "bridge",
            TableFamily::Netdev => "netdev",
        }
    }

    /// Whether base chains of this family at IP's hooks see packets of that address family.
    pub const fn sees(self, is_v6: bool) -> bool {
        match self {
            TableFamily::Inet => true,
            TableFamily::Ip => !is_v6,
            TableFamily::Ip6 => is_v6,
            _ => false,
        }
    }
}

/// A place where packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Hook {
    /// As received from a device, before IP.
    Ingress,
    /// Off the wire, before routing.
    Prerouting,
    /// Routed to this host.
    Input,
    /// Routed to another host.
    Forward,
    /// Made by this host, routed once.
    Output,
    /// About to leave by a device.
    Postrouting,
    /// As given to a device.
    Egress,
}

impl Hook {
    /// The name as `nft(8)` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Hook::Ingress => "ingress",
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
            Hook::Egress => "egress",
        }
    }
}

/// What a base chain is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum ChainKind {
    /// It judges packets.
    #[default]
    Filter,
    /// It judges packets, and a changed mark or address makes the kernel route again.
    Route,
    /// It is asked about the first packet of a connection only, what to rewrite.
    Nat,
}

/// Where a chain is called from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Base {
    /// The hook.
    pub hook: Hook,
    /// Lower comes first.
    pub priority: i32,
    /// What the chain is for.
    pub kind: ChainKind,
    /// Whether a packet that no rule judges is accepted.
    pub accepts: bool,
    /// The devices, for ingress and egress.
    pub devices: Vec<Text>,
}

/// A list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Chain {
    /// The family of its table.
    pub family: TableFamily,
    /// The name of its table.
    pub table: Text,
    /// Its name.
    pub name: Text,
    /// Whether it is one of `iptables-legacy`, whose rules are numbered and have no handles.
    pub legacy: bool,
    /// Where it is called from; `None` for one that other chains call.
    pub base: Option<Base>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rule {
    /// Its handle; of a legacy rule its number in the chain, from 1.
    pub handle: u64,
    /// What it consists of, in the order in which the kernel executes it.
    pub exprs: Vec<Expr>,
    /// Its comment, empty if it has none. Untrusted text.
    pub comment: Text,
}

/// Everything that is loaded in one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ruleset {
    /// The chains, tables in the order in which they were made.
    pub chains: Vec<Chain>,
    /// The sets and maps of nftables.
    pub sets: Vec<Set>,
    /// The sets of `ipset(8)`, by their index.
    pub ipsets: BTreeMap<u16, IpSet>,
    /// The base chains of a family and hook in the kernel's own order, as indexes of `chains`,
    /// where the kernel told it. Elsewhere priority decides, and of equals the newest is first.
    pub order: BTreeMap<(bool, Hook), Vec<usize>>,
    /// What else stands at hooks and cannot be read, such as a BPF program.
    pub opaque: Vec<Opaque>,
}

/// Something that sees packets and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Opaque {
    /// What it is, in words.
    pub what: Text,
    /// The device it stands at; `None` for every one.
    pub device: Option<Text>,
    /// The hook it stands at.
    pub hook: Hook,
}

impl Ruleset {
    /// The base chains that see a packet of the family at `hook`, first asked first.
    pub fn at(&self, hook: Hook, is_v6: bool, device: Option<&str>) -> Vec<usize> {
        let stands = |chain: &Chain| match &chain.base {
            Some(base) if base.hook == hook => match (hook, device) {
                (Hook::Ingress | Hook::Egress, Some(device)) => {
                    matches!(chain.family, TableFamily::Netdev | TableFamily::Inet)
                        && base.devices.iter().any(|d| d == device)
                }
                _ => chain.family.sees(is_v6),
            },
            _ => false,
        };
        if let Some(order) = self.order.get(&(is_v6, hook)).filter(|_| device.is_none()) {
            return order.clone();
        }
        self.sorted(stands)
    }

    /// The base chains of bridges at `hook`.
    pub fn at_bridge(&self, hook: Hook) -> Vec<usize> {
        self.sorted(|chain| {
            chain.family == TableFamily::Bridge
                && chain.base.as_ref().is_some_and(|base| base.hook == hook)
        })
    }

    /// Whether any base chain of bridges is there: it sees their ports.
    pub fn has_bridge_chains(&self) -> bool {
        let stands = |chain: &Chain| chain.family == TableFamily::Bridge && chain.base.is_some();
        self.chains.iter().any(stands)
    }

    /// The kernel puts a chain before those of equal priority that are there already.
    fn sorted(&self, stands: impl Fn(&Chain) -> bool) -> Vec<usize> {
        let indexes = (0..self.chains.len()).rev();
        let mut found: Vec<usize> = indexes.filter(|&i| stands(&self.chains[i])).collect();
        crate::sort::sort_by_key(&mut found, |&i| {
            self.chains[i].base.as_ref().map_or(0, |base| base.priority)
        });
        found
    }

    /// Whether no chain stands at any hook.
    pub fn is_empty(&self) -> bool {
        self.chains.iter().all(|chain| chain.base.is_none())
    }

    /// The name of a place.
    pub fn place(&self, at: At) -> Place<'_> {
        Place { chain: &self.chains[at.chain], rule: at.rule }
    }

    /// The rule at a place; `None` for a policy.
    pub fn rule(&self, at: At) -> Option<&Rule> {
        self.chains.get(at.chain)?.rules.get(at.rule?)
    }
}

/// A rule, or the policy of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The index of the chain.
    pub chain: usize,
    /// The index of the rule; `None` for the policy.
    pub rule: Option<usize>,
}

/// A rule or policy, to be written as `inet filter input handle 7`, `ip filter INPUT rule 4` or
/// `inet filter input policy`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    chain: &'a Chain,
    rule: Option<usize>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.chain;
        write!(f, "{} {} {} ", chain.family.name(), chain.table, chain.name)?;
        match self.rule.and_then(|index| chain.rules.get(index)) {
            None => f.write_str("policy"),
            Some(rule) if chain.legacy => write!(f, "rule {}", rule.handle),
            Some(rule) => write!(f, "handle {}", rule.handle),
        }
    }
}
