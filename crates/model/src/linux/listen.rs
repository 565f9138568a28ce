//! `listen`, read beside `inet_listen` and `inet_csk_listen_start`.

use super::{MEASURED, cite, conflict::is_taken, fixes, port::no_automatic_port};
use crate::{Errno, Outcome, Protocol, Rule, Socket, State};

/// A datagram socket does not listen.
pub static STREAM: Rule = Rule {
    id: "linux.listen.stream",
    title: "the socket is a stream socket",
    fault: "the socket is no stream socket",
    outcome: Outcome::Errno(Errno::EOPNOTSUPP),
    cites: &[cite("net/core/sock.c", "sock_no_listen", "EOPNOTSUPP")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.listen.stream.md"),
    stops: |v| Ok(v.socket().protocol == Protocol::Udp),
    fixes: &[],
};

/// A connected socket does not listen.
pub static LISTENABLE_STATE: Rule = Rule {
    id: "linux.listen.state",
    title: "the socket is not connected",
    fault: "the socket is connected",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite("net/ipv4/af_inet.c", "inet_listen", "SS_UNCONNECTED"),
        cite("net/ipv4/af_inet.c", "__inet_listen_sk", "TCPF_LISTEN"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.listen.state.md"),
    stops: |v| {
        let socket = v.socket();
        Ok(socket.spent || !matches!(socket.state, State::Closed | State::Listen))
    },
    fixes: &[],
};

/// The port is tested again, now as a listener.
pub static PORT_TAKEN: Rule = Rule {
    id: "linux.listen.port-taken",
    title: "no socket in the way of a listener holds the port",
    fault: "another socket that is in the way of a listener holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite("net/ipv4/inet_connection_sock.c", "inet_csk_listen_start", "get_port"),
        cite("net/ipv4/inet_connection_sock.c", "inet_bind_conflict", "TCP_LISTEN"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.listen.port-taken.md"),
    stops: |v| {
        let socket = v.socket();
        // A second listen only changes the backlog.
        if socket.state == State::Listen || socket.port == 0 {
            return Ok(false);
        }
        // Its state has changed already.
        is_taken(v, &Socket { state: State::Listen, ..*socket })
    },
    fixes: &[&fixes::STOP_HOLDER],
};

/// Without `bind`, `listen` takes any free port on the wildcard.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "linux.listen.automatic-port",
    title: "for a socket without a port one of the automatic range is free",
    fault: "the socket has no port, and none of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite("net/ipv4/inet_connection_sock.c", "inet_csk_get_port", "found_port")],
    basis: MEASURED,
    page: include_str!("../../pages/linux.listen.automatic-port.md"),
    stops: |v| {
        let socket = v.socket();
        if socket.state == State::Listen || socket.port != 0 {
            return Ok(false);
        }
        no_automatic_port(v, socket)
    },
    fixes: &[],
};
