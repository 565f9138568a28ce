//! `free [ENDPOINT]`: the next ports that are free for that address, family and options, printed
//! bare for scripts.

use portwise_model::{FactKey, Protocol, Request, Verdict};
use serde::Serialize;

use super::{KernelReport, kernel, targets};
use crate::{
    Endpoint, Setting, SocketSettings, Trouble,
    cli::{Global, Output},
    endpoint::{BadEndpoint, Target},
    explain,
    render::json,
};

pub mod candidates;

use candidates::{Candidates, Kept, Ports};

/// Arguments of `free`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "For which address, and from which port on: 3000, 127.0.0.1:3000, localhost, ::1, \
                '*:53/udp'; without one every address, from port 8000 on",
        value_name = "ENDPOINT"
    )]
    pub endpoint: Option<String>,
    /// The ports closest to this one, above or below
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub near: Option<u16>,
    /// Only these ports
    #[arg(long, value_name = "LOW-HIGH")]
    pub range: Option<Ports>,
    /// How many ports
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub count: u16,
}

/// A port that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreePort {
    /// The port.
    pub port: u16,
    /// The addresses it is free on, with the port, as `ss` prints them.
    pub endpoints: Vec<String>,
    /// Whether a socket was really bound to each of them, and closed again.
    pub tried: bool,
}

/// How many ports were looked at and passed over, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// The call would be refused, most likely because another socket holds the port.
    pub refused: u32,
    /// It is not known whether it would be refused.
    pub unknown: u32,
    /// The rules allow it, the kernel did not: taken meanwhile, or refused by what cannot be seen.
    pub taken_meanwhile: u32,
    /// Below 1024.
    pub below_1024: u32,
    /// The kernel gives these ports out by itself.
    pub automatic: u32,
    /// Kept for some program by `ip_local_reserved_ports`.
    pub reserved: u32,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The ports, in the order they were found.
    pub ports: Vec<FreePort>,
    /// What was passed over.
    pub passed_over: PassedOver,
}

/// What `free --json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: KernelReport,
    assumed: &'a [String],
    asked: &'a str,
    protocol: Protocol,
    ports: &'a [FreePort],
    passed_over: PassedOver,
    not_tried: Option<&'static str>,
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let typed = args.endpoint.as_deref().unwrap_or("*");
    let endpoint = read(typed)?;
    let mut setting = global.setting()?;
    let not_tried = not_tried(&setting, global);
    let found = free(&mut setting, &endpoint, args, global, not_tried.is_none())?;
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.free/1",
            kernel: kernel(&setting),
            assumed: &setting.assumed,
            asked: typed,
            protocol: endpoint.protocol,
            ports: &found.ports,
            passed_over: found.passed_over,
            not_tried,
        }));
    } else if !global.quiet {
        let lines: Vec<String> = found.ports.iter().map(|p| format!("{}\n", p.port)).collect();
        output.data(&lines.concat());
        if let (Some(why), true) = (not_tried, global.verbose) {
            output.note(&format!("decided by the rules, not tried: {why}\n"));
        }
    }
    let missing = usize::from(args.count) - found.ports.len();
    if missing > 0 || global.verbose {
        output.note(&summary(&found, args.count));
    }
    Ok(match missing {
        0 => 0,
        _ if found.passed_over.unknown > 0 => 3,
        _ => 1,
    })
}

/// Reads an endpoint of which the port may be missing: 0 then.
fn read(typed: &str) -> Result<Endpoint, Trouble> {
    let bad: BadEndpoint = match typed.parse() {
        Ok(endpoint) => return Ok(endpoint),
        Err(bad) => bad,
    };
    let (address, protocol) = match typed.rsplit_once('/') {
        Some((address, protocol)) => (address, format!("/{protocol}")),
        None => (typed, String::new()),
    };
    let with_port: Result<Endpoint, BadEndpoint> = format!("{address}:0{protocol}").parse();
    let in_brackets = || format!("[{address}]:0{protocol}").parse::<Endpoint>();
    match with_port {
        Ok(endpoint) => Ok(endpoint),
        Err(worse) if !address.contains(':') => Err(Trouble::from(worse)),
        Err(_) => in_brackets().map_err(|_| Trouble::from(bad)),
    }
}

/// Why nothing is bound to confirm the answer, if nothing is.
fn not_tried(setting: &Setting, global: &Global) -> Option<&'static str> {
    if setting.runner.is_none() {
        return Some("the question is about another machine");
    }
    if global.who.is_some() || global.pid.is_some() {
        return Some("the question is about another user or process");
    }
    (!cfg!(target_os = "linux")).then_some("that can be done on Linux only")
}

/// Searches for free ports.
///
/// # Errors
/// If a name cannot be resolved, or an interface named in the question does not exist.
pub fn free(
    setting: &mut Setting,
    endpoint: &Endpoint,
    args: &Args,
    global: &Global,
    try_it: bool,
) -> Result<Found, Trouble> {
    if args.near.is_some() && endpoint.port != 0 {
        return Err(Trouble::new("--near and a port in the endpoint: which of the two is meant?"));
    }
    let settings = global.socket_settings();
    let kept = Kept::of(setting);
    let candidates = Candidates::new(args.range, args.near, endpoint.port).map_err(Trouble::new)?;
    let mut found = Found { ports: Vec::new(), passed_over: PassedOver::default() };
    let over = &mut found.passed_over;
    let mut looked_at = 0;
    for port in candidates.iter() {
        if let Some(class) = kept.passes_over(port, &candidates) {
            *over.of(class) += 1;
            continue;
        }
        looked_at += 1;
        if looked_at == FEW {
            // One listing of all is cheaper than many of one port each.
            let _ = setting.observe(&FactKey::AllSockets);
        }
        let asked = Endpoint { port, ..endpoint.clone() };
        let all = targets(setting, &asked, global.family(), &settings)?;
        match judge(setting, &all, &settings, try_it)? {
            Judged::Free => found.ports.push(FreePort {
                port,
                endpoints: all.into_iter().map(|target| target.shown).collect(),
                tried: try_it,
            }),
            Judged::Refused => over.refused += 1,
            Judged::Unknown => over.unknown += 1,
            Judged::TakenMeanwhile => over.taken_meanwhile += 1,
        }
        if found.ports.len() == usize::from(args.count) {
            break;
        }
    }
    Ok(found)
}

/// So many ports are asked about one by one.
const FEW: u32 = 4;

enum Judged {
    Free,
    Refused,
    Unknown,
    TakenMeanwhile,
}

/// Decides one port for every address it is to be free on.
fn judge(
    setting: &mut Setting,
    targets: &[Target],
    settings: &SocketSettings,
    try_it: bool,
) -> Result<Judged, Trouble> {
    let mut open = false;
    for target in targets {
        let request = setting.request(target, settings)?;
        let verdict = setting.decide(&request);
        if verdict.is_refused() || listen_is_refused(setting, &request, &verdict) {
            return Ok(Judged::Refused);
        }
        // Where the rules cannot tell, the kernel can.
        open |= !verdict.is_allowed();
        if try_it && !binds(&request) {
            return Ok(if open { Judged::Refused } else { Judged::TakenMeanwhile });
        }
    }
    Ok(if open && !try_it { Judged::Unknown } else { Judged::Free })
}

/// With `SO_REUSEADDR` or `SO_REUSEPORT` a socket may be bound and still not listen.
fn listen_is_refused(setting: &Setting, request: &Request, verdict: &Verdict) -> bool {
    let shares = |option: Option<bool>| option != Some(false);
    let options = &request.socket.options;
    let matters = shares(options.reuseaddr) || shares(options.reuseport);
    matters && explain::listen_stopped(&setting.case(request), verdict).is_some()
}

#[cfg(target_os = "linux")]
fn binds(request: &Request) -> bool {
    crate::act::bind_once(request).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn binds(_: &Request) -> bool {
    true
}

impl PassedOver {
    fn of(&mut self, class: candidates::Class) -> &mut u32 {
        match class {
            candidates::Class::Below1024 => &mut self.below_1024,
            candidates::Class::Automatic => &mut self.automatic,
            candidates::Class::Reserved => &mut self.reserved,
        }
    }
}

fn summary(found: &Found, wanted: u16) -> String {
    let over = &found.passed_over;
    let reasons: Vec<String> = [
        (over.refused, "refused"),
        (over.taken_meanwhile, "refused by the kernel, though the rules allow it"),
        (over.unknown, "not known"),
        (over.below_1024, "below 1024"),
        (over.automatic, "given out by the kernel (ip_local_port_range)"),
        (over.reserved, "reserved (ip_local_reserved_ports)"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, why)| format!("{count} {why}"))
    .collect();
    let n = found.ports.len();
    let few = if n < usize::from(wanted) {
        format!("portwise: found {n} of {wanted}")
    } else {
        format!("found {n}")
    };
    let ports = if wanted == 1 { "port" } else { "ports" };
    match reasons.is_empty() {
        true => format!("{few} {ports}\n"),
        false => format!("{few} {ports}; passed over: {}\n", reasons.join(", ")),
    }
}
