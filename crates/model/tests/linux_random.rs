//! Random scenarios, recorded on Linux 6.18.44 where model and kernel agreed in every call, replayed
//! on the model: it may not have changed its mind.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::linux::Replayed;

fn replay(name: &str) -> Replayed {
    let path = format!("{}/../../tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(path).expect("the scenarios are in the project");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("a gzip file");
    let replayed: Replayed = text.lines().collect();
    println!("{replayed}");
    assert!(replayed.disagree.is_empty(), "{replayed}");
    replayed
}

/// 2,500 of all kinds.
#[test]
fn no_scenario_disagrees() {
    let replayed = replay("linux-random.jsonl.gz");
    assert!(replayed.agree >= 2490, "{replayed}");
}

/// 2,000 in which sockets connect, send, or are asked who gets what: of seed 9, the first ones but
/// three, which name an automatic port by its number.
#[test]
fn no_scenario_with_packets_disagrees() {
    let replayed = replay("linux-random-talk.jsonl.gz");
    assert!(replayed.agree >= 1990, "{replayed}");
}
