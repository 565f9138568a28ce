//! The facts that rules looked at, with names and with where they were read.

use portwise_model::{Evidence, Finding, Host, Socket, Step, Verdict};

use super::trace::{EvidenceReport, Found, SocketReport, StepReport, cites};
use crate::{Setting, capability, render::phrase};

/// Reports every step of a verdict.
pub(super) fn trace(setting: &mut Setting, verdict: &Verdict) -> Vec<StepReport> {
    verdict.trace.iter().map(|taken| step(setting, taken)).collect()
}

pub(super) fn step(setting: &mut Setting, step: &Step) -> StepReport {
    let (finding, missing) = match &step.finding {
        Finding::Passes => (Found::Passes, None),
        Finding::Stops => (Found::Stops, None),
        Finding::Unknown(missing) => (Found::Unknown, Some(setting.reason(missing))),
    };
    let mut seen: Vec<&Evidence> = Vec::new();
    for evidence in &step.evidence {
        if !seen.contains(&evidence) {
            seen.push(evidence);
        }
    }
    StepReport {
        rule: step.rule.id,
        title: step.rule.title,
        fault: step.rule.fault,
        outcome: step.rule.outcome,
        finding,
        evidence: seen.into_iter().map(|e| evidence(setting, e)).collect(),
        missing,
        basis: step.rule.basis.into(),
        cites: cites(step.rule.cites),
    }
}

/// Describes a socket with the names of its device and owner.
pub(super) fn socket(setting: &mut Setting, socket: &Socket) -> SocketReport {
    let device = device(setting, socket.device);
    let user = socket.uid.and_then(|uid| setting.user(uid));
    SocketReport::new(socket, device, user)
}

fn device(setting: &mut Setting, index: u32) -> Option<String> {
    (index != 0).then(|| setting.device_name(index))
}

fn evidence(setting: &mut Setting, seen: &Evidence) -> EvidenceReport {
    let interfaces = |host: &Host| host.interfaces.source().to_string();
    match *seen {
        Evidence::Address(ip) => EvidenceReport::Address { ip },
        Evidence::Port(port) => EvidenceReport::Port { port },
        Evidence::SockAddr { family, len } => EvidenceReport::Sockaddr { family, len },
        Evidence::Asking(asking) => EvidenceReport::Asking { socket: socket(setting, &asking) },
        Evidence::Uid(uid) => EvidenceReport::Uid { uid },
        Evidence::Sysctl(ref name, value, ref from) => {
            EvidenceReport::Sysctl { name: name.to_string(), value, from: from.to_string() }
        }
        Evidence::Capability(cap, counts) => {
            let capabilities = setting.asker().capabilities;
            EvidenceReport::Capability {
                name: cap.name,
                counts,
                held: capabilities.value().map(|caps| caps.has(cap)),
                from: capabilities.source().into(),
            }
        }
        Evidence::UserNs(relation) => {
            EvidenceReport::UserNamespace { relation, from: setting.asker().userns.source().into() }
        }
        Evidence::LocalRoute(route) => EvidenceReport::LocalRoute {
            route,
            device: route.and_then(|route| device(setting, route.device)),
            from: setting.host.local_routes.source().into(),
        },
        Evidence::IfAddr(found) => EvidenceReport::InterfaceAddress {
            address: found.map(|(_, a)| format!("{}/{}", a.ip, a.prefix)),
            device: found.and_then(|(index, _)| device(setting, index)),
            state: found.map(|(_, a)| a.state),
            from: interfaces(&setting.host),
        },
        Evidence::Device(index, exists) => EvidenceReport::Device {
            index,
            name: setting.device_name(index),
            exists,
            from: interfaces(&setting.host),
        },
        Evidence::NoGate(gate) => {
            EvidenceReport::NoGate { gate, from: setting.host.policies.source().into() }
        }
        Evidence::NoOwnGate(gate) => {
            EvidenceReport::NoOwnGate { gate, from: setting.subject.gates.source().into() }
        }
        Evidence::OwnGate(ref gate, ref what) => {
            EvidenceReport::OwnGate { gate: gate.to_string(), what: what.to_string() }
        }
        Evidence::UnseenGate(ref gate, ref what) => {
            EvidenceReport::UnseenGate { gate: gate.to_string(), what: what.to_string() }
        }
        Evidence::Inode(ref inode) => EvidenceReport::Inode {
            path: inode.path.to_string(),
            mode: phrase::mode(inode.kind, inode.mode),
            uid: inode.uid,
            gid: inode.gid,
            user: setting.user(inode.uid),
        },
        Evidence::NoFile(ref path) => EvidenceReport::NoFile { path: path.to_string() },
        Evidence::Mount(ref path, ref mount) => EvidenceReport::Mount {
            path: path.to_string(),
            at: mount.at.as_ref().map(ToString::to_string),
            nosuid: mount.nosuid,
            noexec: mount.noexec,
        },
        Evidence::FileCapabilities(ref path, ref capabilities) => {
            EvidenceReport::FileCapabilities {
                path: path.to_string(),
                capabilities: capability::file(capabilities),
            }
        }
        Evidence::Bounding(set) => EvidenceReport::Bounding {
            capabilities: capability::set(set),
            from: setting.subject.credentials.source().into(),
        },
        Evidence::Feature(feature, has, ref from) => {
            EvidenceReport::Feature { feature: feature.into(), has, from: from.to_string() }
        }
        Evidence::InTheWay(ref other) => {
            EvidenceReport::InTheWay { socket: socket(setting, other) }
        }
        Evidence::Beside(ref other) => EvidenceReport::Beside { socket: socket(setting, other) },
        Evidence::LocalPorts(low, high) => {
            let from = setting.host.local_ports.source().into();
            EvidenceReport::LocalPorts { low, high, from }
        }
        Evidence::SharedBefore(port) => EvidenceReport::SharedBefore { port },
    }
}
