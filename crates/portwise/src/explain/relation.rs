//! How another socket on the port relates to the one asked about: what makes them meet, or what
//! keeps them apart.

use portwise_model::{Family, Protocol, Request, Socket, State, is_unspecified, v4_mapped};

use super::report::Role;
use crate::observe::exposure::{BoundTo, covers};

/// What makes two sockets meet or keeps them apart, in words; empty if it is plain.
pub(super) fn of(request: &Request, asking: &Socket, other: &Socket, role: Role) -> String {
    debug_assert_eq!(request.socket.id, asking.id);
    if other.protocol != asking.protocol {
        return "another protocol".into();
    }
    let meet = overlap(asking, other);
    match role {
        Role::Beside => apart(asking, other, meet),
        Role::InTheWay | Role::Behind | Role::Unclear => together(asking, other),
    }
}

fn bound_to(socket: &Socket) -> BoundTo {
    BoundTo { ip: socket.ip, family: socket.family, v6only: socket.v6only, device: socket.device }
}

/// Whether one of them gets packets that the other could get, by their addresses.
fn overlap(a: &Socket, b: &Socket) -> bool {
    let both_wild = is_unspecified(a.ip) && is_unspecified(b.ip);
    let v4 = |s: &Socket| s.family == Family::Inet || !s.v6only;
    let v6 = |s: &Socket| s.family == Family::Inet6 && is_v6_wild(s);
    if both_wild {
        return v4(a) && v4(b) || v6(a) && v6(b);
    }
    covers(bound_to(a), b.ip) || covers(bound_to(b), a.ip)
}

fn is_v6_wild(socket: &Socket) -> bool {
    matches!(socket.ip, std::net::IpAddr::V6(ip) if v4_mapped(ip).is_none())
}

fn apart(asking: &Socket, other: &Socket, meet: bool) -> String {
    if asking.device != 0 && other.device != 0 && asking.device != other.device {
        return "another interface".into();
    }
    if !meet {
        let family = |s: &Socket| match (s.family, s.v6only) {
            (Family::Inet6, true) => "IPv6 only",
            (Family::Inet6, false) => "IPv6",
            (Family::Inet, _) => "IPv4 only",
        };
        let wild = is_unspecified(asking.ip) && is_unspecified(other.ip);
        let ipv4 = |s: &Socket| s.ip.to_canonical().is_ipv4();
        return match () {
            () if wild => family(other).into(),
            () if ipv4(asking) != ipv4(other) => "another family".into(),
            () => "another address".into(),
        };
    }
    let both = |a: Option<bool>, b: Option<bool>| a == Some(true) && b == Some(true);
    let (a, b) = (asking.options, other.options);
    if both(a.reuseport, b.reuseport) && asking.uid == other.uid {
        return "both have SO_REUSEPORT and one user".into();
    }
    if both(a.reuseaddr, b.reuseaddr) && other.state != State::Listen {
        return match other.protocol {
            Protocol::Tcp => "both have SO_REUSEADDR, and it does not listen".into(),
            Protocol::Udp => "both have SO_REUSEADDR".into(),
        };
    }
    String::new()
}

fn together(asking: &Socket, other: &Socket) -> String {
    let mut words = match (is_unspecified(asking.ip), is_unspecified(other.ip)) {
        (_, true) if other.family == Family::Inet6 && asking.family == Family::Inet => {
            "it covers every IPv4 address too".to_string()
        }
        (true, true) if other.family == Family::Inet && asking.family == Family::Inet6 => {
            "the socket asked for is dual stack: it would cover IPv4 too".into()
        }
        (false, true) => format!("it covers {} too", asking.ip.to_canonical()),
        (true, false) => {
            format!("the address asked for covers {} too", other.ip.to_canonical())
        }
        _ => String::new(),
    };
    if other.device != asking.device && asking.device == 0 {
        words += if words.is_empty() { "" } else { "; " };
        words += "a socket on every interface meets it";
    }
    words
}
