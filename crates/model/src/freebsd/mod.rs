//! FreeBSD, read beside `sys/netinet/in_pcb.c` and `sys/netinet6/in6_pcb.c` of the main branch of
//! 2024-10-29, as a copy of it carries them; of older versions what a feature says. What came
//! later was not read.
//!
//! Not here: `IP_BINDANY`, which root may set, and which of several sockets on one wildcard gets a
//! packet.

pub mod conflict;
pub mod entry;
pub mod features;
pub mod listen;
pub mod lookup;
pub mod port;
pub mod versions;

pub use features::*;
pub use lookup::{LOOKUP, lookup};

pub use versions::from_version;

use crate::{Cite, Host, Kernel, Protocol, Rule, Socket, pcb};

/// `bind` on a TCP socket of either family.
pub static BIND_TCP: &[&Rule] = &[
    &entry::MAC_PORTACL,
    &entry::ADDRESS_FAMILY,
    &entry::SOCKADDR_LENGTH,
    &entry::STREAM_MULTICAST,
    &entry::UNBOUND_SOCKET,
    &entry::JAIL,
    &entry::LOCAL_ADDRESS,
    &entry::LOCAL_ADDRESS6,
    &port::RESERVED_PORT,
    &conflict::OTHER_USER,
    &conflict::OTHER_USER_DUAL_STACK,
    &conflict::PORT_TAKEN,
    &conflict::PORT_TAKEN_DUAL_STACK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a UDP socket of either family.
pub static BIND_UDP: &[&Rule] = &[
    &entry::MAC_PORTACL,
    &entry::ADDRESS_FAMILY,
    &entry::SOCKADDR_LENGTH,
    &entry::UNBOUND_SOCKET,
    &entry::JAIL,
    &entry::LOCAL_ADDRESS,
    &entry::LOCAL_ADDRESS6,
    &port::RESERVED_PORT,
    &conflict::OTHER_USER,
    &conflict::OTHER_USER_DUAL_STACK,
    &conflict::PORT_TAKEN,
    &conflict::PORT_TAKEN_DUAL_STACK,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `listen` on a TCP socket: one without a port takes any.
pub static LISTEN_TCP: &[&Rule] = &[];
/// `listen` on a UDP socket.
pub static LISTEN_UDP: &[&Rule] = &[&listen::DATAGRAM];

/// Every list.
pub static PATHS: &[&[&Rule]] = &[BIND_TCP, BIND_UDP, LISTEN_TCP, LISTEN_UDP];

/// The rules of `bind`, in the kernel's order.
pub fn bind_path(socket: &Socket) -> &'static [&'static Rule] {
    match socket.protocol {
        Protocol::Tcp => BIND_TCP,
        Protocol::Udp => BIND_UDP,
    }
}

/// The rules of `listen`, in the kernel's order.
pub fn listen_path(socket: &Socket) -> &'static [&'static Rule] {
    match socket.protocol {
        Protocol::Tcp => LISTEN_TCP,
        Protocol::Udp => LISTEN_UDP,
    }
}

/// A host of which nothing is known but its kernel, as it comes out of the box.
pub fn assumed_host(kernel: Kernel) -> Host {
    let mut host = pcb::assumed_host(kernel, "lo0");
    host.set_sysctl(RESERVED_HIGH, 1023, "assumed");
    host.set_sysctl(RESERVED_LOW, 0, "assumed");
    host.set_sysctl(V6ONLY, 1, "assumed");
    host
}

/// The highest port that is for root.
pub const RESERVED_HIGH: &str = "net.inet.ip.portrange.reservedhigh";
/// The lowest port that is for root.
pub const RESERVED_LOW: &str = "net.inet.ip.portrange.reservedlow";
/// Whether a fresh IPv6 socket has `IPV6_V6ONLY`.
pub const V6ONLY: &str = "net.inet6.ip6.v6only";
/// The module that lists who may use which port.
pub const MAC_PORTACL_GATE: &str = "mac-portacl";
/// A jail around the process.
pub const JAIL_GATE: &str = "jail";

const IN_PCB: &str = "freebsd/sys/netinet/in_pcb.c";
const IN6_PCB: &str = "freebsd/sys/netinet6/in6_pcb.c";
const TCP_USRREQ: &str = "freebsd/sys/netinet/tcp_usrreq.c";

/// FreeBSD's main branch of 2024-10-29, as rtems-libbsd carries it.
const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    const REV: &str = "3de45fac2a64daeaa634e8ff5f197663a4403183";
    Cite { repo: "RTEMS/rtems-libbsd", rev: REV, path, function, needle }
}
