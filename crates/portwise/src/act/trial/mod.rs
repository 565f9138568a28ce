//! The experiment: each endpoint really bound, listened on and connected to, in a private copy of
//! this network or on the network itself, beside what the model says of it.
//!
//! First everything is observed and decided, then this process makes namespaces, and in them it
//! acts. The namespaces have no name and no mount: they vanish with the process.

mod asker;
pub(super) mod bind;
mod blueprint;
mod init;
mod placeholder;
mod play;
mod predict;
mod probe;
mod reach;
mod repeat;
mod report;
mod room;
mod server;
mod stage;
mod started;
mod vantage;
mod words;

use std::{net::IpAddr, time::Duration};

use portwise_model::{Host, Request, scenario::Scenario};

pub(crate) use init::main as init;
pub use report::*;
pub use words::split;

use self::{asker::Asker, blueprint::Blueprint, placeholder::Plan as Others, play::Play};
use crate::{
    Setting, SocketSettings, Trouble,
    endpoint::Target,
    explain::{self, SubjectReport},
};

/// What to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The endpoints: as typed, and an address of each.
    pub targets: Vec<(String, Target)>,
    /// What is set on the sockets.
    pub settings: SocketSettings,
    /// On this very network, not in a copy.
    pub here: bool,
    /// The server to start for each endpoint.
    pub command: Option<Vec<String>>,
    /// The client to start for each endpoint that listens.
    pub client: Option<Vec<String>>,
    /// How long a server may take to listen, and a client to end.
    pub wait: Duration,
}

/// An experiment with the scenarios that repeat its disagreements, by the trial's place.
pub struct Done {
    /// What was found.
    pub experiment: Experiment,
    /// Where a call answered otherwise than predicted.
    pub scenarios: Vec<(usize, Scenario)>,
}

/// Does the experiment. `announce` is told in one line what is about to be done, just before.
///
/// Without the right to make network namespaces the process moves into a user namespace, so it
/// must have one thread.
///
/// # Errors
/// If this user may not do it, or no namespaces can be made here.
pub fn run(
    plan: &Plan,
    setting: &mut Setting,
    announce: impl FnOnce(&str),
) -> Result<Done, Trouble> {
    let subject = explain::subject(setting);
    let mut asker = Asker::of(setting, plan.command.is_some(), plan.here)?;
    setting.subject = asker.real.clone();
    let mut requests: Vec<Request> = Vec::new();
    for (_, target) in &plan.targets {
        requests.push(setting.request(target, &plan.settings)?);
    }
    let mut real = Vec::new();
    for request in &requests {
        let predicted = predict::real(setting, request);
        real.push(predicted.decision(setting));
    }
    let mut left_out = Vec::new();
    let blueprint = Blueprint::of(setting, &named(&requests));
    let others = Others::of(setting, &ports(plan), !asker.user_namespace);
    if !plan.here {
        left_out.extend(blueprint.left_out.iter().chain(&others.left_out).cloned());
    }
    let asked: Vec<IpAddr> = plan.targets.iter().map(|(_, target)| target.ip).collect();
    let points = vantage::all(&blueprint, &setting.host, &asked, plan.here);
    announce(&announcement(plan, &asker, &subject));
    if asker.user_namespace {
        asker::enter_user_namespace()?;
    }
    asker.limit()?;
    let mut play = Play {
        plan,
        asker: &asker,
        blueprint: &blueprint,
        others: &others.wanted,
        points: &points,
        known: &setting.host,
        left_out,
        scenarios: Vec::new(),
    };
    let mut trials = Vec::new();
    for (i, request) in requests.iter().enumerate() {
        trials.push(play.trial(i, request, &real[i])?);
    }
    let Play { left_out, scenarios, .. } = play;
    let experiment = Experiment {
        place: if plan.here { Place::Here } else { Place::Copy },
        user_namespace: asker.user_namespace,
        subject,
        command: plan.command.clone(),
        client: plan.client.clone(),
        vantages: points.into_iter().map(|point| point.vantage).collect(),
        summary: summary(&trials),
        trials,
        not_copied: left_out,
    };
    Ok(Done { experiment, scenarios })
}

/// The devices that requests name.
fn named(requests: &[Request]) -> Vec<u32> {
    let zones = requests.iter().filter_map(|request| match request.call {
        portwise_model::Call::Bind(addr) => Some(addr.scope),
        _ => None,
    });
    requests.iter().map(|r| r.socket.device).chain(zones).filter(|i| *i != 0).collect()
}

fn ports(plan: &Plan) -> Vec<u16> {
    let mut ports: Vec<u16> =
        plan.targets.iter().map(|(_, t)| t.port).filter(|p| *p != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// One line that says what will be done.
fn announcement(plan: &Plan, asker: &Asker, subject: &SubjectReport) -> String {
    let place = match (plan.here, asker.user_namespace) {
        (true, _) => "on the network of this machine",
        (false, true) => "in a private copy of this network, in a user namespace",
        (false, false) => "in a private copy of this network",
    };
    let who = subject.user.clone().unwrap_or_else(|| format!("uid {}", subject.uid));
    let many = match plan.targets.len() {
        1 => format!("binds {}", plan.targets[0].1.shown),
        n => format!("binds {n} endpoints"),
    };
    let server = match plan.command.as_ref().and_then(|command| command.first()) {
        Some(program) => format!(", starts `{program}` for each"),
        None => String::new(),
    };
    format!("{place}, as {who}: {many}{server} and connects to them")
}

fn summary(trials: &[Trial]) -> Summary {
    let mut summary = Summary::default();
    let mut count = |agrees: bool, open: bool| {
        summary.all += 1;
        match agrees {
            true => summary.agree += 1,
            false => summary.disagree += 1,
        }
        summary.open += usize::from(agrees && open);
    };
    for trial in trials {
        count(trial.agrees, trial.predicted.outcomes.len() > 1);
        if let Some(server) = &trial.server {
            count(server.agrees, false);
        }
        for cell in &trial.cells {
            count(cell.agrees, cell.predicted.len() > 1);
        }
    }
    summary
}

/// The facts of a host that hold in a copy of its network too: those of the kernel and of who
/// asks.
fn carried_over(known: &Host, copy: &mut Host) {
    copy.probed = known.probed.clone();
    copy.policies = known.policies.clone();
}
