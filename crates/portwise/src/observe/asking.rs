//! What is told of the process in whose place the question is asked, beyond its rights.

use portwise_model::Program;
use serde::{Deserialize, Serialize};

use super::{shim::Shim, unit::Unit};

/// A process that asks, other than this one. Names and paths are untrusted text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskingProcess {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub command: String,
    /// The program it runs, with its file as that is now.
    pub program: Option<Program>,
    /// Whether that file was deleted or replaced since it started.
    pub replaced: bool,
    /// The namespaces it does not share with the observer: `user`, `pid`, `mnt`, `net`, `cgroup`.
    pub namespaces: Vec<String>,
    /// The unit of the service manager it belongs to.
    pub unit: Option<String>,
    /// What its cgroup is named after, if it belongs to a container.
    pub container: Option<String>,
    /// Names of environment variables that look like grants, but variables grant nothing.
    pub misplaced: Vec<String>,
    /// The words that start it again; empty if they are not known to. Of this machine only.
    #[serde(skip)]
    pub again: Vec<String>,
    /// The directory it was in, if it is another than that of the observer.
    #[serde(skip)]
    pub directory: Option<String>,
    /// Whether its program is the same file under the same name for the observer.
    pub shares_file: bool,
    /// Libraries between it and the kernel.
    #[serde(skip)]
    pub shims: Vec<Shim>,
    /// What the files of its unit say.
    #[serde(skip)]
    pub settings: Option<Unit>,
}

impl AskingProcess {
    /// Whether it lives in a pid and a mount namespace of its own, as containers do.
    pub fn is_container_shaped(&self) -> bool {
        let has = |name: &str| self.namespaces.iter().any(|kind| kind == name);
        self.container.is_some() || has("pid") && has("mnt")
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{of, unit};

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    use portwise_sys::{
        ns::{self, Kind},
        proc::{Cgroup, Proc},
    };

    use super::AskingProcess;
    use crate::observe::{program::Finder, shim, unit};

    /// Observes a process as far as this user may.
    pub(in crate::observe) fn of(proc: &Proc, pid: u32, command: String) -> AskingProcess {
        let exe = proc.exe(pid).ok();
        let cgroups = proc.cgroups(pid).unwrap_or_default();
        let unit = cgroups.iter().find_map(unit);
        let maps = proc.read(format!("proc/{pid}/maps")).unwrap_or_default();
        let replaced = exe.as_ref().is_some_and(|target| target.deleted);
        let program = exe.map(|target| Finder::of(pid).running(&target.path));
        let own_directory = std::env::current_dir().ok();
        let directory = proc.cwd(pid).ok().filter(|at| !at.deleted).map(|at| at.path);
        let path = program.as_ref().and_then(|p| p.binary()).map(|file| file.path.to_string());
        AskingProcess {
            again: path.as_ref().map(|path| again(proc, pid, path)).unwrap_or_default(),
            directory: directory
                .filter(|at| Some(at) != own_directory.as_ref())
                .map(|at| at.to_string_lossy().into_owned()),
            shares_file: path.is_some_and(|path| is_shared(pid, &path)),
            pid,
            command,
            program,
            replaced,
            namespaces: namespaces(pid),
            settings: unit.as_ref().and_then(|unit| unit::read(proc, unit)),
            unit,
            shims: shim::named_in(&String::from_utf8_lossy(&maps)),
            container: cgroups.iter().find_map(container),
            misplaced: misplaced(&proc.read(format!("proc/{pid}/environ")).unwrap_or_default()),
        }
    }

    /// The words of its command line, the first one a file that is there to be started.
    fn again(proc: &Proc, pid: u32, path: &str) -> Vec<String> {
        let line = proc.cmdline(pid).unwrap_or_default();
        let Some(mut words) =
            line.into_iter().map(|w| w.into_string().ok()).collect::<Option<Vec<_>>>()
        else {
            return Vec::new();
        };
        let Some(first) = words.first_mut() else { return Vec::new() };
        // Some programs write there what they do.
        if first.contains(char::is_whitespace) || !is_shared(pid, path) {
            return Vec::new();
        }
        if !is_called(pid, first, path) {
            *first = path.into();
        }
        words
    }

    /// Whether a name, as the process used it, still means the file.
    fn is_called(pid: u32, name: &str, path: &str) -> bool {
        const DIRECTORIES: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let same =
            |at: &Path| identity(at).is_some_and(|found| Some(found) == identity(path.as_ref()));
        match name.contains('/') {
            true if name.starts_with('/') => same(name.as_ref()),
            true => same(&Path::new(&format!("/proc/{pid}/cwd")).join(name)),
            false => DIRECTORIES.split(':').map(|at| Path::new(at).join(name)).any(|at| same(&at)),
        }
    }

    fn is_shared(pid: u32, path: &str) -> bool {
        let there = identity(Path::new(&format!("/proc/{pid}/root{path}")));
        there.is_some() && there == identity(path.as_ref())
    }

    fn identity(path: &Path) -> Option<(u64, u64)> {
        fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }

    fn namespaces(pid: u32) -> Vec<String> {
        let kinds = [Kind::User, Kind::Pid, Kind::Mount, Kind::Net, Kind::Cgroup];
        let differs = |kind: &Kind| {
            let theirs = ns::id_of(pid, *kind);
            theirs.is_ok_and(|id| ns::own_id(*kind).is_ok_and(|own| own != id))
        };
        kinds.into_iter().filter(differs).map(|kind| kind.file().into()).collect()
    }

    /// The service that a cgroup is of, in the hierarchies that systemd keeps.
    pub(in crate::observe) fn unit(cgroup: &Cgroup) -> Option<String> {
        let kept = cgroup.hierarchy == 0 || cgroup.controllers == "name=systemd";
        let is_service = |part: &&str| part.ends_with(".service") && !part.starts_with("user@");
        let name = cgroup.path.rsplit('/').find(is_service)?;
        kept.then(|| name.to_string())
    }

    /// The container that a cgroup is of, by what engines call theirs.
    fn container(cgroup: &Cgroup) -> Option<String> {
        const ENGINES: [(&str, &str); 6] = [
            ("docker-", "docker"),
            ("libpod-", "podman"),
            ("cri-containerd-", "containerd"),
            ("crio-", "cri-o"),
            ("lxc.payload.", "lxc"),
            ("kubepods", "kubernetes"),
        ];
        let parts: Vec<&str> = cgroup.path.split('/').collect();
        let id = |text: &str| text.trim_end_matches(".scope").chars().take(12).collect::<String>();
        for (at, part) in parts.iter().enumerate().rev() {
            for (prefix, engine) in ENGINES {
                if let Some(rest) = part.strip_prefix(prefix) {
                    return Some(format!("{engine} {}", id(rest)).trim_end().to_string());
                }
            }
            // Where engines make cgroups themselves: /docker/ID, /lxc/NAME.
            if let Some(engine) = ["docker", "lxc"].into_iter().find(|engine| part == engine)
                && let Some(name) = parts.get(at + 1)
            {
                return Some(format!("{engine} {}", id(name)));
            }
        }
        None
    }

    /// Directives of a service manager that give or take rights, which someone wrote among the
    /// environment variables, and variables that name the capability. Only names are kept.
    fn misplaced(environment: &[u8]) -> Vec<String> {
        const DIRECTIVES: [&str; 11] = [
            "AmbientCapabilities",
            "CapabilityBoundingSet",
            "Capabilities",
            "NoNewPrivileges",
            "SecureBits",
            "SocketBindAllow",
            "SocketBindDeny",
            "ListenStream",
            "ListenDatagram",
            "PrivateUsers",
            "DynamicUser",
        ];
        let variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let mut names = Vec::new();
        for variable in variables {
            let Some((name, value)) = variable.split_once('=') else { continue };
            let names_it = value.to_ascii_lowercase().contains("net_bind_service");
            if DIRECTIVES.contains(&name.trim()) || names_it {
                names.push(name.trim().to_string());
            }
        }
        names
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn cgroups_tell_units_and_containers() {
            let cgroup = |hierarchy, path: &str| Cgroup {
                hierarchy,
                controllers: String::new(),
                path: path.into(),
            };
            let of = |path: &str| {
                let cgroup = cgroup(0, path);
                (unit(&cgroup), container(&cgroup))
            };
            let id = "0123456789abcdef0123456789abcdef";
            assert_eq!(of("/system.slice/nginx.service"), (Some("nginx.service".into()), None));
            assert_eq!(of("/user.slice/user-1000.slice/user@1000.service/app.slice"), (None, None));
            let docker = Some("docker 0123456789ab".to_string());
            assert_eq!(of(&format!("/system.slice/docker-{id}.scope")), (None, docker.clone()));
            assert_eq!(of(&format!("/docker/{id}")), (None, docker));
            assert_eq!(
                of(&format!("/machine.slice/libpod-{id}.scope/x")).1.unwrap(),
                "podman 0123456789ab"
            );
            assert_eq!(of("/lxc.payload.web").1.unwrap(), "lxc web");
            assert_eq!(of("/"), (None, None));
            assert_eq!(unit(&cgroup(4, "/system.slice/nginx.service")), None);
        }

        #[test]
        fn variables_that_grant_nothing() {
            let found = |text: &str| misplaced(text.replace(' ', "\0").as_bytes());
            assert_eq!(
                found("PATH=/bin AmbientCapabilities=CAP_NET_BIND_SERVICE"),
                ["AmbientCapabilities"]
            );
            assert_eq!(found("EXTRA=--cap-add=NET_BIND_SERVICE X=1"), ["EXTRA"]);
            assert_eq!(found("PATH=/bin User=x ListenStream"), [""; 0]);
        }
    }
}
