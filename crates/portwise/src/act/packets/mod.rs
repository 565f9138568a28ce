//! Random rulesets against the running kernel: real packets between namespaces, beside the prediction.
//!
//! A thread stands in a network namespace of its own, a router with a neighbour on each of two
//! links. For every scenario it loads random rules with the real tools, opens sockets, and sends
//! packets one after another; each has to end where `reach` says it does.

mod counters;
mod grammar;
mod iptables;
mod probe;
mod random;
mod words;
mod world;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use portwise_model::ReachOutcome;

use self::{grammar::Rules, probe::Probe, random::Random, world::World};
use crate::{Trouble, observe::live, reach::Reaching};

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many scenarios.
    pub count: u64,
    /// Which ones.
    pub seed: u64,
    /// Leaves out the first of them.
    pub skip: u64,
    /// No scenario is started after this long.
    pub within: Option<Duration>,
    /// Keeps every scenario, with what the model answered.
    pub record: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Summary {
    /// Scenarios that were played.
    pub scenarios: u64,
    /// Those with a packet of which nothing was predicted.
    pub open_scenarios: u64,
    /// Packets that were sent.
    pub packets: u64,
    /// Packets of which nothing was predicted.
    pub open: u64,
    /// Packets of which the rule that stopped them is known by its counter.
    pub attributed: u64,
    /// How often packets ended in each way.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How often each part of a rule occurred.
    pub parts: BTreeMap<String, u64>,
    /// Rulesets that the tool did not take.
    pub refused: u64,
    /// What it said of the first one.
    pub refusal: Option<String>,
    /// Why packets were open, and how many.
    pub why_open: BTreeMap<String, u64>,
    /// The scenarios, a line of JSON each, if they were to be kept.
    pub recorded: Vec<String>,
    /// The first disagreement, made small.
    pub mismatch: Option<Mismatch>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A packet that ended elsewhere.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The number of the scenario.
    pub number: u64,
    /// The packet.
    pub packet: String,
    /// Where the model has it end, and why.
    pub predicted: String,
    /// Where it ended.
    pub observed: String,
    /// The rules.
    pub rules: String,
    /// The sockets.
    pub sockets: String,
}

/// How many packets are sent through one ruleset.
const PACKETS: usize = 6;

/// Plays random scenarios until one disagrees.
///
/// # Errors
/// Without root, namespaces, or the tools that load rules.
pub fn random(plan: &Plan, progress: &(dyn Fn(u64) + Sync)) -> Result<Summary, Trouble> {
    let plan = *plan;
    // The namespaces vanish with the thread.
    std::thread::scope(|scope| {
        let played = scope.spawn(move || play(&plan, progress)).join();
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn play(plan: &Plan, progress: &dyn Fn(u64)) -> Result<Summary, Trouble> {
    let start = Instant::now();
    let mut world = World::build()?;
    let mut summary = Summary::default();
    for number in plan.skip..plan.skip + plan.count {
        if plan.within.is_some_and(|within| start.elapsed() > within) {
            break;
        }
        let mut random = Random::new(plan.seed, number);
        let mut rules = match random.below(4) {
            0 | 1 => Rules::nftables(&mut random),
            n => iptables::rules(&mut random, n == 2 || !world.has_legacy),
        };
        let sockets = world::sockets(&mut random);
        let probes: Vec<Probe> = (0..PACKETS).map(|_| Probe::random(&mut random)).collect();
        if let Err(why) = load(&mut world, &mut rules) {
            summary.refused += 1;
            summary.refusal.get_or_insert(why);
            continue;
        }
        world.open(&sockets)?;
        for part in rules.lines.iter().flat_map(|line| &line.parts) {
            *summary.parts.entry(part.clone()).or_default() += 1;
        }
        summary.scenarios += 1;
        let mut is_open = false;
        for probe in &probes {
            summary.packets += 1;
            match compare(&mut world, probe)? {
                Compared::Agree { outcome, attributed } => {
                    summary.attributed += u64::from(attributed);
                    *summary.outcomes.entry(outcome).or_default() += 1;
                }
                Compared::Open(why) => {
                    is_open = true;
                    summary.open += 1;
                    *summary.why_open.entry(why).or_default() += 1;
                }
                Compared::Disagree { predicted, observed } => {
                    let rules = shrink(&mut world, &rules, probe)?;
                    let first = Mismatch {
                        number,
                        packet: probe.to_string(),
                        predicted,
                        observed,
                        rules: rules.text(),
                        sockets: world::shown(&sockets),
                    };
                    summary.mismatch = Some(described(&mut world, &rules, probe, first)?);
                    summary.elapsed = start.elapsed();
                    return Ok(summary);
                }
            }
        }
        summary.open_scenarios += u64::from(is_open);
        if plan.record {
            summary.recorded.push(record(&probes)?);
        }
        progress(number - plan.skip + 1);
    }
    summary.elapsed = start.elapsed();
    Ok(summary)
}

/// Loads rules without those that the tool does not take, such as two protocols in one rule.
fn load(world: &mut World, rules: &mut Rules) -> Result<(), String> {
    loop {
        match world.load(rules) {
            Ok(()) => return Ok(()),
            Err((Some(line), _)) => drop(rules.lines.remove(line)),
            Err((None, why)) => return Err(why),
        }
    }
}

enum Compared {
    Agree { outcome: &'static str, attributed: bool },
    Open(String),
    Disagree { predicted: String, observed: String },
}

/// Sends a packet and asks where it ends. What differs is tried again with more patience: an ICMP
/// error about an acknowledgement may be noticed only about its second one, a second later.
fn compare(world: &mut World, probe: &Probe) -> Result<Compared, Trouble> {
    let mut setting = live::setting()?;
    // The inodes of sockets and the rules have changed since the last one.
    let mut reaching = Reaching::new(&mut setting)?;
    let answer = reaching.answer(&probe.target(), &probe.from())?;
    if answer.outcome == ReachOutcome::Unknown {
        let why = answer.because.split(": ").next().unwrap_or_default();
        let why = why.rsplit_once("depends on ").map_or(why, |(_, what)| what);
        return Ok(Compared::Open(why.to_owned()));
    }
    let predicted = match (answer.outcome, &answer.socket) {
        (ReachOutcome::Accepted, Some(socket)) => format!("accepted by {}", socket.local),
        (outcome, _) => outcome.word().to_owned(),
    };
    let agrees = |observed: &probe::Observed| match (answer.outcome, observed) {
        (ReachOutcome::Accepted, probe::Observed::Accepted(inode)) => {
            answer.sockets.is_some() || answer.socket.as_ref().is_some_and(|s| s.inode == *inode)
        }
        (ReachOutcome::Forwarded, probe::Observed::Forwarded) => true,
        (ReachOutcome::Refused, probe::Observed::Refused) => true,
        (ReachOutcome::Silent, probe::Observed::Silent) => true,
        // What the client sees of a missing route is either.
        (ReachOutcome::NoRoute, probe::Observed::Refused | probe::Observed::Silent) => true,
        _ => false,
    };
    let named = answer.rule.as_ref().filter(|rule| answer.sole && rule.contains(" handle "));
    let before = named.map(|_| counters::read()).transpose()?;
    let mut observed = probe.send(world, Duration::from_millis(25))?;
    for patience in [60, 250, 1500] {
        if agrees(&observed) {
            break;
        }
        observed = probe.send(world, Duration::from_millis(patience))?;
    }
    let because = answer.because;
    if !agrees(&observed) {
        let predicted = format!("{predicted} ({because})");
        return Ok(Compared::Disagree { predicted, observed: world.shown(&observed) });
    }
    let outcome = answer.outcome.word();
    let (Some(rule), Some(before)) = (named.filter(|_| STOPPED.contains(&outcome)), before) else {
        return Ok(Compared::Agree { outcome, attributed: false });
    };
    let after = counters::read()?;
    // Those without a counter cannot be told from others.
    if !after.contains_key(rule) {
        return Ok(Compared::Agree { outcome, attributed: false });
    }
    let met = counters::met(&before, &after);
    if met.contains(rule) {
        return Ok(Compared::Agree { outcome, attributed: true });
    }
    let observed =
        format!("{}, and these rules met it: {}", world.shown(&observed), met.join(", "));
    Ok(Compared::Disagree { predicted: format!("{predicted} by {rule} ({because})"), observed })
}

/// All that decides about these packets, each of which ended where the model says.
fn record(probes: &[Probe]) -> Result<String, Trouble> {
    let mut setting = live::setting()?;
    let asks: Vec<_> = probes.iter().map(|probe| (probe.target(), probe.from())).collect();
    Reaching::new(&mut setting)?.recorded(&asks)
}

/// The outcomes of packets that a rule stopped.
const STOPPED: [&str; 2] = ["silent", "refused"];

/// Leaves out rules as long as the disagreement stays.
fn shrink(world: &mut World, rules: &Rules, probe: &Probe) -> Result<Rules, Trouble> {
    let mut best = rules.clone();
    let mut at = 0;
    while at < best.lines.len() {
        let mut without = best.clone();
        without.lines.remove(at);
        if world.load(&without).is_ok()
            && matches!(compare(world, probe)?, Compared::Disagree { .. })
        {
            best = without;
        } else {
            at += 1;
        }
    }
    Ok(best)
}

/// A disagreement as the rules that are left of it show it, or as it was if it does not come again.
fn described(
    world: &mut World,
    rules: &Rules,
    probe: &Probe,
    first: Mismatch,
) -> Result<Mismatch, Trouble> {
    let _ = world.load(rules);
    Ok(match compare(world, probe)? {
        Compared::Disagree { predicted, observed } => Mismatch { predicted, observed, ..first },
        _ => Mismatch {
            observed: format!("{}, and as predicted after that", first.observed),
            ..first
        },
    })
}
