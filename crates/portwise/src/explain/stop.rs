//! How to stop whoever holds a port: by its service manager, its container engine, or a signal.

use portwise_model::{Protocol, State};

use super::{
    owner::{About, Owner},
    report::{HeldSocket, NoHolder, Role},
};
use crate::{Setting, endpoint::Target, render::phrase::quoted};

/// What is done to stop the holder.
pub(super) struct Stop {
    /// What to do.
    pub title: String,
    /// More about it, such as what would tell which holder it is.
    pub detail: Option<String>,
    /// The command, if one works as typed; else empty.
    pub command: String,
    /// What else it does.
    pub side_effects: String,
}

/// The sockets in the way that some program has open, or may have.
pub(super) fn in_the_way(held: &[HeldSocket]) -> impl Iterator<Item = &HeldSocket> {
    let kept =
        |h: &&HeldSocket| matches!(h.no_holder, Some(NoHolder::Kernel | NoHolder::NotAccepted));
    held.iter().filter(|h| h.role == Role::InTheWay).filter(move |h| !kept(h))
}

/// The processes that hold what is in the way, if each such socket has one that was seen.
pub(super) fn owners(held: &[HeldSocket]) -> Vec<&Owner> {
    if in_the_way(held).any(|h| h.holders.is_empty()) {
        return Vec::new();
    }
    let mut owners: Vec<&Owner> = in_the_way(held).flat_map(|h| &h.holders).collect();
    portwise_model::sort::sort_by_key(&mut owners, |owner| owner.pid);
    owners.dedup_by_key(|owner| owner.pid);
    owners
}

/// How to stop those who hold what is in the way.
pub(super) fn of(setting: &Setting, target: &Target, held: &[HeldSocket]) -> Stop {
    let owners = owners(held);
    let (title, command) = match setting.runner {
        Some(runner) => {
            let separate = in_the_way(held).all(|h| h.holders.len() == 1);
            by(runner, target, &owners, separate)
        }
        None => (PLAIN.into(), String::new()),
    };
    Stop {
        side_effects: effects(held, &owners, &command),
        detail: detail(target, held, &owners),
        title,
        command,
    }
}

const PLAIN: &str = "stop the program that holds the port";

/// What to do and the command for it.
fn by(runner: u32, target: &Target, owners: &[&Owner], separate: bool) -> (String, String) {
    let sudo = |own: bool| if own || runner == 0 { "" } else { "sudo " };
    let own = owners.iter().all(|owner| owner.uid == runner);
    let plain = |command: String| (PLAIN.to_string(), command);
    let Some(first) = owners.first() else { return plain(String::new()) };
    let all = |same: &dyn Fn(&About) -> bool| {
        owners.iter().all(|owner| owner.about.as_ref().is_some_and(same))
    };
    let Some(about) = &first.about else { return plain(kill(owners, separate, sudo(own))) };
    if let Some(forward) = &about.forward {
        let engine = if forward.by == "docker-proxy" { "docker" } else { "podman" };
        let publish = format!("--filter publish={}/{}", target.port, target.protocol.name());
        let title = "stop the container that publishes the port".to_string();
        return (title, format!("{engine} stop $({engine} ps -q {publish})"));
    }
    if let Some(container) = &about.container
        && all(&|other| other.container.as_ref() == Some(container))
        && let Some(stop) = engine_stop(container.engine)
    {
        let id: String =
            container.id.chars().take(if container.id.len() >= 64 { 12 } else { 64 }).collect();
        let title = "stop the container that holds the port".to_string();
        // Docker and podman ask for the right themselves.
        let sudo = if matches!(container.engine, "docker" | "podman") { "" } else { sudo(false) };
        return (title, format!("{sudo}{stop} {}", quoted(&id)));
    }
    if let Some(unit) = about.unit.as_ref().filter(|unit| unit.ends_with(".service"))
        && all(&|other| {
            other.unit.as_ref() == Some(unit) || other.unit.as_deref() == Some("init.scope")
        })
    {
        let sockets = about.socket_unit.as_deref().map(|s| format!(" {}", quoted(s)));
        let units = format!("{}{}", quoted(unit), sockets.unwrap_or_default());
        let manager = match (about.unit_of_user, own) {
            (false, _) => format!("{}systemctl", sudo(false)),
            (true, true) => "systemctl --user".into(),
            (true, false) => format!("{}systemctl --user -M {}@", sudo(false), first.uid),
        };
        return ("stop the service that holds the port".into(), format!("{manager} stop {units}"));
    }
    plain(kill(owners, separate, sudo(own)))
}

fn engine_stop(engine: &str) -> Option<&'static str> {
    Some(match engine {
        "docker" => "docker stop",
        "podman" => "podman stop",
        "containerd" | "cri-o" => "crictl stop",
        "lxc" => "lxc-stop -n",
        "systemd-nspawn" => "machinectl poweroff",
        _ => return None,
    })
}

/// The signal for the holder. Nothing if several have one socket and are not one program with its
/// children, since one of them is likely a service manager that starts the others again. If each
/// has a socket of its own (`separate`), the signal is for all.
fn kill(owners: &[&Owner], separate: bool, sudo: &str) -> String {
    let Some(owner) = one(owners) else {
        let pids: Vec<String> = owners.iter().map(|owner| owner.pid.to_string()).collect();
        let few = separate && pids.len() <= 5 && owners.iter().all(|owner| owner.pid != 1);
        return if few { format!("{sudo}kill {}", pids.join(" ")) } else { String::new() };
    };
    let pid = owner.pid;
    // Not every program takes its workers with it.
    let workers = owners.iter().filter(|other| other.pid != pid).map(|other| other.pid);
    let workers: Vec<String> = workers.map(|pid| pid.to_string()).collect();
    if (1..=5).contains(&workers.len()) && pid != 1 {
        return format!("{sudo}kill {pid} {}", workers.join(" "));
    }
    let stands = owner.about.as_ref().is_some_and(|about| about.run == "stopped");
    match (pid, stands) {
        (1, _) => String::new(),
        // The signal waits until the process goes on.
        (_, true) => format!("{sudo}kill {pid}; {sudo}kill -CONT {pid}"),
        _ => format!("{sudo}kill {pid}"),
    }
}

/// The holder to stop: the only one, or the parent of all others if they run the same program.
fn one<'a>(owners: &[&'a Owner]) -> Option<&'a Owner> {
    if let [only] = owners {
        return Some(only);
    }
    let parent_of = |owner: &Owner| {
        owner.about.as_ref().and_then(|about| about.parent.as_ref()).map(|parent| parent.pid)
    };
    owners.iter().copied().find(|top| {
        let child =
            |other: &Owner| other.command == top.command && parent_of(other) == Some(top.pid);
        owners.iter().all(|other| other.pid == top.pid || child(other))
    })
}

/// What is to be said besides.
fn detail(target: &Target, held: &[HeldSocket], owners: &[&Owner]) -> Option<String> {
    if in_the_way(held).any(|h| h.no_holder == Some(NoHolder::NotRoot)) {
        return Some("root can see which".into());
    }
    let used = in_the_way(held).find_map(|held| held.kernel_use);
    if let Some(part) = used {
        return Some(match part {
            "WireGuard" => "`sudo wg show` tells which interface has it".into(),
            "NFS server" => "the service is nfs-server".into(),
            part => format!("it is the kernel's ({part})"),
        });
    }
    if owners.is_empty() {
        return in_the_way(held).find_map(|held| held.no_holder).and_then(reveals);
    }
    let by_init = owners.iter().any(|owner| owner.pid == 1 && owner.command == "systemd");
    by_init.then(|| {
        let port = target.port;
        format!("systemd holds it for a socket unit: `systemctl list-sockets | grep {port}`")
    })
}

/// What would reveal who holds a socket, where root does not see it either.
fn reveals(reason: NoHolder) -> Option<String> {
    match reason {
        NoHolder::NotAllowed => Some(
            "which one shows from the host, outside of any container, with all capabilities".into(),
        ),
        NoHolder::NotFound => Some(
            "no process has it as a descriptor; it may be in an io_uring: `sudo grep -ls UserFiles \
             /proc/[0-9]*/fdinfo/*` shows who has one"
                .into(),
        ),
        _ => None,
    }
}

/// Who suffers, and whether it comes back.
fn effects(held: &[HeldSocket], owners: &[&Owner], command: &str) -> String {
    if in_the_way(held).all(|h| h.socket.remote.is_some()) {
        return "its connections end".into();
    }
    let Some(about) = owners.first().and_then(|owner| owner.about.as_ref()) else {
        return "its clients lose it".into();
    };
    let mut words = vec![clients(held)];
    let deleted =
        |path: &Option<super::owner::PathReport>| path.as_ref().is_some_and(|p| p.deleted);
    if about.parent_gone && (deleted(&about.cwd) || deleted(&about.exe)) {
        words.push("it is left over from an earlier start".into());
    }
    if let Some(supervisor) = &about.supervisor
        && command.contains("kill ")
    {
        words.push(format!("{} (pid {}) starts it again", supervisor.name, supervisor.pid));
    }
    words.retain(|word| !word.is_empty());
    words.join("; ")
}

/// How many clients are connected.
fn clients(held: &[HeldSocket]) -> String {
    if held.iter().all(|h| h.socket.protocol == Protocol::Udp) {
        return "its clients lose it".into();
    }
    let connected = |h: &&HeldSocket| h.socket.state == State::Established;
    match held.iter().filter(connected).count() {
        0 => "no client is connected to it now".into(),
        1 => "the client that is connected loses it".into(),
        n => format!("the {n} clients that are connected lose it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::owner::{ContainerReport, ForwardReport, ParentReport};

    fn owner(pid: u32, uid: u32, change: impl FnOnce(&mut About)) -> Owner {
        let mut about = About {
            arguments: Vec::new(),
            exe: None,
            cwd: None,
            age_seconds: 1,
            parent: Some(ParentReport { pid: 7, command: "sh".into(), zombie: false }),
            parent_gone: false,
            run: "running",
            terminal: None,
            unit: None,
            unit_of_user: false,
            socket_unit: None,
            container: None,
            supervisor: None,
            forward: None,
        };
        change(&mut about);
        Owner {
            pid,
            command: "server".into(),
            uid,
            user: None,
            fds: vec![3],
            in_flight: false,
            inherited: false,
            about: Some(about),
        }
    }

    fn command(runner: u32, owners: &[Owner]) -> String {
        let endpoint: crate::Endpoint = "0.0.0.0:8080".parse().unwrap();
        let target = endpoint.targets(None, |_| unreachable!()).unwrap().remove(0);
        by(runner, &target, &owners.iter().collect::<Vec<_>>(), false).1
    }

    #[test]
    fn each_holder_is_stopped_by_what_runs_it() {
        let unit = |name: &'static str, user: bool, socket: Option<&'static str>| {
            move |about: &mut About| {
                (about.unit, about.unit_of_user) = (Some(name.into()), user);
                about.socket_unit = socket.map(Into::into);
            }
        };
        let docker = |about: &mut About| {
            let id = "0123456789abcdef".repeat(4);
            about.container = Some(ContainerReport { engine: "docker", id, pod: None });
        };
        let lxc = |about: &mut About| {
            about.container =
                Some(ContainerReport { engine: "lxc", id: "my box".into(), pod: None });
        };
        let proxy = |about: &mut About| {
            about.forward = Some(ForwardReport { by: "docker-proxy", to: None });
        };
        let child_of_9 = |about: &mut About| about.parent.as_mut().unwrap().pid = 9;
        let stopped = |about: &mut About| about.run = "stopped";
        let none = |_: &mut About| {};
        let cases: [(&str, u32, &str, Vec<Owner>); 14] = [
            ("own process", 1000, "kill 9", vec![owner(9, 1000, none)]),
            ("another's", 1000, "sudo kill 9", vec![owner(9, 33, none)]),
            ("as root", 0, "kill 9", vec![owner(9, 33, none)]),
            ("stopped", 0, "kill 9; kill -CONT 9", vec![owner(9, 0, stopped)]),
            ("init", 0, "", vec![owner(1, 0, none)]),
            ("strangers", 0, "", vec![owner(9, 0, none), owner(12, 0, none)]),
            ("workers", 0, "kill 9 12", vec![owner(9, 0, none), owner(12, 0, child_of_9)]),
            (
                "service",
                1000,
                "sudo systemctl stop nginx.service",
                vec![
                    owner(9, 0, unit("nginx.service", false, None)),
                    owner(12, 33, unit("nginx.service", false, None)),
                ],
            ),
            (
                "service with a socket unit",
                0,
                "systemctl stop a.service a.socket",
                vec![owner(9, 0, unit("a.service", false, Some("a.socket")))],
            ),
            (
                "service of mine",
                1000,
                "systemctl --user stop a.service",
                vec![owner(9, 1000, unit("a.service", true, None))],
            ),
            ("session", 0, "kill 9", vec![owner(9, 0, unit("session-3.scope", false, None))]),
            ("container", 1000, "docker stop 0123456789ab", vec![owner(9, 0, docker)]),
            ("odd name", 0, "lxc-stop -n 'my box'", vec![owner(9, 0, lxc)]),
            (
                "published",
                1000,
                "docker stop $(docker ps -q --filter publish=8080/tcp)",
                vec![owner(9, 0, proxy)],
            ),
        ];
        for (what, runner, wanted, owners) in cases {
            assert_eq!(command(runner, &owners), wanted, "{what}");
        }
        let two = [owner(9, 0, none), owner(12, 0, none)];
        assert_eq!(kill(&two.iter().collect::<Vec<_>>(), true, ""), "kill 9 12");
    }
}
