//! Where packets end: the vantages there are, the way from each, and the answer in words.

mod answer;
mod audience;
mod behind;
mod change;
mod exposed;
mod fixes;
mod here;
mod named;
mod notes;
mod question;
mod recorded;
mod remedies;
mod statement;
mod vantage;

pub(crate) use answer::word;
pub use answer::{Answer, PathStep, SocketAnswer};
pub use audience::{Audience, Group, audience};
pub use exposed::{Bound, exposed};
pub use fixes::Fix;
pub use question::From;
pub use vantage::{Kind, View};

use std::{collections::BTreeSet, net::IpAddr};

use portwise_model::{
    FactKey, Protocol, Reach, ReachOutcome, ReachQuestion, SocketId,
    linux::{
        netfilter::{Owner, Ruleset},
        walk::{Scene, reach},
    },
};

use crate::{Setting, Trouble, endpoint::Target, observe::Traffic};

/// A machine whose packets are followed.
pub struct Reaching<'a> {
    setting: &'a mut Setting,
    traffic: Traffic,
    full: BTreeSet<SocketId>,
    asked_full: BTreeSet<u16>,
}

/// A question, and where its packets end, or why that is not known.
type Found = (ReachQuestion, Result<Reach, String>);

impl<'a> Reaching<'a> {
    /// Reads what decides where packets go.
    ///
    /// # Errors
    /// If that cannot be observed, as of a kernel that is only assumed.
    pub fn new(setting: &'a mut Setting) -> Result<Reaching<'a>, Trouble> {
        let traffic = setting.traffic(None).map_err(Trouble::new)?;
        Ok(Reaching::of(setting, traffic))
    }

    /// With what was read before.
    pub(crate) fn of(setting: &'a mut Setting, traffic: Traffic) -> Reaching<'a> {
        Reaching { setting, traffic, full: BTreeSet::new(), asked_full: BTreeSet::new() }
    }

    /// Answers for one vantage.
    ///
    /// # Errors
    /// If the vantage names an interface that is not there.
    pub fn answer(&mut self, target: &Target, from: &From) -> Result<Answer, Trouble> {
        let (question, found) = self.find(target, from)?;
        Ok(answer::describe(self.setting, &self.traffic, &question, from, found))
    }

    /// Answers for one vantage, with what is worth knowing beside it and what would help.
    ///
    /// # Errors
    /// As [`Reaching::answer`].
    pub fn answer_in_full(&mut self, target: &Target, from: &From) -> Result<Answer, Trouble> {
        let (question, found) = self.find(target, from)?;
        let help = match &found {
            Ok(found) => self.help(target, &question, found),
            Err(_) => notes::Help::default(),
        };
        let mut answer = answer::describe(self.setting, &self.traffic, &question, from, found);
        (answer.notes, answer.fixes) = (help.notes, help.fixes);
        answer.fails = help.fails;
        let served = matches!(answer.outcome, ReachOutcome::Accepted | ReachOutcome::Forwarded);
        let is_seen = served && !help.fails && !target.ip.is_loopback();
        if let Some(why) = help.because {
            answer.because = why;
        }
        self.at_the_end(&mut answer, target);
        let is_seen = is_seen && !answer.fails;
        let device = self.traffic.network.device(question.vantage.device);
        if let Some(device) = device.filter(|device| !device.loopback && is_seen) {
            answer.outside = Some(notes::outside(&answer, target, &device.name));
        }
        Ok(answer)
    }

    fn find(&mut self, target: &Target, from: &From) -> Result<Found, Trouble> {
        let network = &self.traffic.network;
        let (vantage, device) = question::vantage(network, from, target.ip)?;
        let owner = device
            .loopback
            .then_some(Owner { uid: Some(self.setting.subject.uid), gid: self.setting.gid });
        let question = ReachQuestion {
            vantage: portwise_model::Vantage { owner, ..vantage },
            to: (target.ip, target.port).into(),
            protocol: target.protocol,
        };
        let found = self.follow(&question);
        Ok((question, found))
    }

    /// The vantages that exist here for a target, each with the address to go to.
    pub fn views(&self, target: &Target) -> Vec<View> {
        vantage::views(&self.traffic.network, target)
    }

    /// Further vantages on this host: one for each address that a socket on the port is bound to
    /// and no other vantage goes to, if every address is asked about.
    pub fn listeners(&mut self, target: &Target, views: &[View]) -> Vec<View> {
        if !is_wildcard(target.ip) || target.port == 0 {
            return Vec::new();
        }
        if self.setting.host.sockets.on(target.port).is_err() {
            let _ = self.setting.observe(&FactKey::Sockets(target.port));
        }
        let sockets = self.setting.host.sockets.on(target.port).unwrap_or_default();
        let known = |ip: IpAddr| views.iter().any(|view| view.target.ip == ip);
        let mut ips: Vec<IpAddr> = sockets
            .iter()
            .filter(|s| s.protocol == target.protocol && s.remote.is_none() && s.device == 0)
            .map(|socket| socket.ip.to_canonical())
            .filter(|&ip| !is_wildcard(ip) && !known(ip))
            .filter(|ip| target.dual_stack == Some(true) || ip.is_ipv4() == target.ip.is_ipv4())
            .collect();
        ips.sort_unstable();
        ips.dedup();
        ips.into_iter().map(|ip| vantage::own(ip, target)).collect()
    }

    /// Whether the rules could be read.
    pub fn rules(&self) -> Result<&Ruleset, &str> {
        self.traffic.rules.as_ref().map_err(String::as_str)
    }

    /// Follows packets, reading about sockets what the way needs.
    fn follow(&mut self, question: &ReachQuestion) -> Result<Reach, String> {
        // Each round learns one fact; there are few that a packet's way may need.
        const MOST_FACTS: usize = 256;
        let none = Ruleset::default();
        for _ in 0..MOST_FACTS {
            let rules = self.traffic.rules.as_ref().unwrap_or(&none);
            let scene = Scene {
                host: &self.setting.host,
                network: &self.traffic.network,
                rules,
                full: &self.full,
            };
            let found = match reach(&scene, question) {
                Ok(found) => found,
                Err(missing) => {
                    if self.setting.observe(&missing.key).is_err() {
                        return Err(self.setting.reason(&missing).why.into_owned());
                    }
                    continue;
                }
            };
            if !self.look_for_full(question, &found) {
                return Ok(found);
            }
        }
        Err("it depends on more facts than are looked up".into())
    }

    /// Looks whether the queues of the listeners found are full. `true` if one is.
    fn look_for_full(&mut self, question: &ReachQuestion, found: &Reach) -> bool {
        if question.protocol != Protocol::Tcp || found.outcome != ReachOutcome::Accepted {
            return false;
        }
        let host = &self.setting.host;
        let ports: BTreeSet<u16> =
            found.sockets().iter().filter_map(|&id| host.sockets.get(id)).map(|s| s.port).collect();
        let mut changed = false;
        for port in ports {
            if self.asked_full.insert(port) {
                let full = self.setting.full(port);
                changed |= !full.is_empty();
                self.full.extend(full);
            }
        }
        changed
    }
}

/// The unspecified address stands for the host itself.
fn is_wildcard(ip: IpAddr) -> bool {
    portwise_model::is_unspecified(ip)
}
