//! The tables, chains and rules of nf_tables.

use std::collections::HashMap;

use portwise_model::linux::netfilter::{Base, Chain, ChainKind, Hook, Rule, Ruleset, TableFamily};
use portwise_sys::{
    netlink::{Attribute, attributes, is_whole},
    nftables::{NfTables, Row, be32, be64},
};

use super::{Unread, instruction, sets};

/// What names lead to.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The chains of each table.
    pub chains: HashMap<(u8, String, String), usize>,
    /// The sets of each table.
    pub sets: HashMap<(u8, String, String), usize>,
}

/// Reads every table.
pub(super) fn read(tables: &mut NfTables) -> Result<Ruleset, Unread> {
    let mut rules = Ruleset::default();
    let mut names = Names::default();
    let dormant = dormant(&tables.tables()?);
    for row in tables.chains()? {
        let chain = chain(&row, &dormant).ok_or_else(|| malformed("a chain"))?;
        let key = (row.family, chain.table.to_string(), chain.name.to_string());
        names.chains.insert(key, rules.chains.len());
        rules.chains.push(chain);
    }
    let declared = tables.sets()?;
    sets::read(tables, &declared, &mut rules, &mut names)?;
    for row in tables.rules()? {
        add_rule(&row, &mut rules, &names)?;
    }
    Ok(rules)
}

pub(super) fn malformed(what: &str) -> Unread {
    Unread::Malformed(format!("{what} of nf_tables has not the form that is documented"))
}

/// The tables that are switched off.
fn dormant(rows: &[Row]) -> Vec<(u8, String)> {
    const NFTA_TABLE_NAME: u16 = 1;
    const NFTA_TABLE_FLAGS: u16 = 2;
    const NFT_TABLE_F_DORMANT: u32 = 1;
    let is_dormant = |row: &&Row| {
        row.get(NFTA_TABLE_FLAGS).and_then(|a| be32(&a)).unwrap_or(0) & NFT_TABLE_F_DORMANT != 0
    };
    let named = |row: &Row| Some((row.family, row.get(NFTA_TABLE_NAME)?.text()));
    rows.iter().filter(is_dormant).filter_map(named).collect()
}

/// The family of a table by its number.
pub(super) fn family(number: u8) -> Option<TableFamily> {
    Some(match number {
        1 => TableFamily::Inet,
        2 => TableFamily::Ip,
        3 => TableFamily::Arp,
        5 => TableFamily::Netdev,
        7 => TableFamily::Bridge,
        10 => TableFamily::Ip6,
        _ => return None,
    })
}

fn chain(row: &Row, dormant: &[(u8, String)]) -> Option<Chain> {
    const NFTA_CHAIN_TABLE: u16 = 1;
    const NFTA_CHAIN_NAME: u16 = 3;
    const NFTA_CHAIN_HOOK: u16 = 4;
    let table = row.get(NFTA_CHAIN_TABLE)?.text();
    let is_off = dormant.contains(&(row.family, table.clone()));
    let base = match row.get(NFTA_CHAIN_HOOK) {
        Some(hook) if !is_off => Some(base(row, &hook)?),
        _ => None,
    };
    Some(Chain {
        family: family(row.family)?,
        table: table.into(),
        name: row.get(NFTA_CHAIN_NAME)?.text().into(),
        legacy: false,
        base,
        rules: Vec::new(),
    })
}

fn base(row: &Row, hook: &Attribute<'_>) -> Option<Base> {
    const NFTA_HOOK_HOOKNUM: u16 = 1;
    const NFTA_HOOK_PRIORITY: u16 = 2;
    const NFTA_HOOK_DEV: u16 = 3;
    const NFTA_HOOK_DEVS: u16 = 4;
    const NFTA_CHAIN_POLICY: u16 = 5;
    const NFTA_CHAIN_TYPE: u16 = 7;
    const NF_ACCEPT: u32 = 1;
    const NETDEV: u8 = 5;
    let get = |kind| attributes(hook.payload).find(|a| a.kind == kind);
    let number = get(NFTA_HOOK_HOOKNUM).and_then(|a| be32(&a))?;
    let priority = get(NFTA_HOOK_PRIORITY).and_then(|a| be32(&a))? as i32;
    let mut devices = Vec::new();
    devices.extend(get(NFTA_HOOK_DEV).map(|a| a.text().into()));
    if let Some(list) = get(NFTA_HOOK_DEVS) {
        let more = attributes(list.payload).map(|a| a.text().into());
        devices.extend(more.filter(|d| !devices.contains(d)).collect::<Vec<_>>());
    }
    let hook = match (row.family == NETDEV, number) {
        (true, 0) => Hook::Ingress,
        (true, 1) => Hook::Egress,
        (false, 0) => Hook::Prerouting,
        (false, 1) => Hook::Input,
        (false, 2) => Hook::Forward,
        (false, 3) => Hook::Output,
        (false, 4) => Hook::Postrouting,
        (false, 5) => Hook::Ingress,
        _ => return None,
    };
    let kind = match row.get(NFTA_CHAIN_TYPE).map(|a| a.text()).as_deref() {
        Some("nat") => ChainKind::Nat,
        Some("route") => ChainKind::Route,
        _ => ChainKind::Filter,
    };
    let policy = row.get(NFTA_CHAIN_POLICY).and_then(|a| be32(&a)).unwrap_or(NF_ACCEPT);
    Some(Base { hook, priority, kind, accepts: policy == NF_ACCEPT, devices })
}

fn add_rule(row: &Row, rules: &mut Ruleset, names: &Names) -> Result<(), Unread> {
    const NFTA_RULE_TABLE: u16 = 1;
    const NFTA_RULE_CHAIN: u16 = 2;
    const NFTA_RULE_HANDLE: u16 = 3;
    const NFTA_RULE_EXPRESSIONS: u16 = 4;
    const NFTA_RULE_USERDATA: u16 = 7;
    let named = |kind| row.get(kind).map(|a| a.text()).ok_or_else(|| malformed("a rule"));
    let (table, chain) = (named(NFTA_RULE_TABLE)?, named(NFTA_RULE_CHAIN)?);
    let handle = row.get(NFTA_RULE_HANDLE).and_then(|a| be64(&a));
    let handle = handle.filter(|_| is_whole(&row.attributes));
    let handle = handle.ok_or_else(|| malformed("a rule"))?;
    let Some(&index) = names.chains.get(&(row.family, table.clone(), chain)) else {
        return Err(malformed("a rule of no chain"));
    };
    let scope = instruction::Scope { family: row.family, table: &table, names };
    let list = row.get(NFTA_RULE_EXPRESSIONS);
    let exprs = list.map(|list| scope.list(list.payload)).unwrap_or_default();
    let comment = row.get(NFTA_RULE_USERDATA).map(|a| comment(a.payload)).unwrap_or_default();
    rules.chains[index].rules.push(Rule { handle, exprs, comment: comment.into() });
    Ok(())
}

/// The comment that nft(8) puts into a rule: type, length, text.
fn comment(mut bytes: &[u8]) -> String {
    const COMMENT: u8 = 0;
    while let [kind, length, rest @ ..] = bytes {
        let length = usize::from(*length);
        let Some(value) = rest.get(..length) else { break };
        if *kind == COMMENT {
            let text = value.split(|&b| b == 0).next().unwrap_or_default();
            return String::from_utf8_lossy(text).into_owned();
        }
        bytes = &rest[length..];
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use portwise_model::linux::netfilter::Expr;

    use super::*;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + payload.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// `inet t c handle 1`: `counter drop`, with the length of the list given.
    fn row(shorter: usize) -> Row {
        const DROP: [u8; 4] = [0; 4];
        let verdict = attribute(2, &attribute(2, &attribute(1, &DROP)));
        let immediate = [attribute(1, &0u32.to_be_bytes()), verdict].concat();
        let exprs = [("counter", Vec::new()), ("immediate", immediate)].map(|(name, data)| {
            let name = attribute(1, format!("{name}\0").as_bytes());
            attribute(1, &[name, attribute(2, &data)].concat())
        });
        let list = exprs.concat();
        let attributes = [
            attribute(1, b"t\0"),
            attribute(2, b"c\0"),
            attribute(3, &1u64.to_be_bytes()),
            attribute(4, &list[..list.len() - shorter]),
        ];
        Row { family: 1, attributes: attributes.concat() }
    }

    fn read(row: &Row) -> Result<Vec<Expr>, Unread> {
        let mut rules = Ruleset::default();
        let (family, table) = (TableFamily::Inet, "t".into());
        let chain =
            Chain { family, table, name: "c".into(), legacy: false, base: None, rules: vec![] };
        rules.chains.push(chain);
        let mut names = Names::default();
        names.chains.insert((1, "t".into(), "c".into()), 0);
        add_rule(row, &mut rules, &names)?;
        Ok(rules.chains[0].rules[0].exprs.clone())
    }

    #[test]
    fn a_rule_that_is_cut_short_is_not_a_shorter_rule() {
        let whole = row(0);
        let exprs = read(&whole).unwrap();
        assert_eq!(exprs.len(), 2, "{exprs:?}");
        assert!(!exprs.iter().any(|expr| matches!(expr, Expr::Unknown(_))), "{exprs:?}");
        // Where it ends between two attributes, only the message's own length tells.
        let last = attributes(&whole.attributes).last().unwrap().payload.len() + 4;
        let between = whole.attributes.len() - last;
        for length in (0..whole.attributes.len()).filter(|&length| length != between) {
            let cut = Row { family: 1, attributes: whole.attributes[..length].to_vec() };
            assert!(read(&cut).is_err(), "{length} bytes of {}", whole.attributes.len());
        }
        let known = |expr: &Expr| !matches!(expr, Expr::Unknown(_));
        for shorter in 1..24 {
            let exprs = read(&row(shorter)).unwrap();
            assert!(!exprs.iter().all(known), "{shorter} bytes less: {exprs:?}");
        }
    }

    #[test]
    fn no_byte_that_is_wrong_leads_anywhere_else() {
        let whole = row(0);
        for at in 0..whole.attributes.len() {
            for value in [0, 1, 3, 4, 5, 0x7f, 0x80, 0xff] {
                let mut wrong = Row { family: 1, attributes: whole.attributes.clone() };
                wrong.attributes[at] = value;
                // An answer, whichever: no panic, and no walk without an end.
                let _ = read(&wrong);
            }
        }
    }
}
