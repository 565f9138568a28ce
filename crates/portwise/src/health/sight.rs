//! What this user can see here, and what not.

use portwise_sys::{lsm, mount, proc::Proc};

use super::Finding;
use crate::{
    Setting,
    observe::inventory::{self, Inventory, Namespaces, Query},
    render::phrase,
};

/// Sockets, holders, namespaces, firewall, and what `run`, `try` and `trace` need.
pub(super) fn of(setting: &mut Setting, sudo: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    let user = setting.user(setting.subject.uid);
    let who = phrase::user(user.as_deref(), setting.subject.uid);
    all.push(match setting.runner {
        Some(0) => Finding::fine("user", format!("you are {who}")),
        _ => Finding::hidden("user", format!("you are {who}, not root"))
            .because("much of what belongs to others is hidden; each line below says what")
            .settled("sudo portwise doctor"),
    });
    all.push(kernel(setting));
    let query = Query { namespaces: Namespaces::All, ..Query::default() };
    match inventory::take(&query) {
        Ok(inventory) => sockets(&inventory, sudo, &mut all),
        Err(trouble) => all.push(Finding::hidden("sockets", format!("sockets: {trouble}"))),
    }
    all.push(match setting.traffic(None).map(|traffic| traffic.rules.map(|_| ())) {
        Ok(Ok(())) => Finding::fine("firewall", "the rules of the firewall can be read"),
        Ok(Err(why)) | Err(why) => {
            Finding::hidden("firewall", format!("the rules of the firewall: {why}"))
                .because("`reach` cannot say what they do to a packet")
                .settled(format!("{sudo}nft list ruleset"))
        }
    });
    all.push(cgroup());
    all.push(tracing());
    all.push(namespaces());
    all.extend(modules(sudo));
    all
}

fn kernel(setting: &Setting) -> Finding {
    let kernel = &setting.host.kernel;
    Finding::fine("kernel", format!("Linux {}", kernel.release))
        .because("the rules were read in 6.12 and compared with a running 6.18")
}

fn sockets(inventory: &Inventory, sudo: &str, all: &mut Vec<Finding>) {
    let unseen = &inventory.unseen;
    let failed: Vec<String> =
        unseen.transports.iter().map(|(t, why)| format!("{}: {why}", t.name())).collect();
    all.push(match failed.as_slice() {
        [] => Finding::fine("sockets", "sockets of every protocol can be listed (sock_diag)"),
        some => Finding::hidden("sockets", some.join("; ")),
    });
    if unseen.bound_tcp {
        all.push(
            Finding::hidden("bound", "TCP sockets that are bound and do not listen")
                .because("this kernel shows them from Linux 6.8 on only"),
        );
    }
    let how = match inventory.path {
        inventory::Path::Bpf => "by a BPF program of its own, the fast way",
        inventory::Path::Proc => "in /proc",
        inventory::Path::None => "not at all: there is no socket to look for",
    };
    let why = inventory.why_not_faster.clone().unwrap_or_default();
    let why = if why.is_empty() { why } else { format!("not by BPF: {why}") };
    all.push(match (unseen.processes, unseen.hidepid, unseen.outside) {
        (0, false, false) => {
            Finding::fine("holders", format!("holders of sockets are found {how}")).because(why)
        }
        (0, true, _) => Finding::hidden("holders", "holders: /proc hides processes of others")
            .because("it is mounted with hidepid")
            .settled("grep hidepid /proc/mounts"),
        (0, _, true) => {
            Finding::hidden("holders", "holders outside of this pid namespace (a container)")
                .because("ask on the host, where they have numbers")
        }
        (1, ..) => Finding::hidden("holders", "the open files of 1 process of others")
            .because("a socket that it holds has no named holder")
            .settled(format!("{sudo}portwise list")),
        (n, ..) => Finding::hidden("holders", format!("the open files of {n} processes of others"))
            .because("a socket that one of them holds has no named holder")
            .settled(format!("{sudo}portwise list")),
    });
    let closed = inventory.namespaces.iter().filter(|n| n.closed.is_some()).count();
    all.push(match (unseen.namespaces, closed) {
        (0, 0) => Finding::fine(
            "namespaces",
            match inventory.namespaces.len() {
                0 | 1 => "this is the only network namespace there is to see".into(),
                n => format!("{n} network namespaces can be looked into"),
            },
        ),
        (0, n) => {
            Finding::hidden("namespaces", format!("{n} network namespaces may not be entered"))
                .settled(format!("{sudo}portwise list"))
        }
        (n, _) => Finding::hidden("namespaces", format!("the network namespaces of {n} processes"))
            .because("containers among them may have the port that you look for")
            .settled(format!("{sudo}portwise list")),
    });
}

fn cgroup() -> Finding {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    match places.iter().find(|place| mount::is_cgroup2(place.as_ref())) {
        Some(place) => Finding::fine("cgroup", format!("cgroups of version 2 at {place}"))
            .because("`run` can give the right for one endpoint by a BPF program"),
        None => Finding::hidden("cgroup", "no cgroup hierarchy of version 2 is mounted here")
            .because(
                "BPF programs of a cgroup that refuse a bind are not seen, and `run` takes another \
                 way",
            )
            .settled("mount -t cgroup2 none /sys/fs/cgroup"),
    }
}

fn tracing() -> Finding {
    let scope = Proc::default().sysctl("kernel.yama.ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "2" => {
            Finding::hidden("trace", "`trace` works for root only: kernel.yama.ptrace_scope is 2")
        }
        "3" => Finding::hidden("trace", "`trace` does not work: kernel.yama.ptrace_scope is 3"),
        _ => Finding::fine("trace", "`trace` may watch programs that it starts"),
    }
}

fn namespaces() -> Finding {
    let proc = Proc::default();
    let is = |name: &str, value: &str| proc.sysctl(name).is_ok_and(|text| text.trim() == value);
    let off = [
        ("user.max_user_namespaces", "0"),
        ("kernel.unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1"),
    ];
    match off.iter().find(|(name, value)| is(name, value)) {
        Some((name, value)) => {
            Finding::hidden("try", format!("`try` needs root: {name} is {value}"))
                .because("plain users may not make user namespaces")
        }
        None => Finding::fine("try", "`try` may make namespaces of its own"),
    }
}

fn modules(sudo: &str) -> Option<Finding> {
    const DECIDE: [&str; 4] = ["selinux", "apparmor", "smack", "tomoyo"];
    let active = lsm::modules(&Proc::default()).ok()?;
    let deciding: Vec<&str> =
        active.iter().map(String::as_str).filter(|name| DECIDE.contains(name)).collect();
    Some(match deciding.is_empty() {
        true => Finding::fine("modules", "no security module with rules for ports is active"),
        false => Finding::hidden("modules", format!("{} is active", deciding.join(", ")))
            .because("its policy for binds is not read; a denial is in the kernel's log")
            .settled(format!("{sudo}journalctl -k -b -g 'denied|DENIED'")),
    })
}
