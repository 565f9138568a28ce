//! Processes that listen for others.

use std::{net::IpAddr, path::Path};

use portwise_sys::{
    ns::{self, Kind},
    proc::Proc,
};

use crate::observe::inventory::Forward;

/// For whom the process `pid` with these arguments listens, if that is what it is for.
pub(super) fn forward(proc: &Proc, pid: u32, arguments: &[String]) -> Option<Forward> {
    let program = Path::new(arguments.first()?).file_name()?.to_str()?;
    let by = ["docker-proxy", "rootlessport", "rootlesskit", "slirp4netns", "pasta"]
        .into_iter()
        .find(|name| program == *name || program.strip_prefix(name) == Some(".avx2"))?;
    let to = match by {
        "docker-proxy" => docker_proxy(arguments),
        "pasta" => value(arguments, "netns").map(namespace),
        "slirp4netns" => slirp4netns(arguments),
        // They are told by their standard input, and have a child on the other side.
        _ => child_elsewhere(proc, pid),
    };
    Some(Forward { by, to })
}

/// What follows the option `name`, or is written behind it.
fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let rest = argument.trim_start_matches('-').strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => arguments.get(at + 1).map(String::as_str),
            None => None,
        }
    })
}

/// `docker-proxy -container-ip 172.17.0.2 -container-port 80 …`
fn docker_proxy(arguments: &[String]) -> Option<String> {
    let ip: IpAddr = value(arguments, "container-ip")?.parse().ok()?;
    let port: u16 = value(arguments, "container-port")?.parse().ok()?;
    Some(std::net::SocketAddr::new(ip, port).to_string())
}

/// `slirp4netns … PID tap0`, or a path in place of the number.
fn slirp4netns(arguments: &[String]) -> Option<String> {
    let [.., program, target, device] = arguments else { return None };
    let is_target = !program.is_empty() && !target.starts_with('-') && !device.starts_with('-');
    is_target.then(|| match target.parse::<u32>() {
        Ok(pid) => format!("the network namespace of process {pid}"),
        Err(_) => namespace(target),
    })
}

fn namespace(file: &str) -> String {
    format!("the network namespace {file}")
}

/// The first process below `pid` that is in another network namespace.
fn child_elsewhere(proc: &Proc, pid: u32) -> Option<String> {
    // rootlessport has its child there, rootlesskit that one's.
    const DEEP: usize = 3;
    let own = ns::inode_of(pid, Kind::Net).ok()?;
    let mut below = vec![pid];
    for _ in 0..DEEP {
        below = below.into_iter().flat_map(|pid| children(proc, pid)).collect();
        let is_elsewhere = |pid: &&u32| ns::inode_of(**pid, Kind::Net).is_ok_and(|at| at != own);
        if let Some(&there) = below.iter().find(is_elsewhere) {
            let name = proc.comm(there).unwrap_or_default();
            let name = name.to_string_lossy();
            return Some(format!("the network namespace of process {there} ({name})"));
        }
    }
    None
}

/// The children of a process; a kernel may be built without the file that names them.
fn children(proc: &Proc, pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(proc.path(format!("proc/{pid}/task")));
    let files =
        threads.into_iter().flatten().flatten().map(|thread| thread.path().join("children"));
    let lists = files.filter_map(|file| std::fs::read_to_string(file).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to() {
        let of = |line: &str| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            // No process has this number.
            let found = forward(&Proc::default(), 0, &arguments);
            found.map(|found| (found.by, found.to.unwrap_or_default()))
        };
        let docker = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080";
        assert_eq!(
            of(&format!("{docker} -container-ip 172.17.0.2 -container-port 80")),
            Some(("docker-proxy", "172.17.0.2:80".into()))
        );
        assert_eq!(
            of(&format!("{docker} --container-ip fd00::2 --container-port 80 -x")),
            Some(("docker-proxy", "[fd00::2]:80".into()))
        );
        assert_eq!(of(&format!("{docker} -container-ip x")), Some(("docker-proxy", "".into())));
        assert_eq!(of("rootlessport"), Some(("rootlessport", "".into())));
        assert_eq!(of("/usr/bin/pasta.avx2 -t 80"), Some(("pasta", "".into())));
        let file = "/run/user/1000/netns/netns-1";
        let there = format!("the network namespace {file}");
        for words in [format!("--netns {file}"), format!("--netns={file}")] {
            let line = format!("pasta --config-net -t 8080-8080:80-80 {words}");
            assert_eq!(of(&line), Some(("pasta", there.clone())));
        }
        assert_eq!(of("pasta --netns"), Some(("pasta", "".into())));
        assert_eq!(of("pasta --netns-only x"), Some(("pasta", "".into())));
        let slirp = "slirp4netns --mtu 65520 -a api.sock";
        assert_eq!(
            of(&format!("{slirp} --netns-type=path {file} tap0")),
            Some(("slirp4netns", there))
        );
        assert_eq!(
            of(&format!("{slirp} -c 4711 tap0")),
            Some(("slirp4netns", "the network namespace of process 4711".into()))
        );
        assert_eq!(of("slirp4netns --version -h"), Some(("slirp4netns", "".into())));
        assert_eq!(of("/usr/sbin/nginx -g docker-proxy"), None);
        assert!(forward(&Proc::default(), 0, &[]).is_none());
    }
}
