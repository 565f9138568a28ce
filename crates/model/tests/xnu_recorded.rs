//! Replays what XNU's own `bind`, `listen` and lookup functions answered (`lab/xnu-recorded.md`)
//! against the model.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use flate2::read::GzDecoder;
use portwise_model::{
    AddrState, Call, Fact, Family, Host, IfAddr, Interface, Interfaces, Kernel, Machine, Outcome,
    Packet, Protocol, SockAddr, SockOption, SocketId, State, Subject, lookup, xnu,
};
use serde_json::Value;

const RECORDED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/xnu-recorded.jsonl.gz");

/// What was replayed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    scenarios: usize,
    binds: usize,
    listens: usize,
    lookups: usize,
}

#[test]
fn every_recorded_call_and_lookup() {
    let file = std::fs::File::open(RECORDED).expect("the recorded scenarios");
    let mut count = Count::default();
    let mut disagreements = Vec::new();
    let mut stopped: BTreeMap<String, usize> = BTreeMap::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let scenario: Value = serde_json::from_str(&line.unwrap()).unwrap();
        replay(&scenario, &mut count, &mut disagreements, &mut stopped);
    }
    for (rule, n) in &stopped {
        println!("{n:6} {rule}");
    }
    let shown = disagreements.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(disagreements.is_empty(), "{} disagree:\n{shown}", disagreements.len());
    let expected = Count { scenarios: 12_000, binds: 44_041, listens: 15_949, lookups: 60_000 };
    assert_eq!(count, expected);
}

fn replay(
    scenario: &Value,
    count: &mut Count,
    disagreements: &mut Vec<String>,
    stopped: &mut BTreeMap<String, usize>,
) {
    count.scenarios += 1;
    let kernel = xnu::from_tag(text(scenario, "kernel")).expect("a tag");
    let mut machine = Machine::new(recorded_host(kernel));
    let mut ids: HashMap<String, (SocketId, u32)> = HashMap::new();
    for (n, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let name = || text(step, "socket");
        let (id, uid, call) = match text(step, "op") {
            "lookup" => {
                count.lookups += 1;
                let (got, state) = looked_up(&machine, step);
                let name = ids.iter().find(|(_, (id, _))| Some(*id) == got);
                let name = name.map_or("none", |(name, _)| name.as_str());
                let state = step["state"].as_str().is_none_or(|wanted| wanted == state);
                if name != text(step, "expect") || !state {
                    let id = text(scenario, "id");
                    disagreements.push(format!("{id} step {n}: {step}: the model says {name}"));
                }
                continue;
            }
            "socket" => {
                let id = SocketId(ids.len() as u64);
                let uid = step["uid"].as_u64().unwrap_or(0) as u32;
                ids.insert(name().to_owned(), (id, uid));
                make_socket(&mut machine, id, uid, step);
                continue;
            }
            "bind" => {
                count.binds += 1;
                let ip: IpAddr = text(step, "addr").parse().unwrap();
                let port = step["port"].as_u64().unwrap() as u16;
                let uid = step["uid"].as_u64().unwrap() as u32;
                (ids[name()].0, uid, Call::Bind(SockAddr::new(ip, port, 0)))
            }
            "listen" => {
                count.listens += 1;
                let (id, uid) = ids[name()];
                (id, uid, Call::Listen(128))
            }
            op => panic!("{op} is not in the file"),
        };
        let mut last = "none";
        let outcomes = machine.outcomes(&Subject::plain(uid, "scenario"), id, call, |rule, _| {
            last = rule.id;
        });
        let expected = Outcome::from_name(text(step, "expect")).expect("an outcome");
        if outcomes != [expected] {
            let id = text(scenario, "id");
            disagreements
                .push(format!("{id} step {n}: {step}: the model says {outcomes:?} ({last})"));
        } else if expected != Outcome::Ok {
            *stopped.entry(last.to_owned()).or_default() += 1;
        }
        machine.settle(id, call, expected, None);
    }
}

/// Who gets the packet of a step, and whether it listens.
fn looked_up(machine: &Machine, step: &Value) -> (Option<SocketId>, &'static str) {
    let ip: IpAddr = text(step, "addr").parse().unwrap();
    let protocol = if text(step, "type") == "stream" { Protocol::Tcp } else { Protocol::Udp };
    let dst = SocketAddr::new(ip, step["port"].as_u64().unwrap() as u16);
    let src = SocketAddr::new(ip, 0);
    let packet = Packet { protocol, src, dst, device: 1, vrf: 0, broadcast: false };
    let found = lookup(&machine.host, &packet).expect("all is known").to;
    let socket = found.ids().first().and_then(|id| machine.get(*id));
    let listens = socket.is_some_and(|s| s.state == State::Listen);
    (socket.map(|s| s.id), if listens { "listen" } else { "closed" })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn make_socket(machine: &mut Machine, id: SocketId, uid: u32, step: &Value) {
    let family = match text(step, "family") {
        "inet" => Family::Inet,
        _ => Family::Inet6,
    };
    let protocol = match text(step, "type") {
        "stream" => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    machine.socket(id, family, protocol, uid);
    let Some(opts) = step["opts"].as_object() else { return };
    for (name, value) in opts {
        let on = value == 1;
        let option = match name.as_str() {
            "reuseaddr" => SockOption::ReuseAddr(on),
            "reuseport" => SockOption::ReusePort(on),
            "shareuid" => SockOption::ShareUid(on),
            "v6only" => SockOption::V6Only(on),
            _ => panic!("{name} is not in the file"),
        };
        machine.settle(id, Call::SetOption(option), Outcome::Ok, None);
    }
}

/// The host of the recordings: two interfaces and nothing else.
fn recorded_host(kernel: Kernel) -> Host {
    let mut host = xnu::assumed_host(kernel);
    let address = |ip: &str, prefix, state| IfAddr {
        ip: ip.parse().unwrap(),
        prefix,
        broadcast: None,
        state,
    };
    let usable = AddrState::Usable;
    let lo0 = interface(
        1,
        "lo0",
        vec![
            address("127.0.0.1", 8, usable),
            address("::1", 128, usable),
            address("198.51.100.7", 32, usable),
            address("2001:db8:1::7", 128, usable),
        ],
    );
    let broadcast = Some(Ipv4Addr::new(192, 0, 2, 255));
    let feth0 = interface(
        2,
        "feth0",
        vec![
            IfAddr { broadcast, ..address("192.0.2.10", 24, usable) },
            address("2001:db8::10", 64, AddrState::Tentative),
        ],
    );
    let interfaces = Interfaces { list: vec![lo0, feth0], complete: true };
    host.interfaces = Fact::known(interfaces, "scenario");
    host
}

fn interface(index: u32, name: &'static str, addresses: Vec<IfAddr>) -> Interface {
    Interface { index, name: name.into(), loopback: name == "lo0", up: true, vrf: 0, addresses }
}
