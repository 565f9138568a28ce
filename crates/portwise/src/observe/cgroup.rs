//! BPF programs that a cgroup has attached, which have a say in the sockets of its processes.

use std::path::PathBuf;

use portwise_sys::{
    Errno, Error,
    bpf::{self, AttachType},
    proc::Proc,
};

/// Where a program is attached, with the name of the place.
type Point = (&'static str, AttachType);

/// Those that decide about bind(2), or put another address in its place.
pub(super) const BIND: [Point; 4] = [
    ("bind4", AttachType::CGROUP_INET4_BIND),
    ("bind6", AttachType::CGROUP_INET6_BIND),
    ("post_bind4", AttachType::CGROUP_INET4_POST_BIND),
    ("post_bind6", AttachType::CGROUP_INET6_POST_BIND),
];

/// Those that see each packet and may drop it.
pub(super) const PACKETS: [Point; 2] =
    [("ingress", AttachType::CGROUP_INET_INGRESS), ("egress", AttachType::CGROUP_INET_EGRESS)];

/// The programs that run for a process.
pub(super) struct Found {
    /// Its cgroup, below the root of the hierarchy.
    pub(super) cgroup: String,
    /// The programs with what they are attached to, each once.
    pub(super) programs: Vec<String>,
}

/// The programs of a process at some points.
///
/// # Errors
/// If there is no hierarchy of version 2 in sight, or it may not be asked.
pub(super) fn attached(proc: &Proc, pid: u32, points: &[Point]) -> Result<Found, Error> {
    let none = || Error::about("statfs", Errno::ENOENT, "a cgroup hierarchy of version 2");
    let root = hierarchy(proc).ok_or_else(none)?;
    let cgroups = proc.cgroups(pid)?;
    let own = cgroups.into_iter().find(|cgroup| cgroup.hierarchy == 0).ok_or_else(none)?;
    let directory = root.join(own.path.trim_start_matches('/'));
    let mut programs = Vec::new();
    for &(point, at) in points {
        for program in bpf::attached(&directory, at)? {
            let name = program.name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
            programs.push(format!("{point} program{name} id {}", program.id));
        }
    }
    Ok(Found { cgroup: own.path, programs })
}

/// What is to be said of a server whose cgroup has programs on bind or on packets.
pub(crate) fn on_server(pid: u32) -> Vec<String> {
    let proc = Proc::default();
    let mut said = Vec::new();
    if let Ok(found) = attached(&proc, pid, &BIND)
        && !found.programs.is_empty()
    {
        said.push(format!(
            "its cgroup {} has a BPF program on bind ({}), which may have put this address in the \
             place of the one that the program asked for",
            found.cgroup,
            found.programs.join(", ")
        ));
    }
    said
}

/// What may drop the packets of a server behind the firewall.
pub(crate) fn on_packets(pid: u32) -> Vec<String> {
    let proc = Proc::default();
    let mut said = Vec::new();
    if let Some(unit) = super::unit::of_process(&proc, pid)
        && let Some(line) = unit.all("IPAddressDeny").last()
    {
        let allow: Vec<&str> = unit.all("IPAddressAllow").map(|l| l.value.as_str()).collect();
        let but = match allow.is_empty() {
            true => String::new(),
            false => format!(", except for IPAddressAllow={}", allow.join(" ")),
        };
        said.push(format!(
            "IPAddressDeny={} in {} drops the packets of {}{but}, behind the firewall",
            line.value, line.file, unit.name
        ));
    }
    if let Ok(found) = attached(&proc, pid, &PACKETS)
        && !found.programs.is_empty()
    {
        said.push(format!(
            "BPF programs of its cgroup {} ({}) see the packets behind the firewall and may drop \
             them, by rules that nobody can read; `sudo bpftool cgroup tree` lists them",
            found.cgroup,
            found.programs.join(", ")
        ));
    }
    said
}

/// Where the version 2 hierarchy is mounted: alone, or beside those of version 1.
fn hierarchy(proc: &Proc) -> Option<PathBuf> {
    let places = ["sys/fs/cgroup", "sys/fs/cgroup/unified"].map(|place| proc.path(place));
    places.into_iter().find(|place| portwise_sys::mount::is_cgroup2(place))
}
