//! What is offered against each refusal, the smallest change first, and what it changes.

use portwise_model::{
    CAP_NET_BIND_SERVICE, Call, Case, Fact, FactKey, Missing,
    Protocol::{Tcp, Udp},
    Socket, SocketId, State, UserNs, decide,
    fix::{self, Proven},
};

use super::{addr, case, holder, known};

fn proven(case: &Case) -> Vec<Proven> {
    fix::fixes(case, &decide(case), |_, _| false)
}

/// The names of the fixes without the kernel's.
fn offered(case: &Case) -> String {
    let ids =
        proven(case).iter().map(|p| p.fix.id.trim_start_matches("linux.")).collect::<Vec<_>>();
    ids.join(" ")
}

/// The case as one fix leaves it.
fn fixed(case: &Case, id: &str) -> Case {
    let id = format!("linux.{id}");
    proven(case).into_iter().find(|p| p.fix.id == id).expect("it is offered").case
}

fn with(mut case: Case, change: impl FnOnce(&mut Case)) -> Case {
    change(&mut case);
    case
}

fn held(mut case: Case, ip: &str, change: impl FnOnce(&mut Socket)) -> Case {
    let mut socket = holder(case.request.socket.protocol, ip, addr(&mut case).port);
    change(&mut socket);
    case.host.sockets.push_front(socket);
    case
}

#[test]
fn nothing_is_offered_for_what_succeeds() {
    assert_eq!(offered(&case(Tcp, "127.0.0.1", 8080)), "");
}

#[test]
fn a_low_port() {
    let low = case(Tcp, "127.0.0.1", 80);
    assert_eq!(offered(&low), "another-port this-run this-program lower-limit");
    let limit = &fixed(&low, "lower-limit").host.sysctls["net.ipv4.ip_unprivileged_port_start"];
    assert_eq!(limit, &Fact::known(80, "the fix"));
    for id in ["this-run", "this-program"] {
        let capabilities = fixed(&low, id).subject.capabilities;
        assert!(capabilities.value().unwrap().has(CAP_NET_BIND_SERVICE), "{id}");
    }
    // The capability is of no use where it does not count, nor where it is not known to be missing.
    let foreign = with(low.clone(), |c| c.subject.userns = known(UserNs::Foreign));
    assert_eq!(offered(&foreign), "another-port lower-limit");
    let unknown = with(low, |c| c.subject.capabilities = Fact::not_asked(FactKey::Capabilities));
    assert_eq!(offered(&unknown), "another-port lower-limit");
}

/// A well-known port has a well-known stand-in, any other low port one above 8000, and what is
/// taken is passed over.
#[test]
fn another_port() {
    let other = |protocol, port, taken: &[u16]| {
        let asked = with(case(protocol, "127.0.0.1", port), |c| {
            let first = [port].into_iter().filter(|&port| port >= 1024);
            for port in first.chain(taken.iter().copied()) {
                c.host.sockets.push_front(holder(protocol, "0.0.0.0", port));
            }
        });
        let mut changed = proven(&asked).into_iter().filter(|p| p.fix.id == "linux.another-port");
        changed.next().map(|mut p| addr(&mut p.case).port)
    };
    assert_eq!(other(Tcp, 80, &[]), Some(8080));
    assert_eq!(other(Tcp, 443, &[]), Some(8443));
    assert_eq!(other(Udp, 53, &[]), Some(8053));
    assert_eq!(other(Tcp, 1, &[]), Some(8001));
    assert_eq!(other(Tcp, 1023, &[]), Some(9023));
    assert_eq!(other(Tcp, 1024, &[]), Some(1025));
    assert_eq!(other(Tcp, 8080, &[]), Some(8081));
    assert_eq!(other(Tcp, 80, &[8080, 8081]), Some(8082));
    assert_eq!(other(Tcp, 65534, &[]), Some(65535));
    assert_eq!(other(Tcp, 65535, &[]), None);
    let crowd: Vec<u16> = (8080..8099).collect();
    assert_eq!(other(Tcp, 80, &crowd), Some(8099));
    assert_eq!(other(Tcp, 80, &[crowd, vec![8099]].concat()), None, "20 are tried");
}

/// Below the limit no port is free for everyone, so what is proposed lies at it or above; a port
/// that is above the limit itself stays near.
#[test]
fn another_port_below_a_high_limit() {
    let other = |port, limit| {
        let asked = with(case(Tcp, "127.0.0.1", port), |c| {
            c.host.set_sysctl("net.ipv4.ip_unprivileged_port_start", limit, "test");
            c.host.sockets.push_front(holder(Tcp, "0.0.0.0", port));
        });
        addr(&mut fixed(&asked, "another-port")).port
    };
    assert_eq!(other(80, 1024), 8080);
    assert_eq!(other(80, 9000), 9000);
    assert_eq!(other(8999, 9000), 9000);
    assert_eq!(other(9000, 9000), 9001);
    assert_eq!(other(9001, 9000), 9002);
    // One that is above the limit may be answered by one below.
    assert_eq!(other(443, 100), 8443);
}

#[test]
fn a_port_for_who_named_none() {
    let full = with(case(Tcp, "127.0.0.1", 0), |c| {
        for port in 40000..=40003 {
            c.host.sockets.push_front(holder(Tcp, "0.0.0.0", port));
        }
    });
    assert_eq!(offered(&full), "another-port");
    assert_eq!(addr(&mut fixed(&full, "another-port")).port, 8000);
}

#[test]
fn an_address_that_the_host_does_not_have() {
    let mut v4 = case(Tcp, "198.51.100.1", 8080);
    assert_eq!(offered(&v4), "every-address freebind nonlocal-bind4");
    let mut v6 = case(Tcp, "2001:db8:99::1", 8080);
    addr(&mut v6).scope = 3;
    assert_eq!(offered(&v6), "every-address freebind nonlocal-bind6");
    let mapped = case(Tcp, "::ffff:198.51.100.1", 8080);
    assert_eq!(offered(&mapped), "every-address freebind nonlocal-bind4");
    for asked in [&mut v4, &mut v6] {
        let before = *addr(asked);
        let mut wide = fixed(asked, "every-address");
        let after = *addr(&mut wide);
        assert!(after.ip(wide.request.socket.family).is_unspecified());
        assert_eq!((after.scope, after.port, after.len), (0, before.port, before.len));
        assert!(fixed(asked, "freebind").request.socket.options.freebind);
    }
    let sysctl = |case: &Case, id, name: &str| fixed(case, id).host.sysctls[name].clone();
    let one = Fact::known(1, "the fix");
    assert_eq!(sysctl(&v4, "nonlocal-bind4", "net.ipv4.ip_nonlocal_bind"), one);
    assert_eq!(sysctl(&v6, "nonlocal-bind6", "net.ipv6.ip_nonlocal_bind"), one);
    assert_eq!(offered(&case(Tcp, "ff02::fb", 8080)), "every-address");
}

#[test]
fn a_link_is_named() {
    let zoneless = case(Tcp, "fe80::10", 8080);
    assert_eq!(offered(&zoneless), "add-zone");
    assert_eq!(addr(&mut fixed(&zoneless, "add-zone")).scope, 2);
    assert_eq!(offered(&case(Tcp, "fe80::99", 8080)), "");
}

#[test]
fn a_mapped_address_on_an_ipv6_only_socket() {
    let asked = with(case(Tcp, "::ffff:127.0.0.1", 8080), |c| c.request.socket.v6only = true);
    assert_eq!(offered(&asked), "clear-v6only");
    assert!(!fixed(&asked, "clear-v6only").request.socket.v6only);
}

#[test]
fn a_port_that_somebody_holds() {
    for protocol in [Tcp, Udp] {
        let asked = case(protocol, "127.0.0.1", 8080);
        let plain = held(asked.clone(), "127.0.0.1", |_| ());
        assert_eq!(offered(&plain), "another-port stop-holder");
        let reuses = held(asked.clone(), "127.0.0.1", |s| s.options.reuseaddr = Some(true));
        assert_eq!(offered(&reuses), "reuseaddr another-port stop-holder");
        assert_eq!(fixed(&reuses, "reuseaddr").request.socket.options.reuseaddr, Some(true));
        // Whoever sets it already is not told to.
        let mine = with(plain, |c| c.request.socket.options.reuseaddr = Some(true));
        assert_eq!(offered(&mine), "another-port stop-holder");
        let dual = held(case(protocol, "::", 8080), "0.0.0.0", |_| ());
        assert_eq!(offered(&dual), "another-port v6only stop-holder");
        assert!(fixed(&dual, "v6only").request.socket.v6only);
    }
}

/// What a stopped server leaves cannot be stopped.
#[test]
fn stopping_the_holder() {
    let taken = held(case(Tcp, "127.0.0.1", 8080), "127.0.0.1", |s| s.state = State::Listen);
    let stopped = fixed(&taken, "stop-holder");
    assert!(stopped.host.sockets.on(8080).unwrap().is_empty());
    let left = |c: Case| held(c, "127.0.0.2", |s| (s.state, s.id) = (State::TimeWait, SocketId(2)));
    let both = left(taken);
    let kept = fixed(&both, "stop-holder").host.sockets.on(8080).unwrap().to_vec();
    assert_eq!(kept.iter().map(|s| s.id.0).collect::<Vec<_>>(), [2]);
    // Two listeners that only share their address: the one that asks stays.
    let listen = with(case(Tcp, "127.0.0.1", 8080), |c| {
        let mut mine = holder(Tcp, "127.0.0.1", 8080);
        mine.options.reuseaddr = Some(true);
        let there = Socket { id: SocketId(2), state: State::Listen, ..mine };
        c.request.socket = Socket { id: SocketId::ASKING, ..mine };
        c.request.call = Call::Listen(1);
        c.host.sockets.push_front(there);
        c.host.sockets.push_front(c.request.socket);
    });
    assert_eq!(offered(&listen), "stop-holder");
    let kept = fixed(&listen, "stop-holder").host.sockets.on(8080).unwrap().to_vec();
    assert_eq!(kept.iter().map(|s| s.id).collect::<Vec<_>>(), [SocketId::ASKING]);
    let mut alone = case(Tcp, "127.0.0.1", 8080);
    alone.request.socket.port = 8080;
    assert_eq!(offered(&alone), "", "a socket that is bound already");
}

/// What is missing for the proof is asked for; each fact once.
#[test]
fn a_fix_may_ask_for_further_facts() {
    let asked = with(case(Tcp, "127.0.0.1", 80), |c| {
        c.host.local_ports = Fact::not_asked(FactKey::LocalPorts);
        c.host.sockets = portwise_model::Sockets::not_asked();
    });
    let verdict = decide(&asked);
    let ids = |observe: &mut dyn FnMut(&mut Case, &Missing) -> bool| {
        let proven = fix::fixes(&asked, &verdict, observe);
        proven.iter().map(|p| p.fix.id).collect::<Vec<_>>()
    };
    assert!(ids(&mut |_, _| false).is_empty(), "nobody knows who holds 8080");
    let mut keys = Vec::new();
    let found = ids(&mut |case, missing| {
        keys.push(missing.key.clone());
        let FactKey::Sockets(port) = missing.key else { panic!("{missing:?}") };
        case.host.sockets.set_port(port, Vec::new());
        true
    });
    assert_eq!(
        found,
        ["linux.another-port", "linux.this-run", "linux.this-program", "linux.lower-limit"]
    );
    assert_eq!(keys[0], FactKey::Sockets(8080));
    // An observer that learns nothing is asked once for each try.
    let mut asked_for = 0;
    ids(&mut |_, _| {
        asked_for += 1;
        true
    });
    assert_eq!(asked_for, 20 + 3);
}

/// The highest port has none behind it: what would change nothing is no fix, though the call may
/// well succeed once more is known.
#[test]
fn a_change_that_changes_nothing_is_not_offered() {
    let asked = with(case(Tcp, "127.0.0.1", 65535), |c| {
        c.host.sockets = portwise_model::Sockets::not_asked();
    });
    let found = fix::fixes(&asked, &decide(&asked), |case, _| {
        case.host.sockets.set_port(65535, Vec::new());
        true
    });
    let ids: Vec<&str> = found.iter().map(|p| p.fix.id).collect();
    assert_eq!(ids, ["linux.reuseaddr"]);
}

#[test]
fn waiting_is_not_offered_where_nothing_waits() {
    let mut asked = held(case(Tcp, "127.0.0.1", 8080), "127.0.0.1", |s| s.options.reuseaddr = None);
    asked.request.socket.options.reuseaddr = Some(true);
    let found = fix::fixes(&asked, &decide(&asked), |case, _| {
        let there = case.host.sockets.get_mut(8080, SocketId(8080));
        there.map(|s| s.options.reuseaddr = Some(true)).is_some()
    });
    let ids: Vec<&str> = found.iter().map(|p| p.fix.id).collect();
    assert!(ids.contains(&"linux.stop-holder") && !ids.contains(&"linux.wait"), "{ids:?}");
}
