//! Capabilities in words, as capabilities(7) and getcap(8) write them.

use portwise_model::{CapSet, FileCapabilities};

/// The capabilities by number.
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// Every capability there is a name for.
const NAMED: CapSet = CapSet((1 << NAMES.len()) - 1);

/// The capabilities of a set: `none`, `all`, `all but cap_sys_resource`, or their names.
pub fn set(set: CapSet) -> String {
    let (held, lacking) = (set.and(NAMED), CapSet(NAMED.0 & !set.0));
    match (held.0.count_ones(), lacking.0.count_ones()) {
        (0, _) => "none".into(),
        (_, 0) => "all".into(),
        (_, 1..=3) => format!("all but {}", names(lacking)),
        _ => names(held),
    }
}

fn names(set: CapSet) -> String {
    let held = NAMES.iter().enumerate().filter(|(bit, _)| set.0 >> bit & 1 != 0);
    held.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// The capabilities of a file, such as `cap_net_bind_service=ep`; `none` if it has none.
pub fn file(file: &FileCapabilities) -> String {
    let FileCapabilities { permitted, inheritable, effective, rootid } = *file;
    let both = permitted.and(inheritable);
    let flag = if effective { "e" } else { "" };
    let groups = [
        (CapSet(permitted.0 & !both.0), "p"),
        (both, "ip"),
        (CapSet(inheritable.0 & !both.0), "i"),
    ];
    let held = groups.iter().filter(|(set, _)| !set.is_empty());
    let mut text: Vec<String> =
        held.map(|(set, letters)| format!("{}={flag}{letters}", names(*set))).collect();
    if text.is_empty() {
        return "none".into();
    }
    if rootid != 0 {
        text.push(format!("[rootid={rootid}]"));
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use portwise_model::{CAP_NET_BIND_SERVICE, CAP_NET_RAW};

    use super::*;

    #[test]
    fn sets_and_files_in_words() {
        let bind = CapSet::NONE.with(CAP_NET_BIND_SERVICE);
        assert_eq!(set(CapSet::NONE), "none");
        assert_eq!(set(CapSet::ALL), "all");
        assert_eq!(set(CapSet::ALL.without(CAP_NET_RAW)), "all but cap_net_raw");
        assert_eq!(set(bind.with(CAP_NET_RAW)), "cap_net_bind_service,cap_net_raw");
        let ep = FileCapabilities { permitted: bind, effective: true, ..Default::default() };
        assert_eq!(file(&ep), "cap_net_bind_service=ep");
        let mixed = FileCapabilities {
            inheritable: bind.with(CAP_NET_RAW),
            effective: false,
            rootid: 100_000,
            ..ep
        };
        assert_eq!(file(&mixed), "cap_net_bind_service=ip cap_net_raw=i [rootid=100000]");
        assert_eq!(file(&FileCapabilities::default()), "none");
    }
}
