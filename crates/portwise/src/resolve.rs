//! Names to addresses, as programs resolve them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// Asks the resolver of this machine, which may ask the network for any name but `localhost`.
pub fn here(name: &str) -> Result<Vec<IpAddr>, String> {
    let found =
        (name, 0).to_socket_addrs().map_err(|error| format!("cannot resolve `{name}`: {error}"))?;
    let mut ips: Vec<IpAddr> = Vec::new();
    for addr in found {
        if !ips.contains(&addr.ip()) {
            ips.push(addr.ip());
        }
    }
    Ok(ips)
}

/// Whether `/etc/hosts` of this machine names it, see hosts(5).
pub fn is_in_hosts_file(name: &str) -> bool {
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).any(|known| known.eq_ignore_ascii_case(name))
    };
    text.lines().any(names)
}

/// Resolves for a machine that is not this one: only `localhost` is the same everywhere.
pub fn elsewhere(name: &str) -> Result<Vec<IpAddr>, String> {
    if name.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
    }
    Err(format!(
        "`{name}` would be resolved by another machine than the one asked about; give its address"
    ))
}
