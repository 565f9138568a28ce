//! A packet through the chains of one hook.

use alloc::{format, string::String, vec::Vec};
use core::net::IpAddr;

use super::{
    At, Choices, Doubt, Expr, Packet, Port, RejectWith, Ruleset, Tri, Verdict, value::Registers,
};
use crate::{SocketId, Text, linux::route::Network};

/// What stops a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The rule or policy; `None` if it is none of either.
    pub at: Option<At>,
    /// What becomes of the packet.
    pub how: How,
}

/// What becomes of a stopped packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It is dropped.
    Drop,
    /// It is dropped, and the sender is told.
    Reject(RejectWith),
    /// The firewall completes the handshake itself, before the socket sees anything.
    Synproxy,
    /// It leaves by another device.
    Forwarded,
    /// Nobody can tell, because of this.
    Unknown(Text),
}

/// A socket that a rule finds for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    /// Which.
    pub id: SocketId,
    /// Whether it has `IP_TRANSPARENT`.
    pub transparent: bool,
    /// Whether it is bound to the wildcard address.
    pub wildcard: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it is a whole socket, and not one of a handshake under way.
    pub full: bool,
}

/// Finds the socket that would get a packet if it went to this address and port.
pub type Find<'a> = &'a dyn Fn(&Packet, IpAddr, Port) -> Option<Seen>;

/// What rules look at beside the packet.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The rules.
    pub rules: &'a Ruleset,
    /// The network.
    pub network: &'a Network,
    /// The sockets.
    pub find: Find<'a>,
}

/// A walk of one packet, with the choices it takes and the rules it met.
pub struct Walk<'a, 'c> {
    /// What rules look at.
    pub env: Env<'a>,
    /// The choices.
    pub choices: &'c mut Choices,
    /// The rules that did something, with what they did, in order.
    pub met: Vec<(At, Met)>,
    pub(super) steps: u32,
}

/// What a rule did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// It let the packet pass this base chain.
    Accepted,
    /// It sent it into another chain.
    Called(usize),
    /// It rewrote an address or port.
    Rewrote,
    /// It changed the mark.
    Marked,
}

impl Met {
    /// It in words.
    pub fn words(&self, rules: &Ruleset, packet: &Packet) -> String {
        match self {
            Met::Accepted => "accepts".into(),
            Met::Called(chain) => {
                let name = rules.chains.get(*chain).map_or("?", |chain| &chain.name);
                format!("leads to {name}")
            }
            Met::Rewrote => "rewrites".into(),
            Met::Marked => format!("marks, {:#x}", packet.mark),
        }
    }
}

/// What an instruction leads to.
pub(super) enum Next {
    /// The next instruction.
    Go,
    /// The next rule.
    Break,
    /// A verdict.
    Verdict(Verdict),
    /// The end of the walk.
    Stop(How),
}

/// More rules than this are not walked through in one go: only a loop has so many.
const MOST_STEPS: u32 = 1_000_000;

/// The kernel's own limit is 16 for nftables; legacy chains may be nested deeper.
const DEEPEST: usize = 512;

impl<'a, 'c> Walk<'a, 'c> {
    /// A walk that has met nothing yet.
    pub fn new(env: Env<'a>, choices: &'c mut Choices) -> Walk<'a, 'c> {
        Walk { env, choices, met: Vec::new(), steps: 0 }
    }

    /// The socket that rules see with a packet: the one it was given to, else the one that would
    /// get it (`skb->sk` in nft_socket_eval and socket_match).
    pub(super) fn socket_of(&self, packet: &Packet) -> Option<Seen> {
        let would = || (self.env.find)(packet, packet.tuple.dst, packet.tuple.dport);
        packet.given_to.or_else(would)
    }

    /// Whether `tri` holds in this walk. What no later part of the rule makes use of is not a
    /// choice.
    pub(super) fn holds(&mut self, tri: Tri, at: At, rest: &[Expr]) -> bool {
        match tri {
            Tri::Yes => true,
            Tri::No => false,
            Tri::Depends(_) if !rest.iter().any(Expr::has_effect) => false,
            Tri::Depends(why) => self.choices.holds(Doubt { at: Some(at), why }),
        }
    }

    /// Walks a packet through a base chain.
    pub(super) fn chain(
        &mut self,
        base: usize,
        packet: &mut Packet,
        hook: super::Hook,
    ) -> Result<(), Stop> {
        let rules = self.env.rules;
        let mut registers = Registers::new();
        let mut callers: Vec<(usize, usize)> = Vec::new();
        let (mut chain, mut index) = (base, 0);
        loop {
            let Some(rule) = rules.chains[chain].rules.get(index) else {
                // The end of a chain leads back to its caller.
                match callers.pop() {
                    Some(caller) => (chain, index) = caller,
                    None => return self.policy(base),
                }
                continue;
            };
            let at = At { chain, rule: Some(index) };
            self.steps += 1;
            if self.steps > MOST_STEPS || callers.len() > DEEPEST {
                let why = "the chains call each other in a circle";
                return Err(Stop { at: Some(at), how: How::Unknown(why.into()) });
            }
            index += 1;
            match self.rule(rule, at, packet, hook, &mut registers) {
                Next::Go | Next::Break => {}
                Next::Stop(how) => return Err(Stop { at: Some(at), how }),
                Next::Verdict(verdict) => match verdict {
                    Verdict::Continue => {}
                    Verdict::Accept => {
                        self.met.push((at, Met::Accepted));
                        return Ok(());
                    }
                    Verdict::Drop => return Err(Stop { at: Some(at), how: How::Drop }),
                    Verdict::Queue => {
                        let why = "a program decides (NFQUEUE)";
                        return Err(Stop { at: Some(at), how: How::Unknown(why.into()) });
                    }
                    Verdict::Return => match callers.pop() {
                        Some(caller) => (chain, index) = caller,
                        None => return self.policy(base),
                    },
                    Verdict::Jump(to) | Verdict::Goto(to) => {
                        if to >= rules.chains.len() {
                            let why = "the chain it leads to was not read";
                            return Err(Stop { at: Some(at), how: How::Unknown(why.into()) });
                        }
                        self.met.push((at, Met::Called(to)));
                        if matches!(verdict, Verdict::Jump(_)) {
                            callers.push((chain, index));
                        }
                        (chain, index) = (to, 0);
                    }
                },
            }
        }
    }

    fn policy(&self, base: usize) -> Result<(), Stop> {
        match &self.env.rules.chains[base].base {
            Some(base) if base.accepts => Ok(()),
            _ => Err(Stop { at: Some(At { chain: base, rule: None }), how: How::Drop }),
        }
    }

    fn rule(
        &mut self,
        rule: &super::Rule,
        at: At,
        packet: &mut Packet,
        hook: super::Hook,
        registers: &mut Registers,
    ) -> Next {
        for (done, expr) in rule.exprs.iter().enumerate() {
            let rest = &rule.exprs[done + 1..];
            match self.instruction(expr, rest, at, packet, hook, registers) {
                Next::Go => {}
                other => return other,
            }
        }
        Next::Go
    }
}
