//! One word as an address, a port or both, in any spelling that programs use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::Protocol;

use crate::endpoint::Address;

/// What a word spells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    /// The address, if it has one.
    pub address: Option<Address>,
    /// The port, if it has one.
    pub port: Option<u16>,
    /// The protocol, if it says so.
    pub protocol: Option<Protocol>,
}

impl Spelling {
    /// Returns the address of a word that has no port.
    pub(super) fn only_address(&self) -> Option<&Address> {
        self.address.as_ref().filter(|_| self.port.is_none())
    }

    /// Returns the port of a word that has no address.
    pub(super) fn only_port(&self) -> Option<u16> {
        self.port.filter(|_| self.address.is_none())
    }
}

/// The protocol that a word names: `tcp`, `UDP`, `tcp4`, `udp6`, or a server that speaks only one.
pub(super) fn protocol(word: &str) -> Option<Protocol> {
    // `ntpd[99]` is a process.
    let word = word.split('[').next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "tcp" | "tcp4" | "tcp6" | "tcpv4" | "tcpv6" => Some(Protocol::Tcp),
        "udp" | "udp4" | "udp6" | "udpv4" | "udpv6" | "dhcp" | "ntp" | "ntpd" => {
            Some(Protocol::Udp)
        }
        _ => None,
    }
}

/// Reads a word; `None` if it is no address and no port.
pub(super) fn read(word: &str) -> Option<Spelling> {
    let mut said = None;
    let mut rest = word;
    if let Some((scheme, after)) = rest.split_once("://") {
        let scheme = scheme.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        said = protocol(scheme);
        rest = after.split('/').next().unwrap_or_default();
    }
    // OpenVPN, which speaks UDP unless told otherwise.
    for tag in ["[AF_INET]", "[AF_INET6]", "[undef]"] {
        if let Some(after) = rest.strip_prefix(tag) {
            (rest, said) = (after, said.or(Some(Protocol::Udp)));
        }
    }
    if let Some((before, after)) = rest.rsplit_once('/') {
        match protocol(after.trim_end_matches(['.', ':', ']'])) {
            Some(suffix) => (rest, said) = (before, Some(suffix)),
            // Java writes NAME/ADDRESS:PORT, the name may be empty.
            None if protocol(before).is_some() => (rest, said) = (after, protocol(before)),
            None if !before.contains('/') => {
                let java = trimmed(after)?;
                return matches!(java.address, Some(Address::Ip(..))).then_some(java);
            }
            None => return None,
        }
    }
    if let Some((first, after)) = rest.split_once(':')
        && let Some(prefix) = protocol(first)
    {
        (rest, said) = (after, Some(prefix));
    }
    let spelling = trimmed(rest)?;
    Some(Spelling { protocol: said, ..spelling })
}

/// Reads a word with less and less of the punctuation at its end.
fn trimmed(word: &str) -> Option<Spelling> {
    let mut rest = if word.contains(']') { word } else { word.trim_start_matches('[') };
    for _ in 0..5 {
        if let Some((address, port)) = exact(rest) {
            return Some(Spelling { address, port, protocol: None });
        }
        rest = rest.strip_suffix(['.', ':', '-', '#', ']', '/'])?;
    }
    None
}

type Parts = (Option<Address>, Option<u16>);

fn both(address: Address, port: &str) -> Option<Parts> {
    Some((Some(address), Some(number(port)?)))
}

fn exact(word: &str) -> Option<Parts> {
    if let Some(port) = number(word) {
        return Some((None, Some(port)));
    }
    if let Some(inside) = word.strip_prefix('[') {
        let (inside, after) = inside.split_once(']')?;
        return match after.strip_prefix([':', '#']) {
            Some(after) => both(host(inside)?, first_of(after)),
            // HAProxy puts the port in the brackets too.
            None if after.is_empty() => exact(inside).filter(|(address, _)| address.is_some()),
            None => None,
        };
    }
    if let Some(address) = host(word) {
        // `::1:80` is an IPv6 address, and an address with a port; a message has a port.
        let split = word.rsplit_once(':').filter(|(_, port)| port.len() > 1);
        let split =
            split.and_then(|(ip, port)| Some((Address::Ip(ipv6(ip)?.0, ipv6(ip)?.1), port)));
        return split.and_then(|(ip, port)| both(ip, port)).or(Some((Some(address), None)));
    }
    if let Some((ip, port)) = word.split_once('#') {
        return both(host(ip)?, port);
    }
    if let Some((ip, after)) = word.split_once(':')
        && let Some(address) = ipv4(ip)
    {
        return both(address, first_of(after));
    }
    let (name, port) = word.rsplit_once(':')?;
    match name {
        "" | "+" | "null" => both(Address::Every, port),
        // Twisted's word for an IPv4 socket without address.
        "any" => both(Address::Ip(Ipv4Addr::UNSPECIFIED.into(), None), port),
        _ if ["port", "ports"].iter().any(|word| name.eq_ignore_ascii_case(word)) => {
            Some((None, Some(number(port)?)))
        }
        _ => match host(name) {
            Some(address) => both(address, port),
            None if is_host_name(name) => both(Address::Name(name.into()), port),
            None => None,
        },
    }
}

/// An address without port.
fn host(word: &str) -> Option<Address> {
    match word {
        "*" => Some(Address::Every),
        // Redis means IPv6 by it.
        "::*" => Some(Address::Ip(Ipv6Addr::UNSPECIFIED.into(), None)),
        _ if word.eq_ignore_ascii_case("localhost") => Some(Address::Name("localhost".into())),
        _ => ipv4(word).or_else(|| ipv6(word).map(|(ip, zone)| Address::Ip(ip, zone))),
    }
}

fn ipv4(word: &str) -> Option<Address> {
    Some(Address::Ip(IpAddr::V4(word.parse().ok()?), None))
}

fn ipv6(word: &str) -> Option<(IpAddr, Option<String>)> {
    let (ip, zone) = match word.split_once('%') {
        Some((_, "")) => return None,
        Some((_, zone)) if zone.contains([':', '%', '#']) => return None,
        Some((ip, zone)) => (ip, Some(zone.to_string())),
        None => (word, None),
    };
    Some((IpAddr::V6(ip.parse().ok()?), zone))
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Docker writes HOST:PORT:CONTAINER:PORT.
fn first_of(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

/// Extensions of files: `server.rb:45` is a place in a program.
const FILES: [&str; 35] = [
    "c", "cc", "cfg", "cjs", "conf", "cpp", "cs", "ex", "exs", "erl", "go", "h", "hpp", "ini",
    "java", "js", "json", "jsx", "kt", "log", "lua", "mjs", "php", "pl", "pm", "py", "rb", "rs",
    "scala", "sh", "swift", "toml", "ts", "yaml", "yml",
];

/// Words that stand before a colon and a number without being a host.
const LABELS: [&str; 17] = [
    "attempt", "code", "col", "column", "err", "errno", "error", "exit", "fd", "id", "level",
    "line", "pid", "row", "status", "uid", "version",
];

fn is_host_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    name.chars().all(fits)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && last.contains(|c: char| c.is_ascii_alphabetic())
        && !(name.contains('.') && FILES.contains(&last.as_str()))
        && !LABELS.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(word: &str) -> String {
        let Some(Spelling { address, port, protocol }) = read(word) else { return "-".into() };
        let address = match address {
            None => String::new(),
            Some(Address::Bare | Address::Every) => "*".into(),
            Some(Address::Ip(ip, zone)) => {
                zone.map_or(ip.to_string(), |zone| format!("{ip}%{zone}"))
            }
            Some(Address::Name(name)) => name,
        };
        let port = port.map(|port| format!(" {port}")).unwrap_or_default();
        let protocol = protocol.map(|p| format!(" {}", p.name())).unwrap_or_default();
        format!("{address}{port}{protocol}")
    }

    #[test]
    fn every_spelling() {
        for (word, meant) in [
            ("0.0.0.0:80", "0.0.0.0 80"),
            ("0.0.0.0:80:", "0.0.0.0 80"),
            (":80:", "* 80"),
            ("*:6379:", "* 6379"),
            ("+:80", "* 80"),
            ("null:3000", "* 3000"),
            ("any:53162:", "0.0.0.0 53162"),
            (":::3000", ":: 3000"),
            ("::1:80", "::1 80"),
            ("::*:6379", ":: 6379"),
            ("2001:db8::1:8080", "2001:db8::1 8080"),
            ("0:0:0:0:0:0:0:0:80", ":: 80"),
            ("fe80::1%eth0:8080", "fe80::1%eth0 8080"),
            ("fe80::1%2#123", "fe80::1%2 123"),
            ("127.0.0.1#53", "127.0.0.1 53"),
            ("[::]:80", ":: 80"),
            ("[::]:80:", ":: 80"),
            ("[fe80::1%eth0]:80", "fe80::1%eth0 80"),
            ("[127.0.0.1]:8080:", "127.0.0.1 8080"),
            ("[0.0.0.0:80]", "0.0.0.0 80"),
            ("[0.0.0.0:443].", "0.0.0.0 443"),
            ("[:::80]", ":: 80"),
            ("0.0.0.0:8000:172.31.0.2:8000/tcp:", "0.0.0.0 8000 tcp"),
            ("0.0.0.0:53/udp", "0.0.0.0 53 udp"),
            ("http://127.0.0.1:5000:", "127.0.0.1 5000"),
            ("http://+:80/", "* 80"),
            ("tcp://0.0.0.0:80", "0.0.0.0 80 tcp"),
            ("udp://[::]:53", ":: 53 udp"),
            ("0.0.0.0/0.0.0.0:8080", "0.0.0.0 8080"),
            ("localhost/127.0.0.1:80", "127.0.0.1 80"),
            ("/[0:0:0:0:0:0:0:0]:80", ":: 80"),
            ("[AF_INET]10.0.0.1:1194:", "10.0.0.1 1194 udp"),
            ("[AF_INET6][undef]:1194", "* 1194 udp"),
            ("udp:161", " 161 udp"),
            ("tcp/80", " 80 tcp"),
            ("80/tcp:", " 80 tcp"),
            ("port:3306", " 3306"),
            ("localhost:80", "localhost 80"),
            ("example.net:443", "example.net 443"),
            ("::", "::"),
            ("::1", "::1"),
            ("fe80::1", "fe80::1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"),
            ("192.0.2.1.", "192.0.2.1"),
            ("*", "*"),
            ("3000", " 3000"),
            ("98]", " 98"),
        ] {
            assert_eq!(spelled(word), meant, "{word}");
        }
    }

    #[test]
    fn what_only_looks_like_one() {
        for word in [
            "src/main.rs:4:44",
            "node:net:1817:16",
            "net.js:1318",
            "10:00:00",
            "12:30",
            "2024-01-02T10:00:00.123Z",
            "[emerg]",
            "1#1:",
            "TCP/IP",
            "address/port",
            "/usr/local/etc/haproxy.cfg:29",
            "line:4",
            "127.0.0.1:99999",
            "99999",
            "",
            ":",
            "[",
            "]",
            "::1%",
            "AH00072:",
        ] {
            assert_eq!(spelled(word), "-", "{word}");
        }
    }
}
