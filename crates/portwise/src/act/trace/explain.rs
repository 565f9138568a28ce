//! A failure explained as `why` does, for the process it happened to, at that moment: the process
//! is stopped meanwhile.

use std::{collections::HashSet, net::SocketAddr};

use portwise_model::{
    Call as Asked, Fact, FactKey, Family, Gate, Protocol, Request, Socket, SocketId, State,
    Verdict, linux::gate::SECCOMP_FILTER,
};

use super::{
    Family as Kin,
    connect::{self, Connect},
    tracee::{Call, Record, SocketFacts},
};
use crate::{
    Answer, Endpoint, Setting, SocketSettings, Trouble,
    explain::{self, Heard, Holds, Note, Report},
    observe::live,
    pasted,
    unix::{self, UnixReport},
    verb,
};

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The call.
    pub record: Record,
    pub(super) facts: SocketFacts,
    /// Whether the same was explained before.
    pub again: bool,
    /// Why it failed, as far as it can be told.
    pub explained: Explained,
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub enum Explained {
    /// As `why` answers.
    Bind(Vec<Report>),
    /// What stops listen(2): each with the rule's fault, id and title.
    Listen(Vec<(&'static str, &'static str, &'static str)>),
    /// What a connection ran into.
    Connect(Connect),
    /// What stops a call on a Unix socket.
    Unix(Box<UnixReport>),
    /// A gate in front of the kernel's rules refused, in words.
    Gate(String),
    /// It is not known, for this reason; empty if it was explained before.
    Not(String),
}

/// Explains.
#[derive(Default)]
pub(super) struct Explainer {
    uring: HashSet<u32>,
    /// The processes that entered a Landlock domain, or were started in one.
    pub(super) domains: Kin,
}

impl Explainer {
    /// Whether a thread had not made an io_uring before.
    pub(super) fn is_first_uring(&mut self, tid: u32) -> bool {
        self.uring.insert(tid)
    }

    /// Explains a failure, unless that was done before.
    pub(super) fn explain(&self, record: Record, facts: &SocketFacts, again: bool) -> Failure {
        let explained = match again {
            true => Explained::Not(String::new()),
            false => explained(&record, facts).unwrap_or_else(|e| Explained::Not(e.to_string())),
        };
        let in_domain = self.domains.has(record.tid) || self.domains.has(record.pid);
        let explained = match explained {
            Explained::Bind(reports) => Explained::Bind(gates(reports, &record, in_domain)),
            Explained::Connect(mut connect)
                if in_domain && record.errno == Some(portwise_sys::Errno::EACCES) =>
            {
                connect.because = LANDLOCK.into();
                Explained::Connect(connect)
            }
            other => other,
        };
        Failure { record, facts: *facts, again, explained }
    }

    /// What an address that was bound covers, in words.
    pub(super) fn covers(&self, record: &Record, facts: &SocketFacts) -> Option<String> {
        if record.call != Call::Bind {
            return None;
        }
        let mut setting = setting(record.pid).ok()?;
        let (endpoint, settings) = question(record, facts)?;
        let target = verb::targets(&setting, &endpoint, None, &settings).ok()?.pop()?;
        let request = setting.request(&target, &settings).ok()?;
        Some(explain::covers(&mut setting, &request).what)
    }

    /// What a program says about a failure, and why that is wrong; `None` if it is not, or says
    /// nothing of causes.
    pub(super) fn wrong_hint(
        &self,
        record: &Record,
        facts: &SocketFacts,
        text: &str,
    ) -> Option<(String, String)> {
        let hint = pasted::hint(text)?;
        let (endpoint, settings) = question(record, facts)?;
        let errno = portwise_model::Errno::from_name(record.errno?.name()?);
        let heard = Heard { errno, hint: Some(hint), ..Heard::default() };
        let mut setting = setting(record.pid).ok()?;
        let reports = verb::why::why_heard(&mut setting, &endpoint, None, &settings, &heard);
        let judged = reports.ok()?.into_iter().find_map(|report| report.got?.hint)?;
        (judged.holds == Holds::Wrong).then_some((judged.text, judged.because))
    }
}

const LANDLOCK: &str = "Landlock: the program put itself in a domain before \
    (landlock_restrict_self), which answers EACCES to TCP ports that its rules do not name";

/// Says what stands in front of the rules for ports where these refuse nothing.
fn gates(mut reports: Vec<Report>, record: &Record, in_domain: bool) -> Vec<Report> {
    let is_eacces = record.errno == Some(portwise_sys::Errno::EACCES);
    for report in reports.iter_mut().filter(|report| report.decision.answer == Answer::Yes) {
        report.covers = None;
        if in_domain && is_eacces && record.protocol == Some(Protocol::Tcp) {
            let text = format!("{LANDLOCK}; a rule for port {} has to be added", report.port);
            report.notes.retain(|note| note.id != "unseen-gates");
            let (id, cites) = ("landlock-domain", Vec::new());
            report.notes.insert(0, Note { id, text, cites });
            report.got = None;
        } else if let Some(got) = &mut report.got {
            // It was not another moment: the call failed just now.
            got.now = None;
        }
    }
    reports
}

/// The machine with this process as the one that asks.
fn setting(pid: u32) -> Result<Setting, Trouble> {
    let mut setting = live::setting_of(&live::Asked { pid: Some(pid), ..live::Asked::default() })?;
    setting.look_closely();
    let _ = setting.observe(&FactKey::Gates);
    // The call was made: of all filters of a process the strictest answer counts, and that was
    // ours, to stop and go on.
    if let Fact::Known { value: gates, .. } = &mut setting.subject.gates {
        let is_other = |gate: &Gate| gate.name != SECCOMP_FILTER;
        gates.present.retain(is_other);
        gates.unseen.retain(is_other);
    }
    Ok(setting)
}

fn explained(record: &Record, facts: &SocketFacts) -> Result<Explained, Trouble> {
    if record.by_filter {
        let errno = record.errno.map(|errno| errno.to_string()).unwrap_or_default();
        let call = record.call.name();
        return Ok(Explained::Gate(format!(
            "a seccomp filter, which the program or what started it installed, answers {errno} to \
             {call} itself: address, port and rights make no difference, root has no better luck"
        )));
    }
    let unseen = || {
        Trouble::new(
            "the address is not known: the program's file is not readable for you; root can read it",
        )
    };
    if let Some(name) = &record.unix {
        let mut setting = setting(record.pid)?;
        let call = match record.call {
            Call::Connect => unix::Call::Connect,
            _ => unix::Call::Bind,
        };
        return Ok(Explained::Unix(Box::new(unix::why(&mut setting, name, call))));
    }
    let address = record.address.ok_or_else(unseen)?;
    match record.call {
        Call::Bind => {
            let (endpoint, settings) = question(record, facts).ok_or_else(|| {
                Trouble::new("the socket is neither TCP nor UDP, and there are no rules for it")
            })?;
            let errno = record.errno.and_then(|errno| errno.name());
            let errno = errno.and_then(portwise_model::Errno::from_name);
            let heard = Heard { errno, ..Heard::default() };
            let mut setting = setting(record.pid)?;
            let mut reports =
                verb::why::why_heard(&mut setting, &endpoint, None, &settings, &heard)?;
            for report in &mut reports {
                // What is explained by the rules needs no other way to be.
                if is_explained(report, record) {
                    report.got = None;
                }
            }
            Ok(Explained::Bind(reports))
        }
        Call::Listen => {
            let mut setting = setting(record.pid)?;
            let mut request = listen(record, facts, address);
            let _ = setting.observe(&FactKey::Sockets(address.port()));
            // Who owns it is known of the socket as it is listed.
            let listed = setting.host.sockets.get(request.socket.id).and_then(|s| s.uid);
            request.socket.uid = listed;
            let verdict: Verdict = setting.decide(&request);
            let rules = verdict.obstacles().map(|s| (s.rule.fault, s.rule.id, s.rule.title));
            Ok(Explained::Listen(rules.collect()))
        }
        Call::Connect => {
            let mut setting = setting(record.pid)?;
            Ok(Explained::Connect(connect::explain(&mut setting, record, address)))
        }
    }
}

/// Whether the rules give exactly what the call got.
pub(crate) fn is_explained(report: &Report, record: &Record) -> bool {
    let errno = record.errno.and_then(|errno| errno.name()).unwrap_or_default();
    report.decision.answer == Answer::No && report.decision.refusals() == errno
}

/// What `why` would be asked.
fn question(record: &Record, facts: &SocketFacts) -> Option<(Endpoint, SocketSettings)> {
    let address = record.address?;
    let protocol = record.protocol?;
    // `*` is what serves both families, whatever the machine's default is.
    let every = address.ip().is_unspecified() && address.is_ipv6() && !facts.v6only;
    let text = match address {
        _ if every => format!("*:{}", address.port()),
        SocketAddr::V4(_) => address.to_string(),
        SocketAddr::V6(v6) if v6.scope_id() == 0 => format!("[{}]:{}", v6.ip(), v6.port()),
        SocketAddr::V6(v6) => format!("[{}%{}]:{}", v6.ip(), v6.scope_id(), v6.port()),
    };
    let mut endpoint: Endpoint = text.parse().ok()?;
    endpoint.protocol = protocol;
    let settings = SocketSettings {
        reuseaddr: facts.reuseaddr,
        reuseport: facts.reuseport,
        v6only: facts.v6only,
        freebind: facts.freebind,
        device: (facts.device != 0).then(|| facts.device.to_string()),
    };
    Some((endpoint, settings))
}

/// The request of a listen(2), with the socket as it is.
fn listen(record: &Record, facts: &SocketFacts, address: SocketAddr) -> Request {
    let family = Family::of(address.ip());
    let protocol = record.protocol.unwrap_or(Protocol::Tcp);
    let mut socket = Socket::new(SocketId(facts.inode), family, protocol, 0);
    socket.uid = None;
    socket.options.reuseaddr = Some(facts.reuseaddr);
    socket.options.reuseport = Some(facts.reuseport);
    (socket.v6only, socket.device) = (facts.v6only, facts.device);
    (socket.ip, socket.port) = (address.ip(), address.port());
    socket.state = if facts.listens { State::Listen } else { State::Closed };
    Request { call: Asked::Listen(1), socket }
}
