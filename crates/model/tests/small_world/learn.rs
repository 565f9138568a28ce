//! What a fact that is missing may turn out to be.

use portwise_model::{
    AddrState, CAP_NET_BIND_SERVICE, Call, CapSet, Case, Fact, FactKey, Gate, Gates, Host, IfAddr,
    LocalPorts, LocalRoute, Probed, RouteKind, Socket, Sockets, UserNs, linux::Buckets,
};

use super::{
    others,
    world::{self, AUTOMATIC, FROM, change},
};

/// Returns `case` with the fact of `key` known, once for each value it may have. Empty for what
/// nobody can learn: how a gate or the luck of a search for a port turns out.
pub(super) fn learn(case: &Case, key: &FactKey) -> Vec<Case> {
    let usual = world::host(&case.host.kernel);
    let with = |apply: &dyn Fn(&mut Case)| {
        let mut case = case.clone();
        apply(&mut case);
        case
    };
    let host = |apply: &dyn Fn(&mut Host)| with(&|case| apply(&mut case.host));
    match key {
        FactKey::Interfaces if case.host.interfaces.value().is_none() => vec![
            host(&|h| h.interfaces.clone_from(&usual.interfaces)),
            host(&|h| h.interfaces = Fact::known(complete(&[]), FROM)),
        ],
        FactKey::Interfaces => vec![
            host(&|h| change(&mut h.interfaces, |i| i.complete = true)),
            host(&|h| {
                change(&mut h.interfaces, |i| {
                    i.complete = true;
                    i.list.push(interface(9, Vec::new()));
                });
            }),
        ],
        FactKey::LocalRoutes => vec![
            host(&|h| h.local_routes.clone_from(&usual.local_routes)),
            host(&|h| h.local_routes = Fact::known(Default::default(), FROM)),
        ],
        FactKey::LocalAddress(ip) => vec![
            host(&|h| settle_address(h, *ip, None)),
            host(&|h| settle_address(h, *ip, Some(AddrState::Usable))),
            host(&|h| settle_address(h, *ip, Some(AddrState::Tentative))),
        ],
        FactKey::Sysctl(name) => {
            [0, 1, 1024].map(|value| host(&|h| h.set_sysctl(name.clone(), value, FROM))).to_vec()
        }
        FactKey::LocalPorts if case.host.local_ports.value().is_none() => {
            let range =
                |high| Fact::known(LocalPorts { low: AUTOMATIC, high, reserved: vec![] }, FROM);
            [AUTOMATIC, AUTOMATIC + 1].map(|high| host(&|h| h.local_ports = range(high))).to_vec()
        }
        FactKey::LocalPorts => Vec::new(),
        FactKey::Sockets(_) | FactKey::AllSockets if case.host.sockets.hidden.is_some() => {
            let port = asked_port(case);
            let shown = |n: Option<usize>, first: bool| {
                host(&|h| {
                    h.sockets.hidden = None;
                    for socket in n.into_iter().flat_map(|n| others::both_protocols(n, port)) {
                        let socket = Socket { id: portwise_model::SocketId(7), ..socket };
                        match first {
                            true => h.sockets.push_front(socket),
                            false => h.sockets.push_back(socket),
                        };
                    }
                })
            };
            let kinds = (0..others::COUNT).flat_map(|n| [(Some(n), true), (Some(n), false)]);
            std::iter::once((None, true)).chain(kinds).map(|(n, first)| shown(n, first)).collect()
        }
        FactKey::Sockets(port) => (0..others::COUNT)
            .map(|n| others::both_protocols(n, *port))
            .chain([Vec::new()])
            .map(|list| host(&|h| h.sockets.set_port(*port, list.clone())))
            .collect(),
        FactKey::AllSockets => {
            let nobody = Host { sockets: Sockets::none(FROM), ..case.host.clone() };
            others::taken(&nobody)
                .into_iter()
                .map(|taken| host(&|h| h.sockets.clone_from(&taken.sockets)))
                .collect()
        }
        FactKey::SocketOptions(id) => {
            let Some(&socket) = case.host.sockets.get(*id) else { return Vec::new() };
            let known = |known: Socket| {
                host(&|h| *h.sockets.get_mut(known.port, known.id).unwrap() = known)
            };
            every_option(socket).into_iter().map(known).collect()
        }
        FactKey::BindBucket(port) => {
            let mut last = case.request.socket;
            (last.port, last.ip) = (*port, asked_ip(case));
            last.options.reuseport = Some(true);
            vec![
                host(&|h| h.buckets = Fact::known(Buckets::default(), FROM)),
                host(&|h| h.buckets = Fact::known(remembering(&last), FROM)),
            ]
        }
        FactKey::Capabilities => {
            [CapSet::NONE, CapSet::NONE.with(CAP_NET_BIND_SERVICE), CapSet::ALL]
                .map(|caps| with(&|case| case.subject.capabilities = Fact::known(caps, FROM)))
                .to_vec()
        }
        FactKey::UserNs => [UserNs::Owner, UserNs::Ancestor, UserNs::Creator, UserNs::Foreign]
            .map(|userns| with(&|case| case.subject.userns = Fact::known(userns, FROM)))
            .to_vec(),
        FactKey::Feature(id) => [false, true]
            .map(|has| {
                let probed = Probed { feature: id.clone(), has, from: FROM.into() };
                host(&|h| h.probed.push(probed.clone()))
            })
            .to_vec(),
        FactKey::Policies => vec![
            host(&|h| h.policies = Fact::known(Vec::new(), FROM)),
            host(&|h| h.policies = Fact::known(vec!["mac".into()], FROM)),
        ],
        FactKey::Gates => {
            let gate = |name: &'static str| Gate {
                name: name.into(),
                what: "there is one".into(),
                reveal: "try it".into(),
                refuses: false,
            };
            let names = ["seccomp-filter", "landlock", "security-module", "cgroup-program"];
            let present = names.map(|name| vec![gate(name)]).into_iter().chain([Vec::new()]);
            let gates = present.map(|present| Gates { present, unseen: Vec::new() });
            gates
                .map(|gates| with(&|case| case.subject.gates = Fact::known(gates.clone(), FROM)))
                .collect()
        }
        FactKey::Policy(_) => Vec::new(),
        FactKey::Credentials | FactKey::Securebits | FactKey::IdMap | FactKey::File(_) => {
            unreachable!("nobody here starts a program")
        }
    }
}

/// `socket` with each value of each option that is not known.
fn every_option(socket: Socket) -> Vec<Socket> {
    let flags = |known: Option<bool>| known.map_or(vec![false, true], |known| vec![known]);
    let uids = socket.uid.map_or(vec![0, world::USER], |uid| vec![uid]);
    let mut all = Vec::new();
    for &uid in &uids {
        for reuseaddr in flags(socket.options.reuseaddr) {
            for reuseport in flags(socket.options.reuseport) {
                let mut known = Socket { uid: Some(uid), ..socket };
                known.options.reuseaddr = Some(reuseaddr);
                known.options.reuseport = Some(reuseport);
                all.push(known);
            }
        }
    }
    all
}

/// Says whether `ip` is the host's, and that there is nothing else to know.
fn settle_address(host: &mut Host, ip: std::net::IpAddr, state: Option<AddrState>) {
    change(&mut host.interfaces, |interfaces| {
        interfaces.complete = true;
        if let Some(state) = state {
            let address = IfAddr { ip, prefix: 64, broadcast: None, state };
            interfaces.list.push(interface(3, vec![address]));
        }
    });
    change(&mut host.local_routes, |routes| {
        routes.complete = true;
        if let (Some(_), std::net::IpAddr::V4(dst)) = (state, ip) {
            routes.list.push(LocalRoute { kind: RouteKind::Local, dst, prefix: 32, device: 3 });
        }
    });
}

fn interface(index: u32, addresses: Vec<IfAddr>) -> portwise_model::Interface {
    portwise_model::Interface {
        index,
        name: format!("eth{index}").into(),
        loopback: false,
        up: true,
        vrf: 0,
        addresses,
    }
}

fn complete(list: &[portwise_model::Interface]) -> portwise_model::Interfaces {
    portwise_model::Interfaces { list: list.to_vec(), complete: true }
}

/// A memory of a socket that was accepted; no public function makes one by itself.
fn remembering(last: &Socket) -> Buckets {
    let accepted = serde_json::json!({ last.port.to_string(): { "accepted": last } });
    serde_json::from_value(accepted).unwrap()
}

fn asked_port(case: &Case) -> u16 {
    match case.request.call {
        Call::Bind(addr) => addr.port,
        _ => case.request.socket.port,
    }
}

fn asked_ip(case: &Case) -> std::net::IpAddr {
    match case.request.call {
        Call::Bind(addr) => addr.ip(case.request.socket.family),
        _ => case.request.socket.ip,
    }
}
