//! Would a rule that lets the call pass have stopped it under other circumstances? Asked of the
//! rule itself, with the circumstances changed.

use portwise_model::{
    AF_UNSPEC, Call, Case, Evidence, Fact, Finding, Interfaces, LocalPorts, LocalRoutes, Protocol,
    Socket, SocketId, Sockets, State, Step, Subject, asked_alone, linux::Buckets,
};

use super::Could;

/// How a rule that passes could have stopped the call, if at all.
pub(super) fn could(case: &Case, step: &Step) -> Could {
    let stops = |changed: &Case| stops(changed, step);
    if stops(&unprivileged(case)) {
        Could::OtherAsker
    } else if stops(&port_taken(case)) || stops(&nothing_there(case)) || stops(&gated(case, step)) {
        Could::Then
    } else if other_requests(case).iter().any(stops) {
        Could::OtherRequest
    } else {
        Could::Cannot
    }
}

/// Whether the rule of a step, asked again, does not let the call pass.
fn stops(case: &Case, step: &Step) -> bool {
    let again = asked_alone(&case.host, &case.subject, &case.request);
    let again = again.into_iter().find(|other| other.rule.id == step.rule.id);
    again.is_some_and(|other| other.finding != Finding::Passes)
}

fn unprivileged(case: &Case) -> Case {
    let mut changed = case.clone();
    let uid = if case.subject.uid == 0 { 65534 } else { case.subject.uid };
    changed.subject = Subject::plain(uid, "changed");
    changed
}

/// The case with a socket of another user in the way, and no other port to choose.
pub(super) fn port_taken(case: &Case) -> Case {
    let mut changed = case.clone();
    let asking = &case.request.socket;
    let (ip, port) = match case.request.call {
        Call::Bind(addr) => (addr.ip(asking.family), addr.port),
        _ => (asking.ip, asking.port),
    };
    let port = if port == 0 { 40000 } else { port };
    let uid = case.subject.uid.wrapping_add(1);
    let state = match asking.protocol {
        Protocol::Tcp => State::Listen,
        Protocol::Udp => State::Closed,
    };
    let mut holder = Socket::new(SocketId(0), asking.family, asking.protocol, uid);
    (holder.ip, holder.port, holder.state) = (ip, port, state);
    (holder.v6only, holder.device) = (asking.v6only, asking.device);
    changed.host.sockets = Sockets::none("changed");
    changed.host.sockets.set_port(port, vec![holder]);
    changed.host.buckets = Fact::known(Buckets::default(), "changed");
    let only = LocalPorts { low: port, high: port, reserved: Vec::new() };
    changed.host.local_ports = Fact::known(only, "changed");
    changed.host.set_sysctl("net.ipv4.ip_autobind_reuse", 0, "changed");
    changed
}

/// The case without any interface or address.
fn nothing_there(case: &Case) -> Case {
    let mut changed = case.clone();
    let none = Interfaces { list: Vec::new(), complete: true };
    changed.host.interfaces = Fact::known(none, "changed");
    let none = LocalRoutes { list: Vec::new(), complete: true, exists: true };
    changed.host.local_routes = Fact::known(none, "changed");
    for name in ["net.ipv4.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind"] {
        changed.host.set_sysctl(name, 0, "changed");
    }
    changed
}

/// The case on a host that has the gate which the rule looked for in vain.
fn gated(case: &Case, step: &Step) -> Case {
    let mut changed = case.clone();
    let gates = step.evidence.iter().filter_map(|seen| match seen {
        Evidence::NoGate(gate) => Some((*gate).into()),
        _ => None,
    });
    changed.host.policies = Fact::known(gates.collect(), "changed");
    changed
}

/// The call on a socket that is bound or connected already, and with malformed addresses.
fn other_requests(case: &Case) -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Case)| {
        let mut changed = case.clone();
        change(&mut changed);
        changed
    };
    let mut all = vec![
        with(&|c| c.request.socket.port = 1),
        with(&|c| c.request.socket.state = State::Established),
        with(&|c| c.request.socket.v6only = !c.request.socket.v6only),
        with(&|c| c.request.socket.device = u32::MAX),
        with(&|c| c.request.socket.protocol = Protocol::Udp),
    ];
    if let Call::Bind(addr) = case.request.call {
        let mut bind = |change: &dyn Fn(&mut portwise_model::SockAddr)| {
            let mut addr = addr;
            change(&mut addr);
            all.push(with(&|c| c.request.call = Call::Bind(addr)));
        };
        bind(&|addr| addr.len = 4);
        bind(&|addr| addr.len = 4096);
        bind(&|addr| addr.family = AF_UNSPEC);
        bind(&|addr| addr.family = u16::MAX);
        bind(&|addr| addr.scope = 0);
    }
    all
}
