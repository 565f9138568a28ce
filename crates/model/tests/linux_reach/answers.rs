//! What the host sends back, and whether the client takes notice of it.

use std::net::IpAddr;

use portwise_model::{
    Errno, Protocol, ReachOutcome, Stopper,
    linux::{
        netfilter::{ChainKind, Cmp, Expr, Header, Hook, Meta, RejectWith, Target},
        route::{Address, PolicyRule, RouteType},
    },
};

use super::world::*;

/// `ip saddr NET/LEN`.
fn from_net(net: &str, mask: [u8; 4]) -> Vec<Expr> {
    let IpAddr::V4(net) = ip(net) else { unreachable!() };
    vec![
        Expr::Payload { base: Header::Network, offset: 12, len: 4, dreg: 0 },
        Expr::Bitwise { sreg: 0, dreg: 0, mask: mask.to_vec(), xor: vec![0; 4] },
        Expr::Cmp { op: Cmp::Eq, sreg: 0, data: net.octets().to_vec() },
    ]
}

#[test]
fn errors_have_a_precedence_and_a_source_of_their_own() {
    // `ip dscp 0`: the type of service without its last two bits.
    let plain = vec![
        Expr::Payload { base: Header::Network, offset: 1, len: 1, dreg: 0 },
        Expr::Bitwise { sreg: 0, dreg: 0, mask: vec![0xfc], xor: vec![0] },
        Expr::Cmp { op: Cmp::Eq, sreg: 0, data: vec![0] },
    ];
    let mut world = World::new();
    world.chain("out", Some((Hook::Output, true)), vec![with(plain, drop_it())]);
    let found = world.ask("198.51.100.7", ETH0, "192.0.2.10:53", Protocol::Udp);
    assert_eq!(
        found.errno(),
        Some(Errno::ECONNREFUSED),
        "an error passes a rule for plain packets"
    );
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Silent, "a reset does not");

    // The error about a packet that was to leave is of the sender, not of whom it was for.
    let mut world = World::new();
    let refuse = vec![Expr::Reject(RejectWith::Icmp(1))];
    let tcp = vec![
        Expr::Meta { key: Meta::L4Proto, dreg: 0 },
        Expr::Cmp { op: Cmp::Eq, sreg: 0, data: vec![6] },
    ];
    world.chain("out", Some((Hook::Output, true)), vec![with(tcp, refuse[0].clone())]);
    let far = with(from_net("10.0.0.0", [255, 255, 255, 0]), drop_it());
    world.chain("in", Some((Hook::Input, true)), vec![far]);
    let found = world.ask("192.0.2.10", LO, "10.0.0.2:123", Protocol::Tcp);
    assert_eq!(found.errno(), Some(Errno::EHOSTUNREACH), "{found:?}");

    // One about a packet that a rule had routed to this host would be of an address that is not.
    let mut world = World::new();
    world.network.rules4.insert(0, PolicyRule { mark: Some((9, !0)), ..PolicyRule::table(0, 900) });
    world.network.routes.add(900, route(RouteType::Local, "0.0.0.0/0", LO, None));
    let mark = vec![Expr::Immediate { dreg: 0, data: 9u32.to_ne_bytes().into() }];
    world.chain(
        "pre",
        Some((Hook::Prerouting, true)),
        vec![with(mark, Expr::MetaSet { key: Meta::Mark, sreg: 0 })],
    );
    world.chain("in", Some((Hook::Input, true)), vec![refuse]);
    assert_eq!(world.tcp("10.0.0.2:22").outcome, ReachOutcome::Silent);
    let found = world.tcp("192.0.2.10:22");
    assert_eq!(found.errno(), Some(Errno::EHOSTUNREACH), "{found:?}");
}

#[test]
fn an_answer_that_is_not_rewritten_back_is_not_recognised() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:8080");
    let redirect = Target::Redirect { port: Some((8080, 8080)) };
    world.nat(Hook::Prerouting, vec![with(port(80), Expr::Target(Box::new(redirect)))]);
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
    let raw = vec![Expr::Target(Box::new(Target::Ct { notrack: true, zone: None }))];
    let raw = world.chain("raw", Some((Hook::Output, true)), vec![raw]);
    world.rules.chains[raw].base.as_mut().unwrap().priority = -300;
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(
        (found.outcome, world.stopper(&found).as_str()),
        (ReachOutcome::Silent, "kernel conntrack")
    );
    assert_eq!(world.tcp("192.0.2.10:8080").outcome, ReachOutcome::Accepted);
}

#[test]
fn what_refuses_later_packets_ends_a_connection_that_was_accepted() {
    for (with_what, errno) in
        [(RejectWith::Reset, Errno::ECONNRESET), (RejectWith::Icmp(1), Errno::EHOSTUNREACH)]
    {
        let mut world = World::new();
        world.socket(1, Protocol::Tcp, "0.0.0.0:80");
        // New ones pass, what follows does not.
        let refuse = vec![Expr::Reject(with_what)];
        world.chain("in", Some((Hook::Input, true)), vec![with(state(8), accept()), refuse]);
        let found = world.tcp("192.0.2.10:80");
        assert_eq!((found.outcome, found.errno()), (ReachOutcome::Refused, Some(errno)));
        assert_eq!(world.stopper(&found), "inet t in handle 2");
    }
}

#[test]
fn a_reset_to_the_ipv6_loopback_address_comes_if_rules_route_it_again() {
    let mut world = World::new();
    world.network.rules6 = vec![PolicyRule::table(0, 255), PolicyRule::table(32766, 254)];
    for (own, dev) in [("::1/128", LO), ("2001:db8::10/128", ETH0)] {
        let (address, _) = own.split_once('/').unwrap();
        world.network.addresses.push(Address { ip: ip(address), prefix: 128, device: dev });
        world.network.routes.add(255, route(RouteType::Local, own, dev, None));
    }
    world.network.routes.add(254, route(RouteType::Unicast, "::/0", ETH0, Some("2001:db8::1")));
    let ask = |world: &World| world.ask("::1", LO, "[2001:db8::10]:80", Protocol::Tcp);
    // It is sent by the device of the address that was asked, where ::1 is not.
    let found = ask(&world);
    assert_eq!(found.outcome, ReachOutcome::Silent);
    assert_eq!(found.stopper(), Some(&Stopper::Kernel("route")), "{found:?}");
    let mark = vec![Expr::Immediate { dreg: 0, data: 5u32.to_ne_bytes().into() }];
    let mark = with(mark, Expr::MetaSet { key: Meta::Mark, sreg: 0 });
    let out = world.chain("out", Some((Hook::Output, true)), vec![mark]);
    assert_eq!(ask(&world).outcome, ReachOutcome::Silent, "chains of type filter do not");
    world.rules.chains[out].base.as_mut().unwrap().kind = ChainKind::Route;
    assert_eq!(ask(&world).errno(), Some(Errno::ECONNREFUSED));
}

/// A tunnel takes all that leaves, as that of wg-quick does.
fn tunnelled() -> World {
    let mut world = World::new();
    world.network.rules4.insert(1, PolicyRule::table(100, 51820));
    world.network.routes.add(51820, route(RouteType::Unicast, "0.0.0.0/0", ETH1, None));
    world
}

#[test]
fn an_answer_has_to_leave_by_the_device_that_the_client_is_behind() {
    let mut world = tunnelled();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80").socket(2, Protocol::Udp, "0.0.0.0:53");
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(found.outcome, ReachOutcome::Silent);
    assert_eq!(found.stopper(), Some(&Stopper::Kernel("route")), "{found:?}");
    assert_eq!(world.tcp("192.0.2.10:81").outcome, ReachOutcome::Silent, "so has a reset");
    let found = world.ask("198.51.100.7", ETH0, "192.0.2.10:53", Protocol::Udp);
    assert_eq!(found.outcome, ReachOutcome::Accepted, "the datagram came");
    // A route for the client's own network may lead to it by another way.
    world.network.routes.add(51820, route(RouteType::Unicast, "198.51.100.0/24", ETH1, None));
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
    let mut world = tunnelled();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    // Two devices in one network, such as a cable and a radio, answer for each other.
    world.network.addresses.push(Address { ip: ip("192.0.2.11"), prefix: 24, device: ETH1 });
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
}

#[test]
fn a_local_sender_is_told_at_once_what_the_hook_output_refuses() {
    let mut world = World::new();
    let refuse = Expr::Reject(RejectWith::Icmp(3));
    world.chain("out", Some((Hook::Output, true)), vec![with(port(53), refuse)]);
    let found = world.ask("192.0.2.10", LO, "10.0.0.2:53", Protocol::Udp);
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::Silent, Some(Errno::EPERM)));
    assert!(matches!(found.stopper(), Some(Stopper::Rule(_))), "{found:?}");
}
