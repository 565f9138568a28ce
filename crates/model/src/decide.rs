//! The engine: walk the kernel's rules in the kernel's order and keep a trace.

use alloc::vec::Vec;

use crate::{
    Call, Evidence, Host, KernelFamily, Missing, Outcome, Request, Rule, Subject, View, linux, xnu,
};

/// One question: may `subject` make `request` on `host`?
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Case {
    /// What is known about the machine.
    pub host: Host,
    /// Who asks.
    pub subject: Subject,
    /// What is asked.
    pub request: Request,
}

/// What one rule said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The rule lets the call go on.
    Passes,
    /// The rule stops the call.
    Stops,
    /// The rule cannot tell without this fact.
    Unknown(Missing),
}

/// One rule, tried.
#[derive(Clone, Debug)]
pub struct Step {
    /// The rule.
    pub rule: &'static Rule,
    /// What it said.
    pub finding: Finding,
    /// What it looked at.
    pub evidence: Vec<Evidence>,
}

/// The answer: every outcome that the known facts allow, and how we got there.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// In the order of the rules; never empty. One outcome: certain. Several: a fact is missing.
    pub possible: Vec<Outcome>,
    /// The rules tried, in the kernel's order.
    pub trace: Vec<Step>,
}

impl Verdict {
    /// Returns true if the call surely succeeds.
    pub fn is_allowed(&self) -> bool {
        self.possible == [Outcome::Ok]
    }

    /// Returns true if the call surely fails.
    pub fn is_refused(&self) -> bool {
        !self.possible.contains(&Outcome::Ok)
    }

    /// Returns the steps that stop the call or may stop it.
    pub fn obstacles(&self) -> impl Iterator<Item = &Step> {
        self.trace.iter().filter(|step| step.finding != Finding::Passes)
    }

    /// Returns the facts that were missing, in the order of the rules that asked for them.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.trace.iter().filter_map(|step| match &step.finding {
            Finding::Unknown(missing) => Some(missing),
            _ => None,
        })
    }
}

/// Answers a case.
pub fn decide(case: &Case) -> Verdict {
    decide_parts(&case.host, &case.subject, &case.request)
}

/// Answers a case given in parts.
pub fn decide_parts(host: &Host, subject: &Subject, request: &Request) -> Verdict {
    let view = View::new(host, subject, request, true);
    let (mut possible, mut trace) = (Vec::new(), Vec::new());
    walk(&view, path(host.kernel.family, request), |rule, finding| {
        if finding != Finding::Passes && !possible.contains(&rule.outcome) {
            possible.push(rule.outcome);
        }
        trace.push(Step { rule, finding, evidence: view.take_evidence() });
    });
    if trace.last().is_none_or(|step: &Step| step.finding != Finding::Stops) {
        possible.push(Outcome::Ok);
    }
    Verdict { possible, trace }
}

/// Answers a case with the outcomes alone, telling `each` what every rule said.
pub fn outcomes(
    host: &Host,
    subject: &Subject,
    request: &Request,
    mut each: impl FnMut(&'static Rule, &Finding),
) -> Vec<Outcome> {
    let view = View::new(host, subject, request, false);
    let mut possible = Vec::new();
    let mut stopped = false;
    walk(&view, path(host.kernel.family, request), |rule, finding| {
        if finding != Finding::Passes && !possible.contains(&rule.outcome) {
            possible.push(rule.outcome);
        }
        stopped = finding == Finding::Stops;
        each(rule, &finding);
    });
    if !stopped {
        possible.push(Outcome::Ok);
    }
    possible
}

/// Asks every rule of the call by itself, as if those before it had let the call pass: what else
/// is in the way, and what never was.
///
/// ```
/// use portwise_model::*;
/// use core::net::{IpAddr, Ipv6Addr};
///
/// // Some rules need no fact about the host, others do.
/// let version = Version::new(6, 12, 0);
/// let kernel = Kernel { family: KernelFamily::Linux, version, release: "linux-6.12".into() };
/// let addr = SockAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 80, 0);
/// let socket = Socket::new(SocketId::ASKING, Family::Inet6, Protocol::Tcp, 1000);
/// let request = Request { call: Call::Bind(addr), socket };
/// let steps = asked_alone(&Host::not_asked(kernel), &Subject::plain(1000, "given"), &request);
/// assert_eq!(steps.len(), linux::BIND6_TCP.len());
/// let of = |id: &str| &steps.iter().find(|step| step.rule.id == id).unwrap().finding;
/// assert_eq!(of("linux.bind.zone"), &Finding::Passes);
/// assert!(matches!(of("linux.bind.port-taken"), Finding::Unknown(_)));
/// ```
pub fn asked_alone(host: &Host, subject: &Subject, request: &Request) -> Vec<Step> {
    let view = View::new(host, subject, request, true);
    let rules = path(host.kernel.family, request).iter();
    rules
        .map(|&rule| Step { rule, finding: tried(rule, &view), evidence: view.take_evidence() })
        .collect()
}

fn tried(rule: &Rule, view: &View<'_>) -> Finding {
    match (rule.stops)(view) {
        Ok(false) => Finding::Passes,
        Ok(true) => Finding::Stops,
        Err(missing) => Finding::Unknown(missing),
    }
}

fn walk(view: &View<'_>, rules: &[&'static Rule], mut each: impl FnMut(&'static Rule, Finding)) {
    for &rule in rules {
        let finding = tried(rule, view);
        let stops = finding == Finding::Stops;
        each(rule, finding);
        if stops {
            return;
        }
    }
}

/// The rules of a kernel for one call, in the order in which that kernel checks them.
pub fn path(kernel: KernelFamily, request: &Request) -> &'static [&'static Rule] {
    let (family, protocol) = (request.socket.family, request.socket.protocol);
    match (kernel, request.call) {
        (KernelFamily::Linux, Call::Bind(_)) => linux::bind_path(family, protocol),
        (KernelFamily::Linux, Call::Listen(_)) => linux::LISTEN,
        (KernelFamily::Linux, Call::SetOption(option)) => linux::option_path(option),
        (KernelFamily::Xnu, Call::Bind(addr)) => xnu::bind_path(&request.socket, &addr),
        (KernelFamily::Xnu, Call::Listen(_)) => xnu::listen_path(&request.socket),
        (KernelFamily::Xnu, Call::SetOption(_)) => &[],
    }
}
