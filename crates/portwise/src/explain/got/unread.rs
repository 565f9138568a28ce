//! What may refuse a bind on Linux beside the rules, by rules of its own that nobody can read from
//! outside. Read in Linux 6.12.117: `current_check_access_socket` of `security/landlock/net.c`,
//! `avc_denied` of `security/selinux/avc.c`, `aa_check_perms` of `security/apparmor/lib.c`, `tomoyo_supervisor` of `security/tomoyo/common.c`,
//! `bpf_prog_run_array_cg` of `kernel/bpf/cgroup.c`, `SECCOMP_RET_ERRNO` in `kernel/seccomp.c`.

use portwise_model::{Errno, Protocol};
use serde::Serialize;

/// A gate whose rules cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadGate {
    /// Stable name.
    pub gate: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Whether this errno is what it gives of itself; if not, whoever wrote its rules chose it.
    pub usual: bool,
    /// What would show it.
    pub look: &'static str,
}

struct Known {
    gate: &'static str,
    what: &'static str,
    /// What it gives unless its author chose another errno.
    usual: &'static [Errno],
    /// Whether the author may choose.
    any: bool,
    look: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        gate: "security-module",
        what: "a security module: SELinux and AppArmor give EACCES, TOMOYO gives EPERM",
        usual: &[Errno::EACCES, Errno::EPERM],
        any: true,
        look: "sudo journalctl -k -b -g 'denied|DENIED'",
    },
    Known {
        gate: "landlock",
        what: "a Landlock domain of the program or of what started it (TCP, since Linux 6.7)",
        usual: &[Errno::EACCES],
        any: false,
        look: "",
    },
    Known {
        gate: "cgroup-bpf",
        what: "a BPF program of the cgroup, such as systemd's SocketBindDeny=",
        usual: &[Errno::EPERM],
        any: true,
        look: "sudo bpftool cgroup tree",
    },
    Known {
        gate: "seccomp",
        what: "a seccomp filter, such as systemd's SystemCallFilter= or a container's",
        usual: &[Errno::EPERM],
        any: true,
        look: "grep Seccomp: /proc/PID/status",
    },
];

/// The gates that may give `errno` to a bind, those that give it of themselves first.
pub(super) fn of(errno: Errno, protocol: Protocol) -> Vec<UnreadGate> {
    let applies = |known: &&Known| known.gate != "landlock" || protocol == Protocol::Tcp;
    let mut gates: Vec<UnreadGate> = KNOWN
        .iter()
        .filter(applies)
        .map(|known| (known, known.usual.contains(&errno)))
        .filter(|(known, usual)| *usual || known.any)
        .map(|(known, usual)| {
            let &Known { gate, what, look, .. } = known;
            UnreadGate { gate, what, usual, look }
        })
        .collect();
    gates.sort_by_key(|gate| !gate.usual);
    gates
}
