//! `reach` as text.

use std::collections::BTreeSet;

use portwise_model::ReachOutcome;

use super::{
    holder,
    page::{Color, Page, Style},
    text::Detail,
};
use crate::{
    explain::{
        names::Named,
        port::{OnPort, PortSocket},
    },
    reach::{Answer, Fix},
    verb::reach::Row,
};

/// Writes the answers, those to one address together.
pub fn text(rows: &[Row], names: &[Named], detail: Detail, style: Style) -> String {
    let mut page = Page::new(style);
    if detail != Detail::Quiet {
        self::names(&mut page, names);
    }
    let mut to = None;
    let mut said = BTreeSet::new();
    for row in rows {
        let answer = &row.answer;
        if detail != Detail::Quiet && to != Some(&answer.to) {
            if to.is_some() || !names.is_empty() {
                page.blank();
            }
            page.plain(&format!("to {}", answer.to));
            to = Some(&answer.to);
        }
        one(&mut page, row, detail, &mut said);
    }
    let outside = rows.iter().find_map(|row| row.answer.outside.as_ref());
    if let Some(outside) = outside.filter(|_| detail != Detail::Quiet) {
        page.label("beyond");
        page.text(outside);
    }
    page.finish()
}

/// Writes what clients make of names.
pub(super) fn names(page: &mut Page, names: &[Named]) {
    for named in names {
        page.label("name");
        for line in named.lines() {
            page.text(&line);
        }
    }
}

/// Writes who is on a port: `always`, or if one vantage is not served, or several sockets may
/// serve it.
pub fn port(port: &OnPort, answers: &[&Answer], always: bool, style: Style) -> String {
    const SHOWN: usize = 16;
    let served = |answer: &&&Answer| {
        answer.outcome == ReachOutcome::Accepted && answer.sockets.is_none() && !answer.fails
    };
    let OnPort { here, elsewhere, .. } = port;
    if !always && answers.iter().filter(served).count() == answers.len() {
        return String::new();
    }
    let mut page = Page::new(style);
    if here.is_empty() {
        page.label("there");
        page.text(&format!("no socket is bound to port {} in this network namespace", port.port));
    }
    for socket in here.iter().take(SHOWN) {
        page.label("there");
        page.text(&socket_words(socket));
        queue(&mut page, socket);
        if let Some(misses) = &socket.misses {
            page.detail(misses);
        }
    }
    if here.iter().any(|socket| socket.group.is_some()) {
        page.text(
            "those with the same address share the port by SO_REUSEPORT: the kernel spreads new \
             connections over them, by a hash of addresses and ports",
        );
    }
    for socket in elsewhere.iter().take(SHOWN) {
        page.label("other");
        let only = match socket.only_loopback {
            Some(true) => {
                "; that namespace has only loopback addresses (lo): nobody outside \
                           reaches it"
            }
            _ => "",
        };
        page.text(&format!("{}{only}", socket_words(socket)));
    }
    let more = (here.len() + elsewhere.len()).saturating_sub(2 * SHOWN);
    if more > 0 {
        page.text(&format!("and {more} more: `portwise list {}`", port.port));
    }
    if port.hidden_namespaces > 0 && here.is_empty() && elsewhere.is_empty() {
        let n = port.hidden_namespaces;
        page.label("note");
        page.text(&format!(
            "the network namespaces of {n} processes are hidden: one of them may have it"
        ));
    }
    page.finish()
}

/// A socket with whoever holds it.
fn socket_words(socket: &PortSocket) -> String {
    let state = match (socket.state, socket.protocol) {
        ("LISTEN", _) => "listening",
        ("BOUND", "tcp" | "mptcp") => "bound, not listening",
        _ => "bound",
    };
    let place = match &socket.netns {
        Some(netns) => {
            format!(" in another network namespace (--netns {})", super::phrase::quoted(netns))
        }
        None => String::new(),
    };
    let device = socket.device.as_deref().map(|device| format!(", bound to {device}"));
    let held: Vec<String> = socket.holders.iter().take(4).map(holder::short).collect();
    let held = match (held.as_slice(), &socket.no_holder) {
        ([], Some(why)) => format!(", {why}"),
        ([], None) => String::new(),
        (held, _) => format!(", {}", held.join(", ")),
    };
    let device = device.unwrap_or_default();
    format!("{}/{} {state}{device}{place}{held}", socket.local, socket.protocol)
}

/// Whether a listener is behind with accepting.
fn queue(page: &mut Page, socket: &PortSocket) {
    let (Some(waiting @ 1..), Some(backlog)) = (socket.waiting, socket.backlog) else { return };
    page.detail(&match waiting > backlog {
        true => format!(
            "its accept queue is full: {waiting} connections wait, the limit is {backlog} (the \
             backlog of listen, at most net.core.somaxconn); further ones are dropped and time out"
        ),
        false => format!("{waiting} connections wait to be accepted, {backlog} may"),
    });
}

/// One vantage. What was said of another is not said again.
fn one<'a>(page: &mut Page, row: &'a Row, detail: Detail, said: &mut BTreeSet<&'a str>) {
    let answer = &row.answer;
    let (color, word) = head(answer);
    let errno = answer.errno.map(|errno| format!(" ({errno})")).unwrap_or_default();
    let vantage = match row.vantage.as_str() {
        "" => String::new(),
        vantage => format!("{vantage}, "),
    };
    page.headline(color, word, &format!("{vantage}{}{errno}", answer.from));
    if detail == Detail::Quiet {
        return;
    }
    page.label("why");
    page.text(&answer.because);
    if let Some(text) = &answer.rule_text {
        page.label("rule");
        page.text(text);
    }
    if let Some(socket) = &answer.socket {
        page.label("socket");
        let holder = match (socket.pid, &socket.command) {
            (Some(pid), Some(command)) => format!(", pid {pid} ({command})"),
            _ => String::new(),
        };
        let more = match answer.sockets {
            Some(count) => format!(", one of {count}"),
            None => String::new(),
        };
        page.text(&format!("{}{holder}{more}", socket.local));
    }
    if let Some(device) = &answer.leaves_by {
        page.label("leaves");
        page.text(&match &answer.taken_there {
            Some(there) => format!("by {device} for {there}"),
            None => format!("by {device}"),
        });
    }
    if let Some(command) = &answer.settle {
        page.label("settle");
        page.command(command);
    }
    for note in answer.notes.iter().filter(|note| said.insert(note)) {
        page.label("note");
        page.text(note);
    }
    for fix in &answer.fixes {
        let new = fix.commands.iter().filter(|command| said.insert(command)).count();
        if new > 0 {
            self::fix(page, fix);
        }
    }
    if detail == Detail::Verbose {
        page.label("path");
        for step in &answer.path {
            match &step.rule {
                Some(rule) => page.detail(&format!("{rule} {}", step.what)),
                None => page.text(&step.what),
            }
        }
    }
}

fn fix(page: &mut Page, fix: &Fix) {
    page.label("fix");
    page.text(&fix.title);
    for command in &fix.commands {
        page.command(command);
    }
    if !fix.side_effects.is_empty() {
        page.detail(&fix.side_effects);
    }
}

fn head(answer: &Answer) -> (Color, &'static str) {
    let color = match answer.outcome {
        _ if answer.fails => Color::Red,
        ReachOutcome::Accepted | ReachOutcome::Forwarded => Color::Green,
        ReachOutcome::Unknown => Color::Yellow,
        _ => Color::Red,
    };
    let word = match answer.outcome {
        _ if answer.fails => "fails",
        // Its own packets a host does not forward.
        ReachOutcome::Forwarded if answer.from.ends_with("%lo") => "leaves",
        outcome => crate::reach::word(outcome),
    };
    (color, word)
}
