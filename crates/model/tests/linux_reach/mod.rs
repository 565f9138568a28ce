//! Packets through a small host: routing, rules, sockets, and the way back.

mod answers;
mod later;
mod recorded;
mod sources;
mod world;

use std::net::IpAddr;

use portwise_model::{
    Errno, Protocol, Reach, ReachOutcome, SocketId, Stopper,
    linux::{
        netfilter::{
            Data, Element, Expr, Header, Hook, Match, Meta, NatKind, NatRange, RejectWith, Set,
            Target, Verdict,
        },
        route::{Action, Device, PolicyRule, RouteType},
    },
};
use world::*;

#[test]
fn without_rules_a_listener_accepts_and_a_closed_port_refuses() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80").socket(2, Protocol::Udp, "192.0.2.10:53");
    let found = world.tcp("192.0.2.10:80");
    assert_eq!((found.outcome, found.sockets()), (ReachOutcome::Accepted, vec![SocketId(1)]));
    // Any address of the host is served on any interface.
    assert_eq!(world.tcp("10.0.0.1:80").outcome, ReachOutcome::Accepted);
    let found = world.tcp("192.0.2.10:81");
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::Refused, Some(Errno::ECONNREFUSED)));
    assert_eq!(world.stopper(&found), "kernel no-listener");
    let udp = |to| world.ask("198.51.100.7", ETH0, to, Protocol::Udp).outcome;
    assert_eq!(udp("192.0.2.10:53"), ReachOutcome::Accepted);
    assert_eq!(udp("10.0.0.1:53"), ReachOutcome::Refused);
}

#[test]
fn martians_and_packets_for_others() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "127.0.0.1:80");
    let silent = |found: &Reach, why: &str| {
        assert_eq!((found.outcome, world.stopper(found).as_str()), (ReachOutcome::Silent, why));
    };
    silent(&world.tcp("127.0.0.1:80"), "kernel martian");
    silent(&world.ask("10.0.0.1", ETH0, "192.0.2.10:80", Protocol::Tcp), "kernel martian");
    assert_eq!(world.tcp("10.0.0.9:80").outcome, ReachOutcome::Forwarded);
    let mut world = World::new();
    world.network.devices[1].forwarding = false;
    assert_eq!(world.tcp("10.0.0.9:80").outcome, ReachOutcome::NoRoute);
}

#[test]
fn the_reverse_path_filter() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.network.switches.rp_filter = 1;
    // An address of the other network.
    let found = world.ask("10.0.0.9", ETH0, "192.0.2.10:80", Protocol::Tcp);
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "kernel rp_filter")
    );
    world.network.switches.rp_filter = 2;
    let found = world.ask("10.0.0.9", ETH0, "192.0.2.10:80", Protocol::Tcp);
    assert_eq!(found.outcome, ReachOutcome::Accepted);
}

#[test]
fn policy_rules_stop_and_the_way_back_counts() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80").socket(2, Protocol::Udp, "0.0.0.0:53");
    let net = (ip("198.51.100.0"), 24);
    let to = PolicyRule {
        dst: Some(net),
        action: Action::Stop(RouteType::Blackhole),
        ..PolicyRule::table(100, 0)
    };
    world.network.rules4.insert(1, to);
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "kernel route")
    );
    // A datagram arrives; only its answer is lost.
    let found = world.ask("198.51.100.7", ETH0, "192.0.2.10:53", Protocol::Udp);
    assert_eq!(found.outcome, ReachOutcome::Accepted);
    let found = world.ask("192.0.2.10", LO, "198.51.100.7:80", Protocol::Tcp);
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::NoRoute, Some(Errno::EINVAL)));
}

#[test]
fn policies_rules_and_refusals_are_named() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80").socket(2, Protocol::Tcp, "0.0.0.0:22");
    world.chain(
        "in",
        Some((Hook::Input, false)),
        vec![
            with(state(2 | 4), accept()),
            with(port(80), accept()),
            with(port(23), Expr::Reject(RejectWith::Icmpx(3))),
            with(port(24), Expr::Reject(RejectWith::Reset)),
        ],
    );
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
    let found = world.tcp("192.0.2.10:22");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "inet t in policy")
    );
    let found = world.tcp("192.0.2.10:23");
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::Refused, Some(Errno::EHOSTUNREACH)));
    assert_eq!(world.stopper(&found), "inet t in handle 3");
    assert_eq!(world.tcp("192.0.2.10:24").errno(), Some(Errno::ECONNREFUSED));
    // UDP gets no reset.
    let found = world.ask("198.51.100.7", ETH0, "192.0.2.10:24", Protocol::Udp);
    assert_eq!(found.outcome, ReachOutcome::Silent);
}

#[test]
fn without_a_rule_for_what_is_established_the_handshake_does_not_end() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.chain(
        "in",
        Some((Hook::Input, false)),
        vec![with([state(8), port(80)].concat(), accept())],
    );
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "inet t in policy")
    );
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.chain("out", Some((Hook::Output, false)), Vec::new());
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "inet t out policy")
    );
}

#[test]
fn chains_return_jumps_end_and_circles_are_noticed() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    let called = world.chain(
        "called",
        None,
        vec![with(port(80), Expr::Verdict(Verdict::Return)), vec![drop_it()]],
    );
    world.chain(
        "in",
        Some((Hook::Input, true)),
        vec![vec![Expr::Verdict(Verdict::Jump(called))], with(port(22), drop_it())],
    );
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
    let found = world.tcp("192.0.2.10:22");
    assert_eq!(world.stopper(&found), "inet t called handle 2");
    // The kernel accepts no circle, a recorded ruleset may have one.
    world.rules.chains[called].rules[0].exprs = vec![Expr::Verdict(Verdict::Goto(called))];
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Unknown);
    world.rules.chains[called].rules[0].exprs = vec![Expr::Verdict(Verdict::Jump(usize::MAX))];
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Unknown);
}

#[test]
fn what_chance_decides_is_open_only_if_it_makes_a_difference() {
    let depends = || Expr::Depends { why: "a rate limit".into() };
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.chain(
        "in",
        Some((Hook::Input, true)),
        vec![
            vec![depends(), Expr::Nothing],
            with(vec![depends()], Expr::Verdict(Verdict::Accept)),
            with([port(22), vec![depends()]].concat(), drop_it()),
        ],
    );
    let found = world.tcp("192.0.2.10:80");
    assert_eq!((found.outcome, found.doubts.len()), (ReachOutcome::Accepted, 0));
    world.rules.chains[0].rules.remove(1);
    let found = world.tcp("192.0.2.10:22");
    assert_eq!(
        (found.outcome, found.doubts[0].why.as_ref()),
        (ReachOutcome::Unknown, "a rate limit")
    );
}

#[test]
fn what_is_not_understood_is_never_passed_over() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.chain("in", Some((Hook::Input, true)), vec![with(port(80), Expr::Unknown("new".into()))]);
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Unknown, "inet t in handle 1")
    );
    // Where the rule does not apply it does not matter.
    assert_eq!(world.tcp("192.0.2.10:81").outcome, ReachOutcome::Refused);
}

#[test]
fn sets_verdict_maps_and_ranges() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80").socket(2, Protocol::Tcp, "0.0.0.0:90");
    let range = |low: u16, high: u16, verdict| Element {
        key: low.to_be_bytes().to_vec(),
        end: Some(high.to_be_bytes().to_vec()),
        data: Some(Data::Verdict(verdict)),
        depends: "".into(),
    };
    let mut set = Set { name: "__map0".into(), key_len: 2, ..Set::default() };
    set.elements = vec![range(85, 95, Verdict::Drop), range(80, 84, Verdict::Accept)];
    set.sort();
    world.rules.sets.push(set);
    let look = vec![
        Expr::Payload { base: Header::Transport, offset: 2, len: 2, dreg: 0 },
        Expr::Lookup { set: 0, sreg: 0, negated: false, dreg: None, verdicts: true },
    ];
    world.chain("in", Some((Hook::Input, true)), vec![look]);
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
    assert_eq!(world.tcp("192.0.2.10:90").outcome, ReachOutcome::Silent);
    assert_eq!(world.tcp("192.0.2.10:96").outcome, ReachOutcome::Refused);
}

#[test]
fn destinations_are_rewritten_once_and_answers_find_back() {
    let to = |addr: &str, port| {
        let range = NatRange { addr: Some((ip(addr), ip(addr))), port: Some((port, port)) };
        Expr::Target(Box::new(Target::Nat { kind: NatKind::Dnat, range }))
    };
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:8080");
    world.nat(
        Hook::Prerouting,
        vec![with(port(80), to("192.0.2.10", 8080)), with(port(81), to("10.0.0.9", 80))],
    );
    let found = world.tcp("192.0.2.10:80");
    assert_eq!((found.outcome, found.sockets()), (ReachOutcome::Accepted, vec![SocketId(1)]));
    assert_eq!(found.first().unwrap().rewritten, Some("192.0.2.10:8080".parse().unwrap()));
    let found = world.tcp("192.0.2.10:81");
    assert_eq!((found.outcome, found.first().unwrap().leaves_by), (ReachOutcome::Forwarded, ETH1));
    // Packets of this host do not pass that hook with a choice left.
    let found = world.ask("192.0.2.10", LO, "192.0.2.10:80", Protocol::Tcp);
    assert_eq!(found.outcome, ReachOutcome::Refused);
}

#[test]
fn the_owner_of_a_local_client_counts() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "127.0.0.1:80");
    let owner = Match::Owner { uid: Some((1000, 1000, false)), gid: None, exists: None };
    world.chain(
        "out",
        Some((Hook::Output, true)),
        vec![vec![Expr::Match(Box::new(owner)), drop_it()]],
    );
    let found = world.ask("127.0.0.1", LO, "127.0.0.1:80", Protocol::Tcp);
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::Silent, None));
    let found = world.ask("127.0.0.1", LO, "127.0.0.1:80", Protocol::Udp);
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::Silent, Some(Errno::EPERM)));
}

#[test]
fn a_changed_mark_changes_the_route() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    let mark = vec![
        Expr::Immediate { dreg: 0, data: 9u32.to_ne_bytes().into() },
        Expr::MetaSet { key: Meta::Mark, sreg: 0 },
    ];
    world.chain("pre", Some((Hook::Prerouting, true)), vec![[port(80), mark].concat()]);
    let marked = PolicyRule { mark: Some((9, u32::MAX)), ..PolicyRule::table(0, 100) };
    world.network.rules4.insert(0, marked);
    world.network.routes.add(100, route(RouteType::Prohibit, "0.0.0.0/0", 0, None));
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::NoRoute);
    assert_eq!(world.tcp("192.0.2.10:81").outcome, ReachOutcome::Refused);
}

#[test]
fn a_full_queue_is_silent() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.full.insert(SocketId(1));
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "kernel backlog")
    );
}

#[test]
fn a_program_that_cannot_be_read_may_do_anything() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    world.network.devices[1].opaque.push("an XDP program".into());
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Unknown);
    let found = world.ask("10.0.0.9", ETH1, "10.0.0.1:80", Protocol::Tcp);
    assert_eq!(found.outcome, ReachOutcome::Accepted);
}

#[test]
fn a_loopback_device_that_is_down_takes_nothing() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80").socket(2, Protocol::Udp, "0.0.0.0:53");
    world.network.devices[0].up = false;
    for (to, protocol) in [("127.0.0.1:80", Protocol::Tcp), ("192.0.2.10:53", Protocol::Udp)] {
        let found = world.ask("192.0.2.10", LO, to, protocol);
        assert_eq!(found.outcome, ReachOutcome::Silent, "{to}: {found:?}");
        assert_eq!(found.stopper(), Some(&Stopper::Kernel("device-down")));
        assert_eq!(found.errno(), None, "nobody is told");
    }
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted, "others use theirs");
}

#[test]
fn a_bridge_sends_nothing_back_to_the_port_it_came_by() {
    const PORT: u32 = 4;
    const OTHER: u32 = 5;
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    let mut world = World::new();
    world.network.devices[2].kind = "bridge".into();
    for (index, name) in [(PORT, "p1"), (OTHER, "p2")] {
        world.network.devices.push(Device { master: ETH1, ..device(index, name) });
    }
    world.network.neighbours = vec![(ip("10.0.0.2"), ETH1, MAC), (ip("10.0.0.3"), ETH1, PEER)];
    world.network.ports = [(MAC, PORT), (PEER, OTHER)].into();
    let to = |last: u8| {
        let addr = Some((IpAddr::from([10, 0, 0, last]), IpAddr::from([10, 0, 0, last])));
        let range = NatRange { addr, port: None };
        Expr::Target(Box::new(Target::Nat { kind: NatKind::Dnat, range }))
    };
    world.nat(Hook::Prerouting, vec![with(port(80), to(2)), with(port(81), to(3))]);
    let ask = |world: &World, to: &str| world.ask("10.0.0.2", ETH1, to, Protocol::Tcp).outcome;
    assert_eq!(ask(&world, "10.0.0.1:80"), ReachOutcome::Forwarded, "routed, it may go back");
    world.network.switches.bridge_calls_ip = true;
    assert_eq!(ask(&world, "10.0.0.1:80"), ReachOutcome::Silent, "passed on by the bridge");
    assert_eq!(ask(&world, "10.0.0.1:81"), ReachOutcome::Forwarded, "to another port");
    world.network.devices[3].hairpin = true;
    assert_eq!(ask(&world, "10.0.0.1:80"), ReachOutcome::Forwarded);
}
