//! illumos, read beside `usr/src/uts/common/inet/tcp/tcp_bind.c`. UDP was not read.
//!
//! Not here: privileges other than root's, zones and labels, and which socket gets a packet.

pub mod listen;
pub mod tcp;
pub mod udp;
pub mod versions;

pub use versions::kernel;

use crate::{Cite, Fact, Host, Kernel, LocalPorts, Protocol, Rule, Socket, pcb};

/// `bind` on a TCP socket of either family.
pub static BIND_TCP: &[&Rule] = &[
    &tcp::UNBOUND_SOCKET,
    &tcp::SOCKADDR,
    &tcp::MAPPED_V6ONLY,
    &tcp::LOCAL_ADDRESS,
    &tcp::RESERVED_PORT,
    &tcp::PORT_TAKEN,
    &tcp::AUTOMATIC_PORT,
];

/// `bind` on a UDP socket of either family.
pub static BIND_UDP: &[&Rule] =
    &[&udp::DATAGRAM_ADDRESS, &udp::DATAGRAM_PORT, &udp::DATAGRAM_TAKEN];

/// `listen` on a TCP socket: one without a port takes any.
pub static LISTEN_TCP: &[&Rule] = &[];
/// `listen` on a UDP socket.
pub static LISTEN_UDP: &[&Rule] = &[&listen::DATAGRAM];

/// Every list.
pub static PATHS: &[&[&Rule]] = &[BIND_TCP, BIND_UDP, LISTEN_TCP, LISTEN_UDP];

/// The rules of `listen`, in the kernel's order.
pub fn listen_path(socket: &Socket) -> &'static [&'static Rule] {
    match socket.protocol {
        Protocol::Tcp => LISTEN_TCP,
        Protocol::Udp => LISTEN_UDP,
    }
}

/// The rules of `bind`, in the kernel's order.
pub fn bind_path(socket: &Socket) -> &'static [&'static Rule] {
    match socket.protocol {
        Protocol::Tcp => BIND_TCP,
        Protocol::Udp => BIND_UDP,
    }
}

/// A host of which nothing is known but its kernel, as it comes out of the box.
pub fn assumed_host(kernel: Kernel) -> Host {
    let mut host = pcb::assumed_host(kernel, "lo0");
    host.set_sysctl(SMALLEST_NONPRIV, 1024, "assumed");
    let ports = LocalPorts { low: 32768, high: 65535, reserved: alloc::vec::Vec::new() };
    host.local_ports = Fact::known(ports, "assumed");
    host
}

/// The lowest port that needs no privilege, a property of `ipadm`.
pub const SMALLEST_NONPRIV: &str = "smallest_nonpriv_port";

const TCP_BIND: &str = "usr/src/uts/common/inet/tcp/tcp_bind.c";

const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    const REV: &str = "39707ee3a97aeafc196f2f8a38d1838551d34935";
    Cite { repo: "illumos/illumos-gate", rev: REV, path, function, needle }
}
