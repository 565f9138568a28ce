//! How often rules of nf_tables were met, as the kernel counts: whether a packet really met the
//! rule that is said to stop it.

use std::collections::BTreeMap;

use portwise_sys::{
    netlink::attributes,
    nftables::{NfTables, Row, be64},
};

use crate::Trouble;

/// Packets by rule, each as answers name it.
pub(super) type Counters = BTreeMap<String, u64>;

/// Reads the counter of each rule that has one, in the thread's network namespace.
///
/// # Errors
/// If the rules cannot be read.
pub(super) fn read() -> Result<Counters, Trouble> {
    let trouble = |error: portwise_sys::Error| Trouble::new(error.to_string());
    let rows = NfTables::open().and_then(|mut tables| tables.rules()).map_err(trouble)?;
    Ok(rows.iter().filter_map(counter).collect())
}

/// The rules whose counters went up.
pub(super) fn met(before: &Counters, after: &Counters) -> Vec<String> {
    let went_up = |(rule, count): (&String, &u64)| {
        let was = before.get(rule).copied().unwrap_or(0);
        (*count > was).then(|| rule.clone())
    };
    after.iter().filter_map(went_up).collect()
}

fn counter(row: &Row) -> Option<(String, u64)> {
    const NFTA_RULE_TABLE: u16 = 1;
    const NFTA_RULE_CHAIN: u16 = 2;
    const NFTA_RULE_HANDLE: u16 = 3;
    const NFTA_RULE_EXPRESSIONS: u16 = 4;
    const NFTA_EXPR_NAME: u16 = 1;
    const NFTA_EXPR_DATA: u16 = 2;
    const NFTA_COUNTER_PACKETS: u16 = 2;
    let family = match row.family {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let (table, chain) = (row.get(NFTA_RULE_TABLE)?.text(), row.get(NFTA_RULE_CHAIN)?.text());
    let handle = be64(&row.get(NFTA_RULE_HANDLE)?)?;
    let list = row.get(NFTA_RULE_EXPRESSIONS)?;
    let packets = attributes(list.payload).find_map(|element| {
        let get = |kind| attributes(element.payload).find(|a| a.kind == kind);
        get(NFTA_EXPR_NAME).filter(|name| name.text() == "counter")?;
        let data = get(NFTA_EXPR_DATA)?;
        attributes(data.payload).find(|a| a.kind == NFTA_COUNTER_PACKETS).and_then(|a| be64(&a))
    })?;
    Some((format!("{family} {table} {chain} handle {handle}"), packets))
}
