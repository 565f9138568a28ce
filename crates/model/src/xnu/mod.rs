//! XNU, the kernel of macOS 10.11 and later, read beside `bsd/netinet/in_pcb.c` and
//! `bsd/netinet6/in6_pcb.c`: every list below stands in the order in which the kernel checks.
//!
//! An `AF_INET6` socket that is given `::ffff:a.b.c.d` takes the entry checks of IPv6 and then the
//! whole IPv4 procedure, unless it has `IPV6_V6ONLY`: two lists of their own.
//!
//! Not here, because no fact of the model tells them apart: sockets the system made defunct
//! (EINVAL), sockets of Network.framework whose port `necp` reserved before (they are not asked
//! for the privilege), and two threads binding one socket at once.

pub mod bind4;
pub mod bind6;
pub mod conflict;
pub mod effects;
pub mod entry;
pub mod features;
pub mod fixes;
pub mod gate;
pub mod listen;
pub mod lookup;
pub mod pcb;
pub mod port;
pub mod versions;

pub use effects::settle;
pub use features::*;
pub use lookup::{LOOKUP, lookup};
pub use versions::{from_macos, from_tag, macos_of};

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    AddrState, Basis, Cite, Fact, Family, Host, IfAddr, Interface, Interfaces, Kernel, LocalPorts,
    Protocol, Rule, SockAddr, Socket, Sockets, Text, v4_mapped,
};

/// `bind` on a TCP socket of `AF_INET`: `tcp_usr_bind`, `in_pcbbind`.
pub static BIND4_TCP: &[&Rule] = &[
    &entry::SOCKADDR_TOO_SHORT,
    &entry::SOCKADDR_TOO_LONG,
    &gate::BIND_MAC,
    &gate::BIND_SOCKET_FILTER,
    &gate::BIND_FLOW_DIVERT,
    &entry::STREAM_INET_FAMILY,
    &entry::STREAM_INET_MULTICAST,
    &entry::STREAM_INET_BROADCAST,
    &bind4::INET_CONFIGURED,
    &bind4::UNBOUND_SOCKET,
    &bind4::SOCKADDR_LENGTH,
    &bind4::LOCAL_ADDRESS,
    &port::RESERVED_PORT,
    &port::RESTRICTED_PORT,
    &conflict::OTHER_USER,
    &conflict::PORT_TAKEN,
    &gate::BIND_SKYWALK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a UDP socket of `AF_INET`: `udp_bind`, `in_pcbbind`.
pub static BIND4_UDP: &[&Rule] = &[
    &entry::SOCKADDR_TOO_SHORT,
    &entry::SOCKADDR_TOO_LONG,
    &gate::BIND_MAC,
    &gate::BIND_SOCKET_FILTER,
    &entry::DATAGRAM_INET_FAMILY,
    &bind4::INET_CONFIGURED,
    &bind4::UNBOUND_SOCKET,
    &bind4::SOCKADDR_LENGTH,
    &bind4::LOCAL_ADDRESS,
    &port::UDP_PORTS_LEFT,
    &port::RESERVED_PORT,
    &conflict::OTHER_USER,
    &conflict::PORT_TAKEN,
    &gate::BIND_SKYWALK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a TCP socket of `AF_INET6`: `tcp6_usr_bind`, `in6_pcbbind`.
pub static BIND6_TCP: &[&Rule] = &[
    &entry::SOCKADDR_TOO_SHORT,
    &entry::SOCKADDR_TOO_LONG,
    &gate::BIND_MAC,
    &gate::BIND_SOCKET_FILTER,
    &gate::BIND_FLOW_DIVERT,
    &entry::STREAM_INET6_FAMILY,
    &entry::STREAM_INET6_MULTICAST,
    &entry::STREAM_EMBEDDED_MULTICAST,
    &bind6::INET6_CONFIGURED,
    &bind4::UNBOUND_SOCKET,
    &bind6::SOCKADDR_LENGTH,
    &bind6::ADDRESS_FAMILY,
    &bind6::ZONE,
    &bind6::LOCAL_ADDRESS,
    &bind6::READY_ADDRESS,
    &port::RESERVED_PORT,
    &port::RESTRICTED_PORT,
    &conflict::OTHER_USER6,
    &conflict::OTHER_USER_DUAL_STACK,
    &conflict::PORT_TAKEN6,
    &conflict::PORT_TAKEN_DUAL_STACK,
    &gate::BIND_SKYWALK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT6,
];

/// `bind` on a UDP socket of `AF_INET6`: `udp6_bind`, `in6_pcbbind`.
pub static BIND6_UDP: &[&Rule] = &[
    &entry::SOCKADDR_TOO_SHORT,
    &entry::SOCKADDR_TOO_LONG,
    &gate::BIND_MAC,
    &gate::BIND_SOCKET_FILTER,
    &bind6::INET6_CONFIGURED,
    &bind4::UNBOUND_SOCKET,
    &bind6::SOCKADDR_LENGTH,
    &bind6::ADDRESS_FAMILY,
    &bind6::ZONE,
    &bind6::LOCAL_ADDRESS,
    &bind6::READY_ADDRESS,
    &port::UDP_PORTS_LEFT,
    &port::RESERVED_PORT,
    &conflict::OTHER_USER6,
    &conflict::OTHER_USER_DUAL_STACK,
    &conflict::PORT_TAKEN6,
    &conflict::PORT_TAKEN_DUAL_STACK,
    &gate::BIND_SKYWALK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT6,
];

/// `bind` of `::ffff:a.b.c.d` on a TCP socket of `AF_INET6`: `tcp6_usr_bind`, `in_pcbbind`. The
/// kernel makes the `sockaddr_in` itself, so its length is right.
pub static BIND_MAPPED_TCP: &[&Rule] = &[
    &entry::SOCKADDR_TOO_SHORT,
    &entry::SOCKADDR_TOO_LONG,
    &gate::BIND_MAC,
    &gate::BIND_SOCKET_FILTER,
    &gate::BIND_FLOW_DIVERT,
    &entry::STREAM_INET6_FAMILY,
    &entry::STREAM_EMBEDDED_MULTICAST,
    &bind4::INET_CONFIGURED,
    &bind4::UNBOUND_SOCKET,
    &bind4::LOCAL_ADDRESS,
    &port::RESERVED_PORT,
    &port::RESTRICTED_PORT,
    &conflict::OTHER_USER,
    &conflict::PORT_TAKEN,
    &gate::BIND_SKYWALK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `bind` of `::ffff:a.b.c.d` on a UDP socket of `AF_INET6`: `udp6_bind`, `in_pcbbind`.
pub static BIND_MAPPED_UDP: &[&Rule] = &[
    &entry::SOCKADDR_TOO_SHORT,
    &entry::SOCKADDR_TOO_LONG,
    &gate::BIND_MAC,
    &gate::BIND_SOCKET_FILTER,
    &bind4::INET_CONFIGURED,
    &bind4::UNBOUND_SOCKET,
    &bind4::LOCAL_ADDRESS,
    &port::UDP_PORTS_LEFT,
    &port::RESERVED_PORT,
    &conflict::OTHER_USER,
    &conflict::PORT_TAKEN,
    &gate::BIND_SKYWALK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `listen` on a TCP socket of `AF_INET`: `solisten`, `tcp_usr_listen`.
pub static LISTEN4_TCP: &[&Rule] = &[
    &gate::LISTEN_MAC,
    &listen::LISTENABLE_STATE,
    &gate::LISTEN_SOCKET_FILTER,
    &gate::LISTEN_FLOW_DIVERT,
    &listen::INET_CONFIGURED,
    &listen::LOW_RANGE,
    &listen::AUTOMATIC_PORT,
];

/// `listen` on a TCP socket of `AF_INET6`: `solisten`, `tcp6_usr_listen`.
pub static LISTEN6_TCP: &[&Rule] = &[
    &gate::LISTEN_MAC,
    &listen::LISTENABLE_STATE,
    &gate::LISTEN_SOCKET_FILTER,
    &gate::LISTEN_FLOW_DIVERT,
    &listen::INET6_CONFIGURED,
    &listen::LOW_RANGE,
    &listen::AUTOMATIC_PORT6,
];

/// `listen` on a UDP socket: `solisten`.
pub static LISTEN_UDP: &[&Rule] = &[&gate::LISTEN_MAC, &listen::STREAM];

/// Every list.
pub static PATHS: &[&[&Rule]] = &[
    BIND4_TCP,
    BIND4_UDP,
    BIND6_TCP,
    BIND6_UDP,
    BIND_MAPPED_TCP,
    BIND_MAPPED_UDP,
    LISTEN4_TCP,
    LISTEN6_TCP,
    LISTEN_UDP,
];

/// The rules of `bind`, in the kernel's order.
pub fn bind_path(socket: &Socket, addr: &SockAddr) -> &'static [&'static Rule] {
    let mapped = !socket.v6only && v4_mapped(addr.ipv6()).is_some();
    match (socket.family, socket.protocol) {
        (Family::Inet, Protocol::Tcp) => BIND4_TCP,
        (Family::Inet, Protocol::Udp) => BIND4_UDP,
        (Family::Inet6, Protocol::Tcp) if mapped => BIND_MAPPED_TCP,
        (Family::Inet6, Protocol::Udp) if mapped => BIND_MAPPED_UDP,
        (Family::Inet6, Protocol::Tcp) => BIND6_TCP,
        (Family::Inet6, Protocol::Udp) => BIND6_UDP,
    }
}

/// The rules of `listen`, in the kernel's order.
pub fn listen_path(socket: &Socket) -> &'static [&'static Rule] {
    match (socket.family, socket.protocol) {
        (Family::Inet, Protocol::Tcp) => LISTEN4_TCP,
        (Family::Inet6, Protocol::Tcp) => LISTEN6_TCP,
        (_, Protocol::Udp) => LISTEN_UDP,
    }
}

/// A host of which nothing is known but its kernel, as it comes out of the box: `lo0` and no
/// other socket, filter or policy. Whether it has further addresses stays open.
pub fn assumed_host(kernel: Kernel) -> Host {
    const FROM: &str = "assumed";
    let address =
        |ip: IpAddr, prefix| IfAddr { ip, prefix, broadcast: None, state: AddrState::Usable };
    let lo0 = Interface {
        index: 1,
        name: Text::Borrowed("lo0"),
        loopback: true,
        up: true,
        vrf: 0,
        addresses: Vec::from([
            address(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            address(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
            address(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)), 64),
        ]),
    };
    let ports = LocalPorts { low: 49152, high: 65535, reserved: Vec::new() };
    let mut host = Host {
        interfaces: Fact::known(Interfaces { list: Vec::from([lo0]), complete: false }, FROM),
        local_ports: Fact::known(ports, FROM),
        sockets: Sockets::none(FROM),
        policies: Fact::known(Vec::new(), FROM),
        ..Host::not_asked(kernel)
    };
    host.set_sysctl(port::ALLOW_UDP_PORT_EXHAUSTION, 0, FROM);
    host
}

/// The source of macOS 10.14.2, unless a citation says otherwise.
const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    cite_at("xnu-4903.231.4", path, function, needle)
}

const fn cite_at(
    rev: &'static str,
    path: &'static str,
    function: &'static str,
    needle: &'static str,
) -> Cite {
    Cite { repo: "apple-oss-distributions/xnu", rev, path, function, needle }
}

/// The lab note on model against XNU's own functions.
const MEASURED: Basis = Basis::Measured("lab/xnu-recorded.md");

const IN_PCB: &str = "bsd/netinet/in_pcb.c";
const IN6_PCB: &str = "bsd/netinet6/in6_pcb.c";
const IN6_SRC: &str = "bsd/netinet6/in6_src.c";
const TCP_USRREQ: &str = "bsd/netinet/tcp_usrreq.c";
const UDP_USRREQ: &str = "bsd/netinet/udp_usrreq.c";
const UDP6_USRREQ: &str = "bsd/netinet6/udp6_usrreq.c";
const UIPC_SOCKET: &str = "bsd/kern/uipc_socket.c";
const UIPC_SYSCALLS: &str = "bsd/kern/uipc_syscalls.c";
