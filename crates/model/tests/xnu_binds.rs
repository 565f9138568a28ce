//! The binds of the question that started it all, and what differs between versions of macOS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::xnu::{LAN, answer, case, known_lan, unknown_lan};
use portwise_model::{
    AddrState, Call, Errno, Fact, Family, Host, Machine, Outcome, Protocol, SockAddr, Socket,
    SocketId, State, xnu as kernel,
};

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
    assert_eq!(tcp("12.1", "::224.0.0.251"), "EAFNOSUPPORT");
    assert_eq!(tcp("11.5", "::224.0.0.251"), "EADDRNOTAVAIL");
    assert_eq!(tcp("12.1", "2001:db8::e000:fb"), "EADDRNOTAVAIL");
    // A family left out is not asked for groups.
    let mut unspecified = case(known_lan("12.1"), Protocol::Tcp, 501, "::ffff:224.0.0.251", 5000);
    let Call::Bind(addr) = &mut unspecified.request.call else { unreachable!() };
    addr.family = 0;
    assert_eq!(answer(&unspecified), "ok");
    let udp = answer(&case(known_lan("15"), Protocol::Udp, 501, "255.255.255.255", 5000));
    assert_eq!(udp, "EADDRNOTAVAIL");
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
    let listen = |host: &Host, ip, port| {
        let mut asked = case(host.clone(), Protocol::Tcp, 501, ip, 0);
        (asked.request.call, asked.request.socket.port) = (Call::Listen(1), port);
        answer(&asked)
    };
    assert_eq!(
        (listen(&any4, "0.0.0.0", 0).as_str(), listen(&any6, "::", 0).as_str()),
        ("EADDRNOTAVAIL", "EAGAIN")
    );
    assert_eq!(
        (listen(&any4, "0.0.0.0", 8080).as_str(), listen(&any6, "::", 8080).as_str()),
        ("ok", "ok")
    );
    let mut all_but_one = any4.clone();
    all_but_one.sockets.remove(55555, SocketId(55555));
    for (macos, expected) in
        [("10.14.2", "ok"), ("10.15.7", "EADDRNOTAVAIL|ok"), ("11.5", "EADDRNOTAVAIL")]
    {
        all_but_one.kernel = kernel::from_macos(macos).unwrap();
        assert_eq!(ask(&all_but_one, "127.0.0.1"), expected, "{macos}");
    }
    // SO_REUSEADDR asks for equal addresses only; since 10.15 not on IPv4.
    let reuse = |macos: &str, host: &Host, ip| {
        let mut asked = case(host.clone(), Protocol::Tcp, 501, ip, 0);
        asked.request.socket.options.reuseaddr = Some(true);
        asked.host.kernel = kernel::from_macos(macos).unwrap();
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
fn addresses_that_are_not_ready() {
    for (state, before, since) in [
        (AddrState::Usable, "ok", "ok"),
        (AddrState::Tentative, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        (AddrState::Anycast, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        (AddrState::Detached, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        (AddrState::Clat46, "ok", "EADDRNOTAVAIL"),
    ] {
        let ask = |macos: &str| {
            let mut host = known_lan(macos);
            let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
            value.list[1].addresses[1].state = state;
            answer(&case(host, Protocol::Tcp, 501, LAN[1], 8080))
        };
        assert_eq!((ask("10.13.6").as_str(), ask("10.14.1").as_str()), (before, since));
    }
}

#[test]
fn a_refused_second_bind_used_to_change_the_family() {
    let after = |macos: &str, ip: &str, errno: Errno| {
        let mut machine = Machine::new(known_lan(macos));
        let id = SocketId(1);
        machine.socket(id, Family::Inet6, Protocol::Tcp, 501);
        let bind = |ip: &str| Call::Bind(SockAddr::new(ip.parse().unwrap(), 8080, 0));
        machine.settle(id, bind("::"), Outcome::Ok, None);
        machine.settle(id, bind(ip), Outcome::Errno(errno), None);
        let there = machine.host.sockets.get(id).copied();
        assert_eq!(there.as_ref(), machine.get(id));
        there.unwrap().ip.to_string()
    };
    assert_eq!(after("11.5", "::ffff:127.0.0.1", Errno::EINVAL), "::ffff:0.0.0.0");
    assert_eq!(after("11.5", "::ffff:127.0.0.1", Errno::EAFNOSUPPORT), "::");
    assert_eq!(after("11.5", "::1", Errno::EINVAL), "::");
    assert_eq!(after("15", "::ffff:127.0.0.1", Errno::EINVAL), "::");
}

#[test]
fn ports_that_nobody_named() {
    let mut machine = Machine::new(known_lan("15"));
    let make = |machine: &mut Machine, id, protocol| {
        machine.socket(SocketId(id), Family::Inet, protocol, 501);
    };
    let bind = |port| Call::Bind(SockAddr::new(Ipv4Addr::LOCALHOST.into(), port, 0));
    make(&mut machine, 1, Protocol::Udp);
    machine.settle(SocketId(1), bind(0), Outcome::Ok, None);
    make(&mut machine, 2, Protocol::Tcp);
    machine.settle(SocketId(2), Call::Listen(1), Outcome::Ok, None);
    make(&mut machine, 3, Protocol::Tcp);
    machine.settle(SocketId(3), Call::Listen(1), Outcome::Ok, None);
    make(&mut machine, 4, Protocol::Tcp);
    machine.settle(SocketId(4), bind(8080), Outcome::Ok, None);
    let what = |id| {
        let socket = machine.host.sockets.get(SocketId(id)).unwrap();
        (socket.port, socket.port_by_bind, socket.state)
    };
    assert_eq!(what(1), (49152, Some(false), State::Closed));
    assert_eq!(what(2), (49152, Some(false), State::Listen));
    assert_eq!(what(3), (49153, Some(false), State::Listen));
    assert_eq!(what(4), (8080, Some(true), State::Closed));
}

#[test]
fn versions() {
    let number = |macos: &str| kernel::from_macos(macos).map(|kernel| kernel.version.to_string());
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
        let version = |macos| kernel::from_macos(macos).unwrap().version;
        assert!(version(below) < version(macos) && version(macos) < version(above), "{macos}");
        assert_eq!(kernel::macos_of(version(macos)), None);
    }
    for none in ["", "10.10", "9", "10", "16", "25.1", "10.14.x", "+15", "10.14.2.1", "linux"] {
        assert_eq!(number(none), None, "{none}");
    }
    let tag = kernel::from_tag("xnu-4903.231.4").unwrap();
    assert_eq!(kernel::macos_of(tag.version).unwrap().to_string(), "10.14.2");
    assert_eq!(kernel::from_tag("4903.231.4").unwrap().version, tag.version);
    assert_eq!(kernel::from_tag("xnu-2782.1.97"), None);
    assert!(kernel::versions::RELEASES.is_sorted());
    assert!(kernel::versions::RELEASES.is_sorted_by_key(|release| release.1));
}
