//! What the special addresses mean, and what a socket bound to one covers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{
    Call, Fact, Family, KernelFamily, Outcome, Protocol, Request, SockAddr, Socket, SocketId,
    Verdict,
};
use serde::Serialize;

use crate::{explain::version_name, observe::assumed};

/// An address and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Special {
    /// The address as it is written.
    pub address: String,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What a socket bound to it covers.
    pub covers: &'static str,
    /// What else one has to know, one thing each.
    pub facts: Vec<&'static str>,
    /// What some kernels answer when a plain user binds it: decided, not written down.
    pub answers: Vec<KernelAnswer>,
}

/// What one kernel answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelAnswer {
    /// The kernel.
    pub kernel: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// The outcomes, joined by `|`.
    pub outcome: String,
}

/// Explains an address, a name or `*`; `None` if `text` is none of these.
pub fn explain(text: &str) -> Option<Special> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let (ip, (title, covers, facts)) = match bare {
        "*" => (Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), every()),
        name if name.eq_ignore_ascii_case("localhost") => (None, localhost()),
        _ => {
            let ip: IpAddr = bare.split('%').next()?.parse().ok()?;
            let meaning = match ip {
                IpAddr::V4(ip) => ipv4(ip),
                IpAddr::V6(ip) => ipv6(ip),
            };
            (Some(ip), meaning)
        }
    };
    let answers = ip.map(answers).unwrap_or_default();
    Some(Special { address: bare.into(), title, covers, facts, answers })
}

/// Title, cover, facts.
type Meaning = (&'static str, &'static str, Vec<&'static str>);

const BUSY: &str =
    "On Linux it is in the way of every IPv4 socket on the same port, and each of them in its way.";

fn every() -> Meaning {
    (
        "every address of both families, as `ss` writes it",
        "every IPv6 and every IPv4 address of the host, also those that come later",
        vec![
            "It is the socket of :: with IPV6_V6ONLY off: one IPv6 socket that serves IPv4 clients \
             too, whose addresses it sees as ::ffff:a.b.c.d.",
            "On Linux it is in the way of every IPv4 socket on the same port; with IPV6_V6ONLY on \
             it leaves IPv4 alone.",
        ],
    )
}

fn localhost() -> Meaning {
    (
        "a name, not an address: it stands for 127.0.0.1, ::1 or both",
        "what the address covers that the program took: often only the first one",
        vec![
            "/etc/hosts says which; most systems list both, and many programs bind only one.",
            "A client that tries ::1 first does not reach a server that is bound to 127.0.0.1 \
             only, and the other way round. Two sockets, or one for each address, serve both.",
            "Nobody but programs on the same host reaches either.",
        ],
    )
}

fn ipv4(ip: Ipv4Addr) -> Meaning {
    match ip.octets() {
        [0, 0, 0, 0] => (
            "the unspecified IPv4 address (INADDR_ANY)",
            "every IPv4 address of the host, also those that come later; no IPv6",
            vec![
                BUSY,
                "On macOS 10.14 and later a user may bind a port below 1024 to it, not to others.",
                "As a destination Linux takes it for 127.0.0.1.",
            ],
        ),
        [0, ..] => (
            "\"this network\" (0.0.0.0/8): no host has such an address",
            "nothing",
            vec!["Before Linux 5.3 it counted as a broadcast address and could be bound."],
        ),
        [127, 0, 0, 1] => (
            "the IPv4 loopback address",
            "programs on the same host; in a container, those in the same container only",
            vec![
                "No other host reaches it: packets to 127.0.0.0/8 are dropped where they come in.",
                "Each network namespace has its own: a container's 127.0.0.1 is not the host's.",
                "It is not ::1. A client that resolves localhost may try that one first.",
            ],
        ),
        [127, 255, 255, 255] => (
            "the broadcast address of the loopback network",
            "what is sent to it on this host (UDP)",
            vec!["A TCP socket may be bound to it on Linux; no connection is ever made to it."],
        ),
        [127, ..] => (
            "another address of the IPv4 loopback network",
            "programs on the same host that connect to this very address",
            vec![
                "On Linux all of 127.0.0.0/8 is the host's own, once lo is up.",
                "On macOS only 127.0.0.1 is, until `ifconfig lo0 alias` adds others.",
            ],
        ),
        [255, 255, 255, 255] => (
            "the limited broadcast address",
            "what is sent to 255.255.255.255 on a network of the host (UDP)",
            vec![
                "On Linux a TCP socket may be bound to it; no connection is ever made to it.",
                "A socket bound to 0.0.0.0 gets the same packets and ordinary ones too.",
            ],
        ),
        [224..=239, ..] => (
            "an IPv4 multicast group",
            "packets sent to the group (UDP), once the host has joined it",
            vec![
                "bind only filters: IP_ADD_MEMBERSHIP joins the group, on one interface.",
                "On Linux a TCP socket may be bound to it; no connection is ever made to it. \
                 On macOS TCP refuses it.",
            ],
        ),
        [240..=255, ..] => ("a reserved address (240.0.0.0/4)", ONE, vec![ASSIGNED]),
        [169, 254, ..] => (
            "an IPv4 link-local address",
            ONE,
            vec![ASSIGNED, "Unlike those of IPv6 it needs no zone; routers do not forward it."],
        ),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => {
            ("an address of a private network", ONE, vec![ASSIGNED])
        }
        _ => (
            "an ordinary IPv4 address",
            ONE,
            vec![
                ASSIGNED,
                "The public address of a host behind a translating router (a cloud machine, a \
                 home network) is the router's: bind the private one or 0.0.0.0.",
            ],
        ),
    }
}

const ONE: &str = "this address only";
const ASSIGNED: &str = "It can be bound if an interface of the host has it.";

fn ipv6(ip: Ipv6Addr) -> Meaning {
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return match mapped.octets() {
            [0, 0, 0, 0] => (
                "the unspecified IPv4 address, written as IPv6 (IPv4-mapped)",
                "every IPv4 address of the host, through an IPv6 socket; no IPv6",
                vec![
                    "It is not ::, and it needs a socket without IPV6_V6ONLY.",
                    "It meets the same sockets as 0.0.0.0.",
                ],
            ),
            _ => (
                "an IPv4 address, written as IPv6 (IPv4-mapped)",
                "the IPv4 address inside, through an IPv6 socket",
                vec![
                    "It needs a socket without IPV6_V6ONLY; what holds for the IPv4 address holds \
                     for it.",
                    "A dual-stack socket sees its IPv4 clients with such addresses.",
                ],
            ),
        };
    }
    match ip.segments() {
        _ if ip.is_unspecified() => (
            "the unspecified IPv6 address (in6addr_any)",
            "every IPv6 address of the host; with IPV6_V6ONLY off every IPv4 address too",
            vec![
                "IPV6_V6ONLY is off by default on Linux (net.ipv6.bindv6only) and macOS \
                 (net.inet6.ip6.v6only); some programs set it.",
                "With it off the socket is in the way of IPv4 sockets on the same port.",
                "On macOS 10.14 and later a user may bind a port below 1024 to it, as to 0.0.0.0.",
            ],
        ),
        _ if ip.is_loopback() => (
            "the IPv6 loopback address",
            "programs on the same host; in a container, those in the same container only",
            vec![
                "It is one address, not a network, and it is not 127.0.0.1: an IPv4 client does \
                 not reach it.",
                "Where IPv6 is switched off (net.ipv6.conf.lo.disable_ipv6) lo does not have it.",
            ],
        ),
        [0xff00..=0xffff, ..] => (
            "an IPv6 multicast group",
            "packets sent to the group (UDP), once the host has joined it",
            vec![
                "bind only filters: IPV6_JOIN_GROUP joins the group, on one interface.",
                "TCP refuses it on Linux (EINVAL) and macOS.",
                "ff01:: and ff02:: reach no further than one interface or link: they need its \
                 zone, as in ff02::1%eth0.",
            ],
        ),
        [0xfe80..=0xfebf, ..] => (
            "an IPv6 link-local address",
            "this address on one interface; hosts on that link reach it",
            vec![
                "It says nothing without its interface: write the zone, as in fe80::1%eth0. \
                 Without it Linux answers EINVAL.",
                "Each interface has one; routers do not forward it.",
            ],
        ),
        [0xfc00..=0xfdff, ..] => {
            ("a unique local IPv6 address (a private network)", ONE, vec![ASSIGNED])
        }
        _ => (
            "an ordinary IPv6 address",
            ONE,
            vec![
                ASSIGNED,
                "While duplicate address detection runs it is tentative and cannot be bound.",
            ],
        ),
    }
}

/// Asks three kernels as a plain user of a host that has the loopback addresses only, at a high
/// and at a low port.
fn answers(ip: IpAddr) -> Vec<KernelAnswer> {
    let mut answers = Vec::new();
    for name in ["linux-6.12", "macos-10.13.6", "macos-15"] {
        let Ok(kernel) = assumed::kernel(name) else { continue };
        let named = match kernel.family {
            KernelFamily::Linux => version_name(kernel.family, kernel.version),
            _ => name.replace("macos-", "macOS "),
        };
        let mut setting = assumed::setting(kernel, None, &[]);
        if let Fact::Known { value, .. } = &mut setting.host.interfaces {
            value.complete = true;
        }
        if let Fact::Known { value, .. } = &mut setting.host.local_routes {
            value.complete = true;
        }
        for (protocol, port) in [(Protocol::Tcp, 8080), (Protocol::Tcp, 80), (Protocol::Udp, 53)] {
            let uid = setting.subject.uid;
            let socket = Socket::new(SocketId::ASKING, Family::of(ip), protocol, uid);
            let call = Call::Bind(SockAddr::new(ip, port, 0));
            let verdict = setting.decide(&Request { call, socket });
            let outcome = outcome(&verdict);
            answers.push(KernelAnswer { kernel: named.clone(), protocol, port, outcome });
        }
    }
    answers
}

fn outcome(verdict: &Verdict) -> String {
    let names: Vec<&str> = verdict.possible.iter().map(|o| Outcome::name(*o)).collect();
    names.join("|")
}
