//! Processes that listen for others.

use std::{net::IpAddr, path::Path};

use crate::observe::inventory::Forward;

/// For whom a process with these arguments listens, if that is what it is for.
pub(super) fn forward(arguments: &[String]) -> Option<Forward> {
    let program = Path::new(arguments.first()?).file_name()?.to_str()?;
    let by = ["docker-proxy", "rootlessport", "rootlesskit", "slirp4netns", "pasta"]
        .into_iter()
        .find(|name| program == *name || program.strip_prefix(name) == Some(".avx2"))?;
    // The others are told on other ways than their command line.
    let to = (by == "docker-proxy").then(|| docker_proxy(arguments)).flatten();
    Some(Forward { by, to })
}

/// `docker-proxy -container-ip 172.17.0.2 -container-port 80 …`
fn docker_proxy(arguments: &[String]) -> Option<String> {
    let value = |name: &str| {
        let at = arguments.iter().position(|arg| arg.trim_start_matches('-') == name)?;
        arguments.get(at + 1)
    };
    let ip: IpAddr = value("container-ip")?.parse().ok()?;
    let port: u16 = value("container-port")?.parse().ok()?;
    Some(std::net::SocketAddr::new(ip, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to() {
        let of = |line: &str| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            forward(&arguments).map(|found| (found.by, found.to.unwrap_or_default()))
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
        assert_eq!(of("/usr/sbin/nginx -g docker-proxy"), None);
        assert_eq!(forward(&[]), None);
    }
}
