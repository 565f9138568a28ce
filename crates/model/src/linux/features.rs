//! What differs between versions of Linux, as far as `bind` and `listen` are concerned.

use super::cite;
use crate::{Cite, Exception, Feature, Version};

/// The limit became a sysctl; before it was 1024.
pub static UNPRIVILEGED_PORT_START: Feature = Feature {
    id: "linux.unprivileged-port-start",
    title: "the sysctl net.ipv4.ip_unprivileged_port_start sets the limit of reserved ports",
    last_without: Some(Version::new(4, 10, 0)),
    first_with: Version::new(4, 11, 0),
    exceptions: &[],
    cites: &[cite("include/net/ip.h", "inet_port_requires_bind_service", "sysctl_ip_prot_sock")],
};

/// `0.1.2.3` used to count as a broadcast address, which may be bound.
pub static ZERONET_IS_NOT_BROADCAST: Feature = Feature {
    id: "linux.zeronet-is-not-broadcast",
    title: "of 0.0.0.0/8 only 0.0.0.0 counts as a broadcast address",
    last_without: Some(Version::new(5, 2, 0)),
    first_with: Version::new(5, 3, 0),
    exceptions: &[],
    cites: &[cite("include/linux/in.h", "ipv4_is_zeronet", "addr")],
};

/// A user may bind a socket to a device, once.
pub static UNPRIVILEGED_BINDTODEVICE: Feature = Feature {
    id: "linux.unprivileged-bindtodevice",
    title: "SO_BINDTODEVICE needs CAP_NET_RAW only to change or clear a device",
    last_without: Some(Version::new(5, 6, 0)),
    first_with: Version::new(5, 7, 0),
    exceptions: &[],
    cites: &[cite("net/core/sock.c", "sock_bindtoindex_locked", "CAP_NET_RAW")],
};

/// When the sockets that `bind` put on a port are gone, what they said about sharing is too.
pub static BUCKET_FORGETS_ON_CLOSE: Feature = Feature {
    id: "linux.bucket-forgets-on-close",
    title: "a port held only by connect() forgets what earlier owners said about sharing it",
    last_without: Some(Version::new(6, 16, 12)),
    first_with: Version::new(6, 17, 13),
    exceptions: &[],
    cites: &[Cite {
        repo: "gregkh/linux",
        rev: "v7.2.12",
        path: "net/ipv4/inet_hashtables.c",
        function: "inet_bind_bucket_destroy",
        needle: "fastreuseport",
    }],
};

/// Before, the first socket of a port could let in others on its word alone, which held even when
/// it took it back.
pub static BUCKET_STARTS_STRICT: Feature = Feature {
    id: "linux.bucket-starts-strict",
    title: "what the first socket of a port says about sharing it is asked again each time",
    last_without: Some(Version::new(6, 7, 0)),
    first_with: Version::new(6, 8, 0),
    exceptions: &[],
    cites: &[cite("net/ipv4/inet_connection_sock.c", "inet_csk_update_fastreuse", "bhash2")],
};

/// Carrying something else back to 6.1 made it miss this wildcard.
pub static BIND_FINDS_MAPPED_ANY: Feature = Feature {
    id: "linux.bind-finds-mapped-any",
    title: "bind of an IPv4-mapped address finds an IPv6 socket on ::ffff:0.0.0.0 in its way",
    last_without: None,
    first_with: Version::new(5, 10, 262),
    exceptions: &[Exception::lost(Version::new(6, 1, 168), Version::new(6, 2, 0))],
    cites: &[cite("net/ipv4/inet_hashtables.c", "inet_bind2_bucket_match_addr_any", "addr_type")],
};

/// Before, a wildcard was compared only with the wildcards once there were many.
pub static UDP_WILDCARD_MEETS_ALL: Feature = Feature {
    id: "linux.udp-wildcard-meets-all",
    title: "bind of a UDP wildcard looks at every socket of the port, however many there are",
    last_without: Some(Version::new(6, 19, 10)),
    first_with: Version::new(6, 19, 11),
    exceptions: &[
        Exception::carried_back(6, 1, 168),
        Exception::carried_back(6, 6, 131),
        Exception::carried_back(6, 12, 80),
        Exception::carried_back(6, 18, 21),
    ],
    cites: &[cite("net/ipv4/udp.c", "udp_lib_get_port", "inet_use_hash2_on_bind")],
};

/// The address of the subnet itself used to be a second broadcast address.
pub static LOWEST_ADDRESS_IS_UNICAST: Feature = Feature {
    id: "linux.lowest-address-is-unicast",
    title: "the lowest address of a subnet is no broadcast address",
    last_without: Some(Version::new(5, 13, 0)),
    first_with: Version::new(5, 14, 0),
    exceptions: &[],
    cites: &[cite("net/ipv4/fib_frontend.c", "fib_add_ifaddr", "RTN_BROADCAST")],
};

/// A socket may narrow the range of its automatic port.
pub static LOCAL_PORT_RANGE_OPTION: Feature = Feature {
    id: "linux.local-port-range-option",
    title: "there is a socket option IP_LOCAL_PORT_RANGE",
    last_without: Some(Version::new(6, 2, 0)),
    first_with: Version::new(6, 3, 0),
    exceptions: &[Exception::carried_back(6, 1, 32)],
    cites: &[cite("net/ipv4/ip_sockglue.c", "do_ip_setsockopt", "IP_LOCAL_PORT_RANGE")],
};

/// Before, every socket of the port stood in one list, and an address only scored.
pub static LOOKUP_ADDRESS_FIRST: Feature = Feature {
    id: "linux.lookup-address-first",
    title: "a listener on a specific address comes before every wildcard",
    last_without: Some(Version::new(4, 20, 0)),
    first_with: Version::new(5, 0, 0),
    exceptions: &[],
    cites: &[cite("net/ipv4/inet_hashtables.c", "__inet_lookup_listener", "inet_lhash2_lookup")],
};

/// Lost with 5.0 and found again.
pub static LOOKUP_PREFERS_DEVICE: Feature = Feature {
    id: "linux.lookup-prefers-device",
    title: "of the sockets of one address, one that is bound to the device of the packet comes first",
    last_without: Some(Version::new(5, 14, 0)),
    first_with: Version::new(5, 15, 0),
    exceptions: &[Exception::carried_back(5, 10, 73), Exception::carried_back(5, 14, 12)],
    cites: &[
        cite("net/ipv4/inet_hashtables.c", "compute_score", "sk_bound_dev_if"),
        cite("net/ipv4/udp.c", "compute_score", "sk_bound_dev_if"),
    ],
};

/// Connected UDP sockets got a table of their own.
pub static LOOKUP_UDP_CONNECTIONS: Feature = Feature {
    id: "linux.lookup-udp-connections",
    title: "UDP sockets connected to the sender come first, the last one connected before all",
    last_without: Some(Version::new(6, 12, 0)),
    first_with: Version::new(6, 13, 0),
    exceptions: &[],
    cites: &[Cite {
        repo: "gregkh/linux",
        rev: "v7.2.12",
        path: "net/ipv4/udp.c",
        function: "udp4_lib_lookup4",
        needle: "inet_match",
    }],
};

/// Landlock learned about ports.
pub static LANDLOCK_TCP: Feature = Feature {
    id: "linux.landlock-tcp",
    title: "a Landlock domain may forbid bind and connect of TCP sockets by port",
    last_without: Some(Version::new(6, 6, 0)),
    first_with: Version::new(6, 7, 0),
    exceptions: &[],
    cites: &[cite("security/landlock/net.c", "hook_socket_bind", "LANDLOCK_ACCESS_NET_BIND_TCP")],
};

/// A process whose real and effective ids differ used to count as gaining by every program.
pub static EXEC_COMPARES_EFFECTIVE_IDS: Feature = Feature {
    id: "linux.exec-compares-effective-ids",
    title: "execve compares the new effective ids with the old effective ids, not the real ones",
    last_without: Some(Version::new(6, 16, 12)),
    first_with: Version::new(6, 17, 13),
    exceptions: &[],
    cites: &[Cite {
        repo: "gregkh/linux",
        rev: "v7.2.12",
        path: "security/commoncap.c",
        function: "cap_bprm_creds_from_file",
        needle: "in_group_p",
    }],
};

/// Every feature of Linux.
pub static FEATURES: &[&Feature] = &[
    &UNPRIVILEGED_PORT_START,
    &ZERONET_IS_NOT_BROADCAST,
    &UNPRIVILEGED_BINDTODEVICE,
    &BUCKET_FORGETS_ON_CLOSE,
    &BUCKET_STARTS_STRICT,
    &BIND_FINDS_MAPPED_ANY,
    &UDP_WILDCARD_MEETS_ALL,
    &LOWEST_ADDRESS_IS_UNICAST,
    &LOCAL_PORT_RANGE_OPTION,
    &LOOKUP_ADDRESS_FIRST,
    &LOOKUP_PREFERS_DEVICE,
    &LOOKUP_UDP_CONNECTIONS,
    &LANDLOCK_TCP,
    &EXEC_COMPARES_EFFECTIVE_IDS,
];
