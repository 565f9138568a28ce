//! Changes of the ruleset and of routing, made on what was read of them and taken back again.

use portwise_model::linux::{
    netfilter::{Chain, Hook, Rule, Ruleset},
    route::Network,
};

use crate::observe::Traffic;

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A rule before the one that is there.
    Rule { chain: usize, at: usize, rule: Rule },
    /// That rule away again.
    NoRule { chain: usize, at: usize },
    /// A chain more.
    Chain(Chain),
    /// The last chain away again.
    NoChain,
    /// Another network.
    Network(Box<Network>),
}

impl Change {
    /// Makes the change and returns the one that takes it back.
    pub(super) fn make(self, traffic: &mut Traffic) -> Change {
        let mut none = Ruleset::default();
        let rules = traffic.rules.as_mut().unwrap_or(&mut none);
        match self {
            Change::Rule { chain, at, rule } => {
                let list = &mut rules.chains[chain].rules;
                let at = at.min(list.len());
                list.insert(at, rule);
                Change::NoRule { chain, at }
            }
            Change::NoRule { chain, at } => {
                let rule = rules.chains[chain].rules.remove(at);
                Change::Rule { chain, at, rule }
            }
            Change::Chain(chain) => {
                let index = rules.chains.len();
                for key in stands_at(&chain) {
                    if let Some(order) = rules.order.get_mut(&key) {
                        order.push(index);
                    }
                }
                rules.chains.push(chain);
                Change::NoChain
            }
            Change::NoChain => {
                let Some(chain) = rules.chains.pop() else { return Change::NoChain };
                let index = rules.chains.len();
                for key in stands_at(&chain) {
                    if let Some(order) = rules.order.get_mut(&key) {
                        order.retain(|&at| at != index);
                    }
                }
                Change::Chain(chain)
            }
            Change::Network(network) => {
                let old = std::mem::replace(&mut traffic.network, *network);
                Change::Network(Box::new(old))
            }
        }
    }
}

/// The families and hooks in whose order a chain has a place.
fn stands_at(chain: &Chain) -> Vec<(bool, Hook)> {
    let Some(base) = &chain.base else { return Vec::new() };
    let families = [false, true].into_iter().filter(|&is_v6| chain.family.sees(is_v6));
    families.map(|is_v6| (is_v6, base.hook)).collect()
}
