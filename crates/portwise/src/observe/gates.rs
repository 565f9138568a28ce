//! The gates in front of the calls of a process on the running Linux: what answers by rules of its
//! own. They are looked for as far as an answer needs it: what costs more than a few system calls
//! is left to those who ask closely.

use std::path::Path;

use portwise_model::{
    Gate, Gates, Text,
    linux::gate::{CGROUP_PROGRAM, LANDLOCK, SECCOMP_FILTER, SECURITY_MODULE},
};
use portwise_sys::{
    Errno, landlock, lsm,
    proc::{Proc, Status},
    seccomp::{self, BindProbe},
    sockdiag::{AF_INET, AF_INET6},
};

use super::cgroup;

/// Who has to pass the gates.
pub(super) struct Passer<'a> {
    /// Where it is looked up.
    pub proc: &'a Proc,
    /// The process; `None` for this one.
    pub pid: Option<u32>,
    /// What `/proc/PID/status` says of it; `None` for a login process, which is not there yet:
    /// it has no gate in its way but those that belong to its program.
    pub status: Option<&'a Status>,
    /// Whether to look at what costs more.
    pub closely: bool,
    /// The program file it is going to execute, if it is.
    pub program: Option<&'a Path>,
}

/// Where the gates were looked for.
pub(super) const FROM: &str = "/proc/PID/status, lsm_list_modules";

/// The gates of a process.
pub(super) fn of(passer: &Passer<'_>) -> Gates {
    let mut gates = Gates::default();
    let Some(status) = passer.status else {
        gates.present.extend(passer.program.and_then(|program| profile_of(passer, program)));
        return gates;
    };
    seccomp_filter(passer, status, &mut gates);
    security_module(passer, &mut gates);
    landlock_domain(passer, status, &mut gates);
    cgroup_program(passer, &mut gates);
    gates
}

fn gate(name: &'static str, what: impl Into<Text>, reveal: impl Into<Text>) -> Gate {
    Gate { name: name.into(), what: what.into(), reveal: reveal.into(), refuses: false }
}

impl Passer<'_> {
    fn is_self(&self) -> bool {
        self.pid.is_none()
    }

    /// The command that shows what a call answers.
    fn trace(&self) -> String {
        match self.pid {
            Some(pid) => format!(
                "`sudo strace -f -e trace=bind,listen -p {pid}` while it binds, or portwise \
                 started the way it was, such as by `docker exec`"
            ),
            None => "try it".into(),
        }
    }
}

fn seccomp_filter(passer: &Passer<'_>, status: &Status, gates: &mut Gates) {
    if !matches!(status.seccomp, Some(1 | 2)) {
        return;
    }
    if !passer.is_self() {
        let what = "the process has a seccomp filter (mode 2), which nobody can read without \
            stopping it; it answers before the kernel looks at the call: if it forbids bind itself, \
            it does so for every port and address, and for root too";
        gates.present.push(gate(SECCOMP_FILTER, what, passer.trace()));
        return;
    }
    let mut found = match probe() {
        Ok(BindProbe::LetThrough) => return,
        Ok(BindProbe::Refused(errno)) => Gate {
            refuses: errno == Errno::EPERM,
            ..gate(SECCOMP_FILTER, format!("a seccomp filter answers {errno} to bind"), "try it")
        },
        Ok(BindProbe::Supervised) => gate(
            SECCOMP_FILTER,
            "a supervisor answers bind in the kernel's place (seccomp user notification)",
            "try it",
        ),
        Ok(BindProbe::Killed) => {
            gate(SECCOMP_FILTER, "a seccomp filter ends the process at bind", "")
        }
        Err(errno) => {
            gate(SECCOMP_FILTER, format!("this process has a seccomp filter ({errno})"), "try it")
        }
    };
    if passer.program.is_some() {
        found.what += "; the program inherits it";
    }
    gates.present.push(found);
}

/// Tries `bind` with sockets of each kind that rules know.
fn probe() -> Result<BindProbe, Errno> {
    const SOCK_STREAM: i32 = 1;
    const SOCK_DGRAM: i32 = 2;
    let (inet, inet6) = (i32::from(AF_INET), i32::from(AF_INET6));
    let kinds = [inet, inet6].map(|family| [(family, SOCK_STREAM), (family, SOCK_DGRAM)]);
    seccomp::probe_bind(kinds.as_flattened())
}

/// Modules that have nothing to say about `bind`.
const SILENT: [&str; 11] = [
    "capability",
    "lockdown",
    "yama",
    "loadpin",
    "safesetid",
    "smack",
    "landlock",
    "ima",
    "evm",
    "ipe",
    "integrity",
];

fn security_module(passer: &Passer<'_>, gates: &mut Gates) {
    let modules = match lsm::modules(passer.proc) {
        Ok(modules) => modules,
        // Without a list the label tells: it has the form of its module's.
        Err(_) => vec!["label".into()],
    };
    for module in modules.iter().filter(|module| !SILENT.contains(&module.as_str())) {
        match module.as_str() {
            "apparmor" | "selinux" | "label" => labelled(passer, gates),
            "bpf" => gates.unseen.push(gate(
                SECURITY_MODULE,
                "BPF programs may be attached to the security hook of bind",
                "sudo bpftool prog list",
            )),
            // It does nothing before this program has loaded a policy.
            "tomoyo" if !passer.proc.path("sbin/tomoyo-init").exists() => {}
            other => {
                let what = format!("the security module {other} is in force");
                gates.present.push(gate(SECURITY_MODULE, what, passer.trace()));
            }
        }
    }
}

/// What AppArmor or SELinux says about the process, which is in its label.
fn labelled(passer: &Passer<'_>, gates: &mut Gates) {
    let own = std::process::id();
    let label = match passer.proc.security_label(passer.pid.unwrap_or(own)) {
        Ok(Some(label)) => label,
        Ok(None) => return,
        Err(error) => {
            let what = format!("the label of the process cannot be read: {error}");
            gates.unseen.push(gate(SECURITY_MODULE, what, "root can read it"));
            return;
        }
    };
    let found =
        if label.contains(':') { selinux(passer, &label) } else { apparmor(passer, &label) };
    gates.present.extend(found);
}

fn selinux(passer: &Passer<'_>, label: &str) -> Option<Gate> {
    let enforcing = passer.proc.read("sys/fs/selinux/enforce");
    let is_permissive = enforcing.is_ok_and(|text| text.first() == Some(&b'0'));
    let domain = label.split(':').nth(2).unwrap_or_default();
    // Domains to which the policy allows everything.
    if is_permissive || domain == "unconfined_t" || domain == "kernel_t" {
        return None;
    }
    let what = format!("SELinux decides, and the process is in the domain {domain}");
    let reveal = "sudo ausearch -m avc -ts recent, after a try";
    Some(gate(SECURITY_MODULE, what, reveal))
}

/// Profiles of container engines, which allow the network as a whole.
const ALLOW_NETWORK: [&str; 5] = [
    "docker-default",
    "containers-default",
    "cri-containerd.apparmor.d",
    "lxc-container-default",
    "lxc-container-default-cgns",
];

fn apparmor(passer: &Passer<'_>, label: &str) -> Option<Gate> {
    let (profile, mode) = label.split_once(" (").unwrap_or((label, ""));
    let confined = profile != "unconfined" && matches!(mode, "enforce)" | "kill)");
    let allows = |name: &str| profile == name || profile.starts_with(&format!("{name}-"));
    if confined && ALLOW_NETWORK.iter().any(|name| allows(name)) {
        return None;
    }
    if confined {
        // AppArmor goes by the kind of the socket, so a try without an address tells.
        if passer.is_self() && passer.program.is_none() {
            match probe() {
                Ok(BindProbe::LetThrough) => return None,
                Ok(BindProbe::Refused(errno)) => {
                    let what = format!("the AppArmor profile {profile} answers {errno} to bind");
                    let refuses = errno == Errno::EACCES;
                    return Some(Gate { refuses, ..gate(SECURITY_MODULE, what, "try it") });
                }
                Ok(BindProbe::Supervised | BindProbe::Killed) | Err(_) => {}
            }
        }
        let what = format!("the AppArmor profile {profile} is in force");
        return Some(gate(SECURITY_MODULE, what, "sudo journalctl -k -g apparmor, after a try"));
    }
    passer
        .program
        .filter(|_| profile == "unconfined")
        .and_then(|program| profile_of(passer, program))
}

/// The AppArmor profile that a program enters by its name.
fn profile_of(passer: &Passer<'_>, program: &Path) -> Option<Gate> {
    let name = program.to_string_lossy();
    let file = name.trim_start_matches('/').replace('/', ".");
    let has_profile = passer.proc.path("etc/apparmor.d").join(&file).exists();
    has_profile.then(|| {
        let what = format!("{name} has the AppArmor profile /etc/apparmor.d/{file}");
        gate(SECURITY_MODULE, what, "sudo aa-status")
    })
}

fn landlock_domain(passer: &Passer<'_>, status: &Status, gates: &mut Gates) {
    const KNOWS_PORTS: u32 = 4;
    let may_be_in_one = status.no_new_privs != Some(false);
    if !passer.closely && !may_be_in_one {
        let what = "not looked for: without no_new_privs only a process that had CAP_SYS_ADMIN \
            can be in a Landlock domain";
        gates.unseen.push(gate(LANDLOCK, what, ""));
        return;
    }
    if landlock::abi().is_ok_and(|abi| abi < KNOWS_PORTS)
        || matches!(landlock::abi(), Err(Errno::ENOSYS | Errno::EOPNOTSUPP))
    {
        return;
    }
    if !passer.is_self() {
        let what = "nothing shows whether another process is in a Landlock domain";
        gates.unseen.push(gate(LANDLOCK, what, passer.trace()));
        return;
    }
    match landlock::is_restricted() {
        Ok(false) => {}
        Ok(true) => {
            let what = "this process is in a Landlock domain, whose ports nobody can read";
            gates.present.push(gate(LANDLOCK, what, "try it"));
        }
        Err(errno) => {
            let what = format!("whether this process is in a Landlock domain: {errno}");
            gates.unseen.push(gate(LANDLOCK, what, "try it"));
        }
    }
}

fn cgroup_program(passer: &Passer<'_>, gates: &mut Gates) {
    const REVEAL: &str = "sudo bpftool cgroup tree";
    if !passer.closely {
        let what = "not looked for: programs that the cgroup has attached to bind";
        gates.unseen.push(gate(CGROUP_PROGRAM, what, REVEAL));
        return;
    }
    match cgroup::attached(passer.proc, passer.pid.unwrap_or(std::process::id()), &cgroup::BIND) {
        Ok(found) if found.programs.is_empty() => {}
        Ok(found) => {
            let several = found.programs.len() > 1;
            let what = format!(
                "the cgroup {} has {} ({}) attached to bind, which decide{} before the kernel \
                 looks at address, port and capabilities, for root too",
                found.cgroup,
                if several { "BPF programs" } else { "a BPF program" },
                found.programs.join(", "),
                if several { "" } else { "s" },
            );
            gates.present.push(gate(CGROUP_PROGRAM, what, REVEAL));
        }
        // A kernel without such programs.
        Err(error) if error.errno == Errno::EINVAL => {}
        Err(error) => {
            let what = format!("programs that the cgroup has attached to bind: {error}");
            gates.unseen.push(gate(CGROUP_PROGRAM, what, REVEAL));
        }
    }
}
