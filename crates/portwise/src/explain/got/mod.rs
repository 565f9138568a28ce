//! What an errno that a program got means here: which rules could have given it, which could not
//! and why, and what no rule can see.

use portwise_model::{
    Call, Case, Errno, Finding, KernelFamily, Outcome, Protocol, Request, Step, Verdict,
    asked_alone, linux, settle,
};
use serde::Serialize;

use super::{evidence, report::Decision, trace::StepReport};
use crate::{
    Endpoint, Setting,
    pasted::{Hint, How, Pasted, System},
    render::phrase::quoted,
};

mod hint;
mod otherwise;
mod unread;

pub use hint::{Holds, JudgedHint};
pub use unread::UnreadGate;

/// What a program said, or what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The errno.
    pub errno: Option<Errno>,
    /// How a message told it; `None` if it was given by hand.
    pub how: Option<How>,
    /// The system whose message it is, if it shows that.
    pub system: Option<System>,
    /// The message's own explanation.
    pub hint: Option<Hint>,
    /// Other endpoints of the message.
    pub also: Vec<Endpoint>,
}

impl From<Pasted> for Heard {
    fn from(pasted: Pasted) -> Heard {
        let told = pasted.errno;
        Heard {
            errno: told.map(|told| told.errno),
            how: told.map(|told| told.how),
            system: told.and_then(|told| told.system),
            hint: pasted.hint,
            also: pasted.also,
        }
    }
}

/// An errno that a program got, held against what the kernel answers here and now.
#[derive(Clone, Debug, Serialize)]
pub struct Got {
    /// The errno; null if the message tells none.
    pub errno: Option<Errno>,
    /// The text a C library prints for it.
    pub text: Option<&'static str>,
    /// How the message told it; null if it was given by hand.
    pub told: Option<How>,
    /// The system whose message it is, if its text or number shows that.
    pub system: Option<System>,
    /// Whether the kernel answers it here and now.
    pub now: Option<Now>,
    /// The rules that give this errno, in the kernel's order, `bind` before `listen`.
    pub gates: Vec<Gate>,
    /// What may give it besides, and cannot be read from here.
    pub unread: Vec<UnreadGate>,
    /// What would settle it.
    pub settle: Option<String>,
    /// The message's own explanation, judged.
    pub hint: Option<JudgedHint>,
    /// Other endpoints the message names. Untrusted text.
    pub also: Vec<String>,
}

/// Whether the kernel answers an errno here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Now {
    /// It does.
    Same,
    /// It may.
    Possible,
    /// The call fails, but with another errno.
    Other,
    /// The call succeeds.
    Success,
}

/// A rule that gives the errno.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    /// The call it belongs to.
    pub call: &'static str,
    /// Whether it could have given the errno.
    pub could: Could,
    /// The rule that stops the call before this one is asked.
    pub behind: Option<&'static str>,
    /// The rule, asked by itself.
    pub step: StepReport,
}

/// Whether a rule could have given an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Could {
    /// It stops the call now.
    Stops,
    /// A fact is missing.
    MayStop,
    /// It lets the call pass now; sockets, addresses and interfaces come and go.
    Then,
    /// It lets this asker pass, and would stop one without privileges.
    OtherAsker,
    /// It lets a fresh socket and a well-formed address pass, such as were asked about.
    OtherRequest,
    /// It would stop the call, but another rule does before.
    Behind,
    /// It lets the call pass, whatever comes and goes.
    Cannot,
}

impl Got {
    /// Returns whether a rule stops the call now with this errno.
    pub fn is_explained(&self) -> bool {
        self.gates.iter().any(|gate| gate.could == Could::Stops)
    }
}

/// Holds what was heard against a verdict. `None` if nothing was.
pub(crate) fn against(
    setting: &mut Setting,
    request: &Request,
    verdict: &Verdict,
    decision: &Decision,
    heard: &Heard,
) -> Option<Got> {
    if heard.errno.is_none() && heard.hint.is_none() {
        return None;
    }
    let case = setting.case(request);
    let asked = heard.errno.map(|errno| gates(setting, &case, verdict, errno));
    let gates = asked.unwrap_or_default();
    let now = heard.errno.map(|errno| now(errno, decision, &gates));
    let hint = heard.hint.as_ref().map(|hint| {
        let view = hint::Facts { case: &case, decision, gates: &gates, heard };
        hint::judge(setting, &view, hint)
    });
    let unread = match (heard.errno, case.host.kernel.family) {
        (Some(errno), KernelFamily::Linux) => {
            // Of a process or program that is named the gates are known.
            let named = setting.process.is_some() || !setting.subject.programs.is_empty();
            let seen = setting.subject.gates.value().filter(|_| named);
            unread::of(errno, request.socket.protocol, seen)
        }
        _ => Vec::new(),
    };
    let settle = match (now, case.host.kernel.family) {
        (None | Some(Now::Same), _) => None,
        (_, family) => tracer(family).map(|tracer| format!("{tracer} {}", started(setting))),
    };
    Some(Got {
        errno: heard.errno,
        text: heard.errno.map(Errno::text),
        told: heard.how,
        system: heard.system,
        now,
        gates,
        unread,
        settle,
        hint,
        also: heard.also.iter().map(|endpoint| endpoint.text.clone()).collect(),
    })
}

fn now(errno: Errno, decision: &Decision, gates: &[Gate]) -> Now {
    let outcome = Outcome::Errno(errno);
    let could = |which: Could| gates.iter().any(|gate| gate.could == which);
    if could(Could::Stops) {
        return Now::Same;
    }
    if could(Could::MayStop) || decision.outcomes.iter().any(|o| o.outcome == outcome) {
        return Now::Possible;
    }
    match decision.outcomes.iter().any(|o| o.outcome == Outcome::Ok) {
        true => Now::Success,
        false => Now::Other,
    }
}

/// The rules of `bind` and `listen` that give `errno`, each asked by itself.
fn gates(setting: &mut Setting, case: &Case, verdict: &Verdict, errno: Errno) -> Vec<Gate> {
    let outcome = Outcome::Errno(errno);
    let mut case = case.clone();
    let bind = asked(setting, &mut case, outcome);
    let stopper = verdict.trace.last().filter(|step| step.finding == Finding::Stops);
    let mut found = Vec::new();
    for step in bind {
        let tried = verdict.trace.iter().find(|tried| tried.rule.id == step.rule.id);
        let behind = stopper.filter(|_| tried.is_none()).map(|stopper| stopper.rule.id);
        // What the verdict says of a rule it came to outranks what the rule says alone.
        let step = tried.cloned().unwrap_or(step);
        let call = if is_of_exec(&step) { "execve" } else { "bind" };
        // Whoever got as far as to bind was started.
        if is_of_exec(&step) && step.finding == Finding::Passes {
            continue;
        }
        found.push(gate(setting, &case, call, step, behind));
    }
    if let Some(mut listening) = listening(&case) {
        let steps = asked(setting, &mut listening, outcome).into_iter();
        for step in steps.filter(|step| !is_of_exec(step)) {
            let behind = stopper.map(|stopper| stopper.rule.id);
            found.push(gate(setting, &listening, "listen", step, behind));
        }
    }
    found
}

/// Asks the rules of a call that give `outcome`, observing what they miss.
fn asked(setting: &mut Setting, case: &mut Case, outcome: Outcome) -> Vec<Step> {
    let mut known = Vec::new();
    loop {
        let mut steps = asked_alone(&case.host, &case.subject, &case.request);
        // The gates of the program that got the errno need not be those of this asker: what is
        // known of them in general is said instead.
        let is_gate = |step: &Step| linux::gate::RULES.iter().any(|rule| rule.id == step.rule.id);
        steps.retain(|step| step.rule.outcome == outcome && !is_gate(step));
        let next = steps.iter().find_map(|step| match &step.finding {
            Finding::Unknown(missing) if !known.contains(&missing.key) => Some(missing.key.clone()),
            _ => None,
        });
        let Some(key) = next else { return steps };
        let _ = setting.observe_in(&key, case);
        known.push(key);
    }
}

/// What shows the calls of a program that it starts, and of those that this one starts.
fn tracer(family: KernelFamily) -> Option<&'static str> {
    Some(match family {
        KernelFamily::Linux => "strace -f -e trace=bind,listen",
        KernelFamily::Xnu => "sudo dtruss -f -t bind",
        KernelFamily::Freebsd => "truss -f",
        KernelFamily::Openbsd | KernelFamily::Netbsd => "ktrace -i",
        KernelFamily::Illumos => "truss -f -t bind,listen",
        KernelFamily::Windows => return None,
    })
}

/// The program in question, or a shell to start it from.
fn started(setting: &Setting) -> String {
    let words: Vec<String> = setting.command.iter().map(|word| quoted(word)).collect();
    if words.is_empty() { "sh".into() } else { words.join(" ") }
}

fn is_of_exec(step: &Step) -> bool {
    linux::EXEC.iter().any(|rule| rule.id == step.rule.id)
}

/// The case in which the socket is bound and listens.
fn listening(case: &Case) -> Option<Case> {
    let request = &case.request;
    if request.socket.protocol != Protocol::Tcp || !matches!(request.call, Call::Bind(_)) {
        return None;
    }
    let mut case = case.clone();
    let (socket, call) = (case.request.socket, case.request.call);
    let socket = settle(&mut case.host, &socket, &call, Outcome::Ok, None);
    case.request = Request { call: Call::Listen(128), socket };
    Some(case)
}

fn gate(
    setting: &mut Setting,
    case: &Case,
    call: &'static str,
    step: Step,
    behind: Option<&'static str>,
) -> Gate {
    let could = match (&step.finding, behind) {
        (Finding::Passes, _) => otherwise::could(case, &step),
        (_, Some(_)) => Could::Behind,
        (Finding::Stops, None) => Could::Stops,
        (Finding::Unknown(_), None) => Could::MayStop,
    };
    let behind = behind.filter(|_| could == Could::Behind);
    Gate { call, could, behind, step: evidence::step(setting, &step) }
}
