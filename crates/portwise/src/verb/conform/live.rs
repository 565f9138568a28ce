//! `conform --live`: scenario files on the running kernel.

use portwise_model::scenario::Scenario;

use super::{Args, Counts, each_scenario, random::progress};
use crate::{
    Trouble,
    act::lab::{self, Replayed},
    cli::Global,
    observe::live,
};

/// Replays every file and returns the release of the kernel.
pub(super) fn run(args: &Args, global: &Global, counts: &mut Counts) -> Result<String, Trouble> {
    if global.facts.is_some() {
        return Err(Trouble::new("--live asks the running kernel; leave out --facts"));
    }
    let kernel = live::setting()?.host.kernel;
    let mut scenarios = Vec::new();
    for file in &args.files {
        each_scenario(
            file,
            global.on.as_deref(),
            counts,
            |counts, scenario, kernels| match kernels.iter().find(|name| !is_linux(name)) {
                Some(other) => counts.scenario(vec![Err(elsewhere(other))]),
                None if kernels.is_empty() => counts.scenario(Vec::new()),
                None => scenarios.push(scenario),
            },
        )?;
    }
    let bar = progress(scenarios.len() as u64);
    let jobs = args.jobs();
    let played = lab::replay(&scenarios, &kernel, jobs, &|done| bar.set_position(done));
    bar.finish_and_clear();
    let played = played.map_err(|lab::Trouble(why)| Trouble::new(why))?;
    for (scenario, replayed) in scenarios.iter().zip(played) {
        let result = judged(counts, scenario, replayed, &kernel.release);
        counts.scenario(vec![result]);
    }
    Ok(kernel.release.to_string())
}

fn judged(
    counts: &mut Counts,
    scenario: &Scenario,
    replayed: Replayed,
    release: &str,
) -> Result<bool, String> {
    let tally = replayed.map_err(|why| why.0)?;
    let recorded: Vec<&str> = scenario.all_kernels().collect();
    let title = format!("{} of {}", scenario.id, recorded.join(" "));
    counts.tally(&tally, &title, &format!("Linux {release}"))
}

/// A record of another Linux is played too: where they differ is what one wants to know.
fn is_linux(kernel: &str) -> bool {
    kernel == "linux" || kernel.starts_with("linux-")
}

fn elsewhere(kernel: &str) -> String {
    format!("kernel {kernel} is not the one that runs")
}
