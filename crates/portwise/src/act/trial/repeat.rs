//! A disagreement, written as a scenario that `conform` replays.

use portwise_model::{
    CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, CapSet, Family, Host, Interfaces,
    Protocol, Request, Socket, Subject,
    scenario::{
        Scenario,
        format::{Setup, Step, Value},
    },
};

use super::{bind::BACKLOG, blueprint::Blueprint, placeholder::Placeholder, report::Answered};

/// The calls of a trial, with what the kernel answered, and the surroundings they were made in.
pub(super) fn scenario(
    blueprint: &Blueprint,
    host: &Host,
    placeholders: &[Placeholder],
    (subject, request): (&Subject, &Request),
    answered: &Answered,
) -> Scenario {
    let names = Names(host.interfaces.value());
    let mut steps = Vec::new();
    for (i, placeholder) in placeholders.iter().enumerate() {
        let model = &placeholder.model;
        let own = model.uid.unwrap_or(subject.uid);
        // Whoever had the port could have it.
        let who = Step { uid: Some(own), caps: Some(caps(CapSet::ALL)), ..Step::default() };
        let at = (model.ip.to_string(), model.device, model.port);
        steps.push(Step { ..names.bind(&format!("other{i}"), model, at, &who) });
    }
    for (i, placeholder) in placeholders.iter().enumerate() {
        if placeholder.model.state == portwise_model::State::Listen {
            steps.push(listen(&format!("other{i}"), &Step::default()));
        }
    }
    let Call::Bind(addr) = request.call else { unreachable!("only bind is tried") };
    let held = subject.capabilities.value().copied().unwrap_or_default();
    let who = Step { uid: Some(subject.uid), caps: Some(caps(held)), ..Step::default() };
    let ip = addr.ip(request.socket.family);
    let mut bind =
        names.bind("asking", &request.socket, (ip.to_string(), addr.scope, addr.port), &who);
    let failed = |step: &mut Step| step.expect = Some(Value::from(&*answered.outcome));
    if answered.call == "bind" {
        failed(&mut bind);
    }
    steps.push(bind);
    if answered.call == "listen" {
        let mut step = listen("asking", &who);
        failed(&mut step);
        steps.push(step);
    }
    Scenario {
        id: "try".into(),
        kernels: vec![format!("linux-{}", host.kernel.version)],
        setup: setup(blueprint),
        steps,
        ..Scenario::default()
    }
}

fn caps(held: CapSet) -> Vec<String> {
    let known = [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW];
    let held = known.iter().filter(|cap| held.has(**cap));
    held.map(|cap| cap.name.trim_start_matches("CAP_").to_lowercase()).collect()
}

/// The interfaces, which a scenario names.
struct Names<'a>(Option<&'a Interfaces>);

impl Names<'_> {
    fn of(&self, index: u32) -> Value {
        match self.0.and_then(|list| list.by_index(index)) {
            Some(interface) => Value::Text(interface.name.to_string()),
            None => Value::Int(index.into()),
        }
    }

    fn bind(
        &self,
        name: &str,
        socket: &Socket,
        (ip, zone, port): (String, u32, u16),
        who: &Step,
    ) -> Step {
        let mut opts = std::collections::BTreeMap::new();
        let mut set = |option: &str, value: Value| opts.insert(option.to_string(), value);
        for (option, on) in [
            ("reuseaddr", socket.options.reuseaddr == Some(true)),
            ("reuseport", socket.options.reuseport == Some(true)),
            ("freebind", socket.options.freebind),
        ] {
            if on {
                set(option, Value::Int(1));
            }
        }
        if socket.family == Family::Inet6 {
            set("v6only", Value::Int(socket.v6only.into()));
        }
        if socket.device != 0 {
            set("bindtodevice", self.of(socket.device));
        }
        Step {
            op: "bind".into(),
            socket: Some(name.into()),
            family: Some(if socket.family == Family::Inet { "inet" } else { "inet6" }.into()),
            kind: Some(if socket.protocol == Protocol::Tcp { "stream" } else { "dgram" }.into()),
            opts,
            addr: Some(ip),
            scope: (zone != 0).then(|| self.of(zone)),
            port: Some(Value::Int(port.into())),
            ..who.clone()
        }
    }
}

fn listen(name: &str, who: &Step) -> Step {
    Step {
        op: "listen".into(),
        socket: Some(name.into()),
        backlog: Some(BACKLOG.into()),
        ..who.clone()
    }
}

/// The network, as commands that both the model and a shell understand.
fn setup(blueprint: &Blueprint) -> Setup {
    let mut cmds = Vec::new();
    let (is_up, addresses) = &blueprint.loopback;
    for ip in ["127.0.0.1", "::1"].iter().filter(|_| *is_up) {
        if !addresses.iter().any(|a| a.ip.to_string() == **ip) {
            let prefix = if ip.contains(':') { 128 } else { 8 };
            cmds.push(format!("ip addr del {ip}/{prefix} dev lo"));
        }
    }
    for a in addresses.iter().filter(|a| !a.ip.is_loopback()) {
        cmds.push(format!("ip addr add {}/{} dev lo", a.ip, a.prefix));
    }
    for device in &blueprint.devices {
        let (name, peer) = (&device.name, super::stage::peer(device.index));
        cmds.push(format!("ip link add {name} type veth peer name {peer}"));
        for end in [name, &peer] {
            cmds.push(format!("ip link set {end} up"));
        }
        for a in &device.addresses {
            let nodad = if a.ip.is_ipv6() { " nodad" } else { "" };
            cmds.push(format!("ip addr add {}/{} dev {name}{nodad}", a.ip, a.prefix));
        }
        if !device.up {
            cmds.push(format!("ip link set {name} down"));
        }
    }
    let known = |name: &str| name != "net.ipv4.ip_autobind_reuse";
    let sysctls = blueprint.sysctls.iter().filter(|(name, value)| known(name) && !value.is_empty());
    Setup {
        sysctl: sysctls.map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect(),
        cmds,
        lo_down: !is_up,
        ..Setup::default()
    }
}

#[cfg(test)]
mod tests {
    use portwise_model::{
        AddrState, Family, IfAddr, Kernel, KernelFamily, Machine, Outcome, SockAddr, SocketId,
        State, Version,
        scenario::{Modelled, Replay, StepResult, host_of},
    };

    use super::{super::blueprint::Device, *};
    use crate::act::trial::{bind, predict};

    fn blueprint() -> Blueprint {
        let address = |ip: &str, prefix| IfAddr {
            ip: ip.parse().unwrap(),
            prefix,
            broadcast: None,
            state: AddrState::Usable,
        };
        Blueprint {
            loopback: (true, vec![address("127.0.0.1", 8), address("192.0.2.99", 32)]),
            devices: vec![Device {
                index: 7,
                name: "eth0".into(),
                up: true,
                addresses: vec![address("192.0.2.10", 24), address("2001:db8::10", 64)],
                neighbours: Vec::new(),
            }],
            sysctls: vec![
                ("net.ipv4.ip_unprivileged_port_start".into(), "80".into()),
                ("net.ipv4.ip_local_port_range".into(), "40000 50000".into()),
            ],
            ..Blueprint::default()
        }
    }

    fn bound(ip: &str, port: u16, state: State) -> Socket {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        let new = Socket::new(SocketId(9), Family::of(ip), Protocol::Tcp, 1000);
        Socket { ip, port, state, ..new }
    }

    fn steps(scenario: &Scenario, kernel: &Kernel) -> Vec<StepResult> {
        let (host, world) = host_of(kernel.clone(), &scenario.setup).unwrap();
        let tally = Replay::new(&mut Modelled::new(host, world)).run(scenario);
        tally.steps.into_iter().map(|(_, result)| result).collect()
    }

    #[test]
    fn a_scenario_says_what_was_done() {
        let version = Version::parse("6.18.0").unwrap();
        let kernel = Kernel { family: KernelFamily::Linux, version, release: "6.18.0".into() };
        let blueprint = blueprint();
        for (ip, port, other, expected) in [
            ("192.0.2.10", 80, State::Closed, "ok"),
            ("192.0.2.10", 79, State::Listen, "EACCES"),
            ("192.0.2.99", 8080, State::Listen, "ok"),
            ("2001:db8::10", 8080, State::Listen, "ok"),
            ("0.0.0.0", 3000, State::Listen, "EADDRINUSE"),
            ("::", 3000, State::Closed, "EADDRINUSE"),
            ("192.0.2.11", 3000, State::Listen, "EADDRNOTAVAIL"),
            ("::1", 3000, State::Listen, "EADDRNOTAVAIL"),
        ] {
            let setup = setup(&blueprint);
            let (host, _) = host_of(kernel.clone(), &setup).unwrap();
            let mut machine = Machine::new(host);
            let model = bound("127.0.0.1", 3000, other);
            let socket = bind::create(Family::Inet, Protocol::Tcp).unwrap();
            let held = Placeholder { model, socket, words: String::new() };
            super::super::placeholder::settle(&mut machine, &held.model);
            let subject = Subject::plain(1000, "test");
            let asking = bound(ip, 0, State::Closed);
            let asking = Socket { ip: asking.family.unspecified(), ..asking };
            let call = Call::Bind(SockAddr::new(ip.parse().unwrap(), port, 0));
            let request = Request { call, socket: asking };
            let predicted = predict::on(&machine, &subject, &request).verdict.possible;
            assert_eq!(predicted, [Outcome::from_name(expected).unwrap()], "{ip}:{port}");
            for (observed, agrees) in [(expected, true), ("ENOTSOCK", false)] {
                let answered = Answered { call: "bind", outcome: observed.into(), text: None };
                let placeholders = std::slice::from_ref(&held);
                let case = (&subject, &request);
                let made = scenario(&blueprint, &machine.host, placeholders, case, &answered);
                let again: Scenario =
                    serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap();
                let steps = steps(&again, &kernel);
                let all = steps.iter().all(|step| *step == StepResult::Agree);
                assert_eq!(all, agrees, "{ip}:{port} {observed}: {steps:?}");
            }
        }
    }
}
