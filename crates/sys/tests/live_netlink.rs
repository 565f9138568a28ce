//! Asks the running kernel, in the namespace the test runs in, as whoever runs it.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use portwise_sys::rtnetlink::{RT_TABLE_LOCAL, Route, RouteQuery, RtNetlink};
use portwise_sys::sockdiag::{
    AF_INET, AF_INET6, ALL_STATES, DiagSocket, Exact, LocalPorts, MPTCP, SockDiag, SocketQuery,
    State, TCP, UDP,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn query(family: u8, protocol: u16, port: u16) -> Vec<DiagSocket> {
    let query = SocketQuery { family, protocol, states: ALL_STATES, local_port: Some(port) };
    SockDiag::open().unwrap().query(&query).unwrap()
}

#[test]
fn a_listener_and_its_connection_are_listed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _client = TcpStream::connect(address).unwrap();

    let rows = query(AF_INET, TCP, address.port());

    let listening: Vec<_> = rows.iter().filter(|row| row.state == State::LISTEN).collect();
    assert_eq!(listening.len(), 1, "{rows:?}");
    let row = listening[0];
    assert_eq!(row.local, (LOOPBACK, address.port()));
    assert_eq!(row.remote, (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    assert_eq!(row.rqueue, 1, "one connection waits to be accepted");
    assert!(row.wqueue > 0, "the backlog");
    assert_ne!(row.inode, 0);
    assert!(
        rows.iter().any(|row| row.state == State::ESTABLISHED && row.local.1 == address.port())
    );
}

#[test]
fn one_walk_for_both_families_shows_the_same() {
    let four = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = four.local_addr().unwrap().port();
    let _six = TcpListener::bind(("::1", port)).unwrap();
    let _client = TcpStream::connect(("::1", port)).unwrap();
    let rows = |mut rows: Vec<DiagSocket>| {
        rows.sort_by_key(|row| (row.family, row.cookie));
        rows
    };

    let both = SockDiag::open().unwrap().tcp(ALL_STATES, Some(port)).unwrap();

    assert_eq!(both.len(), 3, "{both:?}");
    assert!(both.is_sorted_by_key(|row| row.family));
    let apart = [query(AF_INET, TCP, port), query(AF_INET6, TCP, port)].concat();
    assert_eq!(rows(both), rows(apart));
    let all = SockDiag::open().unwrap().tcp(ALL_STATES, None).unwrap();
    assert!(all.iter().filter(|row| row.local.1 == port).count() == 3, "{all:?}");
}

#[test]
fn ports_are_filtered() {
    let mut ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    ports.sort_by_key(|listener| listener.local_addr().unwrap().port());
    let [low, middle, high] = ports.each_ref().map(|l| l.local_addr().unwrap().port());
    let of = |ports: LocalPorts| -> Vec<u16> {
        let mut diag = SockDiag::open().unwrap();
        let rows: Vec<DiagSocket> = diag.tcp_into(State::LISTEN.bit(), ports, Vec::push).unwrap();
        let mut found: Vec<u16> = rows.iter().map(|row| row.local.1).collect();
        found.sort_unstable();
        // Other tests have sockets too.
        found.retain(|port| [low, middle, high].contains(port));
        found
    };
    assert_eq!(of(LocalPorts::Any), [low, middle, high]);
    assert_eq!(of(LocalPorts::Range(low, middle)), [low, middle]);
    assert_eq!(of(LocalPorts::Either(low, high)), [low, high]);
    assert_eq!(of(LocalPorts::Either(middle, middle)), [middle]);
}

#[test]
fn one_socket_is_found_by_its_addresses() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let row = query(AF_INET6, TCP, listener.local_addr().unwrap().port())[0].clone();
    let exact = Exact {
        family: row.family,
        protocol: row.protocol,
        local: row.local,
        remote: row.remote,
        interface: row.interface,
        cookie: row.cookie,
    };
    let mut diag = SockDiag::open().unwrap();
    assert!(diag.has(&exact).unwrap());
    assert!(!diag.has(&Exact { cookie: row.cookie + 1, ..exact }).unwrap());
    drop(listener);
    assert!(!diag.has(&exact).unwrap());
}

#[test]
fn v6only_is_told() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let rows = query(AF_INET6, TCP, listener.local_addr().unwrap().port());
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].v6only, Some(true));
}

#[test]
fn one_socket_serves_several_queries() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let mut diag = SockDiag::open().unwrap();
    for _ in 0..3 {
        for (family, expected) in [(AF_INET, 1), (AF_INET6, 0)] {
            let query =
                SocketQuery { family, protocol: UDP, states: ALL_STATES, local_port: Some(port) };
            let rows = diag.query(&query).unwrap();
            assert_eq!(rows.len(), expected, "{rows:?}");
        }
    }
}

#[test]
fn an_unknown_protocol_is_an_error_and_the_socket_survives_it() {
    let mut diag = SockDiag::open().unwrap();
    let mut query =
        SocketQuery { family: AF_INET, protocol: 253, states: ALL_STATES, local_port: None };
    assert!(diag.query(&query).is_err());
    query.protocol = TCP;
    assert!(diag.query(&query).is_ok());
}

#[test]
fn mptcp_rows_are_never_tcp_rows() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let query = SocketQuery {
        family: AF_INET,
        protocol: MPTCP,
        states: ALL_STATES,
        local_port: Some(listener.local_addr().unwrap().port()),
    };
    if let Ok(rows) = SockDiag::open().unwrap().query(&query) {
        assert_eq!(rows, []);
    }
}

#[test]
fn loopback_has_its_address_and_local_route() {
    let mut rt = RtNetlink::open().unwrap();
    let lo = rt.links().unwrap().into_iter().find(|link| link.is_loopback()).unwrap();
    assert_eq!(lo.name, "lo");
    if !lo.is_up() {
        portwise_sys::not_run!("lo is down here");
        return;
    }
    let addresses = rt.addresses().unwrap();
    assert!(
        addresses.iter().any(|a| a.local == LOOPBACK && a.interface == lo.index && a.prefix == 8)
    );
    let routes = rt.routes(Some(RT_TABLE_LOCAL)).unwrap();
    assert!(routes.iter().all(|route| route.table == RT_TABLE_LOCAL));
    assert!(routes.iter().any(|route| route.kind == Route::LOCAL
        && route.destination == Some(LOOPBACK)
        && route.interface == Some(lo.index)));
}

#[test]
fn a_table_nobody_made_is_empty() {
    assert_eq!(RtNetlink::open().unwrap().routes(Some(0x7ead_beef)).unwrap(), []);
}

#[test]
fn the_way_to_loopback_is_local() {
    let route = RtNetlink::open().unwrap().route_to(&RouteQuery::to(LOOPBACK)).unwrap().unwrap();
    assert_eq!(route.kind, Route::LOCAL);
}

#[test]
fn the_rule_for_local_addresses_comes_first() {
    let rules = match RtNetlink::open().unwrap().rules(AF_INET) {
        Ok(rules) => rules,
        Err(error) => {
            portwise_sys::not_run!("{error}");
            return;
        }
    };
    assert_eq!(rules[0].table, RT_TABLE_LOCAL, "{rules:?}");
    assert!(rules[0].is_initial());
}
