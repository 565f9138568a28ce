//! The changes that would surely allow the call, filled in for this user and this case.

use portwise_model::{
    Call, Case, Verdict,
    fix::{self, Proven},
};

use super::report::{FixReport, HeldSocket, NoHolder, Role, breadth};
use crate::{
    Setting,
    endpoint::{Target, shown},
};

/// What stands for the program, which was not named.
const PROGRAM: &str = "PROGRAM";

/// The fixes of a case, smallest first.
pub(super) fn of(
    setting: &mut Setting,
    case: &Case,
    verdict: &Verdict,
    target: &Target,
    held: &[HeldSocket],
) -> Vec<FixReport> {
    let proven = setting.fixes(case, verdict);
    proven.iter().map(|proven| report(setting, case, target, held, proven)).collect()
}

fn report(
    setting: &mut Setting,
    case: &Case,
    target: &Target,
    held: &[HeldSocket],
    proven: &Proven,
) -> FixReport {
    let fix = proven.fix;
    let number = |n: Option<u32>, unknown: &str| n.map_or(unknown.to_string(), |n| n.to_string());
    let uid = setting.subject.uid;
    let blanks = [
        ("{program}", PROGRAM.to_string()),
        ("{port}", target.port.to_string()),
        ("{ip}", target.ip.to_string()),
        ("{endpoint}", target.shown.clone()),
        ("{uid}", uid.to_string()),
        ("{gid}", number(setting.gid, "GID")),
        ("{pid}", number(pids(held).first().copied(), "PID")),
    ];
    let blanks: Vec<(&str, &str)> = blanks.iter().map(|(name, v)| (*name, v.as_str())).collect();
    let mut command = fix::command(fix, &blanks);
    if fix.id.ends_with(".stop-holder") {
        command = stop(setting, held);
    }
    let mut title = fix.title.to_string();
    for (name, value) in &blanks {
        title = title.replace(name, value);
    }
    let (endpoint, detail) = instead(setting, case, &proven.case).unzip();
    FixReport {
        id: fix.id,
        title,
        breadth: breadth(fix.breadth),
        detail,
        endpoint,
        command: (!command.is_empty()).then_some(command),
        side_effects: fix.side_effects,
    }
}

/// The processes that hold what is in the way, if each such socket has one that was seen. What
/// the kernel keeps has none.
fn pids(held: &[HeldSocket]) -> Vec<u32> {
    let in_the_way = || {
        let kept = |h: &&HeldSocket| h.no_holder == Some(NoHolder::Kernel);
        held.iter().filter(|h| h.role == Role::InTheWay).filter(move |h| !kept(h))
    };
    if in_the_way().any(|h| h.holders.is_empty()) {
        return Vec::new();
    }
    let mut pids: Vec<u32> = in_the_way().flat_map(|h| &h.holders).map(|p| p.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The command that ends the holder. Empty if there are several, since one of them is likely a
/// service manager that starts the others again, or if it is not known.
fn stop(setting: &Setting, held: &[HeldSocket]) -> String {
    let [pid] = pids(held)[..] else { return String::new() };
    if setting.runner.is_none() || pid == 1 {
        return String::new();
    }
    let mut holders = held.iter().flat_map(|h| &h.holders).filter(|holder| holder.pid == pid);
    let own = holders.all(|holder| Some(holder.uid) == setting.runner);
    let sudo = if own || setting.runner == Some(0) { "" } else { "sudo " };
    format!("{sudo}kill {pid}")
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
    let detail = match before.port == after.port {
        true => endpoint.clone(),
        false => format!("{} is free", after.port),
    };
    Some((endpoint, detail))
}
