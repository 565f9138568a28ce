//! The one other socket: none, or one of several kinds, on every port that is asked for.

use std::net::IpAddr;

use portwise_model::{Family, Host, Protocol, Socket, SocketId, State};

use super::world::{AUTOMATIC, PORTS, USER};

/// A socket of a kind; the port and the protocol are the asked one's.
type Kind = fn(&mut Socket);

const KINDS: [(&str, Kind); 13] = [
    ("0.0.0.0", |_| {}),
    ("127.0.0.1", |s| (s.state, s.uid) = (State::Listen, Some(0))),
    ("::", |s| (s.state, s.options.reuseaddr) = (State::Listen, Some(true))),
    ("::", |s| (s.v6only, s.options.reuseaddr) = (true, Some(true))),
    ("::1", |s| (s.state, s.uid) = (State::Listen, Some(502))),
    ("192.0.2.10", |s| s.options.reuseport = Some(true)),
    ("192.0.2.10", |s| (s.options.reuseport, s.uid) = (Some(true), Some(502))),
    ("::ffff:127.0.0.1", |s| s.options.shareuid = true),
    ("192.0.2.10", |s| {
        (s.state, s.options.reuseaddr) = (State::TimeWait, Some(true));
        s.remote = Some("192.0.2.1:50000".parse().unwrap());
    }),
    ("0.0.0.0", |s| (s.uid, s.options.reuseaddr, s.options.reuseport) = (None, None, None)),
    ("127.0.0.1", |s| {
        (s.state, s.port_by_connect) = (State::Established, Some(true));
        s.remote = Some("127.0.0.1:80".parse().unwrap());
    }),
    ("0.0.0.0", |s| s.device = 2),
    ("ff02::fb", |s| (s.device, s.options.reuseaddr) = (2, Some(true))),
];

/// `host` without another socket, and with each kind of one on every port. With every TCP socket
/// comes a UDP one.
pub(super) fn taken(host: &Host) -> Vec<Host> {
    let with = |n: usize| {
        let mut host = host.clone();
        for port in PORTS.into_iter().chain([AUTOMATIC]).filter(|&port| port != 0) {
            for socket in both_protocols(n, port) {
                host.sockets.push_back(socket);
            }
        }
        host
    };
    let taken = (0..KINDS.len()).map(with);
    std::iter::once(host.clone()).chain(taken).collect()
}

/// How many kinds there are.
pub(super) const COUNT: usize = KINDS.len();

/// The sockets of kind `n` on `port`.
pub(super) fn both_protocols(n: usize, port: u16) -> Vec<Socket> {
    let (ip, apply) = KINDS[n];
    let ip: IpAddr = ip.parse().unwrap();
    let socket = |(protocol, id): (Protocol, u64)| {
        let id = SocketId(id << 16 | u64::from(port));
        let mut socket = Socket { ip, port, ..Socket::new(id, Family::of(ip), protocol, USER) };
        apply(&mut socket);
        if protocol == Protocol::Udp {
            (socket.state, socket.remote) = (State::Closed, None);
        }
        socket
    };
    [(Protocol::Tcp, 1), (Protocol::Udp, 2)].map(socket).to_vec()
}
