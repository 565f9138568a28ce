//! What is worth knowing beside where packets end: what sends them elsewhere, which rules do not
//! see them, and what this host cannot see.

use std::net::{IpAddr, SocketAddr};

use portwise_model::{
    Reach, ReachOutcome, ReachQuestion, Stopper, Vantage,
    linux::netfilter::{At, ChainKind, Hook, Ruleset, rule_text},
};

use super::{Answer, Reaching, fixes::Fix, vantage::views};
use crate::endpoint::{Target, shown};

/// What is said beside an answer.
#[derive(Debug, Default)]
pub(super) struct Help {
    pub(super) notes: Vec<String>,
    pub(super) fixes: Vec<Fix>,
    /// Whether an outcome that looks well is not.
    pub(super) fails: bool,
    /// Why, if another reason counts than where packets end.
    pub(super) because: Option<String>,
}

impl Reaching<'_> {
    /// What is worth knowing about where packets end, and what would help.
    pub(super) fn help(
        &mut self,
        target: &Target,
        question: &ReachQuestion,
        found: &Reach,
    ) -> Help {
        let mut help = Help::default();
        if self.traffic.rules.is_err() {
            return help;
        }
        self.translation(found, &mut help);
        match (found.outcome, found.stopper()) {
            (ReachOutcome::Unknown, _) => {}
            (ReachOutcome::Forwarded, _) => self.sent_on(question, found, &mut help),
            (_, Some(Stopper::Rule(_))) => self.admit(question, found, &mut help),
            (_, Some(Stopper::Kernel("no-listener"))) => {
                self.nobody(target, question, found, &mut help);
            }
            (_, Some(Stopper::Kernel("rp_filter"))) => self.loosen(question, &mut help),
            (ReachOutcome::NoRoute, Some(Stopper::Kernel("route"))) => {
                self.forward(question, &mut help);
            }
            _ => {}
        }
        help
    }

    fn is_local(&self, question: &ReachQuestion) -> bool {
        let device = self.traffic.network.device(question.vantage.device);
        device.is_some_and(|device| device.loopback)
    }

    /// The rules that rewrite the destination.
    fn translation(&self, found: &Reach, help: &mut Help) {
        let Ok(rules) = self.rules() else { return };
        let Some(to) = found.first().and_then(|end| end.rewritten) else { return };
        for &(hook, at) in found.rewrites.iter().filter(|(hook, _)| changes_destination(*hook)) {
            help.notes.push(format!("{} sends it on to {to}", translator(rules, hook, at)));
        }
    }

    /// What leaves again for where a rule sent it.
    fn sent_on(&mut self, question: &ReachQuestion, found: &Reach, help: &mut Help) {
        let Some(end) = found.first() else { return };
        let Some(to) = end.rewritten else { return };
        let Some(&(_, at)) = found.rewrites.iter().find(|(hook, _)| changes_destination(*hook))
        else {
            return;
        };
        if self.comes_back_otherwise(question, found, to) {
            let network = &self.traffic.network;
            let device = network.device(end.leaves_by).map_or("?".into(), |d| d.name.clone());
            let from = question.vantage.from;
            help.because = Some(format!(
                "it is sent on to {to}, and the reply of {} goes directly to {from}, on the same network ({device}), and not \
                 through this host, so nothing translates it back: the client waits for one from \
                 {} and times out (hairpin NAT)",
                to.ip(),
                question.to,
            ));
            help.notes.push(format!("{to} itself is reached from there"));
            help.fails = true;
            self.mask(question, to, at, help);
            return;
        }
        let unasked = self.input_chains(to.is_ipv6());
        if self.is_local(question) || unasked.is_empty() {
            return;
        }
        help.notes.push(format!(
            "what is sent on passes the hook forward and never input: the rules of {} are not \
             asked",
            unasked.join(", ")
        ));
        self.keep_out(question, to, help);
    }

    /// Whether the answer takes a way on which nothing undoes the rewriting.
    fn comes_back_otherwise(
        &self,
        question: &ReachQuestion,
        found: &Reach,
        to: SocketAddr,
    ) -> bool {
        let network = &self.traffic.network;
        let Some(end) = found.first() else { return false };
        let device = question.vantage.device;
        let switches = &network.switches;
        let is_bridge = network.device(device).is_some_and(|d| d.kind == "bridge");
        let seen = match to.is_ipv6() {
            true => switches.bridge_calls_ip6,
            false => switches.bridge_calls_ip,
        };
        let near = |ip: IpAddr| {
            network.addresses.iter().any(|own| own.device == device && own.is_neighbour(ip))
        };
        !end.masked
            && end.leaves_by == device
            && near(to.ip())
            && near(question.vantage.from)
            && !(is_bridge && seen)
    }

    /// The chains that judge what is for this host itself, as `inet filter input`.
    fn input_chains(&self, is_v6: bool) -> Vec<String> {
        let Ok(rules) = self.rules() else { return Vec::new() };
        let judges = |&index: &usize| {
            let chain = &rules.chains[index];
            let filters = |base: &portwise_model::linux::netfilter::Base| {
                base.kind == ChainKind::Filter && !(base.accepts && chain.rules.is_empty())
            };
            chain.base.as_ref().is_some_and(filters)
        };
        let chains = rules.at(Hook::Input, is_v6, None).into_iter().filter(judges);
        let name = |index: usize| {
            let chain = &rules.chains[index];
            format!("{} {} {}", chain.family.name(), chain.table, chain.name)
        };
        chains.map(name).collect()
    }

    /// Nobody takes it.
    fn nobody(
        &mut self,
        target: &Target,
        question: &ReachQuestion,
        found: &Reach,
        help: &mut Help,
    ) {
        let rewritten = found.first().and_then(|end| end.rewritten);
        if rewritten.is_some() {
            return;
        }
        let (port, name) = (question.to.port(), question.protocol.name());
        if self.is_local(question)
            && let Some((to, hook, at, from)) = self.off_the_wire(target)
        {
            let Ok(rules) = self.rules() else { return };
            help.notes.push(format!(
                "clients off the wire, such as {from}, are sent on to {to} by {}; packets made on \
                 this host do not pass prerouting, they pass output",
                translator(rules, hook, at)
            ));
            let socket = self.socket_at(target, to);
            help.notes.extend(socket.map(|socket| format!("there listens {socket}")));
            self.send_on_here(question, to, at, help);
            return;
        }
        let Ok(rules) = self.rules() else { return };
        let any =
            rules.chains.iter().any(|chain| {
                chain.base.as_ref().is_some_and(|base| {
                    base.kind == ChainKind::Nat && changes_destination(base.hook)
                }) && !chain.rules.is_empty()
            });
        help.notes.push(match any {
            true => format!("no NAT rule (redirect or DNAT) applies to port {port}/{name} either"),
            false => "no NAT rule (redirect or DNAT) is loaded that would send it to a server \
                      elsewhere"
                .into(),
        });
    }

    /// Where packets off the wire are sent on to, with the rule, if they are.
    fn off_the_wire(&mut self, target: &Target) -> Option<(SocketAddr, Hook, At, IpAddr)> {
        let network = &self.traffic.network;
        let fits = |ip: IpAddr| ip.is_ipv4() == target.ip.is_ipv4() && !ip.is_loopback();
        let own = match target.ip.is_loopback() || super::is_wildcard(target.ip) {
            true => network.addresses.iter().map(|a| a.ip).find(|&ip| fits(ip))?,
            false => target.ip,
        };
        let there = Target { ip: own, dual_stack: None, ..target.clone() };
        let view = views(network, &there).into_iter().find(|view| !view.kind.is_here())?;
        let device = network.named(view.from.device.as_deref()?)?.index;
        let question = ReachQuestion {
            vantage: Vantage { from: view.from.ip, device, owner: None },
            to: (own, target.port).into(),
            protocol: target.protocol,
        };
        let found = self.follow(&question).ok()?;
        let to = found.first()?.rewritten.filter(|_| super::fixes::gets_through(&found))?;
        let &(hook, at) = found.rewrites.iter().find(|(hook, _)| changes_destination(*hook))?;
        Some((to, hook, at, view.from.ip))
    }

    /// Who listens at an address of this host, in words.
    fn socket_at(&mut self, target: &Target, to: SocketAddr) -> Option<String> {
        let lo = self.traffic.network.loopback()?.index;
        let question = ReachQuestion {
            vantage: Vantage { from: to.ip(), device: lo, owner: None },
            to,
            protocol: target.protocol,
        };
        let found = self.follow(&question).ok()?;
        let socket = super::answer::socket(self.setting, &found.sockets())?;
        let held = match (socket.pid, &socket.command) {
            (Some(pid), Some(command)) => format!(", pid {pid} ({command})"),
            _ => String::new(),
        };
        Some(format!("{}{held}", socket.local))
    }

    /// A command as it has to be typed by whoever runs this program.
    pub(super) fn as_root(&self, command: &str) -> String {
        let sudo = if self.setting.runner == Some(0) { "" } else { "sudo " };
        match &self.setting.netns {
            Some(netns) => {
                let netns = crate::render::phrase::quoted(&netns.to_string_lossy());
                format!("{sudo}nsenter --net={netns} {command}")
            }
            None => format!("{sudo}{command}"),
        }
    }
}

/// What lies between a client elsewhere and this host, if that is where it fails.
pub(super) fn outside(answer: &Answer, target: &Target, device: &str) -> String {
    let name = target.protocol.name();
    let (ip, _) = answer.from.split_once('%').unwrap_or((&answer.from, ""));
    let port = target.port;
    let to = shown(target.ip, None, port);
    format!(
        "no rule of this host keeps {ip} from {to}. If a client there gets no answer all the \
         same, what stops it is outside this host (a router or firewall in between, the \
         provider's security group, the client's own): `tcpdump -ni {device} {name} port {port}` \
         shows whether its packets arrive here"
    )
}

pub(super) fn changes_destination(hook: Hook) -> bool {
    matches!(hook, Hook::Prerouting | Hook::Output)
}

/// A rule that rewrites, in words.
fn translator(rules: &Ruleset, hook: Hook, at: At) -> String {
    let text = rules.rule(at).map(|rule| rule_text(rules, rule)).unwrap_or_default();
    let kind = match text.contains("redirect") || text.contains("REDIRECT") {
        true => "redirect",
        false => "DNAT",
    };
    format!("NAT ({kind}) at the hook {}: {} `{text}`", hook.name(), rules.place(at))
}
