//! `explain [RULE|ADDRESS]`: the page of a rule, what an address means, or the list of rules.

use std::fmt::Write;

use portwise_model::{
    Choice, Cite, Feature, KernelFamily, Outcome, Rule, TOPICS, Topic, choices, features, rules,
};
use serde::Serialize;

use crate::{
    Trouble,
    cli::{Global, Output},
    explain::{BasisReport, CiteReport, FeatureReport, OutcomeReport, cites, kernel_of},
    render::{
        json,
        page::{Page, Style},
        phrase,
    },
    special::{self, Special},
};

/// Arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A rule or feature, a subject such as reserved-port, or an address such as 0.0.0.0
    #[arg(value_name = "RULE|SUBJECT|ADDRESS")]
    pub what: Option<String>,
    /// One line for each place that is cited: id, repository, revision, file, function,
    /// identifier, with tabs between
    #[arg(long, conflicts_with = "what")]
    pub cites: bool,
}

/// What `explain --json` writes.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    rules: Vec<RuleReport>,
    lookups: Vec<ChoiceReport>,
    topics: Vec<TopicReport>,
    features: Vec<FeatureReport>,
    addresses: Vec<Special>,
    checks: Vec<CheckRow>,
}

/// A check of Unix sockets.
#[derive(Debug, Serialize)]
struct CheckRow {
    id: &'static str,
    title: &'static str,
    fault: &'static str,
    errno: &'static str,
    cites: Vec<CiteReport>,
}

/// The checks of Unix sockets.
#[cfg(target_os = "linux")]
fn checks() -> Vec<CheckRow> {
    let row = |check: &&'static crate::unix::checks::Check| {
        let crate::unix::checks::Check { id, title, fault, .. } = *check;
        let errno = check.errno.name().unwrap_or_default();
        CheckRow { id, title, fault, errno, cites: cites(check.cites) }
    };
    crate::unix::checks::ALL.iter().map(row).collect()
}

/// The checks of Unix sockets: read on Linux only.
#[cfg(not(target_os = "linux"))]
fn checks() -> Vec<CheckRow> {
    Vec::new()
}

/// A rule, as it is explained.
#[derive(Debug, Serialize)]
struct RuleReport {
    id: &'static str,
    title: &'static str,
    #[serde(flatten)]
    outcome: OutcomeReport,
    basis: BasisReport,
    cites: Vec<CiteReport>,
    fixes: Vec<&'static str>,
    page: &'static str,
}

impl From<&'static Rule> for RuleReport {
    fn from(rule: &'static Rule) -> RuleReport {
        RuleReport {
            id: rule.id,
            title: rule.title,
            outcome: rule.outcome.into(),
            basis: rule.basis.into(),
            cites: cites(rule.cites),
            fixes: rule.fixes.iter().map(|fix| fix.id).collect(),
            page: rule.page,
        }
    }
}

/// A step of a lookup, as it is explained.
#[derive(Debug, Serialize)]
struct ChoiceReport {
    id: &'static str,
    title: &'static str,
    basis: BasisReport,
    cites: Vec<CiteReport>,
    page: &'static str,
}

impl From<&'static Choice> for ChoiceReport {
    fn from(choice: &'static Choice) -> ChoiceReport {
        ChoiceReport {
            id: choice.id,
            title: choice.title,
            basis: choice.basis.into(),
            cites: cites(choice.cites),
            page: choice.page,
        }
    }
}

/// A subject, as each kernel handles it.
#[derive(Debug, Serialize)]
struct TopicReport {
    id: &'static str,
    title: &'static str,
    kernels: Vec<TopicKernel>,
}

/// What one kernel has to say of a subject.
#[derive(Debug, Serialize)]
struct TopicKernel {
    kernel: &'static str,
    says: Vec<TopicRule>,
}

/// A rule or a step of a lookup.
#[derive(Debug, Serialize)]
struct TopicRule {
    id: &'static str,
    title: &'static str,
}

impl From<&'static Topic> for TopicReport {
    fn from(topic: &'static Topic) -> TopicReport {
        let titles = || {
            let rules = rules().into_iter().map(|rule| (rule.id, rule.title));
            rules.chain(choices().map(|choice| (choice.id, choice.title)))
        };
        let kernels = KernelFamily::ALL.into_iter().map(|family| {
            let own = |id: &&&str| kernel_of(id) == family;
            let named = topic.ids.iter().filter(own);
            let says = named.filter_map(|&wanted| {
                let (id, title) = titles().find(|(id, _)| *id == wanted)?;
                Some(TopicRule { id, title })
            });
            TopicKernel { kernel: family.title(), says: says.collect() }
        });
        TopicReport { id: topic.id, title: topic.title, kernels: kernels.collect() }
    }
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let found = find(args.what.as_deref())?;
    let text = match (args.cites, global.json) {
        (true, false) => citations(),
        (_, true) => json::write(&found),
        _ if args.what.is_none() => list(&found, output.style()),
        _ => pages(&found, output.style()),
    };
    output.data(&text);
    Ok(0)
}

/// What there is to say: about everything, or about one name.
fn find(what: Option<&str>) -> Result<Document, Trouble> {
    let mut found = Document {
        schema: "portwise.explain/1",
        rules: Vec::new(),
        lookups: Vec::new(),
        topics: Vec::new(),
        features: Vec::new(),
        addresses: Vec::new(),
        checks: Vec::new(),
    };
    let Some(what) = what else {
        found.rules = rules().into_iter().map(RuleReport::from).collect();
        found.lookups = choices().map(ChoiceReport::from).collect();
        found.topics = TOPICS.iter().map(TopicReport::from).collect();
        found.features = features().map(FeatureReport::from).collect();
        found.checks = checks();
        return Ok(found);
    };
    if let Some(rule) = rules().into_iter().find(|rule| rule.id == what) {
        found.rules.push(rule.into());
    } else if let Some(choice) = choices().find(|choice| choice.id == what) {
        found.lookups.push(choice.into());
    } else if let Some(topic) = TOPICS.iter().find(|t| t.id == what.replace(' ', "-")) {
        found.topics.push(topic.into());
    } else if let Some(feature) = features().find(|feature| feature.id == what) {
        found.features.push(feature.into());
    } else if let Some(check) = checks().into_iter().find(|check| check.id == what) {
        found.checks.push(check);
    } else if let Some(special) = special::explain(what) {
        found.addresses.push(special);
    } else {
        return Err(unknown(what));
    }
    Ok(found)
}

/// Names what was probably meant.
fn unknown(what: &str) -> Trouble {
    let mut names: Vec<(usize, &str)> = rules()
        .iter()
        .map(|rule| rule.id)
        .chain(choices().map(|choice| choice.id))
        .chain(TOPICS.iter().map(|topic| topic.id))
        .chain(features().map(|feature| feature.id))
        .chain(checks().into_iter().map(|check| check.id))
        .map(|id| (difference(what, id), id))
        .collect();
    names.sort_unstable();
    let near: Vec<&str> = names.iter().take(3).map(|(_, id)| *id).collect();
    let short: String = what.chars().take(60).collect();
    Trouble::new(format!(
        "nothing is called `{short}`; the nearest are {}; `portwise explain` lists all",
        near.join(", ")
    ))
}

/// How many letters differ, where leaving out the start of the id costs nothing.
fn difference(what: &str, id: &str) -> usize {
    let tail = id.rsplit('.').next().unwrap_or(id);
    let inside = if !what.is_empty() && id.contains(what) { 0 } else { usize::MAX };
    inside.min(edits(what, id)).min(edits(what, tail))
}

fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(80).collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

/// One line for each citation of a rule or feature.
fn citations() -> String {
    let mut text = String::new();
    let mut add = |id: &str, cites: &[Cite]| {
        for Cite { repo, rev, path, function, needle } in cites {
            let _ = writeln!(text, "{id}\t{repo}\t{rev}\t{path}\t{function}\t{needle}");
        }
    };
    rules().iter().for_each(|rule| add(rule.id, rule.cites));
    choices().for_each(|choice| add(choice.id, choice.cites));
    features().for_each(|feature: &Feature| add(feature.id, feature.cites));
    for CheckRow { id, cites, .. } in checks() {
        for CiteReport { repo, rev, path, function, needle } in cites {
            let _ = writeln!(text, "{id}\t{repo}\t{rev}\t{path}\t{function}\t{needle}");
        }
    }
    text
}

fn list(found: &Document, style: Style) -> String {
    let mut page = Page::new(style);
    page.heading("Subjects, across kernels");
    found.topics.iter().for_each(|topic| page.entry(topic.id, topic.title));
    for family in KernelFamily::ALL {
        let name = family.title();
        let of_kernel = |id: &str| kernel_of(id) == family;
        page.blank();
        page.heading(&format!("Rules of {name}"));
        for rule in found.rules.iter().filter(|rule| of_kernel(rule.id)) {
            let outcome = rule.outcome.outcome.name();
            page.entry(rule.id, &format!("{} (else {outcome})", rule.title));
        }
        let mut steps = found.lookups.iter().filter(|choice| of_kernel(choice.id)).peekable();
        if steps.peek().is_some() {
            page.blank();
            page.heading(&format!("Who gets a packet on {name}"));
        }
        steps.for_each(|choice| page.entry(choice.id, choice.title));
        if found.features.iter().any(|feature| of_kernel(feature.id)) {
            page.blank();
            page.heading(&format!("What differs between versions of {name}"));
        }
        for feature in found.features.iter().filter(|feature| of_kernel(feature.id)) {
            page.entry(feature.id, &format!("{} (since {})", feature.title, feature.since));
        }
    }
    if !found.checks.is_empty() {
        page.blank();
        page.heading("Checks of Unix sockets on Linux");
    }
    for check in &found.checks {
        page.entry(check.id, &format!("{} (else {})", check.title, check.errno));
    }
    page.blank();
    page.heading("Addresses");
    page.entry(
        "0.0.0.0 :: 127.0.0.1 ::1 localhost ...",
        "`portwise explain ADDRESS` says what an address means for a socket that is bound to it",
    );
    page.finish()
}

fn pages(found: &Document, style: Style) -> String {
    let mut page = Page::new(style);
    for rule in &found.rules {
        page.heading(rule.id);
        let OutcomeReport { outcome, text } = rule.outcome;
        page.label("else");
        page.text(&match outcome {
            Outcome::Ok => "the call succeeds".into(),
            Outcome::Errno(errno) => format!("{errno}, \"{text}\""),
        });
        known(&mut page, &rule.basis, &rule.cites);
        page.markdown(rule.page);
    }
    for choice in &found.lookups {
        page.heading(choice.id);
        known(&mut page, &choice.basis, &choice.cites);
        page.markdown(choice.page);
    }
    for topic in &found.topics {
        page.heading(&format!("{}: {}", topic.id, topic.title));
        for TopicKernel { kernel, says } in &topic.kernels {
            page.blank();
            page.heading(kernel);
            says.iter().for_each(|rule| page.entry(rule.id, rule.title));
            if says.is_empty() {
                page.paragraph("no rule of its own, or it was not read");
            }
        }
    }
    for feature in &found.features {
        page.heading(feature.id);
        page.paragraph(feature.title);
        page.blank();
        page.label("since");
        page.text(&feature.since);
        page.label("not in");
        page.text(feature.not_in.as_deref().unwrap_or("no version that was read"));
        for exception in &feature.exceptions {
            page.label(if exception.has { "but also in" } else { "lost in" });
            page.text(&format!("{} up to before {}", exception.from, exception.below));
        }
        sources(&mut page, &feature.cites);
    }
    for check in &found.checks {
        page.heading(check.id);
        page.label("else");
        page.text(&format!("{}: {}", check.errno, check.fault));
        sources(&mut page, &check.cites);
        page.blank();
        page.paragraph(check.title);
    }
    for special in &found.addresses {
        address(&mut page, special);
    }
    page.finish()
}

fn known(page: &mut Page, basis: &BasisReport, cites: &[CiteReport]) {
    page.label("known");
    let note = basis.note.map(|note| format!(" ({note})")).unwrap_or_default();
    page.text(&format!("{}{note}", basis.how));
    sources(page, cites);
    page.blank();
}

fn sources(page: &mut Page, cites: &[CiteReport]) {
    for (i, cite) in cites.iter().enumerate() {
        page.label(if i == 0 { "source" } else { "" });
        page.text(&format!("{}: {}", phrase::cite(cite), cite.needle));
    }
}

fn address(page: &mut Page, special: &Special) {
    page.heading(&format!("{}: {}", special.address, special.title));
    page.blank();
    page.label("covers");
    page.text(special.covers);
    for fact in &special.facts {
        page.label("note");
        page.text(fact);
    }
    if special.answers.is_empty() {
        return;
    }
    page.blank();
    page.paragraph("What a plain user gets who binds it on a host with loopback addresses only:");
    for of_kernel in special.answers.chunk_by(|a, b| a.kernel == b.kernel) {
        let columns: Vec<String> = of_kernel
            .iter()
            .map(|a| format!("{}/{} {}", a.port, a.protocol.name(), a.outcome))
            .collect();
        let [first, second, ..] = columns.as_slice() else { continue };
        let rest = columns[2..].join("  ");
        let kernel = &of_kernel[0].kernel;
        page.plain(&format!("  {kernel:<13} {first:<22} {second:<20} {rest}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_rule() {
        for typo in ["linux.bind.reserved-prot", "reserved-port", "linux.bind.reserved"] {
            assert!(unknown(typo).to_string().contains("linux.bind.reserved-port"), "{typo}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }

    #[test]
    fn every_citation_is_one_line_of_six_fields() {
        let text = citations();
        assert!(text.lines().count() > 50);
        assert!(text.lines().all(|line| line.split('\t').count() == 6));
    }
}
