//! Hosts, questions and replays for the tests of Linux.

mod addresses;
mod automatic;
mod connections;
mod datagrams;
mod effects;
mod evidence;
mod fixes;
mod machine;
mod memory;
mod options;
mod ports;
mod programs;
mod sharing;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use portwise_model::{
    AddrState, Call, Case, Fact, Family, Host, IfAddr, Interface, Interfaces, Kernel, KernelFamily,
    LocalPorts, LocalRoute, LocalRoutes, Protocol, Request, RouteKind, SockAddr, Socket, SocketId,
    Sockets, Subject, Verdict, Version, decide,
    linux::Buckets,
    scenario::{Modelled, Replay, Scenario, StepResult, Tally, host_of},
};

/// The kernel that the scenarios were recorded on.
pub(crate) fn kernel(version: Version) -> Kernel {
    Kernel { family: KernelFamily::Linux, version, release: format!("linux-{version}").into() }
}

/// The user who asks in these tests, who may do nothing special.
pub(crate) const USER: u32 = 1000;

/// A host of which everything is known: `lo` (1), and `eth0` (2) with an address of each kind. Port
/// 0 takes 40000 to 40003, and nobody holds a port.
pub(crate) fn host() -> Host {
    let mut host = Host {
        interfaces: known(Interfaces { list: vec![lo(), eth0()], complete: true }),
        local_routes: known(routes()),
        local_ports: known(LocalPorts { low: 40000, high: 40003, reserved: Vec::new() }),
        sockets: Sockets::none("test"),
        buckets: known(Buckets::default()),
        policies: known(Vec::new()),
        ..Host::not_asked(kernel(Version::new(6, 18, 44)))
    };
    for (name, value) in [
        ("net.ipv4.ip_unprivileged_port_start", 1024),
        ("net.ipv4.ip_nonlocal_bind", 0),
        ("net.ipv6.ip_nonlocal_bind", 0),
        ("net.ipv4.ip_autobind_reuse", 0),
    ] {
        host.set_sysctl(name, value, "test");
    }
    host
}

pub(crate) fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, "test")
}

fn address(ip: &str, prefix: u8, state: AddrState) -> IfAddr {
    IfAddr { ip: ip.parse().unwrap(), prefix, broadcast: None, state }
}

fn lo() -> Interface {
    let addresses =
        vec![address("127.0.0.1", 8, AddrState::Usable), address("::1", 128, AddrState::Usable)];
    Interface { index: 1, name: "lo".into(), loopback: true, up: true, vrf: 0, addresses }
}

fn eth0() -> Interface {
    let addresses = vec![
        address("192.0.2.10", 24, AddrState::Usable),
        address("2001:db8::10", 64, AddrState::Usable),
        address("fe80::10", 64, AddrState::Usable),
        address("2001:db8::20", 64, AddrState::Tentative),
        address("2001:db8::", 64, AddrState::Anycast),
    ];
    Interface { index: 2, name: "eth0".into(), loopback: false, up: true, vrf: 0, addresses }
}

fn routes() -> LocalRoutes {
    let route = |kind, dst: [u8; 4], prefix, device| {
        let dst = Ipv4Addr::from(dst);
        LocalRoute { kind, dst, prefix, device }
    };
    let list = vec![
        route(RouteKind::Local, [127, 0, 0, 0], 8, 1),
        route(RouteKind::Broadcast, [127, 255, 255, 255], 32, 1),
        route(RouteKind::Local, [192, 0, 2, 10], 32, 2),
        route(RouteKind::Broadcast, [192, 0, 2, 255], 32, 2),
    ];
    LocalRoutes { list, complete: true, exists: true }
}

/// A fresh socket of [`USER`] that asks for `ip` and `port` on [`host`].
pub(crate) fn case(protocol: Protocol, ip: &str, port: u16) -> Case {
    let ip: IpAddr = ip.parse().unwrap();
    let socket = Socket::new(SocketId::ASKING, Family::of(ip), protocol, USER);
    let request = Request { call: Call::Bind(SockAddr::new(ip, port, 0)), socket };
    Case { host: host(), subject: Subject::plain(USER, "test"), request }
}

/// A TCP or UDP socket of [`USER`] that holds `port`; `::!` is `::` with `IPV6_V6ONLY`.
pub(crate) fn holder(protocol: Protocol, ip: &str, port: u16) -> Socket {
    let v6only = ip == "::!";
    let ip: IpAddr = ip.trim_end_matches('!').parse().unwrap();
    // The kernel sets the flag itself for an address that can only be IPv6.
    let specific =
        matches!(ip, IpAddr::V6(ip) if !ip.is_unspecified() && ip.to_ipv4_mapped().is_none());
    let port_by_bind = Some(true);
    let family = Family::of(ip);
    let socket = Socket::new(SocketId(u64::from(port)), family, protocol, USER);
    Socket { ip, port, port_by_bind, v6only: v6only || specific, ..socket }
}

/// The address to be bound, of a case that binds.
pub(crate) fn addr(case: &mut Case) -> &mut SockAddr {
    match &mut case.request.call {
        Call::Bind(addr) => addr,
        other => panic!("{other:?} has no address"),
    }
}

/// The possible outcomes, joined by `|`.
pub(crate) fn outcomes(verdict: &Verdict) -> String {
    verdict.possible.iter().map(|outcome| outcome.name()).collect::<Vec<_>>().join("|")
}

/// What [`decide`] answers to `case` after `change`.
pub(crate) fn answer(mut case: Case, change: impl FnOnce(&mut Case)) -> String {
    change(&mut case);
    outcomes(&decide(&case))
}

/// What became of scenarios, one JSON line each.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) agree: usize,
    pub(crate) disagree: Vec<String>,
    unsupported: BTreeMap<String, usize>,
}

impl<'a> FromIterator<&'a str> for Replayed {
    fn from_iter<I: IntoIterator<Item = &'a str>>(lines: I) -> Replayed {
        let mut replayed = Replayed::default();
        for line in lines {
            replayed.add(&serde_json::from_str(line).expect("a scenario"));
        }
        replayed
    }
}

impl Replayed {
    fn add(&mut self, scenario: &Scenario) {
        let named = scenario.all_kernels().find_map(|name| name.strip_prefix("linux-"));
        let version = named.and_then(Version::parse).expect("it names a Linux");
        match replay(scenario, version).map(|tally| tally.first_bad().cloned()) {
            Ok(None) => self.agree += 1,
            Ok(Some((at, StepResult::Disagree { op, expected, answered }))) => self.disagree.push(
                format!("{} step {at} {op}: recorded {expected}, model {answered}", scenario.id),
            ),
            Ok(Some((_, StepResult::Unsupported(why) | StepResult::Undetermined(why))))
            | Err(why) => *self.unsupported.entry(why).or_insert(0) += 1,
            Ok(Some((_, StepResult::Agree))) => unreachable!("it is bad"),
        }
    }
}

/// A scenario on the model of this version.
pub(crate) fn replay(scenario: &Scenario, version: Version) -> Result<Tally, String> {
    let (host, world) = host_of(kernel(version), &scenario.setup).map_err(|why| why.0)?;
    Ok(Replay::new(&mut Modelled::new(host, world)).run(scenario))
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} agree; not supported: {:#?}", self.agree, self.unsupported)?;
        let shown = self.disagree.iter().take(20);
        shown.into_iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}
