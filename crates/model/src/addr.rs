//! Socket addresses as `bind(2)` takes them, and what kinds of address there are.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `AF_UNSPEC`, the same on every kernel.
pub const AF_UNSPEC: u16 = 0;
/// `AF_INET`, the same on every kernel.
pub const AF_INET: u16 = 2;
/// `AF_INET6` as Linux numbers it. The model writes every family with Linux's number.
pub const AF_INET6: u16 = 10;

/// Length in bytes of a `sockaddr_in`.
pub const SOCKADDR_IN_LEN: u32 = 16;
/// Length in bytes of a `sockaddr_in6`.
pub const SOCKADDR_IN6_LEN: u32 = 28;
/// Length in bytes of a `sockaddr_storage`: no kernel takes more.
pub const SOCKADDR_STORAGE_LEN: u32 = 128;

/// The bytes given to `bind(2)`, with the length that was passed.
///
/// Kept as bytes because malformed ones are questions too: what a kernel reads depends on the
/// socket's family, not on the address's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SockAddr {
    /// `sa_family`, in Linux's numbers.
    pub family: u16,
    /// The port, in host byte order.
    pub port: u16,
    /// Bytes 4 to 8: the address of a `sockaddr_in`, the flow label of a `sockaddr_in6`.
    pub word: [u8; 4],
    /// Bytes 8 to 24: the address of a `sockaddr_in6`.
    pub wide: [u8; 16],
    /// Bytes 24 to 28: the zone of a `sockaddr_in6`, an interface index.
    pub scope: u32,
    /// The length passed to the call, in bytes.
    pub len: u32,
}

impl SockAddr {
    /// A well-formed `sockaddr_in`.
    pub const fn v4(ip: Ipv4Addr, port: u16) -> SockAddr {
        let word = ip.octets();
        SockAddr { family: AF_INET, port, word, wide: [0; 16], scope: 0, len: SOCKADDR_IN_LEN }
    }

    /// A well-formed `sockaddr_in6`; `scope` is an interface index or 0.
    pub const fn v6(ip: Ipv6Addr, port: u16, scope: u32) -> SockAddr {
        let wide = ip.octets();
        SockAddr { family: AF_INET6, port, word: [0; 4], wide, scope, len: SOCKADDR_IN6_LEN }
    }

    /// The well-formed address for `ip`.
    pub const fn new(ip: IpAddr, port: u16, scope: u32) -> SockAddr {
        match ip {
            IpAddr::V4(ip) => SockAddr::v4(ip, port),
            IpAddr::V6(ip) => SockAddr::v6(ip, port, scope),
        }
    }

    /// The IPv4 address a kernel reads here when it expects a `sockaddr_in`.
    pub const fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(self.word)
    }

    /// The IPv6 address a kernel reads here when it expects a `sockaddr_in6`.
    pub const fn ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.wide)
    }

    /// The address a socket of `family` reads here.
    pub const fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::Inet => IpAddr::V4(self.ipv4()),
            Family::Inet6 => IpAddr::V6(self.ipv6()),
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> SockAddr {
        match addr {
            SocketAddr::V4(a) => SockAddr::v4(*a.ip(), a.port()),
            SocketAddr::V6(a) => SockAddr::v6(*a.ip(), a.port(), a.scope_id()),
        }
    }
}

/// The family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Family {
    /// `AF_INET`.
    Inet,
    /// `AF_INET6`.
    Inet6,
}

impl Family {
    /// The family whose sockets take `ip` as it is.
    pub const fn of(ip: IpAddr) -> Family {
        match ip {
            IpAddr::V4(_) => Family::Inet,
            IpAddr::V6(_) => Family::Inet6,
        }
    }

    /// The unspecified address of the family: `0.0.0.0` or `::`.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Family::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// Returns the IPv4 address inside `::ffff:a.b.c.d`.
pub const fn v4_mapped(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    ip.to_ipv4_mapped()
}

/// Returns whether `ip` is `0.0.0.0` or `::`. `::ffff:0.0.0.0` is not, it is a mapped address.
pub const fn is_unspecified(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    }
}

/// Returns whether `ip` is an IPv6 address that means something only on one link:
/// `fe80::/10`, or a multicast address of interface-local or link-local scope.
pub const fn needs_zone(ip: Ipv6Addr) -> bool {
    let octets = ip.octets();
    let link_local = ip.is_unicast_link_local();
    let multicast_scope = octets[1] & 0x0f;
    link_local || (octets[0] == 0xff && (multicast_scope == 1 || multicast_scope == 2))
}
