//! The rule of this host's firewall that stops what a program sends.

use std::net::{IpAddr, SocketAddr};

use portwise_model::{Protocol, ReachOutcome};

use crate::{
    Setting,
    endpoint::{Target, shown},
    explain::FixReport,
    observe::live,
    reach::{self, Reaching},
};

/// What stops it, and what would let it pass.
pub(super) struct Stopped {
    /// In words.
    pub(super) because: String,
    /// Proven by following the packet once more.
    pub(super) fixes: Vec<FixReport>,
}

/// What is to be said if a rule of this host stops packets to `to`.
pub(super) fn stops(setting: &mut Setting, protocol: Protocol, to: SocketAddr) -> Option<Stopped> {
    let ip = to.ip().to_canonical();
    if matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        // Which interface it goes by is not known here.
        return None;
    }
    let mut reaching = Reaching::new(setting).ok()?;
    let from = reaching.here(ip)?;
    let target = Target {
        shown: shown(ip, None, to.port()),
        ip,
        zone: None,
        dual_stack: None,
        port: to.port(),
        protocol,
        about_port: false,
    };
    let answer = reaching.answer_in_full(&target, &from).ok()?;
    let rule = answer.rule.as_ref().filter(|rule| !rule.starts_with("kernel "))?;
    let does = match answer.outcome {
        ReachOutcome::Silent => "drops",
        ReachOutcome::Refused => "rejects",
        _ => return None,
    };
    let text = answer.rule_text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
    let fixes = answer.fixes.into_iter().map(report).collect();
    Some(Stopped { because: format!("this host's firewall {does} it: {rule}{text}"), fixes })
}

/// The same, of a program that has ended: as far as its user does not matter.
pub(super) fn stopped(protocol: Protocol, to: SocketAddr) -> Option<Stopped> {
    stops(&mut live::setting().ok()?, protocol, to)
}

fn report(fix: reach::Fix) -> FixReport {
    FixReport {
        id: "firewall.let-pass".into(),
        title: fix.title,
        breadth: "network-namespace",
        detail: None,
        endpoint: None,
        command: Some(fix.commands.join(" && ")),
        side_effects: fix.side_effects,
    }
}
