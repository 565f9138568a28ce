//! What the recordings of macOS do not reach: malformed addresses, zones, gates, facts that are
//! missing, fixes.

use std::net::IpAddr;

use crate::xnu::{LAN, answer, case, known_lan, unknown_lan};
use portwise_model::{
    AF_INET, AF_INET6, Call, Case, Fact, FactKey, Family, Host, IfAddr, Missing, Protocol,
    SockAddr, Socket, SocketId, State, decide, fix, xnu as kernel,
};

#[test]
fn gates_leave_the_answer_open_only_where_they_are() {
    let mut asked = case(known_lan("10.14.2"), Protocol::Tcp, 501, "127.0.0.1", 8080);
    assert_eq!(answer(&asked), "ok");
    let gates = ["mac", "socket-filter", "flow-divert", "network-framework"];
    let gates = gates.map(Into::into).to_vec();
    asked.host.policies = Fact::known(gates, "test");
    assert_eq!(answer(&asked), "EPERM|EPROTOTYPE|EADDRINUSE|ok");
    asked.host.kernel = kernel::from_macos("15").unwrap();
    assert_eq!(answer(&asked), "EPERM|EADDRINUSE|ok");
}

#[test]
fn each_gate_by_itself() {
    let ask = |gate: &'static str, port, listen| {
        let mut asked = case(known_lan("10.14.2"), Protocol::Tcp, 501, "127.0.0.1", port);
        asked.host.policies = Fact::known(vec![gate.into()], "test");
        if listen {
            asked.request.call = Call::Listen(1);
        }
        answer(&asked)
    };
    assert_eq!((ask("mac", 8080, false).as_str(), ask("mac", 0, true).as_str()), GATED);
    assert_eq!(
        (ask("socket-filter", 8080, false).as_str(), ask("socket-filter", 0, true).as_str()),
        GATED
    );
    assert_eq!(ask("flow-divert", 0, true), "EPROTOTYPE|ok");
    assert_eq!(ask("network-framework", 8080, false), "EADDRINUSE|ok");
    assert_eq!(ask("network-framework", 0, false), "ok");
}

const GATED: (&str, &str) = ("EPERM|ok", "EPERM|ok");

#[test]
fn a_mapped_address_of_a_v6only_socket_is_ipv6() {
    let mut asked = case(unknown_lan("15"), Protocol::Tcp, 501, "::ffff:0.0.0.0", 80);
    asked.request.socket.v6only = true;
    assert_eq!(answer(&asked), "EADDRNOTAVAIL|EACCES");
}

#[test]
fn malformed_addresses() {
    let ask = |protocol, ip: &str, change: fn(&mut SockAddr)| {
        let mut asked = case(known_lan("10.14.2"), protocol, 501, ip, 8080);
        let Call::Bind(addr) = &mut asked.request.call else { unreachable!() };
        change(addr);
        answer(&asked)
    };
    let (tcp, udp, any4, any6) = (Protocol::Tcp, Protocol::Udp, "0.0.0.0", "::");
    for ip in [any4, any6] {
        assert_eq!(ask(tcp, ip, |a| a.len = 1), "EINVAL");
        assert_eq!(ask(udp, ip, |a| a.len = 2), "EINVAL");
        assert_eq!(ask(udp, ip, |a| a.len = 255), "EINVAL");
        assert_eq!(ask(udp, ip, |a| a.len = 256), "ENAMETOOLONG");
    }
    let short = |len| {
        let mut asked = case(known_lan("10.14.2"), tcp, 501, any4, 8080);
        let Call::Bind(addr) = &mut asked.request.call else { unreachable!() };
        addr.len = len;
        decide(&asked).obstacles().next().unwrap().rule.id
    };
    assert_eq!(short(0), "xnu.bind.sockaddr-too-short");
    assert_eq!(short(1), "xnu.bind.sockaddr-too-short");
    assert_eq!(short(2), "xnu.bind.sockaddr-in-length");
    assert_eq!(ask(tcp, any4, |a| a.family = 0), "ok");
    assert_eq!(ask(tcp, any4, |a| a.family = AF_INET6), "EAFNOSUPPORT");
    assert_eq!(ask(tcp, any4, |a| a.len = 15), "EINVAL");
    assert_eq!(ask(udp, any4, |a| a.family = 1), "EAFNOSUPPORT");
    assert_eq!(ask(udp, any4, |a| a.family = AF_INET6), "ok");
    assert_eq!(ask(tcp, any6, |a| a.family = 0), "EAFNOSUPPORT");
    assert_eq!(ask(udp, any6, |a| a.family = AF_INET), "EAFNOSUPPORT");
    assert_eq!(ask(udp, any6, |a| a.len = 27), "EINVAL");
    // The kernel makes the IPv4 address of a mapped one itself.
    assert_eq!(ask(tcp, "::ffff:127.0.0.1", |a| (a.len, a.family) = (24, 0)), "ok");
}

#[test]
fn link_local_addresses_want_their_zone() {
    let ask = |ip: &str, zone: u32, complete: bool| {
        let mut host = known_lan("10.14.2");
        let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
        value.complete = complete;
        let mut asked = case(host, Protocol::Udp, 501, ip, 8080);
        let Call::Bind(addr) = &mut asked.request.call else { unreachable!() };
        addr.scope = zone;
        answer(&asked)
    };
    assert_eq!(ask("fe80::1", 1, true), "ok");
    assert_eq!(ask("fe80::1", 0, true), "EADDRNOTAVAIL");
    assert_eq!(ask("fe80::1", 4, true), "EADDRNOTAVAIL");
    assert_eq!(ask("fe80::1", 3, true), "EADDRNOTAVAIL");
    assert_eq!(ask("fe80::1", 5, true), "EINVAL");
    assert_eq!(ask("fe80::1", 5, false), "EINVAL|EADDRNOTAVAIL|ok");
    assert_eq!(ask("ff02::fb", 5, true), "EINVAL");
    assert_eq!(ask("::1", 5, true), "ok");
}

#[test]
fn zones_keep_sockets_apart() {
    let held = |zone: u32| {
        let mut host = known_lan("10.14.2");
        let mut holder = Socket::new(SocketId(1), Family::Inet6, Protocol::Udp, 501);
        (holder.ip, holder.port, holder.device) = ("fe80::1".parse().unwrap(), 8080, zone);
        host.sockets.push_front(holder);
        let mut asked = case(host, Protocol::Udp, 501, "fe80::1", 8080);
        let Call::Bind(addr) = &mut asked.request.call else { unreachable!() };
        addr.scope = 1;
        answer(&asked)
    };
    assert_eq!((held(1).as_str(), held(4).as_str()), ("EADDRINUSE", "ok"));
}

#[test]
fn a_host_without_addresses() {
    let mut host = known_lan("15");
    let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
    for interface in &mut value.list {
        interface.addresses.retain(|a| a.ip.is_ipv6());
    }
    let ask = |host: &Host, ip| answer(&case(host.clone(), Protocol::Tcp, 501, ip, 8080));
    assert_eq!(ask(&host, "0.0.0.0"), "EADDRNOTAVAIL");
    assert_eq!(ask(&host, "::ffff:0.0.0.0"), "EADDRNOTAVAIL");
    assert_eq!(ask(&host, "::"), "ok");
    let listen = |host: &Host, ip| {
        let mut asked = case(host.clone(), Protocol::Tcp, 501, ip, 0);
        asked.request.call = Call::Listen(1);
        answer(&asked)
    };
    assert_eq!(
        (listen(&host, "0.0.0.0").as_str(), listen(&host, "::").as_str()),
        ("EADDRNOTAVAIL", "ok")
    );
    host.interfaces = Fact::known(Default::default(), "test");
    assert_eq!(ask(&host, "::"), "EADDRNOTAVAIL|ok");
    let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
    value.complete = true;
    assert_eq!(
        (ask(&host, "::").as_str(), listen(&host, "::").as_str()),
        ("EADDRNOTAVAIL", "EADDRNOTAVAIL")
    );
}

#[test]
fn listen_wants_an_unconnected_stream() {
    let ask = |protocol, state, port| {
        let mut asked = case(known_lan("15"), protocol, 501, "127.0.0.1", 0);
        asked.request.call = Call::Listen(1);
        (asked.request.socket.state, asked.request.socket.port) = (state, port);
        answer(&asked)
    };
    assert_eq!(ask(Protocol::Udp, State::Closed, 8080), "EOPNOTSUPP");
    assert_eq!(ask(Protocol::Tcp, State::Closed, 8080), "ok");
    assert_eq!(ask(Protocol::Tcp, State::Listen, 8080), "ok");
    for state in [State::Established, State::CloseWait, State::Closing] {
        assert_eq!(ask(Protocol::Tcp, state, 8080), "EINVAL");
    }
}

#[test]
fn what_a_stopped_server_leaves_behind() {
    let ask = |reuseaddr| {
        let mut host = known_lan("15");
        let mut left = Socket::new(SocketId(1), Family::Inet, Protocol::Tcp, 501);
        left.state = State::TimeWait;
        (left.ip, left.port) = ("127.0.0.1".parse().unwrap(), 8080);
        left.remote = Some("127.0.0.1:50000".parse().unwrap());
        host.sockets.push_front(left);
        let mut asked = case(host, Protocol::Tcp, 501, "127.0.0.1", 8080);
        asked.request.socket.options.reuseaddr = Some(reuseaddr);
        answer(&asked)
    };
    assert_eq!((ask(false).as_str(), ask(true).as_str()), ("EADDRINUSE", "ok"));
}

#[test]
fn what_is_not_known_about_sockets_stays_open() {
    let mut host = known_lan("15");
    let mut holder = Socket::new(SocketId(1), Family::Inet, Protocol::Tcp, 501);
    (holder.ip, holder.port) = ("127.0.0.1".parse().unwrap(), 8080);
    host.sockets.push_front(holder);
    let ask = |host: &Host, reuseport| {
        let mut asked = case(host.clone(), Protocol::Tcp, 501, "127.0.0.1", 8080);
        asked.request.socket.options.reuseport = Some(reuseport);
        answer(&asked)
    };
    assert_eq!(
        (ask(&host, false).as_str(), ask(&host, true).as_str()),
        ("EADDRINUSE", "EADDRINUSE")
    );
    let there = host.sockets.get_mut(8080, SocketId(1)).unwrap();
    (there.uid, there.options.reuseport) = (None, None);
    // Whoever it is and whatever it shares: a socket that shares with nobody is in its way.
    assert_eq!(
        (ask(&host, false).as_str(), ask(&host, true).as_str()),
        ("EADDRINUSE", "EADDRINUSE|ok")
    );

    let mut hiding = known_lan("15");
    let why = Missing::new(FactKey::Sockets(8080), "some are hidden", "");
    hiding.sockets.hidden = Some(why.clone());
    assert_eq!(ask(&hiding, false), "EADDRINUSE|ok");
    host.sockets.hidden = Some(why);
    assert_eq!(ask(&host, false), "EADDRINUSE");
    let there = host.sockets.get_mut(8080, SocketId(1)).unwrap();
    (there.uid, there.options.reuseport) = (Some(501), Some(false));
    // A hidden one may fit better than the one in the way, and share.
    assert_eq!(
        (ask(&host, false).as_str(), ask(&host, true).as_str()),
        ("EADDRINUSE", "EADDRINUSE|ok")
    );
    let there = host.sockets.get_mut(8080, SocketId(1)).unwrap();
    there.options.reuseport = Some(true);
    assert_eq!(ask(&host, true), "EADDRINUSE|ok");
}

/// A hidden socket changes nothing for one that shares with nobody, except where the kernel lets
/// sockets on wildcards be: the one it asks may then hide others.
#[test]
fn hidden_sockets_behind_the_one_in_the_way() {
    let ask = |ip: &str, v6only, holder: &str| {
        let mut host = known_lan("15");
        let ip_of: IpAddr = holder.parse().unwrap();
        let mut there = Socket::new(SocketId(1), Family::of(ip_of), Protocol::Tcp, 501);
        (there.ip, there.port) = (ip_of, 8080);
        host.sockets.push_front(there);
        host.sockets.hidden = Some(Missing::new(FactKey::AllSockets, "some are hidden", ""));
        let mut asked = case(host, Protocol::Tcp, 501, ip, 8080);
        asked.request.socket.v6only = v6only;
        answer(&asked)
    };
    assert_eq!(ask("127.0.0.1", false, "127.0.0.1"), "EADDRINUSE");
    assert_eq!(ask("0.0.0.0", false, "127.0.0.1"), "EADDRINUSE");
    assert_eq!(ask("::1", false, "::1"), "EADDRINUSE");
    assert_eq!(ask("::", true, "::1"), "EADDRINUSE");
    assert_eq!(ask("::", false, "::1"), "EADDRINUSE|ok");
    assert_eq!(ask("::ffff:0.0.0.0", false, "127.0.0.1"), "EADDRINUSE|ok");
    assert_eq!(ask("::ffff:127.0.0.1", false, "127.0.0.1"), "EADDRINUSE");
}

#[test]
fn fixes_of_the_question() {
    let asked = case(unknown_lan("10.14.2"), Protocol::Tcp, 501, "127.0.0.1", 80);
    assert_eq!(
        fix_ids(&asked),
        [
            "xnu.another-port",
            "xnu.every-address-drop-peers",
            "xnu.this-run",
            "xnu.launchd-sockets",
            "xnu.pf-redirect",
        ]
    );
    let old = case(unknown_lan("10.13.6"), Protocol::Tcp, 501, "0.0.0.0", 80);
    assert_eq!(fix_ids(&old), ["xnu.another-port", "xnu.this-run", "xnu.launchd-sockets"]);
    let absent = case(known_lan("15"), Protocol::Tcp, 501, "127.0.0.2", 8080);
    assert_eq!(fix_ids(&absent), ["xnu.every-address-drop-peers", "xnu.add-address4"]);
}

#[test]
fn fixes_against_a_holder() {
    let ask = |holder_ip: &str, holder_uid, reuseport, ip: &str| {
        let mut host = known_lan("15");
        let holder_ip: IpAddr = holder_ip.parse().unwrap();
        let family = Family::of(holder_ip);
        let mut holder = Socket::new(SocketId(1), family, Protocol::Tcp, holder_uid);
        (holder.ip, holder.port, holder.state) = (holder_ip, 8080, State::Listen);
        holder.options.reuseport = Some(reuseport);
        host.sockets.push_front(holder);
        fix_ids(&case(host, Protocol::Tcp, 501, ip, 8080)).join(" ")
    };
    let (port, both, stop) = ("xnu.another-port", "xnu.reuseport-on-both", "xnu.stop-holder");
    let addr = "xnu.reuseaddr";
    assert_eq!(ask("127.0.0.1", 501, false, "127.0.0.1"), format!("{port} {both} {stop}"));
    assert_eq!(ask("0.0.0.0", 501, false, "127.0.0.1"), format!("{addr} {port} {both} {stop}"));
    assert_eq!(ask("0.0.0.0", 502, false, "127.0.0.1"), format!("{port} {stop}"));
    assert_eq!(ask("::", 502, false, "::1"), format!("{port} {stop}"));
    assert_eq!(
        ask("127.0.0.1", 501, false, "::"),
        format!("{addr} {port} xnu.v6only {both} {stop}")
    );
    assert_eq!(ask("127.0.0.1", 502, false, "::"), format!("{port} xnu.v6only {stop}"));
}

#[test]
fn stopping_the_holder_leaves_its_connections() {
    let mut host = known_lan("15");
    let mut holder = Socket::new(SocketId(1), Family::Inet, Protocol::Tcp, 501);
    (holder.ip, holder.port) = ("127.0.0.1".parse().unwrap(), 8080);
    host.sockets.push_front(holder);
    let remote = Some("127.0.0.1:50000".parse().unwrap());
    host.sockets.push_front(Socket { id: SocketId(2), state: State::TimeWait, remote, ..holder });
    let asked = case(host, Protocol::Tcp, 501, "127.0.0.1", 8080);
    assert_eq!(fix_ids(&asked), ["xnu.another-port", "xnu.reuseport-on-both"]);
}

#[test]
fn fixes_of_addresses() {
    let mut host = known_lan("15");
    let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
    let of_en0 = IfAddr { ip: "fe80::20".parse().unwrap(), ..value.list[1].addresses[1] };
    value.list[1].addresses.push(of_en0);
    let mut zoneless = case(host, Protocol::Tcp, 501, "fe80::20", 8080);
    assert_eq!(fix_ids(&zoneless), ["xnu.add-zone", "xnu.every-address"]);
    let Call::Bind(addr) = &mut zoneless.request.call else { unreachable!() };
    addr.scope = 9;
    assert_eq!(fix_ids(&zoneless), ["xnu.add-zone"]);
    for ip in ["255.255.255.255", "::ffff:203.0.113.1"] {
        let nobodys = case(known_lan("15"), Protocol::Udp, 501, ip, 8080);
        assert_eq!(fix_ids(&nobodys), ["xnu.every-address"], "{ip}");
    }
    let mut v6only = case(known_lan("15"), Protocol::Udp, 501, "::ffff:203.0.113.1", 8080);
    v6only.request.socket.v6only = true;
    assert!(fix_ids(&v6only).is_empty());
    let foreign = case(known_lan("15"), Protocol::Tcp, 501, "2001:db8::99", 8080);
    assert_eq!(fix_ids(&foreign), ["xnu.every-address", "xnu.add-address6"]);
    let lan = case(known_lan("15"), Protocol::Tcp, 501, LAN[0], 80);
    assert_eq!(
        fix_ids(&lan),
        ["xnu.another-port", "xnu.every-address", "xnu.this-run", "xnu.launchd-sockets",]
    );
    let mapped = case(known_lan("15"), Protocol::Tcp, 501, "::ffff:127.0.0.1", 80);
    let verdict = decide(&mapped);
    let proven = fix::fixes(&mapped, &verdict, |_, _| false);
    let wide = proven.iter().find(|p| p.fix.id == "xnu.every-address-drop-peers").unwrap();
    let Call::Bind(addr) = wide.case.request.call else { unreachable!() };
    assert_eq!(addr.ipv6().to_string(), "::ffff:0.0.0.0");
    let mut low = case(known_lan("15"), Protocol::Tcp, 501, "0.0.0.0", 0);
    low.request.socket.options.portrange_low = true;
    assert_eq!(fix_ids(&low), ["xnu.clear-low-range", "xnu.this-run"]);
}

fn fix_ids(case: &Case) -> Vec<&'static str> {
    let verdict = decide(case);
    fix::fixes(case, &verdict, |_, _| false).iter().map(|proven| proven.fix.id).collect()
}
