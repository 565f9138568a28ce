//! What must be so for every question there is: a small world, walked through in full.

mod learn;
mod others;
pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::thread;

use portwise_model::{
    Case, Finding, Host, Missing, Options, Outcome, Request, Socket, Step, Verdict, decide,
    decide_parts,
    fix::{self, Breadth, Fix},
    linux, outcomes, path, rules,
};

use world::{Asker, World};

/// What was found on the way.
#[derive(Default)]
struct Found {
    questions: usize,
    /// By property, the questions that break it.
    broken: BTreeMap<&'static str, Vec<String>>,
    /// Rules that stopped a call, let one pass, and said so without evidence.
    stopped: BTreeSet<&'static str>,
    passed: BTreeSet<&'static str>,
    silent: BTreeSet<&'static str>,
    /// Fixes that were proven.
    proven: BTreeSet<&'static str>,
}

fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| {
        let walk = |kernel| {
            let mut found = Found::default();
            for world in world::worlds(kernel) {
                found.walk(&world);
            }
            found
        };
        let kernels = world::kernels();
        thread::scope(|scope| {
            let threads: Vec<_> =
                kernels.iter().map(|kernel| scope.spawn(move || walk(kernel))).collect();
            let mut all = Found::default();
            threads.into_iter().for_each(|thread| all.merge(thread.join().unwrap()));
            all
        })
    })
}

/// One question, and who asks it.
#[derive(Clone, Copy)]
struct Question<'a> {
    host: &'a Host,
    asker: &'a Asker,
    request: Request,
}

impl Question<'_> {
    fn decide(&self) -> Verdict {
        decide_parts(self.host, &self.asker.subject, &self.request)
    }

    fn shares(&self) -> bool {
        let Options { reuseaddr, reuseport, .. } = self.request.socket.options;
        reuseaddr == Some(true) || reuseport == Some(true)
    }

    fn case(&self) -> Case {
        let Question { host, asker, request } = *self;
        Case { host: host.clone(), subject: asker.subject.clone(), request }
    }
}

fn same_findings(a: &Verdict, b: &Verdict) -> bool {
    let same = |(a, b): (&Step, &Step)| a.rule.id == b.rule.id && a.finding == b.finding;
    a.trace.len() == b.trace.len() && a.trace.iter().zip(&b.trace).all(same)
}

/// Fails with the first questions that break `property`.
fn holds(property: &str) {
    let found = found();
    println!("{} questions", found.questions);
    if let Some(broken) = found.broken.get(property) {
        let shown: Vec<&str> = broken.iter().take(5).map(String::as_str).collect();
        panic!("{} times broken:\n{}", broken.len(), shown.join("\n"));
    }
}

#[test]
fn a_verdict_is_never_empty_and_several_outcomes_have_a_reason() {
    holds(OUTCOMES);
}

#[test]
fn only_the_last_step_stops() {
    holds(STEPS);
}

#[test]
fn more_privilege_never_turns_yes_to_no() {
    holds(PRIVILEGE);
}

#[test]
fn a_further_known_fact_never_widens_the_outcomes() {
    holds(FACTS);
}

#[test]
fn every_proven_fix_really_helps() {
    holds(FIXES);
}

#[test]
fn every_rule_stops_some_call_and_lets_one_pass() {
    let Found { stopped, passed, .. } = found();
    // Nobody here starts a program: `linux_exec` has the same test for those.
    let of_programs = |id: &str| linux::EXEC.iter().any(|rule| rule.id == id);
    let all: Vec<_> = rules().into_iter().filter(|rule| !of_programs(rule.id)).collect();
    let never = |seen: &BTreeSet<&str>| {
        let ids = all.iter().map(|rule| rule.id).filter(|id| !seen.contains(id));
        ids.collect::<BTreeSet<_>>()
    };
    assert_eq!(never(stopped), excepted(NEVER_STOP), "these never stop a call");
    assert_eq!(never(passed), excepted(NEVER_PASS), "these never let a call pass");
}

#[test]
fn a_rule_shows_what_it_looked_at() {
    assert_eq!(found().silent, excepted(SILENT), "these answer without evidence");
}

#[test]
fn every_fix_helps_somewhere() {
    // Nobody here starts a program: `linux_exec` has the same test for those.
    let of_programs = |id: &str| crate::linux_exec::FIXES.contains(&id);
    let all = rules().iter().flat_map(|r| r.fixes).map(|fix| fix.id).collect::<BTreeSet<&str>>();
    let all: BTreeSet<&str> = all.into_iter().filter(|id| !of_programs(id)).collect();
    assert_eq!(all, found().proven);
}

/// Rules that no question of this world makes stop, and why.
const NEVER_STOP: &[(&str, &str)] = &[
    ("freebsd.bind.automatic-port", SEARCH),
    ("freebsd.bind.jail", GATE),
    ("freebsd.bind.mac-portacl", GATE),
    ("freebsd.listen.datagram", UNREAD),
    ("illumos.bind.automatic-port", SEARCH),
    ("illumos.bind.datagram-address", UNREAD),
    ("illumos.bind.datagram-port", UNREAD),
    ("illumos.bind.datagram-taken", UNREAD),
    ("illumos.bind.sockaddr", UNREAD),
    ("illumos.bind.unbound-socket", UNREAD),
    ("illumos.listen.datagram", UNREAD),
    ("linux.bind.cgroup-program", GATE),
    ("linux.bind.landlock", GATE),
    ("linux.bind.seccomp-filter", GATE),
    ("linux.bind.security-module", GATE),
    ("linux.listen.seccomp-filter", GATE),
    ("linux.listen.security-module", GATE),
    ("netbsd.bind.automatic-port", SEARCH),
    ("netbsd.listen.datagram", UNREAD),
    ("openbsd.bind.automatic-port", SEARCH),
    ("openbsd.listen.datagram", UNREAD),
    ("windows.bind.unbound-socket", UNREAD),
    ("windows.listen.datagram", UNREAD),
    ("xnu.bind.flow-divert", GATE),
    ("xnu.bind.mac-policy", GATE),
    ("xnu.bind.network-framework", GATE),
    ("xnu.bind.socket-filter", GATE),
    ("xnu.bind.udp-ports-left", "takes 61,440 sockets: xnu_binds::udp_ports_run_out"),
    ("xnu.listen.flow-divert", GATE),
    ("xnu.listen.mac-policy", GATE),
    ("xnu.listen.socket-filter", GATE),
];
const GATE: &str = "a gate leaves the answer open where it is, and passes where it is not";

const UNREAD: &str = "what it answers was not read, so it leaves the answer open";
const SEARCH: &str = "how a full range is searched was not read, so it leaves the answer open";

/// Rules that let nothing pass, and why.
const NEVER_PASS: &[(&str, &str)] = &[
    ("freebsd.listen.datagram", UNREAD),
    ("illumos.bind.datagram-address", UNREAD),
    ("illumos.bind.datagram-port", UNREAD),
    ("illumos.bind.datagram-taken", UNREAD),
    ("illumos.listen.datagram", UNREAD),
    ("netbsd.listen.datagram", UNREAD),
    ("openbsd.listen.datagram", UNREAD),
    ("windows.listen.datagram", UNREAD),
    ("xnu.listen.stream", "is on the list of UDP only"),
];

/// Rules that may answer without looking at anything but the call itself, and why.
const SILENT: &[(&str, &str)] = &[
    ("linux.setsockopt.device-exists", OPTION),
    ("linux.setsockopt.port-range-order", OPTION),
    ("linux.setsockopt.transparent", OPTION),
];
const OPTION: &str = "the value to set, a part of the call, decides";

/// An exception that is none any more makes the sets differ, as a missing one does.
fn excepted(list: &[(&'static str, &str)]) -> BTreeSet<&'static str> {
    list.iter().map(|(id, _)| *id).collect()
}

const OUTCOMES: &str = "outcomes";
const STEPS: &str = "steps";
const PRIVILEGE: &str = "privilege";
const FACTS: &str = "facts";
const FIXES: &str = "fixes";

impl Found {
    fn merge(&mut self, other: Found) {
        self.questions += other.questions;
        for (property, broken) in other.broken {
            self.broken.entry(property).or_default().extend(broken);
        }
        self.stopped.extend(other.stopped);
        self.passed.extend(other.passed);
        self.silent.extend(other.silent);
        self.proven.extend(other.proven);
    }

    fn breaks(&mut self, property: &'static str, question: &Question<'_>, what: impl Into<String>) {
        let Question { host, asker, request } = question;
        let (kernel, who, what) = (&host.kernel.release, asker.name, what.into());
        let there: Vec<_> = host.sockets.observed().take(2).collect();
        let line = format!("{kernel}, {who}: {what}\n  {request:?}\n  there: {there:?}");
        self.broken.entry(property).or_default().push(line);
    }

    fn walk(&mut self, world: &World) {
        for &request in &world.requests {
            let mut answers = Vec::new();
            for host in &world.hosts {
                for asker in &world.askers {
                    let socket = Socket { uid: Some(asker.owner), ..request.socket };
                    let question = Question { host, asker, request: Request { socket, ..request } };
                    answers.push((question, question.decide()));
                }
            }
            for (n, (question, verdict)) in answers.iter().enumerate() {
                self.questions += 1;
                self.outcomes(question, verdict);
                self.steps(question, verdict);
                // What was answered in the same words before can be learned and fixed alike.
                if !answers[..n].iter().any(|(_, earlier)| same_findings(earlier, verdict)) {
                    self.facts(question, verdict);
                    self.fixes(question, verdict);
                }
            }
            for on_host in answers.chunks(world.askers.len()) {
                for (less, a) in on_host {
                    for (more, b) in on_host {
                        if world::at_least(less.host.kernel.family, less.asker, more.asker) {
                            self.privilege(less, more, a, b);
                        }
                    }
                }
            }
        }
    }

    fn outcomes(&mut self, question: &Question<'_>, verdict: &Verdict) {
        let possible = &verdict.possible;
        if possible.is_empty() {
            self.breaks(OUTCOMES, question, "no outcome");
        }
        let distinct: BTreeSet<&Outcome> = possible.iter().collect();
        if distinct.len() < possible.len() {
            self.breaks(OUTCOMES, question, format!("{possible:?} twice"));
        }
        if possible.len() > 1 && verdict.missing().next().is_none() {
            self.breaks(OUTCOMES, question, format!("{possible:?}, and nothing is missing"));
        }
        let alone = outcomes(question.host, &question.asker.subject, &question.request, |_, _| {});
        if alone != *possible {
            self.breaks(OUTCOMES, question, format!("{possible:?}, without a trace {alone:?}"));
        }
        if verdict.is_allowed() != (*possible == [Outcome::Ok])
            || verdict.is_refused() == possible.contains(&Outcome::Ok)
        {
            self.breaks(OUTCOMES, question, "is called what it is not");
        }
    }

    fn steps(&mut self, question: &Question<'_>, verdict: &Verdict) {
        let trace = &verdict.trace;
        let rules = path(question.host.kernel.family, &question.request);
        let in_order = trace.iter().zip(rules).all(|(step, rule)| step.rule.id == rule.id);
        let stops = trace.iter().position(|step| step.finding == Finding::Stops);
        let ends = match stops {
            Some(at) => at + 1 == trace.len(),
            None => trace.len() == rules.len(),
        };
        if !in_order || !ends {
            self.breaks(STEPS, question, format!("{trace:?}"));
        }
        let mut expected: Vec<Outcome> = Vec::new();
        for step in trace.iter().filter(|step| step.finding != Finding::Passes) {
            if !expected.contains(&step.rule.outcome) {
                expected.push(step.rule.outcome);
            }
        }
        if stops.is_none() {
            expected.push(Outcome::Ok);
        }
        if expected != verdict.possible {
            self.breaks(STEPS, question, format!("{:?} of {trace:?}", verdict.possible));
        }
        for step in trace {
            let id = step.rule.id;
            match &step.finding {
                Finding::Passes => drop(self.passed.insert(id)),
                Finding::Stops => drop(self.stopped.insert(id)),
                Finding::Unknown(missing) if missing.why.is_empty() => {
                    self.breaks(STEPS, question, format!("{id} does not say why"));
                }
                Finding::Unknown(_) => continue,
            }
            if step.evidence.is_empty() {
                self.silent.insert(id);
            }
        }
    }

    fn privilege(&mut self, less: &Question<'_>, more: &Question<'_>, a: &Verdict, b: &Verdict) {
        if (a.is_allowed() && !b.is_allowed()) || (!a.is_refused() && b.is_refused()) {
            let what = format!("{:?}, and {} {:?}", a.possible, more.asker.name, b.possible);
            self.breaks(PRIVILEGE, less, what);
        }
    }

    fn facts(&mut self, question: &Question<'_>, verdict: &Verdict) {
        let case = question.case();
        for missing in verdict.missing() {
            for known in learn::learn(&case, &missing.key) {
                let learned = decide(&known);
                let wider = learned.possible.iter().any(|o| !verdict.possible.contains(o));
                if wider {
                    let (before, after) = (&verdict.possible, &learned.possible);
                    let what = format!("{:?}: {before:?}, then {after:?}", missing.key);
                    self.breaks(FACTS, question, what);
                }
                if learned.missing().any(|m| m.key == missing.key) {
                    self.breaks(FACTS, question, format!("{:?} is still missing", missing.key));
                }
            }
        }
    }

    fn fixes(&mut self, question: &Question<'_>, verdict: &Verdict) {
        // To share is one of the fixes, so what shares already has fewer.
        if verdict.is_allowed() || question.shares() {
            return;
        }
        let learn = |case: &mut Case, missing: &Missing| {
            let mut known = learn::learn(case, &missing.key);
            let learned = !known.is_empty();
            if learned {
                *case = known.swap_remove(0);
            }
            learned
        };
        let proven = fix::fixes(&question.case(), verdict, learn);
        if !proven.is_sorted_by_key(|proven| proven.fix.breadth) {
            self.breaks(FIXES, question, "not the smallest first");
        }
        for fix::Proven { fix, case: changed } in proven {
            self.proven.insert(fix.id);
            if !keeps_to_its_breadth(fix, &question.case()) {
                self.breaks(FIXES, question, format!("{} changes more than it says", fix.id));
            }
            if decide(&changed).possible != [Outcome::Ok] {
                self.breaks(FIXES, question, format!("{} does not help", fix.id));
            }
            let offered = verdict.obstacles().flat_map(|step| step.rule.fixes);
            if !offered.into_iter().any(|offered| offered.id == fix.id) {
                self.breaks(FIXES, question, format!("{} is of no obstacle", fix.id));
            }
        }
    }
}

/// Whether a fix leaves alone what lies beyond its breadth.
fn keeps_to_its_breadth(fix: &Fix, before: &Case) -> bool {
    let mut after = before.clone();
    (fix.apply)(&mut after, 0);
    let same_subject = after.subject == before.subject;
    let same_call = after.request.call == before.request.call;
    match fix.breadth {
        Breadth::Request | Breadth::Host => same_subject,
        Breadth::Process | Breadth::Program => same_call,
        Breadth::Holder | Breadth::Netns => same_subject && same_call,
    }
}
