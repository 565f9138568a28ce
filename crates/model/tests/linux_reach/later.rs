//! What follows the first packet takes a way of its own: past the rules, through routing, to the
//! connection that it belongs to.

use portwise_model::{
    Errno, Protocol, ReachOutcome, SocketId,
    linux::{
        netfilter::{
            ChainKind, Cmp, Ct, Expr, Header, Hook, Match, Meta, RejectWith, SocketKey, Target,
        },
        route::{PolicyRule, RouteType},
    },
};

use super::world::*;

const PROXY: u16 = 50080;
const AWAY: &str = "10.0.0.9:80";

/// Packets with the mark 9 are for this host, wherever they go.
fn proxied() -> World {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:50080");
    let mut proxy = *world.host.sockets.get(SocketId(1)).unwrap();
    proxy.options.transparent = true;
    world.host.sockets.remove(PROXY, SocketId(1));
    world.host.sockets.push_back(proxy);
    world.network.rules4.insert(0, PolicyRule { mark: Some((9, !0)), ..PolicyRule::table(0, 900) });
    world.network.routes.add(900, route(RouteType::Local, "0.0.0.0/0", LO, None));
    world
}

/// `tcp flags & syn != 0`.
fn syn() -> Vec<Expr> {
    vec![
        Expr::Payload { base: Header::Transport, offset: 13, len: 1, dreg: 0 },
        Expr::Bitwise { sreg: 0, dreg: 0, mask: vec![2], xor: vec![0] },
        Expr::Cmp { op: Cmp::Ne, sreg: 0, data: vec![0] },
    ]
}

/// `tproxy to :50080 meta mark set MARK accept`.
fn tproxy(mark: u32) -> Vec<Expr> {
    vec![
        Expr::Immediate { dreg: 0, data: PROXY.to_be_bytes().into() },
        Expr::Tproxy { family_v6: Some(false), addr: None, port: Some(0) },
        Expr::Immediate { dreg: 0, data: mark.to_ne_bytes().into() },
        Expr::MetaSet { key: Meta::Mark, sreg: 0 },
        accept(),
    ]
}

/// `socket KEY VALUE meta mark set 9 accept`.
fn of_socket(key: SocketKey, value: u8) -> Vec<Expr> {
    vec![
        Expr::Socket { key, dreg: 0 },
        Expr::Cmp { op: Cmp::Eq, sreg: 0, data: vec![value] },
        Expr::Immediate { dreg: 0, data: 9u32.to_ne_bytes().into() },
        Expr::MetaSet { key: Meta::Mark, sreg: 0 },
        accept(),
    ]
}

fn mangle(world: &mut World, rules: Vec<Vec<Expr>>) {
    let chain = world.chain("pre", Some((Hook::Prerouting, true)), rules);
    world.rules.chains[chain].base.as_mut().unwrap().priority = -150;
}

#[test]
fn a_proxy_that_gets_only_the_first_packet_gets_no_connection() {
    let mut world = proxied();
    mangle(&mut world, vec![tproxy(9)]);
    let found = world.tcp(AWAY);
    assert_eq!((found.outcome, found.sockets()), (ReachOutcome::Accepted, vec![SocketId(1)]));

    let mut world = proxied();
    mangle(&mut world, vec![[syn(), tproxy(9)].concat()]);
    let found = world.tcp(AWAY);
    assert_eq!(found.outcome, ReachOutcome::Silent, "{found:?}");
    assert_eq!(world.stopper(&found), "kernel forward");
    assert_eq!(world.tcp("192.0.2.10:81").outcome, ReachOutcome::Accepted, "an own address");

    // The same on a host that does not forward.
    for device in &mut world.network.devices {
        device.forwarding = false;
    }
    assert_eq!(world.tcp(AWAY).outcome, ReachOutcome::NoRoute);

    // What follows may have a mark of its own, with which it goes nowhere.
    let mut world = proxied();
    let prohibit = PolicyRule {
        mark: Some((7, !0)),
        action: portwise_model::linux::route::Action::Stop(RouteType::Prohibit),
        ..PolicyRule::table(1, 0)
    };
    world.network.rules4.insert(0, prohibit);
    mangle(&mut world, vec![[syn(), tproxy(9)].concat(), tproxy(7)]);
    let found = world.tcp(AWAY);
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::NoRoute, Some(Errno::EHOSTUNREACH)));
}

#[test]
fn rules_find_the_handshake_that_is_under_way() {
    let socket = |transparent| {
        let (nowildcard, restore_mark) = (false, false);
        Expr::Match(Box::new(Match::Socket { transparent, nowildcard, restore_mark }))
    };
    let mark = Expr::Target(Box::new(Target::Mark { clear: !0, set: 9 }));
    let first = || [syn(), tproxy(9)].concat();
    for (rule, outcome) in [
        (of_socket(SocketKey::Transparent, 1), ReachOutcome::Accepted),
        (of_socket(SocketKey::Transparent, 0), ReachOutcome::Silent),
        // No whole socket yet: it has no address to be a wildcard, and no mark.
        (of_socket(SocketKey::Wildcard, 0), ReachOutcome::Silent),
        (of_socket(SocketKey::Wildcard, 1), ReachOutcome::Silent),
        (vec![socket(true), mark.clone()], ReachOutcome::Accepted),
        (vec![socket(false), mark], ReachOutcome::Accepted),
    ] {
        let mut world = proxied();
        mangle(&mut world, vec![first(), rule.clone()]);
        assert_eq!(world.tcp(AWAY).outcome, outcome, "{rule:?}");
    }
}

#[test]
fn rules_see_the_proxy_that_a_packet_was_given_to() {
    for (transparent, outcome) in [(1, ReachOutcome::Refused), (0, ReachOutcome::Accepted)] {
        let mut world = proxied();
        // Which would get it otherwise, and is not transparent.
        world.socket(2, Protocol::Tcp, "0.0.0.0:80");
        mangle(&mut world, vec![tproxy(9)]);
        let reject = vec![
            Expr::Socket { key: SocketKey::Transparent, dreg: 0 },
            Expr::Cmp { op: Cmp::Eq, sreg: 0, data: vec![transparent] },
            Expr::Reject(RejectWith::Reset),
        ];
        world.chain("in", Some((Hook::Input, true)), vec![reject]);
        assert_eq!(world.tcp("192.0.2.10:80").outcome, outcome, "socket transparent {transparent}");
    }
}

#[test]
fn what_follows_with_other_addresses_is_reset() {
    let redirect = Expr::Target(Box::new(Target::Redirect { port: Some((8080, 8080)) }));
    // The proxy has the first packet with the addresses it was rewritten to; what follows is given
    // to a socket before it is.
    let mut world = proxied();
    mangle(&mut world, vec![tproxy(9)]);
    world.nat(Hook::Prerouting, vec![with(port(80), redirect.clone())]);
    let pre = world.rules.chains.len() - 1;
    world.rules.chains[pre].base.as_mut().unwrap().priority = -100;
    let found = world.tcp(AWAY);
    assert_eq!((found.outcome, found.errno()), (ReachOutcome::Refused, Some(Errno::ECONNRESET)));
    assert_eq!(world.stopper(&found), "kernel no-listener");

    // Of what follows, connection tracking is told nothing, so that it is not rewritten.
    let not_syn = vec![
        syn()[0].clone(),
        syn()[1].clone(),
        Expr::Cmp { op: Cmp::Eq, sreg: 0, data: vec![0] },
        Expr::Target(Box::new(Target::Ct { notrack: true, zone: None })),
    ];
    for (to, outcome) in [("192.0.2.10:80", ReachOutcome::Refused), (AWAY, ReachOutcome::Unknown)] {
        let mut world = World::new();
        world.socket(1, Protocol::Tcp, "0.0.0.0:8080");
        world.nat(Hook::Prerouting, vec![with(port(80), redirect.clone())]);
        assert_eq!(world.tcp(to).outcome, ReachOutcome::Accepted);
        let raw = world.chain("raw", Some((Hook::Prerouting, true)), vec![not_syn.clone()]);
        world.rules.chains[raw].base.as_mut().unwrap().priority = -300;
        let found = world.tcp(to);
        assert_eq!(found.outcome, outcome, "{found:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_routed_again_meets_no_further_rule() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    let prohibit = PolicyRule {
        mark: Some((7, !0)),
        action: portwise_model::linux::route::Action::Stop(RouteType::Prohibit),
        ..PolicyRule::table(1, 0)
    };
    world.network.rules4.insert(0, prohibit);
    let mark = vec![
        Expr::Immediate { dreg: 0, data: 7u32.to_ne_bytes().into() },
        Expr::MetaSet { key: Meta::Mark, sreg: 0 },
    ];
    let out = world.chain("mark", Some((Hook::Output, true)), vec![mark]);
    let base = world.rules.chains[out].base.as_mut().unwrap();
    (base.priority, base.kind) = (-150, ChainKind::Route);
    world.chain("out", Some((Hook::Output, true)), vec![vec![drop_it()]]);
    for to in ["192.0.2.10:80", "192.0.2.10:81"] {
        let found = world.tcp(to);
        assert_eq!(found.outcome, ReachOutcome::Silent, "{found:?}");
        assert_eq!(world.stopper(&found), "kernel route", "{to}");
    }
}

#[test]
fn a_mark_that_the_answer_left_on_the_connection_is_seen_afterwards() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    let set = vec![
        Expr::Immediate { dreg: 0, data: 5u32.to_ne_bytes().into() },
        Expr::CtSet { key: Ct::Mark, sreg: 0 },
    ];
    world.chain("out", Some((Hook::Output, true)), vec![set]);
    assert_eq!(world.tcp("192.0.2.10:80").outcome, ReachOutcome::Accepted);
    let seen = vec![
        Expr::Ct { key: Ct::Mark, dreg: 0, reply: None, len: 4 },
        Expr::Cmp { sreg: 0, op: Cmp::Eq, data: 5u32.to_ne_bytes().into() },
        drop_it(),
    ];
    world.chain("in", Some((Hook::Input, true)), vec![seen]);
    let found = world.tcp("192.0.2.10:80");
    assert_eq!(found.outcome, ReachOutcome::Silent, "{found:?}");
}

#[test]
fn what_comes_back_over_loopback_passes_its_ingress_hook() {
    let mut world = World::new();
    world.socket(1, Protocol::Tcp, "0.0.0.0:80");
    let from = |ip: [u8; 4]| {
        vec![
            Expr::Payload { base: Header::Network, offset: 12, len: 4, dreg: 0 },
            Expr::Cmp { sreg: 0, op: Cmp::Eq, data: ip.into() },
            drop_it(),
        ]
    };
    let ask = |world: &World| world.ask("192.0.2.10", LO, "10.0.0.1:80", Protocol::Tcp).outcome;
    assert_eq!(ask(&world), ReachOutcome::Accepted);
    let at = world.chain("lo", Some((Hook::Ingress, true)), vec![from([10, 0, 0, 1])]);
    let base = world.rules.chains[at].base.as_mut().unwrap();
    base.devices = vec!["lo".into()];
    assert_eq!(ask(&world), ReachOutcome::Silent);
}
