//! A scenario in a form that plays fast, and the same as a file.

use std::collections::BTreeMap;

use portwise_model::{
    AF_INET, AF_INET6, AF_UNSPEC, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, Cap,
    Family, Outcome, Protocol, SockAddr, SockOption, SocketId,
    scenario::{
        Probe, Scenario, Who,
        format::{Setup, Step, Value},
    },
};

use super::play::{Came, Played};

/// One call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    /// `socket(2)`.
    Socket { id: SocketId, family: Family, protocol: Protocol, who: Who },
    /// `bind(2)`, `listen(2)` or `setsockopt(2)`.
    Call { id: SocketId, call: Call, who: Who },
    /// `connect(2)`, and who has the connection then; with `AF_UNSPEC` it takes one apart.
    Connect { id: SocketId, addr: SockAddr, who: Who },
    /// `accept(2)`.
    Accept { listener: SocketId, child: SocketId, who: Who },
    /// `close(2)`.
    Close { id: SocketId },
    /// A client made for it connects or sends: who gets it.
    Probe(Probe),
    /// `sendto(2)` of a UDP socket, or `send(2)`: who gets it.
    Send { id: SocketId, addr: Option<SockAddr>, who: Who },
    /// `shutdown(2)`.
    Shutdown { id: SocketId, read: bool, write: bool, who: Who },
    /// `getsockname(2)`.
    Name { id: SocketId },
}

impl Op {
    /// The socket the call is made on.
    pub(super) fn socket(&self) -> SocketId {
        match *self {
            Op::Socket { id, .. }
            | Op::Call { id, .. }
            | Op::Connect { id, .. }
            | Op::Send { id, .. }
            | Op::Shutdown { id, .. }
            | Op::Name { id }
            | Op::Close { id } => id,
            Op::Accept { listener, .. } => listener,
            Op::Probe(_) => SocketId::ASKING,
        }
    }
}

/// Writes calls as a scenario file that `conform` replays. `devices` are the interfaces by index.
pub(super) fn to_scenario(
    id: String,
    kernel: String,
    setup: &Setup,
    devices: &BTreeMap<u32, String>,
    played: &Played,
) -> Scenario {
    let mut steps = Vec::new();
    for (op, came) in &played.ops {
        let mut step = step(op, came, devices);
        name_chosen_port(op, came, &mut step, &played.chosen);
        steps.push(step);
        // A connection that was made is there for the listener to accept, a packet to be read.
        if let (Op::Send { .. }, Came::Reached(ids)) = (op, came) {
            steps.extend(ids.iter().map(|id| receive(*id)));
        }
    }
    Scenario { id, kernels: vec![kernel], setup: setup.clone(), steps, ..Scenario::default() }
}

fn receive(id: SocketId) -> Step {
    Step { op: "recv".into(), socket: Some(format!("s{}", id.0)), ..Step::default() }
}

/// A port that the kernel chose is another one next time: it gets a name where it is chosen,
/// and the name stands where it is connected to.
fn name_chosen_port(op: &Op, came: &Came, step: &mut Step, chosen: &[(SocketId, u16)]) {
    let name = |id: SocketId| format!("P{}", id.0);
    let made = !matches!(came, Came::Said(Outcome::Errno(_)));
    match *op {
        Op::Call { id, call: Call::Bind(SockAddr { port: 0, .. }) | Call::Listen(_), .. }
        | Op::Connect { id, .. }
        | Op::Send { id, .. }
            if made && chosen.iter().any(|c| c.0 == id) =>
        {
            step.save_port = Some(name(id));
        }
        _ => {}
    }
    if let Came::Named(_, port) = came
        && chosen.iter().any(|c| c.1 == *port)
    {
        step.expect_port = Some(Value::from("nonzero"));
    }
    let to = match *op {
        Op::Connect { addr, .. } | Op::Send { addr: Some(addr), .. } => addr.port,
        Op::Probe(probe) => probe.addr.port,
        _ => return,
    };
    if let Some((id, _)) = chosen.iter().find(|c| c.1 == to) {
        step.port = Some(Value::Text(name(*id)));
    }
}

fn step(op: &Op, came: &Came, devices: &BTreeMap<u32, String>) -> Step {
    let expect = Some(Value::from(match came {
        Came::Said(outcome) => outcome.name(),
        Came::Reached(_) | Came::Named(..) => "ok",
    }));
    let on = |id: SocketId| Some(format!("s{}", id.0));
    match *op {
        Op::Socket { id, family, protocol, who } => Step {
            op: "socket".into(),
            socket: on(id),
            family: Some(family_name(family).into()),
            kind: Some(kind_name(protocol).into()),
            expect,
            ..asked_by(who)
        },
        Op::Call { id, call: Call::Bind(addr), who } => {
            Step { op: "bind".into(), socket: on(id), expect, ..address(&addr, who) }
        }
        Op::Call { id, call: Call::Listen(backlog), who } => Step {
            op: "listen".into(),
            socket: on(id),
            backlog: Some(backlog.into()),
            expect,
            ..asked_by(who)
        },
        Op::Call { id, call: Call::Connect(addr), who } => {
            Step { op: "connect".into(), socket: on(id), expect, ..address(&addr, who) }
        }
        Op::Call { id, call: Call::SetOption(option), who } => Step {
            op: "setopt".into(),
            socket: on(id),
            name: Some(option.name().into()),
            value: Some(option_value(option, devices)),
            expect,
            ..asked_by(who)
        },
        Op::Connect { id, addr, who } => {
            Step { op: "connect".into(), socket: on(id), expect, ..address(&addr, who) }
        }
        Op::Accept { listener, child, who } => Step {
            op: "accept".into(),
            socket: on(listener),
            accepted: on(child),
            expect,
            ..asked_by(who)
        },
        Op::Close { id } => Step { op: "close".into(), socket: on(id), ..Step::default() },
        Op::Probe(probe) => probed(&probe, came),
        Op::Send { id, addr, who } => {
            let to = addr.map_or_else(|| asked_by(who), |addr| address(&addr, who));
            Step { op: "send".into(), socket: on(id), expect, ..to }
        }
        Op::Shutdown { id, read, write, who } => {
            let how = match (read, write) {
                (true, true) => "rdwr",
                (false, _) => "wr",
                (true, false) => "rd",
            };
            let how = Some(Value::from(how));
            Step { op: "shutdown".into(), socket: on(id), how, expect, ..asked_by(who) }
        }
        Op::Name { id } => {
            let (ip, port) = match came {
                Came::Named(ip, port) => (Some(ip.to_string()), Some(Value::Int((*port).into()))),
                _ => (None, None),
            };
            let op = "getsockname".into();
            Step { op, socket: on(id), expect_addr: ip, expect_port: port, ..Step::default() }
        }
    }
}

/// A probe with what became of it.
fn probed(probe: &Probe, came: &Came) -> Step {
    let to = Step { caps: None, uid: None, ..address(&probe.addr, Who::ROOT) };
    let to = Step { addr_layout: None, ..to };
    let mut step = Step {
        op: "probe".into(),
        family: Some(family_name(probe.family).into()),
        kind: Some(kind_name(probe.protocol).into()),
        src: probe.src.0.map(|ip| ip.to_string()),
        src_port: (probe.src.1 != 0).then_some(Value::Int(probe.src.1.into())),
        ..to
    };
    let name = |id: &SocketId| Value::Text(format!("s{}", id.0));
    match came {
        Came::Reached(ids) => match ids.as_slice() {
            [] => step.expect = Some(Value::from("none")),
            [only] => step.expect_socket = Some(name(only)),
            several => step.expect_socket = Some(Value::List(several.iter().map(name).collect())),
        },
        came => step.expect = Some(Value::Text(came.to_string())),
    }
    step
}

fn asked_by(who: Who) -> Step {
    let known: [Cap; 3] = [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW];
    let caps = who.caps.map(|caps| {
        let held = known.iter().filter(|c| caps.has(**c));
        held.map(|c| c.name.trim_start_matches("CAP_").to_lowercase()).collect()
    });
    Step { uid: Some(who.uid), caps, ..Step::default() }
}

fn address(addr: &SockAddr, who: Who) -> Step {
    // An address has the layout of the family in which its bytes stand.
    let layout = match addr.family {
        AF_INET => Family::Inet,
        AF_INET6 => Family::Inet6,
        _ if addr.wide != [0; 16] => Family::Inet6,
        _ => Family::Inet,
    };
    let written = match addr.family {
        AF_INET | AF_INET6 => None,
        AF_UNSPEC => Some(Value::from("unspec")),
        other => Some(Value::Int(other.into())),
    };
    let natural = SockAddr::new(addr.ip(layout), addr.port, addr.scope).len;
    Step {
        addr: Some(addr.ip(layout).to_string()),
        scope: (addr.scope != 0).then_some(Value::Int(addr.scope.into())),
        port: Some(Value::Int(addr.port.into())),
        addr_family: written,
        addr_layout: Some(family_name(layout).into()),
        addrlen: (addr.len != natural).then_some(addr.len.into()),
        ..asked_by(who)
    }
}

fn option_value(option: SockOption, devices: &BTreeMap<u32, String>) -> Value {
    match option {
        SockOption::ReuseAddr(on)
        | SockOption::ReusePort(on)
        | SockOption::ShareUid(on)
        | SockOption::V6Only(on)
        | SockOption::Freebind(on)
        | SockOption::Transparent(on)
        | SockOption::BindAddressNoPort(on)
        | SockOption::Broadcast(on)
        | SockOption::ReusePortLb(on)
        | SockOption::Exclusive(on) => Value::Int(on.into()),
        SockOption::PortRangeLow(on) => Value::from(if on { "low" } else { "default" }),
        SockOption::LocalPortRange(low, high) => {
            Value::List(vec![Value::Int(low.into()), Value::Int(high.into())])
        }
        SockOption::BindToDevice(Some(0)) => Value::from(""),
        SockOption::BindToDevice(index) => {
            let name = index.and_then(|i| devices.get(&i));
            Value::Text(name.cloned().unwrap_or_else(|| "gone0".into()))
        }
    }
}

fn kind_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "stream",
        Protocol::Udp => "dgram",
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    }
}
