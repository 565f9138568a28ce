//! `listen`, read beside `solisten`, `tcp_usr_listen` and `tcp6_usr_listen`. Nobody asks for
//! conflicts here; a socket without a port gets one, on the unspecified address.

use core::net::Ipv4Addr;

use super::{
    IN_PCB, IN6_PCB, IN6_SRC, TCP_USRREQ, UIPC_SOCKET,
    bind4::no_inet_address,
    bind6::no_inet6_address,
    cite, fixes,
    pcb::ANY6,
    port::{Laddr, no_automatic_port, wants_root},
};
use crate::{Basis, Errno, Family, Outcome, Rule, State};

/// A datagram socket does not listen.
pub static STREAM: Rule = Rule {
    id: "xnu.listen.stream",
    title: "the socket is a stream socket",
    fault: "the socket is no stream socket",
    outcome: Outcome::Errno(Errno::EOPNOTSUPP),
    cites: &[cite(UIPC_SOCKET, "solisten", "PR_CONNREQUIRED")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.stream.md"),
    stops: |v| {
        v.socket();
        Ok(true)
    },
    fixes: &[],
};

/// A connected socket does not listen.
pub static LISTENABLE_STATE: Rule = Rule {
    id: "xnu.listen.state",
    title: "the socket is not connected",
    fault: "the socket is connected",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(UIPC_SOCKET, "solisten", "SS_ISCONNECTED")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.state.md"),
    stops: |v| Ok(!matches!(v.socket().state, State::Closed | State::Listen)),
    fixes: &[],
};

/// The port that `listen` takes by itself is subject to the same first question as `bind`.
pub static INET_CONFIGURED: Rule = Rule {
    id: "xnu.listen.inet-configured",
    title: "for a socket without a port some interface has an IPv4 address",
    fault: "the socket has no port, and no interface has an IPv4 address",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(TCP_USRREQ, "tcp_usr_listen", "in_pcbbind"),
        cite(IN_PCB, "in_pcbbind", "in_ifaddrhead"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.inet-configured.md"),
    stops: |v| Ok(v.socket().port == 0 && no_inet_address(v, Family::Inet.unspecified())?),
    fixes: &[],
};

/// The port that `listen` takes by itself is subject to the same first question as `bind`.
pub static INET6_CONFIGURED: Rule = Rule {
    id: "xnu.listen.inet6-configured",
    title: "for a socket without a port some interface has an IPv6 address",
    fault: "the socket has no port, and no interface has an IPv6 address",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[
        cite(TCP_USRREQ, "tcp6_usr_listen", "in6_pcbbind"),
        cite(IN6_PCB, "in6_pcbbind", "in6_ifaddrs"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.inet6-configured.md"),
    stops: |v| Ok(v.socket().port == 0 && no_inet6_address(v, Family::Inet6.unspecified())?),
    fixes: &[],
};

/// The privilege of `IP_PORTRANGE_LOW`, which `bind` was not there to ask for.
pub static LOW_RANGE: Rule = Rule {
    id: "xnu.listen.low-range",
    title: "for a socket without a port, an automatic one of IP_PORTRANGE_LOW needs root",
    fault: "an automatic port of IP_PORTRANGE_LOW is for root",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[
        cite(IN_PCB, "in_pcbbind", "INP_LOWPORT"),
        cite(IN6_SRC, "in6_pcbsetport", "INP_LOWPORT"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.low-range.md"),
    stops: |v| Ok(v.socket().port == 0 && wants_root(v)),
    fixes: &[&fixes::CLEAR_LOW_RANGE, &fixes::THIS_RUN],
};

/// Without `bind`, `listen` takes any free port on the unspecified address.
pub static AUTOMATIC_PORT: Rule = Rule {
    id: "xnu.listen.automatic-port",
    title: "for an IPv4 socket without a port one of the automatic range is free",
    fault: "the IPv4 socket has no port, and none of the automatic range is free",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(IN_PCB, "in_pcbbind", "ipport_firstauto")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.automatic-port.md"),
    stops: |v| {
        let any = Laddr::V4(Ipv4Addr::UNSPECIFIED);
        Ok(v.socket().port == 0 && no_automatic_port(v, any)?)
    },
    fixes: &[],
};

/// Without `bind`, `listen` takes any free port on the unspecified address.
pub static AUTOMATIC_PORT6: Rule = Rule {
    id: "xnu.listen.automatic-port6",
    title: "for an IPv6 socket without a port one of the automatic range is free",
    fault: "the IPv6 socket has no port, and none of the automatic range is free",
    outcome: Outcome::Errno(Errno::EAGAIN),
    cites: &[cite(IN6_SRC, "in6_pcbsetport", "ipport_firstauto")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.automatic-port6.md"),
    stops: |v| Ok(v.socket().port == 0 && no_automatic_port(v, Laddr::V6(ANY6))?),
    fixes: &[],
};
