//! `conform --random`: what the laboratory found.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use portwise_model::{Kernel, linux, rules};
use serde::Serialize;

use super::{Args, Outcomes, closing};
use crate::{
    Trouble,
    act::lab::{self, Found, Plan, Summary, Tried},
    cli::{Global, Output},
    observe::live,
    render::json,
};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: &'a str,
    seed: u64,
    steps: Outcomes,
    scenarios: Outcomes,
    /// By rule: in how many scenarios it stopped a call, and in how many it let one pass.
    rules: BTreeMap<&'static str, Seen>,
    connections: u64,
    /// Packets of which it was asked who gets them.
    packets: u64,
    /// Connections and packets that one of several sockets may get, which one is chance.
    by_chance: u64,
    /// By step of the lookup: how many packets and connections it decided.
    lookups: BTreeMap<&'static str, u64>,
    /// Disagreements that did not come again when the scenario was repeated.
    not_repeated: u64,
    seconds: f64,
    not_run: &'a [String],
    disagreement: Option<Disagreement>,
}

#[derive(Serialize)]
struct Seen {
    stopped: u64,
    passed: u64,
}

#[derive(Serialize)]
struct Disagreement {
    number: u64,
    observed: String,
    allowed: Vec<String>,
    file: String,
}

/// Plays random scenarios and says how model and kernel agreed.
pub(super) fn run(
    args: &Args,
    count: u64,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() {
        return Err(Trouble::new("--random asks the running kernel; leave out --on and --facts"));
    }
    let kernel = live::setting()?.host.kernel;
    let plan = Plan {
        count,
        seed: args.seed,
        skip: args.skip,
        jobs: args.jobs(),
        record: args.record.is_some(),
    };
    let bar = progress(count);
    let summary = lab::random(&plan, &kernel, &|done| bar.set_position(done));
    bar.finish_and_clear();
    let summary = summary.map_err(|lab::Trouble(why)| Trouble::new(why))?;
    if let Some(file) = &args.record {
        record(file, &summary)?;
    }
    let file = match &summary.mismatch {
        Some(found) => Some(write(found, args)?),
        None => None,
    };
    let (steps, scenarios) = outcomes(&summary);
    if global.json {
        let disagreement = summary.mismatch.as_ref().zip(file.as_ref());
        output.data(&json::write(&Document {
            schema: "portwise.conform/1",
            kernel: &kernel.release,
            seed: args.seed,
            steps,
            scenarios,
            rules: (summary.rules.iter())
                .map(|tried| {
                    let Tried { rule, stopped, passed, .. } = *tried;
                    (rule.id, Seen { stopped, passed })
                })
                .collect(),
            connections: summary.connections,
            packets: summary.packets,
            by_chance: summary.ties,
            lookups: summary.lookups.iter().map(|(choice, times)| (choice.id, *times)).collect(),
            not_repeated: summary.passing,
            seconds: summary.elapsed.as_secs_f64(),
            not_run: &summary.not_run,
            disagreement: disagreement.map(|(found, file)| Disagreement {
                number: found.number,
                observed: found.observed.to_string(),
                allowed: found.allowed.iter().map(ToString::to_string).collect(),
                file: file.display().to_string(),
            }),
        }));
    } else {
        output.data(&text(&plan, &kernel, &summary, file.as_ref()));
        output.data(&closing(&steps, &scenarios));
    }
    Ok(if summary.mismatch.is_some() { 1 } else { 0 })
}

/// Shown on a terminal only, and drawn by this thread: a namespace for one user can be made only
/// while there is no other.
pub(super) fn progress(count: u64) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(8);
    let bar = ProgressBar::with_draw_target(Some(count), target);
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len}  {eta}");
    bar.set_style(style.expect("a template written here"));
    bar
}

fn outcomes(summary: &Summary) -> (Outcomes, Outcomes) {
    let disagree = u64::from(summary.mismatch.is_some());
    let unsupported = summary.open_scenarios;
    let of = |all, unsupported| Outcomes {
        all,
        agree: all - disagree - unsupported,
        disagree,
        unsupported,
    };
    (of(summary.calls - summary.open, 0), of(summary.scenarios, unsupported))
}

fn text(plan: &Plan, kernel: &Kernel, summary: &Summary, file: Option<&PathBuf>) -> String {
    let mut text = String::new();
    let seconds = summary.elapsed.as_secs_f64();
    let _ = writeln!(
        text,
        "{} scenarios of seed {} on Linux {}: {} calls, {} connections, {} packets, {:.1} s, \
         {:.0} a second",
        summary.scenarios,
        plan.seed,
        kernel.release,
        summary.calls,
        summary.connections,
        summary.packets,
        seconds,
        summary.scenarios as f64 / seconds.max(0.001),
    );
    let _ = writeln!(text, "\n   stopped    passed  rule (scenarios in which it did)");
    for Tried { rule, stopped, passed, .. } in &summary.rules {
        let _ = writeln!(text, "{stopped:10}{passed:10}  {}", rule.id);
    }
    for rule in rules().iter().filter(|r| r.id.starts_with("linux.")) {
        if !summary.rules.iter().any(|seen| seen.rule.id == rule.id) {
            let _ = writeln!(text, "         -         -  {}", rule.id);
        }
    }
    text.push_str("\n   decided  step of the lookup (connections and packets)\n");
    for choice in linux::LOOKUP {
        let times = summary.lookups.iter().find(|(seen, _)| seen == choice);
        let times = times.map_or_else(|| "-".to_string(), |(_, times)| times.to_string());
        let _ = writeln!(text, "{times:>10}  {}", choice.id);
    }
    text.push('\n');
    if summary.ties > 0 {
        let _ = writeln!(
            text,
            "by chance among the members of a group, each of which is allowed: {} connections and \
             packets",
            summary.ties
        );
    }
    if summary.open > 0 {
        let _ = writeln!(text, "more than one outcome allowed: {} calls", summary.open);
    }
    if summary.passing > 0 {
        let _ = writeln!(text, "disagreements that did not come again: {}", summary.passing);
    }
    for why in &summary.not_run {
        let _ = writeln!(text, "not run: {why}");
    }
    if let (Some(found), Some(file)) = (&summary.mismatch, file) {
        text += &disagreement(plan, found, file);
    }
    text
}

fn disagreement(plan: &Plan, found: &Found, file: &std::path::Path) -> String {
    let allowed: Vec<String> = found.allowed.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "disagree: scenario {} of seed {}: observed {}, the model allows only {}\n",
        found.number,
        plan.seed,
        found.observed,
        allowed.join("|")
    );
    for step in &found.scenario.steps {
        let step = serde_json::to_string(step).expect("a step has string keys");
        let _ = writeln!(text, "    {step}");
    }
    let _ = writeln!(text, "  in a file, to replay: portwise conform {}", file.display());
    let _ = writeln!(
        text,
        "  to repeat here: portwise conform --random 1 --seed {} --skip {}",
        plan.seed, found.number
    );
    text
}

fn write(found: &Found, args: &Args) -> Result<PathBuf, Trouble> {
    let name = format!("portwise-disagreement-{}-{}.jsonl", args.seed, found.number);
    let file = args.out.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    let line = serde_json::to_string(&found.scenario).expect("a scenario has string keys") + "\n";
    save(&file, line.as_bytes())?;
    Ok(file)
}

fn record(file: &PathBuf, summary: &Summary) -> Result<(), Trouble> {
    let mut lines = Vec::new();
    for scenario in &summary.recorded {
        serde_json::to_writer(&mut lines, scenario).expect("a scenario has string keys");
        lines.push(b'\n');
    }
    save(file, &lines)
}

pub(super) fn save(file: &PathBuf, bytes: &[u8]) -> Result<(), Trouble> {
    fs::write(file, bytes)
        .map_err(|e| Trouble::new(format!("{}: cannot be written: {e}", file.display())))
}
