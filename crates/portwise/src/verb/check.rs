//! `check ENDPOINT…`: one line each, for scripts.

use std::fmt::Write;

use portwise_model::{Family, Protocol};
use serde::Serialize;

use super::{KernelReport, kernel, status, targets};
use crate::{
    Endpoint, Setting, SocketSettings, Trouble,
    cli::{Global, Output, ProgramArg},
    endpoint::Address,
    explain::{Decision, join},
    render::{clean, json, text},
};

/// Arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "Addresses and ports, such as 127.0.0.1:80 [::1]:443 '*:53/udp' localhost:3000 8080",
        required = true,
        value_name = "ENDPOINT"
    )]
    pub endpoints: Vec<String>,
    #[command(flatten)]
    pub(crate) program: ProgramArg,
}

/// One line of `check`.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The endpoint as it was typed.
    pub asked: String,
    /// The address and port as `ss` prints them.
    pub endpoint: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The answer.
    #[serde(flatten)]
    pub decision: Decision,
    /// What the line starts with: what was typed, or the address that a name stands for.
    #[serde(skip)]
    pub label: String,
}

/// What `check --json` writes.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    pub(super) schema: &'static str,
    pub(super) kernel: KernelReport,
    pub(super) assumed: &'a [String],
    pub(super) answers: &'a [Checked],
}

/// Answers an endpoint in short, observing no more than the answer needs.
///
/// # Errors
/// If a name cannot be resolved, or an interface named in the question does not exist.
pub fn check(
    setting: &mut Setting,
    endpoint: &Endpoint,
    only: Option<Family>,
    settings: &SocketSettings,
) -> Result<Vec<Checked>, Trouble> {
    let mut answers = Vec::new();
    for target in targets(setting, endpoint, only, settings)? {
        let request = setting.request(&target, settings)?;
        let verdict = setting.decide(&request);
        let by_name = matches!(endpoint.address, Address::Name(_));
        answers.push(Checked {
            asked: endpoint.text.clone(),
            label: if by_name { target.shown.clone() } else { endpoint.text.clone() },
            endpoint: target.shown,
            protocol: target.protocol,
            decision: Decision::new(&verdict, |missing| setting.reason(missing)),
        });
    }
    Ok(answers)
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    #[cfg(target_os = "linux")]
    if let Some(names) = super::unix::names(&args.endpoints)? {
        return super::unix::check(&names, &args.program.command, global, output);
    }
    let endpoints = global.endpoints(&args.endpoints)?;
    let mut setting = global.setting_of(&args.program.command)?;
    let mut answers = Vec::new();
    for endpoint in &endpoints {
        let only = global.family();
        answers.extend(check(&mut setting, endpoint, only, &global.socket_settings())?);
    }
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.check/1",
            kernel: kernel(&setting),
            assumed: &setting.assumed,
            answers: &answers,
        }));
    } else if !global.quiet {
        output.data(&lines(&answers));
        output.note(&notes(&answers));
        output.note(&text::assumptions(&setting.assumed));
    }
    Ok(status(answers.iter().map(|checked| checked.decision.answer)))
}

fn lines(answers: &[Checked]) -> String {
    let start =
        |checked: &Checked| format!("{}/{}", clean(&checked.label), checked.protocol.name());
    let width = answers.iter().map(|checked| start(checked).chars().count()).max().unwrap_or(0);
    let errnos = answers.iter().map(|c| c.decision.refusals().len()).max().unwrap_or(0);
    let mut text = String::new();
    for checked in answers {
        let decision = &checked.decision;
        let _ = writeln!(
            text,
            "{:width$}  {:7}  {:errnos$}  {}",
            start(checked),
            decision.answer.word(),
            decision.refusals(),
            join(decision.rules.iter().copied()),
        );
    }
    text
}

/// What was missing for each answer that is open.
fn notes(answers: &[Checked]) -> String {
    let mut text = String::new();
    for checked in answers {
        for missing in &checked.decision.missing {
            let reveal = match missing.reveal.as_ref() {
                "" => String::new(),
                reveal => format!("; to find out: {reveal}"),
            };
            let _ = writeln!(
                text,
                "{}/{}: not known: {}{}",
                clean(&checked.label),
                checked.protocol.name(),
                clean(&missing.why),
                clean(&reveal)
            );
        }
    }
    text
}
