//! Where versions of Linux differ: scenarios that `lab/kernels.sh` recorded on 5.10.262 and 6.1.192, replayed on
//! the model of each, and on that of 6.12, which answers the last call of some otherwise.

use portwise_model::{
    Call, SockOption, Version,
    linux::LOCAL_PORT_RANGE_OPTION,
    scenario::{Scenario, StepResult},
};

use crate::linux::{Replayed, answer, case, replay};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/linux-versions.jsonl");

fn text() -> String {
    std::fs::read_to_string(FILE).expect("the scenarios are in the project")
}

#[test]
fn each_version_answers_as_itself() {
    let text = text();
    let replayed: Replayed = text.lines().collect();
    assert!(replayed.disagree.is_empty(), "{replayed}");
    assert_eq!(replayed.agree, text.lines().count(), "{replayed}");
}

#[test]
fn a_later_version_answers_otherwise() {
    let mut otherwise = Vec::new();
    for line in text().lines() {
        let scenario: Scenario = serde_json::from_str(line).expect("a scenario");
        let tally = replay(&scenario, Version::new(6, 12, 117)).expect("a setup that is known");
        if let Some((at, StepResult::Disagree { answered, .. })) = tally.first_bad() {
            assert_eq!(at + 1, scenario.steps.len(), "{}", scenario.id);
            otherwise.push(format!("{}: {answered}", scenario.id));
        }
    }
    let expected = [
        "reuse-taken-back: EADDRINUSE",
        "mapped-any-missed: EADDRINUSE",
        "lowest-address: EADDRNOTAVAIL",
    ];
    assert_eq!(otherwise, expected);
}

/// What 5.10, 6.1 and 6.12 told `lab/kernels.sh`.
#[test]
fn an_option_that_a_version_lacks() {
    let range = SockOption::LocalPortRange(40000, 40001);
    for (version, expected) in [
        ((5, 10, 262), "ENOPROTOOPT"),
        ((6, 1, 192), "ok"),
        ((6, 2, 0), "ENOPROTOOPT"),
        ((6, 12, 0), "ok"),
    ] {
        let mut asked = case(portwise_model::Protocol::Tcp, "127.0.0.1", 8080);
        asked.request.call = Call::SetOption(range);
        let (major, minor, patch) = version;
        let told = answer(asked, |c| c.host.kernel.version = Version::new(major, minor, patch));
        assert_eq!(told, expected, "{version:?} {}", LOCAL_PORT_RANGE_OPTION.title);
    }
}
