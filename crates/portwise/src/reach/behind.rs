//! What lies behind the end of a way: a server that does not run, and the network namespace that
//! packets are sent on to, such as that of a container.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
};

use portwise_model::{Protocol, ReachOutcome};

use super::{Answer, Fix, From, Reaching, SocketAnswer};
use crate::{
    endpoint::{Target, shown},
    explain::port,
    observe::{
        inventory::{Namespace, Run, Socket, State},
        live,
    },
};

impl Reaching<'_> {
    /// Looks whether whoever gets the packets is able to answer.
    pub(super) fn at_the_end(&mut self, answer: &mut Answer, target: &Target) {
        if answer.rule.as_deref() == Some("kernel device-down") {
            let sudo = if self.setting.runner == Some(0) { "" } else { "sudo " };
            answer.fixes.push(Fix {
                title: "switch it on".into(),
                commands: vec![self.there(&format!("{sudo}ip link set lo up"))],
                side_effects: "lost at reboot, unless whatever sets the network up does it".into(),
            });
        }
        self.switched_off(answer);
        match (answer.outcome, answer.rewritten.as_ref().and_then(|to| to.parse().ok())) {
            (ReachOutcome::Accepted, _) => {
                if answer.protocol == Protocol::Udp {
                    self.shadowed(answer);
                }
                self.stopped(answer);
                filtered(answer);
            }
            (ReachOutcome::Forwarded, to) if !answer.fails => {
                self.sent_to(answer, target, to.unwrap_or((target.ip, target.port).into()));
            }
            _ => {}
        }
    }

    /// A command for the network namespace in question.
    fn there(&self, command: &str) -> String {
        match &self.setting.netns {
            Some(netns) => {
                let netns = crate::render::phrase::quoted(&netns.to_string_lossy());
                let (sudo, rest) = match command.strip_prefix("sudo ") {
                    Some(rest) => ("sudo ", rest),
                    None => ("", command),
                };
                format!("{sudo}nsenter --net={netns} {rest}")
            }
            None => command.into(),
        }
    }

    /// The device that has the address is switched off: this host reaches it all the same.
    fn switched_off(&self, answer: &mut Answer) {
        let network = &self.traffic.network;
        let own = network.addresses.iter().find(|own| own.ip == answer.ip);
        let device =
            own.and_then(|own| network.device(own.device)).filter(|d| !d.up && !d.loopback);
        if let Some(device) = device {
            answer.notes.push(format!(
                "{}, which has {}, is switched off (`ip link set {} up`): only this host itself \
                 reaches the address",
                device.name, answer.ip, device.name
            ));
        }
    }

    /// Others that share the address of a UDP socket without being a group: they get nothing.
    fn shadowed(&mut self, answer: &mut Answer) {
        let Some(inode) = answer.socket.as_ref().map(|socket| socket.inode) else { return };
        let port = answer.sent_on.unwrap_or(answer.port);
        let Some(owners) = self.setting.owners(port) else { return };
        let Some(taker) = owners.own().find(|socket| socket.inode == Some(inode)) else { return };
        let shares = |socket: &&Socket| {
            socket.inode != taker.inode
                && is_of(socket, Protocol::Udp)
                && (socket.ip, socket.device, socket.group) == (taker.ip, taker.device, None)
        };
        for socket in owners.own().filter(shares) {
            let uid = socket.uid.map(|uid| format!(" of uid {uid}")).unwrap_or_default();
            let pid = socket.pids().next().map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            answer.notes.push(format!(
                "another socket{uid}{pid} has {} too (SO_REUSEADDR on both): the one bound last \
                 gets what is sent to this host alone, the other only gets multicast and broadcast",
                shown(socket.ip, None, socket.port)
            ));
        }
    }

    /// A server that was stopped: the kernel completes connections, and nobody answers them.
    fn stopped(&mut self, answer: &mut Answer) {
        let Some(inode) = answer.socket.as_ref().map(|socket| socket.inode) else { return };
        let port = answer.sent_on.unwrap_or(answer.port);
        let Some(owners) = self.setting.owners(port) else { return };
        let Some(socket) = owners.own().find(|socket| socket.inode == Some(inode)) else { return };
        let holders: Vec<_> = socket.pids().filter_map(|pid| owners.process(pid)).collect();
        let runs = |run: Run| !matches!(run, Run::Stopped | Run::Traced | Run::Frozen);
        let Some(first) = holders.first().filter(|_| holders.iter().all(|h| !runs(h.run))) else {
            return;
        };
        let pid = first.identity.pid;
        let (how, takes) = match first.run {
            Run::Frozen => ("its cgroup is frozen", "its cgroup has to be thawed"),
            Run::Traced => ("a debugger holds it", "the debugger has to let it go on"),
            _ => ("a signal stopped it (SIGSTOP, Ctrl-Z)", ""),
        };
        answer.fails = true;
        answer.because = format!(
            "the kernel takes it for the socket of pid {pid} ({}), which does not run: {how}; \
             clients connect, and get no answer",
            first.command
        );
        if takes.is_empty() {
            let own = self.setting.runner == Some(0) || self.setting.runner == Some(first.uid);
            let pids: Vec<String> = holders.iter().map(|h| h.identity.pid.to_string()).collect();
            answer.fixes.push(Fix {
                title: "let it go on".into(),
                commands: vec![format!(
                    "{}kill -CONT {}",
                    if own { "" } else { "sudo " },
                    pids.join(" ")
                )],
                side_effects: String::new(),
            });
        } else {
            answer.notes.push(takes.into());
        }
    }

    /// The namespace that packets are sent on to: who listens there.
    fn sent_to(&mut self, answer: &mut Answer, target: &Target, to: SocketAddr) {
        let Some(owners) = self.setting.owners(to.port()) else { return };
        let others = owners.inventory.namespaces.iter().filter(|namespace| !namespace.own);
        // Several may have the address: it is the one that the device leads to.
        let numbers = self.leads_to(answer.leaves_by.as_deref());
        let is_it = |n: &&Namespace| {
            has_address(n, to.ip())
                && (numbers.is_empty() || number(n).is_some_and(|n| numbers.contains(&n)))
        };
        let mut with = others.filter(is_it);
        let Some(namespace) = with.next() else {
            let is_seen = answer.rewritten.is_some() && owners.unseen().namespaces == 0;
            if is_seen && self.is_virtual(answer.leaves_by.as_deref()) {
                left_over(answer, to);
            }
            return;
        };
        // Nothing tells which one it is.
        if with.next().is_some() {
            return;
        }
        let (ip, port) = (to.ip(), to.port());
        let target = Target { ip, port, dual_stack: None, ..target.clone() };
        let Some(there) = follow(namespace, &target, answer) else { return };
        let place = crate::render::phrase::quoted(&namespace.argument());
        if matches!(there.outcome, ReachOutcome::Accepted | ReachOutcome::Forwarded) {
            answer.taken_there =
                there.socket.as_ref().map(|socket| format!("{} of --netns {place}", words(socket)));
            return;
        }
        if there.outcome == ReachOutcome::Unknown {
            return;
        }
        answer.fails = true;
        let goes = if answer.rewritten.is_some() { "is sent on to" } else { "leaves for" };
        answer.because = format!(
            "it {goes} {}, and {} there (--netns {}): {}",
            shown(to.ip(), None, to.port()),
            super::word(there.outcome),
            place,
            there.because
        );
        let nobody = there.rule.as_deref() == Some("kernel no-listener");
        let near = owners.others().filter(|(socket, other)| {
            nobody && other.inode == namespace.inode && is_of(socket, answer.protocol)
        });
        for (socket, other) in near {
            let socket = port::described(&owners, socket, other);
            let held: Vec<String> =
                socket.holders.iter().take(2).map(crate::render::holder::short).collect();
            let misses = socket.misses(answer.protocol, to.ip()).unwrap_or_default();
            answer.notes.push(format!(
                "there listens {}, {}: {}{}",
                socket.local,
                held.join(", "),
                misses.split("; ").next().unwrap_or_default(),
                match socket.ip.is_loopback() {
                    true => {
                        "; 127.0.0.1 of a container is its own: a server that is published has to \
                         listen on 0.0.0.0 inside"
                    }
                    false => "",
                }
            ));
        }
    }

    /// The numbers of the namespaces that a device leads to, or the ports of a bridge do.
    fn leads_to(&self, device: Option<&str>) -> Vec<u32> {
        let network = &self.traffic.network;
        let Some(device) = device.and_then(|name| network.named(name)) else { return Vec::new() };
        let ports = network.devices.iter().filter(|port| port.master == device.index);
        ports.chain([device]).filter_map(|port| port.peer_netns).collect()
    }

    /// Whether a device leads to other namespaces of this machine only, as far as its kind says: a
    /// bridge may have a virtual machine or a cable on it too.
    fn is_virtual(&self, device: Option<&str>) -> bool {
        let network = &self.traffic.network;
        let Some(device) = device.and_then(|name| network.named(name)) else { return false };
        let mut ports = network.devices.iter().filter(|port| port.master == device.index);
        match device.kind.as_ref() {
            "veth" => true,
            "bridge" => ports.all(|port| port.kind.as_ref() == "veth"),
            _ => false,
        }
    }
}

/// An address that no namespace has.
fn left_over(answer: &mut Answer, to: SocketAddr) {
    answer.fails = true;
    answer.because = format!(
        "it is sent on to {}, an address that no network namespace of this machine has: nobody \
         answers; a mapping left over from a container that is gone or has another address by now?",
        shown(to.ip(), None, to.port())
    );
}

/// Follows the packets in another namespace, on a thread that is there.
fn follow(namespace: &Namespace, target: &Target, answer: &Answer) -> Option<Answer> {
    let asked = live::Asked { netns: Some(namespace.argument()), ..live::Asked::default() };
    let (from, _) = answer.from.split_once('%')?;
    let from = From { ip: from.parse().ok()?, device: None };
    let follow = || {
        let mut setting = live::setting_of(&asked).ok()?;
        Reaching::new(&mut setting).ok()?.answer(target, &from).ok()
    };
    thread::scope(|scope| scope.spawn(follow).join().ok().flatten())
}

fn words(socket: &SocketAnswer) -> String {
    let held = match (socket.pid, &socket.command) {
        (Some(pid), Some(command)) => format!(", pid {pid} ({command})"),
        _ => String::new(),
    };
    format!("{}{held}", socket.local)
}

/// What stands between the firewall and the server.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
fn filtered(answer: &mut Answer) {
    #[cfg(target_os = "linux")]
    if let Some(pid) = answer.socket.as_ref().and_then(|socket| socket.pid) {
        answer.notes.extend(crate::observe::cgroup::on_packets(pid));
    }
}

fn is_of(socket: &Socket, protocol: Protocol) -> bool {
    let waits = protocol == Protocol::Udp || socket.state == State::Listen;
    socket.transport.name() == protocol.name() && socket.remote.is_none() && waits
}

#[cfg(target_os = "linux")]
fn has_address(namespace: &Namespace, ip: IpAddr) -> bool {
    use crate::observe::{exposure, inventory};
    let networks = inventory::within(namespace, exposure::networks);
    networks.is_ok_and(|read| read.is_ok_and(|n| n.addresses.iter().any(|a| a.ip == ip)))
}

#[cfg(target_os = "linux")]
fn number(namespace: &Namespace) -> Option<u32> {
    crate::observe::inventory::number(namespace)
}

#[cfg(not(target_os = "linux"))]
fn number(_: &Namespace) -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
fn has_address(_: &Namespace, _: IpAddr) -> bool {
    false
}
