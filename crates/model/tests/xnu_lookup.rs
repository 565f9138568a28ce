//! Who gets a packet on macOS, of sockets that no recorded sequence has together.

use std::net::SocketAddr;

use portwise_model::{
    FactKey, Family, Host, Packet, Protocol,
    Protocol::{Tcp, Udp},
    Receivers, Socket, SocketId, lookup, xnu,
};

use crate::xnu::known_lan;

/// A socket at `local`, connected to `remote` unless that is empty.
fn socket(id: u64, protocol: Protocol, local: &str, remote: &str) -> Socket {
    let local: SocketAddr = local.parse().unwrap();
    let family = Family::of(local.ip());
    let new = Socket::new(SocketId(id), family, protocol, 501);
    let remote = if remote.is_empty() { None } else { Some(remote.parse().unwrap()) };
    Socket { ip: local.ip(), port: local.port(), remote, v6only: false, ..new }
}

fn packet(protocol: Protocol, src: &str, dst: &str) -> Packet {
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    Packet { protocol, src, dst, device: 1, vrf: 0, broadcast: false }
}

/// A host with these sockets, the newest last.
fn host(sockets: &[Socket]) -> Host {
    let mut host = known_lan("10.14.2");
    for socket in sockets {
        host.sockets.push_front(*socket);
    }
    host
}

fn found(sockets: &[Socket], packet: &Packet) -> (Option<u64>, &'static str) {
    let found = lookup(&host(sockets), packet).expect("all is known");
    let to = match found.to {
        Receivers::Nobody => None,
        Receivers::One(id) => Some(id.0),
        other => panic!("{other:?}"),
    };
    (to, found.by.id.trim_start_matches("xnu.lookup."))
}

/// A connected socket comes first only if both ends of it are those of the packet.
#[test]
fn connections_come_first() {
    let there = [
        socket(1, Tcp, "127.0.0.1:8080", ""),
        socket(2, Tcp, "127.0.0.1:8080", "127.0.0.9:50000"),
        socket(3, Tcp, "127.0.0.2:8080", "127.0.0.9:50000"),
    ];
    let to = |src, dst| found(&there, &packet(Tcp, src, dst));
    assert_eq!(to("127.0.0.9:50000", "127.0.0.1:8080"), (Some(2), "connected"));
    assert_eq!(to("127.0.0.9:50000", "127.0.0.2:8080"), (Some(3), "connected"));
    // Another port, another address of the sender; another address here.
    assert_eq!(to("127.0.0.9:50001", "127.0.0.1:8080"), (Some(1), "specific"));
    assert_eq!(to("127.0.0.8:50000", "127.0.0.1:8080"), (Some(1), "specific"));
    assert_eq!(to("127.0.0.8:50000", "127.0.0.2:8080"), (None, "nobody"));
    assert_eq!(to("127.0.0.9:50000", "127.0.0.3:8080"), (None, "nobody"));
    // An IPv4 connection of an IPv6 socket.
    let mapped = [socket(4, Tcp, "[::ffff:127.0.0.1]:8080", "[::ffff:127.0.0.9]:50000")];
    let hit = found(&mapped, &packet(Tcp, "127.0.0.9:50000", "127.0.0.1:8080"));
    assert_eq!(hit, (Some(4), "connected"));
    // A connected socket gets nothing from others, not even on the wildcard.
    let only = [socket(5, Udp, "0.0.0.0:8080", "127.0.0.9:50000")];
    assert_eq!(found(&only, &packet(Udp, "127.0.0.8:1", "127.0.0.1:8080")), (None, "nobody"));
}

/// A link-local address is one of its interface.
#[test]
fn link_local_addresses_are_of_one_interface() {
    let there = [
        Socket { device: 4, ..socket(1, Tcp, "[fe80::10]:8080", "") },
        socket(2, Tcp, "[2001:db8::20]:8080", ""),
    ];
    let to = |dst: &str, device| {
        found(&there, &Packet { device, ..packet(Tcp, "[fe80::99]:50000", dst) })
    };
    assert_eq!(to("[fe80::10]:8080", 4), (Some(1), "specific"));
    assert_eq!(to("[fe80::10]:8080", 5), (None, "nobody"));
    assert_eq!(to("[2001:db8::20]:8080", 5), (Some(2), "specific"));
    assert_eq!(to("[2001:db8::21]:8080", 4), (None, "nobody"));
    // One without a zone is of each.
    let any = [socket(3, Tcp, "[fe80::10]:8080", "")];
    let hit = found(&any, &Packet { device: 5, ..packet(Tcp, "[fe80::99]:1", "[fe80::10]:8080") });
    assert_eq!(hit, (Some(3), "specific"));
}

/// Who has joined a group is not known; a packet for one is found, and TCP knows no groups.
#[test]
fn packets_for_all() {
    let there = [socket(1, Udp, "0.0.0.0:5353", ""), socket(2, Tcp, "0.0.0.0:5353", "")];
    let group = packet(Udp, "192.0.2.9:5353", "224.0.0.251:5353");
    let missing = lookup(&host(&there), &group).expect_err("who has joined is not known");
    assert_eq!(missing.key, FactKey::Policy("multicast-memberships".into()));
    let broadcast = Packet { broadcast: true, ..packet(Udp, "192.0.2.9:1", "192.0.2.255:5353") };
    assert!(lookup(&host(&there), &broadcast).is_err());
    let one = packet(Udp, "192.0.2.9:1", "192.0.2.10:5353");
    assert_eq!(found(&there, &one), (Some(1), "wildcard"));
    assert_eq!(found(&there, &Packet { protocol: Tcp, ..group }), (Some(2), "wildcard"));
    // The step that answers is a page of its own.
    assert!(xnu::lookup(&host(&[]), &one).is_ok_and(|found| found.to == Receivers::Nobody));
}
