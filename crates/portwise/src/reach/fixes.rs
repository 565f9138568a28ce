//! What lets packets in that end before they should: the smallest command for it, kept only if
//! following the packets once more, with the change made, says so.

use portwise_model::{
    Reach, ReachOutcome, ReachQuestion, Station, Stopper,
    linux::netfilter::{At, Chain, ChainKind, Ruleset},
};
use serde::Serialize;

use super::{
    Reaching,
    change::Change,
    notes::Help,
    statement::{Statement, command, plain},
};

/// A change that helps, as far as the packets in question go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What it does.
    pub title: String,
    /// The commands, in order.
    pub commands: Vec<String>,
    /// What else it does.
    pub side_effects: String,
}

/// Several tables may drop the same packet, one after the other.
const MOST_STEPS: usize = 4;

/// What a change led to.
struct Step {
    undo: Change,
    command: String,
    then: Reach,
}

impl Reaching<'_> {
    /// Lets packets past the rules that stop them.
    pub(super) fn admit(&mut self, question: &ReachQuestion, found: &Reach, help: &mut Help) {
        let mut undo = Vec::new();
        let mut commands: Vec<String> = Vec::new();
        let mut now = found.clone();
        while let (Some(&Stopper::Rule(at)), true) = (now.stopper(), commands.len() < MOST_STEPS) {
            let Some(step) = self.past(question, &now, at) else { break };
            undo.push(step.undo);
            commands.push(step.command);
            now = step.then;
        }
        for change in undo.into_iter().rev() {
            change.make(&mut self.traffic);
        }
        let nobody = Stopper::Kernel("no-listener");
        match now.outcome {
            ReachOutcome::Accepted | ReachOutcome::Forwarded => {}
            _ if now.stopper() == Some(&nobody) && !commands.is_empty() => {
                let to = now.first().and_then(|end| end.rewritten).unwrap_or(question.to);
                help.notes.push(format!(
                    "no rule is the only reason: without it the kernel would refuse, since no {} \
                     socket takes what is sent to {to}",
                    question.protocol.name()
                ));
                return;
            }
            _ => return,
        }
        let (port, name) = (question.to.port(), question.protocol.name());
        let from = question.vantage.from;
        let managed = commands.iter().any(|c| c.starts_with("ufw ") || c.starts_with("firewall-"));
        let keeps = match managed {
            true => "",
            false => {
                "; lost when the rules are loaded anew or at reboot, unless put where they \
                      come from too"
            }
        };
        help.fixes.push(Fix {
            title: format!("let {name} to port {port} in"),
            commands: commands.into_iter().map(|command| self.as_root(&command)).collect(),
            side_effects: format!(
                "for every client that meets these rules, not only {from}{keeps}"
            ),
        });
    }

    /// Lets packets past the rule that stops them, or past the policy.
    fn past(&mut self, question: &ReachQuestion, found: &Reach, at: At) -> Option<Step> {
        let rules = self.rules().ok()?;
        let chain = rules.chains.get(at.chain)?;
        if chain.base.as_ref().is_some_and(|base| base.kind == ChainKind::Nat) {
            return None;
        }
        if let Some(managed) = managed(rules, chain, question, found) {
            let (chain, command) = managed;
            let at = self.rules().ok()?.chains[chain].rules.len();
            let statement = port(question).verdict(true);
            // What its manager allows stands before everything that refuses.
            return [at, 0].into_iter().find_map(|at| {
                self.proven(question, found, (chain, at), &statement, command.clone())
            });
        }
        let places = match at.rule {
            Some(at) => vec![Some(at)],
            None => vec![None, Some(0)],
        };
        for statement in statements(question, found) {
            for &place in &places {
                let rules = self.rules().ok()?;
                let chain = &rules.chains[at.chain];
                let Some(command) = command(rules, chain, place, &statement) else { continue };
                let index = place.unwrap_or(chain.rules.len());
                let made = self.proven(question, found, (at.chain, index), &statement, command);
                if made.is_some() {
                    return made;
                }
            }
        }
        None
    }

    /// Adds a rule and keeps it if the packets get further.
    fn proven(
        &mut self,
        question: &ReachQuestion,
        found: &Reach,
        (chain, at): (usize, usize),
        statement: &Statement,
        command: String,
    ) -> Option<Step> {
        let undo = Change::Rule { chain, at, rule: statement.rule() }.make(&mut self.traffic);
        let shifted = |stopper: &Stopper| match *stopper {
            Stopper::Rule(At { chain: c, rule: Some(rule) }) if c == chain && rule >= at => {
                Stopper::Rule(At { chain: c, rule: Some(rule + 1) })
            }
            Stopper::Rule(at) => Stopper::Rule(at),
            Stopper::Kernel(check) => Stopper::Kernel(check),
        };
        let before = found.stopper().map(shifted);
        match self.follow(question) {
            Ok(then)
                if then.outcome != ReachOutcome::Unknown && then.stopper() != before.as_ref() =>
            {
                Some(Step { undo, command, then })
            }
            _ => {
                undo.make(&mut self.traffic);
                None
            }
        }
    }

    /// Where packets end with a change.
    pub(super) fn with(&mut self, changes: Vec<Change>, question: &ReachQuestion) -> Option<Reach> {
        let undo: Vec<Change> =
            changes.into_iter().map(|change| change.make(&mut self.traffic)).collect();
        let found = self.follow(question);
        for change in undo.into_iter().rev() {
            change.make(&mut self.traffic);
        }
        found.ok()
    }
}

/// Whether packets end where they should.
pub(super) fn gets_through(found: &Reach) -> bool {
    matches!(found.outcome, ReachOutcome::Accepted | ReachOutcome::Forwarded)
}

fn port(question: &ReachQuestion) -> Statement {
    Statement::new().port(question.protocol, question.to.port(), false)
}

/// The rules that may let the packets, or the answers to them, pass: narrow ones first.
fn statements(question: &ReachQuestion, found: &Reach) -> Vec<Statement> {
    let protocol = question.protocol;
    let to = found.first().and_then(|end| end.rewritten).unwrap_or(question.to);
    let of = |port: u16, is_source: bool| Statement::new().port(protocol, port, is_source);
    let mut all = Vec::new();
    if to.ip() != question.to.ip() {
        all.push(Statement::new().to(to.ip()).port(protocol, to.port(), false));
    }
    all.push(of(to.port(), false));
    if to.port() != question.to.port() {
        all.push(of(question.to.port(), false));
    }
    if question.to.is_ipv6() {
        all.push(Statement::new().solicitation());
    }
    all.push(Statement::new().known());
    all.push(of(to.port(), true));
    all.into_iter().map(|statement| statement.verdict(true)).collect()
}

/// The chain and command of the program that manages the rules, if one does: it would undo what is
/// changed behind its back.
fn managed(
    rules: &Ruleset,
    chain: &Chain,
    question: &ReachQuestion,
    found: &Reach,
) -> Option<(usize, String)> {
    let (port, name) = (question.to.port(), question.protocol.name());
    let same = |name: &str| {
        rules.chains.iter().position(|other| {
            other.family == chain.family && other.table == chain.table && other.name == name
        })
    };
    let input = found.path.iter().any(|station| match station {
        Station::Note(text) => text.ends_with(" input"),
        Station::Rule(..) => false,
    });
    if !input {
        return None;
    }
    for prefix in ["ufw", "ufw6"] {
        if let Some(user) = same(&format!("{prefix}-user-input")) {
            return Some((user, format!("ufw allow {port}/{name}")));
        }
    }
    if chain.table != "firewalld" {
        return None;
    }
    const NO_ZONES: [&str; 5] = ["_pre", "_log", "_deny", "_allow", "_post"];
    let zones = found.path.iter().filter_map(|station| match station {
        Station::Rule(_, text) => text.strip_prefix("leads to filter_IN_"),
        Station::Note(_) => None,
    });
    let zone = zones.rev().find(|name| !NO_ZONES.iter().any(|end| name.ends_with(end)))?;
    let allow = same(&format!("filter_IN_{zone}_allow"))?;
    Some((allow, format!("firewall-cmd --zone={} --add-port={port}/{name}", plain(zone)?)))
}
