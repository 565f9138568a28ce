//! What there is in the small world: every kernel with every host, asker and request.

use std::net::{IpAddr, Ipv4Addr};

use portwise_model::{
    AF_INET, AF_INET6, AF_UNSPEC, AddrState, CAP_NET_BIND_SERVICE, Call, CapSet, Fact, FactKey,
    Family, Host, IfAddr, Interface, Interfaces, Kernel, KernelFamily, LocalPorts, LocalRoute,
    LocalRoutes, Missing, Options, Protocol, Request, RouteKind, SockAddr, SockOption, Socket,
    SocketId, Sockets, State, Subject, UserNs, Version, freebsd, illumos, linux::Buckets, netbsd,
    openbsd, windows, xnu,
};

use super::others;

/// Where its facts come from.
pub(super) const FROM: &str = "the small world";
/// The user who asks, unless it is root.
pub(super) const USER: u32 = 501;
/// The port that `port 0` may take, the only one of the range.
pub(super) const AUTOMATIC: u16 = 49152;
/// The ports asked for.
pub(super) const PORTS: [u16; 5] = [0, 80, 1023, 1024, 8080];
/// The sysctl with the limit of reserved ports.
const LIMIT: &str = "net.ipv4.ip_unprivileged_port_start";

/// Who asks, and who made the socket.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) name: &'static str,
    pub(crate) subject: Subject,
    pub(crate) owner: u32,
}

/// Hosts that are alike but for the limit of reserved ports; each is asked each of the requests by
/// each of the askers.
pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    pub(crate) askers: Vec<Asker>,
    pub(crate) requests: Vec<Request>,
}

pub(crate) fn kernels() -> Vec<Kernel> {
    let linux = [(6, 18), (5, 2), (4, 10)]
        .map(|(major, minor)| crate::linux::kernel(Version::new(major, minor, 0)));
    let xnu = ["4570.71.2", "4903.231.4", "11417.121.6"].map(|tag| xnu::from_tag(tag).unwrap());
    let others = [
        freebsd::from_version("15.0").unwrap(),
        freebsd::from_version("10").unwrap(),
        openbsd::from_version("7").unwrap(),
        openbsd::from_version("5.5").unwrap(),
        netbsd::from_version("9").unwrap(),
        illumos::kernel(),
        windows::from_version("11").unwrap(),
    ];
    linux.into_iter().chain(xnu).chain(others).collect()
}

/// The worlds of one kernel: what is usual, in full; then what is odd about a host, about a
/// request, and the calls that are not `bind`, each beside a few of the usual.
pub(crate) fn worlds(kernel: &Kernel) -> Vec<World> {
    const GATED: &str = "behind unknown gates";
    let mut askers = askers(kernel.family);
    let few: Vec<Asker> =
        askers.iter().filter(|a| matches!(a.name, "root" | "plain" | GATED)).cloned().collect();
    // What gates leave open is the same for all who pass them.
    askers.retain(|a| a.name != GATED);
    let world = |hosts: Vec<Host>, askers: &[Asker], requests: Vec<Request>| World {
        hosts,
        askers: askers.to_vec(),
        requests,
    };
    let host = host(kernel);
    let taken = others::taken(&host);
    if !matches!(kernel.family, KernelFamily::Linux | KernelFamily::Xnu) {
        return worlds_elsewhere(&host, taken, &few, world);
    }
    let mut worlds: Vec<World> =
        taken.iter().map(|host| world(every_limit(host), &askers, binds())).collect();
    for host in odd_hosts(&host) {
        worlds.push(world(vec![host.clone()], &few, other_calls()));
        worlds.push(world(vec![host], &few, binds()));
    }
    worlds.extend([&taken[0], &taken[2]].map(|h| world(vec![h.clone()], &few, odd_binds())));
    worlds.extend(taken.into_iter().map(|host| world(vec![host], &few, other_calls())));
    worlds
}

/// The worlds of a kernel that is asked less: the usual, with what is odd about a request.
fn worlds_elsewhere(
    host: &Host,
    taken: Vec<Host>,
    few: &[Asker],
    world: impl Fn(Vec<Host>, &[Asker], Vec<Request>) -> World,
) -> Vec<World> {
    let mut worlds = vec![world(vec![host.clone()], few, odd_binds())];
    worlds.push(world(vec![host.clone()], few, other_calls()));
    for gate in ["mac-portacl", "jail"] {
        let policies = Fact::known(vec![gate.into()], FROM);
        worlds.push(world(vec![Host { policies, ..host.clone() }], few, other_calls()));
    }
    let mut excluded = host.clone();
    excluded.set_sysctl(windows::EXCLUDED, 1, FROM);
    worlds.push(world(vec![excluded], few, odd_binds()));
    worlds.extend(taken.into_iter().map(|host| world(vec![host], few, binds())));
    worlds
}

fn askers(family: KernelFamily) -> Vec<Asker> {
    let asker = |name, uid, capabilities, userns| Asker {
        name,
        subject: Subject { capabilities, userns, ..Subject::plain(uid, "drawn") },
        owner: USER,
    };
    let caps = |set| Fact::known(set, FROM);
    let userns = |relation| Fact::known(relation, FROM);
    let bind = CapSet::NONE.with(CAP_NET_BIND_SERVICE);
    let unknown_caps = || Fact::not_asked(FactKey::Capabilities);
    let behind = |gates| {
        let mut asker = asker("", USER, caps(bind), userns(UserNs::Owner));
        asker.subject.gates = gates;
        asker
    };
    let root = asker("root", 0, caps(CapSet::ALL), userns(UserNs::Owner));
    let plain = asker("plain", USER, caps(CapSet::NONE), userns(UserNs::Owner));
    match family {
        // No rule of Linux looks at the user who asks.
        KernelFamily::Linux => vec![
            root,
            plain,
            asker("with the capability", USER, caps(bind), userns(UserNs::Owner)),
            asker("in an ancestor", USER, caps(bind), userns(UserNs::Ancestor)),
            asker("the creator", USER, caps(CapSet::NONE), userns(UserNs::Creator)),
            asker("a stranger", USER, caps(CapSet::ALL), userns(UserNs::Foreign)),
            asker("of unknown capabilities", USER, unknown_caps(), userns(UserNs::Owner)),
            asker("from an unknown place", USER, caps(bind), Fact::not_asked(FactKey::UserNs)),
            asker("unknown", USER, unknown_caps(), Fact::not_asked(FactKey::UserNs)),
            Asker { name: "behind unknown gates", ..behind(Fact::not_asked(FactKey::Gates)) },
        ],
        _ => {
            vec![
                root.clone(),
                plain,
                Asker { name: "root with a socket of root", owner: 0, ..root },
            ]
        }
    }
}

/// Whether `b` may do all that `a` may, as far as that is known.
pub(super) fn at_least(family: KernelFamily, a: &Asker, b: &Asker) -> bool {
    let rank = |a: &Asker| {
        a.subject.userns.value().map(|userns| match userns {
            UserNs::Foreign => 0,
            UserNs::Owner | UserNs::Ancestor => 1,
            UserNs::Creator => 2,
        })
    };
    let caps = |a: &Asker| a.subject.capabilities.value().copied();
    match family {
        KernelFamily::Linux => match (caps(a), caps(b), rank(a), rank(b)) {
            (Some(few), Some(many), Some(low), Some(high)) => {
                few.0 & !many.0 == 0 && low <= high && a.subject.gates == b.subject.gates
            }
            _ => false,
        },
        _ => b.subject.uid == 0 && (a.owner != 0 || b.owner == 0),
    }
}

/// A host on which everything is known and nobody holds a port.
pub(super) fn host(kernel: &Kernel) -> Host {
    let mut host = Host {
        interfaces: Fact::known(interfaces(), FROM),
        local_routes: Fact::known(routes(), FROM),
        local_ports: Fact::known(
            LocalPorts { low: AUTOMATIC, high: AUTOMATIC, reserved: Vec::new() },
            FROM,
        ),
        sockets: Sockets::none(FROM),
        buckets: Fact::known(Buckets::default(), FROM),
        policies: Fact::known(Vec::new(), FROM),
        ..Host::not_asked(kernel.clone())
    };
    host.sysctls = portwise_model::assumed_host(kernel.clone()).sysctls;
    for (name, value) in [
        (LIMIT, 1024),
        ("net.ipv4.ip_nonlocal_bind", 0),
        ("net.ipv6.ip_nonlocal_bind", 0),
        ("net.ipv4.ip_autobind_reuse", 0),
        ("net.inet.ip.portrange.ipport_allow_udp_port_exhaustion", 0),
    ] {
        host.set_sysctl(name, value, FROM);
    }
    host
}

pub(super) fn interfaces() -> Interfaces {
    let address = |ip: &str, prefix, state| {
        let ip: IpAddr = ip.parse().unwrap();
        let broadcast = ip.is_ipv4() && prefix == 24;
        let broadcast = broadcast.then_some(Ipv4Addr::new(192, 0, 2, 255));
        IfAddr { ip, prefix, broadcast, state }
    };
    let interface = |index, name: &'static str, addresses| Interface {
        index,
        name: name.into(),
        loopback: index == 1,
        up: true,
        vrf: 0,
        addresses,
    };
    let usable = AddrState::Usable;
    let lo = vec![address("127.0.0.1", 8, usable), address("::1", 128, usable)];
    let eth = vec![
        address("192.0.2.10", 24, usable),
        address("2001:db8::10", 64, usable),
        address("fe80::10", 64, usable),
        address("2001:db8::20", 64, AddrState::Tentative),
        address("2001:db8::30", 64, AddrState::Clat46),
    ];
    Interfaces { list: vec![interface(1, "lo", lo), interface(2, "eth0", eth)], complete: true }
}

fn routes() -> LocalRoutes {
    let route =
        |kind, dst: [u8; 4], prefix, device| LocalRoute { kind, dst: dst.into(), prefix, device };
    let list = vec![
        route(RouteKind::Local, [127, 0, 0, 0], 8, 1),
        route(RouteKind::Local, [192, 0, 2, 10], 32, 2),
        route(RouteKind::Broadcast, [192, 0, 2, 255], 32, 2),
        route(RouteKind::Other, [198, 51, 100, 0], 24, 2),
    ];
    LocalRoutes { list, complete: true, exists: true }
}

/// `host` with each limit of reserved ports, if its kernel has such a sysctl.
fn every_limit(host: &Host) -> Vec<Host> {
    let limits: &[Option<i64>] = match host.kernel.family {
        KernelFamily::Linux => &[Some(0), Some(1024), None],
        _ => &[Some(1024)],
    };
    let with = |&limit: &Option<i64>| {
        let mut host = host.clone();
        match limit {
            Some(limit) => host.set_sysctl(LIMIT, limit, FROM),
            None => drop(host.sysctls.remove(LIMIT)),
        }
        host
    };
    limits.iter().map(with).collect()
}

/// One thing is odd about each.
fn odd_hosts(usual: &Host) -> Vec<Host> {
    let changes: [fn(&mut Host); 17] = [
        |h| h.interfaces = Fact::not_asked(FactKey::Interfaces),
        |h| change(&mut h.interfaces, |i| i.complete = false),
        |h| change(&mut h.interfaces, |i| i.list.clear()),
        |h| {
            change(&mut h.interfaces, |i| {
                i.list.iter_mut().for_each(|i| i.addresses.retain(|a| a.ip.is_ipv6()));
            });
        },
        |h| h.local_routes = Fact::not_asked(FactKey::LocalRoutes),
        |h| change(&mut h.local_routes, |r| r.complete = false),
        |h| change(&mut h.local_routes, |r| (r.exists, r.list) = (false, Vec::new())),
        |h| h.set_sysctl("net.ipv4.ip_nonlocal_bind", 1, FROM),
        |h| h.set_sysctl("net.ipv6.ip_nonlocal_bind", 1, FROM),
        |h| h.sysctls.clear(),
        |h| h.local_ports = Fact::not_asked(FactKey::LocalPorts),
        |h| change(&mut h.local_ports, |p| p.reserved = vec![(AUTOMATIC, AUTOMATIC)]),
        |h| h.sockets = Sockets::not_asked(),
        |h| h.sockets.hidden = Some(Missing::new(FactKey::AllSockets, "some are hidden", "")),
        |h| h.buckets = Fact::not_asked(FactKey::BindBucket(0)),
        |h| h.policies = Fact::not_asked(FactKey::Policies),
        // Between the last version read without and the first with many a feature.
        |h| h.kernel.version.0[4] += 1,
    ];
    let gates = ["mac", "socket-filter", "flow-divert", "network-framework"];
    // A port that may have been shared, for what the kernel remembers of that.
    let shared = others::taken(usual).swap_remove(5);
    let mut hosts = Vec::new();
    for apply in changes {
        for mut host in [usual.clone(), shared.clone()] {
            apply(&mut host);
            hosts.push(host);
        }
    }
    hosts.extend(gates.map(|gate| {
        let policies = Fact::known(vec![gate.into()], FROM);
        Host { policies, ..usual.clone() }
    }));
    hosts
}

pub(super) fn change<T>(fact: &mut Fact<T>, apply: impl FnOnce(&mut T)) {
    if let Fact::Known { value, .. } = fact {
        apply(value);
    }
}

/// Addresses of each kind, and the zone they come with.
const ADDRESSES: [(&str, u32); 24] = [
    ("0.0.0.0", 0),
    ("127.0.0.1", 0),
    ("192.0.2.10", 0),
    ("192.0.2.255", 0),
    ("203.0.113.1", 0),
    ("198.51.100.1", 0),
    ("224.0.0.251", 0),
    ("255.255.255.255", 0),
    ("0.1.2.3", 0),
    ("::", 0),
    ("::1", 0),
    ("2001:db8::10", 0),
    ("2001:db8::20", 0),
    ("2001:db8::30", 0),
    ("2001:db8:99::1", 0),
    ("::ffff:0.0.0.0", 0),
    ("::ffff:127.0.0.1", 0),
    ("::ffff:203.0.113.1", 0),
    ("::ffff:224.0.0.251", 0),
    ("fe80::10", 0),
    ("fe80::10", 2),
    ("fe80::10", 9),
    ("ff02::fb", 0),
    ("ff02::fb", 2),
];

fn asking(family: Family, protocol: Protocol) -> Socket {
    Socket::new(SocketId::ASKING, family, protocol, USER)
}

/// Every address and port, with either reuse option, both, or none.
fn binds() -> Vec<Request> {
    let mut requests = Vec::new();
    for (ip, zone) in ADDRESSES {
        let ip: IpAddr = ip.parse().unwrap();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for port in PORTS {
                for (addr, port_) in [(false, false), (true, false), (false, true)] {
                    let mut socket = asking(Family::of(ip), protocol);
                    socket.options.reuseaddr = Some(addr);
                    socket.options.reuseport = Some(port_);
                    let call = Call::Bind(SockAddr::new(ip, port, zone));
                    requests.push(Request { call, socket });
                }
            }
        }
    }
    requests
}

/// One thing is odd about the socket or the address.
fn odd_binds() -> Vec<Request> {
    let changes: [fn(&mut Socket, &mut SockAddr); 23] = [
        |_, a| a.port = 55555,
        |_, a| a.len = 0,
        |_, a| a.len = 15,
        |_, a| a.len = 23,
        |_, a| a.len = 27,
        |_, a| a.len = 129,
        |_, a| a.len = 256,
        |_, a| a.family = AF_UNSPEC,
        |_, a| a.family = 1,
        |_, a| a.family = AF_INET + AF_INET6 - a.family,
        |s, _| s.port = 9,
        |s, _| s.state = State::Listen,
        |s, _| s.state = State::Established,
        |s, _| s.v6only = true,
        |s, _| s.device = 1,
        |s, _| s.device = 2,
        |s, _| s.device = 9,
        |s, _| s.options.freebind = true,
        |s, _| s.options.transparent = true,
        |s, _| s.options.shareuid = true,
        |s, _| s.options.portrange_low = true,
        |s, _| s.options.bind_address_no_port = true,
        |s, _| s.options.local_port_range = Some((50000, 50001)),
    ];
    let plain = |r: &Request| r.socket.options == Options::NONE;
    let odd = |request: Request| {
        changes.map(|apply| {
            let Request { call: Call::Bind(mut addr), mut socket } = request else {
                unreachable!()
            };
            apply(&mut socket, &mut addr);
            Request { call: Call::Bind(addr), socket }
        })
    };
    binds().into_iter().filter(plain).flat_map(odd).collect()
}

/// Where `connect` may be asked to go.
fn connects() -> Vec<SockAddr> {
    let at = |text: &str, zone| SockAddr::new(text.parse().unwrap(), 80, zone);
    let mut all = vec![
        at("127.0.0.1", 0),
        at("224.0.0.251", 0),
        at("255.255.255.255", 0),
        at("::1", 0),
        at("::ffff:127.0.0.1", 0),
        at("fe80::10", 0),
        at("fe80::10", 2),
        at("ff02::fb", 2),
    ];
    all.push(SockAddr { len: 0, ..all[0] });
    all.push(SockAddr { len: 129, ..all[0] });
    all.push(SockAddr { len: 8, ..all[0] });
    all.push(SockAddr { len: 16, ..all[3] });
    all.push(SockAddr { family: AF_UNSPEC, ..all[0] });
    all.push(SockAddr { family: 1, ..all[3] });
    all
}

/// `listen`, `connect` and `setsockopt` on sockets in every state.
fn other_calls() -> Vec<Request> {
    let options = [
        SockOption::V6Only(true),
        SockOption::V6Only(false),
        SockOption::Transparent(true),
        SockOption::Transparent(false),
        SockOption::BindToDevice(Some(2)),
        SockOption::BindToDevice(Some(0)),
        SockOption::BindToDevice(None),
        SockOption::LocalPortRange(50000, 50001),
        SockOption::LocalPortRange(50001, 50000),
        SockOption::LocalPortRange(0, 50000),
        SockOption::ReuseAddr(true),
    ];
    let connects = connects().into_iter().map(Call::Connect);
    let calls = options.map(Call::SetOption).into_iter().chain([Call::Listen(1)]).chain(connects);
    let changes: [fn(&mut Socket); 12] = [
        |s| {
            let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
            if s.family == Family::Inet6 {
                (s.ip, s.port) = (mapped.into(), 8080);
            }
        },
        |s| s.options.broadcast = true,
        |s| {
            let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
            (s.v6only, s.ip, s.remote) =
                (s.family == Family::Inet6, s.ip, s.remote.or(Some(remote)));
        },
        |_| {},
        |s| s.port = 8080,
        |s| (s.port, s.options.reuseaddr) = (8080, Some(true)),
        |s| (s.port, s.options.reuseport) = (8080, Some(true)),
        |s| (s.port, s.state) = (8080, State::Listen),
        |s| (s.port, s.state) = (8080, State::Established),
        |s| s.options.portrange_low = true,
        |s| s.options.reuseaddr = Some(true),
        |s| s.device = 2,
    ];
    let mut requests = Vec::new();
    for call in calls {
        for family in [Family::Inet, Family::Inet6] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                requests.extend(changes.map(|apply| {
                    let mut socket = asking(family, protocol);
                    apply(&mut socket);
                    Request { call, socket }
                }));
            }
        }
    }
    requests
}
