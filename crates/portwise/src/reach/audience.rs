//! Who reaches what a bind covers: every vantage there is, those alike together.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use portwise_model::{
    Call, KernelFamily, Outcome, Protocol, Reach, ReachOutcome, Request, SocketId, State, Stopper,
    settle,
};
use serde::Serialize;

use super::{Kind, Reaching, View, answer, is_wildcard, notes};
use crate::{
    Setting,
    endpoint::{Target, shown},
    explain::{Answer, Report},
    observe::Traffic,
};

/// Who reaches what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audience {
    /// The vantages, those alike together.
    pub groups: Vec<Group>,
    /// Why rules of the firewall were not reckoned with; null if they were.
    pub unread: Option<String>,
}

/// Vantages whose packets end alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The vantages, in words.
    pub from: Vec<String>,
    /// Where their packets end.
    pub outcome: ReachOutcome,
    /// The socket that gets them, with who holds it; null if that is the one asked about, or none
    /// gets them.
    pub socket: Option<String>,
    /// Where rules send them on to.
    pub rewritten: Option<String>,
    /// The rule that does.
    pub translator: Option<String>,
    /// Why they end there; null if a socket gets them.
    pub because: Option<String>,
}

impl Group {
    /// A vantage of which it is not known where its packets end.
    fn unknown(why: String) -> Group {
        Group {
            from: Vec::new(),
            outcome: ReachOutcome::Unknown,
            socket: None,
            rewritten: None,
            translator: None,
            because: Some(why),
        }
    }
}

/// So long the rules may be read for what is said beside an answer.
const LONGEST: Duration = Duration::from_millis(150);

/// More vantages than these are not gone through: a host of containers has hundreds.
const MOST: usize = 64;

/// Who reaches what the bind of `request` covers, or who reaches the sockets that are in its way.
/// `None` if nobody listens, or where it is not known how packets go. `traffic` is read once.
pub fn audience(
    setting: &mut Setting,
    traffic: &mut Option<Result<Traffic, String>>,
    target: &Target,
    request: &Request,
    report: &Report,
) -> Option<Audience> {
    let allowed = report.decision.answer == Answer::Yes;
    let listens = report.sockets.iter().any(|held| {
        let state = held.socket.state;
        held.socket.protocol == target.protocol
            && held.socket.remote.is_none()
            && (state == State::Listen || target.protocol == Protocol::Udp)
    });
    let known = setting.runner.is_some() && setting.host.kernel.family == KernelFamily::Linux;
    if !known || target.port == 0 || target.ip.is_multicast() || !(allowed || listens) {
        return None;
    }
    let read = traffic.take().unwrap_or_else(|| setting.traffic(Some(Instant::now() + LONGEST)));
    let read = match read {
        Ok(read) => read,
        Err(why) => {
            *traffic = Some(Err(why));
            return None;
        }
    };
    let before = setting.host.clone();
    let asked = allowed.then(|| bound(setting, request));
    let mut reaching = Reaching::of(setting, read);
    let groups = reaching.groups(target, asked, report);
    let read = reaching.traffic;
    setting.host = before;
    let unread = read.rules.as_ref().err().cloned();
    *traffic = Some(Ok(read));
    Some(Audience { groups, unread }).filter(|audience| !audience.groups.is_empty())
}

/// Puts the socket of `request` onto the host as if it were bound and listening.
fn bound(setting: &mut Setting, request: &Request) -> SocketId {
    let host = &mut setting.host;
    let mut socket = settle(host, &request.socket, &request.call, Outcome::Ok, None);
    if socket.protocol == Protocol::Tcp {
        socket = settle(host, &socket, &Call::Listen(128), Outcome::Ok, None);
    }
    socket.id
}

impl Reaching<'_> {
    fn groups(&mut self, target: &Target, asked: Option<SocketId>, report: &Report) -> Vec<Group> {
        let mut rows: Vec<(View, Group)> = Vec::new();
        // Nobody sends to a loopback address over a wire.
        let far = |view: &View| !view.kind.is_here() && target.ip.is_loopback();
        let mut views: Vec<View> = self.views(target);
        views.retain(|view| !far(view));
        views.extend(self.named(&views));
        let left_out = views.len().saturating_sub(MOST);
        for view in views.into_iter().take(MOST) {
            let found = self.find(&view.target, &view.from).map_err(|trouble| trouble.to_string());
            let group = match found.and_then(|(_, found)| found) {
                Ok(found) => self.group(&found, target.protocol, asked, report),
                Err(why) => Group::unknown(why),
            };
            rows.push((view, group));
        }
        let one =
            |ip: IpAddr| rows.iter().all(|(view, _)| view.target.ip.is_ipv4() == ip.is_ipv4());
        let mixed = !target.ip.is_loopback() && is_wildcard(target.ip) && !one(target.ip);
        let mut groups = together(&rows, mixed);
        if left_out > 0 {
            let from = vec![format!("{left_out} more places")];
            groups.push(Group { from, ..Group::unknown("they were not gone through".into()) });
        }
        groups
    }

    fn group(
        &self,
        found: &Reach,
        protocol: Protocol,
        asked: Option<SocketId>,
        report: &Report,
    ) -> Group {
        let none = portwise_model::linux::netfilter::Ruleset::default();
        let rules = self.traffic.rules.as_ref().unwrap_or(&none);
        let first = found.first();
        let rewritten = first.and_then(|end| end.rewritten);
        let rule = found.rewrites.iter().find(|(hook, _)| notes::changes_destination(*hook));
        let is_served = found.outcome == ReachOutcome::Accepted;
        let id = found.sockets().first().copied().filter(|&id| Some(id) != asked);
        let stopped = matches!(found.stopper(), Some(Stopper::Rule(_) | Stopper::Kernel(_)));
        Group {
            from: Vec::new(),
            outcome: found.outcome,
            socket: id.filter(|_| is_served).map(|id| self.held(id, report)),
            rewritten: rewritten.map(|to| shown(to.ip(), None, to.port())),
            translator: rule
                .filter(|_| rewritten.is_some())
                .map(|&(_, at)| rules.place(at).to_string()),
            because: (stopped || !is_served && found.outcome != ReachOutcome::Forwarded)
                .then(|| answer::because(rules, protocol, found)),
        }
    }

    /// A socket with who holds it.
    fn held(&self, id: SocketId, report: &Report) -> String {
        let local = self.setting.host.sockets.get(id);
        let local = local.map_or("?".into(), |socket| shown(socket.ip, None, socket.port));
        let held = report.sockets.iter().find(|held| held.socket.inode == Some(id.0));
        match held.and_then(|held| held.holders.first()) {
            Some(owner) => format!("{local}, pid {} ({})", owner.pid, owner.command),
            None => local,
        }
    }
}

/// Vantages alike in one group; where both families were asked about and differ, with the family.
fn together(rows: &[(View, Group)], mixed: bool) -> Vec<Group> {
    let name = |view: &View| view.kind.short(view.from.device.as_deref().unwrap_or_default());
    // Whether all the rows of a vantage end alike, so that it needs no family.
    let alike = |view: &View| {
        let same = rows.iter().filter(|(other, _)| name(other) == name(view));
        let mut groups = same.map(|(_, group)| group);
        let first = groups.next();
        groups.all(|group| Some(group) == first)
    };
    let mut groups: Vec<Group> = Vec::new();
    for (view, group) in rows {
        let mut words = name(view);
        if !alike(view) {
            match (&view.kind, mixed) {
                (Kind::Loopback | Kind::Own, _) => words += &format!(" ({})", view.target.ip),
                (_, true) if view.target.ip.is_ipv4() => words += " (IPv4)",
                (_, true) => words += " (IPv6)",
                _ => {}
            }
        }
        let same = |other: &&mut Group| Group { from: Vec::new(), ..(*other).clone() } == *group;
        match groups.iter_mut().find(same) {
            Some(there) if there.from.contains(&words) => {}
            Some(there) => there.from.push(words),
            None => groups.push(Group { from: vec![words], ..group.clone() }),
        }
    }
    groups
}
