//! A small host that packets are sent to, and words to write its rules in.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use portwise_model::{
    Family, Host, Kernel, KernelFamily, Protocol, Reach, ReachQuestion, Socket, SocketId, Sockets,
    State, Stopper, Vantage, Version,
    linux::{
        netfilter::{
            Base, Chain, ChainKind, Cmp, Ct, Expr, Header, Hook, Owner, Rule, Ruleset, TableFamily,
            Verdict,
        },
        route::{Address, Device, Hop, Network, PolicyRule, Route, RouteType},
        walk::{Scene, reach},
    },
};

pub(super) const LO: u32 = 1;
pub(super) const ETH0: u32 = 2;
pub(super) const ETH1: u32 = 3;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A router with `lo`, `eth0` (192.0.2.10/24, default route) and `eth1` (10.0.0.1/24).
pub(super) struct World {
    pub(super) host: Host,
    pub(super) network: Network,
    pub(super) rules: Ruleset,
    pub(super) full: BTreeSet<SocketId>,
}

pub(super) fn device(index: u32, name: &'static str) -> Device {
    Device {
        index,
        name: name.into(),
        up: true,
        loopback: index == LO,
        hardware: if index == LO { 772 } else { 1 },
        forwarding: true,
        ..Device::default()
    }
}

pub(super) fn route(kind: RouteType, net: &str, device: u32, gateway: Option<&str>) -> Route {
    let (dst, prefix) = net.split_once('/').unwrap();
    Route {
        kind,
        dst: ip(dst),
        prefix: prefix.parse().unwrap(),
        src: None,
        tos: 0,
        metric: 0,
        hops: if device == 0 {
            Vec::new()
        } else {
            vec![Hop { device, gateway: gateway.map(ip), dead: false }]
        },
        prefers: None,
    }
}

impl World {
    pub(super) fn new() -> World {
        let release = "6.18.0".into();
        let kernel =
            Kernel { family: KernelFamily::Linux, version: Version::new(6, 18, 0), release };
        let mut host = Host::not_asked(kernel);
        host.sockets = Sockets::none("test");
        let mut network = Network {
            devices: vec![device(LO, "lo"), device(ETH0, "eth0"), device(ETH1, "eth1")],
            ..Network::default()
        };
        for (net, dev) in [("127.0.0.1/8", LO), ("192.0.2.10/24", ETH0), ("10.0.0.1/24", ETH1)] {
            let (own, prefix) = net.split_once('/').unwrap();
            let prefix = prefix.parse().unwrap();
            network.addresses.push(Address { ip: ip(own), prefix, device: dev });
            let local = if dev == LO { "127.0.0.0/8".into() } else { format!("{own}/32") };
            network.routes.add(255, route(RouteType::Local, &local, dev, None));
            if dev != LO {
                network.routes.add(254, route(RouteType::Unicast, net, dev, None));
            }
        }
        network.routes.add(254, route(RouteType::Unicast, "0.0.0.0/0", ETH0, Some("192.0.2.1")));
        network.rules4 = vec![PolicyRule::table(0, 255), PolicyRule::table(32766, 254)];
        World { host, network, rules: Ruleset::default(), full: BTreeSet::new() }
    }

    pub(super) fn socket(&mut self, id: u64, protocol: Protocol, at: &str) -> &mut World {
        let at: SocketAddr = at.parse().unwrap();
        let mut socket = Socket::new(SocketId(id), Family::of(at.ip()), protocol, 0);
        (socket.ip, socket.port) = (at.ip(), at.port());
        socket.state = if protocol == Protocol::Tcp { State::Listen } else { State::Closed };
        self.host.sockets.push_back(socket);
        self
    }

    /// Adds a chain of the table `inet t` and returns its index.
    pub(super) fn chain(
        &mut self,
        name: &'static str,
        base: Option<(Hook, bool)>,
        rules: Vec<Vec<Expr>>,
    ) -> usize {
        let base = base.map(|(hook, accepts)| Base {
            hook,
            priority: 0,
            kind: ChainKind::Filter,
            accepts,
            devices: Vec::new(),
        });
        let rules = rules.into_iter().enumerate().map(|(i, exprs)| Rule {
            handle: i as u64 + 1,
            exprs,
            comment: "".into(),
        });
        let (family, table) = (TableFamily::Inet, "t".into());
        let rules = rules.collect();
        self.rules.chains.push(Chain {
            family,
            table,
            name: name.into(),
            legacy: false,
            base,
            rules,
        });
        self.rules.chains.len() - 1
    }

    pub(super) fn nat(&mut self, hook: Hook, rules: Vec<Vec<Expr>>) {
        let chain = self.chain("nat", Some((hook, true)), rules);
        self.rules.chains[chain].base.as_mut().unwrap().kind = ChainKind::Nat;
    }

    pub(super) fn ask(&self, from: &str, device: u32, to: &str, protocol: Protocol) -> Reach {
        let owner = (device == LO).then_some(Owner { uid: Some(1000), gid: Some(1000) });
        let question = ReachQuestion {
            vantage: Vantage { from: ip(from), device, owner },
            to: to.parse().unwrap(),
            protocol,
        };
        let World { host, network, rules, full } = self;
        reach(&Scene { host, network, rules, full }, &question).unwrap()
    }

    /// Where a TCP client outside ends.
    pub(super) fn tcp(&self, to: &str) -> Reach {
        self.ask("198.51.100.7", ETH0, to, Protocol::Tcp)
    }

    pub(super) fn stopper(&self, found: &Reach) -> String {
        match found.stopper() {
            Some(Stopper::Rule(at)) => self.rules.place(*at).to_string(),
            Some(Stopper::Kernel(check)) => format!("kernel {check}"),
            None => String::new(),
        }
    }
}

pub(super) fn port(port: u16) -> Vec<Expr> {
    vec![
        Expr::Payload { base: Header::Transport, offset: 2, len: 2, dreg: 0 },
        Expr::Cmp { op: Cmp::Eq, sreg: 0, data: port.to_be_bytes().to_vec() },
    ]
}

pub(super) fn with(mut head: Vec<Expr>, last: Expr) -> Vec<Expr> {
    head.push(last);
    head
}

pub(super) fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

pub(super) fn drop_it() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

pub(super) fn state(bits: u32) -> Vec<Expr> {
    vec![
        Expr::Ct { key: Ct::State, reply: None, len: 4, dreg: 0 },
        Expr::Bitwise { sreg: 0, dreg: 0, mask: bits.to_ne_bytes().into(), xor: vec![0; 4] },
        Expr::Cmp { op: Cmp::Ne, sreg: 0, data: vec![0; 4] },
    ]
}
