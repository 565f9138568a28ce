//! A packet past one hook: base chains in the order of their priorities, between them connection
//! tracking and the rewriting of addresses.

use alloc::vec::Vec;

use super::{ChainKind, Hook, Packet, Ruleset, Stop, Tracking, Walk};
use crate::Protocol;

/// `NF_IP_PRI_CONNTRACK`.
const CONNTRACK: i32 = -200;
/// `NF_IP_PRI_NAT_DST`.
const NAT_DST: i32 = -100;
/// `NF_IP_PRI_NAT_SRC`.
const NAT_SRC: i32 = 100;

/// What stands at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Station {
    Chain(usize),
    Conntrack,
    Nat,
}

impl Walk<'_, '_> {
    /// Walks a packet past a hook of IP.
    ///
    /// # Errors
    /// With what stops it.
    pub fn hook(&mut self, hook: Hook, packet: &mut Packet) -> Result<(), Stop> {
        for station in stations(self.env.rules, hook, packet.is_v6()) {
            match station {
                Station::Conntrack => track(packet),
                Station::Nat => {
                    let before = packet.tuple.dst;
                    self.nat(hook, packet)?;
                    if hook == Hook::Output && packet.tuple.dst != before {
                        packet.route_again.push((packet.mark, packet.tuple));
                    }
                }
                Station::Chain(chain) => {
                    let seen = |packet: &Packet| (packet.mark, packet.tuple.src, packet.tuple.dst);
                    let before = seen(packet);
                    self.chain(chain, packet, hook)?;
                    // Of what is made here, only chains for it make the kernel route again.
                    let kind = self.env.rules.chains[chain].base.as_ref().map(|base| base.kind);
                    let routes = hook == Hook::Output && kind == Some(ChainKind::Route);
                    if routes && seen(packet) != before {
                        packet.route_again.push((packet.mark, packet.tuple));
                    }
                }
            }
        }
        Ok(())
    }

    /// Walks a packet past a device's own hook, or a bridge's.
    ///
    /// # Errors
    /// With what stops it.
    pub fn chains(
        &mut self,
        chains: &[usize],
        hook: Hook,
        packet: &mut Packet,
    ) -> Result<(), Stop> {
        chains.iter().try_for_each(|&chain| self.chain(chain, packet, hook))
    }

    /// Asks the chains of type nat, until one has decided, about the first packet of a connection;
    /// does the same to later ones.
    fn nat(&mut self, hook: Hook, packet: &mut Packet) -> Result<(), Stop> {
        if !packet.is_tracked() {
            return Ok(());
        }
        let is_dst = matches!(hook, Hook::Prerouting | Hook::Output);
        let done = |packet: &Packet| match is_dst {
            true => packet.connection.dnat_done,
            false => packet.connection.snat_done,
        };
        if packet.tracking == Tracking::New && !done(packet) {
            for chain in nat_chains(self.env.rules, hook, packet.is_v6()) {
                self.chain(chain, packet, hook)?;
                if done(packet) {
                    break;
                }
            }
            match is_dst {
                true => packet.connection.dnat_done = true,
                false => packet.connection.snat_done = true,
            }
        }
        Walk::translate(packet, hook);
        Ok(())
    }
}

/// What connection tracking makes of a packet that it has not seen.
fn track(packet: &mut Packet) {
    if packet.tracking != Tracking::Unseen {
        return;
    }
    packet.tracking = match packet.becomes {
        Tracking::New => {
            packet.connection.zone = packet.zone;
            Tracking::New
        }
        // An answer whose zone is another one belongs to no connection.
        Tracking::Established { .. } | Tracking::Related { .. }
            if packet.zone != packet.connection.zone =>
        {
            stray(packet)
        }
        // So does one to what was not tracked.
        Tracking::Untracked => stray(packet),
        other => other,
    };
}

/// A packet of no known connection: of TCP only one that could be the first or a later one of a
/// connection under way opens one.
fn stray(packet: &Packet) -> Tracking {
    if let Some((kind, _)) = packet.icmp {
        // Neighbour discovery is left alone; an error about what is not known is invalid.
        return if kind >= 130 { Tracking::Untracked } else { Tracking::Unseen };
    }
    let is_answer = packet.flags & (super::SYN | super::ACK) == super::SYN | super::ACK;
    match packet.protocol {
        Protocol::Tcp if is_answer || packet.flags & super::RST != 0 => Tracking::Unseen,
        _ => Tracking::New,
    }
}

fn priority(rules: &Ruleset, chain: usize) -> i32 {
    rules.chains[chain].base.as_ref().map_or(0, |base| base.priority)
}

fn is_nat(rules: &Ruleset, chain: usize) -> bool {
    rules.chains[chain].base.as_ref().is_some_and(|base| base.kind == ChainKind::Nat)
}

fn nat_chains(rules: &Ruleset, hook: Hook, is_v6: bool) -> Vec<usize> {
    let mut chains = rules.at(hook, is_v6, None);
    chains.retain(|&chain| is_nat(rules, chain));
    chains
}

/// What stands at a hook, in order. NAT has one place there, whatever the priorities of its chains.
fn stations(rules: &Ruleset, hook: Hook, is_v6: bool) -> Vec<Station> {
    let mut found: Vec<(i32, Station)> = rules
        .at(hook, is_v6, None)
        .into_iter()
        .filter(|&chain| !is_nat(rules, chain))
        .map(|chain| (priority(rules, chain), Station::Chain(chain)))
        .collect();
    let own = match hook {
        Hook::Prerouting | Hook::Output => {
            &[(CONNTRACK, Station::Conntrack), (NAT_DST, Station::Nat)][..]
        }
        Hook::Input | Hook::Postrouting => &[(NAT_SRC, Station::Nat)],
        _ => &[],
    };
    for &(at, station) in own {
        let behind = found.partition_point(|(p, _)| *p < at);
        found.insert(behind, (at, station));
    }
    found.into_iter().map(|(_, station)| station).collect()
}
