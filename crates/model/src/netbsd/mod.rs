//! NetBSD, read beside `sys/netinet/in_pcb.c` of 2008-01; later copies agree as far as they were
//! read.
//!
//! Not here: security models other than `suser`, TIME_WAIT entries of later copies, and which socket
//! gets a packet. That `IPV6_V6ONLY` is on for a fresh socket was not read.

pub mod conflict;
pub mod entry;
pub mod listen;
pub mod port;
pub mod versions;

pub use versions::from_version;

use crate::{Cite, Host, Kernel, Protocol, Rule, Socket, pcb};

/// `bind` on a socket of either family and protocol.
pub static BIND: &[&Rule] = &[
    &entry::UNBOUND_SOCKET,
    &entry::SOCKADDR_LENGTH,
    &entry::ADDRESS_FAMILY,
    &entry::LOCAL_ADDRESS,
    &port::RESERVED_PORT,
    &conflict::MAPPED_TAKEN,
    &conflict::OTHER_USER,
    &conflict::PORT_TAKEN,
    &port::LOW_RANGE,
    &port::AUTOMATIC_PORT,
];

/// `listen` on a TCP socket: one without a port takes any.
pub static LISTEN_TCP: &[&Rule] = &[];
/// `listen` on a UDP socket.
pub static LISTEN_UDP: &[&Rule] = &[&listen::DATAGRAM];

/// Every list.
pub static PATHS: &[&[&Rule]] = &[BIND, LISTEN_TCP, LISTEN_UDP];

/// The rules of `listen`, in the kernel's order.
pub fn listen_path(socket: &Socket) -> &'static [&'static Rule] {
    match socket.protocol {
        Protocol::Tcp => LISTEN_TCP,
        Protocol::Udp => LISTEN_UDP,
    }
}

/// A host of which nothing is known but its kernel, as it comes out of the box.
pub fn assumed_host(kernel: Kernel) -> Host {
    let without = kernel.release.ends_with(versions::WITHOUT);
    let mut host = pcb::assumed_host(kernel, "lo0");
    host.set_sysctl(NO_PRIVILEGED_PORTS, without.into(), if without { "given" } else { "assumed" });
    host
}

/// The kernel option that does away with reserved ports; 1 if the kernel has it.
pub const NO_PRIVILEGED_PORTS: &str = "options IPNOPRIVPORTS";

const IN_PCB: &str = "sys/netinet/in_pcb.c";

const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    const REV: &str = "012570463b0291741799e6658cda9cf857c70fe3";
    Cite { repo: "NetBSD/src", rev: REV, path, function, needle }
}
