//! An endpoint as the addresses that bind(2) may be given for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::Protocol;
use portwise_sys::bpf::Allowed;

use crate::endpoint::Target;

/// `SOCK_STREAM` and `IPPROTO_TCP`, or `SOCK_DGRAM` and `IPPROTO_UDP`.
pub(super) const fn kind(protocol: Protocol) -> (i32, i32) {
    match protocol {
        Protocol::Tcp => (1, 6),
        Protocol::Udp => (2, 17),
    }
}

/// The addresses that mean exactly this endpoint. An IPv4 address may be spelt as an IPv6 one, as
/// Java does; `*` is every address of both families.
pub(super) fn addresses(target: &Target) -> Vec<IpAddr> {
    let spelt = |ip: Ipv4Addr| vec![IpAddr::V4(ip), IpAddr::V6(ip.to_ipv6_mapped())];
    match target.ip {
        IpAddr::V4(ip) => spelt(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => spelt(ip),
            None if target.dual_stack == Some(true) => {
                let mut all = vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
                all.extend(spelt(Ipv4Addr::UNSPECIFIED));
                all
            }
            None => vec![IpAddr::V6(ip)],
        },
    }
}

/// What a BPF program may let pass for these endpoints.
pub(super) fn allowed(targets: &[Target]) -> Vec<Allowed> {
    let mut list: Vec<Allowed> = Vec::new();
    for target in targets {
        let (kind, protocol) = kind(target.protocol);
        for ip in addresses(target) {
            let one = Allowed { ip, port: target.port, kind, protocol };
            if !list.contains(&one) {
                list.push(one);
            }
        }
    }
    list
}

/// Whether the meaning of an endpoint depends on its interface, which a program does not see.
pub(super) fn depends_on_interface(target: &Target) -> bool {
    match target.ip {
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    #[test]
    fn exactly_what_is_asked_for() {
        let of = |text: &str| {
            let endpoint: Endpoint = text.parse().unwrap();
            let targets = endpoint.targets(None, |_| Err("no names here".into())).unwrap();
            allowed(&targets).iter().map(|a| format!("{}:{}/{}", a.ip, a.port, a.kind)).collect()
        };
        let all: Vec<(&str, Vec<String>)> = vec![
            ("127.0.0.1:80", of("127.0.0.1:80")),
            ("[::]:80", of("[::]:80")),
            ("*:53/udp", of("*:53/udp")),
            ("[::ffff:10.0.0.1]:80", of("[::ffff:10.0.0.1]:80")),
        ];
        let expected = [
            vec!["127.0.0.1:80/1", "::ffff:127.0.0.1:80/1"],
            vec![":::80/1"],
            vec![":::53/2", "0.0.0.0:53/2", "::ffff:0.0.0.0:53/2"],
            vec!["10.0.0.1:80/1", "::ffff:10.0.0.1:80/1"],
        ];
        for ((asked, found), expected) in all.iter().zip(expected) {
            assert_eq!(found, &expected, "{asked}");
        }
    }
}
