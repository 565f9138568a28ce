//! The sets and maps of nf_tables.

use portwise_model::{
    Text,
    linux::netfilter::{Data, Element, Ruleset, Set},
};
use portwise_sys::{
    netlink::attributes,
    nftables::{NfTables, Row, be32},
};

use super::{
    Unread,
    instruction::{self, Scope},
    nftables::{Names, malformed},
};

const NFT_SET_INTERVAL: u32 = 0x4;
const NFT_SET_EVAL: u32 = 0x20;
const NFT_SET_CONCAT: u32 = 0x80;
const NFT_SET_TIMEOUT: u32 = 0x10;

/// Reads the sets that are declared, with their elements.
pub(super) fn read(
    tables: &mut NfTables,
    declared: &[Row],
    rules: &mut Ruleset,
    names: &mut Names,
) -> Result<(), Unread> {
    const NFTA_SET_TABLE: u16 = 1;
    const NFTA_SET_NAME: u16 = 2;
    let named = |row: &Row, kind| row.get(kind).map(|a| a.text()).ok_or_else(|| malformed("a set"));
    for row in declared {
        let (table, name) = (named(row, NFTA_SET_TABLE)?, named(row, NFTA_SET_NAME)?);
        names.sets.insert((row.family, table, name), rules.sets.len());
        rules.sets.push(Set::default());
    }
    for (index, row) in declared.iter().enumerate() {
        let (table, name) = (named(row, NFTA_SET_TABLE)?, named(row, NFTA_SET_NAME)?);
        let scope = Scope { family: row.family, table: &table, names };
        let mut set = describe(row, &name).ok_or_else(|| malformed("a set"))?;
        let mut wrong = false;
        let flags = flags(row);
        let mut read = Vec::new();
        tables.elements(row.family, &table, &name, |bytes| match element(bytes, &scope) {
            Some(found) => read.push(found),
            None => wrong = true,
        })?;
        if wrong {
            return Err(malformed("an element of a set"));
        }
        fill(&mut set, read, flags);
        rules.sets[index] = set;
    }
    Ok(())
}

fn flags(row: &Row) -> u32 {
    const NFTA_SET_FLAGS: u16 = 3;
    row.get(NFTA_SET_FLAGS).and_then(|a| be32(&a)).unwrap_or(0)
}

fn describe(row: &Row, name: &str) -> Option<Set> {
    const NFTA_SET_KEY_LEN: u16 = 5;
    const NFTA_SET_DESC: u16 = 9;
    const NFTA_SET_DESC_CONCAT: u16 = 2;
    const NFTA_SET_FIELD_LEN: u16 = 1;
    let mut fields = Vec::new();
    if let Some(desc) = row.get(NFTA_SET_DESC) {
        let concat = attributes(desc.payload).find(|a| a.kind == NFTA_SET_DESC_CONCAT);
        for field in concat.iter().flat_map(|list| attributes(list.payload)) {
            let len = attributes(field.payload).find(|a| a.kind == NFTA_SET_FIELD_LEN);
            fields.push(len.and_then(|a| be32(&a))? as usize);
        }
    }
    Some(Set {
        name: Text::Owned(name.into()),
        key_len: row.get(NFTA_SET_KEY_LEN).and_then(|a| be32(&a))? as usize,
        fields,
        dynamic: flags(row) & (NFT_SET_EVAL | NFT_SET_TIMEOUT) != 0,
        ..Set::default()
    })
}

/// An element as it is sent: with whether it only ends the range before it.
struct Sent {
    element: Element,
    ends: bool,
    catches_all: bool,
}

fn element(bytes: &[u8], scope: &Scope<'_>) -> Option<Sent> {
    const NFTA_SET_ELEM_KEY: u16 = 1;
    const NFTA_SET_ELEM_DATA: u16 = 2;
    const NFTA_SET_ELEM_FLAGS: u16 = 3;
    const NFTA_SET_ELEM_EXPR: u16 = 7;
    const NFTA_SET_ELEM_KEY_END: u16 = 10;
    const NFTA_SET_ELEM_EXPRESSIONS: u16 = 11;
    const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
    const NFT_SET_ELEM_CATCHALL: u32 = 2;
    let mut sent = Sent {
        element: Element { key: Vec::new(), end: None, data: None, depends: Text::Borrowed("") },
        ends: false,
        catches_all: false,
    };
    for attribute in attributes(bytes) {
        match attribute.kind {
            NFTA_SET_ELEM_KEY => sent.element.key = instruction::value(attribute.payload)?.to_vec(),
            NFTA_SET_ELEM_KEY_END => {
                sent.element.end = Some(instruction::value(attribute.payload)?.to_vec());
            }
            NFTA_SET_ELEM_DATA => sent.element.data = Some(data(attribute.payload, scope)?),
            NFTA_SET_ELEM_FLAGS => {
                let flags = be32(&attribute)?;
                sent.ends = flags & NFT_SET_ELEM_INTERVAL_END != 0;
                sent.catches_all = flags & NFT_SET_ELEM_CATCHALL != 0;
            }
            NFTA_SET_ELEM_EXPR => {
                sent.element.depends = condition(&scope.one(attribute.payload));
            }
            NFTA_SET_ELEM_EXPRESSIONS => {
                let all = scope.list(attribute.payload);
                let open = all.iter().map(condition).find(|why| !why.is_empty());
                sent.element.depends = open.unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(sent)
}

fn data(bytes: &[u8], scope: &Scope<'_>) -> Option<Data> {
    match scope.verdict(bytes) {
        Some(verdict) => Some(Data::Verdict(verdict)),
        None => Some(Data::Value(instruction::value(bytes)?.to_vec())),
    }
}

/// What has to hold besides for an element that carries a rate, a quota or a count.
fn condition(expr: &portwise_model::linux::netfilter::Expr) -> Text {
    use portwise_model::linux::netfilter::Expr;
    match expr {
        Expr::Depends { why } => why.clone(),
        Expr::Unknown(name) => Text::Owned(format!("`{name}`, which is not known here")),
        _ => Text::Borrowed(""),
    }
}

/// Puts elements into a set: a range without a key of its own for the end is sent as two.
fn fill(set: &mut Set, read: Vec<Sent>, flags: u32) {
    let two = flags & NFT_SET_INTERVAL != 0 && flags & NFT_SET_CONCAT == 0;
    let (special, mut plain): (Vec<Sent>, Vec<Sent>) =
        read.into_iter().partition(|s| s.catches_all);
    set.catch_all = special.into_iter().next().map(|sent| sent.element);
    if two && plain.iter().any(|sent| sent.element.end.is_none()) {
        // An end comes before a start at the same place.
        plain.sort_by(|a, b| (&a.element.key, !a.ends).cmp(&(&b.element.key, !b.ends)));
        let mut open: Option<Element> = None;
        for sent in plain {
            if let Some(mut element) = open.take() {
                element.end.get_or_insert_with(|| before(&sent.element.key));
                set.elements.push(element);
            }
            open = (!sent.ends).then_some(sent.element);
        }
        if let Some(mut element) = open {
            let top = vec![0xff; set.key_len];
            element.end.get_or_insert(top);
            set.elements.push(element);
        }
    } else {
        set.elements = plain.into_iter().map(|sent| sent.element).collect();
    }
    set.sort();
}

/// The number before this one, big-endian.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    key
}
