//! What an answer consists of: everything a rendering says, and nothing that only one says.

use std::net::IpAddr;

use portwise_model::{Errno, Family, Missing, Outcome, Protocol, Verdict, fix::Breadth};
use serde::Serialize;

use super::owner::Owner;
use super::{
    asker::AskerReport,
    got::Got,
    trace::{CiteReport, Found, SocketReport, StepReport},
};
use crate::reach::Audience;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The call surely succeeds.
    Yes,
    /// It surely fails, though it may be open how.
    No,
    /// A fact is missing that decides.
    Unknown,
}

impl Answer {
    /// The word as it is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Unknown => "unknown",
        }
    }
}

/// The answer to one address of one endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The endpoint as it was typed.
    pub asked: String,
    /// Whether the question is about the port, whatever the address.
    #[serde(skip)]
    pub about_port: bool,
    /// How to call this program again.
    #[serde(skip)]
    pub program: String,
    /// The address and port as `ss` prints them.
    pub endpoint: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The family of the asking socket.
    pub family: Family,
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// What is set on the asking socket.
    pub socket: SocketReport,
    /// Who asks.
    pub subject: SubjectReport,
    /// Who asks, in full (Linux).
    pub asker: AskerReport,
    /// The answer.
    #[serde(flatten)]
    pub decision: Decision,
    /// The rules tried, in the kernel's order.
    pub trace: Vec<StepReport>,
    /// What the socket covers once it is bound, unless it surely is not.
    pub covers: Option<Covers>,
    /// Who reaches what it covers, or the sockets in its way; null if nobody listens or it is not
    /// known how packets go.
    pub audience: Option<Audience>,
    /// The other sockets on the port.
    pub sockets: Vec<HeldSocket>,
    /// The sockets on the port in other network namespaces, which are never in the way.
    pub elsewhere: Vec<Elsewhere>,
    /// The network namespace in question, if it is not the one this program was started in.
    pub netns: Option<String>,
    /// Why the sockets of the port, or some of them, could not be looked at.
    pub sockets_hidden: Option<Missing>,
    /// How many processes could not be looked into while searching for holders.
    pub unseen_processes: usize,
    /// What else is worth knowing.
    pub notes: Vec<Note>,
    /// Changes that would surely allow the call, smallest first.
    pub fixes: Vec<FixReport>,
    /// What a program got, held against this answer; null if nothing was said of it.
    pub got: Option<Got>,
}

impl Report {
    /// The program, if it surely cannot be started.
    pub fn not_started(&self) -> Option<&str> {
        let stop = self.trace.last().filter(|step| step.finding == Found::Stops)?;
        let open = self.obstacles().count() > 1;
        let name = self.subject.program.as_deref()?;
        (stop.rule.starts_with("linux.exec.") && !open).then_some(name)
    }

    /// The steps that stop the call or may stop it.
    pub fn obstacles(&self) -> impl Iterator<Item = &StepReport> {
        self.trace.iter().filter(|step| step.finding != Found::Passes)
    }
}

/// A verdict in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The answer.
    pub answer: Answer,
    /// Every outcome that the known facts allow.
    pub outcomes: Vec<OutcomeReport>,
    /// The ids of the rules that stop the call or may stop it, in the kernel's order.
    pub rules: Vec<&'static str>,
    /// The facts that were missing.
    pub missing: Vec<Missing>,
}

impl Decision {
    /// Sums up a verdict; `reason` says why a fact is missing.
    pub fn new(verdict: &Verdict, reason: impl Fn(&Missing) -> Missing) -> Decision {
        let answer = match (verdict.is_allowed(), verdict.is_refused()) {
            (true, _) => Answer::Yes,
            (_, true) => Answer::No,
            _ => Answer::Unknown,
        };
        let mut missing: Vec<Missing> = Vec::new();
        for fact in verdict.missing().map(reason) {
            if !missing.contains(&fact) {
                missing.push(fact);
            }
        }
        let outcomes = verdict.possible.iter().copied().map(OutcomeReport::from).collect();
        let rules = verdict.obstacles().map(|step| step.rule.id).collect();
        Decision { answer, outcomes, rules, missing }
    }

    /// The errors that the call may answer.
    pub fn errors(&self) -> impl Iterator<Item = &OutcomeReport> {
        self.outcomes.iter().filter(|o| o.outcome != Outcome::Ok)
    }

    /// The names of the errors that the call may answer, joined by `|`; `-` if none.
    pub fn refusals(&self) -> String {
        join(self.errors().map(|o| o.outcome.name()))
    }
}

/// Joins words by `|`; `-` if there are none.
pub fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    if words.is_empty() { "-".into() } else { words.join("|") }
}

/// Who asks.
#[derive(Clone, Debug, Serialize)]
pub struct SubjectReport {
    /// User id.
    pub uid: u32,
    /// Login name.
    pub user: Option<String>,
    /// Group id.
    pub gid: Option<u32>,
    /// Whether it is the user who runs the program.
    pub is_self: bool,
    /// The process in whose place it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<AskingReport>,
    /// The program that makes the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// The process in whose place it is asked.
#[derive(Clone, Debug, Serialize)]
pub struct AskingReport {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub command: String,
}

/// One possible outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeReport {
    /// `ok` or the name of an errno.
    pub outcome: Outcome,
    /// The text a C library prints for it.
    pub text: &'static str,
}

impl From<Outcome> for OutcomeReport {
    fn from(outcome: Outcome) -> OutcomeReport {
        let text = match outcome {
            Outcome::Ok => "Success",
            Outcome::Errno(errno) => Errno::text(errno),
        };
        OutcomeReport { outcome, text }
    }
}

/// A socket on the port in question and who holds it.
#[derive(Clone, Debug, Serialize)]
pub struct HeldSocket {
    /// The socket.
    pub socket: SocketReport,
    /// What it does to the call.
    pub role: Role,
    /// What makes it meet the one asked for, or keeps the two apart, in words; empty if that is
    /// plain.
    pub relation: String,
    /// The processes that were seen to have it open.
    pub holders: Vec<Owner>,
    /// Why no holder is named.
    pub no_holder: Option<NoHolder>,
    /// What the kernel uses it for, if it is the kernel's own.
    pub kernel_use: Option<&'static str>,
    /// Its state as the kernel calls it.
    pub kernel_state: Option<&'static str>,
    /// In how many seconds the kernel forgets it.
    pub remaining_seconds: Option<u64>,
    /// Of a listener: how many connections wait to be accepted.
    pub waiting: Option<u32>,
}

/// A socket on the same port in another network namespace.
#[derive(Clone, Debug, Serialize)]
pub struct Elsewhere {
    /// The inode of that namespace.
    pub netns: u64,
    /// What `--netns` takes to ask there.
    pub argument: String,
    /// Its protocol.
    pub protocol: &'static str,
    /// Its state as the kernel calls it.
    pub state: &'static str,
    /// Its address and port as `ss` prints them.
    pub local: String,
    /// The processes that were seen to have it open.
    pub holders: Vec<Owner>,
}

/// What a socket on the same port does to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It is in the way.
    InTheWay,
    /// It is in the way once the call is refused for no other reason.
    Behind,
    /// It may be in the way.
    Unclear,
    /// It is not in the way.
    Beside,
}

/// Why no process is named as the holder of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoHolder {
    /// The kernel keeps it; no program has it open any more.
    Kernel,
    /// Its listener has not accepted it yet.
    NotAccepted,
    /// It is the kernel's own.
    KernelUse,
    /// Some processes could not be looked into; root could.
    NotRoot,
    /// Some processes could not be looked into, not even by root.
    NotAllowed,
    /// Every process was looked into: it is held from another pid namespace, by the kernel, or on
    /// its way between processes.
    NotFound,
    /// Holders are not among the facts given.
    NotGiven,
}

/// What a socket serves once it is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Covers {
    /// Whether IPv4 clients reach it.
    pub ipv4: bool,
    /// Whether IPv6 clients reach it.
    pub ipv6: bool,
    /// The interface packets have to arrive on.
    pub device: Option<String>,
    /// Every address it is reached at, as far as known, with its interface.
    pub addresses: Vec<CoveredAddress>,
    /// Whether there are no others.
    pub complete: bool,
    /// In words.
    pub what: String,
}

/// One address a socket is reached at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoveredAddress {
    /// The address.
    pub ip: IpAddr,
    /// Its interface.
    pub device: String,
    /// Whether only this host reaches it.
    pub loopback: bool,
}

/// Something worth knowing beside the answer.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// Stable name.
    pub id: &'static str,
    /// In words.
    pub text: String,
    /// Where it can be read, if it is about a kernel.
    pub cites: Vec<CiteReport>,
}

/// A change that surely allows the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FixReport {
    /// Stable name; of two changes that help only together both, with `+` between.
    pub id: String,
    /// What to do.
    pub title: String,
    /// Who else gains by it.
    pub breadth: &'static str,
    /// What it comes to in this case, such as the free port.
    pub detail: Option<String>,
    /// The endpoint to bind instead, if that is the change.
    pub endpoint: Option<String>,
    /// The command, as far as one works as typed.
    pub command: Option<String>,
    /// What else it does, and how long it lasts.
    pub side_effects: String,
}

/// The word for how far a fix reaches.
pub const fn breadth(breadth: Breadth) -> &'static str {
    match breadth {
        Breadth::Request => "request",
        Breadth::Process => "process",
        Breadth::Holder => "holder",
        Breadth::Program => "program",
        Breadth::Netns => "network-namespace",
        Breadth::Host => "host",
    }
}
