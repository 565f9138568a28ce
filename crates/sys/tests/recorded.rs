//! Reads answers of a kernel (6.18, little-endian) kept in `data`, whole and damaged.
#![cfg(all(target_os = "linux", target_endian = "little"))]

use std::net::IpAddr;

use portwise_sys::Errno;
use portwise_sys::netlink::{Malformed, Message, attributes, messages};
use portwise_sys::proc::{parse_cgroups, parse_socket_link, parse_stat, parse_status};
use portwise_sys::rtnetlink::{NextHop, Route, parse_address, parse_link, parse_route, parse_rule};
use portwise_sys::sockdiag::{DiagSocket, State, TCP, Timer, UDP, parse};
use proptest::prelude::*;

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("data/", $name, ".bin")).as_slice()
    };
}

const ALL: [&[u8]; 10] = [
    recorded!("sock_diag-tcp4"),
    recorded!("sock_diag-tcp6"),
    recorded!("sock_diag-udp4"),
    recorded!("sock_diag-udp6"),
    recorded!("rtnetlink-links"),
    recorded!("rtnetlink-addresses"),
    recorded!("rtnetlink-routes4"),
    recorded!("rtnetlink-routes6"),
    recorded!("rtnetlink-rules"),
    recorded!("rtnetlink-error"),
];

fn read<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Result<T, Malformed>) -> Vec<T> {
    let messages: Vec<Message<'_>> = messages(bytes).map(Result::unwrap).collect();
    let (last, rows) = messages.split_last().unwrap();
    assert!(last.is_last());
    assert_eq!(last.failure(), Ok(None));
    rows.iter().map(|message| parse(message.payload).unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn on_port(rows: &[DiagSocket], port: u16) -> &DiagSocket {
    rows.iter().find(|row| row.local.1 == port).unwrap()
}

#[test]
fn tcp_sockets() {
    let four = read(recorded!("sock_diag-tcp4"), |bytes| parse(TCP, bytes));
    let states: Vec<State> = four.iter().map(|row| row.state).collect();
    let count = |state| states.iter().filter(|found| **found == state).count();
    assert_eq!((count(State::LISTEN), count(State::CLOSE)), (3, 1));
    assert_eq!((count(State::ESTABLISHED), count(State::TIME_WAIT)), (2, 1));
    let freebind = on_port(&four, 8081);
    assert_eq!((freebind.local.0, freebind.interface), (ip("203.0.113.9"), 1));
    assert!(freebind.options.unwrap().freebind);
    assert!(!on_port(&four, 8082).options.unwrap().freebind);
    assert_eq!((on_port(&four, 8080).rqueue, on_port(&four, 8080).wqueue), (1, 5));
    let waiting = four.iter().find(|row| row.state == State::TIME_WAIT).unwrap();
    assert!(matches!(waiting.timer, Some((Timer::TimeWait, 50_000..=60_000))));
    assert_eq!((waiting.inode, waiting.v6only), (0, None));

    let six = read(recorded!("sock_diag-tcp6"), |bytes| parse(TCP, bytes));
    assert_eq!(six.len(), 3);
    assert_eq!((on_port(&six, 9090).v6only, on_port(&six, 9091).v6only), (Some(false), Some(true)));
    assert_eq!((on_port(&six, 9092).state, on_port(&six, 9092).local.0), (State::CLOSE, ip("::1")));
}

#[test]
fn udp_sockets() {
    let four = read(recorded!("sock_diag-udp4"), |bytes| parse(UDP, bytes));
    let locals: Vec<IpAddr> = four.iter().map(|row| row.local.0).collect();
    assert_eq!(locals, [ip("127.0.0.1"), ip("0.0.0.0")], "last bound first");
    let six = read(recorded!("sock_diag-udp6"), |bytes| parse(UDP, bytes));
    assert_eq!((six[0].state, six[0].remote), (State::ESTABLISHED, (ip("::1"), 9)));
}

#[test]
fn links() {
    let links = read(recorded!("rtnetlink-links"), parse_link);
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["lo", "veth-b", "veth-a"]);
    assert!(links[0].is_loopback() && links[0].is_up() && links[0].kind.is_none());
    assert_eq!((links[1].kind.as_deref(), links[1].mtu), (Some("veth"), Some(1500)));
    assert!(links[1].is_running() && links[1].is_lower_up() && !links[1].is_loopback());
}

#[test]
fn addresses() {
    let rows = read(recorded!("rtnetlink-addresses"), parse_address);
    let find = |text| rows.iter().find(|row| row.local == ip(text)).unwrap();
    assert_eq!(find("192.0.2.1").broadcast, Some(ip("192.0.2.255")));
    assert_eq!((find("192.0.2.1").peer, find("192.0.2.1").prefix), (None, 24));
    assert_eq!(find("198.51.100.1").peer, Some(ip("198.51.100.2")));
    assert_eq!(find("2001:db8::1").flags, 0x82, "permanent, no duplicate address detection");
    assert_eq!(find("127.0.0.1").scope, portwise_sys::rtnetlink::Address::SCOPE_HOST);
}

#[test]
fn routes() {
    let four = read(recorded!("rtnetlink-routes4"), parse_route);
    let find = |kind, destination: Option<&str>| {
        let destination = destination.map(ip);
        four.iter().find(|row| row.kind == kind && row.destination == destination).unwrap()
    };
    assert_eq!(find(Route::UNICAST, None).gateway, Some(ip("192.0.2.254")));
    assert_eq!(find(Route::LOCAL, Some("10.9.0.0")).table, 100);
    assert_eq!(find(Route::BROADCAST, Some("192.0.2.255")).table, 255);
    assert_eq!(find(Route::UNREACHABLE, Some("203.0.114.0")).interface, None);
    let hops = &find(Route::UNICAST, Some("203.0.113.0")).next_hops;
    let gateways: Vec<_> = hops.iter().map(|hop: &NextHop| (hop.gateway, hop.weight)).collect();
    assert_eq!(gateways, [(Some(ip("192.0.2.253")), 2), (Some(ip("192.0.2.252")), 1)]);

    let six = read(recorded!("rtnetlink-routes6"), parse_route);
    let refuses = six.iter().find(|row| row.destination == Some(ip("2001:db8:1::"))).unwrap();
    assert_eq!((refuses.kind, refuses.prefix), (Route::UNREACHABLE, 48));
    let default = six.iter().find(|row| row.prefix == 0 && row.kind == Route::UNICAST).unwrap();
    assert_eq!((default.destination, default.gateway), (None, Some(ip("2001:db8::2"))));
}

#[test]
fn rules() {
    let rules = read(recorded!("rtnetlink-rules"), parse_rule);
    let initial: Vec<bool> = rules.iter().map(|rule| rule.is_initial()).collect();
    assert_eq!(initial, [true, false, false, true, true]);
    assert_eq!(rules[1].source, Some((ip("10.0.0.0"), 8)));
    assert_eq!((rules[1].mark, rules[1].input.as_deref()), (Some((0x10, 0xff)), Some("lo")));
    assert_eq!((rules[1].table, rules[1].priority), (100, 500));
    assert_eq!(rules[2].uids, Some((1000, 1999)));
    assert_eq!(rules[2].protocol, Some(6));
    assert!(rules[2].destination_ports.is_some() && rules[2].other_conditions.is_empty());
}

#[test]
fn a_refusal_with_the_kernels_explanation() {
    let message = messages(recorded!("rtnetlink-error")).next().unwrap().unwrap();
    let expected = (Errno::EOPNOTSUPP, "Unknown device type".to_owned());
    assert_eq!(message.failure(), Ok(Some(expected)));
}

#[test]
fn truncation_is_malformed_not_shorter() {
    for bytes in ALL {
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(messages(cut).last(), Some(Err(Malformed)));
    }
    assert_eq!(parse(TCP, &[2; 71]), Err(Malformed));
    let attribute = [5, 0, 1, 0, 9, 0, 0, 0, 3, 0, 2, 0];
    assert_eq!(attributes(&attribute).count(), 1, "the second is shorter than its header");
}

/// Gives bytes to every parser. None may panic, and each ends.
fn read_everything(bytes: &[u8]) {
    let read = |payload: &[u8]| {
        let _ = parse(TCP, payload);
        let _ = parse_link(payload);
        let _ = parse_address(payload);
        let _ = parse_route(payload);
        let _ = parse_rule(payload);
    };
    let mut count = 0;
    for message in messages(bytes) {
        count += 1;
        let Ok(message) = message else { continue };
        let _ = message.failure();
        read(message.payload);
    }
    assert!(count <= bytes.len() / 16 + 1);
    assert!(attributes(bytes).count() <= bytes.len() / 4);
    read(bytes);
    let _ = parse_status(bytes);
    let _ = parse_stat(bytes);
    let _ = parse_cgroups(bytes);
    let _ = parse_socket_link(bytes);
    let _ = portwise_sys::passwd::parse_passwd(bytes);
    let _ = portwise_sys::passwd::parse_group(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn damaged_answers_are_harmless(
        which in 0..ALL.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = ALL[which].to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(length.index(bytes.len() + 1));
        read_everything(&bytes);
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }
}
