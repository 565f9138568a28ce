//! The changes that would surely allow the call, filled in for this user and this case.

use portwise_model::{
    Call, Case, KernelFamily, Protocol, SockAddr, State, Verdict,
    fix::{Fix, Proven},
};

use self::start::Start;
use super::{
    report::{FixReport, HeldSocket, Role, breadth},
    stop::{self, in_the_way, owners},
};
use crate::{
    Setting,
    endpoint::{Target, shown},
    render::phrase::quoted,
};

mod start;

/// What may be left to fill in.
const OPEN: [&str; 4] = ["{program}", "{command}", "{file}", "{pid}"];

/// The group of a user that no one is known of, as `run` has it.
const NO_GROUP: u32 = 65534;

/// The fixes of a case, smallest first.
pub(super) fn of(
    setting: &mut Setting,
    case: &Case,
    verdict: &Verdict,
    target: &Target,
    held: &[HeldSocket],
) -> Vec<FixReport> {
    let start = Start::of(setting);
    let again = start.again(case);
    let restarted =
        again.clone().is_some_and(|mut case| setting.decide_changed(&mut case).is_allowed());
    let case = again.as_ref().unwrap_or(case);
    let proven = setting.fixes(case, verdict);
    let blanks = Blanks::new(setting, case, &start, target, held);
    if proven.is_empty() && !restarted {
        let two = two(setting, case, verdict);
        return two.iter().map(|two| report_two(setting, case, &blanks, two)).collect();
    }
    let of = |proven| report(setting, case, &blanks, held, proven);
    let mut fixes: Vec<FixReport> = proven.iter().map(of).collect();
    for (fix, Proven { fix: known, case: changed }) in fixes.iter_mut().zip(&proven) {
        if let Some(file) = start.opened(case, changed) {
            fix.command = Some(known.command.replace("{file}", &file));
        }
        start.fill(fix, changed);
    }
    if let Some(at) = fixes.iter().position(|fix| fix.id == "linux.this-run")
        && let Some(exactly) = start.exactly(&asked(target))
    {
        fixes.insert(at, exactly);
    }
    // What undoes a loss is what whoever met it looks for.
    if start.is_bare_program(case)
        && let Some(at) = fixes.iter().position(|fix| fix.id == "linux.this-program")
    {
        fixes[..=at].rotate_right(1);
    }
    if restarted {
        // Fixes of a start that needs none are noise.
        fixes.retain(|fix| fix.breadth == "request");
        fixes.insert(0, start.restart());
    }
    for fix in &mut fixes {
        // What is still open cannot be typed.
        let whole = fix.command.take().filter(|c| !OPEN.iter().any(|blank| c.contains(blank)));
        fix.command = whole.map(|command| there(setting, &command));
        if fix.id == "linux.this-run" {
            fix.command = fix.command.take().map(|command| start.in_its_directory(command));
        }
    }
    fixes
}

/// An endpoint as it is typed.
fn asked(target: &Target) -> String {
    match target.protocol {
        Protocol::Tcp => target.shown.clone(),
        Protocol::Udp => format!("{}/udp", target.shown),
    }
}

/// A command made to work as typed by whoever asks, in the network in question.
fn there(setting: &Setting, command: &str) -> String {
    let command = in_network(setting, command);
    if setting.runner != Some(0) {
        return command;
    }
    // Root needs no sudo, and may have none.
    let command = command.strip_prefix("sudo ").unwrap_or(&command);
    command.replace("; sudo ", "; ").replace("| sudo ", "| ")
}

fn in_network(setting: &Setting, command: &str) -> String {
    let Some(netns) = &setting.netns else { return command.into() };
    let enter = format!("sudo nsenter --net={} ", quoted(&netns.to_string_lossy()));
    for tool in ["sysctl", "setpriv"] {
        if let Some(rest) = command.strip_prefix(&format!("sudo {tool} ")) {
            return format!("{enter}{tool} {rest}");
        }
    }
    command.into()
}

/// What is filled in where a fix leaves it open.
struct Blanks<'a> {
    target: &'a Target,
    blanks: Vec<(&'static str, String)>,
}

impl Blanks<'_> {
    fn new<'a>(
        setting: &Setting,
        case: &Case,
        start: &Start,
        target: &'a Target,
        held: &[HeldSocket],
    ) -> Blanks<'a> {
        let known = |name, value: Option<String>| value.map(|value| (name, value));
        let blanks = [
            known("{program}", start.program(case)),
            known("{command}", start.command()),
            known("{port}", Some(target.port.to_string())),
            known("{ip}", Some(target.ip.to_string())),
            known("{endpoint}", Some(target.shown.clone())),
            known("{uid}", Some(setting.subject.uid.to_string())),
            known("{gid}", Some(setting.gid.unwrap_or(NO_GROUP).to_string())),
            known("{pid}", owners(held).first().map(|owner| owner.pid.to_string())),
        ];
        Blanks { target, blanks: blanks.into_iter().flatten().collect() }
    }

    fn fill(&self, text: &str) -> String {
        self.blanks.iter().fold(text.to_string(), |text, (name, value)| text.replace(name, value))
    }
}

fn report(
    setting: &mut Setting,
    case: &Case,
    blanks: &Blanks,
    held: &[HeldSocket],
    proven: &Proven,
) -> FixReport {
    let fix = proven.fix;
    let (endpoint, mut detail) = instead(setting, case, &proven.case).unzip();
    let (mut title, mut command) = (blanks.fill(fix.title), blanks.fill(fix.command));
    let mut side_effects = fix.side_effects.to_string();
    if fix.id.ends_with(".stop-holder") {
        let stop = stop::of(setting, blanks.target, held);
        (title, command, side_effects) = (stop.title, stop.command, stop.side_effects);
        detail = stop.detail.or(detail);
        if in_the_way(held).next().is_none() {
            // What is in the way has outlived its program.
            let left = held.iter().filter(|h| h.role <= Role::Unclear);
            let seconds = left.filter_map(|h| h.remaining_seconds).max();
            title = match seconds {
                Some(seconds) => {
                    format!("wait {seconds} seconds, until the kernel ends the connection")
                }
                None => "wait until the kernel ends the connection".into(),
            };
            side_effects = String::new();
        } else if leaves_connections(case, held) {
            title += ", and wait a minute: its connections keep the port that long";
        }
    }
    if fix.id.ends_with(".wait") {
        let remembered = held.iter().filter(|h| h.role <= Role::Unclear);
        if let Some(seconds) = remembered.filter_map(|h| h.remaining_seconds).max() {
            title =
                format!("wait {seconds} seconds, until the kernel forgets the closed connections");
        }
    }
    FixReport {
        id: fix.id.into(),
        title,
        breadth: breadth(fix.breadth),
        detail,
        endpoint,
        command: (!command.is_empty()).then_some(command),
        side_effects,
    }
}

/// Two changes that help only together, where no single one does: the first found.
fn two(setting: &mut Setting, case: &Case, verdict: &Verdict) -> Option<(&'static Fix, Proven)> {
    let obstacle = |verdict: &Verdict| verdict.obstacles().last().map(|step| step.rule.id);
    for first in verdict.obstacles().flat_map(|step| step.rule.fixes) {
        let mut changed = case.clone();
        if !(first.apply)(&mut changed, 0) {
            continue;
        }
        let then = setting.decide_changed(&mut changed);
        if !then.is_refused() || obstacle(&then) == obstacle(verdict) {
            continue;
        }
        let second = setting.fixes(&changed, &then).into_iter().find(|p| p.fix.command.is_empty());
        if let Some(second) = second.filter(|_| first.command.is_empty()) {
            return Some((first, second));
        }
    }
    None
}

fn report_two(
    setting: &mut Setting,
    case: &Case,
    blanks: &Blanks,
    (first, second): &(&'static Fix, Proven),
) -> FixReport {
    let both = [*first, second.fix];
    let (endpoint, detail) = instead(setting, case, &second.case).unzip();
    let side_effects = both.map(|fix| fix.side_effects).into_iter().filter(|e| !e.is_empty());
    FixReport {
        id: both.map(|fix| fix.id).join("+"),
        title: blanks.fill(&both.map(|fix| fix.title).join(", and ")),
        breadth: breadth(first.breadth.max(second.fix.breadth)),
        detail,
        endpoint,
        command: None,
        side_effects: side_effects.collect::<Vec<_>>().join("; "),
    }
}

/// Whether the program that holds the port has connections there that keep it for a while after
/// its end: the kernel closes them in order, and shares the port meanwhile only if this socket and
/// theirs have SO_REUSEADDR.
fn leaves_connections(case: &Case, held: &[HeldSocket]) -> bool {
    let shares = case.request.socket.options.reuseaddr == Some(true);
    let stays = |h: &HeldSocket| {
        h.socket.remote.is_some()
            && h.socket.protocol == Protocol::Tcp
            // The side that closes last keeps nothing.
            && h.socket.state != State::CloseWait
            && !(shares && h.socket.reuseaddr == Some(true))
    };
    case.host.kernel.family == KernelFamily::Linux && in_the_way(held).any(stays)
}

/// The endpoint to bind instead, if that is the change, and in words what it comes to.
fn instead(setting: &mut Setting, case: &Case, changed: &Case) -> Option<(String, String)> {
    let (Call::Bind(before), Call::Bind(after)) = (case.request.call, changed.request.call) else {
        return None;
    };
    if before == after {
        return None;
    }
    let family = case.request.socket.family;
    let zone = (after.scope != 0).then(|| setting.device_name(after.scope));
    let endpoint = shown(after.ip(family), zone.as_deref(), after.port);
    let only_port = SockAddr { port: before.port, ..after } == before;
    let detail = match only_port {
        true => format!("{} is free", after.port),
        false => endpoint.clone(),
    };
    Some((endpoint, detail))
}
