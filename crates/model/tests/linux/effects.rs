//! What a call that succeeded or failed leaves behind.

use portwise_model::{
    Call, Errno, Fact, Family, Host, Membership, Outcome, Probed, Protocol,
    Protocol::{Tcp, Udp},
    SockAddr, SockOption, Socket, SocketId, State, Version,
    linux::{self, close, connected, settle, time_wait},
};

use super::{USER, answer, case, host, kernel};

fn fresh(protocol: Protocol, family: Family) -> Socket {
    Socket::new(SocketId(1), family, protocol, USER)
}

fn to(ip: &str, port: u16, zone: u32) -> Call {
    Call::Bind(SockAddr::new(ip.parse().unwrap(), port, zone))
}

/// What is left of `socket` after a bind that succeeded.
fn bound(host: &mut Host, socket: &Socket, ip: &str, port: u16) -> Socket {
    settle(host, socket, &to(ip, port, 0), Outcome::Ok, None)
}

/// The sockets on `port` as the kernel walks them, by number.
fn order(host: &Host, port: u16) -> Vec<u64> {
    host.sockets.on(port).unwrap().iter().map(|s| s.id.0).collect()
}

#[test]
fn bind_sets_address_and_port() {
    let mut host = host();
    let socket = fresh(Tcp, Family::Inet);
    let left = bound(&mut host, &socket, "127.0.0.1", 8080);
    let ip = "127.0.0.1".parse().unwrap();
    let by_bind = Socket { port_by_bind: Some(true), ip_by_bind: true, ..socket };
    assert_eq!(left, Socket { ip, port: 8080, filed: left.filed, ..by_bind });
    assert_eq!(host.sockets.get(socket.id), Some(&left));
    // Port 0 takes what the kernel chose.
    let second = Socket { id: SocketId(2), ..socket };
    let left = settle(&mut host, &second, &to("127.0.0.1", 0, 0), Outcome::Ok, Some(40002));
    assert_eq!((left.port, left.port_by_bind), (40002, Some(false)));
    assert_eq!(order(&host, 40002), [2]);
    // IP_BIND_ADDRESS_NO_PORT leaves the port for later, and matters with port 0 only.
    let mut third = Socket { id: SocketId(3), ..socket };
    third.options.bind_address_no_port = true;
    let left = settle(&mut host, &third, &to("127.0.0.1", 0, 0), Outcome::Ok, Some(40003));
    assert_eq!((left.ip, left.port, left.port_by_bind), (ip, 0, Some(false)));
    assert!(order(&host, 40003).is_empty());
    assert!(order(&host, 0).is_empty());
    let left = bound(&mut host, &left, "127.0.0.1", 8081);
    assert_eq!((left.port, order(&host, 8081)), (8081, vec![3]));
}

#[test]
fn an_address_that_can_only_be_ipv6_sets_v6only() {
    let v6only = |ip| bound(&mut host(), &fresh(Tcp, Family::Inet6), ip, 8080).v6only;
    assert!(v6only("::1") && v6only("2001:db8::10") && v6only("ff05::1"));
    assert!(!v6only("::") && !v6only("::ffff:127.0.0.1") && !v6only("::ffff:0.0.0.0"));
}

#[test]
fn a_zone_becomes_the_device_also_of_some_binds_that_fail() {
    let socket = fresh(Udp, Family::Inet6);
    let device =
        |ip: &str, outcome| settle(&mut host(), &socket, &to(ip, 8080, 2), outcome, None).device;
    assert_eq!(device("fe80::10", Outcome::Ok), 2);
    assert_eq!(device("ff02::fb", Outcome::Ok), 2);
    assert_eq!(device("2001:db8::10", Outcome::Ok), 0);
    for errno in [Errno::ENODEV, Errno::EADDRNOTAVAIL, Errno::EADDRINUSE] {
        assert_eq!(device("fe80::10", Outcome::Errno(errno)), 2, "{errno:?}");
        assert_eq!(device("::1", Outcome::Errno(errno)), 0, "{errno:?}");
    }
    for errno in [Errno::EACCES, Errno::EINVAL, Errno::EAFNOSUPPORT, Errno::EPERM] {
        assert_eq!(device("fe80::10", Outcome::Errno(errno)), 0, "{errno:?}: before the zone");
    }
    // Nothing else changes, and an IPv4 socket has no zone.
    let mut host = host();
    let failed = Outcome::Errno(Errno::EADDRINUSE);
    let left = settle(&mut host, &socket, &to("fe80::10", 8080, 2), failed, None);
    assert_eq!((left, order(&host, 8080)), (Socket { device: 2, ..socket }, vec![]));
    let inet = fresh(Udp, Family::Inet);
    let strange = Call::Bind(SockAddr {
        wide: "fe80::10".parse::<std::net::Ipv6Addr>().unwrap().octets(),
        scope: 2,
        len: 28,
        ..SockAddr::v4([127, 0, 0, 1].into(), 80)
    });
    assert_eq!(settle(&mut host, &inet, &strange, failed, None), inet);
}

/// The newest comes first, but for IPv6 sockets of UDP that share the port.
#[test]
fn the_order_on_a_port() {
    let sharing = |protocol, family, shares| {
        let mut host = host();
        for id in 1..=3 {
            let mut socket = Socket { id: SocketId(id), ..fresh(protocol, family) };
            socket.options.reuseport = Some(shares);
            let ip = family.unspecified().to_string();
            bound(&mut host, &socket, &ip, 5353);
        }
        order(&host, 5353)
    };
    assert_eq!(sharing(Udp, Family::Inet6, true), [1, 2, 3]);
    assert_eq!(sharing(Udp, Family::Inet6, false), [3, 2, 1]);
    assert_eq!(sharing(Udp, Family::Inet, true), [3, 2, 1]);
    assert_eq!(sharing(Tcp, Family::Inet6, true), [3, 2, 1]);
    assert_eq!(sharing(Tcp, Family::Inet, false), [3, 2, 1]);
}

/// Who is filed anew comes before all others, and who shares a UDP port in IPv6 behind them.
#[test]
fn places_among_sockets_of_one_port() {
    let mut host = host();
    let on = |id| Socket { id: SocketId(id), ..fresh(Tcp, Family::Inet) };
    let first = bound(&mut host, &on(1), "127.0.0.1", 8080);
    let second = bound(&mut host, &on(2), "127.0.0.2", 8080);
    let listening = settle(&mut host, &first, &Call::Listen(1), Outcome::Ok, None);
    assert!(first.filed < second.filed && second.filed < listening.filed);
    assert_eq!(host.sockets.get(SocketId(1)).map(|s| s.filed), Some(listening.filed));
    let sharing = |id| {
        let mut socket = Socket { id: SocketId(id), ..fresh(Udp, Family::Inet6) };
        socket.options.reuseport = Some(true);
        socket
    };
    let oldest = bound(&mut host, &sharing(3), "::", 5353);
    let newest = bound(&mut host, &sharing(4), "::", 5353);
    assert!(newest.filed < oldest.filed && oldest.filed < first.filed);
}

/// Only listeners of IPv6 that share the port are filed behind the others.
#[test]
fn places_among_listeners() {
    let is_last = |family: Family, shares| {
        let mut host = host();
        let socket = |id| {
            let mut socket = Socket { id: SocketId(id), ..fresh(Tcp, family) };
            socket.options.reuseport = Some(shares);
            socket
        };
        let ip = if family == Family::Inet { "127.0.0.1" } else { "::1" };
        let mut listening = |id| {
            let bound = bound(&mut host, &socket(id), ip, 8080);
            settle(&mut host, &bound, &Call::Listen(1), Outcome::Ok, None)
        };
        let (first, second) = (listening(1), listening(2));
        second.filed < first.filed
    };
    assert!(is_last(Family::Inet6, true));
    assert!(!is_last(Family::Inet6, false));
    assert!(!is_last(Family::Inet, true) && !is_last(Family::Inet, false));
}

/// UDP sockets join a group when they are bound, TCP sockets when they listen.
#[test]
fn groups() {
    let grouped = |s: &Socket| matches!(s.group, Membership::Group(_));
    let joined = |protocol, shares| {
        let mut host = host();
        let mut socket = fresh(protocol, Family::Inet);
        socket.options.reuseport = Some(shares);
        let bound = bound(&mut host, &socket, "127.0.0.1", 8080);
        let listening = settle(&mut host, &bound, &Call::Listen(1), Outcome::Ok, None);
        (grouped(&bound), grouped(&listening))
    };
    assert!(joined(Udp, true).0 && !joined(Udp, false).0);
    // Each port has groups of its own.
    let mut host = host();
    let mut group = |id, port| {
        let mut socket = Socket { id: SocketId(id), ..fresh(Udp, Family::Inet) };
        socket.options.reuseport = Some(true);
        bound(&mut host, &socket, "127.0.0.1", port).group
    };
    let (one, same, other) = (group(1, 8080), group(2, 8080), group(3, 8081));
    assert!(one == same && one != other);
    assert_eq!(joined(Tcp, true), (false, true));
    assert_eq!(joined(Tcp, false), (false, false));
}

#[test]
fn listen_listens() {
    let mut host = host();
    let socket = bound(&mut host, &fresh(Tcp, Family::Inet), "127.0.0.1", 8080);
    let listening = settle(&mut host, &socket, &Call::Listen(1), Outcome::Ok, None);
    assert_eq!(listening, Socket { state: State::Listen, filed: listening.filed, ..socket });
    assert_eq!(host.sockets.on(8080).unwrap(), [listening]);
    // A second one changes nothing, nor does one that fails.
    let mut shares = listening;
    shares.options.reuseport = Some(true);
    assert_eq!(settle(&mut host, &shares, &Call::Listen(5), Outcome::Ok, None), shares);
    let refused = Outcome::Errno(Errno::EADDRINUSE);
    assert_eq!(settle(&mut host, &socket, &Call::Listen(1), refused, None), socket);
    assert_eq!(order(&host, 8080), [1]);
    // Without a port it takes the one that the kernel chose.
    let unbound = Socket { id: SocketId(2), ..fresh(Tcp, Family::Inet6) };
    let listening = settle(&mut host, &unbound, &Call::Listen(1), Outcome::Ok, Some(40001));
    let of_listen = Socket { state: State::Listen, filed: listening.filed, ..unbound };
    let expected = Socket { port: 40001, port_by_bind: Some(false), ..of_listen };
    assert_eq!((listening, order(&host, 40001)), (expected, vec![2]));
}

#[test]
fn an_option_is_set_on_the_socket_that_holds_a_port() {
    let mut host = host();
    let socket = bound(&mut host, &fresh(Tcp, Family::Inet), "127.0.0.1", 8080);
    let option = Call::SetOption(SockOption::ReuseAddr(true));
    let changed = settle(&mut host, &socket, &option, Outcome::Ok, None);
    assert_eq!(changed.options.reuseaddr, Some(true));
    assert_eq!(host.sockets.on(8080).unwrap(), [changed]);
    let refused = Outcome::Errno(Errno::EPERM);
    assert_eq!(settle(&mut host, &socket, &option, refused, None), socket);
}

/// A host whose port 8080 was shared by two sockets, the first of which shares its address only;
/// a third that shares the port is remembered to be fine.
fn shared() -> (Host, [Socket; 2]) {
    let mut host = host();
    let sockets =
        [(Some(true), Some(false)), (Some(true), Some(true))].map(|(reuseaddr, reuseport)| {
            let mut socket = fresh(Tcp, Family::Inet);
            (socket.options.reuseaddr, socket.options.reuseport) = (reuseaddr, reuseport);
            socket.id = SocketId(if reuseport == Some(true) { 2 } else { 1 });
            bound(&mut host, &socket, "127.0.0.1", 8080)
        });
    (host, sockets)
}

/// What a socket that shares the port is told now.
fn third(host: &Host) -> String {
    answer(case(Tcp, "127.0.0.1", 8080), |c| {
        c.host = host.clone();
        c.request.socket.options.reuseport = Some(true);
    })
}

#[test]
fn a_memory_goes_with_the_last_socket() {
    let (mut host, [first, second]) = shared();
    assert_eq!(third(&host), "ok");
    close(&mut host, &second);
    assert_eq!(order(&host, 8080), [1]);
    assert_eq!(third(&host), "ok", "of the first, which is in the way, nobody asks");
    close(&mut host, &first);
    assert!(order(&host, 8080).is_empty());
    assert!(host.buckets.value().unwrap().on(8080).is_none());
    let plain = Socket { id: SocketId(3), ..fresh(Tcp, Family::Inet) };
    bound(&mut host, &plain, "127.0.0.1", 8080);
    assert_eq!(third(&host), "EADDRINUSE", "nothing is remembered");
    // UDP has no such memory, and touches none.
    let (mut host, _) = shared();
    let udp = bound(
        &mut host,
        &Socket { id: SocketId(9), ..fresh(Udp, Family::Inet) },
        "127.0.0.1",
        8080,
    );
    close(&mut host, &udp);
    assert_eq!((order(&host, 8080), third(&host).as_str()), (vec![2, 1], "ok"));
}

/// What is left of a shared port once its bound sockets are gone and a client's is there.
fn left_to_a_client(change: impl FnOnce(&mut Host)) -> String {
    let (mut host, [first, second]) = shared();
    change(&mut host);
    let client = Socket { port_by_connect: Some(true), id: SocketId(7), ..first };
    host.sockets.push_front(client);
    close(&mut host, &first);
    assert_eq!(third(&host), "ok");
    close(&mut host, &second);
    third(&host)
}

#[test]
fn a_port_held_by_connect_only_forgets_since_6_18() {
    let on = |version| left_to_a_client(|h| h.kernel = kernel(version));
    assert_eq!(on(Version::new(6, 18, 0)), "EADDRINUSE");
    assert_eq!(on(Version::new(6, 16, 0)), "ok");
    assert_eq!(on(Version::new(6, 17, 1)), "EADDRINUSE|ok", "nobody looked");
    // A probe outranks the version, as distributions port such changes back.
    let probed = |has, version| {
        left_to_a_client(|h| {
            let feature = linux::BUCKET_FORGETS_ON_CLOSE.id.into();
            h.probed.push(Probed { feature, has, from: "test".into() });
            h.kernel = kernel(version);
        })
    };
    assert_eq!(probed(true, Version::new(6, 12, 0)), "EADDRINUSE");
    assert_eq!(probed(false, Version::new(6, 18, 0)), "ok");
    assert_eq!(probed(true, Version::new(6, 17, 0)), "EADDRINUSE");
}

#[test]
fn both_ends_of_a_connection() {
    let ends = |client: Family, listener: Family, src: &str, dst: &str| {
        let mut host = host();
        let at = listener.unspecified().to_string();
        let listener = bound(&mut host, &fresh(Tcp, listener), &at, 8080);
        let listener = settle(&mut host, &listener, &Call::Listen(1), Outcome::Ok, None);
        let client = Socket { id: SocketId(2), port: 40000, ..fresh(Tcp, client) };
        let addresses = (src.parse().unwrap(), dst.parse().unwrap());
        let (near, far) = connected(&mut host, &client, &listener, SocketId(3), addresses);
        assert_eq!(host.sockets.on(40000).unwrap(), [near]);
        assert_eq!(host.sockets.on(8080).unwrap(), [far, listener]);
        assert_eq!((near.state, far.state), (State::Established, State::Established));
        assert_eq!(
            (far.id, far.port, far.port_by_bind, far.group),
            (SocketId(3), 8080, Some(false), Membership::None)
        );
        let text = |s: &Socket| format!("{} {}", s.ip, s.remote.unwrap());
        (text(&near), text(&far))
    };
    let (inet, inet6) = (Family::Inet, Family::Inet6);
    let of = |near: &str, far: &str| (near.to_owned(), far.to_owned());
    assert_eq!(
        ends(inet, inet, "127.0.0.1", "127.0.0.2"),
        of("127.0.0.1 127.0.0.2:8080", "127.0.0.2 127.0.0.1:40000")
    );
    assert_eq!(ends(inet6, inet6, "::1", "::1"), of("::1 [::1]:8080", "::1 [::1]:40000"));
    assert_eq!(
        ends(inet, inet6, "127.0.0.1", "127.0.0.1"),
        of("127.0.0.1 127.0.0.1:8080", "::ffff:127.0.0.1 [::ffff:127.0.0.1]:40000")
    );
    assert_eq!(
        ends(inet6, inet, "127.0.0.1", "127.0.0.1"),
        of("::ffff:127.0.0.1 [::ffff:127.0.0.1]:8080", "127.0.0.1 127.0.0.1:40000")
    );
}

/// A link-local address means something on one interface only: the new socket is bound to that of
/// the client, unless the listener is bound to one.
#[test]
fn the_device_of_an_accepted_socket() {
    let device = |src: &str, listener, client| {
        let mut host = host();
        let listener = Socket { device: listener, port: 8080, ..fresh(Tcp, Family::Inet6) };
        let client = Socket { id: SocketId(2), port: 40000, device: client, ..listener };
        let src = src.parse().unwrap();
        connected(&mut host, &client, &listener, SocketId(3), (src, src)).1.device
    };
    assert_eq!(device("fe80::10", 0, 2), 2);
    assert_eq!(device("2001:db8::10", 0, 2), 0);
    assert_eq!(device("fe80::10", 3, 2), 3);
    assert_eq!(device("2001:db8::10", 3, 2), 3);
}

#[test]
fn a_client_that_was_bound_stays_where_it_is() {
    let mut host = host();
    let listener = bound(&mut host, &fresh(Tcp, Family::Inet), "127.0.0.1", 8080);
    let client = Socket { id: SocketId(2), ..fresh(Tcp, Family::Inet) };
    let client = bound(&mut host, &client, "127.0.0.3", 9000);
    let other = Socket { id: SocketId(4), options: client.options, ..client };
    let other = host.sockets.push_front(other);
    let local = "127.0.0.1".parse().unwrap();
    let (near, _) = connected(&mut host, &client, &listener, SocketId(3), (local, local));
    assert_eq!(near.ip, client.ip, "the address was chosen by bind");
    assert_eq!(host.sockets.on(9000).unwrap(), [other, near]);
    let left = time_wait(&mut host, &near);
    assert_eq!(left, Socket { state: State::TimeWait, ..near });
    assert_eq!(host.sockets.on(9000).unwrap(), [other, left]);
    assert_eq!(left.remote, near.remote);
    assert!(matches!(host.buckets, Fact::Known { .. }));
}
