//! OpenBSD, read beside `sys/netinet/in_pcb.c` revision 1.320 of 2025-07-14, and for what that
//! leaves to `in6_pcb.c` and for older versions a copy of 2014.
//!
//! An IPv6 socket never carries IPv4. Not here: routing domains, `SO_BINDANY`, and which socket gets
//! a packet.

pub mod conflict;
pub mod entry;
pub mod features;
pub mod listen;
pub mod port;
pub mod versions;

pub use features::*;

pub use versions::from_version;

use crate::{Cite, Host, Kernel, Protocol, Rule, Socket, pcb};

/// `bind` on a socket of either family and protocol.
pub static BIND: &[&Rule] = &[
    &entry::UNBOUND_SOCKET,
    &entry::SOCKADDR,
    &entry::ADDRESS_FAMILY,
    &entry::MAPPED,
    &entry::LOCAL_ADDRESS,
    &entry::LOCAL_ADDRESS6,
    &port::RESERVED_PORT_FIRST,
    &port::RESERVED_PORT6_FIRST,
    &conflict::OTHER_USER,
    &conflict::PORT_TAKEN,
    &port::RESERVED_PORT,
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
    pcb::assumed_host(kernel, "lo0")
}

const IN_PCB: &str = "sys/netinet/in_pcb.c";
const IN6_PCB: &str = "sys/netinet6/in6_pcb.c";

/// The revision of the file, as CVS numbers it.
const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    Cite { repo: "openbsd/src", rev: "1.320", path, function, needle }
}

/// The copy of 2014.
const fn cite_old(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    const REV: &str = "0039ae5121f443fb1a694aa0cd205482e690200f";
    Cite { repo: "openbsd/src", rev: REV, path, function, needle }
}
