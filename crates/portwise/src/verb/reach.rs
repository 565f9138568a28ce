//! `reach ENDPOINT…`: where packets end, from each vantage there is or from one that is named.

use portwise_model::ReachOutcome;
use serde::Serialize;

use super::{KernelReport, kernel, targets};
use crate::{
    Endpoint, Setting, SocketSettings, Trouble,
    cli::{Global, Output},
    explain::{
        names::{Named, NamedAddress},
        port::{OnPort, PortSocket, on_port},
    },
    reach::{Answer, From, Kind, Reaching},
    render::{json, reach as render},
};

/// Arguments of `reach`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "Addresses and ports, such as 192.0.2.10:443 [::1]:80 localhost:3000 8080",
        required = true,
        value_name = "ENDPOINT"
    )]
    pub endpoints: Vec<String>,
    /// Packets from this address, that arrive by this interface: `lo` for a client on this host
    #[arg(long, value_name = "ADDR[%DEV]")]
    pub from: Option<String>,
}

/// What `reach --json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    assumed: &'a [String],
    answers: Vec<&'a Answer>,
    names: &'a [Named],
    ports: Vec<&'a OnPort>,
}

/// An answer with the words for its vantage.
#[derive(Clone, Debug)]
pub struct Row {
    /// The vantage in words; empty if it was named in the question.
    pub vantage: String,
    /// Whether it is this host.
    pub here: bool,
    /// The answer.
    pub answer: Answer,
}

/// Answers for one endpoint.
///
/// # Errors
/// If a name cannot be resolved, or packets of the machine asked about cannot be followed.
pub fn reach(
    setting: &mut Setting,
    endpoint: &Endpoint,
    global: &Global,
    from: Option<&From>,
) -> Result<Vec<Row>, Trouble> {
    let targets = targets(setting, endpoint, global.family(), &SocketSettings::default())?;
    let mut reaching = Reaching::new(setting)?;
    let mut rows = Vec::new();
    for target in &targets {
        if let Some(from) = from {
            // A bare port from there: to the address of the same family.
            let mut target = target.clone();
            if portwise_model::is_unspecified(target.ip) && target.ip.is_ipv4() != from.ip.is_ipv4()
            {
                target.ip = portwise_model::Family::of(from.ip).unspecified();
            }
            let answer = reaching.answer_in_full(&target, from)?;
            let here = from.device.as_deref() == Some("lo");
            rows.push(Row { vantage: String::new(), here, answer });
            continue;
        }
        let mut views = reaching.views(target);
        views.extend(reaching.named(&views));
        views.extend(reaching.listeners(target, &views));
        let views = reaching.elsewhere(target, views);
        for view in views {
            let device = view.from.device.clone().unwrap_or_default();
            let answer = reaching.answer_in_full(&view.target, &view.from)?;
            // Of another host's name it is for that host to say which address serves.
            let here = view.kind.is_here() && view.kind != Kind::Client;
            let vantage = view.kind.words(&device);
            rows.push(Row { vantage, here, answer });
        }
    }
    Ok(rows)
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let endpoints = global.endpoints(&args.endpoints)?;
    let from: Option<From> = args
        .from
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|what| Trouble::new(format!("--from: {what}")))?;
    let mut setting = global.setting()?;
    let (mut rows, mut names) = (Vec::new(), Vec::new());
    for endpoint in &endpoints {
        let found = reach(&mut setting, endpoint, global, from.as_ref())?;
        names.extend(named(endpoint, &found));
        rows.extend(found);
    }
    let mut ports: Vec<OnPort> = Vec::new();
    // Who listens where it leaves for, the answer says itself.
    let kept = rows.iter().filter(|row| row.answer.outcome != ReachOutcome::Forwarded);
    let sent_on = kept.filter_map(|row| row.answer.sent_on);
    for port in endpoints.iter().map(|endpoint| endpoint.port).chain(sent_on) {
        if ports.iter().all(|known| known.port != port) {
            ports.extend(on_port(&mut setting, port));
        }
    }
    ports.iter_mut().for_each(|port| say_what_misses(port, &rows));
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.reach/1",
            kernel: kernel(&setting),
            assumed: &setting.assumed,
            answers: rows.iter().map(|row| &row.answer).collect(),
            names: &names,
            ports: ports.iter().collect(),
        }));
    } else {
        let mut text = render::text(&rows, &names, global.detail(), output.style());
        for port in ports.iter().filter(|_| !global.quiet) {
            let about =
                |row: &&Row| row.answer.port == port.port || row.answer.sent_on == Some(port.port);
            let rows: Vec<&Answer> = rows.iter().filter(about).map(|row| &row.answer).collect();
            // Where every address is asked about, who is on which comes first.
            let every = |e: &Endpoint| e.port == port.port && e.is_about_every_address();
            let every = endpoints.iter().any(every);
            let there = render::port(port, &rows, every, output.style());
            text = match (every, there.is_empty()) {
                (_, true) => text,
                (true, false) => format!("{there}\n{text}"),
                (false, false) => format!("{text}\n{there}"),
            };
        }
        output.data(&text);
    }
    Ok(status(rows.iter().map(|row| &row.answer)))
}

/// Why the sockets of a port do not take what was sent there, where nobody takes it.
fn say_what_misses(port: &mut OnPort, rows: &[Row]) {
    let number = port.port;
    let goes_on = |answer: &&Answer| {
        answer.port == number
            && answer.rewritten.is_none()
            && matches!(answer.outcome, ReachOutcome::NoRoute | ReachOutcome::Forwarded)
    };
    for answer in rows.iter().map(|row| &row.answer).filter(goes_on) {
        say_who_waits(port, answer);
    }
    let nobody = |row: &&Row| {
        row.answer.port == port.port && row.answer.rule.as_deref() == Some("kernel no-listener")
    };
    let Some(answer) = rows.iter().find(nobody).map(|row| &row.answer) else { return };
    // Of those elsewhere, first the ones that are what the client looks for.
    portwise_model::sort::sort_by_key(&mut port.elsewhere, |socket| {
        socket.misses(answer.protocol, answer.ip).is_some()
    });
    for socket in &mut port.here {
        socket.misses = socket.misses(answer.protocol, answer.ip);
        #[cfg(target_os = "linux")]
        if let (Some(misses), Some(holder)) = (&mut socket.misses, socket.holders.first()) {
            for more in crate::observe::cgroup::on_server(holder.pid) {
                *misses += &format!("; {more}");
            }
        }
    }
}

/// What keeps a socket from packets whose address is its own and no address of the host.
fn say_who_waits(port: &mut OnPort, answer: &Answer) {
    let ip = answer.ip;
    let length = if ip.is_ipv4() { 32 } else { 128 };
    let waits = |s: &&mut PortSocket| s.ip.to_canonical() == ip && s.is_of(answer.protocol);
    for socket in port.here.iter_mut().filter(waits) {
        socket.misses = Some(format!(
            "{ip} is no address of this host: the socket was bound to it all the same (IP_FREEBIND, or \
             ip_nonlocal_bind), and gets nothing until the host has it, as by `ip address add \
             {ip}/{length} dev lo` or from whoever moves it here (keepalived)"
        ));
    }
}

/// What clients on this host make of the name of an endpoint.
fn named(endpoint: &Endpoint, rows: &[Row]) -> Option<Named> {
    let addresses = rows.iter().filter(|row| row.here).map(|row| NamedAddress {
        ip: row.answer.ip,
        served: row.answer.outcome == ReachOutcome::Accepted,
    });
    Named::of(endpoint, addresses.collect())
}

/// 0 if every vantage is served or sent on, 1 if one is not, 3 if one is open and none is not.
fn status<'a>(answers: impl Iterator<Item = &'a Answer>) -> u8 {
    let mut worst = 0;
    for answer in answers {
        match answer.outcome {
            _ if answer.fails => worst = 1,
            ReachOutcome::Accepted | ReachOutcome::Forwarded => {}
            ReachOutcome::Unknown => worst = if worst == 0 { 3 } else { worst },
            _ => worst = 1,
        }
    }
    worst
}
