//! A message's own explanation, held against the errno and the facts.

use portwise_model::{Case, Errno, KernelFamily, Outcome, asked_alone};
use serde::Serialize;

use super::{Could, Gate, Heard, otherwise};
use crate::{
    Answer, Setting,
    explain::{report::Decision, with_every_right},
    pasted::{Claim, Hint, System},
};

/// A message's explanation and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JudgedHint {
    /// What the message says. Untrusted text.
    pub text: String,
    /// What it takes for the cause.
    pub claim: Claim,
    /// Whether that holds here.
    pub holds: Holds,
    /// Why.
    pub because: String,
}

/// Whether an explanation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// It does.
    Right,
    /// It does not.
    Wrong,
    /// It may have.
    Open,
}

/// What an explanation is judged by.
pub(super) struct Facts<'a> {
    pub case: &'a Case,
    pub decision: &'a Decision,
    pub gates: &'a [Gate],
    pub heard: &'a Heard,
}

/// Judges an explanation.
pub(super) fn judge(setting: &mut Setting, facts: &Facts<'_>, hint: &Hint) -> JudgedHint {
    let here = System::from(facts.case.host.kernel.family);
    let (holds, because) = match facts.heard.system.filter(|&system| system != here) {
        Some(other) => (Holds::Open, format!("the message is of {other}, which has other rules")),
        None => match hint.claim {
            Claim::Busy => busy(facts),
            Claim::Privilege => privilege(setting, facts),
            Claim::Address => address(facts),
        },
    };
    let mut because = because;
    if hint.text.contains("already allocated")
        && let portwise_model::Call::Bind(addr) = facts.case.request.call
    {
        because += "; Docker has a table of its own of the ports it published: ";
        because += &format!("docker ps --filter publish={} names the container", addr.port);
    }
    JudgedHint { text: hint.text.clone(), claim: hint.claim, holds, because }
}

/// The errnos that a taken port gives, asked of the rules themselves.
fn of_a_taken_port(case: &Case) -> Vec<Errno> {
    let taken = otherwise::port_taken(case);
    let with = asked_alone(&taken.host, &taken.subject, &taken.request);
    let mut errnos = Vec::new();
    for step in with {
        let about_sockets =
            step.evidence.iter().any(|seen| matches!(seen, portwise_model::Evidence::InTheWay(_)));
        if let Outcome::Errno(errno) = step.rule.outcome
            && about_sockets
            && !errnos.contains(&errno)
        {
            errnos.push(errno);
        }
    }
    errnos
}

fn busy(facts: &Facts<'_>) -> (Holds, String) {
    let taken = of_a_taken_port(facts.case);
    let names: Vec<&str> = taken.iter().map(|errno| errno.name()).collect();
    let names = names.join(" or ");
    let Some(errno) = facts.heard.errno else {
        let other = facts.decision.errors().all(|o| !is_among(o.outcome, &taken));
        return match facts.decision.answer {
            Answer::No if other => {
                let now = facts.decision.refusals();
                (Holds::Wrong, format!("the kernel answers {now} here, whoever holds the port"))
            }
            Answer::No => (Holds::Right, "a socket is in the way".into()),
            Answer::Yes => (Holds::Open, "no socket is in the way now".into()),
            Answer::Unknown => (Holds::Open, "what the kernel answers is not known".into()),
        };
    };
    if !taken.contains(&errno) {
        let because = format!("{errno} is about something else; a taken port gives {names}");
        return (Holds::Wrong, because);
    }
    let could = |which: Could| facts.gates.iter().any(|gate| gate.could == which);
    match () {
        () if could(Could::Stops) => (Holds::Right, "a socket is in the way".into()),
        () if could(Could::MayStop) => {
            (Holds::Open, "whether a socket is in the way is not known".into())
        }
        () if could(Could::Behind) => {
            (Holds::Open, "a socket is in the way, but something else comes before it".into())
        }
        () if facts.decision.answer == Answer::No => {
            let now = facts.decision.refusals();
            let because = format!(
                "no socket is in the way, and the kernel answers {now} here; some programs say \
                 \"in use\" whatever the errno"
            );
            (Holds::Wrong, because)
        }
        () => (Holds::Open, "no socket is in the way now".into()),
    }
}

fn is_among(outcome: Outcome, errnos: &[Errno]) -> bool {
    matches!(outcome, Outcome::Errno(errno) if errnos.contains(&errno))
}

fn privilege(setting: &mut Setting, facts: &Facts<'_>) -> (Holds, String) {
    let mut privileged = with_every_right(facts.case);
    let helped = setting.decide_changed(&mut privileged);
    let root = match facts.case.host.kernel.family {
        KernelFamily::Linux => "every capability",
        _ => "root",
    };
    if helped.is_allowed() && facts.decision.answer != Answer::Yes {
        return (Holds::Right, format!("with {root} the call would succeed"));
    }
    if let Some(gate) = facts.gates.iter().find(|gate| gate.could == Could::OtherAsker) {
        let because = format!("it holds for an asker without privileges: {}", gate.step.title);
        return (Holds::Right, because);
    }
    if facts.decision.answer == Answer::Yes {
        let because = "the call needs no privilege here: it would succeed as asked".into();
        return (Holds::Wrong, because);
    }
    let errno = facts.heard.errno.map(Errno::name).unwrap_or("this error");
    let even = facts.decision.refusals();
    match helped.is_refused() {
        true => (Holds::Wrong, format!("no privilege lifts {errno}: with {root} it is {even} too")),
        false => (Holds::Open, "whether a privilege would help is not known".into()),
    }
}

fn address(facts: &Facts<'_>) -> (Holds, String) {
    let Some(errno) = facts.heard.errno else {
        return (Holds::Open, "the message tells no errno".into());
    };
    if errno != Errno::EADDRNOTAVAIL {
        let because = format!("{errno} is not about the address; that would be EADDRNOTAVAIL");
        return (Holds::Wrong, because);
    }
    let could = |which: Could| facts.gates.iter().any(|gate| gate.could == which);
    match () {
        () if could(Could::Stops) => (Holds::Right, "the host has no such address".into()),
        () if could(Could::MayStop) => {
            (Holds::Open, "whether the host has the address is not known".into())
        }
        () => (Holds::Open, "the host has the address now".into()),
    }
}
