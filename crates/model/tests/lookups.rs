//! Who gets each of a few packets, for every pair of sockets of some kinds on each kernel whose lookup
//! was read: held against what was answered when it was written down.
//!
//! The table is the model's own. On Linux the running kernel agreed with that model in millions of
//! random scenarios, on macOS it is held against recorded answers elsewhere; the table shows which
//! answers a change of a rule changes. `PORTWISE_BLESS=1` writes it anew; say in the commit why.

use std::{fmt::Write as _, net::IpAddr};

use portwise_model::{
    Family, Host, Kernel, Membership, Packet, Protocol, Receivers, Socket, SocketId, State,
    Version, freebsd, lookup,
    scenario::{Scenario, host_of},
    xnu,
};

use crate::{linux, other_kernels::held_against};

const PORT: u16 = 80;
const CLIENT: &str = "192.0.2.1:50000";
const CLIENT6: &str = "[2001:db8::1]:50000";

/// A kind of socket: its address, and what else it has.
struct Kind(&'static str, fn(&mut Socket));

fn connected(socket: &mut Socket, to: &str) {
    socket.state = State::Established;
    socket.remote = Some(to.parse().unwrap());
}

fn member(socket: &mut Socket, group: Membership) {
    (socket.options.reuseport, socket.group) = (Some(true), group);
}

const KINDS: [Kind; 34] = [
    Kind("0.0.0.0", |_| {}),
    Kind("192.0.2.10", |_| {}),
    Kind("192.0.2.10", |s| s.filed = 5),
    Kind("127.0.0.1", |_| {}),
    Kind("::", |_| {}),
    Kind("::", |s| s.v6only = true),
    Kind("2001:db8::10", |s| s.v6only = true),
    Kind("::ffff:192.0.2.10", |_| {}),
    Kind("::ffff:0.0.0.0", |_| {}),
    Kind("0.0.0.0", |s| s.device = 1),
    Kind("0.0.0.0", |s| s.device = 2),
    Kind("192.0.2.10", |s| s.device = 2),
    Kind("::", |s| s.device = 2),
    Kind("2001:db8::10", |s| s.device = 2),
    Kind("0.0.0.0", |s| s.device = 5),
    Kind("0.0.0.0", |s| member(s, Membership::Group(1))),
    Kind("0.0.0.0", |s| (s.filed, s.group) = (-3, Membership::Group(1))),
    Kind("192.0.2.10", |s| member(s, Membership::Group(2))),
    Kind("0.0.0.0", |s| member(s, Membership::Unseen)),
    Kind("0.0.0.0", |s| {
        member(s, Membership::Unseen);
        s.uid = Some(7);
    }),
    Kind("::", |s| member(s, Membership::Unseen)),
    Kind("0.0.0.0", |s| (s.options.reuseport, s.uid) = (None, None)),
    Kind("192.0.2.10", |s| connected(s, CLIENT)),
    Kind("192.0.2.10", |s| connected(s, "192.0.2.1:50001")),
    Kind("192.0.2.10", |s| connected(s, "192.0.2.2:50000")),
    Kind("192.0.2.10", |s| {
        connected(s, CLIENT);
        (s.met, s.device) = (3, 2);
    }),
    Kind("192.0.2.10", |s| {
        connected(s, CLIENT);
        member(s, Membership::Group(2));
    }),
    Kind("2001:db8::10", |s| connected(s, CLIENT6)),
    Kind("::ffff:192.0.2.10", |s| connected(s, "[::ffff:192.0.2.1]:50000")),
    Kind("::", |s| s.heard = Some("2001:db8::1".parse().unwrap())),
    Kind("::", |s| s.heard = Some("2001:db8::2".parse().unwrap())),
    Kind("224.0.0.251", |_| {}),
    Kind("ff02::fb", |_| {}),
    Kind("192.0.2.10", |s| s.options.reuseport_lb = true),
];

/// Sockets of one protocol, in the order in which they came.
fn sockets(kinds: &[usize], protocol: Protocol) -> Vec<Socket> {
    let socket = |(at, &kind): (usize, &usize)| {
        let Kind(ip, apply) = &KINDS[kind];
        let ip: IpAddr = ip.parse().unwrap();
        let id = SocketId(at as u64);
        let mut socket = Socket { ip, port: PORT, ..Socket::new(id, Family::of(ip), protocol, 0) };
        socket.group = Membership::None;
        if protocol == Protocol::Tcp {
            socket.state = State::Listen;
        }
        apply(&mut socket);
        socket
    };
    kinds.iter().enumerate().map(socket).collect()
}

fn packets(protocol: Protocol) -> Vec<Packet> {
    let packet = |dst: &str, device, vrf, broadcast| {
        let dst = std::net::SocketAddr::new(dst.parse().unwrap(), PORT);
        let src = if dst.is_ipv4() { CLIENT } else { CLIENT6 };
        Packet { protocol, src: src.parse().unwrap(), dst, device, vrf, broadcast }
    };
    let mut all = vec![
        packet("192.0.2.10", 2, 0, false),
        packet("192.0.2.10", 1, 0, false),
        packet("192.0.2.10", 2, 5, false),
        packet("192.0.2.11", 2, 0, false),
        packet("127.0.0.1", 1, 0, false),
        packet("2001:db8::10", 2, 0, false),
        packet("2001:db8::10", 1, 0, false),
        packet("2001:db8::11", 2, 0, false),
    ];
    if protocol == Protocol::Udp {
        all.push(packet("192.0.2.255", 2, 0, true));
        all.push(packet("224.0.0.251", 2, 0, false));
        all.push(packet("ff02::fb", 2, 0, false));
    }
    all
}

fn kernels() -> Vec<(String, Kernel)> {
    let linux = [(5, 10, 0), (6, 1, 0), (6, 12, 0), (6, 18, 44), (7, 2, 0)];
    let linux =
        linux.map(|(a, b, c)| (format!("linux-{a}.{b}.{c}"), linux::kernel(Version::new(a, b, c))));
    let xnu = ["xnu-3248.20.55", "xnu-4903.231.4", "xnu-11417.121.6"]
        .map(|tag| (tag.to_string(), xnu::from_tag(&tag[4..]).expect("a version that was read")));
    let freebsd = ["13.2", "15.0"].map(|version| {
        let kernel = freebsd::from_version(version).expect("a version that was read");
        (format!("freebsd-{version}"), kernel)
    });
    linux.into_iter().chain(xnu).chain(freebsd).collect()
}

/// Who gets a packet and by which step, in a word.
fn told(host: &Host, packet: &Packet) -> String {
    let ids = |ids: &[SocketId]| ids.iter().map(|id| id.0.to_string()).collect::<String>();
    match lookup(host, packet) {
        Ok(found) => {
            let who = match &found.to {
                Receivers::Nobody => "-".into(),
                Receivers::One(id) => ids(&[*id]),
                Receivers::OneOf(some) => format!("?{}", ids(some)),
                Receivers::All(all) => format!("+{}", ids(all)),
            };
            format!("{who}{}", &found.by.id.rsplit('.').next().unwrap_or_default()[..1])
        }
        Err(missing) => {
            let key = format!("{:?}", missing.key);
            format!("!{}", key.split('(').next().unwrap_or_default())
        }
    }
}

/// A line for each kernel and socket, with those that come behind it; a word for each question.
fn table() -> String {
    let mut text = String::new();
    for (name, kernel) in kernels() {
        let (empty, _) = host_of(kernel, &Scenario::default().setup).expect("such a host");
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let packets = packets(protocol);
            for first in 0..KINDS.len() {
                let _ = write!(text, "{name} {} {first}:", protocol.name());
                let alone = std::iter::once(vec![first]);
                let pairs = (0..KINDS.len()).map(|second| vec![first, second]);
                // Between the members of a group.
                let three = (0..KINDS.len()).map(|other| vec![15, other, first]);
                for kinds in alone.chain(pairs).chain(three) {
                    let mut host = empty.clone();
                    for socket in sockets(&kinds, protocol) {
                        host.sockets.push_back(socket);
                    }
                    for packet in &packets {
                        let _ = write!(text, " {}", told(&host, packet));
                    }
                }
                text.push('\n');
            }
        }
    }
    text
}

#[test]
fn no_answer_changed() {
    held_against("lookups-table.gz", &table());
}
