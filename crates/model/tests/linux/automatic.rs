//! Port 0: which ports the kernel may choose.

use portwise_model::{
    Call, Case, Fact, FactKey, Missing, Protocol,
    Protocol::{Tcp, Udp},
    Socket, SocketId, Sockets, State, decide,
    linux::port::automatic_port,
};

use super::{answer, case, holder, known, outcomes};

/// Holds a port on 127.0.0.1 with the options that `options` names.
fn held(protocol: Protocol, port: u16, options: &str) -> Socket {
    let mut socket = holder(protocol, "127.0.0.1", port);
    set(&mut socket, options);
    socket
}

fn set(socket: &mut Socket, options: &str) {
    let has = |name| Some(options.split(' ').any(|option| option == name));
    (socket.options.reuseaddr, socket.options.reuseport) = (has("reuseaddr"), has("reuseport"));
}

/// Port 0 of 127.0.0.1 with `options`, where each port of the range is held with `by`.
fn full(protocol: Protocol, options: &str, by: &str, change: impl FnOnce(&mut Case)) -> String {
    answer(case(protocol, "127.0.0.1", 0), |c| {
        set(&mut c.request.socket, options);
        for port in 40000..=40003 {
            c.host.sockets.push_front(held(protocol, port, by));
        }
        change(c);
    })
}

fn unchanged(_: &mut Case) {}

/// The lowest port that may be chosen.
fn lowest(case: &Case) -> Option<u16> {
    let socket = Socket { ip: "127.0.0.1".parse().unwrap(), ..case.request.socket };
    automatic_port(&case.host, &socket).unwrap()
}

#[test]
fn the_range_and_what_is_reserved() {
    let mut asked = case(Tcp, "127.0.0.1", 0);
    assert_eq!(lowest(&asked), Some(40000));
    asked.host.sockets.push_front(held(Tcp, 40000, ""));
    assert_eq!(lowest(&asked), Some(40001));
    let reserve = |asked: &mut Case, reserved: &[(u16, u16)]| {
        let mut ports = asked.host.local_ports.value().unwrap().clone();
        ports.reserved = reserved.to_vec();
        asked.host.local_ports = known(ports);
    };
    reserve(&mut asked, &[(1, 9), (40001, 40002)]);
    assert_eq!(lowest(&asked), Some(40003), "both ends of a reserved range count");
    reserve(&mut asked, &[(40001, 40001), (40003, 40003)]);
    assert_eq!(lowest(&asked), Some(40002));
    reserve(&mut asked, &[(40001, 50000)]);
    assert_eq!(lowest(&asked), None);
    assert_eq!(answer(asked.clone(), unchanged), "EADDRINUSE");
    // An explicit bind may have a reserved port.
    assert_eq!(answer(case(Tcp, "127.0.0.1", 40001), |c| reserve(c, &[(40001, 50000)])), "ok");
}

/// Each end of `IP_LOCAL_PORT_RANGE` counts only inside the range of the namespace.
#[test]
fn a_range_of_its_own() {
    let with = |range| {
        let mut asked = case(Tcp, "127.0.0.1", 0);
        asked.request.socket.options.local_port_range = Some(range);
        let lowest = lowest(&asked);
        for port in 40000..=40003 {
            if Some(port) != lowest {
                asked.host.sockets.push_front(held(Tcp, port, ""));
            }
        }
        asked.host.sockets.push_front(held(Tcp, lowest.unwrap(), ""));
        (lowest, self::lowest(&asked))
    };
    assert_eq!(with((40001, 40002)), (Some(40001), None));
    assert_eq!(with((40003, 40003)), (Some(40003), None));
    assert_eq!(with((0, 40000)), (Some(40000), None));
    assert_eq!(with((39999, 40001)), (Some(40000), None));
    assert_eq!(with((40002, 40004)), (Some(40002), None));
    assert_eq!(with((50000, 50001)), (Some(40000), None));
    // Beyond the upper end nothing is chosen.
    let mut asked = case(Tcp, "127.0.0.1", 0);
    asked.request.socket.options.local_port_range = Some((40001, 40002));
    for port in [40001, 40002] {
        asked.host.sockets.push_front(held(Tcp, port, ""));
    }
    assert_eq!(lowest(&asked), None);
}

/// TCP shares an automatic port with nobody, UDP with whoever agrees.
#[test]
fn a_port_that_would_be_shared() {
    for options in ["", "reuseaddr", "reuseport", "reuseaddr reuseport"] {
        assert_eq!(full(Tcp, options, options, unchanged), "EADDRINUSE", "{options}");
    }
    assert_eq!(full(Udp, "", "", unchanged), "EADDRINUSE");
    assert_eq!(full(Udp, "reuseaddr", "reuseaddr", unchanged), "ok");
    assert_eq!(full(Udp, "reuseaddr", "", unchanged), "EADDRINUSE");
    assert_eq!(full(Udp, "", "reuseaddr", unchanged), "EADDRINUSE");
    assert_eq!(full(Udp, "reuseport", "reuseport", unchanged), "ok");
    assert_eq!(full(Udp, "reuseport", "reuseaddr", unchanged), "EADDRINUSE");
    let other_user = |c: &mut Case| c.request.socket.uid = Some(0);
    assert_eq!(full(Udp, "reuseport", "reuseport", other_user), "EADDRINUSE");
    assert_eq!(full(Udp, "reuseaddr", "reuseaddr", other_user), "ok");
}

#[test]
fn who_does_not_keep_an_automatic_port() {
    for (protocol, other) in [(Tcp, Udp), (Udp, Tcp)] {
        let elsewhere = |change: fn(&mut Socket)| {
            answer(case(protocol, "127.0.0.1", 0), |c| {
                for port in 40000..=40003 {
                    let mut there = held(protocol, port, "");
                    change(&mut there);
                    c.host.sockets.push_front(there);
                }
                c.request.socket.device = 1;
            })
        };
        assert_eq!(elsewhere(|_| ()), "EADDRINUSE");
        assert_eq!(elsewhere(|s| s.ip = "0.0.0.0".parse().unwrap()), "EADDRINUSE");
        assert_eq!(elsewhere(|s| s.ip = "127.0.0.2".parse().unwrap()), "ok");
        assert_eq!(elsewhere(|s| s.device = 1), "EADDRINUSE");
        assert_eq!(elsewhere(|s| s.device = 2), "ok");
        let of_other = full(protocol, "", "", |c| c.request.socket.protocol = other);
        assert_eq!(of_other, "ok", "TCP and UDP are apart");
    }
}

#[test]
fn the_port_may_wait_for_connect() {
    let later = |c: &mut Case| c.request.socket.options.bind_address_no_port = true;
    assert_eq!(full(Tcp, "", "", later), "ok");
    // With a port the option means nothing.
    let taken = |port| {
        answer(case(Tcp, "127.0.0.1", port), |c| {
            later(c);
            c.host.sockets.push_front(held(Tcp, 8080, ""));
        })
    };
    assert_eq!((taken(8080).as_str(), taken(8081).as_str()), ("EADDRINUSE", "ok"));
    // An automatic port is asked for where no port is.
    assert_eq!(full(Tcp, "", "", |c| super::addr(c).port = 8080), "ok");
}

#[test]
fn ip_autobind_reuse_may_share_in_the_end() {
    let reuse = |c: &mut Case| c.host.set_sysctl("net.ipv4.ip_autobind_reuse", 1, "test");
    let open = "EADDRINUSE|ok";
    assert_eq!(full(Tcp, "reuseaddr", "reuseaddr", reuse), open);
    assert_eq!(full(Tcp, "", "reuseaddr", reuse), "EADDRINUSE");
    assert_eq!(full(Tcp, "reuseport", "reuseport", reuse), "EADDRINUSE");
    assert_eq!(full(Udp, "reuseaddr", "", reuse), "EADDRINUSE", "of TCP only");
    let free = answer(case(Tcp, "127.0.0.1", 0), |c| {
        reuse(c);
        set(&mut c.request.socket, "reuseaddr");
    });
    assert_eq!(free, "ok");
    let unread = |c: &mut Case| c.host.sysctls.clear();
    assert_eq!(full(Tcp, "reuseaddr", "", unread), open);
}

#[test]
fn listen_takes_a_port_by_itself() {
    let listen = |port, state, change: fn(&mut Case)| {
        full(Tcp, "", "", |c| {
            c.request.call = Call::Listen(1);
            (c.request.socket.port, c.request.socket.state) = (port, state);
            change(c);
        })
    };
    assert_eq!(listen(0, State::Closed, unchanged), "EADDRINUSE");
    assert_eq!(listen(8080, State::Closed, unchanged), "ok");
    assert_eq!(listen(0, State::Listen, unchanged), "ok");
    assert_eq!(
        listen(0, State::Closed, |c| _ = c.host.sockets.remove(40002, SocketId(40002))),
        "ok"
    );
}

#[test]
fn what_is_not_known_leaves_an_automatic_port_open() {
    let missing = |change: fn(&mut Case)| {
        let mut asked = case(Udp, "127.0.0.1", 0);
        change(&mut asked);
        let verdict = decide(&asked);
        let keys: Vec<FactKey> = verdict.missing().map(|m| m.key.clone()).collect();
        (outcomes(&verdict), keys)
    };
    let open = |key| ("EADDRINUSE|ok".to_owned(), vec![key]);
    let no_range = missing(|c| c.host.local_ports = Fact::not_asked(FactKey::LocalPorts));
    assert_eq!(no_range, open(FactKey::LocalPorts));
    assert_eq!(missing(|c| c.host.sockets = Sockets::not_asked()), open(FactKey::AllSockets));
    let one_port = missing(|c| {
        c.host.sockets = Sockets::not_asked();
        c.host.sockets.set_port(40000, Vec::new());
    });
    assert_eq!(one_port, open(FactKey::AllSockets), "one port known is not all known");
    let unreadable = missing(|c| {
        let why = Missing::new(FactKey::AllSockets, "not permitted", "");
        c.host.sockets.coverage = portwise_model::Coverage::None(why);
    });
    assert_eq!(unreadable, open(FactKey::AllSockets));
}
