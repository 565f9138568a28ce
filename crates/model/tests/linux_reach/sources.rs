//! The senders that rules name.

use portwise_model::linux::netfilter::{
    Chain, Cmp, Dimension, Element, Entry, Expr, Header, IpHeader, IpSet, Match, Part, Rule,
    Ruleset, Set, TableFamily,
};

use super::world::*;

/// The sources of one rule in a chain of the family, as they are written, with the host for each.
fn of(family: TableFamily, rules: Ruleset, exprs: Vec<Expr>) -> Vec<(String, String)> {
    let rule = Rule { handle: 1, exprs, comment: "".into() };
    let (table, name) = ("t".into(), "c".into());
    let chain = Chain { family, table, name, legacy: false, base: None, rules: vec![rule] };
    let rules = Ruleset { chains: vec![chain], ..rules };
    rules.sources(20).0.into_iter().map(|s| (s.written.into_owned(), s.ip.to_string())).collect()
}

fn saddr(len: u8) -> Expr {
    Expr::Payload { base: Header::Network, offset: 12, len, dreg: 8 }
}

fn is(data: &[u8]) -> Expr {
    Expr::Cmp { op: Cmp::Eq, sreg: 8, data: data.into() }
}

fn one(written: &str, ip: &str) -> Vec<(String, String)> {
    vec![(written.into(), ip.into())]
}

#[test]
fn of_nftables() {
    let inet = |exprs: &[Expr]| of(TableFamily::Inet, Ruleset::default(), exprs.to_vec());
    assert_eq!(inet(&[saddr(4), is(&[10, 1, 2, 3])]), one("10.1.2.3", "10.1.2.3"));
    assert_eq!(inet(&[saddr(1), is(&[10])]), one("10.0.0.0/8", "10.0.0.1"));
    let mask = Expr::Bitwise { sreg: 8, dreg: 8, mask: vec![255, 255, 240, 0], xor: vec![0; 4] };
    let prefix = [saddr(4), mask.clone(), is(&[10, 9, 16, 0])];
    assert_eq!(inet(&prefix), one("10.9.16.0/20", "10.9.16.1"));
    let range = |from: [u8; 4], to: [u8; 4]| Expr::Range {
        negated: false,
        sreg: 8,
        from: from.into(),
        to: to.into(),
    };
    let some = range([10, 0, 0, 5], [10, 0, 0, 9]);
    assert_eq!(inet(&[saddr(4), some]), one("10.0.0.5-10.0.0.9", "10.0.0.5"));
    let all = range([10, 0, 4, 0], [10, 0, 7, 255]);
    assert_eq!(inet(&[saddr(4), all]), one("10.0.4.0/22", "10.0.4.1"));
    let pair = range([10, 0, 4, 2], [10, 0, 4, 3]);
    assert_eq!(inet(&[saddr(4), pair]), one("10.0.4.2/31", "10.0.4.2"));
    // No more than are asked for.
    let first: Vec<Expr> = (1..30).flat_map(|n| [saddr(4), is(&[10, 0, 0, n])]).collect();
    assert_eq!(inet(&first).len(), 20);
    // Whether these are all is said, of rules and of sets.
    let all = |exprs: Vec<Expr>, sets: Vec<Set>, most| {
        let rule = Rule { handle: 1, exprs, comment: "".into() };
        let (family, table, name) = (TableFamily::Inet, "t".into(), "c".into());
        let chain = Chain { family, table, name, legacy: false, base: None, rules: vec![rule] };
        Ruleset { chains: vec![chain], sets, ..Ruleset::default() }.sources(most).1
    };
    let two = || [saddr(4), is(&[10, 0, 0, 1]), is(&[10, 0, 0, 2])].to_vec();
    assert!(all(two(), vec![], 2) && !all(two(), vec![], 1));
    let set = |count: u8| Set {
        key_len: 4,
        elements: (1..=count)
            .map(|n| Element { key: vec![10, 0, 0, n], end: None, data: None, depends: "".into() })
            .collect(),
        ..Set::default()
    };
    let lookup = || Expr::Lookup { set: 0, sreg: 8, negated: false, dreg: None, verdicts: false };
    assert!(all(vec![saddr(4), lookup()], vec![set(3)], 32));
    assert!(!all(vec![saddr(4), lookup()], vec![set(40)], 32));
    // Named once, however often; no destinations; nobody sends from a multicast address.
    let twice = [saddr(4), is(&[10, 1, 2, 3]), saddr(4), is(&[10, 1, 2, 3])];
    assert_eq!(inet(&twice).len(), 1);
    let daddr = Expr::Payload { base: Header::Network, offset: 16, len: 4, dreg: 8 };
    assert_eq!(inet(&[saddr(4), daddr, is(&[10, 1, 2, 3])]), []);
    assert_eq!(inet(&[saddr(4), is(&[224, 0, 0, 1])]), []);
    let v6 = Expr::Payload { base: Header::Network, offset: 8, len: 6, dreg: 8 };
    let site = [v6.clone(), is(&[0x20, 1, 0xd, 0xb8, 0, 1])];
    assert_eq!(inet(&site), one("2001:db8:1::/48", "2001:db8:1::1"));
    // Of the other family these bytes are something else.
    let ip = |exprs: &[Expr]| of(TableFamily::Ip, Ruleset::default(), exprs.to_vec());
    assert_eq!(ip(&site), []);
    let ip6 = |exprs: &[Expr]| of(TableFamily::Ip6, Ruleset::default(), exprs.to_vec());
    assert_eq!(ip6(&[saddr(4), is(&[10, 1, 2, 3])]), []);
}

#[test]
fn of_sets() {
    let element = |key: &[u8], end: Option<&[u8]>| Element {
        key: key.into(),
        end: end.map(Into::into),
        data: None,
        depends: "".into(),
    };
    let lookup = |sreg| Expr::Lookup { set: 0, sreg, negated: false, dreg: None, verdicts: false };
    let plain = Set {
        key_len: 4,
        elements: vec![
            element(&[10, 0, 0, 1], None),
            element(&[10, 2, 0, 0], Some(&[10, 2, 255, 255])),
        ],
        ..Set::default()
    };
    let rules = Ruleset { sets: vec![plain], ..Ruleset::default() };
    let found = of(TableFamily::Inet, rules, vec![saddr(4), lookup(8)]);
    assert_eq!(found, [one("10.0.0.1", "10.0.0.1"), one("10.2.0.0/16", "10.2.0.1")].concat());
    // `tcp dport . ip saddr`.
    let pairs = Set {
        key_len: 8,
        fields: vec![2, 4],
        elements: vec![element(&[0, 22, 0, 0, 10, 0, 0, 1], Some(&[0, 22, 0, 0, 10, 0, 0, 1]))],
        ..Set::default()
    };
    let rules = Ruleset { sets: vec![pairs], ..Ruleset::default() };
    let port = Expr::Payload { base: Header::Transport, offset: 2, len: 2, dreg: 4 };
    let found = of(TableFamily::Inet, rules, vec![port, saddr(4), lookup(4)]);
    assert_eq!(found, one("10.0.0.1", "10.0.0.1"));
}

#[test]
fn of_iptables() {
    let header = |net: &str, mask: &str| {
        let src = Some((ip(net), ip(mask), true));
        Expr::Match(Box::new(Match::Ip(IpHeader {
            src,
            dst: None,
            iif: None,
            oif: None,
            protocol: None,
            fragment: None,
        })))
    };
    let of = |rules, expr| of(TableFamily::Ip, rules, vec![expr]);
    let none = Ruleset::default;
    let found = of(none(), header("10.0.0.0", "255.255.0.0"));
    assert_eq!(found, one("10.0.0.0/16", "10.0.0.1"));
    let range = Match::IpRange { src: Some((ip("10.0.0.5"), ip("10.0.0.9"), false)), dst: None };
    let found = of(none(), Expr::Match(Box::new(range)));
    assert_eq!(found, one("10.0.0.5-10.0.0.9", "10.0.0.5"));
    let entry = |part| Entry { parts: vec![Part::Port(6, 22, 22), part], nomatch: false };
    let set = IpSet {
        dimensions: vec![Dimension::Port, Dimension::Net],
        entries: vec![
            entry(Part::Net(ip("10.0.0.0"), 8)),
            entry(Part::Range(ip("10.0.0.5"), ip("10.0.0.9"))),
            entry(Part::Other),
        ],
        ..IpSet::default()
    };
    let with = |src: [bool; 2]| {
        let rules = Ruleset { ipsets: [(3, set.clone())].into(), ..Ruleset::default() };
        let wanted = Match::Set { set: 3, src: src.into(), negated: false };
        of(rules, Expr::Match(Box::new(wanted)))
    };
    let all = [one("10.0.0.0/8", "10.0.0.1"), one("10.0.0.5-10.0.0.9", "10.0.0.5")].concat();
    assert_eq!(with([false, true]), all);
    assert_eq!(with([true, false]), []);
}
