//! The kernels beside Linux and macOS: recorded scenarios replayed, and what they answer to every
//! question of the small world, held against what they answered when it was written down.
//!
//! The table is the model's own, since nobody has these kernels at hand: it shows which answers a
//! change of a rule changes. `PORTWISE_BLESS=1` writes it anew; say in the commit why.

use std::{
    fmt::Write as _,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use portwise_model::{
    Kernel, KernelFamily, Outcome, freebsd, illumos, netbsd, openbsd, outcomes,
    scenario::{Modelled, Replay, Scenario, StepResult, host_of},
    settle, windows, xnu,
};

use crate::small_world::world::{kernels, worlds};

fn data(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data")).join(name)
}

fn named(name: &str) -> Kernel {
    let (family, version) = name.split_once('-').unwrap_or((name, ""));
    match family {
        "xnu" => xnu::from_tag(version),
        "freebsd" => freebsd::from_version(version),
        "openbsd" => openbsd::from_version(version),
        "netbsd" => netbsd::from_version(version),
        "windows" => windows::from_version(version),
        _ => Some(illumos::kernel()),
    }
    .unwrap_or_else(|| panic!("{name} is not known"))
}

#[test]
fn no_scenario_disagrees() {
    let text = std::fs::read_to_string(data("other-kernels.jsonl")).expect("it is there");
    let mut agree = 0;
    for line in text.lines() {
        let scenario: Scenario = serde_json::from_str(line).expect("a scenario");
        for name in scenario.all_kernels() {
            let (host, world) = host_of(named(name), &scenario.setup).expect("such a host");
            let tally = Replay::new(&mut Modelled::new(host, world)).run(&scenario);
            match tally.first_bad() {
                None => agree += 1,
                Some((at, StepResult::Disagree { op, expected, answered })) => panic!(
                    "{} on {name} step {at} {op}: recorded {expected}, model {answered}",
                    scenario.id
                ),
                Some((at, other)) => panic!("{} on {name} step {at}: {other:?}", scenario.id),
            }
        }
    }
    assert!(agree >= 261, "{agree}");
}

/// The short form of what may be answered, the rule that says so, and its evidence or what becomes
/// of the socket, as a number.
fn told(possible: &[Outcome], rule: &str, more: &str) -> String {
    let names: Vec<&str> = possible.iter().map(|outcome| outcome.name()).collect();
    let more = more.bytes().fold(7u8, |sum, byte| sum.rotate_left(3).wrapping_add(byte) ^ 0x5a);
    match names.as_slice() {
        ["ok"] => format!(".{more:02x}"),
        names => {
            format!("{}:{}{more:02x}", names.join("|"), rule.rsplit('.').next().unwrap_or_default())
        }
    }
}

/// A line for each kernel, host and asker; a word for each question.
fn table() -> String {
    let mut text = String::new();
    let elsewhere =
        |kernel: &Kernel| !matches!(kernel.family, KernelFamily::Linux | KernelFamily::Xnu);
    for kernel in kernels().into_iter().filter(elsewhere) {
        for (at, world) in worlds(&kernel).into_iter().enumerate() {
            for (nth, host) in world.hosts.iter().enumerate() {
                for asker in &world.askers {
                    let _ = write!(text, "{} {at}.{nth} {}:", kernel.release, asker.name);
                    for request in &world.requests {
                        let (mut last, mut more) = ("", String::new());
                        let possible = outcomes(host, &asker.subject, request, |rule, finding| {
                            if *finding != portwise_model::Finding::Passes {
                                (last, more) = (rule.id, format!("{finding:?}"));
                            }
                        });
                        if possible.contains(&Outcome::Ok) {
                            let mut after = host.clone();
                            let call = &request.call;
                            let socket =
                                settle(&mut after, &request.socket, call, Outcome::Ok, None);
                            more += &format!("{socket:?}");
                        }
                        let _ = write!(text, " {}", told(&possible, last, &more));
                    }
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// Compares a table of questions with the one in the project.
pub(crate) fn held_against(name: &str, now: &str) {
    let file = data(name);
    if std::env::var_os("PORTWISE_BLESS").is_some() {
        let mut out = GzEncoder::new(File::create(&file).expect("writable"), Compression::best());
        out.write_all(now.as_bytes()).and_then(|()| out.finish()).expect("writable");
    }
    let mut was = String::new();
    let opened = File::open(&file).expect("it is there");
    GzDecoder::new(opened).read_to_string(&mut was).expect("a gzip file");
    assert_eq!(now.lines().count(), was.lines().count(), "hosts or askers came or went");
    for (now, was) in now.lines().zip(was.lines()) {
        let question = now.split(": ").next().unwrap_or_default();
        assert_eq!(now.split(' ').count(), was.split(' ').count(), "{question}: other questions");
        let differ = now.split(' ').zip(was.split(' ')).enumerate().find(|(_, (n, w))| n != w);
        if let Some((nth, (now, was))) = differ {
            panic!("{question}, question {nth}: {now}, was {was}");
        }
    }
}

#[test]
fn no_answer_of_the_small_world_changed() {
    held_against("other-kernels-table.gz", &table());
}
