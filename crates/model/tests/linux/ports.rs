//! Who may take which port, and that a socket is bound once.

use portwise_model::{
    CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, Call, CapSet, Case, Fact, FactKey, Gate, Gates, Probed,
    Protocol::{Tcp, Udp},
    State, UserNs, Version, decide, linux,
};

use super::{answer, case, kernel, known, outcomes};

const LIMIT: &str = "net.ipv4.ip_unprivileged_port_start";

const BIND: CapSet = CapSet::NONE.with(CAP_NET_BIND_SERVICE);

/// The kinds of socket, which are all asked alike.
const KINDS: [&str; 3] = ["127.0.0.1", "::1", "::ffff:127.0.0.1"];

#[test]
fn ports_below_the_limit() {
    for ip in KINDS {
        for protocol in [Tcp, Udp] {
            let ask = |limit, port| {
                answer(case(protocol, ip, port), |c| c.host.set_sysctl(LIMIT, limit, "test"))
            };
            for (limit, port, expected) in [
                (1024, 1, "EACCES"),
                (1024, 80, "EACCES"),
                (1024, 1023, "EACCES"),
                (1024, 1024, "ok"),
                (1024, 65535, "ok"),
                (1024, 0, "ok"),
                (0, 1, "ok"),
                (80, 80, "ok"),
                (80, 79, "EACCES"),
                (8100, 8080, "EACCES"),
                (8100, 8100, "ok"),
                (65536, 65535, "EACCES"),
            ] {
                assert_eq!(ask(limit, port), expected, "{ip} {port} below {limit}");
            }
        }
    }
}

#[test]
fn the_limit_was_fixed_before_it_was_a_sysctl() {
    let old = |port| {
        answer(case(Tcp, "127.0.0.1", port), |c| {
            c.host.kernel = kernel(Version::new(4, 10, 0));
            c.host.set_sysctl(LIMIT, 0, "test");
        })
    };
    assert_eq!((old(1023).as_str(), old(1024).as_str()), ("EACCES", "ok"));
    // A probe outranks the version.
    let probed = |has, version| {
        answer(case(Tcp, "127.0.0.1", 80), |c| {
            c.host.kernel = kernel(version);
            c.host.set_sysctl(LIMIT, 0, "test");
            let feature = linux::UNPRIVILEGED_PORT_START.id.into();
            c.host.probed.push(Probed { feature, has, from: "test".into() });
        })
    };
    assert_eq!(probed(true, Version::new(4, 10, 0)), "ok");
    assert_eq!(probed(false, Version::new(6, 18, 0)), "EACCES");
}

/// The capability counts in the user namespace that owns the network.
#[test]
fn the_capability_and_the_user_namespace() {
    let ask = |caps, userns| {
        answer(case(Tcp, "127.0.0.1", 80), |c| {
            (c.subject.capabilities, c.subject.userns) = (known(caps), known(userns));
        })
    };
    let others = CapSet::ALL.without(CAP_NET_BIND_SERVICE);
    for (caps, userns, expected) in [
        (CapSet::NONE, UserNs::Owner, "EACCES"),
        (BIND, UserNs::Owner, "ok"),
        (others, UserNs::Owner, "EACCES"),
        (CapSet::NONE.with(CAP_NET_ADMIN), UserNs::Owner, "EACCES"),
        (BIND, UserNs::Ancestor, "ok"),
        (others, UserNs::Ancestor, "EACCES"),
        (CapSet::NONE, UserNs::Creator, "ok"),
        (CapSet::ALL, UserNs::Foreign, "EACCES"),
    ] {
        assert_eq!(ask(caps, userns), expected, "{caps:?} {userns:?}");
    }
    // Being root by number is nothing.
    assert_eq!(answer(case(Tcp, "127.0.0.1", 80), |c| c.subject.uid = 0), "EACCES");
}

#[test]
fn what_is_not_known_of_the_asker_leaves_a_low_port_open() {
    let missing = |port, change: fn(&mut Case)| {
        let mut asked = case(Tcp, "127.0.0.1", port);
        change(&mut asked);
        let verdict = decide(&asked);
        let keys: Vec<FactKey> = verdict.missing().map(|m| m.key.clone()).collect();
        (outcomes(&verdict), keys)
    };
    let open = || "EACCES|ok".to_owned();
    let no_caps: fn(&mut Case) =
        |c| c.subject.capabilities = Fact::not_asked(FactKey::Capabilities);
    assert_eq!(missing(80, no_caps), (open(), vec![FactKey::Capabilities]));
    assert_eq!(missing(8080, no_caps), ("ok".to_owned(), Vec::new()));
    let nowhere: fn(&mut Case) = |c| c.subject.userns = Fact::not_asked(FactKey::UserNs);
    assert_eq!(missing(80, nowhere), (open(), vec![FactKey::UserNs]));
    let no_limit: fn(&mut Case) = |c| c.host.sysctls.clear();
    let sysctl = FactKey::Sysctl(LIMIT.into());
    assert_eq!(missing(80, no_limit), (open(), vec![sysctl.clone()]));
    assert_eq!(missing(8080, no_limit), (open(), vec![sysctl]));
    assert_eq!(missing(0, no_limit), ("ok".to_owned(), Vec::new()));
}

/// A BPF program may excuse from the capability, so where one is, a low port is open.
#[test]
fn a_program_of_the_cgroup_may_excuse_from_the_capability() {
    let gated = |port, name: &'static str, unseen: bool| {
        let gate = Gate {
            name: name.into(),
            what: "there is one".into(),
            reveal: "try it".into(),
            refuses: false,
        };
        let (present, unseen) = if unseen { (vec![], vec![gate]) } else { (vec![gate], vec![]) };
        answer(case(Tcp, "127.0.0.1", port), |c| c.subject.gates = known(Gates { present, unseen }))
    };
    use linux::gate::{CGROUP_PROGRAM, SECURITY_MODULE};
    assert_eq!(gated(80, CGROUP_PROGRAM, false), "EPERM|EACCES|ok");
    assert_eq!(gated(8080, CGROUP_PROGRAM, false), "EPERM|ok");
    // Another gate excuses nobody, and neither does one that nobody saw.
    assert_eq!(gated(80, SECURITY_MODULE, false), "EACCES");
    assert_eq!(gated(80, CGROUP_PROGRAM, true), "EACCES");
}

#[test]
fn a_socket_is_bound_once() {
    for ip in KINDS {
        for protocol in [Tcp, Udp] {
            let ask = |state, port| {
                answer(case(protocol, ip, 8080), |c| {
                    (c.request.socket.state, c.request.socket.port) = (state, port);
                })
            };
            assert_eq!(ask(State::Closed, 0), "ok", "{ip}");
            assert_eq!(ask(State::Closed, 8080), "EINVAL", "{ip}");
            for state in [State::Listen, State::Established, State::Closing, State::CloseWait] {
                assert_eq!(ask(state, 0), "EINVAL", "{ip} {state:?}");
                assert_eq!(ask(state, 9), "EINVAL", "{ip} {state:?}");
            }
        }
    }
    let again = |c: &mut Case| c.request.socket.port = 9;
    assert_eq!(answer(case(Tcp, "127.0.0.1", 80), again), "EACCES", "the port is asked first");
    assert_eq!(answer(case(Tcp, "::1", 80), again), "EACCES");
}

#[test]
fn listen_wants_an_unconnected_stream() {
    let ask = |protocol, state, port| {
        answer(case(protocol, "127.0.0.1", 0), |c| {
            c.request.call = Call::Listen(1);
            (c.request.socket.state, c.request.socket.port) = (state, port);
        })
    };
    assert_eq!(ask(Udp, State::Closed, 8080), "EOPNOTSUPP");
    assert_eq!(ask(Udp, State::Established, 8080), "EOPNOTSUPP");
    assert_eq!(ask(Tcp, State::Closed, 8080), "ok");
    assert_eq!(ask(Tcp, State::Closed, 0), "ok");
    assert_eq!(ask(Tcp, State::Listen, 8080), "ok");
    for state in [State::Established, State::Closing, State::CloseWait, State::TimeWait] {
        assert_eq!(ask(Tcp, state, 8080), "EINVAL", "{state:?}");
    }
    // It needs no capability.
    assert_eq!(ask(Tcp, State::Closed, 80), "ok");
}
