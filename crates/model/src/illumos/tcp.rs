//! What `bind` asks of a TCP socket, read beside `tcp_bind_check`, `tcp_bind_select_lport` and
//! `tcp_bindi`.

use core::net::IpAddr;

use super::{SMALLEST_NONPRIV, TCP_BIND, cite};
use crate::{
    AF_INET, AF_INET6, AddrState, Basis, Errno, Family, Outcome, Rule, SOCKADDR_IN_LEN,
    SOCKADDR_IN6_LEN, Socket, State,
    pcb::{asked, in_the_way, known, no_automatic_port, nobody, pcbs_on, unread},
    v4_mapped,
};

/// `extra_priv_ports`, as they come out of the box: NFS and its lock manager.
const EXTRA: [u16; 2] = [2049, 4045];

/// TCP itself says yes again; what stands above it was not read.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "illumos.bind.unbound-socket",
    title: "the socket is not bound yet",
    fault: "the socket is bound already",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "TOUTSTATE")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.unbound-socket.md"),
    stops: |v| if v.socket().port == 0 { Ok(false) } else { unread("a second bind") },
    fixes: &[],
};

/// `proto_verify_ip_addr` was not read.
pub static SOCKADDR: Rule = Rule {
    id: "illumos.bind.sockaddr",
    title: "the address has the length and family of the socket",
    fault: "the address given has another length or family than the socket",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "proto_verify_ip_addr")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.sockaddr.md"),
    stops: |v| {
        let (len, family) = match v.socket().family {
            Family::Inet => (SOCKADDR_IN_LEN, AF_INET),
            Family::Inet6 => (SOCKADDR_IN6_LEN, AF_INET6),
        };
        if v.sockaddr_len() == len && v.sa_family() == family {
            return Ok(false);
        }
        unread("an address of another length or family")
    },
    fixes: &[],
};

/// A socket that serves IPv6 only.
pub static MAPPED_V6ONLY: Rule = Rule {
    id: "illumos.bind.mapped-v6only",
    title: "an IPv4-mapped address needs a socket without IPV6_V6ONLY",
    fault: "the address is IPv4-mapped, and the socket has IPV6_V6ONLY",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "conn_ipv6_v6only")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.mapped-v6only.md"),
    stops: |v| {
        Ok(v.socket().family == Family::Inet6 && v.socket().v6only && v4_mapped(v.ipv6()).is_some())
    },
    fixes: &[],
};

/// A valid address that is up.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "illumos.bind.local-address",
    title: "the address is one of the host",
    fault: "the address is not one of this host",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "IPVL_BAD")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.local-address.md"),
    stops: |v| {
        let ip = asked(v);
        if ip.is_unspecified() {
            return Ok(false);
        }
        if ip.is_multicast() {
            return unread("a multicast address");
        }
        let found = v.interface_address(ip, |_, a| a.ip == ip)?;
        match found.map(|(_, a)| a.state) {
            None => Ok(true),
            Some(AddrState::Usable) => Ok(false),
            Some(_) => unread("an address that is not ready"),
        }
    },
    fixes: &[],
};

/// The address does not matter.
pub static RESERVED_PORT: Rule = Rule {
    id: "illumos.bind.reserved-port",
    title: "a port below 1024, and 2049 and 4045, needs a privilege",
    fault: "the port is one of those that need a privilege",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite(TCP_BIND, "tcp_bind_select_lport", "tcps_smallest_nonpriv_port"),
        cite(TCP_BIND, "tcp_bind_select_lport", "secpolicy_net_privaddr"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.reserved-port.md"),
    stops: |v| {
        let port = v.port();
        let low = i64::from(port) < v.sysctl(SMALLEST_NONPRIV)?;
        Ok(port != 0 && (low || EXTRA.contains(&port)) && v.uid() != 0)
    },
    fixes: &[],
};

/// Users are not compared.
pub static PORT_TAKEN: Rule = Rule {
    id: "illumos.bind.port-taken",
    title: "no socket in the way holds the TCP port",
    fault: "another socket holds the TCP port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite(TCP_BIND, "tcp_bindi", "conn_exclbind"),
        cite(TCP_BIND, "tcp_bindi", "conn_ipversion"),
        cite(TCP_BIND, "tcp_bindi", "reuseaddr"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.port-taken.md"),
    stops: |v| {
        if v.port() == 0 {
            return Ok(false);
        }
        let (socket, laddr) = (v.socket(), asked(v));
        for t in pcbs_on(v, v.port())? {
            let there = t.ip.to_canonical();
            let any = |ip: core::net::IpAddr| ip.is_unspecified();
            let apart = !any(laddr) && !any(there) && laddr != there;
            let stops = if socket.options.exclusive || t.options.exclusive {
                !apart
            } else if version(socket, laddr) != version(t, there) {
                false
            } else if known(socket.options.reuseaddr, socket)? {
                laddr == there && matches!(t.state, State::Closed | State::Listen)
            } else {
                !apart
            };
            if in_the_way(v, t, stops)? {
                return Ok(true);
            }
        }
        nobody(v)
    },
    fixes: &[],
};

/// Port 0 takes one that nobody holds.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "illumos.bind.automatic-port",
    title: "for port 0 a port of the automatic range is free",
    fault: "no port of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(TCP_BIND, "tcp_bind_select_lport", "TNOADDR")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.bind.automatic-port.md"),
    stops: |v| if v.port() == 0 { no_automatic_port(v) } else { Ok(false) },
    fixes: &[],
};

/// The version of IP that a socket speaks: an IPv6 one on an IPv4-mapped address speaks IPv4.
fn version(socket: &Socket, ip: IpAddr) -> Family {
    match ip {
        IpAddr::V4(_) => Family::Inet,
        IpAddr::V6(_) => socket.family,
    }
}
