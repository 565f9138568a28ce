//! One scenario on the model and on the kernel side by side, up to the first disagreement.

use portwise_model::{
    Call, Host, Outcome, Rule, SocketId,
    scenario::{Backend, Modelled, Unsupported, World},
};

use std::time::Duration;

use super::{
    live::{self, Live},
    script::Op,
};

/// How long a connection that was made may take to be there for accept(2).
const LIMIT: Duration = Duration::from_millis(1500);

/// A call that the kernel answered otherwise than the model allows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mismatch {
    /// What the model allows.
    pub(super) allowed: Vec<Outcome>,
    /// What the kernel answered.
    pub(super) observed: Outcome,
}

/// How a scenario went.
#[derive(Default)]
pub(super) struct Played {
    /// The calls made, with the kernel's answers. The last one may be the mismatch.
    pub(super) ops: Vec<(Op, Outcome)>,
    /// The ports that the kernel chose, and for which socket.
    pub(super) chosen: Vec<(SocketId, u16)>,
    /// Rules tried, and whether each stopped a call.
    pub(super) tried: Vec<(&'static Rule, bool)>,
    /// The disagreement it ended with, if any.
    pub(super) mismatch: Option<Mismatch>,
    /// Calls for which the model allowed more than one outcome.
    pub(super) open: u64,
    /// Connections that were made.
    pub(super) connections: u64,
}

/// Plays what `next` gives, on a namespace that is as `host` says.
pub(super) fn play(
    live: &mut Live,
    host: &Host,
    world: &World,
    mut next: impl FnMut(&Modelled) -> Option<Op>,
) -> Played {
    let mut model = Modelled::new(host.clone(), world.clone());
    let mut played = Played::default();
    while let Some(op) = next(&model) {
        model.tried = Some(std::mem::take(&mut played.tried));
        let step = step(live, &mut model, op, &mut played.chosen);
        played.tried = model.tried.take().unwrap_or_default();
        let Some((allowed, observed)) = step else { continue };
        played.ops.push((op, observed));
        played.open += u64::from(allowed.len() > 1);
        played.connections += u64::from(matches!(op, Op::Connect { .. }));
        if !allowed.contains(&observed) {
            played.mismatch = Some(Mismatch { allowed, observed });
            break;
        }
    }
    live.clear();
    played
}

/// Makes one call on both; `None` if the model does not follow it, and then the kernel is not
/// asked either.
fn step(
    live: &mut Live,
    model: &mut Modelled,
    op: Op,
    ports: &mut Vec<(SocketId, u16)>,
) -> Option<(Vec<Outcome>, Outcome)> {
    let exists = |model: &Modelled, id: SocketId| {
        model.machine().get(id).is_some() && !model.machine().is_waiting(id)
    };
    match op {
        Op::Socket { id, family, protocol, who } => {
            let allowed = model.socket(id, family, protocol, who).ok()?;
            Some((allowed, outcome(live.socket(id, family, protocol, who))))
        }
        Op::Call { id, call, who } => {
            if !exists(model, id) {
                return None;
            }
            let allowed = model.call(id, call, who).ok()?;
            let observed = outcome(live.call(id, call, who));
            let chosen = chooses_port(model, id, call) && observed == Outcome::Ok;
            let port = if chosen { live.local(id).map(|name| name.port()) } else { None };
            ports.extend(port.map(|port| (id, port)));
            model.settle(id, call, observed, port);
            Some((allowed, observed))
        }
        Op::Connect { id, addr, who } => {
            if !exists(model, id) {
                return None;
            }
            // Whether a port in TIME_WAIT may be used again depends on the clock.
            let allowed = model.connect(id, addr, who).ok().filter(|a| a.len() == 1)?;
            Some((allowed, outcome(live.connect(id, addr, who))))
        }
        Op::Accept { listener, child, who } => {
            if !exists(model, listener) {
                return None;
            }
            let allowed: Result<_, Unsupported> = model.accept(listener, child, who);
            let allowed = allowed.ok().filter(|a| a.as_slice() == [Outcome::Ok])?;
            Some((allowed, outcome(live.accept(listener, child, LIMIT, who))))
        }
        Op::Close { id } => {
            if !exists(model, id) {
                return None;
            }
            live.close(id, model.machine().peer(id).is_some());
            model.close(id);
            Some((vec![Outcome::Ok], Outcome::Ok))
        }
    }
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
