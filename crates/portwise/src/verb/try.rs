//! `try ENDPOINT…`: do it, and hold the prediction against it.

use std::{env, ffi::OsString, fs, path::PathBuf, time::Duration};

use serde::Serialize;

use super::{KernelReport, kernel, targets};
use crate::{
    Trouble,
    act::trial::{self, Done, Experiment, Plan},
    cli::{Global, Output},
    render::{self, json, text::Detail},
};

/// Arguments of `try`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "Addresses and ports, such as 127.0.0.1:80 [::1]:443 '*:53/udp' localhost:3000 8080",
        required = true,
        value_name = "ENDPOINT"
    )]
    pub endpoints: Vec<String>,
    /// A server to start for each endpoint, with {addr} {host} {port} {endpoint} replaced
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// A client to start for each endpoint that listens, such as 'curl -sS http://{endpoint}/'
    #[arg(long, value_name = "CMD", requires = "command")]
    pub client: Option<String>,
    /// On the network of this machine itself, not in a private copy of it
    #[arg(long)]
    pub here: bool,
    /// How long a server may take to listen, and a client to end
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,
    /// Where a scenario that repeats a disagreement is written; by default into the directory
    /// for temporary files
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What `try --json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    #[serde(flatten)]
    experiment: &'a Experiment,
}

/// Runs the verb and returns its exit status: 1 if anything is not as predicted.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if global.pid.is_some() {
        return Err(Trouble::new("try acts as a user, not in place of a process: leave out --pid"));
    }
    if global.on.is_some() || global.facts.is_some() {
        return Err(Trouble::new("try asks the running kernel; leave out --on and --facts"));
    }
    let endpoints = global.endpoints(&args.endpoints)?;
    let client = args.client.as_deref().map(trial::split).transpose();
    let client = client.map_err(|what| Trouble::new(format!("--client: {what}")))?;
    if client.as_ref().is_some_and(Vec::is_empty) {
        return Err(Trouble::new("--client: no program is named"));
    }
    // What is not there is for the system to say.
    let command: Vec<OsString> = args.command.iter().map(OsString::from).collect();
    let mut setting = match global.setting_of(&command) {
        Err(_) if !command.is_empty() => global.setting()?,
        setting => setting?,
    };
    let settings = global.socket_settings();
    let mut plan = Plan {
        targets: Vec::new(),
        settings,
        here: args.here,
        command: (!args.command.is_empty()).then(|| args.command.clone()),
        client,
        wait: Duration::from_secs(args.wait.clamp(1, 600)),
    };
    for endpoint in &endpoints {
        let found = targets(&setting, endpoint, global.family(), &plan.settings)?;
        plan.targets.extend(found.into_iter().map(|target| (endpoint.text.clone(), target)));
    }
    let quiet = global.detail() == Detail::Quiet;
    let done = trial::run(&plan, &mut setting, |line| {
        if !quiet {
            output.note(&format!("portwise: {}\n", render::clean(line)));
        }
    })?;
    let experiment = write(done, args)?;
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.try/1",
            kernel: kernel(&setting),
            experiment: &experiment,
        }));
    } else {
        output.data(&render::trial::text(&experiment, global.detail(), output.style()));
    }
    Ok(if experiment.summary.disagree > 0 { 1 } else { 0 })
}

/// Writes the scenarios that repeat disagreements, one a line, into one file.
fn write(done: Done, args: &Args) -> Result<Experiment, Trouble> {
    let Done { mut experiment, scenarios } = done;
    if scenarios.is_empty() {
        return Ok(experiment);
    }
    let file = args.out.clone().unwrap_or_else(|| {
        env::temp_dir().join(format!("portwise-try-{}.jsonl", std::process::id()))
    });
    let mut text = String::new();
    for (at, scenario) in scenarios {
        text += &serde_json::to_string(&scenario).expect("a scenario has string keys");
        text.push('\n');
        experiment.trials[at].repeat = Some(file.display().to_string());
    }
    fs::write(&file, text)
        .map_err(|e| Trouble::new(format!("cannot write {}: {e}", file.display())))?;
    Ok(experiment)
}
