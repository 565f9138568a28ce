//! One answer, as JSON has it and as text is made of.

use std::net::IpAddr;

use portwise_model::{
    Protocol, Reach, ReachOutcome, ReachQuestion, SocketId, Station, Stopper, WayEnd,
    linux::netfilter::{At, Ruleset, rule_text},
};
use serde::Serialize;

use super::{From, fixes::Fix};
use crate::{
    Setting,
    endpoint::shown,
    observe::{Process, Traffic},
};

/// Where packets from one vantage end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The source address and the device they arrive by.
    pub from: String,
    /// Where they go.
    pub to: String,
    /// The address they go to.
    #[serde(skip)]
    pub ip: IpAddr,
    /// The port they go to.
    #[serde(skip)]
    pub port: u16,
    /// Their protocol.
    #[serde(skip)]
    pub protocol: Protocol,
    /// The port that rules send them on to, if they do.
    #[serde(skip)]
    pub sent_on: Option<u16>,
    /// Where they end.
    pub outcome: ReachOutcome,
    /// What the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<&'static str>,
    /// The socket that gets them, or one of those that may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<SocketAnswer>,
    /// How many sockets may get them, if more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sockets: Option<usize>,
    /// Whether every way there may be ends by that.
    #[serde(skip)]
    pub sole: bool,
    /// What ends their way: a rule of the firewall, or a check of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// That rule in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_text: Option<String>,
    /// Where they go in the end, if rules rewrite that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<String>,
    /// The device by which they leave, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves_by: Option<String>,
    /// Who takes them in another network namespace of this machine, if they are sent on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_there: Option<String>,
    /// Why, in a line.
    pub because: String,
    /// The command that settles what is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
    /// What is worth knowing beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether the client is not served all the same, as the notes say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fails: bool,
    /// What lies outside this host, and how to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<String>,
    /// What would help, each proven by following the packets once more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<Fix>,
    /// The way, station by station.
    pub path: Vec<PathStep>,
}

/// A socket in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SocketAnswer {
    /// Its address and port, as `ss` prints them.
    pub local: String,
    /// The inode of its file.
    pub inode: u64,
    /// The process that holds it, if that can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its name: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A station of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathStep {
    /// The rule, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What happens there.
    pub what: String,
}

/// Puts what was found into words.
pub(super) fn describe(
    setting: &mut Setting,
    traffic: &Traffic,
    question: &ReachQuestion,
    from: &From,
    found: Result<Reach, String>,
) -> Answer {
    let device = traffic.network.device(question.vantage.device);
    let device = device.map_or_else(String::new, |device| device.name.to_string());
    let to = shown(question.to.ip(), None, question.to.port());
    let blank = Answer {
        from: format!("{}%{}", from.ip, from.device.clone().unwrap_or(device)),
        to: format!("{to}/{}", question.protocol.name()),
        ip: question.to.ip(),
        port: question.to.port(),
        protocol: question.protocol,
        sent_on: None,
        outcome: ReachOutcome::Unknown,
        errno: None,
        socket: None,
        sockets: None,
        sole: true,
        rule: None,
        rule_text: None,
        rewritten: None,
        leaves_by: None,
        taken_there: None,
        because: String::new(),
        settle: None,
        notes: Vec::new(),
        fails: false,
        outside: None,
        fixes: Vec::new(),
        path: Vec::new(),
    };
    let found = match found {
        Ok(found) => found,
        Err(why) => return Answer { because: why, ..blank },
    };
    let mut answer = known(setting, traffic, question.protocol, &found, blank);
    if let Err(why) = &traffic.rules {
        let would = word(answer.outcome);
        answer.because = format!("{why}; without rules it would be {would}: {}", answer.because);
        answer.outcome = ReachOutcome::Unknown;
        let (program, from) = (&setting.program, &answer.from);
        let endpoint = answer.to.trim_end_matches("/tcp");
        answer.settle = Some(format!("sudo {program} reach {endpoint} --from {from}"));
    }
    answer
}

fn known(
    setting: &mut Setting,
    traffic: &Traffic,
    protocol: Protocol,
    found: &Reach,
    blank: Answer,
) -> Answer {
    let none = Ruleset::default();
    let rules = traffic.rules.as_ref().unwrap_or(&none);
    let first = found.first();
    let stopper = found.stopper();
    let ids = found.sockets();
    let name = |index: u32| traffic.network.device(index).map(|device| device.name.to_string());
    let because = because(rules, protocol, found);
    Answer {
        outcome: found.outcome,
        errno: found.errno().map(|errno| errno.name()),
        socket: socket(setting, &ids),
        sockets: (ids.len() > 1).then_some(ids.len()),
        sole: found.ends.iter().all(|end| end.stopper.as_ref() == stopper),
        rule: stopper.map(|stopper| stopper_name(rules, stopper)),
        rule_text: stopper.and_then(|stopper| match stopper {
            Stopper::Rule(at) => text_of(rules, *at),
            Stopper::Kernel(_) => None,
        }),
        sent_on: first.and_then(|end| end.rewritten).map(|to| to.port()),
        rewritten: first.and_then(|end| end.rewritten).map(|to| shown(to.ip(), None, to.port())),
        leaves_by: first.filter(|end| end.leaves_by != 0).and_then(|end| name(end.leaves_by)),
        because,
        path: found.path.iter().map(|station| step(rules, station)).collect(),
        ..blank
    }
}

fn step(rules: &Ruleset, station: &Station) -> PathStep {
    match station {
        Station::Note(text) => PathStep { rule: None, what: text.to_string() },
        Station::Rule(at, did) => {
            let text = text_of(rules, *at).map(|text| format!(" ({text})")).unwrap_or_default();
            PathStep { rule: Some(rules.place(*at).to_string()), what: format!("{did}{text}") }
        }
    }
}

/// The words of a rule; its policy has none.
fn text_of(rules: &Ruleset, at: At) -> Option<String> {
    rules.rule(at).map(|rule| rule_text(rules, rule)).filter(|text| !text.is_empty())
}

fn stopper_name(rules: &Ruleset, stopper: &Stopper) -> String {
    match stopper {
        Stopper::Rule(at) => rules.place(*at).to_string(),
        Stopper::Kernel(check) => format!("kernel {check}"),
    }
}

pub(super) fn socket(setting: &mut Setting, ids: &[SocketId]) -> Option<SocketAnswer> {
    let socket = *setting.host.sockets.get(*ids.first()?)?;
    let zone = match socket.device {
        0 => None,
        device => Some(setting.device_name(device)),
    };
    let holders = setting.holders(std::slice::from_ref(&socket));
    let holder: Option<&Process> = holders.of.get(&socket.id.0).and_then(|list| list.first());
    Some(SocketAnswer {
        // `ss` writes the device behind the address.
        local: match (socket.ip, &zone) {
            (IpAddr::V6(v6), Some(zone)) if v6.is_unicast_link_local() => {
                shown(socket.ip, Some(zone), socket.port)
            }
            _ => shown(socket.ip, None, socket.port),
        },
        inode: socket.id.0,
        pid: holder.map(|holder| holder.pid),
        command: holder.map(|holder| holder.command.clone()),
    })
}

pub(super) fn because(rules: &Ruleset, protocol: Protocol, found: &Reach) -> String {
    let Some(first) = found.first() else { return "nothing was found".into() };
    if found.outcome == ReachOutcome::Unknown {
        return doubt(rules, protocol, found);
    }
    let mut ends: Vec<String> = Vec::new();
    for end in [first].into_iter().chain(&found.ends) {
        let words = plain(rules, protocol, end);
        if !ends.contains(&words) {
            ends.push(words);
        }
    }
    const MOST: usize = 3;
    let more = ends.len().saturating_sub(MOST);
    ends.truncate(MOST);
    if more > 0 {
        ends.push(format!("{more} more"));
    }
    ends.join("; or ")
}

/// Why it cannot be told.
fn doubt(rules: &Ruleset, protocol: Protocol, found: &Reach) -> String {
    let at = |at: Option<At>| at.map(|at| format!("the rule {} ", rules.place(at)));
    let unknown = found.ends.iter().find(|end| end.outcome == ReachOutcome::Unknown);
    if let Some(end) = unknown {
        let place = match &end.stopper {
            Some(Stopper::Rule(at)) => format!("the rule {}: ", rules.place(*at)),
            _ => String::new(),
        };
        return format!("{place}{}", end.note);
    }
    let mut ends: Vec<String> = Vec::new();
    for end in &found.ends {
        let words = plain(rules, protocol, end);
        let words = format!("{}: {words}", word(end.outcome));
        if !ends.contains(&words) {
            ends.push(words);
        }
    }
    let ends = ends.join("; or ");
    match found.doubts.last() {
        Some(doubt) => {
            let place = at(doubt.at).unwrap_or_default();
            format!("{place}depends on {}: {ends}", doubt.why)
        }
        None => format!("there are too many ways to try: {ends}"),
    }
}

/// An end in words.
fn plain(rules: &Ruleset, protocol: Protocol, end: &WayEnd) -> String {
    if !end.note.is_empty() {
        return match &end.stopper {
            Some(Stopper::Rule(at)) => format!("{}: {}", rules.place(*at), end.note),
            _ => end.note.to_string(),
        };
    }
    let to = match end.rewritten {
        Some(to) => format!(", sent on to {}", shown(to.ip(), None, to.port())),
        None => String::new(),
    };
    match (&end.stopper, end.outcome) {
        (Some(Stopper::Rule(at)), ReachOutcome::Refused) => {
            format!("the rule {} refuses it", rules.place(*at))
        }
        (Some(Stopper::Rule(at)), _) if at.rule.is_none() => {
            format!("no rule lets it pass: {} is to drop", rules.place(*at))
        }
        (Some(Stopper::Rule(at)), _) => format!("the rule {} drops it", rules.place(*at)),
        (Some(Stopper::Kernel("no-listener")), ReachOutcome::Refused) => {
            let name = protocol.name();
            format!("no {name} socket takes it{to}: the kernel refuses it, no firewall rule does")
        }
        (Some(Stopper::Kernel("no-listener")), _) => {
            format!("no {} socket takes it{to}", protocol.name())
        }
        (Some(Stopper::Kernel(check)), _) => format!("the kernel's check {check}"),
        (None, ReachOutcome::Accepted) => format!("a socket takes it{to}"),
        (None, ReachOutcome::Forwarded) => format!("it leaves this host{to}"),
        (None, _) => "it ends".into(),
    }
}

/// An outcome in a word for people.
pub(crate) fn word(outcome: ReachOutcome) -> &'static str {
    match outcome {
        ReachOutcome::NoRoute => "no route",
        other => other.word(),
    }
}
