//! Gates that answer by rules of their own, which nobody can read from outside. They leave the
//! answer open for a process that has them in its way; their names are what [`Gates`] lists.
//!
//! What a gate answers is up to its author; the outcome named here is the usual one.
//!
//! [`Gates`]: crate::Gates

use super::{LANDLOCK_TCP, cite};
use crate::{Basis, Errno, Missing, Outcome, Rule, View};

/// A seccomp filter, which sees system calls before the kernel does.
pub const SECCOMP_FILTER: &str = "seccomp-filter";
/// A Landlock domain, which a process put itself into.
pub const LANDLOCK: &str = "landlock";
/// A security module with a policy for this process, such as AppArmor or SELinux.
pub const SECURITY_MODULE: &str = "security-module";
/// A BPF program of the cgroup for `bind`.
pub const CGROUP_PROGRAM: &str = "cgroup-program";

/// The rules about gates, which belong to the process that asks and to no other.
pub static RULES: &[&Rule] = &[
    &BIND_SECCOMP,
    &BIND_LANDLOCK,
    &BIND_SECURITY_MODULE,
    &BIND_CGROUP,
    &LISTEN_SECCOMP,
    &LISTEN_SECURITY_MODULE,
];

/// The filter is asked before anything else.
pub static BIND_SECCOMP: Rule = Rule {
    id: "linux.bind.seccomp-filter",
    title: "no seccomp filter forbids bind",
    fault: "a seccomp filter forbids bind",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite("kernel/seccomp.c", "__seccomp_filter", "SECCOMP_RET_ERRNO")],
    basis: Basis::Source,
    page: include_str!("../../pages/linux.bind.seccomp-filter.md"),
    stops: |v| v.own_gate(SECCOMP_FILTER),
    fixes: &[],
};

/// It knows TCP sockets only.
pub static BIND_LANDLOCK: Rule = Rule {
    id: "linux.bind.landlock",
    title: "no Landlock domain forbids the TCP port",
    fault: "a Landlock domain forbids the TCP port",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite("security/landlock/net.c", "hook_socket_bind", "LANDLOCK_ACCESS_NET_BIND_TCP")],
    basis: Basis::Source,
    page: include_str!("../../pages/linux.bind.landlock.md"),
    // The domain first: without one the version does not matter.
    stops: |v| match v.own_gate(LANDLOCK) {
        Err(_) if !v.has(&LANDLOCK_TCP)? => Ok(false),
        gate => gate,
    },
    fixes: &[],
};

/// Asked with the address in hand, before the socket's own family looks at it.
pub static BIND_SECURITY_MODULE: Rule = Rule {
    id: "linux.bind.security-module",
    title: "no security module forbids bind",
    fault: "a security module forbids bind",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite("net/socket.c", "__sys_bind_socket", "security_socket_bind"),
        cite("security/apparmor/lsm.c", "apparmor_socket_bind", "AA_MAY_BIND"),
        cite("security/selinux/hooks.c", "__selinux_socket_bind", "SOCKET__BIND"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/linux.bind.security-module.md"),
    stops: module,
    fixes: &[],
};

/// It may refuse, change the address, or let a process bind a low port without the capability.
pub static BIND_CGROUP: Rule = Rule {
    id: "linux.bind.cgroup-program",
    title: "no BPF program of the cgroup forbids bind",
    fault: "a BPF program of the cgroup forbids bind",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[
        cite("net/ipv4/af_inet.c", "inet_bind_sk", "BPF_CGROUP_RUN_PROG_INET_BIND_LOCK"),
        cite("net/ipv6/af_inet6.c", "inet6_bind_sk", "BPF_CGROUP_RUN_PROG_INET_BIND_LOCK"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/linux.bind.cgroup-program.md"),
    stops: |v| v.own_gate(CGROUP_PROGRAM),
    fixes: &[],
};

/// The filter is asked before anything else.
pub static LISTEN_SECCOMP: Rule = Rule {
    id: "linux.listen.seccomp-filter",
    title: "no seccomp filter forbids listen",
    fault: "a seccomp filter forbids listen",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite("kernel/seccomp.c", "__seccomp_filter", "SECCOMP_RET_ERRNO")],
    basis: Basis::Source,
    page: include_str!("../../pages/linux.listen.seccomp-filter.md"),
    stops: |v| v.own_gate(SECCOMP_FILTER),
    fixes: &[],
};

/// Landlock and programs of the cgroup do not see `listen`, security modules do.
pub static LISTEN_SECURITY_MODULE: Rule = Rule {
    id: "linux.listen.security-module",
    title: "no security module forbids listen",
    fault: "a security module forbids listen",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[
        cite("net/socket.c", "__sys_listen_socket", "security_socket_listen"),
        cite("security/apparmor/lsm.c", "apparmor_socket_listen", "AA_MAY_LISTEN"),
        cite("security/selinux/hooks.c", "selinux_socket_listen", "SOCKET__LISTEN"),
    ],
    basis: Basis::Source,
    page: include_str!("../../pages/linux.listen.security-module.md"),
    stops: module,
    fixes: &[],
};

fn module(v: &View<'_>) -> Result<bool, Missing> {
    v.own_gate(SECURITY_MODULE)
}
