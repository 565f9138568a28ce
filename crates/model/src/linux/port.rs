//! What `bind` asks of the port itself, for both families and protocols.

use super::{
    MEASURED, UNPRIVILEGED_PORT_START, cite, conflict, connect, effects::bound_socket, fixes,
    gate::CGROUP_PROGRAM, traffic, udp,
};
use crate::{
    CAP_NET_BIND_SERVICE, Errno, FactKey, Host, LocalPorts, Missing, Outcome, Protocol, Rule,
    SockAddr, Socket, State, View,
};

/// Low ports want a capability.
pub static RESERVED_PORT: Rule = Rule {
    id: "linux.bind.reserved-port",
    title: "a port below the limit needs CAP_NET_BIND_SERVICE",
    fault: "the port is below the limit, and CAP_NET_BIND_SERVICE is missing",
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
        // A program of the cgroup may excuse from the capability.
        Ok(i64::from(port) < limit
            && !v.capable(CAP_NET_BIND_SERVICE)?
            && !v.own_gate(CGROUP_PROGRAM)?)
    },
    fixes: &[
        &fixes::ANOTHER_PORT,
        &fixes::WITHOUT_NO_NEW_PRIVS,
        &fixes::BOUNDING_SET,
        &fixes::THIS_RUN,
        &fixes::THIS_PROGRAM,
        &fixes::LOWER_LIMIT,
    ],
};

/// A socket is bound once.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "linux.bind.unbound-socket",
    title: "the socket is neither bound, listening nor connected yet",
    fault: "the socket is bound, listening or connected already",
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
    fault: "no port of the automatic range is free",
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

/// Returns whether no port is left for `asking`, whose address is set.
pub(super) fn no_automatic_port(v: &View<'_>, asking: &Socket) -> Result<bool, Missing> {
    v.local_ports()?;
    if automatic_port(v.host(), asking)?.is_some() {
        return Ok(false);
    }
    // After a vain search the kernel may look again, sharing with `SO_REUSEADDR` sockets.
    let may_share = asking.protocol == Protocol::Tcp
        && asking.options.reuseaddr == Some(true)
        && v.sysctl("net.ipv4.ip_autobind_reuse")? != 0;
    if may_share {
        return Err(Missing::new(
            FactKey::LocalPorts,
            "no port of the automatic range is free, and with ip_autobind_reuse one may be shared",
            "try it",
        ));
    }
    Ok(true)
}

/// Returns the lowest port that the kernel could choose for `asking`, whose address is set. It
/// takes any of them by chance.
pub fn automatic_port(host: &Host, asking: &Socket) -> Result<Option<u16>, Missing> {
    let ports = host.local_ports.get()?;
    let (low, high) = range(ports, asking.options.local_port_range);
    let reserved = |port: u16| ports.reserved.iter().any(|&(a, b)| (a..=b).contains(&port));
    drop(host.sockets.all()?);
    for port in (low..=high).filter(|&port| !reserved(port)) {
        let mut taken = false;
        for other in host.sockets.on(port)?.iter().filter(|s| s.protocol == asking.protocol) {
            taken |= match asking.protocol {
                Protocol::Tcp => conflict::meet(host, asking, other)?,
                Protocol::Udp => udp::keeps_automatic_port(asking, other),
            };
        }
        if !taken {
            return Ok(Some(port));
        }
    }
    Ok(None)
}

/// Returns the lowest port from which `socket` could be connected to `addr`: one that only other
/// connections have, each to somewhere else.
pub fn connect_port(host: &Host, socket: &Socket, addr: &SockAddr) -> Result<Option<u16>, Missing> {
    let ports = host.local_ports.get()?;
    let (low, high) = range(ports, socket.options.local_port_range);
    let reserved = |port: u16| ports.reserved.iter().any(|&(a, b)| (a..=b).contains(&port));
    let dst = traffic::destination(socket, addr);
    let src = traffic::source(host, socket, dst).unwrap_or(socket.ip);
    drop(host.sockets.all()?);
    for port in (low..=high).filter(|&port| !reserved(port)) {
        let mut others = host.sockets.on(port)?.iter().filter(|s| s.protocol == Protocol::Tcp);
        let taken = others.any(|other| {
            other.port_by_connect == Some(false)
                || connect::is_same(other, (src, port), (dst, addr.port))
        });
        if !taken {
            return Ok(Some(port));
        }
    }
    Ok(None)
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
