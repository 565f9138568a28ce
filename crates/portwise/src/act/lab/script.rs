//! A scenario in a form that plays fast, and the same as a file.

use std::collections::BTreeMap;

use portwise_model::{
    AF_INET, AF_INET6, AF_UNSPEC, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, Cap,
    Family, Outcome, Protocol, SockAddr, SockOption, SocketId,
    scenario::{
        Scenario, Who,
        format::{Setup, Step, Value},
    },
};

use super::play::Played;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    /// `socket(2)`.
    Socket { id: SocketId, family: Family, protocol: Protocol, who: Who },
    /// `bind(2)`, `listen(2)` or `setsockopt(2)`.
    Call { id: SocketId, call: Call, who: Who },
    /// `connect(2)` of a TCP socket to a listener.
    Connect { id: SocketId, addr: SockAddr, who: Who },
    /// `accept(2)`.
    Accept { listener: SocketId, child: SocketId, who: Who },
    /// `close(2)`.
    Close { id: SocketId },
}

impl Op {
    /// The socket the call is made on.
    pub(super) fn socket(&self) -> SocketId {
        match *self {
            Op::Socket { id, .. }
            | Op::Call { id, .. }
            | Op::Connect { id, .. }
            | Op::Close { id } => id,
            Op::Accept { listener, .. } => listener,
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
    let mut steps: Vec<Step> =
        played.ops.iter().map(|(op, outcome)| step(op, *outcome, devices)).collect();
    for ((op, outcome), step) in played.ops.iter().zip(&mut steps) {
        name_chosen_port(op, *outcome, step, &played.chosen);
    }
    Scenario { id, kernels: vec![kernel], setup: setup.clone(), steps, ..Scenario::default() }
}

/// A port that the kernel chose is another one next time: it gets a name where it is chosen,
/// and the name stands where it is connected to.
fn name_chosen_port(op: &Op, outcome: Outcome, step: &mut Step, chosen: &[(SocketId, u16)]) {
    let name = |id: SocketId| format!("P{}", id.0);
    match *op {
        Op::Call { id, call: Call::Bind(SockAddr { port: 0, .. }) | Call::Listen(_), .. }
            if outcome == Outcome::Ok && chosen.iter().any(|c| c.0 == id) =>
        {
            step.save_port = Some(name(id));
        }
        Op::Connect { addr, .. } => {
            if let Some((id, _)) = chosen.iter().find(|c| c.1 == addr.port) {
                step.port = Some(Value::Text(name(*id)));
            }
        }
        _ => {}
    }
}

fn step(op: &Op, outcome: Outcome, devices: &BTreeMap<u32, String>) -> Step {
    let expect = Some(Value::from(outcome.name()));
    let on = |id: SocketId| Some(format!("s{}", id.0));
    match *op {
        Op::Socket { id, family, protocol, who } => Step {
            op: "socket".into(),
            socket: on(id),
            family: Some(family_name(family).into()),
            kind: Some(if protocol == Protocol::Tcp { "stream" } else { "dgram" }.into()),
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
    }
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

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    }
}
