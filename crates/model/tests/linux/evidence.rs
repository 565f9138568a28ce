//! What a step shows of the facts that it looked at: readers are told why by these.

use portwise_model::{
    CAP_NET_BIND_SERVICE, Call, CapSet, Case, Evidence, Fact, FactKey, Gate, Gates, Probed,
    Protocol::{Tcp, Udp},
    SockAddr, SockOption, UserNs, asked_alone, decide, linux,
};

use super::{USER, addr, case, known};

/// The evidence of the step of the rule `id`.
fn shown(case: &Case, id: &str) -> Vec<Evidence> {
    let trace = decide(case).trace;
    let step = trace.into_iter().find(|step| step.rule.id == format!("linux.{id}"));
    step.expect("the rule was tried").evidence
}

#[test]
fn a_low_port() {
    let mut low = case(Tcp, "127.0.0.1", 80);
    let limit = "net.ipv4.ip_unprivileged_port_start";
    low.host.set_sysctl(limit, 1024, "/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let evidence = shown(&low, "bind.reserved-port");
    let feature = &linux::UNPRIVILEGED_PORT_START;
    for expected in [
        Evidence::Port(80),
        Evidence::Feature(feature, true, "version".into()),
        Evidence::Sysctl(
            limit.into(),
            1024,
            "/proc/sys/net/ipv4/ip_unprivileged_port_start".into(),
        ),
        Evidence::Capability(CAP_NET_BIND_SERVICE, false),
        Evidence::UserNs(UserNs::Owner),
    ] {
        assert!(evidence.contains(&expected), "{expected:?} in {evidence:?}");
    }
    low.subject.capabilities = known(CapSet::ALL);
    low.subject.userns = known(UserNs::Ancestor);
    let probe = |feature: &str, from: &str| Probed {
        feature: feature.to_owned().into(),
        has: true,
        from: from.to_owned().into(),
    };
    low.host.probed.push(probe("linux.something-else", "a guess"));
    low.host.probed.push(probe(feature.id, "a probe"));
    let evidence = shown(&low, "bind.reserved-port");
    for expected in [
        Evidence::Feature(feature, true, "a probe".into()),
        Evidence::Capability(CAP_NET_BIND_SERVICE, true),
        Evidence::UserNs(UserNs::Ancestor),
    ] {
        assert!(evidence.contains(&expected), "{expected:?} in {evidence:?}");
    }
    // Nothing is asked of who may have the port anyway.
    let free = shown(&case(Tcp, "127.0.0.1", 8080), "bind.reserved-port");
    assert!(!free.iter().any(|e| matches!(e, Evidence::Capability(..))), "{free:?}");
}

#[test]
fn an_address() {
    let v4 = shown(&case(Tcp, "192.0.2.10", 8080), "bind.local-address");
    assert!(v4.contains(&Evidence::Address("192.0.2.10".parse().unwrap())), "{v4:?}");
    let route = |e: &Evidence| matches!(e, Evidence::LocalRoute(Some(r)) if r.prefix == 32);
    assert!(v4.iter().any(route), "{v4:?}");
    let nobody = shown(&case(Tcp, "192.0.2.11", 8080), "bind.local-address");
    assert!(nobody.contains(&Evidence::LocalRoute(None)), "{nobody:?}");
    let v6 = shown(&case(Tcp, "2001:db8::10", 8080), "bind.assigned-address");
    assert!(v6.contains(&Evidence::Address("2001:db8::10".parse().unwrap())), "{v6:?}");
    let found = |e: &Evidence| matches!(e, Evidence::IfAddr(Some((2, a))) if a.prefix == 64);
    assert!(v6.iter().any(found), "{v6:?}");
    let nobody = shown(&case(Tcp, "2001:db8::11", 8080), "bind.assigned-address");
    assert!(nobody.contains(&Evidence::IfAddr(None)), "{nobody:?}");
    let mut zoned = case(Udp, "fe80::10", 8080);
    addr(&mut zoned).scope = 2;
    assert!(shown(&zoned, "bind.device").contains(&Evidence::Device(2, true)));
    addr(&mut zoned).scope = 9;
    assert!(shown(&zoned, "bind.device").contains(&Evidence::Device(9, false)));
}

#[test]
fn the_bytes_and_the_socket() {
    let mut asked = case(Tcp, "127.0.0.1", 8080);
    *addr(&mut asked) = SockAddr { len: 20, ..*addr(&mut asked) };
    let bytes = Evidence::SockAddr { family: 2, len: 20 };
    for id in ["bind.sockaddr-too-long", "bind.sockaddr-in-length", "bind.inet-family"] {
        assert!(shown(&asked, id).contains(&bytes), "{id}");
    }
    let socket = Evidence::Asking(asked.request.socket);
    assert!(shown(&asked, "bind.unbound-socket").contains(&socket));
    let mut option = case(Tcp, "::", 0);
    option.request.call = Call::SetOption(SockOption::V6Only(true));
    let socket = Evidence::Asking(option.request.socket);
    assert!(shown(&option, "setsockopt.v6only-family").contains(&socket));
    let automatic = shown(&case(Tcp, "127.0.0.1", 0), "bind.automatic-port");
    assert!(automatic.contains(&Evidence::LocalPorts(40000, 40003)), "{automatic:?}");
}

#[test]
fn gates() {
    use linux::gate::{CGROUP_PROGRAM, SECCOMP_FILTER};
    let gate = |name: &'static str, refuses| Gate {
        name: name.into(),
        what: format!("{name} of the test").into(),
        reveal: "look".into(),
        refuses,
    };
    let step = |present, unseen, id| {
        let mut asked = case(Tcp, "127.0.0.1", 8080);
        asked.subject.gates = known(Gates { present, unseen });
        let missing = decide(&asked).missing().next().cloned();
        (shown(&asked, id), missing)
    };
    let (none, _) = step(vec![], vec![], "bind.seccomp-filter");
    assert_eq!(none, [Evidence::NoOwnGate(SECCOMP_FILTER)]);
    let what = || format!("{SECCOMP_FILTER} of the test").into();
    let (refused, _) = step(vec![gate(SECCOMP_FILTER, true)], vec![], "bind.seccomp-filter");
    assert_eq!(refused, [Evidence::OwnGate(SECCOMP_FILTER.into(), what())]);
    // One that could not be seen is named, and it is that one.
    let unseen = vec![gate(CGROUP_PROGRAM, false), gate(SECCOMP_FILTER, false)];
    let (unseen, _) = step(vec![], unseen, "bind.seccomp-filter");
    assert_eq!(unseen, [Evidence::UnseenGate(SECCOMP_FILTER.into(), what())]);
    let (other, _) = step(vec![], vec![gate(CGROUP_PROGRAM, false)], "bind.seccomp-filter");
    assert_eq!(other, [Evidence::NoOwnGate(SECCOMP_FILTER)]);
    let (open, missing) = step(vec![gate(SECCOMP_FILTER, false)], vec![], "bind.seccomp-filter");
    let missing = missing.unwrap();
    assert_eq!((open.len(), missing.key), (0, FactKey::Policy(SECCOMP_FILTER.into())));
    assert_eq!((missing.why, missing.reveal), (what(), "look".into()));
}

/// Each rule by itself, whatever the others say.
#[test]
fn every_rule_is_asked_alone() {
    let mut asked = case(Tcp, "198.51.100.1", 80);
    addr(&mut asked).len = 15;
    let alone = asked_alone(&asked.host, &asked.subject, &asked.request);
    let stops: Vec<&str> = alone
        .iter()
        .filter(|step| step.finding == portwise_model::Finding::Stops)
        .map(|step| step.rule.id)
        .collect();
    assert_eq!(
        stops,
        ["linux.bind.sockaddr-in-length", "linux.bind.local-address", "linux.bind.reserved-port"]
    );
    assert_eq!(alone.len(), linux::BIND4_TCP.len());
    assert!(alone.iter().all(|step| !step.evidence.is_empty()));
    let first: Vec<&str> = decide(&asked).obstacles().map(|step| step.rule.id).collect();
    assert_eq!(first, stops[..1]);
    assert_eq!(asked.subject.uid, USER);
    assert!(matches!(asked.subject.capabilities, Fact::Known { .. }));
}

#[test]
fn a_verdict_is_certain_or_open() {
    let refused = decide(&case(Tcp, "127.0.0.1", 80));
    assert!(refused.is_refused() && !refused.is_allowed());
    assert_eq!((refused.obstacles().count(), refused.missing().count()), (1, 0));
    let allowed = decide(&case(Tcp, "127.0.0.1", 8080));
    assert!(allowed.is_allowed() && !allowed.is_refused());
    assert_eq!((allowed.obstacles().count(), allowed.missing().count()), (0, 0));
    let mut unknown = case(Tcp, "127.0.0.1", 80);
    unknown.subject.capabilities = Fact::not_asked(FactKey::Capabilities);
    let open = decide(&unknown);
    assert!(!open.is_allowed() && !open.is_refused());
    assert_eq!((open.obstacles().count(), open.missing().count()), (1, 1));
}
