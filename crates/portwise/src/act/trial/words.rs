//! Commands with an address to be put in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::{Target, shown};

/// Puts `{addr}` (IPv6 in brackets), `{host}` (bare), `{port}` and `{endpoint}` into every argument.
pub(super) fn filled(command: &[String], target: &Target, port: u16) -> Vec<String> {
    let zone = target.zone.as_deref();
    let endpoint = shown(target.ip, zone, port);
    let end = endpoint.rfind(':').unwrap_or(endpoint.len());
    let address = &endpoint[..end];
    let host = address.trim_start_matches('[').trim_end_matches(']');
    let port = port.to_string();
    let fill = |word: &String| {
        word.replace("{addr}", address)
            .replace("{host}", host)
            .replace("{port}", &port)
            .replace("{endpoint}", &endpoint)
    };
    command.iter().map(fill).collect()
}

/// The endpoint that a client connects to: a wildcard is no address of anybody.
pub(super) fn to_connect(target: &Target) -> Target {
    let ip = match target.ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Target { ip, ..target.clone() }
}

/// Splits a command line at blanks, as a shell does: quotes and backslashes keep blanks. Nothing
/// is expanded.
///
/// # Errors
/// A quote that does not end.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("the quote {quote} does not end"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let ok = |line| split(line).unwrap();
        assert_eq!(ok("curl -sS http://{endpoint}/"), ["curl", "-sS", "http://{endpoint}/"]);
        assert_eq!(ok("  a 'b c'\t\"d'e\" f\\ g '' "), ["a", "b c", "d'e", "f g", ""]);
        assert_eq!(ok(r#"a"b\"c"d"#), ["ab\"cd"]);
        assert!(ok("").is_empty());
        assert!(split("a 'b").is_err());
    }

    #[test]
    fn an_endpoint_has_several_spellings() {
        let target = |ip: &str, zone: Option<&str>| Target {
            shown: String::new(),
            ip: ip.parse().unwrap(),
            zone: zone.map(str::to_string),
            dual_stack: None,
            port: 80,
            protocol: portwise_model::Protocol::Tcp,
            about_port: false,
        };
        let all = ["{addr} {host} {port} {endpoint}".to_string()];
        let fill = |target: &Target| filled(&all, target, 80).concat();
        assert_eq!(fill(&target("127.0.0.1", None)), "127.0.0.1 127.0.0.1 80 127.0.0.1:80");
        assert_eq!(fill(&target("::1", None)), "[::1] ::1 80 [::1]:80");
        assert_eq!(
            fill(&target("fe80::1", Some("eth0"))),
            "[fe80::1%eth0] fe80::1%eth0 80 [fe80::1%eth0]:80"
        );
        assert_eq!(fill(&to_connect(&target("::", None))), "[::1] ::1 80 [::1]:80");
    }
}
