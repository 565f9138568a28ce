//! Fixes where no rule is in the way: of routing, and of where packets are sent on to.

use std::net::SocketAddr;

use portwise_model::{
    Reach, ReachOutcome, ReachQuestion,
    linux::netfilter::{At, Base, Chain, ChainKind, Hook, TableFamily},
};

use super::{
    Reaching,
    change::Change,
    fixes::{Fix, gets_through},
    notes::Help,
    statement::{self, Statement, command, iptables, plain},
};

const UNTIL_RELOADED: &str =
    "lost when the rules are loaded anew or at reboot, unless it is put where they come from too";

impl Reaching<'_> {
    /// What `rp_filter` stops.
    pub(super) fn loosen(&mut self, question: &ReachQuestion, help: &mut Help) {
        const LOOSE: u8 = 2;
        let mut network = self.traffic.network.clone();
        let index = question.vantage.device;
        let Some(device) = network.devices.iter_mut().find(|device| device.index == index) else {
            return;
        };
        device.rp_filter = LOOSE;
        let (name, from) = (device.name.to_string(), question.vantage.from);
        let found = self.with(vec![Change::Network(Box::new(network))], question);
        if !found.is_some_and(|found| gets_through(&found)) {
            help.notes.push(format!("add a route to {from} by way of {name}: answers need one"));
            return;
        }
        // A dot in the name of an interface is a slash here.
        let key = name.replace('.', "/");
        let command = format!("sysctl net.ipv4.conf.{key}.rp_filter={LOOSE}");
        help.fixes.push(Fix {
            title: format!("be loose about the way back (or add a route to {from} by {name})"),
            commands: vec![self.as_root(&command)],
            side_effects: format!(
                "{name} then takes packets of any source that some route leads to; lost at \
                 reboot, unless it is in /etc/sysctl.d too"
            ),
        });
    }

    /// What is for another host, and this one does not forward.
    pub(super) fn forward(&mut self, question: &ReachQuestion, help: &mut Help) {
        let mut network = self.traffic.network.clone();
        let is_v6 = question.to.is_ipv6();
        network.devices.iter_mut().for_each(|device| device.forwarding = true);
        network.switches.forwarding6 |= is_v6;
        let found = self.with(vec![Change::Network(Box::new(network))], question);
        if !found.is_some_and(|found| gets_through(&found)) {
            return;
        }
        let key = if is_v6 { "net.ipv6.conf.all.forwarding" } else { "net.ipv4.ip_forward" };
        help.fixes.push(Fix {
            title: "let this host forward".into(),
            commands: vec![self.as_root(&format!("sysctl {key}=1"))],
            side_effects: "it then forwards for whoever sends to it, as far as the rules of \
                the hook forward let them; lost at reboot, unless it is in /etc/sysctl.d too"
                .into(),
        });
    }

    /// What is sent on for clients off the wire, and not for those of this host.
    pub(super) fn send_on_here(
        &mut self,
        question: &ReachQuestion,
        rewritten: SocketAddr,
        at: At,
        help: &mut Help,
    ) {
        let Ok(rules) = self.rules() else { return };
        let chain = &rules.chains[at.chain];
        let (family, table) = (chain.family, chain.table.to_string());
        let base = nat_chain(Hook::Output, -100);
        let match_ =
            Statement::new().leaves_by("lo").port(question.protocol, question.to.port(), false);
        let to_self = self.traffic.network.has_address(rewritten.ip());
        let statement = match to_self {
            true => match_.redirect(rewritten.port()),
            false => match_.dnat(rewritten),
        };
        let made = self.add_nat(question, family, &table, base, &statement, gets_through);
        if let Some(commands) = made {
            help.fixes.push(Fix {
                title: format!("send local connections to port {} on as well", question.to.port()),
                commands,
                side_effects: format!("for every program of this host; {UNTIL_RELOADED}"),
            });
        }
    }

    /// What goes back past this host.
    pub(super) fn mask(
        &mut self,
        question: &ReachQuestion,
        rewritten: SocketAddr,
        at: At,
        help: &mut Help,
    ) {
        let Ok(rules) = self.rules() else { return };
        let chain = &rules.chains[at.chain];
        let (family, table) = (chain.family, chain.table.to_string());
        let network = &self.traffic.network;
        let (from, device) = (question.vantage.from, question.vantage.device);
        let near =
            |a: &&portwise_model::linux::route::Address| a.device == device && a.is_neighbour(from);
        let Some(own) = network.addresses.iter().find(near) else { return };
        let Some(name) = network.device(device).map(|device| device.name.to_string()) else {
            return;
        };
        let statement = Statement::new()
            .leaves_by(&name)
            .from(own.ip, own.prefix)
            .to(rewritten.ip())
            .port(question.protocol, rewritten.port(), false)
            .masquerade();
        let base = nat_chain(Hook::Postrouting, 100);
        let to = rewritten.ip();
        let masked = |then: &Reach| then.first().is_some_and(|end| end.masked);
        let made = self.add_nat(question, family, &table, base, &statement, masked);
        if let Some(commands) = made {
            help.fixes.push(Fix {
                title: "masquerade what goes back to the same network, so that answers come by \
                        this host"
                    .into(),
                commands,
                side_effects: format!(
                    "{to} then sees this host as the client of its neighbours; {UNTIL_RELOADED}"
                ),
            });
        }
    }

    /// Adds a rule to a NAT chain of a table, making the chain if there is none.
    fn add_nat(
        &mut self,
        question: &ReachQuestion,
        family: TableFamily,
        table: &str,
        base: Base,
        statement: &Statement,
        helps: impl Fn(&Reach) -> bool,
    ) -> Option<Vec<String>> {
        let rules = self.rules().ok()?;
        let stands = |chain: &Chain| {
            chain.base.as_ref().is_some_and(|b| b.hook == base.hook && b.kind == ChainKind::Nat)
        };
        let own = |chain: &Chain| chain.family == family && chain.table == table;
        let there = rules.chains.iter().position(|chain| own(chain) && stands(chain));
        let (mut changes, mut commands) = (Vec::new(), Vec::new());
        let index = match there {
            Some(index) => index,
            None => {
                let its = rules.chains.iter().find(|chain| own(chain))?;
                let is_its = iptables(rules, its).is_some();
                let hook = base.hook.name();
                let taken = |name: &str| rules.chains.iter().any(|c| own(c) && c.name == name);
                let name = match is_its {
                    true => hook.to_uppercase(),
                    false if taken(hook) => format!("{hook}_nat"),
                    false => hook.to_owned(),
                };
                if !is_its {
                    commands.push(format!(
                        "nft add chain {} {} {name} '{{ type nat hook {hook} priority {}; }}'",
                        family.name(),
                        plain(table)?,
                        base.priority
                    ));
                }
                changes.push(Change::Chain(Chain {
                    family,
                    table: table.to_owned().into(),
                    name: name.into(),
                    legacy: its.legacy,
                    base: Some(base),
                    rules: Vec::new(),
                }));
                rules.chains.len()
            }
        };
        let chain = match changes.first() {
            Some(Change::Chain(chain)) => chain.clone(),
            _ => rules.chains[index].clone(),
        };
        commands.push(command(rules, &chain, None, statement)?);
        let at = chain.rules.len();
        changes.push(Change::Rule { chain: index, at, rule: statement.rule() });
        let then = self.with(changes, question)?;
        helps(&then).then(|| commands.iter().map(|command| self.as_root(command)).collect())
    }

    /// Keeps clients from what is sent on past the hook input.
    pub(super) fn keep_out(&mut self, question: &ReachQuestion, to: SocketAddr, help: &mut Help) {
        let Ok(rules) = self.rules() else { return };
        let is_v6 = to.is_ipv6();
        let own = rules.chains.iter().position(|chain| chain.name == "DOCKER-USER");
        let base = rules.at(Hook::Forward, is_v6, None).into_iter().find(|&index| {
            rules.chains[index].base.as_ref().is_some_and(|base| base.kind == ChainKind::Filter)
        });
        let device = self.traffic.network.device(question.vantage.device);
        let Some(name) = device.map(|device| device.name.to_string()) else { return };
        for index in [own, base].into_iter().flatten() {
            let Ok(rules) = self.rules() else { return };
            let statement = Statement::new()
                .comes_by(&name)
                .to(to.ip())
                .port(question.protocol, to.port(), false)
                .verdict(false);
            let chain = &rules.chains[index];
            let Some(command) = statement::command(rules, chain, Some(0), &statement) else {
                continue;
            };
            let change = Change::Rule { chain: index, at: 0, rule: statement.rule() };
            let then = self.with(vec![change], question);
            if then.is_some_and(|then| then.outcome == ReachOutcome::Silent) {
                help.fixes.push(Fix {
                    title: format!("if clients on {name} are not to reach it: drop it in forward"),
                    commands: vec![self.as_root(&command)],
                    side_effects: format!(
                        "publishing the port on 127.0.0.1 only has the same effect for every \
                         network; {UNTIL_RELOADED}"
                    ),
                });
                return;
            }
        }
    }
}

/// What a NAT chain is made with.
fn nat_chain(hook: Hook, priority: i32) -> Base {
    Base { hook, priority, kind: ChainKind::Nat, accepts: true, devices: Vec::new() }
}
