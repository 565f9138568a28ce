//! `conform --random-rules`: what packets through random rules found.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{
    Args, Outcomes, closing,
    random::{progress, save},
};
use crate::{
    Trouble,
    act::packets::{self, Plan, Summary},
    cli::{Global, Output},
    observe::live,
    render::{clean, json},
};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: &'a str,
    seed: u64,
    steps: Outcomes,
    scenarios: Outcomes,
    seconds: f64,
}

/// Plays random rules and says how model and kernel agreed.
pub(super) fn run(
    args: &Args,
    count: u64,
    global: &Global,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() {
        return Err(Trouble::new(
            "--random-rules asks the running kernel; leave out --on and --facts",
        ));
    }
    let kernel = live::setting()?.host.kernel;
    let plan = Plan {
        count,
        seed: args.seed,
        skip: args.skip,
        within: args.within.map(Duration::from_secs),
        record: args.record.is_some(),
    };
    let bar = progress(count);
    let summary = packets::random(&plan, &|done| bar.set_position(done));
    bar.finish_and_clear();
    let summary = summary?;
    if let Some(file) = &args.record {
        let lines: String = summary.recorded.iter().map(|line| format!("{line}\n")).collect();
        save(file, lines.as_bytes())?;
    }
    let (steps, scenarios) = outcomes(&summary);
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.conform/1",
            kernel: &kernel.release,
            seed: args.seed,
            steps,
            scenarios,
            seconds: summary.elapsed.as_secs_f64(),
        }));
    } else {
        output.data(&text(&plan, &kernel.release, &summary));
        output.data(&closing(&steps, &scenarios));
    }
    Ok(if summary.mismatch.is_some() { 1 } else { 0 })
}

fn outcomes(summary: &Summary) -> (Outcomes, Outcomes) {
    let disagree = u64::from(summary.mismatch.is_some());
    let steps = Outcomes {
        all: summary.packets - summary.open,
        agree: summary.packets - summary.open - disagree,
        disagree,
        unsupported: summary.open,
    };
    let scenarios = Outcomes {
        all: summary.scenarios,
        agree: summary.scenarios - summary.open_scenarios - disagree,
        disagree,
        unsupported: summary.open_scenarios,
    };
    (steps, scenarios)
}

fn text(plan: &Plan, kernel: &str, summary: &Summary) -> String {
    let mut text = format!(
        "{} rulesets with {} packets on Linux {kernel}, seed {}, {:.0} s\n",
        summary.scenarios,
        summary.packets,
        plan.seed,
        summary.elapsed.as_secs_f64()
    );
    if summary.attributed > 0 {
        let _ = writeln!(
            text,
            "{} of them met, by its counter, the very rule that was said to stop them",
            summary.attributed
        );
    }
    let mut list = |title: &str, rows: Vec<(&str, u64)>| {
        let _ = writeln!(text, "{title}");
        for (name, count) in rows {
            let _ = writeln!(text, "{count:8}  {}", clean(name));
        }
    };
    list(
        "how packets ended, as predicted:",
        summary.outcomes.iter().map(|(n, c)| (*n, *c)).collect(),
    );
    list(
        "not predicted, and what decides:",
        summary.why_open.iter().map(|(n, c)| (n.as_str(), *c)).collect(),
    );
    list("what rules consisted of:", summary.parts.iter().map(|(n, c)| (n.as_str(), *c)).collect());
    if summary.refused > 0 {
        let said = summary.refusal.as_deref().unwrap_or_default();
        let refused = summary.refused;
        let _ = writeln!(text, "rulesets that the tool did not take: {refused} ({})", clean(said));
    }
    if let Some(found) = &summary.mismatch {
        let _ = writeln!(text, "disagree: scenario {}, {}", found.number, clean(&found.packet));
        let _ = writeln!(text, "  predicted: {}", clean(&found.predicted));
        let _ = writeln!(text, "  observed:  {}", clean(&found.observed));
        let _ = writeln!(text, "  sockets:   {}", clean(&found.sockets));
        for line in found.rules.lines() {
            let _ = writeln!(text, "  | {}", clean(line));
        }
        let _ = writeln!(
            text,
            "  again: portwise conform --random-rules 1 --seed {} --skip {}",
            plan.seed, found.number
        );
    }
    text
}
