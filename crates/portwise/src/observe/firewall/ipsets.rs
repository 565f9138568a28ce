//! The sets of ipset.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use portwise_model::{
    Text,
    linux::netfilter::{Dimension, Entry, Expr, IpSet, Match, Part, Ruleset},
};
use portwise_sys::{
    ipset,
    netlink::{Attribute, attributes},
};

use super::Unread;

/// Whether any rule asks a set.
pub(super) fn are_used(rules: &Ruleset) -> bool {
    let asks = |expr: &Expr| matches!(expr, Expr::Match(m) if matches!(**m, Match::Set { .. }));
    rules.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs).any(asks)
}

/// Reads every set.
pub(super) fn read(deadline: Option<Instant>) -> Result<BTreeMap<u16, IpSet>, Unread> {
    parse(&ipset::list(deadline)?)
}

/// Reads sets as they are sent: the first part of each describes it, all have entries.
fn parse(parts: &[Vec<u8>]) -> Result<BTreeMap<u16, IpSet>, Unread> {
    const SETNAME: u16 = 2;
    const TYPENAME: u16 = 3;
    const FAMILY: u16 = 5;
    const DATA: u16 = 7;
    const ADT: u16 = 8;
    const INDEX: u16 = 11;
    const AF_INET6: u8 = 10;
    let mut sets = BTreeMap::new();
    let mut indexes: BTreeMap<String, u16> = BTreeMap::new();
    let mut lists: Vec<(u16, Vec<String>)> = Vec::new();
    for part in parts {
        let get = |kind: u16| attributes(part).find(|a| a.kind == kind);
        let wrong =
            || Unread::Malformed("a set of ipset has not the form that is documented".into());
        let name = get(SETNAME).map(|a| a.text()).ok_or_else(wrong)?;
        if let Some(kind) = get(TYPENAME).map(|a| a.text()) {
            let index = get(INDEX).and_then(|a| be16(&a)).ok_or_else(|| {
                Unread::Malformed("this kernel does not tell the indexes of ipset's sets".into())
            })?;
            indexes.insert(name.clone(), index);
            sets.insert(
                index,
                IpSet {
                    name: Text::Owned(name.clone()),
                    is_v6: get(FAMILY).and_then(|a| a.u8()) == Some(AF_INET6),
                    dimensions: dimensions(&kind),
                    is_list: kind == "list:set",
                    mark_mask: get(DATA).map_or(u32::MAX, |data| mark_mask(data.payload)),
                    ..IpSet::default()
                },
            );
        }
        let Some(index) = indexes.get(&name).copied() else { return Err(wrong()) };
        let Some(set) = sets.get_mut(&index) else { return Err(wrong()) };
        let entries = get(ADT);
        for data in entries.iter().flat_map(|list| attributes(list.payload)) {
            if set.is_list {
                const NAME: u16 = 18;
                let member = attributes(data.payload).find(|a| a.kind == NAME).map(|a| a.text());
                lists.push((index, member.into_iter().collect()));
            } else {
                set.entries.push(entry(set, data.payload));
            }
        }
    }
    for (list, members) in lists {
        let found = members.iter().filter_map(|name| indexes.get(name).copied());
        if let Some(set) = sets.get_mut(&list) {
            set.members.extend(found);
        }
    }
    Ok(sets)
}

/// `hash:ip,port,net` and the like.
fn dimensions(kind: &str) -> Vec<Dimension> {
    let parts = kind.split_once(':').map_or("", |(_, parts)| parts).split(',');
    parts
        .filter_map(|part| match part {
            "ip" | "net" => Some(Dimension::Net),
            "port" => Some(Dimension::Port),
            "iface" => Some(Dimension::Iface),
            "mark" => Some(Dimension::Mark),
            "mac" => Some(Dimension::Mac),
            _ => None,
        })
        .collect()
}

fn mark_mask(data: &[u8]) -> u32 {
    const MARKMASK: u16 = 11;
    let mask = attributes(data).find(|a| a.kind == MARKMASK);
    mask.and_then(|a| a.payload.first_chunk().map(|b| u32::from_be_bytes(*b))).unwrap_or(u32::MAX)
}

fn entry(set: &IpSet, data: &[u8]) -> Entry {
    const IP: u16 = 1;
    const IP_TO: u16 = 2;
    const CIDR: u16 = 3;
    const PORT: u16 = 4;
    const PORT_TO: u16 = 5;
    const PROTO: u16 = 7;
    const CADT_FLAGS: u16 = 8;
    const MARK: u16 = 10;
    const IP2: u16 = 20;
    const CIDR2: u16 = 21;
    const IFACE: u16 = 23;
    const NOMATCH: u32 = 4;
    let get = |kind: u16| attributes(data).find(|a| a.kind == kind);
    let net = |at: u16, to: Option<u16>, cidr: u16| {
        let whole = if set.is_v6 { 128 } else { 32 };
        let Some(ip) = get(at).and_then(|a| ip(&a)) else {
            // A network of no bits is sent without an address.
            return match get(cidr).and_then(|a| a.u8()) {
                Some(0) => Part::Net(unspecified(set.is_v6), 0),
                _ => Part::Other,
            };
        };
        if let Some(to) = to.and_then(&get).and_then(|a| self::ip(&a)) {
            return Part::Range(ip, to);
        }
        Part::Net(ip, get(cidr).and_then(|a| a.u8()).unwrap_or(whole))
    };
    let mut seen_net = false;
    let parts = set.dimensions.iter().map(|dimension| match dimension {
        Dimension::Net if seen_net => net(IP2, None, CIDR2),
        Dimension::Net => {
            seen_net = true;
            net(IP, Some(IP_TO), CIDR)
        }
        Dimension::Port => {
            let low = get(PORT).and_then(|a| be16(&a)).unwrap_or(0);
            let high = get(PORT_TO).and_then(|a| be16(&a)).unwrap_or(low);
            Part::Port(get(PROTO).and_then(|a| a.u8()).unwrap_or(0), low, high)
        }
        Dimension::Iface => get(IFACE).map_or(Part::Other, |a| Part::Iface(a.text().into())),
        Dimension::Mark => {
            let mark = get(MARK).and_then(|a| a.payload.first_chunk().copied());
            mark.map_or(Part::Other, |b| Part::Mark(u32::from_be_bytes(b)))
        }
        Dimension::Mac => Part::Other,
    });
    let parts = parts.collect();
    let flags = get(CADT_FLAGS).and_then(|a| a.payload.first_chunk().copied());
    let nomatch = flags.is_some_and(|b| u32::from_be_bytes(b) & NOMATCH != 0);
    Entry { parts, nomatch }
}

fn unspecified(is_v6: bool) -> IpAddr {
    if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// An address, nested in an attribute of its family.
fn ip(attribute: &Attribute<'_>) -> Option<IpAddr> {
    let inner = attributes(attribute.payload).next()?;
    match inner.kind {
        1 => inner.payload.first_chunk::<4>().map(|b| Ipv4Addr::from(*b).into()),
        2 => inner.payload.first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into()),
        _ => None,
    }
}

fn be16(attribute: &Attribute<'_>) -> Option<u16> {
    attribute.payload.first_chunk().map(|b| u16::from_be_bytes(*b))
}
