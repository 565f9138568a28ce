//! Linux, read beside `net/ipv4/af_inet.c` and `net/ipv6/af_inet6.c`: every list below stands in
//! the order in which the kernel checks, which differs between the families and can be observed.

pub mod bind4;
pub mod bind6;
pub mod bucket;
pub mod conflict;
pub mod connect;
pub mod effects;
pub mod exec;
pub mod features;
pub mod fixes;
pub mod gate;
pub mod listen;
pub mod lookup;
pub mod netfilter;
pub mod option;
pub mod port;
pub mod route;
pub mod traffic;
pub mod udp;
pub mod walk;

pub use bucket::{Bucket, Buckets};
pub use effects::{close, connected, settle, time_wait};
pub use exec::EXEC;
pub use features::*;
pub use lookup::{LOOKUP, lookup};

use crate::{Cite, Family, Protocol, Rule, SockOption};

/// `bind` on a TCP socket of `AF_INET`.
pub static BIND4_TCP: &[&Rule] = &[
    &gate::BIND_SECCOMP,
    &bind4::SOCKADDR_TOO_LONG,
    &gate::BIND_LANDLOCK,
    &gate::BIND_SECURITY_MODULE,
    &bind4::SOCKADDR_LENGTH,
    &gate::BIND_CGROUP,
    &bind4::ADDRESS_FAMILY,
    &bind4::LOCAL_ADDRESS,
    &port::RESERVED_PORT,
    &port::UNBOUND_SOCKET,
    &conflict::PORT_TAKEN,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a UDP socket of `AF_INET`.
pub static BIND4_UDP: &[&Rule] = &[
    &gate::BIND_SECCOMP,
    &bind4::SOCKADDR_TOO_LONG,
    &gate::BIND_SECURITY_MODULE,
    &bind4::SOCKADDR_LENGTH,
    &gate::BIND_CGROUP,
    &bind4::ADDRESS_FAMILY,
    &bind4::LOCAL_ADDRESS,
    &port::RESERVED_PORT,
    &port::UNBOUND_SOCKET,
    &udp::PORT_TAKEN,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a TCP socket of `AF_INET6`. The port is tested before the address.
pub static BIND6_TCP: &[&Rule] = &[
    &gate::BIND_SECCOMP,
    &bind4::SOCKADDR_TOO_LONG,
    &gate::BIND_LANDLOCK,
    &gate::BIND_SECURITY_MODULE,
    &bind6::SOCKADDR_LENGTH,
    &gate::BIND_CGROUP,
    &bind6::ADDRESS_FAMILY,
    &bind6::STREAM_MULTICAST,
    &port::RESERVED_PORT,
    &port::UNBOUND_SOCKET,
    &bind6::MAPPED_V6ONLY,
    &bind6::MAPPED_DEVICE,
    &bind6::MAPPED_LOCAL_ADDRESS,
    &bind6::ZONE,
    &bind6::DEVICE,
    &bind6::ASSIGNED_ADDRESS,
    &conflict::PORT_TAKEN,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a UDP socket of `AF_INET6`.
pub static BIND6_UDP: &[&Rule] = &[
    &gate::BIND_SECCOMP,
    &bind4::SOCKADDR_TOO_LONG,
    &gate::BIND_SECURITY_MODULE,
    &bind6::SOCKADDR_LENGTH,
    &gate::BIND_CGROUP,
    &bind6::ADDRESS_FAMILY,
    &port::RESERVED_PORT,
    &port::UNBOUND_SOCKET,
    &bind6::MAPPED_V6ONLY,
    &bind6::MAPPED_DEVICE,
    &bind6::MAPPED_LOCAL_ADDRESS,
    &bind6::ZONE,
    &bind6::DEVICE,
    &bind6::ASSIGNED_ADDRESS,
    &udp::PORT_TAKEN,
    &port::AUTOMATIC_PORT,
];

/// `bind` on a raw socket of `AF_INET`: an address, no port.
pub static RAW4: &[&Rule] =
    &[&bind4::SOCKADDR_TOO_LONG, &bind4::SOCKADDR_LENGTH, &bind4::LOCAL_ADDRESS];

/// `bind` on a raw socket of `AF_INET6`, once its family is right.
pub static RAW6: &[&Rule] = &[
    &bind4::SOCKADDR_TOO_LONG,
    &bind6::SOCKADDR_LENGTH,
    &bind6::ZONE,
    &bind6::DEVICE,
    &bind6::ASSIGNED_ADDRESS,
];

/// `listen`.
pub static LISTEN: &[&Rule] = &[
    &gate::LISTEN_SECCOMP,
    &gate::LISTEN_SECURITY_MODULE,
    &listen::STREAM,
    &listen::LISTENABLE_STATE,
    &listen::PORT_TAKEN,
    &listen::AUTOMATIC_PORT,
];

/// `connect` on a TCP socket: `__inet_stream_connect`, `tcp_v4_connect`, `tcp_v6_connect`.
pub static CONNECT_TCP: &[&Rule] = &[
    &connect::SOCKADDR_BOUNDS,
    &connect::UNCONNECTED,
    &connect::SOCKADDR_LENGTH,
    &connect::ADDRESS_FAMILY,
    &connect::STREAM_GROUP,
    &connect::ZONE,
    &connect::MAPPED_V6ONLY,
    &connect::SOURCE_FAMILY,
    &connect::SOURCE_ADDRESS,
    &connect::AUTOMATIC_PORT,
    &connect::UNIQUE,
];

/// `connect` on a UDP socket: `inet_dgram_connect`, `__ip4_datagram_connect`,
/// `__ip6_datagram_connect`.
pub static CONNECT_UDP: &[&Rule] = &[
    &connect::SOCKADDR_BOUNDS,
    &connect::UDP_AUTOMATIC_PORT,
    &connect::SOCKADDR_LENGTH,
    &connect::ADDRESS_FAMILY,
    &connect::MAPPED_V6ONLY,
    &connect::ZONE,
    &connect::SOURCE_FAMILY,
    &connect::SOURCE_ADDRESS,
    &connect::BROADCAST,
];

/// `setsockopt` of `IPV6_V6ONLY`.
pub static SET_V6ONLY: &[&Rule] = &[&option::V6ONLY_FAMILY, &option::V6ONLY_UNBOUND];
/// `setsockopt` of `IP_TRANSPARENT`.
pub static SET_TRANSPARENT: &[&Rule] = &[&option::TRANSPARENT];
/// `setsockopt` of `SO_BINDTODEVICE`.
pub static SET_DEVICE: &[&Rule] = &[&option::DEVICE_EXISTS, &option::DEVICE_ONCE];
/// `setsockopt` of `IP_LOCAL_PORT_RANGE`.
pub static SET_PORT_RANGE: &[&Rule] = &[&option::PORT_RANGE_KNOWN, &option::PORT_RANGE_ORDER];

/// Every list.
pub static PATHS: &[&[&Rule]] = &[
    BIND4_TCP,
    BIND4_UDP,
    BIND6_TCP,
    BIND6_UDP,
    LISTEN,
    CONNECT_TCP,
    CONNECT_UDP,
    SET_V6ONLY,
    SET_TRANSPARENT,
    SET_DEVICE,
    SET_PORT_RANGE,
    EXEC,
];

/// The rules of `bind`, in the kernel's order.
pub fn bind_path(family: Family, protocol: Protocol) -> &'static [&'static Rule] {
    match (family, protocol) {
        (Family::Inet, Protocol::Tcp) => BIND4_TCP,
        (Family::Inet, Protocol::Udp) => BIND4_UDP,
        (Family::Inet6, Protocol::Tcp) => BIND6_TCP,
        (Family::Inet6, Protocol::Udp) => BIND6_UDP,
    }
}

/// The rules of `connect`, in the kernel's order.
pub fn connect_path(protocol: Protocol) -> &'static [&'static Rule] {
    match protocol {
        Protocol::Tcp => CONNECT_TCP,
        Protocol::Udp => CONNECT_UDP,
    }
}

/// The rules of `setsockopt`, in the kernel's order.
pub fn option_path(option: SockOption) -> &'static [&'static Rule] {
    match option {
        SockOption::V6Only(_) => SET_V6ONLY,
        SockOption::Transparent(_) => SET_TRANSPARENT,
        SockOption::BindToDevice(_) => SET_DEVICE,
        SockOption::LocalPortRange(..) => SET_PORT_RANGE,
        _ => &[],
    }
}

/// The sources that were read, unless a citation says otherwise.
const fn cite(path: &'static str, function: &'static str, needle: &'static str) -> Cite {
    Cite { repo: "gregkh/linux", rev: "v6.12.117", path, function, needle }
}

/// The lab note on model against kernel.
const MEASURED: crate::Basis = crate::Basis::Measured("lab/linux-bind-6.18.md");

/// The lab note on connections and packets, model against kernel.
const LOOKUP_MEASURED: crate::Basis = crate::Basis::Measured("lab/linux-lookup-6.18.md");

/// How the rules of `execve` are known.
const EXEC_MEASURED: crate::Basis = crate::Basis::Measured("lab/linux-exec-6.18.md");
