//! Scenarios recorded on Linux by hand, replayed on the model: none may disagree.

use crate::linux::Replayed;

#[test]
fn no_scenario_disagrees() {
    replay("linux-own.jsonl", 130);
}

/// Every operation and option of the format, as this kernel answers it.
#[test]
fn no_operation_of_the_format_disagrees() {
    replay("linux-format.jsonl", 258);
}

fn replay(file: &str, least: usize) {
    let path = format!("{}/../../tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the scenarios are in the project");
    let replayed: Replayed = text.lines().collect();
    println!("{replayed}");
    assert!(replayed.disagree.is_empty(), "{replayed}");
    assert!(replayed.agree >= least, "{replayed}");
}
