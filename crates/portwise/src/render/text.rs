//! Reports as text.

use portwise_model::{Missing, Outcome, State};

use super::{
    asker, audience, holder,
    page::{Color, Page, Style},
    phrase,
};
use crate::explain::{
    Answer, CiteReport, Decision, FixReport, Found, HeldSocket, NoHolder, Note, Report, Role,
    StepReport, names::Named, owner,
};

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// The first line.
    Quiet,
    /// What matters.
    #[default]
    Normal,
    /// Every rule tried, every fact and every source.
    Verbose,
}

/// Writes the answers of `why`.
pub fn why(
    reports: &[Report],
    names: &[Named],
    assumed: &[String],
    detail: Detail,
    style: Style,
) -> String {
    let mut page = Page::new(style);
    if detail > Detail::Quiet {
        super::reach::names(&mut page, names);
    }
    for report in reports {
        if detail > Detail::Quiet {
            page.blank();
        }
        answer(&mut page, report, detail);
    }
    let mut text = page.finish();
    if detail > Detail::Quiet {
        text += &assumptions(assumed);
    }
    text
}

impl std::fmt::Display for Report {
    /// As `why` says it, without colours.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = std::slice::from_ref(self);
        f.write_str(&why(one, &[], &[], Detail::Normal, Style::default()))
    }
}

/// Writes what was taken for granted, one thing a line.
pub fn assumptions(assumed: &[String]) -> String {
    let mut page = Page::new(Style::default());
    for text in assumed {
        page.item(text);
    }
    if assumed.is_empty() { String::new() } else { format!("\nassumed:\n{}", page.finish()) }
}

fn answer(page: &mut Page, report: &Report, detail: Detail) {
    let (color, rest) = headline(report);
    page.headline(color, report.decision.answer.word(), &rest);
    if detail == Detail::Quiet {
        return;
    }
    page.blank();
    if let Some(got) = &report.got {
        super::got::got(page, report, got, detail);
    }
    // What a reader in a hurry needs comes first: cause, culprit, smallest fix.
    let all = detail == Detail::Verbose;
    reasons(page, report);
    asker::rights(page, report);
    asker::line(page, report);
    sockets(page, report, |role| role != Role::Beside);
    notes(page, report, all, is_cause);
    hidden(page, report);
    fixes(page, &report.fixes);
    covers(page, report);
    audience::text(page, report);
    sockets(page, report, |role| role == Role::Beside);
    if report.decision.answer != Answer::No || report.about_port {
        elsewhere(page, report);
    }
    notes(page, report, all, |note| !is_cause(note));
    if all {
        page.blank();
        asker::in_full(page, report);
        trace(page, report);
    } else {
        sources(page, report);
    }
}

/// The first line: its colour, and what stands behind the word.
pub(crate) fn headline(report: &Report) -> (Color, String) {
    let who = phrase::subject(&report.subject);
    let what = format!("{}/{}", report.endpoint, report.protocol.name());
    if let Some(program) = report.not_started() {
        let errors = errors(&report.decision);
        return (
            Color::Red,
            format!("execve of {program} fails ({errors}), before any bind of {what}"),
        );
    }
    match report.decision.answer {
        Answer::Yes => (Color::Green, format!("{who} may bind {what}")),
        Answer::No => {
            (Color::Red, format!("{who} may not bind {what} ({})", errors(&report.decision)))
        }
        Answer::Unknown => (
            Color::Yellow,
            format!(
                "whether {who} may bind {what} is open (success or {})",
                errors(&report.decision)
            ),
        ),
    }
}

fn errors(decision: &Decision) -> String {
    let all: Vec<_> = decision.errors().collect();
    match all.as_slice() {
        [one] => format!("{}, \"{}\"", one.outcome, one.text),
        several => {
            let names: Vec<&str> = several.iter().map(|o| Outcome::name(o.outcome)).collect();
            names.join(" or ")
        }
    }
}

/// The rules that stop the call or may, with the facts they turn on.
fn reasons(page: &mut Page, report: &Report) {
    let mut missing = Vec::new();
    for step in report.obstacles() {
        match step.finding {
            Found::Unknown => {
                page.label("open");
                page.text(step.title);
            }
            _ => {
                page.label("why");
                page.text(step.fault);
            }
        }
        if report.decision.errors().count() > 1 {
            page.text(&format!("answers {} if it stops the call", step.outcome));
        }
        // What several rules miss is explained once.
        let known = step.missing.as_ref().is_some_and(|fact| missing.contains(&fact));
        facts(page, report, step, false, !known);
        missing.extend(&step.missing);
    }
}

fn facts(page: &mut Page, report: &Report, step: &StepReport, all: bool, explain: bool) {
    for seen in &step.evidence {
        if let Some(text) = phrase::evidence(report, seen, all) {
            page.text(&text);
        }
    }
    match &step.missing {
        Some(_) if !explain => page.text("not known: the same as above"),
        Some(missing) => not_known(page, missing),
        None => {}
    }
}

fn not_known(page: &mut Page, missing: &Missing) {
    let reveal = match missing.reveal.as_ref() {
        "" => String::new(),
        reveal => format!("; to find out: {reveal}"),
    };
    page.text(&format!("not known: {}{reveal}", missing.why));
}

/// The rules by name, with how they are known.
fn sources(page: &mut Page, report: &Report) {
    for step in report.obstacles() {
        page.label("rule");
        page.text(&match step.finding {
            Found::Unknown => step.rule.to_string(),
            _ => format!("{}: {}", step.rule, step.title),
        });
        page.text(&source(report, step));
    }
}

fn source(report: &Report, step: &StepReport) -> String {
    let note = step.basis.note.map(|note| format!(" ({note})")).unwrap_or_default();
    let cite = best_cite(&step.cites, report.ip.is_ipv6());
    let cite = cite.map(|cite| format!("; {}", phrase::cite(cite))).unwrap_or_default();
    format!("{}{note}{cite}", step.basis.how)
}

/// The first citation about the family in question.
fn best_cite(cites: &[CiteReport], ipv6: bool) -> Option<&CiteReport> {
    let about_ipv6 = |c: &CiteReport| c.path.contains("ipv6") || c.path.contains("6_");
    cites.iter().find(|c| about_ipv6(c) == ipv6).or(cites.first())
}

/// Every rule tried.
fn trace(page: &mut Page, report: &Report) {
    for step in &report.trace {
        page.label(match step.finding {
            Found::Passes => "passes",
            Found::Stops => "stops",
            Found::Unknown => "open",
        });
        page.named(step.title, step.rule);
        facts(page, report, step, true, true);
        let note = step.basis.note.map(|note| format!(" ({note})")).unwrap_or_default();
        page.text(&format!("{}{note}", step.basis.how));
        for cite in &step.cites {
            page.detail(&phrase::cite(cite));
        }
    }
}

/// Whether a note explains the answer, so that it stands before the fixes.
fn is_cause(note: &Note) -> bool {
    !matches!(note.id, "every-address-fails" | "not-ipnoprivports")
}

fn notes(page: &mut Page, report: &Report, all: bool, wanted: impl Fn(&Note) -> bool) {
    for note in report.notes.iter().filter(|note| wanted(note)) {
        page.label("note");
        page.text(&note.text);
        let cites =
            if all { note.cites.as_slice() } else { &note.cites[..note.cites.len().min(1)] };
        for cite in cites {
            page.text(&phrase::cite(cite));
        }
    }
}

fn hidden(page: &mut Page, report: &Report) {
    if let Some(missing) = &report.sockets_hidden {
        page.label("note");
        page.text(&format!("sockets: {}", missing.why));
        if !missing.reveal.is_empty() {
            page.text(&format!("to find out: {}", missing.reveal));
        }
    }
}

/// The other sockets on the port, those alike together.
fn sockets(page: &mut Page, report: &Report, wanted: impl Fn(Role) -> bool) {
    let listens = |held: &HeldSocket| held.socket.state == State::Listen;
    let is_held = report.sockets.iter().any(|held| held.role == Role::InTheWay && listens(held));
    let mut groups: Vec<(&HeldSocket, usize)> = Vec::new();
    for held in report.sockets.iter().filter(|held| wanted(held.role)) {
        // What waits at a listener goes with it.
        if is_held && held.no_holder == Some(NoHolder::NotAccepted) {
            continue;
        }
        match groups.iter_mut().find(|(other, _)| alike(other, held)) {
            Some((_, count)) => *count += 1,
            None => groups.push((held, 1)),
        }
    }
    let mut before: Option<&HeldSocket> = None;
    for (held, count) in groups {
        page.label(match held.role {
            Role::InTheWay | Role::Behind => "held",
            Role::Unclear => "held?",
            Role::Beside => "beside",
        });
        let mut words = phrase::socket_of(&held.socket, held.socket.remote.as_deref(), count);
        if let Some(waiting @ 1..) = held.waiting {
            let are = if waiting == 1 { "connection waits" } else { "connections wait" };
            words += &format!("; {waiting} {are} to be accepted");
        }
        let relation = match held.relation.as_str() {
            "" => String::new(),
            relation => format!(": {relation}"),
        };
        page.text(&match held.role {
            Role::InTheWay => format!("{words}{relation}"),
            Role::Behind => format!("{words}: in the way, once the call is allowed otherwise"),
            Role::Unclear => format!("{words}: in the way or not, that is not known"),
            Role::Beside => format!("{words}: not in the way{relation}"),
        });
        let same = |before: &HeldSocket| before.holders == held.holders;
        if !held.holders.is_empty() && before.is_some_and(same) {
            page.detail(if held.holders.len() == 1 {
                "the same process"
            } else {
                "the same processes"
            });
        } else {
            holders(page, held);
        }
        if let Some(reason) = held.no_holder {
            page.detail(&holder::no_holder(report, held, reason));
        }
        before = Some(held);
    }
}

/// Those who hold a socket, the first few in full.
fn holders(page: &mut Page, held: &HeldSocket) {
    const IN_FULL: usize = 3;
    const SHOWN: usize = 12;
    for (i, owner) in held.holders.iter().enumerate().take(SHOWN) {
        let lines = holder::lines(owner);
        let full = held.role != Role::Beside && (held.holders.len() <= IN_FULL || i == 0);
        for line in lines.iter().take(if full { lines.len() } else { 1 }) {
            page.detail(line);
        }
    }
    if held.holders.len() > SHOWN {
        page.detail(&format!("and by {} more", held.holders.len() - SHOWN));
    }
}

/// What is on the port in other network namespaces.
fn elsewhere(page: &mut Page, report: &Report) {
    const SHOWN: usize = 3;
    for there in report.elsewhere.iter().take(SHOWN) {
        page.label("beside");
        page.text(&format!("{}: not in the way", holder::elsewhere(there)));
    }
    if report.elsewhere.len() > SHOWN {
        let more = report.elsewhere.len() - SHOWN;
        page.text(&format!("and {more} more in other network namespaces"));
    }
}

/// Whether two sockets differ in nothing but the other end and their descriptors.
fn alike(a: &HeldSocket, b: &HeldSocket) -> bool {
    let same_holder =
        |(a, b): (&owner::Owner, &owner::Owner)| (a.pid, a.in_flight) == (b.pid, b.in_flight);
    let plain = |held: &HeldSocket| {
        let mut socket = held.socket.clone();
        (socket.inode, socket.remote) = (None, None);
        socket
    };
    a.role == b.role
        && a.socket.state == b.socket.state
        && a.socket.local == b.socket.local
        && a.socket.remote.is_some() == b.socket.remote.is_some()
        && a.no_holder == b.no_holder
        && a.holders.len() == b.holders.len()
        && a.holders.iter().zip(&b.holders).all(same_holder)
        && plain(a) == plain(b)
}

fn covers(page: &mut Page, report: &Report) {
    const SHOWN: usize = 12;
    let Some(covers) = &report.covers else { return };
    page.label("covers");
    page.text(&covers.what);
    if let Some(device) = &covers.device {
        page.text(&format!("only what arrives on {device}"));
    }
    let list: Vec<String> =
        covers.addresses.iter().map(|a| format!("{} ({})", a.ip, a.device)).collect();
    let several = list.len() > 1 || list.len() == 1 && report.ip.is_unspecified();
    if several {
        let more = list.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let known = if covers.complete { "now" } else { "known now" };
        page.text(&format!("{known}: {}{more}", list[..list.len().min(SHOWN)].join(", ")));
    }
}

pub(super) fn fixes(page: &mut Page, fixes: &[FixReport]) {
    for (i, fix) in fixes.iter().enumerate() {
        page.label(if i == 0 { "fix" } else { "" });
        match &fix.detail {
            Some(detail) => page.text(&format!("{}: {detail}", fix.title)),
            None => page.text(&fix.title),
        }
        if let Some(command) = &fix.command {
            page.command(command);
        }
        if !fix.side_effects.is_empty() {
            page.detail(&fix.side_effects);
        }
    }
}
