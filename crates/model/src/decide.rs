//! The engine: walk the kernel's rules in the kernel's order and keep a trace.

use alloc::vec::Vec;

use crate::{
    Call, Evidence, Host, Kernel, KernelFamily, Missing, Outcome, Program, Request, Rule, Socket,
    Subject, View, freebsd, illumos, linux, netbsd, openbsd, pcb, windows, xnu,
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
    let mut trace: Vec<Step> = Vec::new();
    let possible = walk_all(host, subject, request, true, |view, rule, finding| {
        trace.push(Step { rule, finding, evidence: view.take_evidence() });
    });
    Verdict { possible, trace }
}

/// Answers a case with the outcomes alone, telling `each` what every rule said.
pub fn outcomes(
    host: &Host,
    subject: &Subject,
    request: &Request,
    mut each: impl FnMut(&'static Rule, &Finding),
) -> Vec<Outcome> {
    walk_all(host, subject, request, false, |_, rule, finding| each(rule, &finding))
}

/// Answers a call on a socket for which these rules count, in this order, and no others.
pub fn outcomes_along(
    rules: &[&'static Rule],
    host: &Host,
    subject: &Subject,
    request: &Request,
) -> Vec<Outcome> {
    let mut possible = Vec::new();
    let mut stopped = false;
    walk(&View::new(host, subject, request, false), rules, |rule, finding| {
        if finding != Finding::Passes && !possible.contains(&rule.outcome) {
            possible.push(rule.outcome);
        }
        stopped = finding == Finding::Stops;
    });
    if !stopped {
        possible.push(Outcome::Ok);
    }
    possible
}

/// Returns the subject as it is when it makes its call: after executing its programs.
pub fn after_programs(host: &Host, subject: &Subject) -> Subject {
    let mut asker = subject.clone();
    for program in &subject.programs {
        asker = execute(host, &asker, program);
    }
    asker
}

fn execute(host: &Host, subject: &Subject, program: &Program) -> Subject {
    match host.kernel.family {
        KernelFamily::Linux => linux::exec::exec(host, subject, program).subject,
        _ => subject.clone(),
    }
}

/// Walks the rules of each program's execution, then those of the call itself. Returns the
/// possible outcomes.
fn walk_all<'a>(
    host: &'a Host,
    subject: &'a Subject,
    request: &'a Request,
    record: bool,
    mut each: impl FnMut(&View<'_>, &'static Rule, Finding),
) -> Vec<Outcome> {
    let mut possible = Vec::new();
    let mut stopped = false;
    let mut walked = |view: &View<'_>, rules| {
        walk(view, rules, |rule, finding| {
            if finding != Finding::Passes && !possible.contains(&rule.outcome) {
                possible.push(rule.outcome);
            }
            stopped = finding == Finding::Stops;
            each(view, rule, finding);
        });
        !stopped
    };
    let allowed = if subject.programs.is_empty() {
        let view = View::new(host, subject, request, record);
        walked(&view, path(host.kernel.family, request))
    } else {
        let mut asker = subject.clone();
        let started = subject.programs.iter().all(|program| {
            let view = View::exec(host, &asker, program, record);
            let started = walked(&view, exec_path(host.kernel.family));
            asker = execute(host, &asker, program);
            started
        });
        let view = View::new(host, &asker, request, record);
        started && walked(&view, path(host.kernel.family, request))
    };
    if allowed {
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
    let mut steps = Vec::new();
    let mut ask = |view: &View<'_>, rules: &[&'static Rule]| {
        steps.extend(rules.iter().map(|&rule| {
            let finding = tried(rule, view);
            Step { rule, finding, evidence: view.take_evidence() }
        }));
    };
    let mut asker = subject.clone();
    for program in &subject.programs {
        ask(&View::exec(host, &asker, program, true), exec_path(host.kernel.family));
        asker = execute(host, &asker, program);
    }
    ask(&View::new(host, &asker, request, true), path(host.kernel.family, request));
    steps
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

/// The rules of a kernel for `execve`, in the order in which that kernel checks them.
pub fn exec_path(kernel: KernelFamily) -> &'static [&'static Rule] {
    match kernel {
        KernelFamily::Linux => linux::EXEC,
        _ => &[],
    }
}

/// The rules of a kernel for one call, in the order in which that kernel checks them.
pub fn path(kernel: KernelFamily, request: &Request) -> &'static [&'static Rule] {
    let (family, protocol) = (request.socket.family, request.socket.protocol);
    match (kernel, request.call) {
        (KernelFamily::Linux, Call::Bind(_)) => linux::bind_path(family, protocol),
        (KernelFamily::Linux, Call::Listen(_)) => linux::LISTEN,
        (KernelFamily::Linux, Call::Connect(_)) => linux::connect_path(protocol),
        (KernelFamily::Linux, Call::SetOption(option)) => linux::option_path(option),
        (KernelFamily::Xnu, Call::Bind(addr)) => xnu::bind_path(&request.socket, &addr),
        (KernelFamily::Xnu, Call::Listen(_)) => xnu::listen_path(&request.socket),
        (KernelFamily::Freebsd, Call::Bind(_)) => freebsd::bind_path(&request.socket),
        (KernelFamily::Freebsd, Call::Listen(_)) => freebsd::listen_path(&request.socket),
        (KernelFamily::Openbsd, Call::Bind(_)) => openbsd::BIND,
        (KernelFamily::Openbsd, Call::Listen(_)) => openbsd::listen_path(&request.socket),
        (KernelFamily::Netbsd, Call::Bind(_)) => netbsd::BIND,
        (KernelFamily::Netbsd, Call::Listen(_)) => netbsd::listen_path(&request.socket),
        (KernelFamily::Illumos, Call::Bind(_)) => illumos::bind_path(&request.socket),
        (KernelFamily::Illumos, Call::Listen(_)) => illumos::listen_path(&request.socket),
        (KernelFamily::Windows, Call::Bind(_)) => windows::BIND,
        (KernelFamily::Windows, Call::Listen(_)) => windows::listen_path(&request.socket),
        (_, Call::SetOption(_) | Call::Connect(_)) => &[],
    }
}

/// Makes the effects of `call` on `socket`, which answered `outcome`, and returns the socket as it
/// is afterwards. `port` is the one the kernel chose where the call did not name one.
pub fn settle(
    host: &mut Host,
    socket: &Socket,
    call: &Call,
    outcome: Outcome,
    port: Option<u16>,
) -> Socket {
    match host.kernel.family {
        KernelFamily::Linux => linux::settle(host, socket, call, outcome, port),
        KernelFamily::Xnu => xnu::settle(host, socket, call, outcome, port),
        _ => pcb::settle(host, socket, call, outcome, port),
    }
}

/// A host of another kernel as it comes out of the box: a loopback interface, no socket, every
/// sysctl as it was made. Of Linux nothing is assumed here.
pub fn assumed_host(kernel: Kernel) -> Host {
    match kernel.family {
        KernelFamily::Linux => Host::not_asked(kernel),
        KernelFamily::Xnu => xnu::assumed_host(kernel),
        KernelFamily::Freebsd => freebsd::assumed_host(kernel),
        KernelFamily::Openbsd => openbsd::assumed_host(kernel),
        KernelFamily::Netbsd => netbsd::assumed_host(kernel),
        KernelFamily::Illumos => illumos::assumed_host(kernel),
        KernelFamily::Windows => windows::assumed_host(kernel),
    }
}

/// Whether a fresh IPv6 socket has `IPV6_V6ONLY`, and the sysctl that says so, if one does.
pub fn v6only_by_default(host: &Host) -> (bool, Option<&'static str>) {
    let sysctl = match host.kernel.family {
        KernelFamily::Linux => "net.ipv6.bindv6only",
        KernelFamily::Xnu | KernelFamily::Freebsd => "net.inet6.ip6.v6only",
        KernelFamily::Openbsd | KernelFamily::Netbsd | KernelFamily::Windows => {
            return (true, None);
        }
        KernelFamily::Illumos => return (false, None),
    };
    (host.sysctl(sysctl).unwrap_or(0) != 0, Some(sysctl))
}
