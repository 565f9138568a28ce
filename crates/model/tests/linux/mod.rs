//! Hosts, questions and replays for the tests of Linux.

use std::collections::BTreeMap;
use std::fmt;

use portwise_model::{
    Kernel, KernelFamily, Version,
    scenario::{Modelled, Replay, Scenario, StepResult, Tally, host_of},
};

/// The kernel that the scenarios were recorded on.
pub(crate) fn kernel(version: Version) -> Kernel {
    Kernel { family: KernelFamily::Linux, version, release: format!("linux-{version}").into() }
}

/// What became of scenarios, one JSON line each.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) agree: usize,
    pub(crate) disagree: Vec<String>,
    unsupported: BTreeMap<String, usize>,
}

impl<'a> FromIterator<&'a str> for Replayed {
    fn from_iter<I: IntoIterator<Item = &'a str>>(lines: I) -> Replayed {
        let mut replayed = Replayed::default();
        for line in lines {
            replayed.add(&serde_json::from_str(line).expect("a scenario"));
        }
        replayed
    }
}

impl Replayed {
    fn add(&mut self, scenario: &Scenario) {
        match replay(scenario).map(|tally| tally.first_bad().cloned()) {
            Ok(None) => self.agree += 1,
            Ok(Some((at, StepResult::Disagree { op, expected, answered }))) => self.disagree.push(
                format!("{} step {at} {op}: recorded {expected}, model {answered}", scenario.id),
            ),
            Ok(Some((_, StepResult::Unsupported(why) | StepResult::Undetermined(why))))
            | Err(why) => *self.unsupported.entry(why).or_insert(0) += 1,
            Ok(Some((_, StepResult::Agree))) => unreachable!("it is bad"),
        }
    }
}

fn replay(scenario: &Scenario) -> Result<Tally, String> {
    let kernel = kernel(Version::new(6, 18, 44));
    let (host, world) = host_of(kernel, &scenario.setup).map_err(|why| why.0)?;
    Ok(Replay::new(&mut Modelled::new(host, world)).run(scenario))
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} agree; not supported: {:#?}", self.agree, self.unsupported)?;
        let shown = self.disagree.iter().take(20);
        shown.into_iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}
