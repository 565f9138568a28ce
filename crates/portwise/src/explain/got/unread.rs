//! What may refuse a bind on Linux beside the rules, by rules of its own that nobody can read from
//! outside. Read in Linux 6.12.117: `current_check_access_socket` of `security/landlock/net.c`,
//! `avc_denied` of `security/selinux/avc.c`, `aa_check_perms` of `security/apparmor/lib.c`, `tomoyo_supervisor` of `security/tomoyo/common.c`,
//! `bpf_prog_run_array_cg` of `kernel/bpf/cgroup.c`, `SECCOMP_RET_ERRNO` in `kernel/seccomp.c`.

use portwise_model::{
    Errno, Gates, Protocol,
    linux::gate::{CGROUP_PROGRAM, LANDLOCK, SECCOMP_FILTER, SECURITY_MODULE},
};
use serde::Serialize;

/// A gate whose rules cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadGate {
    /// Stable name.
    pub gate: &'static str,
    /// What it is.
    pub what: String,
    /// Whether this errno is what it gives of itself; if not, whoever wrote its rules chose it.
    pub usual: bool,
    /// What would show it.
    pub look: String,
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
        gate: SECURITY_MODULE,
        what: "a security module: SELinux and AppArmor give EACCES, TOMOYO gives EPERM",
        usual: &[Errno::EACCES, Errno::EPERM],
        any: true,
        look: "sudo journalctl -k -b -g 'denied|DENIED'",
    },
    Known {
        gate: LANDLOCK,
        what: "a Landlock domain of the program or of what started it (TCP, since Linux 6.7)",
        usual: &[Errno::EACCES],
        any: false,
        look: "",
    },
    Known {
        gate: CGROUP_PROGRAM,
        what: "a BPF program of the cgroup, such as systemd's SocketBindDeny=",
        usual: &[Errno::EPERM],
        any: true,
        look: "sudo bpftool cgroup tree",
    },
    Known {
        gate: SECCOMP_FILTER,
        what: "a seccomp filter, such as systemd's SystemCallFilter= or a container's",
        usual: &[Errno::EPERM],
        any: true,
        look: "grep -s '^Seccomp:.*[12]$' /proc/[0-9]*/status",
    },
];

/// The gates that may give `errno` to a bind, those that give it of themselves first. `seen` are
/// those of the program that got it, if it is known which that was: then no others are told.
pub(super) fn of(errno: Errno, protocol: Protocol, seen: Option<&Gates>) -> Vec<UnreadGate> {
    let applies = |known: &&Known| known.gate != LANDLOCK || protocol == Protocol::Tcp;
    let usual = |known: &Known| known.usual.contains(&errno);
    let mut gates: Vec<UnreadGate> = KNOWN
        .iter()
        .filter(applies)
        .filter(|known| usual(known) || known.any)
        .flat_map(|known| {
            match seen {
                None => vec![(known.what.to_owned(), known.look.to_owned())],
                Some(gates) => there(gates, known.gate),
            }
            .into_iter()
            .map(move |(what, look)| UnreadGate {
                gate: known.gate,
                what,
                usual: usual(known),
                look,
            })
        })
        .collect();
    portwise_model::sort::sort_by_key(&mut gates, |gate| !gate.usual);
    gates
}

/// The gates of this name, with what is known of them and what would show more.
fn there(gates: &Gates, name: &str) -> Vec<(String, String)> {
    let all = gates.present.iter().chain(&gates.unseen).filter(|gate| gate.name == name);
    all.map(|gate| (gate.what.to_string(), gate.reveal.to_string())).collect()
}
