//! Who gets a packet on Linux, case by case; what the running kernel said about most of them is in
//! `tests/data/linux-own.jsonl`.

use std::net::SocketAddr;

use portwise_model::{
    Call, Choice, FactKey, Family, Host, Machine, Membership, Outcome, Packet, Protocol, Receivers,
    SockAddr, SockOption, SocketId, Subject, Version, linux, lookup,
    scenario::{Scenario, host_of},
};

use crate::linux as common;

/// A fresh namespace with `lo` (1).
fn host(version: Version) -> Host {
    let setup = Scenario::default().setup;
    host_of(common::kernel(version), &setup).expect("a namespace").0
}

/// One socket: where it is bound, and its options.
struct Sock(&'static str, &'static [SockOption]);

const SHARE: SockOption = SockOption::ReusePort(true);
const REUSE: SockOption = SockOption::ReuseAddr(true);
const LO: SockOption = SockOption::BindToDevice(Some(1));
const V6: SockOption = SockOption::V6Only(true);

/// Binds the sockets one after the other, numbered from 0, and listens on those of TCP.
fn machine(protocol: Protocol, sockets: &[Sock]) -> Machine {
    let mut machine = Machine::new(host(Version::new(6, 18, 44)));
    for (n, Sock(at, options)) in sockets.iter().enumerate() {
        let id = SocketId(n as u64);
        let at: SocketAddr = at.parse().unwrap();
        machine.socket(id, Family::of(at.ip()), protocol, 0);
        let mut calls: Vec<Call> = options.iter().map(|o| Call::SetOption(*o)).collect();
        calls.push(Call::Bind(SockAddr::from(at)));
        if protocol == Protocol::Tcp {
            calls.push(Call::Listen(1));
        }
        for call in calls {
            let root = Subject::plain(0, "the test");
            let outcomes = machine.outcomes(&root, id, call, |_, _| {});
            assert_eq!(outcomes, [Outcome::Ok], "{at} {call:?}");
            machine.settle(id, call, Outcome::Ok, None);
        }
    }
    machine
}

fn packet(protocol: Protocol, dst: &str) -> Packet {
    let dst: SocketAddr = dst.parse().unwrap();
    let src = if dst.is_ipv4() { "127.0.0.1:50000" } else { "[::1]:50000" };
    Packet { protocol, src: src.parse().unwrap(), dst, device: 1, vrf: 0, broadcast: false }
}

fn asked(protocol: Protocol, sockets: &[Sock], dst: &str) -> (Receivers, &'static Choice) {
    let found =
        lookup(&machine(protocol, sockets).host, &packet(protocol, dst)).expect("all is known");
    (found.to, found.by)
}

fn one(n: u64) -> Receivers {
    Receivers::One(SocketId(n))
}

fn group(members: &[u64]) -> Receivers {
    Receivers::OneOf(members.iter().map(|n| SocketId(*n)).collect())
}

#[test]
fn tcp_chooses_by_address_then_score_then_age() {
    use linux::lookup::{NOBODY, SPECIFIC, WILDCARD};
    let any = "0.0.0.0:80";
    let lo = "127.0.0.1:80";
    let tcp = |sockets: &[Sock], dst| asked(Protocol::Tcp, sockets, dst);
    assert_eq!(tcp(&[Sock(any, &[])], lo), (one(0), &WILDCARD));
    assert_eq!(tcp(&[Sock(any, &[])], "[::1]:80"), (Receivers::Nobody, &NOBODY));
    assert_eq!(tcp(&[Sock("[::]:80", &[])], lo), (one(0), &WILDCARD));
    assert_eq!(tcp(&[Sock("[::]:80", &[V6])], lo), (Receivers::Nobody, &NOBODY));
    assert_eq!(tcp(&[Sock("[::ffff:127.0.0.1]:80", &[])], lo), (one(0), &SPECIFIC));
    assert_eq!(
        tcp(&[Sock("[::1]:80", &[]), Sock("[::]:80", &[LO])][..1], "[::1]:80"),
        (one(0), &SPECIFIC)
    );
    // The specific one wins whatever came later.
    let both = [Sock(lo, &[SHARE]), Sock(any, &[SHARE])];
    assert_eq!(tcp(&both, lo), (one(0), &SPECIFIC));
    assert_eq!(tcp(&both, "127.0.0.2:80"), (one(1), &WILDCARD));
    // IPv4 goes to the IPv4 socket, the older one included.
    let families = [Sock(any, &[SHARE]), Sock("[::]:80", &[SHARE])];
    assert_eq!(tcp(&families, lo), (one(0), &WILDCARD));
    assert_eq!(tcp(&families, "[::1]:80"), (one(1), &WILDCARD));
    // A group is chosen as soon as it is met, the newest first.
    assert_eq!(tcp(&[Sock(any, &[SHARE]), Sock(any, &[SHARE, LO])], lo), (one(1), &WILDCARD));
    assert_eq!(tcp(&[Sock(any, &[SHARE, LO]), Sock(any, &[SHARE])], lo), (one(1), &WILDCARD));
    let three = [Sock(any, &[SHARE]), Sock(any, &[SHARE]), Sock(any, &[SHARE])];
    assert_eq!(tcp(&three, lo), (group(&[2, 1, 0]), &WILDCARD));
}

#[test]
fn udp_without_groups_goes_by_score() {
    use linux::lookup::{SPECIFIC, WILDCARD};
    let any = "0.0.0.0:80";
    let lo = "127.0.0.1:80";
    let udp = |sockets: &[Sock], dst| asked(Protocol::Udp, sockets, dst);
    assert_eq!(udp(&[Sock(any, &[REUSE, LO]), Sock(any, &[REUSE])], lo), (one(0), &WILDCARD));
    assert_eq!(udp(&[Sock(any, &[SHARE, LO]), Sock(any, &[SHARE])], lo), (one(1), &WILDCARD));
    assert_eq!(udp(&[Sock(any, &[REUSE]), Sock(any, &[REUSE])], lo), (one(1), &WILDCARD));
    assert_eq!(udp(&[Sock(lo, &[REUSE]), Sock(any, &[REUSE])], lo), (one(0), &SPECIFIC));
    let six = [Sock("[::]:80", &[REUSE]), Sock("[::]:80", &[REUSE])];
    assert_eq!(udp(&six, "[::1]:80"), (one(1), &WILDCARD));
}

#[test]
fn udp_to_a_group_goes_to_everybody() {
    use linux::lookup::EVERYBODY;
    let any = "0.0.0.0:80";
    let sockets =
        [Sock(any, &[REUSE]), Sock("224.0.0.251:80", &[REUSE]), Sock("127.0.0.1:80", &[REUSE])];
    let all = Receivers::All(vec![SocketId(1), SocketId(0)]);
    assert_eq!(asked(Protocol::Udp, &sockets, "224.0.0.251:80"), (all, &EVERYBODY));
    let mut to_all = packet(Protocol::Udp, "127.255.255.255:80");
    to_all.broadcast = true;
    let found = lookup(&machine(Protocol::Udp, &sockets).host, &to_all).expect("all is known");
    assert_eq!(found.to, Receivers::All(vec![SocketId(0)]));
}

#[test]
fn what_was_only_observed_is_asked_for_where_it_matters() {
    let any = "0.0.0.0:80";
    let mut machine = machine(Protocol::Tcp, &[Sock(any, &[SHARE]), Sock(any, &[SHARE])]);
    for id in [SocketId(0), SocketId(1)] {
        let socket = machine.host.sockets.get_mut(80, id).unwrap();
        (socket.group, socket.options.reuseport) = (Membership::Unseen, None);
    }
    let lo = packet(Protocol::Tcp, "127.0.0.1:80");
    let missing = lookup(&machine.host, &lo).expect_err("the options are not known");
    assert_eq!(missing.key, FactKey::SocketOptions(SocketId(1)));
    for id in [SocketId(0), SocketId(1)] {
        machine.host.sockets.get_mut(80, id).unwrap().options.reuseport = Some(true);
    }
    assert_eq!(lookup(&machine.host, &lo).unwrap().to, group(&[1, 0]));
    // One socket gets it, whatever its options are.
    machine.host.sockets.remove(80, SocketId(0));
    machine.host.sockets.get_mut(80, SocketId(1)).unwrap().options.reuseport = None;
    assert_eq!(lookup(&machine.host, &lo).unwrap().to, one(1));
}

#[test]
fn a_program_that_steers_and_a_kernel_not_read_leave_it_open() {
    let mut machine = machine(Protocol::Tcp, &[Sock("0.0.0.0:80", &[])]);
    let lo = packet(Protocol::Tcp, "127.0.0.1:80");
    machine.host.policies =
        portwise_model::Fact::known(vec![linux::lookup::SK_LOOKUP.into()], "given");
    let missing = lookup(&machine.host, &lo).expect_err("the program decides");
    assert!(matches!(missing.key, FactKey::Policy(_)));
    assert!(lookup(&host(Version::new(4, 19, 0)), &lo).is_err());
}
