//! Packets through random rulesets that ended on Linux 6.18.44 where the model said, asked again: it
//! may not have changed its mind, nor say another rule, way or reason.
//!
//! `portwise conform --random-rules 400 --seed S --record FILE` makes such a file; with
//! `PORTWISE_BLESS=1` what the model says now takes the place of what it said, as long as packets
//! end alike.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use portwise_model::{
    Host, Protocol, ReachQuestion, SocketId, Vantage,
    linux::{
        netfilter::{Owner, Ruleset},
        route::Network,
        walk::{Scene, reach},
    },
};
use serde_json::Value;

fn file() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/linux-random-rules.jsonl.gz").into()
}

fn question(ask: &Value) -> ReachQuestion {
    let text = |name: &str| ask[name].as_str().expect("a text");
    let id = |at: usize| ask["owner"][at].as_u64().map(|id| id as u32);
    let owner = ask["owner"].is_array().then(|| Owner { uid: id(0), gid: id(1) });
    let from: IpAddr = text("from").parse().expect("an address");
    let to: SocketAddr = text("to").parse().expect("an endpoint");
    let device = ask["device"].as_u64().expect("a device") as u32;
    let protocol = if text("protocol") == "tcp" { Protocol::Tcp } else { Protocol::Udp };
    ReachQuestion { vantage: Vantage { from, device, owner }, to, protocol }
}

/// The first field of an answer: where packets end.
fn outcome(answer: &str) -> &str {
    answer.split(',').next().expect("an answer")
}

#[test]
fn no_packet_ends_elsewhere() {
    let mut text = String::new();
    GzDecoder::new(File::open(file()).expect("it is in the project"))
        .read_to_string(&mut text)
        .expect("a gzip file");
    let bless = std::env::var_os("PORTWISE_BLESS").is_some();
    let (mut asked, mut differ, mut now) = (0, Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let mut scenario: Value = serde_json::from_str(line).expect("JSON");
        let part = |name: &str| scenario[name].clone();
        let host: Host = serde_json::from_value(part("host")).expect("a host");
        let network: Network = serde_json::from_value(part("network")).expect("a network");
        let rules: Ruleset = serde_json::from_value(part("rules")).expect("rules");
        let full: BTreeSet<SocketId> = serde_json::from_value(part("full")).expect("ids");
        let scene = Scene { host: &host, network: &network, rules: &rules, full: &full };
        for ask in scenario["asks"].as_array_mut().expect("questions") {
            let found = reach(&scene, &question(ask)).expect("all facts are there");
            let (found, said) = (format!("{found:?}"), ask["answer"].as_str().expect("a text"));
            asked += 1;
            if found != said && (!bless || outcome(&found) != outcome(said)) {
                differ.push(format!("{number}: {} is\n  {found}\nand was\n  {said}", ask["to"]));
            }
            ask["answer"] = found.into();
        }
        now.push(scenario.to_string());
    }
    println!("{} rulesets, {asked} packets", now.len());
    assert!(differ.is_empty(), "{} differ, first\n{}", differ.len(), differ[0]);
    assert!(asked >= 2000, "{asked}");
    if bless {
        let mut out = GzEncoder::new(File::create(file()).expect("writable"), Compression::best());
        now.iter().for_each(|line| writeln!(out, "{line}").expect("writable"));
        out.finish().expect("writable");
    }
}
