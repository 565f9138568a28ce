//! Gates that answer by rules of their own, which nobody can read from outside: they leave the
//! answer open on a host that has them. Their names are what [`Host::policies`] lists.
//!
//! [`Host::policies`]: crate::Host::policies

use super::{
    FLOW_DIVERT_MAY_BIND, FLOW_DIVERT_MAY_LISTEN, IN_PCB, IN6_PCB, TCP_USRREQ, UIPC_SOCKET,
    UIPC_SYSCALLS, cite, cite_at,
};
use crate::{Basis, Errno, Feature, Missing, Outcome, Rule, View};

/// The App Sandbox and other policies of the mandatory access control framework.
pub const MAC: &str = "mac";
/// A filter that a kernel extension or the application firewall attached to the socket.
pub const SOCKET_FILTER: &str = "socket-filter";
/// A per-app VPN that diverts the program's TCP flows.
pub const FLOW_DIVERT: &str = "flow-divert";
/// A listener of Network.framework, which no list of sockets shows.
pub const NETWORK_FRAMEWORK: &str = "network-framework";

fn mac(v: &View<'_>) -> Result<bool, Missing> {
    v.gate(MAC, "log stream --predicate 'sender == \"Sandbox\"'")
}

fn socket_filter(v: &View<'_>) -> Result<bool, Missing> {
    v.gate(SOCKET_FILTER, "kextstat; systemextensionsctl list")
}

/// The gate first: without a VPN the version does not matter.
fn flow_divert(v: &View<'_>, allowed: &'static Feature) -> Result<bool, Missing> {
    match v.gate(FLOW_DIVERT, "scutil --nc list") {
        Err(_) if v.has(allowed)? => Ok(false),
        gate => gate,
    }
}

/// The sandbox is asked before anything else.
pub static BIND_MAC: Rule = Rule {
    id: "xnu.bind.mac-policy",
    title: "no security policy, such as the program's sandbox, forbids bind",
    fault: "a security policy, such as the program's sandbox, forbids bind",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite(UIPC_SYSCALLS, "bind", "mac_socket_check_bind")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.mac-policy.md"),
    stops: mac,
    fixes: &[],
};

/// Its error is passed on, whatever it is.
pub static BIND_SOCKET_FILTER: Rule = Rule {
    id: "xnu.bind.socket-filter",
    title: "no socket filter forbids bind",
    fault: "a socket filter forbids bind",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[
        cite(UIPC_SOCKET, "sobindlock", "sflt_bind"),
        cite("bsd/kern/kpi_socketfilter.c", "sflt_bind", "sf_bind"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.socket-filter.md"),
    stops: socket_filter,
    fixes: &[],
};

/// Only until 10.15.
pub static BIND_FLOW_DIVERT: Rule = Rule {
    id: "xnu.bind.flow-divert",
    title: "no per-app VPN diverts the TCP socket",
    fault: "a per-app VPN diverts the TCP socket",
    outcome: Outcome::Errno(Errno::EPROTOTYPE),
    cites: &[cite(TCP_USRREQ, "COMMON_START", "necp_socket_should_use_flow_divert")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.flow-divert.md"),
    stops: |v| flow_divert(v, &FLOW_DIVERT_MAY_BIND),
    fixes: &[],
};

/// The last question about a port that was named.
pub static BIND_SKYWALK: Rule = Rule {
    id: "xnu.bind.network-framework",
    title: "no listener of Network.framework holds the port",
    fault: "a listener of Network.framework holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[
        cite_at("xnu-8019.80.24", IN_PCB, "in_pcbbind", "netns_reserve_in"),
        cite_at("xnu-8019.80.24", IN6_PCB, "in6_pcbbind", "netns_reserve_in6"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.bind.network-framework.md"),
    stops: |v| match v.port() {
        0 => Ok(false),
        _ => v.gate(NETWORK_FRAMEWORK, ""),
    },
    fixes: &[],
};

/// The sandbox is asked before anything else.
pub static LISTEN_MAC: Rule = Rule {
    id: "xnu.listen.mac-policy",
    title: "no security policy, such as the program's sandbox, forbids listen",
    fault: "a security policy, such as the program's sandbox, forbids listen",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite(UIPC_SYSCALLS, "listen", "mac_socket_check_listen")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.mac-policy.md"),
    stops: mac,
    fixes: &[],
};

/// Its error is passed on, whatever it is.
pub static LISTEN_SOCKET_FILTER: Rule = Rule {
    id: "xnu.listen.socket-filter",
    title: "no socket filter forbids listen",
    fault: "a socket filter forbids listen",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[
        cite(UIPC_SOCKET, "solisten", "sflt_listen"),
        cite("bsd/kern/kpi_socketfilter.c", "sflt_listen", "sf_listen"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.socket-filter.md"),
    stops: socket_filter,
    fixes: &[],
};

/// Only until 11.0.
pub static LISTEN_FLOW_DIVERT: Rule = Rule {
    id: "xnu.listen.flow-divert",
    title: "no per-app VPN diverts the listening TCP socket",
    fault: "a per-app VPN diverts the listening TCP socket",
    outcome: Outcome::Errno(Errno::EPROTOTYPE),
    cites: &[cite(TCP_USRREQ, "COMMON_START", "necp_socket_should_use_flow_divert")],
    basis: Basis::Source,
    page: include_str!("../../pages/xnu.listen.flow-divert.md"),
    stops: |v| flow_divert(v, &FLOW_DIVERT_MAY_LISTEN),
    fixes: &[],
};
