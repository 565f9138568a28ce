//! Which addresses may be bound, and what is asked of the bytes that spell them.

use portwise_model::{
    AF_INET, AF_INET6, AF_UNSPEC, Case, Errno, Fact, FactKey, LocalRoute, LocalRoutes, Missing,
    Outcome, Protocol,
    Protocol::{Tcp, Udp},
    RouteKind, Version, decide, linux, needs_zone, outcomes_along,
};

use super::{addr, answer, case, kernel, known};

const NONLOCAL4: &str = "net.ipv4.ip_nonlocal_bind";
const NONLOCAL6: &str = "net.ipv6.ip_nonlocal_bind";

fn ask(protocol: Protocol, ip: &str, change: impl FnOnce(&mut Case)) -> String {
    answer(case(protocol, ip, 8080), change)
}

fn unchanged(_: &mut Case) {}

/// The id of the rule that stops.
fn stops(case: &Case) -> &'static str {
    decide(case).obstacles().next().expect("an obstacle").rule.id
}

#[test]
fn ipv4_is_what_the_table_local_says() {
    for (ip, expected) in [
        ("0.0.0.0", "ok"),
        ("127.0.0.1", "ok"),
        ("127.1.2.3", "ok"),
        ("127.255.255.255", "ok"),
        ("192.0.2.10", "ok"),
        ("192.0.2.255", "ok"),
        ("192.0.2.11", "EADDRNOTAVAIL"),
        ("192.0.2.0", "EADDRNOTAVAIL"),
        ("128.0.0.1", "EADDRNOTAVAIL"),
        ("224.0.0.251", "ok"),
        ("239.255.255.255", "ok"),
        ("240.0.0.1", "EADDRNOTAVAIL"),
        ("255.255.255.255", "ok"),
        ("0.1.2.3", "EADDRNOTAVAIL"),
        ("::ffff:0.0.0.0", "ok"),
        ("::ffff:127.0.0.1", "ok"),
        ("::ffff:192.0.2.255", "ok"),
        ("::ffff:192.0.2.11", "EADDRNOTAVAIL"),
        ("::ffff:224.0.0.251", "ok"),
        ("::ffff:0.1.2.3", "EADDRNOTAVAIL"),
    ] {
        assert_eq!(ask(Tcp, ip, unchanged), expected, "{ip}");
        assert_eq!(ask(Udp, ip, unchanged), expected, "{ip} udp");
    }
    let before = |ip| ask(Tcp, ip, |c| c.host.kernel = kernel(Version::new(5, 2, 0)));
    assert_eq!((before("0.1.2.3").as_str(), before("1.1.2.3").as_str()), ("ok", "EADDRNOTAVAIL"));
}

#[test]
fn the_longest_prefix_decides() {
    let with = |ip: &str, kind, prefix| {
        ask(Tcp, ip, |c| {
            let route = LocalRoute { kind, dst: [10, 1, 0, 0].into(), prefix, device: 1 };
            let any = LocalRoute { kind: RouteKind::Local, prefix: 8, ..route };
            let routes =
                LocalRoutes { list: vec![route, any, route], complete: true, exists: true };
            c.host.local_routes = known(routes);
        })
    };
    assert_eq!(with("10.1.2.3", RouteKind::Other, 16), "EADDRNOTAVAIL");
    assert_eq!(with("10.2.2.3", RouteKind::Other, 16), "ok");
    assert_eq!(with("10.1.2.3", RouteKind::Local, 32), "ok");
    assert_eq!(with("10.1.0.0", RouteKind::Other, 32), "EADDRNOTAVAIL");
    assert_eq!(with("10.1.0.1", RouteKind::Other, 32), "ok");
    assert_eq!(with("11.1.0.1", RouteKind::Local, 7), "ok");
    assert_eq!(with("11.1.0.1", RouteKind::Local, 9), "EADDRNOTAVAIL");
    assert_eq!(with("198.51.100.1", RouteKind::Local, 0), "ok");
}

#[test]
fn without_the_table_every_ipv4_address_is_a_broadcast() {
    let bare = |c: &mut Case| {
        c.host.local_routes = known(LocalRoutes { complete: true, ..LocalRoutes::default() })
    };
    assert_eq!(ask(Tcp, "198.51.100.1", bare), "ok");
    assert_eq!(ask(Tcp, "::ffff:198.51.100.1", bare), "ok");
    let empty = |c: &mut Case| {
        c.host.local_routes = known(LocalRoutes { list: Vec::new(), complete: true, exists: true });
    };
    assert_eq!(ask(Tcp, "127.0.0.1", empty), "EADDRNOTAVAIL");
}

#[test]
fn ipv6_is_what_the_interfaces_have() {
    for (ip, zone, tcp, udp) in [
        ("::", 0, "ok", "ok"),
        ("::1", 0, "ok", "ok"),
        ("::1", 2, "ok", "ok"),
        ("2001:db8::10", 0, "ok", "ok"),
        ("2001:db8::10", 9, "ok", "ok"),
        ("2001:db8::11", 0, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        ("2001:db8::20", 0, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        ("2001:db8::", 0, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        ("fe80::10", 0, "EINVAL", "EINVAL"),
        ("fe80::10", 1, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        ("fe80::10", 2, "ok", "ok"),
        ("fe80::10", 9, "ENODEV", "ENODEV"),
        ("fe80::11", 2, "EADDRNOTAVAIL", "EADDRNOTAVAIL"),
        ("ff01::1", 0, "EINVAL", "EINVAL"),
        ("ff02::fb", 0, "EINVAL", "EINVAL"),
        ("ff02::fb", 2, "EINVAL", "ok"),
        ("ff02::fb", 9, "EINVAL", "ENODEV"),
        ("ff05::fb", 0, "EINVAL", "ok"),
    ] {
        let zoned = |c: &mut Case| addr(c).scope = zone;
        assert_eq!(ask(Tcp, ip, zoned), tcp, "{ip}%{zone}");
        assert_eq!(ask(Udp, ip, zoned), udp, "{ip}%{zone} udp");
    }
}

#[test]
fn addresses_that_mean_something_on_one_link_only() {
    for (ip, needs) in [
        ("fe80::1", true),
        ("febf::1", true),
        ("fe7f::1", false),
        ("fec0::1", false),
        ("ff01::1", true),
        ("ff02::1", true),
        ("ff12::1", true),
        ("ff32::1", true),
        ("ff00::1", false),
        ("ff03::1", false),
        ("ff05::1", false),
        ("ff0e::1", false),
        ("fd02::1", false),
        ("2002::1", false),
        ("::1", false),
        ("::", false),
    ] {
        assert_eq!(needs_zone(ip.parse().unwrap()), needs, "{ip}");
    }
}

#[test]
fn the_device_of_the_socket_and_the_zone() {
    let on = |device, ip: &str, zone, len| {
        ask(Udp, ip, |c| {
            c.request.socket.device = device;
            (addr(c).scope, addr(c).len) = (zone, len);
        })
    };
    // An address of one device counts there only, a wider one everywhere.
    assert_eq!(on(2, "fe80::10", 0, 28), "ok");
    assert_eq!(on(1, "fe80::10", 0, 28), "EADDRNOTAVAIL");
    assert_eq!(on(1, "::1", 0, 28), "ok");
    assert_eq!(on(2, "::1", 0, 28), "EADDRNOTAVAIL");
    assert_eq!(on(1, "2001:db8::10", 0, 28), "ok");
    // The zone outranks the device, if the address is long enough to have one.
    assert_eq!(on(1, "fe80::10", 2, 28), "ok");
    assert_eq!(on(2, "fe80::10", 1, 28), "EADDRNOTAVAIL");
    assert_eq!(on(2, "fe80::10", 1, 27), "ok");
    assert_eq!(on(0, "fe80::10", 2, 27), "EINVAL");
    assert_eq!(on(0, "fe80::10", 2, 24), "EINVAL");
    assert_eq!(on(0, "fe80::10", 2, 29), "ok");
    // A device that is gone matters to every address but the wildcard.
    assert_eq!(on(9, "::", 0, 28), "ok");
    assert_eq!(on(9, "2001:db8::10", 0, 28), "ENODEV");
    assert_eq!(on(9, "ff05::fb", 0, 28), "ENODEV");
    assert_eq!(on(9, "::ffff:127.0.0.1", 0, 28), "ENODEV");
    assert_eq!(on(9, "::ffff:198.51.100.1", 0, 28), "ENODEV");
    assert_eq!(on(1, "::ffff:192.0.2.10", 0, 28), "ok");
    assert_eq!(on(9, "127.0.0.1", 0, 16), "ok");
    // Which rule says so differs.
    let gone = |ip| {
        let mut asked = case(Udp, ip, 8080);
        asked.request.socket.device = 9;
        stops(&asked)
    };
    assert_eq!(gone("::ffff:127.0.0.1"), "linux.bind.mapped-device");
    assert_eq!(gone("2001:db8::10"), "linux.bind.device");
}

#[test]
fn a_mapped_address_wants_a_socket_that_carries_ipv4() {
    let v6only = |c: &mut Case| c.request.socket.v6only = true;
    assert_eq!(ask(Tcp, "::ffff:127.0.0.1", v6only), "EINVAL");
    assert_eq!(ask(Tcp, "::ffff:198.51.100.1", v6only), "EINVAL");
    assert_eq!(ask(Tcp, "::1", v6only), "ok");
    assert_eq!(ask(Tcp, "::", v6only), "ok");
}

#[test]
fn what_lets_an_address_be_bound_that_the_host_does_not_have() {
    let with = |ip: &str, change: fn(&mut Case)| ask(Tcp, ip, change);
    let (v4, mapped, v6) = ("198.51.100.1", "::ffff:198.51.100.1", "2001:db8:99::1");
    let options: [fn(&mut Case); 2] = [
        |c| c.request.socket.options.freebind = true,
        |c| c.request.socket.options.transparent = true,
    ];
    for ip in [v4, mapped, v6, "2001:db8::20"] {
        assert_eq!(with(ip, |_| ()), "EADDRNOTAVAIL", "{ip}");
        for option in options {
            assert_eq!(with(ip, option), "ok", "{ip}");
        }
    }
    // The sysctls are one for each family, and a mapped address is IPv4.
    let nonlocal4: fn(&mut Case) = |c| c.host.set_sysctl(NONLOCAL4, 1, "test");
    let nonlocal6: fn(&mut Case) = |c| c.host.set_sysctl(NONLOCAL6, 1, "test");
    for ip in [v4, mapped] {
        assert_eq!(
            (with(ip, nonlocal4).as_str(), with(ip, nonlocal6).as_str()),
            ("ok", "EADDRNOTAVAIL")
        );
    }
    assert_eq!(
        (with(v6, nonlocal6).as_str(), with(v6, nonlocal4).as_str()),
        ("ok", "EADDRNOTAVAIL")
    );
    // An address of a link still wants its link.
    assert_eq!(with("fe80::99", options[0]), "EINVAL");
}

#[test]
fn the_bytes_of_an_address() {
    let malformed =
        |ip: &str, len, family| ask(Udp, ip, |c| (addr(c).len, addr(c).family) = (len, family));
    for (ip, family, least) in [("127.0.0.1", AF_INET, 16), ("::1", AF_INET6, 24)] {
        for (len, expected) in
            [(0, "EINVAL"), (least - 1, "EINVAL"), (least, "ok"), (128, "ok"), (129, "EINVAL")]
        {
            assert_eq!(malformed(ip, len, family), expected, "{ip} {len}");
        }
        assert_eq!(malformed(ip, 28, AF_INET + AF_INET6 - family), "EAFNOSUPPORT", "{ip}");
        assert_eq!(malformed(ip, 28, AF_UNSPEC), "EAFNOSUPPORT", "{ip}");
        assert_eq!(malformed(ip, 28, 1), "EAFNOSUPPORT", "{ip}");
        // The length is tested first.
        assert_eq!(malformed(ip, least - 1, AF_UNSPEC), "EINVAL", "{ip}");
    }
    // No family at all is taken with 0.0.0.0, and not with `::`.
    assert_eq!(malformed("0.0.0.0", 16, AF_UNSPEC), "ok");
    assert_eq!(malformed("0.0.0.0", 16, 1), "EAFNOSUPPORT");
    assert_eq!(malformed("::", 28, AF_UNSPEC), "EAFNOSUPPORT");
    let mut long = case(Tcp, "127.0.0.1", 8080);
    addr(&mut long).len = 129;
    assert_eq!(stops(&long), "linux.bind.sockaddr-too-long");
}

/// IPv4 asks for the address first, IPv6 for the port.
#[test]
fn the_order_of_address_and_port() {
    let low = |ip: &str| answer(case(Udp, ip, 80), unchanged);
    assert_eq!(low("198.51.100.1"), "EADDRNOTAVAIL");
    assert_eq!(low("2001:db8:99::1"), "EACCES");
    assert_eq!(low("fe80::10"), "EACCES");
    assert_eq!(low("::ffff:198.51.100.1"), "EACCES");
    assert_eq!(answer(case(Tcp, "ff02::fb", 80), unchanged), "EINVAL");
    let bound = |ip: &str| ask(Udp, ip, |c| c.request.socket.port = 9);
    assert_eq!(bound("198.51.100.1"), "EADDRNOTAVAIL");
    assert_eq!(bound("2001:db8:99::1"), "EINVAL");
    assert_eq!(bound("127.0.0.1"), "EINVAL");
}

#[test]
fn addresses_that_are_not_known_leave_the_answer_open() {
    let open = "EADDRNOTAVAIL|ok";
    let incomplete = |c: &mut Case| {
        let mut routes = super::routes();
        routes.complete = false;
        c.host.local_routes = known(routes);
        let mut interfaces = c.host.interfaces.value().unwrap().clone();
        interfaces.complete = false;
        c.host.interfaces = known(interfaces);
    };
    for (ip, expected) in [
        ("192.0.2.11", open),
        ("192.0.2.10", "ok"),
        ("::ffff:192.0.2.11", open),
        ("2001:db8::11", open),
        ("2001:db8::10", "ok"),
        // Some other interface might have it, and it would be usable there.
        ("2001:db8::20", open),
    ] {
        assert_eq!(ask(Tcp, ip, incomplete), expected, "{ip}");
    }
    let known_link = |c: &mut Case| {
        incomplete(c);
        addr(c).scope = 2;
    };
    assert_eq!(ask(Udp, "fe80::10", known_link), "ok", "an interface that is known is there");
    let mut zoned = case(Udp, "fe80::10", 8080);
    incomplete(&mut zoned);
    addr(&mut zoned).scope = 9;
    let verdict = decide(&zoned);
    assert_eq!(super::outcomes(&verdict), "ENODEV|EADDRNOTAVAIL|ok");
    let keys: Vec<_> = verdict.missing().map(|m| m.key.clone()).collect();
    let address = FactKey::LocalAddress("fe80::10".parse().unwrap());
    assert_eq!(keys, [FactKey::Interfaces, address]);

    let mut foreign = case(Tcp, "198.51.100.1", 8080);
    foreign.host.sysctls.remove(NONLOCAL4);
    let verdict = decide(&foreign);
    let missing: Vec<&Missing> = verdict.missing().collect();
    assert_eq!(missing[0].key, FactKey::Sysctl(NONLOCAL4.into()));
    assert_eq!(super::outcomes(&verdict), open);
}

/// A raw socket has an address and no port: fewer rules count, and those that pass say nothing.
#[test]
fn a_raw_socket() {
    let told = |ip: &str, change: fn(&mut Case)| {
        let mut asked = case(Protocol::Udp, ip, 1);
        change(&mut asked);
        let (host, subject) = (&asked.host, &asked.subject);
        outcomes_along(linux::RAW4, host, subject, &asked.request)
    };
    assert_eq!(told("127.0.0.1", |_| ()), [Outcome::Ok]);
    assert_eq!(told("198.51.100.1", |_| ()), [Outcome::Errno(Errno::EADDRNOTAVAIL)]);
    let open = told("198.51.100.1", |c| c.host.local_routes = Fact::not_asked(FactKey::Interfaces));
    assert_eq!(open, [Outcome::Errno(Errno::EADDRNOTAVAIL), Outcome::Ok]);
}
