//! One scenario on the model and on the kernel side by side, up to the first disagreement.

use std::{fmt, net::IpAddr, time::Duration};

use portwise_model::{
    Call, Choice, Host, Outcome, Rule, SockAddr, SocketId,
    scenario::{self, Backend, Connected, Connects, Modelled, Unsupported, Who},
};

use super::{
    arrive::Reached,
    live::{self, Live},
    script::Op,
};

/// How long a connection that was made may take to be there for accept(2).
const LIMIT: Duration = Duration::from_millis(1500);

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Came {
    /// The call answered this.
    Said(Outcome),
    /// These sockets got what was sent, in the order of their ids, and no others.
    Reached(Vec<SocketId>),
    /// `getsockname` says this.
    Named(IpAddr, u16),
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Came::Said(outcome) => f.write_str(outcome.name()),
            Came::Reached(ids) if ids.is_empty() => f.write_str("none"),
            Came::Reached(ids) => {
                for (at, id) in ids.iter().enumerate() {
                    write!(f, "{}s{}", if at == 0 { "" } else { "+" }, id.0)?;
                }
                Ok(())
            }
            Came::Named(ip, port) => write!(f, "{ip} {port}"),
        }
    }
}

/// A call that the kernel answered otherwise than the model allows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mismatch {
    /// What the model allows.
    pub(super) allowed: Vec<Came>,
    /// What the kernel answered.
    pub(super) observed: Came,
}

/// How a scenario went.
#[derive(Default)]
pub(super) struct Played {
    /// The calls made, with the kernel's answers. The last one may be the mismatch.
    pub(super) ops: Vec<(Op, Came)>,
    /// The ports that the kernel chose, and for which socket.
    pub(super) chosen: Vec<(SocketId, u16)>,
    /// Rules tried, and whether each stopped a call.
    pub(super) tried: Vec<(&'static Rule, bool)>,
    /// The steps of the lookup that found who gets a packet.
    pub(super) found: Vec<&'static Choice>,
    /// The disagreement it ended with, if any.
    pub(super) mismatch: Option<Mismatch>,
    /// Calls for which the model allowed more than one outcome.
    pub(super) open: u64,
    /// Packets that one socket of a group got, and the model leaves it to chance which.
    pub(super) ties: u64,
    /// Connections that were made.
    pub(super) connections: u64,
    /// Packets of which it was asked who gets them.
    pub(super) packets: u64,
}

/// Plays what `next` gives, on a namespace that is as `host` says, which `model` was made for.
pub(super) fn play(
    live: &mut Live,
    model: &mut Modelled,
    host: &Host,
    mut next: impl FnMut(&Modelled) -> Option<Op>,
) -> Played {
    model.restart(host);
    let mut played = Played::default();
    while let Some(op) = next(model) {
        model.tried = Some(std::mem::take(&mut played.tried));
        model.found = Some(std::mem::take(&mut played.found));
        let step = Step { live, model, chosen: &mut played.chosen }.take(op);
        played.tried = model.tried.take().unwrap_or_default();
        played.found = model.found.take().unwrap_or_default();
        let Some((allowed, observed)) = step else { continue };
        played.ops.push((op, observed.clone()));
        match op {
            Op::Connect { .. } => played.connections += 1,
            Op::Probe(_) | Op::Send { .. } => played.packets += 1,
            _ => {}
        }
        let by_chance = allowed.iter().all(|came| matches!(came, Came::Reached(_)));
        *(if by_chance { &mut played.ties } else { &mut played.open }) +=
            u64::from(allowed.len() > 1);
        if !allowed.contains(&observed) {
            played.mismatch = Some(Mismatch { allowed, observed });
            break;
        }
    }
    live.clear();
    played
}

/// One step on both. `None` if the model does not follow it, and then the kernel is not asked
/// either.
struct Step<'a> {
    live: &'a mut Live,
    model: &'a mut Modelled,
    chosen: &'a mut Vec<(SocketId, u16)>,
}

type Both = Option<(Vec<Came>, Came)>;

impl Step<'_> {
    fn take(&mut self, op: Op) -> Both {
        let exists = |id: SocketId| {
            let machine = self.model.machine();
            machine.get(id).is_some() && !machine.is_waiting(id)
        };
        if !matches!(op, Op::Socket { .. } | Op::Probe(_)) && !exists(op.socket()) {
            return None;
        }
        match op {
            Op::Socket { id, family, protocol, who } => {
                let allowed = self.model.socket(id, family, protocol, who).ok()?;
                Some((said(allowed), answer(self.live.socket(id, family, protocol, who))))
            }
            Op::Call { id, call, who } => {
                let allowed = self.model.call(id, call, who).ok()?;
                let observed = outcome(self.live.call(id, call, who));
                let chosen = chooses_port(self.model, id, call) && observed == Outcome::Ok;
                let port = if chosen { self.port(id) } else { None };
                self.chosen.extend(port.map(|port| (id, port)));
                self.model.settle(id, call, observed, port);
                Some((said(allowed), Came::Said(observed)))
            }
            Op::Connect { id, addr, who } => self.connect(id, addr, who),
            Op::Accept { listener, child, who } => {
                let allowed: Result<_, Unsupported> = self.model.accept(listener, child, who);
                let allowed = allowed.ok().filter(|a| a.as_slice() == [Outcome::Ok])?;
                Some((said(allowed), answer(self.live.accept(listener, child, LIMIT, who))))
            }
            Op::Close { id } => {
                self.live.close(id, self.model.machine().peer(id).is_some());
                self.model.close(id);
                Some((vec![Came::Said(Outcome::Ok)], Came::Said(Outcome::Ok)))
            }
            Op::Probe(probe) => self.probe(&probe),
            Op::Send { id, addr, who } => self.send(id, addr, who),
            Op::Shutdown { id, read, write, who } => {
                let allowed = self.model.shutdown(id, read, write, who).ok()?;
                Some((said(allowed), answer(self.live.shutdown(id, read, write, who))))
            }
            Op::Name { id } => {
                let (ip, _, port) = self.model.local(id).ok()?;
                let name = self.live.local(id)?;
                Some((vec![Came::Named(ip, port)], Came::Named(name.ip(), name.port())))
            }
        }
    }

    fn port(&self, id: SocketId) -> Option<u16> {
        self.live.local(id).map(|name| name.port())
    }

    fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Both {
        // Whose connection waits could not be told.
        if self.model.machine().any_waiting() {
            return None;
        }
        let had = self.model.machine().get(id)?.port;
        let connects = self.model.connects(id, &addr, who).ok()?;
        let allowed = match &connects {
            // Whether a port in TIME_WAIT may be used again depends on the clock. To find a full
            // queue full takes a second.
            Connects::Said(outcomes) if outcomes.len() != 1 || *outcomes == [TIMED_OUT] => {
                return None;
            }
            Connects::Said(outcomes) => said(outcomes.clone()),
            Connects::Accepted(ids) => ids.iter().map(|id| Came::Reached(vec![*id])).collect(),
        };
        let observed = outcome(self.live.connect(id, addr, who));
        let made = matches!(connects, Connects::Accepted(_)) && observed == Outcome::Ok;
        let listener = if made { self.live.waiting().ok()? } else { None };
        let port = if had == 0 { self.port(id).filter(|port| *port != 0) } else { None };
        self.chosen.extend(port.map(|port| (id, port)));
        self.model.settle_connect(id, &addr, Connected { outcome: observed, listener }, port);
        let came = match listener {
            Some(listener) => Came::Reached(vec![listener]),
            None if made => Came::Reached(Vec::new()),
            None => Came::Said(observed),
        };
        Some((allowed, came))
    }

    fn probe(&mut self, probe: &scenario::Probe) -> Both {
        if self.model.machine().any_waiting() {
            return None;
        }
        let allowed = expected(self.model.probe(probe, Who::ROOT).ok()?);
        // No answer: the client could not be made, its port is taken, say.
        let observed = match self.live.probe(probe).ok()? {
            Reached::Sockets(ids) => Came::Reached(ids),
            // By ICMP or by a reset.
            Reached::Told(portwise_sys::Errno::ECONNREFUSED) => Came::Reached(Vec::new()),
            Reached::Told(errno) => answer(Err(errno)),
        };
        Some((allowed, observed))
    }

    fn send(&mut self, id: SocketId, addr: Option<SockAddr>, who: Who) -> Both {
        let to = self.model.sends_to(id, addr).ok()?;
        let had = self.model.machine().get(id)?.port;
        let token = self.live.token();
        let observed = outcome(self.live.send(id, addr, &token, who));
        let port = if had == 0 { self.port(id).filter(|port| *port != 0) } else { None };
        self.chosen.extend(port.map(|port| (id, port)));
        let allowed = self.model.settle_send(id, addr, port, who).ok()?;
        if observed != Outcome::Ok || allowed != [Outcome::Ok] {
            return Some((said(allowed), Came::Said(observed)));
        }
        let allowed = expected(to);
        // It is there at once. Only if it has to be somewhere is it worth waiting for.
        let limit = if allowed == [Came::Reached(Vec::new())] { Duration::ZERO } else { LIMIT };
        let got = match self.live.receivers(&token, None, limit).ok()? {
            Reached::Sockets(ids) => ids,
            Reached::Told(_) => Vec::new(),
        };
        Some((allowed, Came::Reached(got)))
    }
}

const TIMED_OUT: Outcome = Outcome::Errno(portwise_model::Errno::ETIMEDOUT);

fn said(outcomes: Vec<Outcome>) -> Vec<Came> {
    outcomes.into_iter().map(Came::Said).collect()
}

/// What a probe may come to.
fn expected(reached: scenario::Reached) -> Vec<Came> {
    match reached {
        scenario::Reached::OneOf(ids) => {
            ids.into_iter().map(|id| Came::Reached(vec![id])).collect()
        }
        scenario::Reached::All(mut ids) => {
            ids.sort();
            vec![Came::Reached(ids)]
        }
        scenario::Reached::Nobody(
            Outcome::Ok | Outcome::Errno(portwise_model::Errno::ECONNREFUSED),
        ) => vec![Came::Reached(Vec::new())],
        scenario::Reached::Nobody(outcome) => vec![Came::Said(outcome)],
    }
}

fn answer(answer: Result<(), portwise_sys::Errno>) -> Came {
    Came::Said(outcome(answer))
}

/// The scenarios are made so that the kernel has no other errors to give.
fn outcome(answer: Result<(), portwise_sys::Errno>) -> Outcome {
    live::outcome(answer).unwrap_or_else(|| panic!("the model does not know {answer:?}"))
}

/// Returns whether a call makes the kernel choose a port.
fn chooses_port(model: &Modelled, id: SocketId, call: Call) -> bool {
    match call {
        Call::Bind(addr) => addr.port == 0,
        Call::Listen(_) => model.machine().get(id).is_some_and(|s| s.port == 0),
        Call::SetOption(_) | Call::Connect(_) => false,
    }
}
