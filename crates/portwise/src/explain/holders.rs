//! The other sockets on the port: what each does to the call, and who has it open.

use portwise_model::{
    Case, Finding, Host, Missing, Outcome, Socket, SocketId, Sockets, Verdict, decide_parts,
};

use super::{
    evidence::socket as describe,
    report::{HeldSocket, NoHolder, Role},
    with_every_right,
};
use crate::{
    Setting,
    endpoint::Target,
    observe::{Holders, is_orphan},
};

/// The sockets of a port.
pub(super) struct OnPort {
    /// The sockets, those in the way first.
    pub sockets: Vec<HeldSocket>,
    /// Why they, or some of them, could not be looked at.
    pub hidden: Option<Missing>,
    /// How many processes could not be looked into.
    pub unseen: usize,
}

/// Lists the sockets on the port of `case`: those of its protocol, or all if the question is
/// about the port. `/proc` is searched only if there are any.
pub(super) fn on_port(
    setting: &mut Setting,
    case: &Case,
    verdict: &Verdict,
    target: &Target,
) -> OnPort {
    let hidden = || case.host.sockets.hidden.clone();
    let listed: Vec<Socket> = match case.host.sockets.on(target.port) {
        Ok(list) => list
            .iter()
            .filter(|s| target.about_port || s.protocol == target.protocol)
            .copied()
            .collect(),
        Err(missing) if target.port != 0 => {
            let hidden = Some(setting.reason(&missing));
            return OnPort { sockets: Vec::new(), hidden, unseen: 0 };
        }
        Err(_) => Vec::new(),
    };
    if listed.is_empty() {
        return OnPort { sockets: Vec::new(), hidden: hidden(), unseen: 0 };
    }
    let holders = setting.holders(&listed);
    let mut roles = Roles::new(setting, case, verdict);
    let mut sockets: Vec<HeldSocket> = Vec::with_capacity(listed.len());
    for socket in &listed {
        let role = roles.of(socket);
        let mut socket = *socket;
        if let Some((reuseaddr, reuseport)) = holders.options.get(&socket.id.0) {
            socket.options.reuseaddr = Some(*reuseaddr);
            socket.options.reuseport = Some(*reuseport);
        }
        sockets.push(HeldSocket {
            role,
            holders: holders.of(socket.id).to_vec(),
            no_holder: no_holder(&socket, &holders, setting.runner),
            socket: describe(setting, &socket),
        });
    }
    sockets.sort_by_key(|held| held.role);
    OnPort { sockets, hidden: hidden(), unseen: holders.unseen }
}

fn no_holder(socket: &Socket, holders: &Holders, runner: Option<u32>) -> Option<NoHolder> {
    if !holders.of(socket.id).is_empty() {
        return None;
    }
    Some(match holders {
        _ if is_orphan(socket.id) => NoHolder::Kernel,
        Holders { searched: false, .. } => NoHolder::NotGiven,
        _ if holders.is_partial() && runner != Some(0) => NoHolder::NotRoot,
        _ if holders.is_partial() => NoHolder::NotAllowed,
        _ => NoHolder::NotFound,
    })
}

/// Judges each socket by deciding the call on a host where it is the only one.
struct Roles {
    /// The host with no socket but the one in question.
    host: Host,
    /// The case with every right, so that the port is looked at.
    case: Case,
    /// What the call comes to with every right and every socket.
    then: Then,
    /// Whether the call as asked is refused because of the port.
    is_obstacle: bool,
    /// What was found out about sockets that differ in nothing but the other end.
    known: Vec<(Socket, Role)>,
}

#[derive(PartialEq)]
enum Then {
    Allowed,
    Refused,
    Open(Vec<Missing>),
}

impl Roles {
    fn new(setting: &mut Setting, case: &Case, verdict: &Verdict) -> Roles {
        let mut privileged = with_every_right(case);
        let decided = setting.decide_changed(&mut privileged);
        let taken = decided.obstacles().any(is_about_sockets);
        let then = match () {
            () if !taken => Then::Allowed,
            () if decided.is_refused() => Then::Refused,
            () => Then::Open(decided.missing().cloned().collect()),
        };
        let mut host = privileged.host.clone();
        host.sockets = Sockets::none("one of them");
        let is_obstacle = verdict.obstacles().any(is_about_sockets);
        Roles { host, case: privileged, then, is_obstacle, known: Vec::new() }
    }

    fn of(&mut self, socket: &Socket) -> Role {
        let about = |id: SocketId, missing: &[Missing]| {
            missing.iter().any(|m| m.key == portwise_model::FactKey::SocketOptions(id))
        };
        match &self.then {
            Then::Allowed => return Role::Beside,
            Then::Open(missing) if about(socket.id, missing) => return Role::Unclear,
            Then::Open(_) | Then::Refused => {}
        }
        let kind = Socket { id: SocketId(0), remote: None, ..*socket };
        if let Some((_, role)) = self.known.iter().find(|(known, _)| *known == kind) {
            return *role;
        }
        let role = self.alone(socket);
        self.known.push((kind, role));
        role
    }

    fn alone(&mut self, socket: &Socket) -> Role {
        self.host.sockets.set_port(socket.port, vec![*socket]);
        let alone = decide_parts(&self.host, &self.case.subject, &self.case.request);
        let stops = |finding: &Finding| *finding == Finding::Stops;
        let in_the_way = alone.trace.iter().any(|s| is_about_sockets(s) && stops(&s.finding));
        match (alone.possible.as_slice(), in_the_way) {
            ([Outcome::Ok], _) => Role::Beside,
            (_, true) if self.is_obstacle => Role::InTheWay,
            (_, true) => Role::Behind,
            _ => Role::Unclear,
        }
    }
}

/// Whether a step says that another socket is in the way, or may be.
fn is_about_sockets(step: &portwise_model::Step) -> bool {
    use portwise_model::{Evidence, FactKey};
    let seen = step.evidence.iter().any(|e| matches!(e, Evidence::InTheWay(_)));
    match &step.finding {
        Finding::Passes => false,
        Finding::Stops => seen,
        Finding::Unknown(missing) => matches!(
            missing.key,
            FactKey::Sockets(_) | FactKey::SocketOptions(_) | FactKey::BindBucket(_)
        ),
    }
}
