//! Scenarios recorded on Linux by hand, replayed on the model: none may disagree.

use crate::linux::Replayed;

#[test]
fn no_scenario_disagrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/linux-own.jsonl");
    let text = std::fs::read_to_string(path).expect("the scenarios are in the project");
    let replayed: Replayed = text.lines().collect();
    println!("{replayed}");
    assert!(replayed.disagree.is_empty(), "{replayed}");
    assert!(replayed.agree >= 127, "{replayed}");
}
