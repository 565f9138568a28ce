//! Endpoints: what is understood, and what is said of the rest.

use std::net::IpAddr;

use portwise::endpoint::{Address, Endpoint};
use portwise_model::{Family, Protocol};
use proptest::prelude::*;

fn parsed(text: &str) -> (Address, u16, Protocol) {
    let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    (endpoint.address, endpoint.port, endpoint.protocol)
}

fn ip(text: &str) -> Address {
    Address::Ip(text.parse().unwrap(), None)
}

#[test]
fn what_ss_prints_is_understood() {
    use Protocol::{Tcp, Udp};
    let zone = |ip: &str, zone: &str| Address::Ip(ip.parse().unwrap(), Some(zone.into()));
    for (text, address, port, protocol) in [
        ("127.0.0.1:80", ip("127.0.0.1"), 80, Tcp),
        ("0.0.0.0:0", ip("0.0.0.0"), 0, Tcp),
        ("127.0.0.1:53/udp", ip("127.0.0.1"), 53, Udp),
        ("[::1]:80", ip("::1"), 80, Tcp),
        ("[::0]:80/tcp", ip("::"), 80, Tcp),
        ("[::ffff:0.0.0.0]:80", ip("::ffff:0.0.0.0"), 80, Tcp),
        ("[fe80::1%eth0]:80", zone("fe80::1", "eth0"), 80, Tcp),
        ("[fe80::1%3]:65535/udp", zone("fe80::1", "3"), 65535, Udp),
        ("*:80", Address::Every, 80, Tcp),
        (":80", Address::Every, 80, Tcp),
        ("*:53/udp", Address::Every, 53, Udp),
        ("3000", Address::Bare, 3000, Tcp),
        ("53/udp", Address::Bare, 53, Udp),
        ("53/UDP", Address::Bare, 53, Udp),
        ("localhost:3000", Address::Name("localhost".into()), 3000, Tcp),
        ("my-host.example:8080", Address::Name("my-host.example".into()), 8080, Tcp),
        // Without brackets, where only one reading is possible.
        (":::3000", ip("::"), 3000, Tcp),
        ("::1:65535", ip("::1"), 65535, Tcp),
        ("fe80:0:0:0:0:0:0:1:80", ip("fe80::1"), 80, Tcp),
        ("fe80::1%eth0:80", zone("fe80::1", "eth0"), 80, Tcp),
    ] {
        assert_eq!(parsed(text), (address, port, protocol), "{text}");
    }
}

#[test]
fn a_bad_endpoint_gets_one_line_with_the_fault_and_an_example() {
    for (text, fault, example) in [
        ("", "it is empty", "127.0.0.1:80"),
        ("127.0.0.1", "the port is missing", "127.0.0.1:80"),
        ("127.0.0.1:", "the port after `:` is missing", "127.0.0.1:8080"),
        ("127.0.0.1:99999", "99999 is above 65535", "127.0.0.1:8080"),
        ("99999", "99999 is above 65535", "127.0.0.1:8080"),
        ("127.0.0.1:http", "`http` is no number", "127.0.0.1:8080"),
        ("127.0.0.1:-1", "`-1` is no number", "127.0.0.1:8080"),
        ("127.0.0.1:+80", "`+80` is no number", "127.0.0.1:8080"),
        ("256.0.0.1:80", "`256.0.0.1` is no IPv4 address", "127.0.0.1:80"),
        ("127.1:80", "`127.1` is no IPv4 address", "127.0.0.1:80"),
        ("::1:80", "in brackets", "[::1]:80"),
        ("::1", "in brackets", "[::1]:80"),
        ("::", "in brackets", "[::]:80"),
        ("[::1]", "the port is missing", "[::1]:80"),
        ("[::1", "`[` without `]`", "[::1]:80"),
        ("[::1]80", "the port is missing", "[::1]:80"),
        ("[127.0.0.1]:80", "brackets are for IPv6", "127.0.0.1:80"),
        ("[::g]:80", "`::g` is no IPv6 address", "[::1]:80"),
        ("[fe80::1%]:80", "the zone after `%` is empty", "[fe80::1%eth0]:80"),
        ("127.0.0.1%lo:80", "a zone belongs to an IPv6 address", "[fe80::1%eth0]:80"),
        ("http://localhost:3000/x", "`http://` starts a URL", "localhost:3000"),
        ("127.0.0.1:80/sctp", "sctp is not supported yet", "127.0.0.1:80/tcp"),
        ("127.0.0.1:80/mptcp", "mptcp is not supported yet", "127.0.0.1:80/tcp"),
        ("127.0.0.1:80/icmp", "`/icmp` is no protocol", "127.0.0.1:80/tcp"),
        ("a b:80", "` ` is not part of a host name", "localhost:3000"),
        ("hö:80", "`ö` is not part of a host name", "localhost:3000"),
        ("localhost", "the port is missing", "localhost:80"),
        ("80 ", "the port is missing", ", such as 127.0.0.1:80"),
    ] {
        let error = text.parse::<Endpoint>().expect_err(text).to_string();
        assert!(error.contains(fault) && error.contains(example), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_name_stands_for_each_of_its_addresses() {
    let endpoint: Endpoint = "localhost:3000".parse().unwrap();
    let both = |_: &str| -> Result<Vec<IpAddr>, String> {
        Ok(vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()])
    };
    let shown = |only| -> Vec<String> {
        let targets = endpoint.targets(only, both).unwrap();
        targets.into_iter().map(|target| target.shown).collect()
    };
    assert_eq!(shown(None), ["[::1]:3000", "127.0.0.1:3000"]);
    assert_eq!(shown(Some(Family::Inet)), ["127.0.0.1:3000"]);
    assert_eq!(shown(Some(Family::Inet6)), ["[::1]:3000"]);
    assert!(endpoint.targets(None, |_| Err("no such name".into())).is_err());
    assert!(endpoint.targets(None, |_| Ok(Vec::new())).is_err());
}

#[test]
fn a_bare_port_is_asked_on_every_address() {
    let never = |_: &str| -> Result<Vec<IpAddr>, String> { panic!("nothing to resolve") };
    let endpoint: Endpoint = "3000".parse().unwrap();
    let target = endpoint.targets(None, never).unwrap().remove(0);
    assert_eq!((target.shown.as_str(), target.dual_stack), ("*:3000", Some(true)));
    assert!(target.about_port);
    let target = endpoint.targets(Some(Family::Inet), never).unwrap().remove(0);
    assert_eq!((target.shown.as_str(), target.dual_stack), ("0.0.0.0:3000", None));
}

proptest! {
    /// No text makes the parser panic, every refusal is one printable line with an example that works.
    #[test]
    fn any_text_is_answered(text in "\\PC*|[\\[\\]:.%*/0-9a-f]{0,40}|(?s).{0,80}") {
        if let Err(error) = text.parse::<Endpoint>() {
            let line = error.to_string();
            prop_assert!(!line.chars().any(char::is_control), "{line}");
            prop_assert!(line.chars().count() < 900, "{line}");
            let (_, examples) = line.rsplit_once(", such as ").expect("there is an example");
            for example in examples.split(" or ") {
                prop_assert!(example.parse::<Endpoint>().is_ok(), "{line}");
            }
        }
    }

    /// What is printed for an address can be typed again.
    #[test]
    fn shown_endpoints_parse(v4: [u8; 4], v6: [u8; 16], port: u16) {
        for ip in [IpAddr::from(v4), IpAddr::from(v6)] {
            let text = portwise::endpoint::shown(ip, None, port);
            let (address, parsed_port, _) = parsed(&text);
            prop_assert_eq!(address, Address::Ip(ip, None));
            prop_assert_eq!(parsed_port, port);
        }
    }
}
