//! Windows, Server 2003 and later, as far as Microsoft documents Winsock: the source is closed.
//!
//! `WSAEACCES` is written `EACCES` here, and so on. Not here: Windows XP, whose table differs, and
//! which of several sockets gets a packet, which the documentation calls indeterminate.

pub mod bind;
pub mod listen;
mod table;
pub mod versions;

pub use versions::from_version;

use crate::{Cite, Host, Kernel, Protocol, Rule, Socket, pcb};

/// `bind` on a socket of either family and protocol.
pub static BIND: &[&Rule] = &[
    &bind::UNBOUND_SOCKET,
    &bind::EXCLUDED_PORT,
    &bind::LOCAL_ADDRESS,
    &bind::ACCESS,
    &bind::IN_USE,
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
    let mut host = pcb::assumed_host(kernel, "Loopback Pseudo-Interface 1");
    host.set_sysctl(EXCLUDED, 0, "assumed");
    host
}

/// Whether the port lies in an automatic excluded range (`netsh int ipv4 show excludedportrange`).
pub const EXCLUDED: &str = "excluded port range";

const REUSE: &str = "desktop-src/WinSock/using-so-reuseaddr-and-so-exclusiveaddruse.md";
const CODES: &str = "desktop-src/WinSock/windows-sockets-error-codes-2.md";
const DUAL: &str = "desktop-src/WinSock/dual-stack-sockets.md";

const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    const REV: &str = "47e64c189dcb1c1a42c221380ccf0ec81cc82d4b";
    Cite { repo: "MicrosoftDocs/win32", rev: REV, path, function, needle }
}
