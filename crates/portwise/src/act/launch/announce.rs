//! What is said about how a program is started.

use super::{Asker, Plan, Rung, rung::Ladder};
use crate::{Setting, SocketSettings, explain::Decision};

/// Lines for the reader, and the same for programs.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Lines, without what marks whose they are.
    pub lines: Vec<String>,
    /// The way that was chosen.
    pub rung: Option<Rung>,
    /// The ways that were not, each with the reason.
    pub against: Vec<(Rung, String)>,
    /// What would refuse a bind in spite of the right.
    pub besides: Vec<String>,
}

impl Words {
    /// Says that cgroups of earlier runs were removed.
    pub(super) fn tidied(&mut self, count: usize) {
        if count > 0 {
            let what = if count == 1 { "a cgroup" } else { "cgroups" };
            self.lines.push(format!("removed {what} that earlier runs had left behind ({count})"));
        }
    }
}

pub(super) fn words(plan: &Plan, setting: &mut Setting, asker: &Asker, ladder: &Ladder) -> Words {
    let mut words = Words { rung: ladder.chosen(), ..Words::default() };
    let endpoints: Vec<String> =
        plan.targets.iter().map(|t| format!("{}/{}", t.shown, t.protocol.name())).collect();
    let endpoints = endpoints.join(" ");
    let name = &asker.name;
    words.lines.push(match words.rung {
        Some(Rung::Already) => format!("{name} may bind {endpoints} already: started as it is"),
        Some(rung @ (Rung::Cgroup | Rung::Activation | Rung::Broker)) => {
            format!("{name} gets {endpoints} and no other port, {}", rung.what())
        }
        Some(rung @ Rung::Ambient) => format!(
            "{name} gets every port below {}, not only {endpoints}, {}",
            asker.limit,
            rung.what()
        ),
        None => format!("there is no way to give {endpoints} to {name} from here"),
    });
    for (rung, why) in &ladder.steps {
        let Some(why) = why else { continue };
        words.against.push((*rung, why.clone()));
        words.lines.push(format!("  not {:<11} {why}", rung.name()));
    }
    if words.rung.is_none() {
        words.lines.extend(help(plan, setting, asker));
    }
    words.besides = besides(plan, setting);
    words.lines.extend(words.besides.iter().cloned());
    words
}

/// What would help, as commands.
fn help(plan: &Plan, setting: &Setting, asker: &Asker) -> Vec<String> {
    if plan.how.is_some() {
        return vec!["  without --how the best way is chosen".into()];
    }
    let itself = std::env::current_exe().map_or("portwise".into(), |p| p.display().to_string());
    let user = asker.user.clone().unwrap_or_else(|| setting.subject.uid.to_string());
    let mut run = format!("sudo {itself} run --user {user}");
    for target in &plan.targets {
        run += &format!(" -l {}/{}", quoted(&target.shown), target.protocol.name());
    }
    run += " --";
    for word in &plan.command {
        run += &format!(" {}", quoted(&word.to_string_lossy()));
    }
    vec![
        "an administrator can allow this run, exactly:".into(),
        format!("  {run}"),
        "or, once, every run:".into(),
        format!("  sudo setcap cap_net_bind_service=p {}", quoted(&itself)),
        format!(
            "  whoever may execute that file may then bind every port below {} with `run`",
            asker.limit
        ),
    ]
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@%,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What refuses a bind now even with the right.
fn besides(plan: &Plan, setting: &mut Setting) -> Vec<String> {
    let settings = SocketSettings { reuseaddr: true, ..plan.settings.clone() };
    let mut lines = Vec::new();
    for target in &plan.targets {
        let Ok(request) = setting.request(target, &settings) else { continue };
        let verdict = setting.decide(&request);
        if verdict.is_refused() {
            let decision = Decision::new(&verdict, |missing| setting.reason(missing));
            lines.push(format!(
                "{} is refused even so, now: {}; `portwise why {}` says more",
                target.shown,
                decision.refusals(),
                quoted(&target.shown)
            ));
        }
    }
    lines
}
