//! 2,500 random scenarios, recorded on Linux 6.18.44 where model and kernel agreed in every call,
//! replayed on the model: it may not have changed its mind.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::linux::Replayed;

#[test]
fn no_scenario_disagrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/linux-random.jsonl.gz");
    let file = std::fs::File::open(path).expect("the scenarios are in the project");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("a gzip file");
    let replayed: Replayed = text.lines().collect();
    println!("{replayed}");
    assert!(replayed.disagree.is_empty(), "{replayed}");
    assert!(replayed.agree >= 2490, "{replayed}");
}
