//! What the model says of a trial.

use portwise_model::{
    Call, Machine, Outcome, Protocol, Request, Socket, SocketId, Subject, Verdict, decide_parts,
};

use super::{bind::BACKLOG, placeholder::apply};
use crate::{Setting, explain::Decision};

/// The socket of the trial, as the model knows it.
pub(super) const OURS: SocketId = SocketId(u64::MAX - 1);

/// What bind, and then listen, may answer.
pub(super) struct Predicted {
    /// Of both calls together.
    pub(super) verdict: Verdict,
    /// The host once both have succeeded.
    then: Machine,
}

impl Predicted {
    /// The verdict in short.
    pub(super) fn decision(&self, setting: &Setting) -> Decision {
        Decision::new(&self.verdict, |missing| setting.reason(missing))
    }

    /// The sockets that hold `port`, if the trial's own one is among them or if it is not.
    pub(super) fn sockets(&self, port: u16, bound: bool) -> Vec<Socket> {
        let list = self.then.host.sockets.on(port).unwrap_or_default().iter();
        list.filter(|s| bound || s.id != OURS).copied().collect()
    }

    /// Gives the socket the port that the kernel chose.
    pub(super) fn choose(&mut self, request: &Request, port: u16) {
        if let Some(there) = self.then.get(OURS).copied().filter(|s| s.port == 0) {
            self.then.host.sockets.remove(0, OURS);
            let socket = Socket { port, ..there };
            debug_assert_eq!(socket.protocol, request.socket.protocol);
            self.then.host.sockets.push_front(socket);
        }
    }
}

/// On the network itself, observing what rules miss.
pub(super) fn real(setting: &mut Setting, request: &Request) -> Predicted {
    let verdict = setting.decide(request);
    let subject = setting.subject.clone();
    both(verdict, Machine::new(setting.host.clone()), &subject, request)
}

/// On `machine`, with what is known of it.
pub(super) fn on(machine: &Machine, subject: &Subject, request: &Request) -> Predicted {
    let verdict = decide_parts(&machine.host, subject, request);
    both(verdict, machine.clone(), subject, request)
}

/// Goes on to listen where bind may succeed.
fn both(verdict: Verdict, mut then: Machine, subject: &Subject, request: &Request) -> Predicted {
    let ours = Socket { id: OURS, ..request.socket };
    apply(&mut then, &ours);
    then.settle(OURS, request.call, Outcome::Ok, None);
    if request.socket.protocol != Protocol::Tcp || !verdict.possible.contains(&Outcome::Ok) {
        return Predicted { verdict, then };
    }
    let listen = Call::Listen(BACKLOG);
    let socket = *then.get(OURS).expect("it was made just now");
    let next = decide_parts(&then.host, subject, &Request { call: listen, socket });
    then.settle(OURS, listen, Outcome::Ok, None);
    match next.is_allowed() {
        true => Predicted { verdict, then },
        false => Predicted { verdict: merged(verdict, next), then },
    }
}

/// What either call may answer. The trace is that of both.
fn merged(first: Verdict, second: Verdict) -> Verdict {
    let mut possible: Vec<Outcome> =
        first.possible.into_iter().filter(|o| *o != Outcome::Ok).collect();
    for outcome in second.possible {
        if !possible.contains(&outcome) {
            possible.push(outcome);
        }
    }
    Verdict { possible, trace: first.trace.into_iter().chain(second.trace).collect() }
}
