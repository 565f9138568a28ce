//! The tables of iptables-legacy: rules one after another, chains told apart by where they begin.

use std::collections::HashMap;

use portwise_model::{
    Text,
    linux::netfilter::{
        Base, Chain, ChainKind, Expr, Hook, IpHeader, Match, Rule, Ruleset, TableFamily, Target,
        Verdict,
    },
};
use portwise_sys::xtables::LegacyTable;

use super::{
    xt::{self, Fields, device},
    xt_target,
};

/// In the order of `enum nf_inet_hooks`.
const HOOKS: [(Hook, &str); 5] = [
    (Hook::Prerouting, "PREROUTING"),
    (Hook::Input, "INPUT"),
    (Hook::Forward, "FORWARD"),
    (Hook::Output, "OUTPUT"),
    (Hook::Postrouting, "POSTROUTING"),
];

/// Where the parts of `struct ipt_entry` or `ip6t_entry` stand.
struct Layout {
    is_v6: bool,
    /// Bytes of an address.
    ip: usize,
    /// Where the offset of the target stands.
    target: usize,
    /// The size of the structure: matches follow.
    size: usize,
}

const V4: Layout = Layout { is_v6: false, ip: 4, target: 88, size: 112 };
const V6: Layout = Layout { is_v6: true, ip: 16, target: 140, size: 168 };

/// One entry, with its place in the table.
struct Entry<'a> {
    at: usize,
    bytes: &'a [u8],
    target_at: usize,
}

/// Adds the chains of a table to the rules.
pub(super) fn add(rules: &mut Ruleset, is_v6: bool, table: &LegacyTable) -> Result<(), String> {
    let layout = if is_v6 { &V6 } else { &V4 };
    let wrong = || format!("the legacy table {} has not the form that is documented", table.name);
    let entries = entries(layout, &table.entries).ok_or_else(wrong)?;
    let first = rules.chains.len();
    let (mut chains, starts) = chains(layout, table, &entries, first).ok_or_else(wrong)?;
    let mut current: Option<usize> = None;
    for (nth, entry) in entries.iter().enumerate() {
        if let Some(&chain) = starts.get(&entry.at) {
            current = Some(chain);
        }
        if error_name(layout, entry).is_some() {
            continue;
        }
        let Some(chain) = current else { return Err(wrong()) };
        let chain = &mut chains[chain - first];
        let is_last = entries
            .get(nth + 1)
            .is_none_or(|next| starts.contains_key(&next.at) || error_name(layout, next).is_some());
        let expressions = expressions(layout, entry, &starts).ok_or_else(wrong)?;
        match (is_last, &mut chain.base) {
            // The last of each chain is its policy, or the return of a chain that is called.
            (true, Some(base)) => base.accepts = leads_to(&expressions) != Some(Verdict::Drop),
            (true, None) => {}
            _ => {
                let handle = chain.rules.len() as u64 + 1;
                chain.rules.push(Rule {
                    handle,
                    exprs: expressions,
                    comment: comment(layout, entry),
                });
            }
        }
    }
    rules.chains.extend(chains);
    Ok(())
}

fn leads_to(exprs: &[Expr]) -> Option<Verdict> {
    match exprs.last() {
        Some(Expr::Verdict(verdict)) => Some(*verdict),
        _ => None,
    }
}

fn entries<'a>(layout: &Layout, mut bytes: &'a [u8]) -> Option<Vec<Entry<'a>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while !bytes.is_empty() {
        let fields = Fields(bytes);
        let target_at = usize::from(fields.u16(layout.target)?);
        let next = usize::from(fields.u16(layout.target + 2)?);
        if target_at < layout.size || next <= target_at {
            return None;
        }
        found.push(Entry { at, bytes: bytes.get(..next)?, target_at });
        bytes = &bytes[next..];
        at += next;
    }
    Some(found)
}

/// The chains, empty, and the chain that begins at each place.
fn chains(
    layout: &Layout,
    table: &LegacyTable,
    entries: &[Entry<'_>],
    first: usize,
) -> Option<(Vec<Chain>, HashMap<usize, usize>)> {
    let family = if layout.is_v6 { TableFamily::Ip6 } else { TableFamily::Ip };
    let mut chains = Vec::new();
    let mut starts = HashMap::new();
    let mut add = |name: Text, base: Option<Base>, at: usize| {
        starts.insert(at, first + chains.len());
        chains.push(Chain {
            family,
            table: Text::Owned(table.name.clone()),
            name,
            legacy: true,
            base,
            rules: Vec::new(),
        });
    };
    for (number, (hook, name)) in HOOKS.into_iter().enumerate() {
        if table.valid_hooks & 1 << number == 0 {
            continue;
        }
        let (priority, kind) = place(&table.name, hook)?;
        let base = Base { hook, priority, kind, accepts: true, devices: Vec::new() };
        add(Text::Borrowed(name), Some(base), table.hook_entry[number] as usize);
    }
    // A chain that is called begins behind an entry that carries its name.
    for (nth, entry) in entries.iter().enumerate() {
        if let (Some(name), Some(next)) = (error_name(layout, entry), entries.get(nth + 1)) {
            add(Text::Owned(name), None, next.at);
        }
    }
    Some((chains, starts))
}

/// Where a table stands at a hook.
fn place(table: &str, hook: Hook) -> Option<(i32, ChainKind)> {
    Some(match (table, hook) {
        ("raw", _) => (-300, ChainKind::Filter),
        ("mangle", _) => (-150, ChainKind::Route),
        ("nat", Hook::Prerouting | Hook::Output) => (-100, ChainKind::Nat),
        ("nat", _) => (100, ChainKind::Nat),
        ("filter", _) => (0, ChainKind::Filter),
        ("security", _) => (50, ChainKind::Filter),
        _ => return None,
    })
}

/// Name, revision and binary part of a match or target at `at`, and where the next one begins.
fn extension<'a>(entry: &Entry<'a>, at: usize) -> Option<(String, u8, &'a [u8], usize)> {
    const HEAD: usize = 32;
    let fields = Fields(entry.bytes);
    let end = at + usize::from(fields.u16(at)?);
    let info = entry.bytes.get(at + HEAD..end)?;
    Some((fields.text(at + 2, 29)?, fields.u8(at + 31)?, info, end))
}

/// The name that an entry gives to the chain behind it.
fn error_name(layout: &Layout, entry: &Entry<'_>) -> Option<String> {
    let (name, _, info, _) = extension(entry, entry.target_at)?;
    if name != "ERROR" || entry.target_at != layout.size {
        return None;
    }
    Fields(info).text(0, info.len().min(30))
}

fn expressions(
    layout: &Layout,
    entry: &Entry<'_>,
    starts: &HashMap<usize, usize>,
) -> Option<Vec<Expr>> {
    let mut exprs = vec![Expr::Match(Box::new(Match::Ip(header(layout, entry)?)))];
    let mut at = layout.size;
    while at < entry.target_at {
        let (name, revision, info, next) = extension(entry, at)?;
        if next <= at {
            return None;
        }
        exprs.push(xt::read(layout.is_v6, &name, revision, info));
        at = next;
    }
    let (name, revision, info, _) = extension(entry, entry.target_at)?;
    if name.is_empty() {
        let code = Fields(info).u32(0)? as i32;
        exprs.push(Expr::Verdict(verdict(code, goes(layout, entry)?, entry, starts)?));
    } else {
        exprs.push(match xt_target::read(layout.is_v6, &name, revision, info) {
            Expr::Target(target) if matches!(*target, Target::Nothing) => Expr::Nothing,
            other => other,
        });
    }
    Some(exprs)
}

/// Whether the rule says `-g` instead of `-j`.
fn goes(layout: &Layout, entry: &Entry<'_>) -> Option<bool> {
    let (at, bit) = if layout.is_v6 { (4 * 16 + 64 + 3, 4) } else { (4 * 4 + 64 + 2, 2) };
    Some(entry.bytes.get(at)? & bit != 0)
}

/// Negative numbers are verdicts, others places: that right behind means "go on".
fn verdict(
    code: i32,
    goes: bool,
    entry: &Entry<'_>,
    starts: &HashMap<usize, usize>,
) -> Option<Verdict> {
    Some(match code {
        -1 => Verdict::Drop,
        -2 => Verdict::Accept,
        -4 => Verdict::Queue,
        -5 => Verdict::Return,
        0.. => {
            let place = code as usize;
            if place == entry.at + entry.bytes.len() && !starts.contains_key(&place) {
                return Some(Verdict::Continue);
            }
            let chain = *starts.get(&place)?;
            if goes { Verdict::Goto(chain) } else { Verdict::Jump(chain) }
        }
        _ => return None,
    })
}

fn header(layout: &Layout, entry: &Entry<'_>) -> Option<IpHeader> {
    const NAME: usize = 16;
    let f = Fields(entry.bytes);
    let ip = layout.ip;
    let names = 4 * ip;
    let behind = names + 4 * NAME;
    let inverted = f.u8(behind + if layout.is_v6 { 4 } else { 3 })?;
    let flags = f.u8(behind + if layout.is_v6 { 3 } else { 2 })?;
    let net = |at: usize, mask_at: usize, bit: u8| {
        let (net, mask) = (f.ip(at, layout.is_v6)?, f.ip(mask_at, layout.is_v6)?);
        let asked = !mask.is_unspecified() || inverted & bit != 0;
        Some(asked.then_some((net, mask, inverted & bit != 0)))
    };
    let named = |nth: usize, bit: u8| {
        let at = names + nth * NAME;
        let (name, mask) =
            (entry.bytes.get(at..at + NAME)?, entry.bytes.get(at + 2 * NAME..at + 3 * NAME)?);
        Some(device(name, mask).map(|device| (device, inverted & bit != 0)))
    };
    let protocol = f.u16(behind)? as u8;
    Some(IpHeader {
        src: net(0, 2 * ip, 8)?,
        dst: net(ip, 3 * ip, 16)?,
        iif: named(0, 1)?,
        oif: named(1, 2)?,
        protocol: (protocol != 0).then_some((protocol, inverted & 0x40 != 0)),
        fragment: (!layout.is_v6 && flags & 1 != 0).then_some(inverted & 32 != 0),
    })
}

fn comment(layout: &Layout, entry: &Entry<'_>) -> Text {
    let mut at = layout.size;
    while at < entry.target_at {
        let Some((name, _, info, next)) = extension(entry, at) else { break };
        if name == "comment" {
            return Text::Owned(Fields(info).text(0, info.len()).unwrap_or_default());
        }
        if next <= at {
            break;
        }
        at = next;
    }
    Text::Borrowed("")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table `filter` with three policies.
    fn filter() -> LegacyTable {
        const STANDARD: u16 = 40;
        const ERROR: u16 = 64;
        // -1 - NF_DROP, and twice -1 - NF_ACCEPT.
        const POLICIES: [i32; 3] = [-1, -2, -2];
        let size = u16::try_from(V4.size).unwrap();
        let entry = |target: u16, at: usize, what: &[u8]| {
            let mut bytes = vec![0; V4.size + usize::from(target)];
            bytes[V4.target..V4.target + 2].copy_from_slice(&size.to_ne_bytes());
            bytes[V4.target + 2..V4.target + 4].copy_from_slice(&(size + target).to_ne_bytes());
            bytes[V4.size..V4.size + 2].copy_from_slice(&target.to_ne_bytes());
            bytes[V4.size + at..V4.size + at + what.len()].copy_from_slice(what);
            bytes
        };
        let mut entries: Vec<u8> = Vec::new();
        POLICIES.iter().for_each(|p| entries.extend(entry(STANDARD, 32, &p.to_ne_bytes())));
        entries.extend(entry(ERROR, 2, b"ERROR"));
        let one = u32::from(size + STANDARD);
        let places = [0, 0, one, 2 * one, 0];
        let valid_hooks = 0b1110;
        LegacyTable {
            name: "filter".into(),
            valid_hooks,
            hook_entry: places,
            underflow: places,
            entries,
        }
    }

    #[test]
    fn a_table_that_is_cut_short_is_refused() {
        let table = filter();
        let mut rules = Ruleset::default();
        add(&mut rules, false, &table).unwrap();
        let accepts: Vec<bool> =
            rules.chains.iter().map(|c| c.base.as_ref().unwrap().accepts).collect();
        assert_eq!(accepts, [false, true, true]);
        let (standard, error) = (V4.size + 40, V4.size + 64);
        assert_eq!(table.entries.len(), 3 * standard + error);
        for length in 0..table.entries.len() {
            let entries = table.entries[..length].to_vec();
            let cut = LegacyTable { entries, ..table.clone() };
            let whole = length % standard == 0;
            let read = add(&mut Ruleset::default(), false, &cut);
            assert!(whole || read.is_err(), "{length} bytes: {read:?}");
        }
        // Lengths that lead nowhere, or back.
        for (at, value) in [(V4.target, 0u16), (V4.target + 2, 0), (V4.target + 2, u16::MAX)] {
            let mut wrong = table.clone();
            wrong.entries[at..at + 2].copy_from_slice(&value.to_ne_bytes());
            assert!(add(&mut Ruleset::default(), false, &wrong).is_err(), "{value} at {at}");
        }
    }

    #[test]
    fn a_wrong_byte_gives_a_table_or_one_error() {
        let table = filter();
        for at in 0..table.entries.len() {
            for value in [0, 1, 7, 0x7f, 0x80, 0xff] {
                let mut wrong = table.clone();
                wrong.entries[at] = value;
                let mut rules = Ruleset::default();
                let error = match add(&mut rules, false, &wrong) {
                    // What is taken in leads to chains that there are.
                    Ok(()) => {
                        let exprs =
                            rules.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.exprs);
                        for expr in exprs {
                            if let Expr::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) = expr {
                                assert!(*to < rules.chains.len(), "{value} at {at}");
                            }
                        }
                        continue;
                    }
                    Err(error) => error,
                };
                assert_eq!(error, "the legacy table filter has not the form that is documented");
            }
        }
    }
}
