//! What the path of a cgroup tells: the unit of systemd, the container, the pod.

use portwise_sys::proc::Cgroup;

use crate::observe::inventory::{Container, Units};

/// The container of a process with these cgroups.
pub(super) fn container(cgroups: &[Cgroup]) -> Option<Container> {
    let found = cgroups.iter().filter_map(|cgroup| in_path(&cgroup.path));
    // A path that tells the engine is better than one that does not.
    found.min_by_key(|container| container.engine == "container")
}

fn in_path(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let pod = parts.iter().find_map(|part| pod(part));
    // The innermost one is the one the process knows of.
    let found = (0..parts.len()).rev().find_map(|at| {
        let before = at.checked_sub(1).map_or("", |before| parts[before]);
        container_of(before, parts[at])
    });
    let (engine, id) = found?;
    Some(Container { engine, id, pod })
}

fn container_of(before: &str, part: &str) -> Option<(&'static str, String)> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    // With the older driver: SLICE:ENGINE:ID.
    if let Some((_, id)) = name.split_once(":cri-containerd:") {
        return Some(("containerd", id.to_owned()));
    }
    let engines = [
        ("docker-", "docker"),
        ("libpod-", "podman"),
        ("cri-containerd-", "containerd"),
        ("nerdctl-", "containerd"),
        ("crio-", "cri-o"),
    ];
    for (prefix, engine) in engines {
        if let Some(id) = name.strip_prefix(prefix)
            && is_id(id)
        {
            return Some((engine, id.to_owned()));
        }
    }
    let lxc = part.strip_prefix("lxc.payload.");
    match before {
        "lxc" | "lxc.payload" => return Some(("lxc", part.to_owned())),
        "docker" if is_id(name) => return Some(("docker", name.to_owned())),
        "machine.slice" if part.ends_with(".scope") => {
            let machine = unescaped(name.strip_prefix("machine-")?);
            return Some(("systemd-nspawn", machine));
        }
        _ => {}
    }
    if let Some(name) = lxc {
        return Some(("lxc", name.to_owned()));
    }
    // Kubernetes without systemd: the engine is not told.
    let in_pod = pod(before).is_some();
    (is_id(name) && (in_pod || before == "default" || before.is_empty()))
        .then(|| ("container", name.to_owned()))
}

/// Container ids are 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The pod in `kubepods-burstable-podUID.slice` or `podUID`.
fn pod(part: &str) -> Option<String> {
    let part = part.split_once(':').map_or(part, |(slice, _)| slice);
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match name.strip_prefix("kubepods") {
        Some(rest) => rest.rsplit_once("-pod")?.1,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let is_uid = uid.len() == 36 || uid.len() == 32;
    (is_uid && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')).then_some(uid)
}

/// The unit of systemd with these cgroups; without its socket unit.
pub(super) fn units(cgroups: &[Cgroup]) -> Units {
    let unified = cgroups.iter().filter(|cgroup| cgroup.hierarchy == 0);
    let named = cgroups.iter().filter(|cgroup| cgroup.controllers == "name=systemd");
    unified.chain(named).find_map(|cgroup| unit_in(&cgroup.path)).unwrap_or_default()
}

fn unit_in(path: &str) -> Option<Units> {
    let is_unit = |part: &&str| {
        let is_service = part.ends_with(".service") || part.ends_with(".scope");
        is_service && !part.starts_with("docker-") && !part.starts_with("libpod-")
    };
    let mut parts = path.split('/').filter(is_unit);
    let first = parts.next()?;
    let of_user = first.starts_with("user@");
    let unit = if of_user { parts.next().unwrap_or(first) } else { first };
    Some(Units { unit: Some(unescaped(unit)), of_user: of_user && unit != first, socket: None })
}

/// systemd writes characters that a path cannot have as `\xHH`.
fn unescaped(name: &str) -> String {
    let mut text = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match rest {
            [b'\\', b'x', digits @ ..] => digits
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        text.push(code.unwrap_or(*first));
        rest = if code.is_some() { &rest[4..] } else { tail };
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use portwise_sys::proc::parse_cgroups;
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn of(path: &str) -> Option<(&'static str, String, Option<String>)> {
        let path = path.replace("ID", ID);
        let cgroups = parse_cgroups(format!("3:cpu:/\n0::{path}\n").as_bytes());
        container(&cgroups).map(|found| (found.engine, found.id.replace(ID, "ID"), found.pod))
    }

    #[test]
    fn containers() {
        let pod = "11111111-2222-3333-4444-555555555555";
        let some = |engine, id: &str, pod: &str| {
            Some((engine, id.to_owned(), (!pod.is_empty()).then(|| pod.to_owned())))
        };
        let kube = format!("kubepods-burstable-pod{}.slice", pod.replace('-', "_"));
        for (path, found) in [
            ("/system.slice/docker-ID.scope", some("docker", "ID", "")),
            ("/docker/ID", some("docker", "ID", "")),
            ("/docker/ID/system.slice/nginx.service", some("docker", "ID", "")),
            ("/machine.slice/libpod-ID.scope/container", some("podman", "ID", "")),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
                some("podman", "ID", ""),
            ),
            ("/system.slice/nerdctl-ID.scope", some("containerd", "ID", "")),
            (
                &format!("/kubepods.slice/{kube}/cri-containerd-ID.scope"),
                some("containerd", "ID", pod),
            ),
            (&format!("/kubepods.slice/{kube}/crio-ID.scope"), some("cri-o", "ID", pod)),
            (&format!("/kubepods/besteffort/pod{pod}/ID"), some("container", "ID", pod)),
            (
                &format!("/system.slice/containerd.service/{kube}:cri-containerd:ID"),
                some("containerd", "ID", pod),
            ),
            ("/lxc.payload.web/init.scope", some("lxc", "web", "")),
            ("/lxc/web/x", some("lxc", "web", "")),
            (
                "/machine.slice/machine-my\\x2dbox.scope/payload",
                some("systemd-nspawn", "my-box", ""),
            ),
            ("/system.slice/nginx.service", None),
            ("/", None),
            ("/docker", None),
        ] {
            assert_eq!(of(path), found, "{path}");
        }
    }

    #[test]
    fn units_of_systemd() {
        let unit = |path: &str| {
            let found = units(&parse_cgroups(format!("0::{path}\n").as_bytes()));
            (found.unit.unwrap_or_default(), found.of_user)
        };
        let some = |name: &str, of_user| (name.to_owned(), of_user);
        assert_eq!(unit("/system.slice/nginx.service"), some("nginx.service", false));
        assert_eq!(unit("/system.slice/a.service/b.scope"), some("a.service", false));
        assert_eq!(
            unit("/system.slice/system-a.slice/a@b\\x2dc.service"),
            some("a@b-c.service", false)
        );
        assert_eq!(
            unit("/user.slice/user-7.slice/session-3.scope"),
            some("session-3.scope", false)
        );
        let user = "/user.slice/user-7.slice/user@7.service";
        assert_eq!(unit(&format!("{user}/app.slice/web.service")), some("web.service", true));
        assert_eq!(unit(&format!("{user}/init.scope")), some("init.scope", true));
        assert_eq!(unit("/system.slice/docker-1.scope"), some("", false));
        assert_eq!(unit("/"), some("", false));
        let older = parse_cgroups(b"2:cpu:/\n1:name=systemd:/system.slice/x.service\n0::/\n");
        assert_eq!(units(&older).unit.as_deref(), Some("x.service"));
    }

    proptest! {
        #[test]
        fn any_path_is_read(path in ".{0,100}") {
            let cgroups = parse_cgroups(format!("0::{path}").as_bytes());
            let _ = (container(&cgroups), units(&cgroups));
        }
    }
}
