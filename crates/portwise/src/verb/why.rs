//! `why ENDPOINT…`: may it be bound, what stops it, who holds it, what it covers, what helps. Given
//! an errno or a program's error message, also what could have given that.

use std::net::IpAddr;

use portwise_model::{Family, Protocol, Socket, State};
use serde::Serialize;

use super::{
    KernelReport,
    ask::{self, Question},
    everywhere, kernel, status, targets,
};
use crate::{
    Endpoint, Setting, SocketSettings, Trouble,
    cli::{Global, Output, ProgramArg},
    explain::{
        self, Heard, Report,
        names::{Named, NamedAddress},
    },
    observe::{
        Traffic,
        exposure::{BoundTo, covers},
    },
    reach::audience,
    render::{json, text},
};

/// Arguments of `why`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "Addresses and ports, such as 127.0.0.1:80 [::1]:443 '*:53/udp' localhost:3000 \
                8080 unix:/run/app.sock; or an error message of a program, or - to read one from standard input",
        required = true,
        value_name = "ENDPOINT"
    )]
    pub endpoints: Vec<String>,
    #[command(flatten)]
    pub(crate) got: GotArg,
    #[command(flatten)]
    pub(crate) program: ProgramArg,
}

/// What a program got.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct GotArg {
    /// A program got this errno, by name or number: which rules could have given it
    #[arg(long = "got", value_name = "ERRNO", allow_hyphen_values = true)]
    pub(crate) errno: Option<String>,
}

/// What `why --json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    assumed: &'a [String],
    answers: &'a [Report],
    names: &'a [Named],
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
    let mut traffic = None;
    answers(setting, endpoint, only, settings, &Heard::default(), Some(&mut traffic))
}

/// What decides where packets go, read once it is asked for.
type Read = Option<Result<Traffic, String>>;

/// Answers as [`why`] does without who reaches what, and holds what a program got against each answer.
///
/// # Errors
/// As [`why`].
pub fn why_heard(
    setting: &mut Setting,
    endpoint: &Endpoint,
    only: Option<Family>,
    settings: &SocketSettings,
    heard: &Heard,
) -> Result<Vec<Report>, Trouble> {
    answers(setting, endpoint, only, settings, heard, None)
}

fn answers(
    setting: &mut Setting,
    endpoint: &Endpoint,
    only: Option<Family>,
    settings: &SocketSettings,
    heard: &Heard,
    mut traffic: Option<&mut Read>,
) -> Result<Vec<Report>, Trouble> {
    let mut reports = Vec::new();
    setting.look_closely();
    for target in targets(setting, endpoint, only, settings)? {
        let request = setting.request(&target, settings)?;
        let verdict = setting.decide(&request);
        let mut report = explain::report(setting, &endpoint.text, &target, &request, &verdict);
        report.got = explain::against(setting, &request, &verdict, &report.decision, heard);
        if let Some(traffic) = &mut traffic {
            report.audience = audience(setting, traffic, &target, &request, &report);
        }
        reports.push(report);
    }
    Ok(reports)
}

/// What clients on the host make of the name of an endpoint: served is where somebody listens.
fn named(setting: &Setting, endpoint: &Endpoint, reports: &[Report]) -> Option<Named> {
    // How another machine resolves names is not known.
    setting.runner?;
    let there = setting.host.sockets.on(endpoint.port).unwrap_or_default();
    let listens = |socket: &&Socket| {
        let waits = match socket.protocol {
            Protocol::Tcp => socket.state == State::Listen,
            Protocol::Udp => socket.remote.is_none(),
        };
        waits && socket.protocol == endpoint.protocol
    };
    let serves = |ip: IpAddr| {
        there.iter().filter(listens).any(|socket| {
            let Socket { ip: own, family, v6only, device, .. } = *socket;
            covers(BoundTo { ip: own, family, v6only, device }, ip)
        })
    };
    let address = |report: &Report| NamedAddress { ip: report.ip, served: serves(report.ip) };
    Named::of(endpoint, reports.iter().map(address).collect())
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    #[cfg(target_os = "linux")]
    if let Some(names) = super::unix::names(&args.endpoints)? {
        let command = &args.program.command;
        return super::unix::why(&names, command, args.got.errno.as_deref(), global, output);
    }
    let mut questions = ask::questions(&args.endpoints, global, output)?;
    if global.on.as_deref() == Some("all") {
        let endpoints: Vec<Endpoint> = questions.into_iter().map(|q| q.endpoint).collect();
        return everywhere::run(&endpoints, global, output);
    }
    let mut setting = global.setting_of(&args.program.command)?;
    ask::given(&mut questions, args.got.errno.as_deref(), setting.host.kernel.family)?;
    let (mut reports, mut names) = (Vec::new(), Vec::new());
    let mut read = None;
    for Question { endpoint, heard } in &questions {
        let (only, settings) = (global.family(), global.socket_settings());
        // The first line does not say who reaches what.
        let traffic = (!global.quiet || global.json).then_some(&mut read);
        let found = answers(&mut setting, endpoint, only, &settings, heard, traffic)?;
        names.extend(named(&setting, endpoint, &found));
        reports.extend(found);
    }
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.why/1",
            kernel: kernel(&setting),
            assumed: &setting.assumed,
            answers: &reports,
            names: &names,
        }));
    } else {
        output.data(&text::why(
            &reports,
            &names,
            &setting.assumed,
            global.detail(),
            output.style(),
        ));
    }
    Ok(status(reports.iter().map(|report| report.decision.answer)))
}
