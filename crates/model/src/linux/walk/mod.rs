//! A packet's whole way: from where it comes from, past the hooks and through routing, to a socket
//! or out again, and the answer's way back.

mod acknowledge;
mod answer;
mod back;
mod bridge;
mod deliver;
mod discovery;
mod inbound;
mod local;
mod told;

use alloc::{collections::BTreeSet, format, vec::Vec};
use core::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
};

use super::{
    netfilter::{
        At, Choices, Env, Hook, How, Met, Packet, Port, Ruleset, Seen, Stop, Tuple, Walk as Rules,
        every,
    },
    route::{Network, RouteType},
};
use crate::{
    Host, Missing, Reach, ReachOutcome, ReachQuestion, Receivers, Socket, SocketId, Station,
    Stopper, Text, WayEnd,
};

/// What decides where packets go.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The host, for its sockets.
    pub host: &'a Host,
    /// Devices, addresses and routes.
    pub network: &'a Network,
    /// The rules of the firewall.
    pub rules: &'a Ruleset,
    /// Listeners whose queue of connections to accept is full.
    pub full: &'a BTreeSet<SocketId>,
}

/// Follows packets along every way they may take.
///
/// # Errors
/// With a fact about the host's sockets that is missing.
pub fn reach(scene: &Scene<'_>, question: &ReachQuestion) -> Result<Reach, Missing> {
    let missing = RefCell::new(None);
    let (mut path, mut rewrites) = (Vec::new(), Vec::new());
    let walk = |choices: &mut Choices| {
        if missing.borrow().is_some() {
            return WayEnd::new(ReachOutcome::Unknown);
        }
        let mut way = Way::new(scene, question, &missing, choices);
        let end = match way.go() {
            Ok(end) | Err(end) => end,
        };
        if path.is_empty() {
            (path, rewrites) = (way.path, way.rewrites);
        }
        end
    };
    let differ = |ends: &[WayEnd]| ends.iter().any(|end| end.outcome != ends[0].outcome);
    let walks = every(walk, differ);
    if let Some(missing) = missing.into_inner() {
        return Err(missing);
    }
    let same = !differ(&walks.ends) && walks.complete;
    let outcome = match walks.ends.first() {
        Some(first) if same => first.outcome,
        _ => ReachOutcome::Unknown,
    };
    Ok(Reach { outcome, ends: walks.ends, doubts: walks.doubts, path, rewrites })
}

/// One way of the packets.
struct Way<'a, 'c> {
    scene: &'a Scene<'a>,
    question: &'a ReachQuestion,
    missing: &'a RefCell<Option<Missing>>,
    choices: &'c mut Choices,
    path: Vec<Station>,
    rewrites: Vec<(Hook, At)>,
    /// The `ct mark` that the connection has behind the answer.
    ct_mark: Option<u32>,
}

/// The end of a way, or the packet where it is now.
type On<T = ()> = Result<T, WayEnd>;

impl<'a, 'c> Way<'a, 'c> {
    fn new(
        scene: &'a Scene<'a>,
        question: &'a ReachQuestion,
        missing: &'a RefCell<Option<Missing>>,
        choices: &'c mut Choices,
    ) -> Way<'a, 'c> {
        Way {
            scene,
            question,
            missing,
            choices,
            path: Vec::new(),
            rewrites: Vec::new(),
            ct_mark: None,
        }
    }

    fn go(&mut self) -> On<WayEnd> {
        let question = self.question;
        let tuple = Tuple {
            src: question.vantage.from,
            sport: Port::Ephemeral,
            dst: self.destination(),
            dport: Port::Exact(question.to.port()),
        };
        let packet = Packet::first(question.protocol, tuple);
        let network = self.scene.network;
        let Some(device) = network.device(question.vantage.device) else {
            return Err(WayEnd::unknown("there is no such device"));
        };
        if device.loopback { self.local(packet) } else { self.inbound(packet, device) }
    }

    /// A client that connects to the unspecified address reaches the host itself.
    fn destination(&self) -> IpAddr {
        match self.question.to.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => core::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => core::net::Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        }
    }

    fn note(&mut self, text: impl Into<Text>) {
        self.path.push(Station::Note(text.into()));
    }

    fn name(&self, device: u32) -> Text {
        let found = self.scene.network.device(device);
        found.map_or_else(|| format!("device {device}").into(), |device| device.name.clone())
    }

    /// Takes a packet past a hook of IP.
    fn hook(&mut self, hook: Hook, packet: &mut Packet) -> Result<(), Stop> {
        self.note(format!("{} {}", if packet.is_v6() { "ip6" } else { "ip" }, hook.name()));
        self.rules(hook, packet, |rules, packet| rules.hook(hook, packet))
    }

    /// Takes a packet through some base chains.
    fn chains(&mut self, chains: &[usize], hook: Hook, packet: &mut Packet) -> Result<(), Stop> {
        self.rules(hook, packet, |rules, packet| rules.chains(chains, hook, packet))
    }

    fn rules(
        &mut self,
        hook: Hook,
        packet: &mut Packet,
        run: impl FnOnce(&mut Rules<'_, '_>, &mut Packet) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (scene, missing) = (self.scene, self.missing);
        let find = |packet: &Packet, ip: IpAddr, port: Port| {
            seen(scene, packet, ip, port).unwrap_or_else(|fact| {
                missing.borrow_mut().get_or_insert(fact);
                None
            })
        };
        let env = Env { rules: scene.rules, network: scene.network, find: &find };
        let before = packet.tuple;
        let mut rules = Rules::new(env, self.choices);
        let done = run(&mut rules, packet);
        let met = core::mem::take(&mut rules.met);
        for (at, did) in met {
            if did == Met::Rewrote {
                self.rewrites.push((hook, at));
            }
            self.path.push(Station::Rule(at, did.words(scene.rules, packet).into()));
        }
        if packet.tuple.dst != before.dst || packet.tuple.dport != before.dport {
            self.note(format!(
                "the destination is now {}",
                shown(packet.tuple.dst, packet.tuple.dport)
            ));
        }
        if let Err(stop) = &done
            && let Some(at) = stop.at
        {
            self.path.push(Station::Rule(at, "stops it".into()));
        }
        done
    }
}

/// The socket that a rule would find for a packet.
fn seen(
    scene: &Scene<'_>,
    packet: &Packet,
    ip: IpAddr,
    port: Port,
) -> Result<Option<Seen>, Missing> {
    // Of an error it is the packet in it that is looked at (nf_sk_lookup_slow_v4).
    let original = packet.connection.original;
    let is_answer = match packet.icmp {
        Some(_) => packet.tuple.dst == original.src,
        None => packet.tuple == original.turned(),
    };
    if is_answer && ip == packet.tuple.dst && scene.network.has_address(ip) {
        // The client's own, which waits for it.
        return Ok(Some(Seen {
            id: SocketId::ASKING,
            transparent: false,
            wildcard: false,
            connected: true,
            full: true,
        }));
    }
    let Some(port) = port.exact() else { return Ok(None) };
    if let Some((listener, of)) = packet.half_open
        && (packet.tuple.src, packet.tuple.sport) == (of.src, of.sport)
        && (ip, Port::Exact(port)) == (of.dst, of.dport)
    {
        let listener = scene.host.sockets.get(listener);
        return Ok(listener.map(|listener| Seen {
            id: listener.id,
            transparent: listener.options.transparent,
            wildcard: false,
            connected: true,
            full: false,
        }));
    }
    let asked = lookup_packet(scene.network, packet, ip, port, packet.iif);
    let found = crate::lookup(scene.host, &asked)?;
    let Some(socket) = first_socket(scene.host, &found.to) else { return Ok(None) };
    Ok(Some(Seen {
        id: socket.id,
        transparent: socket.options.transparent,
        wildcard: crate::is_unspecified(socket.ip.to_canonical()),
        connected: socket.remote.is_some(),
        full: true,
    }))
}

fn first_socket(host: &Host, to: &Receivers) -> Option<Socket> {
    to.ids().first().and_then(|&id| host.sockets.get(id)).copied()
}

/// The packet as the socket lookup sees it.
fn lookup_packet(
    network: &Network,
    packet: &Packet,
    ip: IpAddr,
    port: u16,
    device: u32,
) -> crate::Packet {
    let broadcast = super::route::local_type(network, ip, 0) == RouteType::Broadcast;
    crate::Packet {
        protocol: packet.protocol,
        // No socket is connected to port 0: the client's own port is a fresh one.
        src: SocketAddr::new(packet.tuple.src, packet.tuple.sport.exact().unwrap_or(0)),
        dst: SocketAddr::new(ip, port),
        device,
        vrf: network.vrf_of(device).map_or(0, |vrf| vrf.index),
        broadcast: broadcast && ip.is_ipv4(),
    }
}

/// An address and port as `ss` prints them.
fn shown(ip: IpAddr, port: Port) -> alloc::string::String {
    match (ip, port.exact()) {
        (_, None) => format!("{ip}"),
        (IpAddr::V4(ip), Some(port)) => format!("{ip}:{port}"),
        (IpAddr::V6(ip), Some(port)) => format!("[{ip}]:{port}"),
    }
}

/// The stopper that a rule is.
fn rule(at: Option<At>) -> Option<Stopper> {
    at.map(Stopper::Rule)
}

/// What an unknown end says of a rule.
fn unknown(stop: &Stop) -> Option<WayEnd> {
    match &stop.how {
        How::Unknown(why) => {
            Some(WayEnd { stopper: rule(stop.at), ..WayEnd::unknown(why.clone()) })
        }
        _ => None,
    }
}
