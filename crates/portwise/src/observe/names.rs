//! What stands between a name and an address: `/etc/hosts`, and variables that send requests to a
//! proxy.

use std::{env, fs, net::IpAddr};

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsLine {
    /// Its number, from 1.
    pub number: usize,
    /// The address.
    pub ip: IpAddr,
    /// The names it has there.
    pub names: Vec<String>,
}

/// The lines of `/etc/hosts`; none where it cannot be read.
pub fn hosts() -> Vec<HostsLine> {
    parse(&fs::read_to_string("/etc/hosts").unwrap_or_default())
}

fn parse(text: &str) -> Vec<HostsLine> {
    let line = |(n, line): (usize, &str)| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        // A zone is of no concern here.
        let ip = words.next()?.split('%').next()?.parse().ok()?;
        let names: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        (!names.is_empty()).then_some(HostsLine { number: n + 1, ip, names })
    };
    text.lines().enumerate().filter_map(line).collect()
}

/// What `/etc/hosts` makes of a name that people do not expect, in words.
pub fn traps(name: &str, hosts: &[HostsLine]) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let given: Vec<&HostsLine> = hosts.iter().filter(|line| line.names.contains(&name)).collect();
    let mut found = Vec::new();
    for line in &given {
        let loopback = line.ip.to_canonical().is_loopback();
        let at = format!("/etc/hosts line {} gives {name} the address {}", line.number, line.ip);
        if name == "localhost" && !loopback {
            found.push(format!("{at}, which is not this host's loopback"));
        } else if name != "localhost" && !name.starts_with("ip6-") && loopback {
            found.push(format!(
                "{at}: whoever uses the name here stays on this host, others cannot"
            ));
        }
    }
    if name == "localhost" && !given.is_empty() {
        for (is_v4, family, address) in [(true, "IPv4", "127.0.0.1"), (false, "IPv6", "::1")] {
            if !given.iter().any(|line| line.ip.is_ipv4() == is_v4) {
                found.push(format!(
                    "/etc/hosts gives localhost no {family} address: programs that ask for it do not \
                     reach a server on {address}"
                ));
            }
        }
    }
    found
}

/// Variables that send the requests of many programs to a proxy, in words.
pub fn proxies() -> Vec<String> {
    let get = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    through(&|name| get(name))
}

fn through(get: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    const NAMES: [&str; 6] =
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let set: Vec<&str> = NAMES.into_iter().filter(|name| get(name).is_some()).collect();
    let exempt = get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default();
    let covers_local = exempt.split([',', ' ']).any(|one| {
        matches!(one.trim(), "*" | "localhost" | "127.0.0.1" | ".localhost" | "127.0.0.0/8")
    });
    match (set.as_slice(), covers_local) {
        ([], _) | (_, true) => Vec::new(),
        (names, false) => vec![format!(
            "{} is set and no_proxy does not name localhost: curl and many libraries then ask the \
             proxy for servers of this host",
            names.join(", ")
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_hosts() {
        let lines = parse("127.0.0.1\tLocalhost a # b\n\n# c\nfe80::1%lo0 x\nbad y\n::1\n");
        let shown: Vec<String> = lines
            .iter()
            .map(|line| format!("{} {} {}", line.number, line.ip, line.names.join(",")))
            .collect();
        assert_eq!(shown, ["1 127.0.0.1 localhost,a", "4 fe80::1 x"]);
    }

    #[test]
    fn hosts_that_mislead() {
        let traps = |name: &str, text: &str| super::traps(name, &parse(text));
        assert!(traps("localhost", "127.0.0.1 localhost\n::1 localhost").is_empty());
        assert!(traps("localhost", "").is_empty());
        assert!(traps("localhost", "127.0.0.1 localhost")[0].contains("no IPv6"));
        assert!(
            traps("localhost", "10.0.0.1 localhost\n::1 localhost")[0].contains("not this host")
        );
        assert!(traps("web", "127.0.1.1 web")[0].contains("line 1"));
        assert!(traps("web", "10.0.0.1 web").is_empty());
    }

    #[test]
    fn proxies_that_mislead() {
        let with = |set: &'static [(&'static str, &'static str)]| {
            through(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_string()))
        };
        assert!(with(&[]).is_empty());
        assert!(with(&[("http_proxy", "http://p")])[0].starts_with("http_proxy is set"));
        assert!(with(&[("http_proxy", "x"), ("no_proxy", "a,localhost")]).is_empty());
        assert_eq!(with(&[("HTTP_PROXY", "x"), ("NO_PROXY", "example.org")]).len(), 1);
    }
}
