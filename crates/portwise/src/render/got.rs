//! What an errno that a program got means here, as text.

use super::{page::Page, phrase, text::Detail};
use crate::{
    explain::{Could, EvidenceReport, Gate, Got, Holds, Now, Report},
    pasted::{How, System},
};

/// Writes what was got and which gates could have given it.
pub(super) fn got(page: &mut Page, report: &Report, got: &Got, detail: Detail) {
    let all = detail == Detail::Verbose;
    summary(page, report, got);
    hint(page, got);
    could(page, report, got, all);
    cannot(page, report, got, all);
}

fn summary(page: &mut Page, report: &Report, got: &Got) {
    let (Some(errno), Some(now)) = (got.errno, got.now) else { return };
    let text = got.text.unwrap_or_default();
    let answers = report.decision.refusals().replace('|', " or ");
    page.label("got");
    page.text(&match now {
        Now::Same => format!("{errno}, \"{text}\": what the kernel answers here"),
        Now::Possible => format!("{errno}, \"{text}\": the kernel may answer it here"),
        Now::Other => {
            format!("{errno}, \"{text}\": not what the kernel answers here now, that is {answers}")
        }
        Now::Success => format!("{errno}, \"{text}\": now the call would succeed"),
    });
    if got.told == Some(How::Words) {
        page.text("the program's own words amount to it; the message tells no errno");
    }
    if let Some(system) = got.system.filter(|&system| !is_here(system, report)) {
        let ask = if system == System::Macos { ": --on macos-15 asks there" } else { "" };
        page.text(&format!("the message is of {system}, the answer of another kernel{ask}"));
    }
    for other in &got.also {
        let other = phrase::quoted(other);
        page.text(&format!("the message names {other} too: portwise why {other} --got {errno}"));
    }
}

fn is_here(system: System, report: &Report) -> bool {
    let kernel = report.trace.first().map(|step| crate::explain::kernel_of(step.rule));
    kernel.is_none_or(|kernel| System::from(kernel) == system)
}

fn hint(page: &mut Page, got: &Got) {
    let Some(hint) = &got.hint else { return };
    page.label("hint");
    let said = &hint.text;
    page.text(&match hint.holds {
        Holds::Wrong => format!("that message is wrong: \"{said}\""),
        Holds::Right => format!("that message is right: \"{said}\""),
        Holds::Open => format!("perhaps: \"{said}\""),
    });
    page.text(&hint.because);
}

/// The gates that could have given the errno. One that stops the call now is told as the reason
/// below; what cannot be read matters only where nothing else explains the errno.
fn could(page: &mut Page, report: &Report, got: &Got, all: bool) {
    for gate in shown(got, all) {
        let (by_listen, rule) = (gate.call == "listen", gate.step.rule);
        let said = match gate.could {
            Could::Stops if by_listen => "bind succeeds, then listen fails with it".into(),
            Could::MayStop if by_listen => "bind succeeds, then listen may fail with it".into(),
            Could::Then => then(gate).into(),
            Could::OtherAsker => {
                let asked = phrase::quoted(&report.asked);
                format!(
                    "not for this asker, but for one without privileges: portwise why {asked} --as USER"
                )
            }
            Could::OtherRequest if all || !got.is_explained() => {
                "not for a fresh socket and a well-formed address, as asked about here".into()
            }
            _ => continue,
        };
        page.label("could");
        page.named(gate.step.title, rule);
        page.text(&said);
    }
    unread(page, got, all);
    if let Some(settle) = &got.settle {
        page.label("settle");
        page.command(settle);
        if settle.ends_with(" sh") {
            page.text("start the program from that shell");
        }
    }
}

/// The gates worth showing: those of `listen` only if they decide, or if `bind` has none.
fn shown(got: &Got, all: bool) -> impl Iterator<Item = &Gate> {
    let bind_has_one = got.gates.iter().any(|gate| gate.call == "bind");
    got.gates.iter().filter(move |gate| {
        all || gate.call != "listen" || !bind_has_one || gate.could <= Could::MayStop
    })
}

fn then(gate: &Gate) -> &'static str {
    match gate.step.outcome.name() {
        "EADDRINUSE" => "not now; at that time a socket may have held the port",
        "EADDRNOTAVAIL" => "not now; at that time the host may not have had the address",
        _ => "not now; at that time it may have",
    }
}

fn unread(page: &mut Page, got: &Got, all: bool) {
    let past = |gate: &Gate| matches!(gate.could, Could::Then | Could::OtherAsker);
    let explained = got.is_explained() || got.gates.iter().any(past);
    let shown = |usual: bool| all || !got.is_explained() && (usual || !explained);
    let mut first = true;
    for gate in got.unread.iter().filter(|gate| shown(gate.usual)) {
        if std::mem::take(&mut first) {
            page.label("could");
            page.text("what cannot be read from here:");
        }
        let chosen = if gate.usual { "" } else { ", if whoever wrote it chose this errno" };
        page.detail(&format!("{}{chosen}", gate.what));
        if !gate.look.is_empty() {
            page.command(&format!("  {}", gate.look));
        }
    }
}

/// The gates that could not have given it, with the facts that say so.
fn cannot(page: &mut Page, report: &Report, got: &Got, all: bool) {
    for gate in shown(got, all) {
        let excluded = gate.could == Could::Cannot && (all || !got.is_explained());
        if gate.could != Could::Behind && !excluded {
            continue;
        }
        page.label("cannot");
        page.named(gate.step.title, gate.step.rule);
        if let Some(behind) = gate.behind {
            page.text(&format!("it would, but {behind} stops the call before"));
            continue;
        }
        for seen in &gate.step.evidence {
            let fact = match seen {
                EvidenceReport::Port { port } => Some(format!("port {port}")),
                EvidenceReport::Address { ip } => Some(format!("address {ip}")),
                _ => phrase::evidence(report, seen, all),
            };
            if let Some(fact) = fact {
                page.text(&fact);
            }
        }
    }
}
