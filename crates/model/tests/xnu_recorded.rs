//! Replays what XNU's own `bind`, `listen` and lookup functions answered (`lab/xnu-recorded.md`)
//! against the model, and asks the six binds of the question that started it all.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flate2::read::GzDecoder;
use portwise_model::{
    AddrState, Call, Case, Errno, Fact, Family, Host, IfAddr, Interface, Interfaces, Kernel,
    Machine, Outcome, Protocol, Request, SockAddr, SockOption, Socket, SocketId, Subject, decide,
    fix, xnu,
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
    lookups_skipped: usize,
}

#[test]
fn every_recorded_bind_and_listen() {
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
    let expected =
        Count { scenarios: 12_000, binds: 44_041, listens: 15_949, lookups_skipped: 60_000 };
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
                count.lookups_skipped += 1;
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

/// What the four specific addresses and the two unspecified ones of the question answer.
struct Question {
    macos: &'static str,
    uid: u32,
    port: u16,
    specific: &'static str,
    unspecified: &'static str,
}

const QUESTIONS: &[Question] = &[
    row("10.13.6", 501, 80, "EACCES", "EACCES"),
    row("10.13.6", 501, 1023, "EACCES", "EACCES"),
    row("10.13.6", 501, 1024, "ok", "ok"),
    row("10.13.6", 0, 80, "ok", "ok"),
    row("10.13.6", 0, 1023, "ok", "ok"),
    row("10.13.6", 0, 1024, "ok", "ok"),
    row("10.14.2", 501, 80, "EACCES", "ok"),
    row("10.14.2", 501, 1023, "EACCES", "ok"),
    row("10.14.2", 501, 1024, "ok", "ok"),
    row("10.14.2", 0, 80, "ok", "ok"),
    row("10.14.2", 0, 1023, "ok", "ok"),
    row("10.14.2", 0, 1024, "ok", "ok"),
    row("11.5", 501, 80, "EACCES", "ok"),
    row("11.5", 501, 1023, "EACCES", "ok"),
    row("11.5", 501, 1024, "ok", "ok"),
    row("11.5", 0, 80, "ok", "ok"),
    row("11.5", 0, 1023, "ok", "ok"),
    row("11.5", 0, 1024, "ok", "ok"),
    row("15", 501, 80, "EACCES", "ok"),
    row("15", 501, 1023, "EACCES", "ok"),
    row("15", 501, 1024, "ok", "ok"),
    row("15", 0, 80, "ok", "ok"),
    row("15", 0, 1023, "ok", "ok"),
    row("15", 0, 1024, "ok", "ok"),
    row("26", 501, 80, "EACCES", "ok"),
    // The source of 10.14.0 was never published.
    row("10.14", 501, 80, "EACCES", "EACCES|ok"),
    row("10.14", 501, 1024, "ok", "ok"),
    row("10.14", 0, 80, "ok", "ok"),
    row("10.14.4", 501, 80, "EACCES", "ok"),
];

const fn row(
    macos: &'static str,
    uid: u32,
    port: u16,
    specific: &'static str,
    unspecified: &'static str,
) -> Question {
    Question { macos, uid, port, specific, unspecified }
}

const LAN: [&str; 2] = ["192.0.2.10", "2001:db8::20"];

#[test]
fn the_six_binds() {
    for q in QUESTIONS {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let ask = |host: Host, ip: &str| answer(&case(host, protocol, q.uid, ip, q.port));
            let at = |ip: &str| format!("{} as {} on {ip}:{}", q.macos, q.uid, q.port);
            for ip in ["127.0.0.1", "::1"] {
                assert_eq!(ask(unknown_lan(q.macos), ip), q.specific, "{}", at(ip));
            }
            for ip in ["0.0.0.0", "::"] {
                assert_eq!(ask(unknown_lan(q.macos), ip), q.unspecified, "{}", at(ip));
            }
            for ip in LAN {
                assert_eq!(ask(known_lan(q.macos), ip), q.specific, "{}", at(ip));
                // Whether the address is local is asked first, and not known.
                let open = format!("EADDRNOTAVAIL|{}", q.specific);
                assert_eq!(ask(unknown_lan(q.macos), ip), open, "{} unknown", at(ip));
            }
            let mapped = ask(unknown_lan(q.macos), "::ffff:0.0.0.0");
            assert_eq!(mapped, q.unspecified, "{}", at("::ffff:0.0.0.0"));
        }
    }
}

#[test]
fn tcp_55555_is_restricted_and_udp_is_not() {
    for (macos, tcp) in [
        ("10.14.2", "ok"),
        ("10.15.6", "ok"),
        ("10.15.7", "EADDRINUSE|ok"),
        ("11.0.1", "EADDRINUSE"),
        ("15", "EADDRINUSE"),
    ] {
        for uid in [0, 501] {
            let ask = |protocol| answer(&case(unknown_lan(macos), protocol, uid, "0.0.0.0", 55555));
            assert_eq!((ask(Protocol::Tcp).as_str(), ask(Protocol::Udp).as_str()), (tcp, "ok"));
        }
    }
}

#[test]
fn broadcast_and_embedded_multicast_since_12() {
    let tcp = |macos, ip| answer(&case(known_lan(macos), Protocol::Tcp, 501, ip, 5000));
    assert_eq!(tcp("11.5", "255.255.255.255"), "EADDRNOTAVAIL");
    assert_eq!(tcp("12.0", "255.255.255.255"), "EAFNOSUPPORT|EADDRNOTAVAIL");
    assert_eq!(tcp("12.0.1", "255.255.255.255"), "EAFNOSUPPORT");
    assert_eq!(tcp("11.5", "::ffff:224.0.0.251"), "ok");
    assert_eq!(tcp("12.1", "::ffff:224.0.0.251"), "EAFNOSUPPORT");
    let udp = answer(&case(known_lan("15"), Protocol::Udp, 501, "255.255.255.255", 5000));
    assert_eq!(udp, "EADDRNOTAVAIL");
}

#[test]
fn gates_leave_the_answer_open_only_where_they_are() {
    let mut asked = case(known_lan("10.14.2"), Protocol::Tcp, 501, "127.0.0.1", 8080);
    assert_eq!(answer(&asked), "ok");
    let gates = ["mac", "socket-filter", "flow-divert", "network-framework"];
    let gates = gates.map(Into::into).to_vec();
    asked.host.policies = Fact::known(gates, "test");
    assert_eq!(answer(&asked), "EPERM|EPROTOTYPE|EADDRINUSE|ok");
    asked.host.kernel = xnu::from_macos("15").unwrap();
    assert_eq!(answer(&asked), "EPERM|EADDRINUSE|ok");
}

#[test]
fn automatic_ports() {
    let mut low = case(known_lan("10.14.2"), Protocol::Tcp, 501, "0.0.0.0", 0);
    assert_eq!(answer(&low), "ok");
    low.request.socket.options.portrange_low = true;
    assert_eq!(answer(&low), "EPERM");
    low.request.call = Call::Listen(1);
    assert_eq!(answer(&low), "EPERM");
    low.subject.uid = 0;
    assert_eq!(answer(&low), "ok");
}

#[test]
fn no_automatic_port_is_left() {
    let everywhere = |ip: IpAddr, reuseport: bool| {
        let mut host = known_lan("10.14.2");
        for port in 49152..=65535 {
            let id = SocketId(u64::from(port));
            let mut taken =
                Socket { port, ip, ..Socket::new(id, Family::of(ip), Protocol::Tcp, 0) };
            taken.options.reuseport = Some(reuseport);
            host.sockets.push_front(taken);
        }
        host
    };
    let any4 = everywhere(Ipv4Addr::UNSPECIFIED.into(), false);
    let any6 = everywhere(Ipv6Addr::UNSPECIFIED.into(), false);
    let ask = |host: &Host, ip| answer(&case(host.clone(), Protocol::Tcp, 501, ip, 0));
    assert_eq!(ask(&any4, "127.0.0.1"), "EADDRNOTAVAIL");
    assert_eq!(ask(&any6, "::1"), "EAGAIN");
    assert_eq!(ask(&any4, "::1"), "ok");
    // SO_REUSEADDR asks for equal addresses only; since 10.15 not on IPv4.
    let reuse = |macos: &str, host: &Host, ip| {
        let mut asked = case(host.clone(), Protocol::Tcp, 501, ip, 0);
        asked.request.socket.options.reuseaddr = Some(true);
        asked.host.kernel = xnu::from_macos(macos).unwrap();
        answer(&asked)
    };
    assert_eq!(reuse("10.14.2", &any4, "127.0.0.1"), "ok");
    assert_eq!(reuse("10.15", &any4, "127.0.0.1"), "EADDRNOTAVAIL");
    assert_eq!(reuse("10.15", &any6, "::1"), "ok");
}

#[test]
fn udp_ports_run_out() {
    let mut host = known_lan("15");
    for port in 1..=61_440u16 {
        let id = SocketId(u64::from(port));
        let any = Socket { port, ..Socket::new(id, Family::Inet, Protocol::Udp, 0) };
        host.sockets.push_front(any);
    }
    let ask = |host: &Host, ip| answer(&case(host.clone(), Protocol::Udp, 501, ip, 62_000));
    assert_eq!(ask(&host, "127.0.0.1"), "EADDRNOTAVAIL");
    assert_eq!(ask(&host, "::1"), "ok");
    host.sockets.remove(61_440, SocketId(61_440));
    assert_eq!(ask(&host, "127.0.0.1"), "ok");
}

#[test]
fn a_failed_mapped_bind_used_to_leave_an_ipv4_listener() {
    let listener = |macos: &str| {
        let mut machine = Machine::new(known_lan(macos));
        let id = SocketId(1);
        machine.socket(id, Family::Inet6, Protocol::Tcp, 501);
        let bind = Call::Bind(SockAddr::new("::ffff:127.0.0.1".parse().unwrap(), 80, 0));
        machine.settle(id, bind, Outcome::Errno(Errno::EACCES), None);
        machine.settle(id, Call::Listen(1), Outcome::Ok, None);
        *machine.get(id).unwrap()
    };
    let old = listener("12.3");
    assert_eq!((old.ip.to_string().as_str(), old.port), ("::ffff:0.0.0.0", 49152));
    let new = listener("12.4");
    assert_eq!((new.ip.to_string().as_str(), new.port), ("::", 49152));
}

#[test]
fn fixes_of_the_question() {
    let asked = case(unknown_lan("10.14.2"), Protocol::Tcp, 501, "127.0.0.1", 80);
    assert_eq!(
        fix_ids(&asked),
        [
            "xnu.another-port",
            "xnu.every-address-drop-peers",
            "xnu.this-run",
            "xnu.launchd-sockets",
            "xnu.pf-redirect",
        ]
    );
    let old = case(unknown_lan("10.13.6"), Protocol::Tcp, 501, "0.0.0.0", 80);
    assert_eq!(fix_ids(&old), ["xnu.another-port", "xnu.this-run", "xnu.launchd-sockets"]);
    let absent = case(known_lan("15"), Protocol::Tcp, 501, "127.0.0.2", 8080);
    assert_eq!(fix_ids(&absent), ["xnu.every-address-drop-peers", "xnu.add-address4"]);
}

fn fix_ids(case: &Case) -> Vec<&'static str> {
    let verdict = decide(case);
    fix::fixes(case, &verdict, |_, _| false).iter().map(|proven| proven.fix.id).collect()
}

#[test]
fn versions() {
    let number = |macos: &str| xnu::from_macos(macos).map(|kernel| kernel.version.to_string());
    let is = |macos: &str, tag: &str| assert_eq!(number(macos).as_deref(), Some(tag), "{macos}");
    is("10.11", "3247.1.106");
    is("10.13.6", "4570.71.2");
    is("10.14.2", "4903.231.4");
    is("11", "7195.141.2");
    is("11.0.1", "7195.50.7.100.1");
    is("11.5", "7195.141.2");
    is("15", "11417.121.6");
    is("15.0", "11215.1.10");
    is("15.6", "11417.140.69");
    is("26", "12377.1.9");
    for (macos, below, above) in [
        ("10.14", "10.13.6", "10.14.1"),
        ("10.14.4", "10.14.3", "10.14.6"),
        ("10.14.5", "10.14.3", "10.14.6"),
        ("12.0", "11.5", "12.0.1"),
        ("11.5.1", "11.5", "12.0.1"),
    ] {
        let version = |macos| xnu::from_macos(macos).unwrap().version;
        assert!(version(below) < version(macos) && version(macos) < version(above), "{macos}");
        assert_eq!(xnu::macos_of(version(macos)), None);
    }
    for none in ["", "10.10", "9", "10", "16", "25.1", "10.14.x", "+15", "10.14.2.1", "linux"] {
        assert_eq!(number(none), None, "{none}");
    }
    let tag = xnu::from_tag("xnu-4903.231.4").unwrap();
    assert_eq!(xnu::macos_of(tag.version).unwrap().to_string(), "10.14.2");
    assert_eq!(xnu::from_tag("4903.231.4").unwrap().version, tag.version);
    assert_eq!(xnu::from_tag("xnu-2782.1.97"), None);
    assert!(xnu::versions::RELEASES.is_sorted());
    assert!(xnu::versions::RELEASES.is_sorted_by_key(|release| release.1));
}

fn known_lan(macos: &str) -> Host {
    let mut host = unknown_lan(macos);
    let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
    let address = |ip: &str, prefix| IfAddr {
        ip: ip.parse().unwrap(),
        prefix,
        broadcast: None,
        state: AddrState::Usable,
    };
    let addresses = LAN.iter().zip([24, 64]).map(|(ip, prefix)| address(ip, prefix)).collect();
    value.list.push(interface(4, "en0", addresses));
    value.complete = true;
    host
}

fn unknown_lan(macos: &str) -> Host {
    xnu::assumed_host(xnu::from_macos(macos).expect("a version"))
}

fn case(host: Host, protocol: Protocol, uid: u32, ip: &str, port: u16) -> Case {
    let ip: IpAddr = ip.parse().unwrap();
    let socket = Socket::new(SocketId::ASKING, Family::of(ip), protocol, uid);
    let request = Request { call: Call::Bind(SockAddr::new(ip, port, 0)), socket };
    Case { host, subject: Subject::plain(uid, "assumed"), request }
}

fn answer(case: &Case) -> String {
    let possible = decide(case).possible;
    possible.iter().map(|outcome| outcome.name()).collect::<Vec<_>>().join("|")
}
