//! `why ENDPOINT…`: may it be bound, what stops it, who holds it, what it covers, what helps.

use portwise_model::Family;
use serde::Serialize;

use super::{KernelReport, kernel, status, targets};
use crate::{
    Endpoint, Report, Setting, SocketSettings, Trouble,
    cli::{Global, Output},
    explain,
    render::{json, text},
};

/// Arguments of `why`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "Addresses and ports, such as 127.0.0.1:80 [::1]:443 '*:53/udp' localhost:3000 8080",
        required = true,
        value_name = "ENDPOINT"
    )]
    pub endpoints: Vec<String>,
}

/// What `why --json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    assumed: &'a [String],
    answers: &'a [Report],
}

/// Answers an endpoint in full, one report for each address it stands for.
///
/// # Errors
/// If a name cannot be resolved, or an interface named in the question does not exist.
pub fn why(
    setting: &mut Setting,
    endpoint: &Endpoint,
    only: Option<Family>,
    settings: &SocketSettings,
) -> Result<Vec<Report>, Trouble> {
    let mut reports = Vec::new();
    for target in targets(setting, endpoint, only, settings)? {
        let request = setting.request(&target, settings)?;
        let verdict = setting.decide(&request);
        reports.push(explain::report(setting, &endpoint.text, &target, &request, &verdict));
    }
    Ok(reports)
}

/// Runs the verb and returns its exit status.
pub fn run(endpoints: &[String], global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let endpoints = global.endpoints(endpoints)?;
    let mut setting = global.setting()?;
    let mut reports = Vec::new();
    for endpoint in &endpoints {
        let only = global.family();
        reports.extend(why(&mut setting, endpoint, only, &global.socket_settings())?);
    }
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.why/1",
            kernel: kernel(&setting),
            assumed: &setting.assumed,
            answers: &reports,
        }));
    } else {
        output.data(&text::why(&reports, &setting.assumed, global.detail(), output.style()));
    }
    Ok(status(reports.iter().map(|report| report.decision.answer)))
}
