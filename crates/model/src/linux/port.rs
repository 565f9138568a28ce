//! What `bind` asks of the port itself, for both families and protocols.

use alloc::vec::Vec;

use super::{MEASURED, UNPRIVILEGED_PORT_START, cite, effects::bound_socket, fixes};
use crate::{
    CAP_NET_BIND_SERVICE, Errno, FactKey, LocalPorts, Missing, Outcome, Rule, Socket, State, View,
};

/// Low ports want a capability.
pub static RESERVED_PORT: Rule = Rule {
    id: "linux.bind.reserved-port",
    title: "a port below the limit needs CAP_NET_BIND_SERVICE",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite("net/ipv4/af_inet.c", "__inet_bind", "inet_port_requires_bind_service"),
        cite("net/ipv6/af_inet6.c", "__inet6_bind", "inet_port_requires_bind_service"),
        cite("include/net/ip.h", "inet_port_requires_bind_service", "sysctl_ip_prot_sock"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.reserved-port.md"),
    stops: |v| {
        let port = v.port();
        if port == 0 {
            return Ok(false);
        }
        let limit = match v.has(&UNPRIVILEGED_PORT_START)? {
            true => v.sysctl("net.ipv4.ip_unprivileged_port_start")?,
            false => 1024,
        };
        Ok(i64::from(port) < limit && !v.capable(CAP_NET_BIND_SERVICE)?)
    },
    fixes: &[&fixes::ANOTHER_PORT, &fixes::THIS_RUN, &fixes::THIS_PROGRAM, &fixes::LOWER_LIMIT],
};

/// A socket is bound once.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "linux.bind.unbound-socket",
    title: "the socket is neither bound, listening nor connected yet",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[
        cite("net/ipv4/af_inet.c", "__inet_bind", "inet_num"),
        cite("net/ipv6/af_inet6.c", "__inet6_bind", "inet_num"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.unbound-socket.md"),
    stops: |v| {
        let socket = v.socket();
        Ok(socket.state != State::Closed || socket.port != 0)
    },
    fixes: &[],
};

/// Port 0 takes one that nobody holds.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "linux.bind.automatic-port",
    title: "for port 0 a port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite("net/ipv4/inet_connection_sock.c", "inet_csk_find_open_port", "attempt_half"),
        cite("net/ipv4/udp.c", "udp_lib_get_port", "inet_is_local_reserved_port"),
    ],
    basis: MEASURED,
    page: include_str!("../../pages/linux.bind.automatic-port.md"),
    stops: |v| {
        if v.port() != 0 || v.socket().options.bind_address_no_port {
            return Ok(false);
        }
        no_automatic_port(v, &bound_socket(v.socket(), v.sockaddr()))
    },
    fixes: &[&fixes::ANOTHER_PORT],
};

/// Returns whether no port is left for `asking`, whose address is set. A port without any owner
/// always does; whether one that has owners would do depends on chance, so it is not asked.
pub(super) fn no_automatic_port(v: &View<'_>, asking: &Socket) -> Result<bool, Missing> {
    let ports = v.local_ports()?;
    let (low, high) = range(ports, asking.options.local_port_range);
    let mut candidates = Vec::new();
    for (port, sockets) in v.host().sockets.all()? {
        let taken = sockets.iter().any(|s| s.protocol == asking.protocol);
        if (low..=high).contains(&port) && taken {
            candidates.push(port);
        }
    }
    let reserved = |port: u16| ports.reserved.iter().any(|&(a, b)| (a..=b).contains(&port));
    let free = (low..=high).any(|port| !reserved(port) && !candidates.contains(&port));
    if free {
        return Ok(false);
    }
    Err(Missing::new(
        FactKey::LocalPorts,
        "every port of the automatic range has an owner, and which ones could be shared is not worked out",
        "ss -tuan",
    ))
}

/// The range for one socket: each end of its own counts only inside the namespace's range.
fn range(ports: &LocalPorts, own: Option<(u16, u16)>) -> (u16, u16) {
    let all = ports.low..=ports.high;
    let (low, high) = own.unwrap_or((0, 0));
    (
        if all.contains(&low) { low } else { ports.low },
        if all.contains(&high) { high } else { ports.high },
    )
}

/// Returns the socket as it will be when the kernel looks for conflicts.
pub(super) fn at_conflict(v: &View<'_>) -> Socket {
    bound_socket(v.socket(), v.sockaddr())
}

/// A port to offer instead of `port`: the one people use when the low one is not to be had, or
/// the next.
pub(super) fn suggested_port(port: u16) -> u16 {
    match port {
        80 => 8080,
        443 => 8443,
        1..1024 => 8000 + port,
        _ => port.saturating_add(1),
    }
}
