//! The other sockets on the port: what each does to the call, and who has it open.

use portwise_model::{
    Call, Case, Finding, Host, Missing, Outcome, Socket, SocketId, Sockets, State, Verdict,
    decide_parts,
};

use super::{
    evidence::socket as describe,
    owner::{self, Owner},
    relation,
    report::{Elsewhere, HeldSocket, NoHolder, Role},
    with_every_right,
};
use crate::{
    Setting,
    endpoint::{Target, shown},
    observe::{Holders, inventory, is_orphan, owners::Owners},
};

/// The sockets of a port.
#[derive(Default)]
pub(super) struct OnPort {
    /// The sockets, those in the way first.
    pub sockets: Vec<HeldSocket>,
    /// Those of other network namespaces.
    pub elsewhere: Vec<Elsewhere>,
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
            return OnPort { hidden, ..OnPort::default() };
        }
        Err(_) => Vec::new(),
    };
    let owners = (target.port != 0).then(|| setting.owners(target.port)).flatten();
    let elsewhere = owners.as_ref().map(|o| elsewhere(o, target)).unwrap_or_default();
    if listed.is_empty() {
        return OnPort { elsewhere, hidden: hidden(), ..OnPort::default() };
    }
    let holders = match &owners {
        Some(_) => Holders::default(),
        None => setting.holders(&listed),
    };
    let Call::Bind(addr) = case.request.call else { unreachable!("only bind is explained") };
    let asking =
        Socket { ip: addr.ip(case.request.socket.family), port: addr.port, ..case.request.socket };
    let mut roles = Roles::new(setting, case, verdict);
    let mut sockets: Vec<HeldSocket> = Vec::with_capacity(listed.len());
    for socket in &listed {
        let role = roles.of(socket);
        let mut socket = *socket;
        let options = owners.as_ref().map_or(&holders.options, |owners| &owners.options);
        if let Some((reuseaddr, reuseport)) = options.get(&socket.id.0) {
            socket.options.reuseaddr = Some(*reuseaddr);
            socket.options.reuseport = Some(*reuseport);
        }
        let relation = relation::of(&case.request, &asking, &socket, role);
        let mut held = HeldSocket {
            role,
            relation,
            holders: holders.of(socket.id).iter().map(Owner::from).collect(),
            no_holder: None,
            kernel_use: None,
            kernel_state: None,
            remaining_seconds: None,
            waiting: None,
            socket: describe(setting, &socket),
        };
        match &owners {
            Some(owners) => owned(&mut held, owners, &socket, setting.runner),
            None => held.no_holder = no_holder(&socket, &holders, setting.runner),
        }
        sockets.push(held);
    }
    portwise_model::sort::sort_by_key(&mut sockets, |held| held.role);
    let unseen = owners.map_or(holders.unseen, |owners| owners.unseen().processes as usize);
    OnPort { sockets, elsewhere, hidden: hidden(), unseen }
}

/// Fills in what was seen of a socket and who holds it.
fn owned(held: &mut HeldSocket, owners: &Owners, socket: &Socket, runner: Option<u32>) {
    let Some(seen) = owners.socket(socket.id) else {
        // It came or went between two looks.
        held.no_holder =
            Some(if is_orphan(socket.id) { NoHolder::Kernel } else { NoHolder::NotFound });
        return;
    };
    held.holders = owner::of(owners, seen);
    held.kernel_state = Some(seen.state.name());
    held.remaining_seconds = seen.remaining.map(owner::seconds_left);
    held.waiting = (seen.state == inventory::State::Listen).then_some(seen.rqueue);
    if !held.holders.is_empty() {
        return;
    }
    use inventory::NoHolder as Seen;
    held.no_holder = Some(match seen.no_holder {
        Some(Seen::Closed) => NoHolder::Kernel,
        Some(Seen::NotAccepted) => NoHolder::NotAccepted,
        Some(Seen::Kernel(part)) => {
            held.kernel_use = Some(part.name());
            NoHolder::KernelUse
        }
        Some(Seen::NotAsked) => NoHolder::NotGiven,
        Some(Seen::Unseen) if runner != Some(0) => NoHolder::NotRoot,
        Some(Seen::Unseen) => NoHolder::NotAllowed,
        Some(Seen::NotFound) | None => NoHolder::NotFound,
    });
}

/// The sockets on the port in other network namespaces.
fn elsewhere(owners: &Owners, target: &Target) -> Vec<Elsewhere> {
    let fits = |socket: &inventory::Socket| {
        target.about_port || socket.transport.name() == target.protocol.name()
    };
    let others = owners.others().filter(|(socket, _)| fits(socket));
    let elsewhere = others.map(|(socket, namespace)| Elsewhere {
        netns: namespace.inode,
        argument: namespace.argument(),
        protocol: socket.transport.name(),
        state: socket.state.name(),
        local: shown(socket.ip, socket.device_name.as_deref(), socket.port),
        holders: owner::of(owners, socket),
    });
    elsewhere.collect()
}

fn no_holder(socket: &Socket, holders: &Holders, runner: Option<u32>) -> Option<NoHolder> {
    if !holders.of(socket.id).is_empty() {
        return None;
    }
    let waits = matches!(socket.state, State::Established | State::CloseWait);
    Some(match holders {
        _ if is_orphan(socket.id) && waits => NoHolder::NotAccepted,
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
