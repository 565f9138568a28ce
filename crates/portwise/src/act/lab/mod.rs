//! The laboratory: random scenarios on the model and on the running kernel, side by side, and
//! recorded ones on the kernel.
//!
//! Each worker thread has a network namespace of its own, made as `world` says; scenario n of a
//! seed is the same on every machine and with every number of workers.

mod arrive;
mod generate;
mod kernel;
mod live;
mod namespace;
mod play;
mod probe;
mod recorded;
mod room;
mod script;
mod shrink;
mod world;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use portwise_model::{
    Choice, Host, Kernel, Rule,
    scenario::{Modelled, Scenario, Who, host_of},
};

use portwise_sys::ns;

use generate::{Cast, Generator};
use live::Live;
pub use play::Came;
use play::{Played, play};
pub use probe::{Probed, probe};
pub use recorded::{Replayed, replay};

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many scenarios.
    pub count: u64,
    /// Which ones.
    pub seed: u64,
    /// The first of them.
    pub skip: u64,
    /// How many threads.
    pub jobs: usize,
    /// Keep what was played, as scenarios with the kernel's answers.
    pub record: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Summary {
    /// Scenarios played.
    pub scenarios: u64,
    /// Calls compared.
    pub calls: u64,
    /// Calls for which the model allowed more than one outcome.
    pub open: u64,
    /// Scenarios with such a call.
    pub open_scenarios: u64,
    /// Calls of `connect`.
    pub connections: u64,
    /// Packets of which it was asked who gets them.
    pub packets: u64,
    /// Connections and packets that one socket of a group got, and the model allows each.
    pub ties: u64,
    /// By step of the lookup: how many packets and connections it decided.
    pub lookups: Vec<(&'static Choice, u64)>,
    /// Disagreements that did not come again when the scenario was repeated.
    pub passing: u64,
    /// What each rule did.
    pub rules: Vec<Tried>,
    /// The first disagreement.
    pub mismatch: Option<Found>,
    /// What was played, if that was asked for.
    pub recorded: Vec<Scenario>,
    /// How long it took.
    pub elapsed: Duration,
    /// What was left out, and why.
    pub not_run: Vec<String>,
}

/// A rule, and in how many scenarios it stopped a call and let one pass.
#[derive(Debug)]
pub struct Tried {
    /// The rule.
    pub rule: &'static Rule,
    /// Scenarios in which it stopped a call.
    pub stopped: u64,
    /// Scenarios in which it let one pass.
    pub passed: u64,
    /// The last scenario of each kind: a rule counts once in it.
    last: [u64; 2],
}

/// A disagreement, made small.
#[derive(Debug)]
pub struct Found {
    /// Which scenario of the seed it was.
    pub number: u64,
    /// The scenario, with the kernel's answers.
    pub scenario: Scenario,
    /// What the kernel answered last.
    pub observed: Came,
    /// What the model allows there.
    pub allowed: Vec<Came>,
}

/// Why the laboratory cannot work here.
#[derive(Debug)]
pub struct Trouble(pub String);

/// Plays `plan` on `kernel`, the running one, calling `progress` with the number of scenarios
/// played so far.
///
/// # Errors
///
/// If no network namespace can be made.
pub fn random(
    plan: &Plan,
    kernel: &Kernel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Summary, Trouble> {
    let started = Instant::now();
    let home = namespace::enter(None)?;
    let shared = Shared {
        plan,
        kernel,
        home,
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        summary: Mutex::new(Summary::default()),
    };
    let trouble = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                if let Err(why) = shared.work() {
                    shared.stop.store(true, Ordering::Relaxed);
                    trouble.lock().expect("no worker panics").get_or_insert(why);
                }
            });
        }
        while !shared.stop.load(Ordering::Relaxed) {
            let done = shared.done.load(Ordering::Relaxed);
            progress(done);
            if done >= plan.count {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    if let Some(why) = trouble.into_inner().expect("no worker panics") {
        return Err(why);
    }
    let mut summary = shared.summary.into_inner().expect("no worker panics");
    summary.elapsed = started.elapsed();
    if home.uid != 0 || home.caps.is_some() {
        summary.not_run.push(
            "calls by several users: a user namespace has one uid; run as root for them".into(),
        );
    }
    portwise_model::sort::sort_by_key(&mut summary.rules, |tried| tried.rule.id);
    portwise_model::sort::sort_by(&mut summary.recorded, |a, b| a.id.cmp(&b.id));
    Ok(summary)
}

/// How many scenarios a worker takes at a time.
const BATCH: u64 = 256;

struct Shared<'a> {
    plan: &'a Plan,
    kernel: &'a Kernel,
    home: Who,
    next: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
    summary: Mutex<Summary>,
}

impl Shared<'_> {
    fn work(&self) -> Result<(), Trouble> {
        ns::unshare_files().map_err(|e| Trouble(format!("unshare: {e}")))?;
        let mut room = Room::new(self.kernel, self.home)?;
        let mut live = Live::new(self.home).map_err(|e| Trouble(format!("capget: {e}")))?;
        let mut own = Summary::default();
        while !self.stop.load(Ordering::Relaxed) {
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.plan.count {
                break;
            }
            let last = (first + BATCH).min(self.plan.count);
            for n in first..last {
                let number = self.plan.skip + n;
                if let Some(found) = self.one(&mut room, &mut live, number, &mut own)? {
                    self.stop.store(true, Ordering::Relaxed);
                    own.mismatch = Some(found);
                    break;
                }
            }
            self.done.fetch_add(last - first, Ordering::Relaxed);
        }
        self.summary.lock().expect("no worker panics").add(own);
        Ok(())
    }

    /// Plays scenario `number`; returns a disagreement that stays.
    fn one(
        &self,
        room: &mut Room,
        live: &mut Live,
        number: u64,
        own: &mut Summary,
    ) -> Result<Option<Found>, Trouble> {
        let seed = self.plan.seed.wrapping_mul(0x1_0000_0001).wrapping_add(number);
        let mut played = room.random(live, seed)?;
        own.count(&played);
        if played.mismatch.is_none() {
            if self.plan.record {
                own.recorded.push(self.scenario(room, number, &played));
            }
            return Ok(None);
        }
        for _ in 0..3 {
            live.sweep().map_err(|e| Trouble(e.to_string()))?;
            let again = room.random(live, seed)?;
            if again.mismatch.is_none() {
                own.passing += 1;
                return Ok(None);
            }
            played = again;
        }
        let ops: Vec<_> = played.ops.iter().map(|(op, _)| *op).collect();
        // Smaller, but the same disagreement: leaving out calls must not lead to another one.
        let same = |again: &Played| again.mismatch == played.mismatch;
        let small = shrink::shrink(ops, |part| room.replay(live, part).is_ok_and(|p| same(&p)));
        let played = room.replay(live, &small)?;
        let Some(mismatch) = played.mismatch.clone() else {
            own.passing += 1;
            return Ok(None);
        };
        let scenario = self.scenario(room, number, &played);
        let (observed, allowed) = (mismatch.observed, mismatch.allowed);
        Ok(Some(Found { number, scenario, observed, allowed }))
    }

    fn scenario(&self, room: &Room, number: u64, played: &Played) -> Scenario {
        let id = format!("random-{}-{number:07}", self.plan.seed);
        let kernel = format!("linux-{}", self.kernel.version);
        script::to_scenario(id, kernel, &world::setup(), &room.devices, played)
    }
}

/// A worker's namespace, and what the model knows of it.
struct Room {
    home: Who,
    cast: Cast,
    devices: BTreeMap<u32, String>,
    host: Host,
    /// Kept from one scenario to the next for its memory.
    model: Modelled,
}

impl Room {
    fn new(kernel: &Kernel, home: Who) -> Result<Room, Trouble> {
        namespace::build()?;
        let (host, world) =
            host_of(kernel.clone(), &world::setup()).map_err(|why| Trouble(why.0))?;
        let interfaces = host.interfaces.value().map(|i| i.list.as_slice()).unwrap_or_default();
        let devices: BTreeMap<u32, String> =
            interfaces.iter().map(|i| (i.index, i.name.to_string())).collect();
        let index = |name: &str| devices.iter().find(|d| d.1 == name).map_or(0, |d| *d.0);
        let indices = ["lo", "d0", "d1", "x0"].map(index).to_vec();
        let cast = match home.caps {
            None => Cast::root(indices),
            Some(_) => Cast::one(home.uid, indices),
        };
        let model = Modelled::new(host.clone(), world);
        Ok(Room { home, cast, devices, host, model })
    }

    fn random(&mut self, live: &mut Live, seed: u64) -> Result<Played, Trouble> {
        self.tidy(live)?;
        let mut generator = Generator::new(seed, &self.cast);
        let next = |model: &Modelled| generator.next(model.machine());
        Ok(play(live, &mut self.model, &self.host, next))
    }

    fn replay(&mut self, live: &mut Live, ops: &[script::Op]) -> Result<Played, Trouble> {
        self.tidy(live)?;
        let mut ops = ops.iter().copied();
        Ok(play(live, &mut self.model, &self.host, |_| ops.next()))
    }

    /// Moves into a fresh namespace of the same kind if the last scenario left something behind.
    fn tidy(&self, live: &mut Live) -> Result<(), Trouble> {
        if live.is_littered() {
            live.become_(self.home);
            namespace::build()?;
            *live = live.moved().map_err(|e| Trouble(e.to_string()))?;
        }
        Ok(())
    }
}

impl Summary {
    fn count(&mut self, played: &Played) {
        self.scenarios += 1;
        self.calls += played.ops.len() as u64;
        self.open += played.open;
        self.open_scenarios += u64::from(played.open > 0);
        self.connections += played.connections;
        self.packets += played.packets;
        self.ties += played.ties;
        for &choice in &played.found {
            self.count_lookup(choice, 1);
        }
        for &(rule, stopped) in &played.tried {
            let number = self.scenarios;
            let Tried { stopped: stops, passed: passes, last, .. } = self.rule(rule);
            if std::mem::replace(&mut last[usize::from(stopped)], number) != number {
                *(if stopped { stops } else { passes }) += 1;
            }
        }
    }

    /// Rules are told apart by where they stand, and sorted by that: this is asked a hundred times
    /// in a scenario.
    fn rule(&mut self, rule: &'static Rule) -> &mut Tried {
        let place = |rule: &'static Rule| std::ptr::from_ref(rule) as usize;
        let at = self.rules.binary_search_by_key(&place(rule), |tried| place(tried.rule));
        let at = at.unwrap_or_else(|at| {
            self.rules.insert(at, Tried { rule, stopped: 0, passed: 0, last: [0; 2] });
            at
        });
        &mut self.rules[at]
    }

    fn count_lookup(&mut self, choice: &'static Choice, times: u64) {
        match self.lookups.iter_mut().find(|(c, _)| std::ptr::eq(*c, choice)) {
            Some((_, all)) => *all += times,
            None => self.lookups.push((choice, times)),
        }
    }

    fn add(&mut self, other: Summary) {
        self.scenarios += other.scenarios;
        self.calls += other.calls;
        self.open += other.open;
        self.open_scenarios += other.open_scenarios;
        self.connections += other.connections;
        self.packets += other.packets;
        self.ties += other.ties;
        for (choice, times) in other.lookups {
            self.count_lookup(choice, times);
        }
        self.passing += other.passing;
        for Tried { rule, stopped, passed, .. } in other.rules {
            let tried = self.rule(rule);
            tried.stopped += stopped;
            tried.passed += passed;
        }
        self.mismatch = self.mismatch.take().or(other.mismatch);
        self.recorded.extend(other.recorded);
    }
}
