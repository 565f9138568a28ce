//! `free`: what it prints for a recorded machine, and that what it names on this one is free.

mod common;

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

use common::line;

const HOST: &str = concat!("--facts ", env!("CARGO_MANIFEST_DIR"), "/tests/data/host.json");

#[test]
fn ports_alone_on_standard_output() {
    for (args, out) in [
        // 8080 is held on every address.
        ("8080", "8081\n"),
        ("127.0.0.1:8080", "8081\n"),
        ("8079 --count 3", "8079\n8081\n8082\n"),
        ("--near 8080 --count 4", "8081\n8079\n8082\n8078\n"),
        ("--range 8080-8082", "8081\n"),
        ("192.0.2.10 --range 8080-8082", "8081\n"),
        ("127.0.0.1:32768", "32768\n"),
        ("127.0.0.1:32767 --count 2", "32767\n61000\n"),
    ] {
        let run = line(&format!("free {args} {HOST}"));
        assert_eq!((run.out.as_str(), run.status), (out, 0), "{args}: {}", run.err);
        assert_eq!(run.err, "", "{args}");
    }
}

#[test]
fn too_few_is_said_and_is_no_success() {
    let run = line(&format!("free --range 8080-8080 {HOST}"));
    assert_eq!((run.out.as_str(), run.status), ("", 1));
    assert_eq!(run.err, "portwise: found 0 of 1 port; passed over: 1 refused\n");
    let run = line(&format!("free --range 79-80 --count 2 {HOST} --as 1001"));
    assert_eq!((run.out.as_str(), run.status), ("", 1));
    assert!(run.err.contains("found 0 of 2 ports; passed over: 2 refused"), "{}", run.err);
    // Nobody says whether that address is one of the host's.
    let run = line("free 192.0.2.1 --range 8000-8001 --on linux-6.12");
    assert_eq!((run.out.as_str(), run.status), ("", 3));
    assert!(run.err.contains("2 not known"), "{}", run.err);
}

#[test]
fn mistakes_get_one_line() {
    for (args, said) in [
        ("free 3000 --near 3001", "which of the two is meant?"),
        ("free 3000 --range 4000-5000", "port 3000 is not in the range 4000-5000"),
        ("free --range 9-5", "9 is above 5, such as 5-9"),
        ("free --range x", "`x` is no port, such as 3000-3999"),
        ("free --count 0", "0 is not in 1..=65535"),
        ("free 127.0.0.1/x", "`/x` is no protocol here"),
        ("free 999.1.1.1", "is no IPv4 address"),
    ] {
        let run = line(args);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{args}");
        assert!(run.err.contains(said), "{args}: {}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{args}: {}", run.err);
    }
}

#[cfg(target_os = "linux")]
fn found(args: &str) -> Vec<u16> {
    let run = line(&format!("free {args}"));
    assert_eq!(run.status, 0, "{args}: {}{}", run.out, run.err);
    run.out.lines().map(|line| line.parse().unwrap()).collect()
}

/// On the running machine: what is taken is not named, what is named can be had.
#[test]
#[cfg(target_os = "linux")]
fn what_is_named_is_free() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let others = found(&format!("127.0.0.1:{port} --count 5"));
    assert!(others.len() == 5 && others.iter().all(|other| *other > port), "{others:?}");
    for other in others {
        // Tests beside this one may be quicker.
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, other));
        assert!(bound.is_ok() || found(&format!("127.0.0.1:{other}")) != [other], "{other}");
    }
    // Another address and another protocol are another matter.
    assert_eq!(found(&format!("127.0.0.2:{port}")), [port]);
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = udp.local_addr().unwrap().port();
    assert_ne!(found(&format!("127.0.0.1:{port}/udp")), [port]);
    assert_ne!(found(&format!("*:{port}/udp")), [port]);
    if let Ok(six) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let port = six.local_addr().unwrap().port();
        assert_ne!(found(&format!("{port}")), [port]);
        assert_eq!(found(&format!("{port} -4")), [port]);
    }
}

/// With SO_REUSEADDR two sockets may be bound, but not beside a listener, and only one may listen.
#[test]
#[cfg(target_os = "linux")]
fn a_port_where_listen_fails_is_not_free() {
    use portwise_sys::sock::{Address, Socket, SocketOption};
    let socket = Socket::new(2, 1, 0).unwrap();
    socket.set(SocketOption::SO_REUSEADDR, 1).unwrap();
    socket.bind(&Address::new((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let port = socket.local_address().unwrap().to_socket_addr().unwrap().port();
    assert_eq!(found(&format!("127.0.0.1:{port} --reuseaddr")), [port]);
    socket.listen(1).unwrap();
    assert_ne!(found(&format!("127.0.0.1:{port} --reuseaddr")), [port]);
}
