//! Socket options with a number as value.

/// An option with a number as value; see [`super::Socket::set`] and [`super::Socket::get`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// `SOL_SOCKET`, `IPPROTO_IP` and so on.
    pub level: i32,
    /// The option's number in that level.
    pub number: i32,
    /// Its name, as the man page writes it.
    pub name: &'static str,
}

macro_rules! options {
    ($($level:ident $number:expr, $name:ident $doc:literal)*) => {
        impl SocketOption {
            $(
                #[doc = $doc]
                pub const $name: SocketOption =
                    SocketOption { level: libc::$level, number: $number, name: stringify!($name) };
            )*
        }
    };
}

options! {
    SOL_SOCKET libc::SO_REUSEADDR, SO_REUSEADDR "Share the port where nobody listens."
    SOL_SOCKET libc::SO_REUSEPORT, SO_REUSEPORT "Share the port with sockets of the same user."
    SOL_SOCKET libc::SO_BROADCAST, SO_BROADCAST "Send to broadcast addresses."
    SOL_SOCKET libc::SO_MARK, SO_MARK "The mark; to set needs `CAP_NET_ADMIN` or `CAP_NET_RAW`."
    SOL_SOCKET libc::SO_BINDTOIFINDEX, SO_BINDTOIFINDEX "The interface it is bound to (≥ 5.1)."
    SOL_SOCKET libc::SO_DOMAIN, SO_DOMAIN "The address family. Read only."
    SOL_SOCKET libc::SO_TYPE, SO_TYPE "`SOCK_STREAM` and so on. Read only."
    SOL_SOCKET libc::SO_PROTOCOL, SO_PROTOCOL "The protocol. Read only."
    SOL_SOCKET libc::SO_ACCEPTCONN, SO_ACCEPTCONN "Whether it listens. Read only."
    SOL_SOCKET libc::SO_PEEK_OFF, SO_PEEK_OFF "Where the next look begins; negative if at the front."
    SOL_SOCKET libc::SO_ERROR, SO_ERROR "The pending error, which reading clears."
    IPPROTO_IP libc::IP_FREEBIND, IP_FREEBIND "Bind addresses this host does not have."
    IPPROTO_IP libc::IP_TRANSPARENT, IP_TRANSPARENT
        "Bind any address; to set needs `CAP_NET_ADMIN` or `CAP_NET_RAW`."
    IPPROTO_IP libc::IP_BIND_ADDRESS_NO_PORT, IP_BIND_ADDRESS_NO_PORT
        "Choose an automatic port at connect(2), not at bind(2)."
    IPPROTO_IP 51, IP_LOCAL_PORT_RANGE
        "The range of automatic ports, low port in the low half (≥ 6.3)."
    IPPROTO_IPV6 libc::IPV6_V6ONLY, IPV6_V6ONLY "Do not take IPv4 as well."
    IPPROTO_IPV6 libc::IPV6_FREEBIND, IPV6_FREEBIND "Bind addresses this host does not have."
    IPPROTO_IPV6 libc::IPV6_TRANSPARENT, IPV6_TRANSPARENT
        "Bind any address; to set needs `CAP_NET_ADMIN` or `CAP_NET_RAW`."
}
