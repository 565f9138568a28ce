//! What needs a network namespace of its own: changes, and sockets nobody else may disturb.
#![cfg(target_os = "linux")]
// To enter the namespace between fork(2) and execve(2).
#![allow(unsafe_code)]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::in_private_network;
use portwise_sys::Errno;
use portwise_sys::ns::{self, Kind, Namespace};
use portwise_sys::rtnetlink::{Link, RT_TABLE_LOCAL, RT_TABLE_MAIN, Route, RtNetlink};
use portwise_sys::sock::{Address, Socket, SocketOption};
use portwise_sys::sockdiag::{
    AF_INET, AF_INET6, ALL_STATES, DiagSocket, SockDiag, SocketQuery, State, TCP, Timer, UDP,
};

const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> Address {
    Address::new(text.parse().unwrap())
}

fn socket(family: i32, kind: i32) -> Socket {
    Socket::new(family, kind, 0).unwrap()
}

fn bound(text: &str) -> Socket {
    let made = socket(family(text), libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
    made.bind(&address(text)).unwrap();
    made
}

fn family(text: &str) -> i32 {
    if text.starts_with('[') { libc::AF_INET6 } else { libc::AF_INET }
}

fn listener(text: &str) -> Socket {
    let made = bound(text);
    made.listen(7).unwrap();
    made
}

fn rows(family: u8, protocol: u16, states: u32) -> Vec<DiagSocket> {
    let query = SocketQuery { family, protocol, states, local_port: None };
    SockDiag::open().unwrap().query(&query).unwrap()
}

fn link_named(rt: &mut RtNetlink, name: &str) -> Link {
    rt.links().unwrap().into_iter().find(|link| link.name == name).unwrap()
}

#[test]
fn links_addresses_and_routes_are_made() {
    if !in_private_network("links_addresses_and_routes_are_made") {
        return;
    }
    let mut rt = RtNetlink::open().unwrap();
    rt.add_veth("a", "b").unwrap();
    assert_eq!(rt.add_veth("a", "c").unwrap_err().errno, Errno::EEXIST);
    let (a, b) = (link_named(&mut rt, "a"), link_named(&mut rt, "b"));
    assert_eq!((a.kind.as_deref(), a.is_up()), (Some("veth"), false));
    rt.set_up(a.index).unwrap();
    rt.set_up(b.index).unwrap();
    assert!(link_named(&mut rt, "a").is_lower_up());

    let (v4, v6): (Ipv4Addr, IpAddr) = ("10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap());
    let broadcast = "10.1.2.77".parse().unwrap();
    rt.add_broadcast_address(a.index, v4, 24, broadcast).unwrap();
    rt.add_address(a.index, v6, 64, true).unwrap();
    let addresses = rt.addresses().unwrap();
    let found = addresses.iter().find(|found| found.local == v4).unwrap();
    assert_eq!((found.prefix, found.interface), (24, a.index));
    assert_eq!((found.broadcast, found.peer), (Some(broadcast.into()), None));
    let found = addresses.iter().find(|found| found.local == v6).unwrap();
    assert_eq!(found.flags & portwise_sys::rtnetlink::Address::IFA_F_TENTATIVE, 0, "no DAD");
    bound("[fd00::1]:80");

    let network = "192.0.2.0".parse().unwrap();
    rt.add_route(Route::LOCAL, network, 24, Some(1), RT_TABLE_LOCAL).unwrap();
    rt.add_route(Route::BLACKHOLE, network, 25, None, 4711).unwrap();
    bound("192.0.2.99:80");
    let local = rt.routes(Some(RT_TABLE_LOCAL)).unwrap();
    let is_broadcast = |route: &&Route| route.kind == Route::BROADCAST;
    assert!(local.iter().filter(is_broadcast).any(|r| r.destination == Some(broadcast.into())));
    assert!(local.iter().any(|r| r.destination == Some(network) && r.prefix == 24));
    let made = rt.routes(Some(4711)).unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].kind, made[0].prefix), (Route::BLACKHOLE, 25));
    assert_eq!(rt.rules(AF_INET).unwrap().iter().filter(|rule| rule.is_initial()).count(), 3);

    rt.delete_address(a.index, v6, 64).unwrap();
    assert!(!rt.addresses().unwrap().iter().any(|found| found.local == v6));
    rt.delete_link(a.index).unwrap();
    assert_eq!(rt.links().unwrap().iter().filter(|link| link.kind.is_some()).count(), 0);
    assert_eq!(rt.set_up(a.index).unwrap_err().errno, Errno::ENODEV);
}

#[test]
fn a_link_moves_to_another_namespace() {
    if !in_private_network("a_link_moves_to_another_namespace") {
        return;
    }
    let home = Namespace::of_thread(Kind::Net).unwrap();
    let mut rt = RtNetlink::open().unwrap();
    rt.add_veth("a", "b").unwrap();
    let b = link_named(&mut rt, "b").index;
    ns::unshare(&[Kind::Net]).unwrap();
    assert_ne!(ns::own_id(Kind::Net).unwrap(), home.id().unwrap());
    rt.move_link(b, &Namespace::of_thread(Kind::Net).unwrap()).unwrap();
    link_named(&mut RtNetlink::open().unwrap(), "b");
    home.enter(Kind::Net).unwrap();
    assert_eq!(ns::own_id(Kind::Net).unwrap(), home.id().unwrap());
}

#[test]
fn a_vrf_tells_its_table() {
    if !in_private_network("a_vrf_tells_its_table") {
        return;
    }
    let mut rt = RtNetlink::open().unwrap();
    if let Err(error) = rt.add_vrf("red", 77) {
        portwise_sys::not_run!("{error}");
        return;
    }
    rt.add_dummy("d").unwrap();
    let (red, d) = (link_named(&mut rt, "red"), link_named(&mut rt, "d"));
    assert_eq!((red.kind.as_deref(), red.vrf_table), (Some("vrf"), Some(77)));
    rt.set_master(d.index, red.index).unwrap();
    assert_eq!(link_named(&mut rt, "d").master, Some(red.index));
    assert!(rt.rules(AF_INET).unwrap().iter().any(|rule| rule.l3mdev && !rule.is_initial()));
}

#[test]
fn the_owner_of_a_namespace_is_told() {
    if !in_private_network("the_owner_of_a_namespace_is_told") {
        return;
    }
    let network = Namespace::of_thread(Kind::Net).unwrap();
    let owner = network.owner().unwrap();
    assert_eq!(owner.id().unwrap(), ns::own_id(Kind::User).unwrap());
    assert_eq!(owner.owner_uid().unwrap(), 0, "its maker, as mapped inside");
    assert_eq!(owner.parent().unwrap_err().errno, Errno::EPERM, "the parent is out of sight");
    assert_eq!(network.parent().unwrap_err().errno, Errno::EINVAL, "only user and pid have one");
    assert_eq!(Namespace::open("/proc/self/status").unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn bound_inactive_sockets_are_seen_only_if_asked_for() {
    if !in_private_network("bound_inactive_sockets_are_seen_only_if_asked_for") {
        return;
    }
    let four = bound("127.0.0.1:80");
    let six = bound("[::]:81");
    let mut diag = SockDiag::open().unwrap();
    if !diag.probe_bound_inactive().unwrap() {
        portwise_sys::not_run!("this kernel does not show bound-inactive sockets");
        return;
    }
    let bit = State::BOUND_INACTIVE.bit();
    assert_eq!(rows(AF_INET, TCP, ALL_STATES & !bit), []);
    for (family, made, port) in [(AF_INET, four, 80), (AF_INET6, six, 81)] {
        let found = rows(family, TCP, bit);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].state, found[0].local.1), (State::CLOSE, port));
        assert_eq!(found[0].cookie, made.cookie().unwrap());
        assert_eq!(found[0].inode, made.inode().unwrap());
        let query = SocketQuery { family, protocol: TCP, states: bit, local_port: Some(port) };
        assert_eq!(diag.query(&query).unwrap(), found);
        let other = SocketQuery { local_port: Some(port + 2), ..query };
        assert_eq!(diag.query(&other).unwrap(), []);
    }
}

#[test]
fn time_wait_is_seen_and_can_be_ended() {
    if !in_private_network("time_wait_is_seen_and_can_be_ended") {
        return;
    }
    let server = listener("127.0.0.1:80");
    let client = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
    client.connect_within(&address("127.0.0.1:80"), SECOND).unwrap();
    let (accepted, peer) = server.accept_within(SECOND).unwrap();
    assert_eq!(peer, client.local_address().unwrap());
    // The side that closes first waits.
    drop(accepted);
    let mut byte = [0];
    assert_eq!(client.recv_within(&mut byte, SECOND).unwrap().0, 0);
    drop((client, server));

    let found = rows(AF_INET, TCP, ALL_STATES);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].state, found[0].local.1, found[0].inode), (State::TIME_WAIT, 80, 0));
    let (timer, left) = found[0].timer.unwrap();
    assert_eq!(timer, Timer::TimeWait);
    assert!((50_000..=60_000).contains(&left), "{left} ms");

    match SockDiag::open().unwrap().destroy(&found[0]) {
        Ok(()) => assert_eq!(rows(AF_INET, TCP, ALL_STATES), []),
        // CAP_NET_ADMIN inside is not enough, or the kernel is built without it.
        Err(error) => println!("not ended: {error}"),
    }
}

#[test]
fn a_listener_can_be_destroyed_by_its_address() {
    if !in_private_network("a_listener_can_be_destroyed_by_its_address") {
        return;
    }
    let server = listener("[::1]:80");
    let (local, none): (SocketAddr, SocketAddr) =
        ("[::1]:80".parse().unwrap(), "[::]:0".parse().unwrap());
    let mut diag = SockDiag::open().unwrap();
    let gone: SocketAddr = "[::1]:81".parse().unwrap();
    let error = diag.destroy_by_address(TCP, gone, none, 0).unwrap_err();
    if error.errno == Errno::EOPNOTSUPP {
        portwise_sys::not_run!("{error}");
        return;
    }
    assert_eq!(error.errno, Errno::ENOENT);
    diag.destroy_by_address(TCP, local, none, 0).unwrap();
    assert_eq!(rows(AF_INET6, TCP, State::LISTEN.bit()), []);
    assert_eq!(server.get(SocketOption::SO_ACCEPTCONN), Ok(0));
}

#[test]
fn udp_rows_come_last_bound_first() {
    if !in_private_network("udp_rows_come_last_bound_first") {
        return;
    }
    let made: Vec<Socket> = (0..3)
        .map(|_| {
            let made = socket(libc::AF_INET, libc::SOCK_DGRAM);
            made.set(SocketOption::SO_REUSEADDR, 1).unwrap();
            made.bind(&address("0.0.0.0:5353")).unwrap();
            made
        })
        .collect();
    let cookies: Vec<u64> = made.iter().rev().map(|made| made.cookie().unwrap()).collect();
    let found: Vec<u64> = rows(AF_INET, UDP, ALL_STATES).iter().map(|row| row.cookie).collect();
    assert_eq!(found, cookies);
}

#[test]
fn options_are_told() {
    if !in_private_network("options_are_told") {
        return;
    }
    let made = socket(libc::AF_INET, libc::SOCK_STREAM);
    made.set(SocketOption::IP_FREEBIND, 1).unwrap();
    made.set(SocketOption::IP_BIND_ADDRESS_NO_PORT, 1).unwrap();
    made.set(SocketOption::IP_TRANSPARENT, 1).unwrap();
    made.set(SocketOption::SO_MARK, 5).unwrap();
    made.bind_to_device(b"lo").unwrap();
    made.bind(&address("198.51.100.1:80")).unwrap();
    made.listen(1).unwrap();
    let found = &rows(AF_INET, TCP, ALL_STATES)[0];
    let options = found.options.unwrap();
    assert!(options.freebind && options.bind_address_no_port && options.transparent);
    assert!(!options.hdrincl && !options.nodefrag && !options.defer_connect);
    assert_eq!(found.interface, 1);
    assert_eq!(made.get(SocketOption::SO_BINDTOIFINDEX), Ok(1));
    assert!(matches!(found.mark, None | Some(5)));
}

#[test]
fn a_link_leads_elsewhere_and_a_router_is_there() {
    if !in_private_network("a_link_leads_elsewhere_and_a_router_is_there") {
        return;
    }
    let elsewhere = || {
        ns::unshare(&[Kind::Net]).unwrap();
        (Namespace::of_thread(Kind::Net).unwrap(), RtNetlink::open().unwrap())
    };
    let (there, mut far) = std::thread::spawn(elsewhere).join().unwrap();
    let mut rt = RtNetlink::open().unwrap();
    rt.add_veth_to("a", 77, "b", &there).unwrap();
    assert!(rt.links().unwrap().iter().all(|link| link.name != "b"));
    let (a, b) = (link_named(&mut rt, "a"), link_named(&mut far, "b"));
    assert_eq!((a.index, a.kind.as_deref()), (77, Some("veth")));
    far.set_up(b.index).unwrap();
    rt.set_up(a.index).unwrap();
    for (own, router, everywhere) in
        [("10.1.2.3", "10.1.2.1", "0.0.0.0"), ("fd00::3", "fd00::1", "::")]
    {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        rt.add_address(a.index, ip(own), 24, true).unwrap();
        rt.add_gateway_route(ip(everywhere), 0, ip(router), a.index).unwrap();
        let routes = rt.routes(Some(RT_TABLE_MAIN)).unwrap();
        let found = routes.iter().find(|route| route.gateway == Some(ip(router))).unwrap();
        assert_eq!((found.destination, found.interface), (None, Some(a.index)));
        assert_eq!(found.kind, Route::UNICAST);
    }
    let nobody = rt.add_gateway_route(v4("192.0.2.0"), 24, v4("198.51.100.1"), a.index);
    assert_eq!(nobody.unwrap_err().errno, Errno::ENETUNREACH);
}

fn v4(text: &str) -> IpAddr {
    text.parse().unwrap()
}
