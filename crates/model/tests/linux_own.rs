//! Scenarios recorded on Linux, replayed on the model: none may disagree.

use std::collections::BTreeMap;

use portwise_model::{
    Kernel, KernelFamily, Version,
    scenario::{Modelled, Replay, Scenario, StepResult, Tally, host_of},
};

fn scenarios() -> Vec<Scenario> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/linux-own.jsonl");
    let text = std::fs::read_to_string(path).expect("the scenarios are in the project");
    text.lines().map(|line| serde_json::from_str(line).expect("a scenario")).collect()
}

fn replay(scenario: &Scenario) -> Result<Tally, String> {
    let kernel = Kernel {
        family: KernelFamily::Linux,
        version: Version::new(6, 18, 44),
        release: "linux-6.18".into(),
    };
    let (host, world) = host_of(kernel, &scenario.setup).map_err(|why| why.0)?;
    Ok(Replay::new(&mut Modelled::new(host, world)).run(scenario))
}

#[test]
fn no_scenario_disagrees() {
    let (mut agree, mut unsupported, mut disagree) = (0, BTreeMap::new(), vec![]);
    for scenario in scenarios() {
        let bad = replay(&scenario).map(|tally| tally.first_bad().cloned());
        match bad {
            Ok(None) => agree += 1,
            Ok(Some((at, StepResult::Disagree { op, expected, answered }))) => disagree.push(
                format!("{} step {at} {op}: recorded {expected}, model {answered}", scenario.id),
            ),
            Ok(Some((_, StepResult::Unsupported(why) | StepResult::Undetermined(why))))
            | Err(why) => *unsupported.entry(why).or_insert(0) += 1,
            Ok(Some((_, StepResult::Agree))) => unreachable!("it is bad"),
        }
    }
    println!("{agree} agree; not supported: {unsupported:#?}");
    assert!(disagree.is_empty(), "{}", disagree.join("\n"));
    assert!(agree >= 75, "{agree} agree");
}
