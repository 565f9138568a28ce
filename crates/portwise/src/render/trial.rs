//! The table of `try`: one row for each endpoint, one column for each vantage.

use std::fmt::Write as _;

use super::{
    clean,
    page::{Color, Page, Style},
    phrase,
    text::Detail,
};
use crate::{
    act::trial::{Cell, Experiment, From, Place, Reached, Server, Summary, Trial, Vantage},
    endpoint,
    explain::Decision,
};

const WIDTH: usize = 80;

/// Writes an experiment.
pub fn text(experiment: &Experiment, detail: Detail, style: Style) -> String {
    let mut text = String::new();
    let Experiment { trials, vantages, .. } = experiment;
    if detail > Detail::Quiet {
        if trials.iter().any(|trial| !trial.cells.is_empty()) {
            legend(&mut text, vantages);
        }
        table(&mut text, trials, vantages, style);
        for trial in trials {
            story(&mut text, trial, detail, style);
        }
        if experiment.place == Place::Copy {
            not_copied(&mut text, &experiment.not_copied, detail);
        }
        text.push('\n');
    }
    text += &closing(experiment, style);
    text
}

fn legend(text: &mut String, vantages: &[Vantage]) {
    let width = vantages.iter().map(|v| v.name.len()).max().unwrap_or(0);
    for vantage in vantages {
        let ip = address(vantage);
        let device = clean(vantage.device.as_deref().unwrap_or_default());
        let what = match (vantage.from, vantage.source) {
            (From::Host, _) if vantage.name.starts_with("lo") => {
                format!("{ip} from this host")
            }
            (From::Host, _) => format!("{ip} ({device}) from this host"),
            (From::Neighbour, Some(source)) => {
                format!("{ip} from a neighbour on {device}, {source}")
            }
            (From::Neighbour, None) => format!("{ip} from a neighbour on {device}"),
            (From::Far, Some(source)) => format!("{ip} from {source}, behind a router on {device}"),
            (From::Far, None) => format!("{ip} from behind a router on {device}"),
        };
        let _ = writeln!(text, "  {:width$}  {what}", vantage.name);
    }
    text.push('\n');
}

fn address(vantage: &Vantage) -> String {
    let shown = endpoint::shown(vantage.ip, None, 0);
    shown.trim_end_matches(":0").to_string()
}

/// The table, in blocks of as many columns as a line has room for.
fn table(text: &mut String, trials: &[Trial], vantages: &[Vantage], style: Style) {
    let label = |trial: &Trial| format!("{}/{}", trial.endpoint, trial.protocol.name());
    let first = trials.iter().map(|t| label(t).chars().count()).max().unwrap_or(0);
    let mut columns = vec![bind_column(trials)];
    if trials.iter().any(|trial| trial.server.is_some()) {
        columns.push(server_column(trials));
    }
    if trials.iter().any(|trial| !trial.cells.is_empty()) {
        columns.extend(vantages.iter().map(|vantage| vantage_column(trials, vantage)));
    }
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut used = first;
        let fits = |column: &&Column| {
            used += 2 + column.width();
            used <= WIDTH
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (block, others) = rest.split_at(count);
        rest = others;
        let _ = write!(text, "{:first$}", "");
        for column in block {
            let _ = write!(text, "  {:1$}", column.title, column.width());
        }
        trim_end(text);
        for (row, trial) in trials.iter().enumerate() {
            let _ = write!(text, "{:first$}", clean(&label(trial)));
            for column in block {
                let (word, color) = &column.words[row];
                let space = " ".repeat(column.width() - word.chars().count());
                let word = match color {
                    Some(color) => style.paint(*color, word),
                    None => word.clone(),
                };
                let _ = write!(text, "  {word}{space}");
            }
            trim_end(text);
        }
        if !rest.is_empty() {
            text.push('\n');
        }
    }
}

fn trim_end(text: &mut String) {
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// A column: its title, and a word with its colour for each row.
struct Column {
    title: String,
    words: Vec<(String, Option<Color>)>,
}

impl Column {
    fn width(&self) -> usize {
        let words = self.words.iter().map(|(word, _)| word.chars().count());
        words.chain([self.title.chars().count()]).max().unwrap_or(0)
    }
}

/// One word where both agree; otherwise both, the prediction first.
fn cell(agrees: bool, predicted: String, observed: &str, good: bool) -> (String, Option<Color>) {
    match (agrees, good) {
        (true, true) => (observed.into(), Some(Color::Green)),
        (true, false) => (observed.into(), None),
        (false, _) => (format!("!{predicted}/{observed}"), Some(Color::Red)),
    }
}

fn bind_column(trials: &[Trial]) -> Column {
    let words = trials.iter().map(|trial| {
        let observed = &trial.observed.outcome;
        cell(trial.agrees, outcomes(&trial.predicted), observed, trial.observed.is_ok())
    });
    Column { title: "bind".into(), words: words.collect() }
}

fn outcomes(decision: &Decision) -> String {
    let names: Vec<&str> = decision.outcomes.iter().map(|o| o.outcome.name()).collect();
    names.join("|")
}

fn server_column(trials: &[Trial]) -> Column {
    let words = trials.iter().map(|trial| match &trial.server {
        Some(server) => {
            let listens = !server.listens.is_empty();
            let word = |listens| if listens { "listens" } else { "no" };
            let predicted = word(trial.observed.is_ok()).to_string();
            cell(server.agrees, predicted, word(listens), listens)
        }
        None => ("-".into(), None),
    });
    Column { title: "server".into(), words: words.collect() }
}

fn vantage_column(trials: &[Trial], vantage: &Vantage) -> Column {
    let word = |trial: &Trial| {
        let found = trial.cells.iter().find(|cell| cell.vantage == vantage.name);
        let Some(found) = found else { return ("-".into(), None) };
        let good = matches!(found.observed, Reached::Connected | Reached::Somebody);
        cell(found.agrees, predicted(found), found.observed.word(), good)
    };
    Column { title: vantage.name.clone(), words: trials.iter().map(word).collect() }
}

fn predicted(cell: &Cell) -> String {
    let mut words: Vec<&str> = cell.predicted.iter().map(Reached::word).collect();
    words.dedup();
    words.join("|")
}

/// What the table has no room for.
fn story(text: &mut String, trial: &Trial, detail: Detail, style: Style) {
    let mut page = Page::new(style);
    if let Some(server) = &trial.server {
        page.item(&server_ended(server));
        said(&mut page, &server.said);
        if detail == Detail::Verbose {
            said(&mut page, &server.said_later);
        }
    }
    if let Some(client) = &trial.client {
        let said = match client.first_line.as_str() {
            "" => "said nothing".into(),
            line => format!("said: {line}"),
        };
        page.item(&format!("client: {}, {said}", client.words));
    }
    for who in others(trial) {
        page.item(&who);
    }
    for note in &trial.notes {
        page.item(note);
    }
    if let Some(real) = &trial.real {
        page.item(&format!(
            "on the network itself: {} ({}), because of what is not in the copy",
            outcomes(real),
            crate::explain::join(real.rules.iter().copied())
        ));
    }
    if !trial.agrees {
        page.item(&wrong(trial));
    }
    let said = page.finish();
    if !said.is_empty() {
        let label = format!("{}/{}", trial.endpoint, trial.protocol.name());
        let _ = write!(text, "\n{}\n{said}", style.paint(Color::Bold, &clean(&label)));
    }
}

/// How many lines of a server are shown.
const LINES: usize = 12;

/// Writes what a program said, escaped and indented; empty lines say nothing.
fn said(page: &mut Page, text: &str) {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    for line in lines.by_ref().take(LINES) {
        let short: String = line.chars().take(300).collect();
        page.plain(&format!("      {}", clean(&short)));
    }
    if lines.next().is_some() {
        page.plain("      …");
    }
}

fn server_ended(server: &Server) -> String {
    let program = server.command.first().map_or("", String::as_str);
    let mut words = match (&server.ended, server.listens.as_slice()) {
        (_, listens @ [_, ..]) => format!("{program} listened on {}", listens.join(" and ")),
        (Some(ended), []) => format!("{program} {}", ended.words),
        (None, []) => format!("{program} ran"),
    };
    if let Some(trouble) = &server.trouble {
        words += &format!("; {trouble}");
    }
    if server.said.trim().is_empty() { words + " and said nothing" } else { words + " and said:" }
}

/// The other sockets that were reached, each once.
fn others(trial: &Trial) -> Vec<String> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in &trial.cells {
        let Reached::Other(socket) = &cell.observed else { continue };
        match found.iter_mut().find(|(known, _)| known == socket) {
            Some((_, from)) => from.push(&cell.vantage),
            None => found.push((socket.clone(), vec![&cell.vantage])),
        }
    }
    let words = |(socket, from): (String, Vec<&str>)| {
        format!("other ({}): a placeholder for {socket}", from.join(", "))
    };
    found.into_iter().map(words).collect()
}

/// Which rule is to blame for a bind that was not as predicted.
fn wrong(trial: &Trial) -> String {
    let observed = &trial.observed;
    let rules = crate::explain::join(trial.predicted.rules.iter().copied());
    let mut words = match observed.is_ok() {
        true => format!("the rule {rules} is wrong here: {} succeeded", observed.call),
        false if trial.predicted.rules.is_empty() => {
            let text = observed.text.as_deref().unwrap_or_default();
            format!("no rule says so: {} answered {} ({text})", observed.call, observed.outcome)
        }
        false => format!(
            "another rule than {rules} stopped it: {} answered {}",
            observed.call, observed.outcome
        ),
    };
    if let Some(file) = &trial.repeat {
        words += &format!("; to repeat it: portwise conform --live {}", phrase::quoted(file));
    }
    words
}

fn not_copied(text: &mut String, list: &[String], detail: Detail) {
    const SHOWN: usize = 8;
    let mut page = Page::new(Style::default());
    let shown = if detail == Detail::Verbose { list.len() } else { SHOWN };
    for what in list.iter().take(shown) {
        page.item(what);
    }
    if list.len() > shown {
        page.item(&format!("{} more, which -v shows", list.len() - shown));
    }
    let _ = write!(text, "\nnot in the copy:\n{}", page.finish());
}

fn closing(experiment: &Experiment, style: Style) -> String {
    let Summary { all, agree, disagree, open } = experiment.summary;
    let open = match open {
        0 => String::new(),
        n => format!("; for {n} the model left several answers open"),
    };
    let (color, word, rest) = match disagree {
        0 => (Color::Green, "as predicted", format!("all {all}{open}")),
        _ => (
            Color::Red,
            "not as predicted",
            format!("{disagree} of {all}, {agree} as predicted{open}"),
        ),
    };
    let mut page = Page::new(style);
    page.headline(color, word, &rest);
    page.finish()
}
