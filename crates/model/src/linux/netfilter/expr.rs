//! What a rule of nftables consists of, as the kernel executes it: small instructions on registers.
//!
//! Registers are 64 bytes; an instruction names a byte in them. Multi-byte values stand there as
//! the kernel has them: what comes from the packet in network order, what the kernel counts
//! itself (marks, interface indexes, states) in the host's.

use alloc::{boxed::Box, vec::Vec};

use super::xt::{Match, Target};
use crate::Text;

/// A place in the registers, in bytes.
pub type Reg = u8;

/// What a rule says about the packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Verdict {
    /// This base chain has nothing against it.
    Accept,
    /// It goes no further.
    Drop,
    /// On with the next rule.
    Continue,
    /// Back to the calling chain.
    Return,
    /// To another chain, and back.
    Jump(usize),
    /// To another chain.
    Goto(usize),
    /// To a program (`NFQUEUE`).
    Queue,
}

/// A part of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Header {
    /// Ethernet.
    Link,
    /// IP.
    Network,
    /// TCP or UDP.
    Transport,
    /// What follows them.
    Inner,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Cmp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// What the kernel knows about a packet beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[allow(missing_docs)] // Named as in nf_tables.h and explained in nft(8).
pub enum Meta {
    Len,
    Protocol,
    Priority,
    Mark,
    Iif,
    Oif,
    IifName,
    OifName,
    IifType,
    OifType,
    SkUid,
    SkGid,
    NfTrace,
    RtClassId,
    SecMark,
    NfProto,
    L4Proto,
    BriIifName,
    BriOifName,
    PktType,
    Cpu,
    IifGroup,
    OifGroup,
    Cgroup,
    Random,
    SecPath,
    IifKind,
    OifKind,
    Time,
    Sdif,
    SdifName,
    Other(u8),
}

/// What the kernel knows about the connection of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[allow(missing_docs)] // Named as in nf_tables.h and explained in nft(8).
pub enum Ct {
    State,
    Direction,
    Status,
    Mark,
    SecMark,
    Helper,
    L3Proto,
    Src,
    Dst,
    Protocol,
    ProtoSrc,
    ProtoDst,
    Labels,
    /// Packets, bytes, averages: what passed before.
    Volume,
    Zone,
    Other(u8),
}

/// What a `fib` expression asks the routing tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fib {
    /// What the answer is.
    pub result: FibResult,
    /// Whether the destination is looked up, not the source.
    pub daddr: bool,
    /// Whether the packet's mark counts.
    pub mark: bool,
    /// Whether the answer has to do with the device of arrival.
    pub iif: bool,
    /// Whether the answer has to do with the device of departure.
    pub oif: bool,
    /// Whether only existence is asked.
    pub present: bool,
}

/// The answer of a `fib` expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum FibResult {
    /// The device's index.
    Oif,
    /// The device's name.
    OifName,
    /// The type of the address.
    Type,
}

/// What a refused sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum RejectWith {
    /// A TCP reset.
    Reset,
    /// ICMP or ICMPv6 "destination unreachable" with this code of the packet's own family.
    Icmp(u8),
    /// The same by nftables' own codes, which suit both families.
    Icmpx(u8),
}

/// Registers or constants that name new addresses and ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NatRegs {
    /// Lowest and highest address.
    pub addr: Option<(Reg, Reg)>,
    /// Lowest and highest port.
    pub port: Option<(Reg, Reg)>,
    /// Keep the host part: `NF_NAT_RANGE_NETMAP`.
    pub netmap: bool,
}

/// Which address a rewriting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum NatKind {
    /// The source.
    Snat,
    /// The destination.
    Dnat,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[allow(missing_docs)] // The fields are those of nf_tables.h.
pub enum Expr {
    /// A verdict.
    Verdict(Verdict),
    /// A constant into a register.
    Immediate {
        dreg: Reg,
        data: Vec<u8>,
    },
    /// Bytes of the packet into a register.
    Payload {
        base: Header,
        offset: u16,
        len: u8,
        dreg: Reg,
    },
    /// A register into the packet.
    PayloadSet {
        base: Header,
        offset: u16,
        len: u8,
        sreg: Reg,
    },
    Meta {
        key: Meta,
        dreg: Reg,
    },
    MetaSet {
        key: Meta,
        sreg: Reg,
    },
    /// `reply` says which direction's addresses are meant.
    Ct {
        key: Ct,
        reply: Option<bool>,
        len: u8,
        dreg: Reg,
    },
    CtSet {
        key: Ct,
        sreg: Reg,
    },
    Cmp {
        op: Cmp,
        sreg: Reg,
        data: Vec<u8>,
    },
    Range {
        negated: bool,
        sreg: Reg,
        from: Vec<u8>,
        to: Vec<u8>,
    },
    Bitwise {
        sreg: Reg,
        dreg: Reg,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    Shift {
        sreg: Reg,
        dreg: Reg,
        len: u8,
        left: bool,
        by: u32,
    },
    ByteOrder {
        sreg: Reg,
        dreg: Reg,
        len: u8,
        size: u8,
    },
    /// A set, a map (with `dreg`) or a verdict map.
    Lookup {
        set: usize,
        sreg: Reg,
        negated: bool,
        dreg: Option<Reg>,
        verdicts: bool,
    },
    /// A change of a set, with what is asked first.
    Dynset {
        set: usize,
        key: Reg,
        delete: bool,
        exprs: Vec<Expr>,
        negated: bool,
    },
    Reject(RejectWith),
    Nat {
        kind: NatKind,
        regs: NatRegs,
    },
    Masquerade,
    Redirect {
        regs: NatRegs,
    },
    Tproxy {
        family_v6: Option<bool>,
        addr: Option<Reg>,
        port: Option<Reg>,
    },
    /// `socket transparent`, `socket wildcard`, `socket mark`.
    Socket {
        key: SocketKey,
        dreg: Reg,
    },
    Fib {
        fib: Fib,
        dreg: Reg,
    },
    Notrack,
    /// `numgen` and `jhash`: a number from `offset` below `offset + modulus`.
    Number {
        dreg: Reg,
        modulus: u32,
        offset: u32,
        why: Text,
    },
    /// Looks at a TCP option or an IPv6 extension header.
    ExtHdr {
        tcp: bool,
        kind: u8,
        offset: u16,
        len: u8,
        present: bool,
        dreg: Reg,
    },
    /// Unknown bytes into a register, because of `why`.
    Obscure {
        dreg: Reg,
        len: u8,
        why: Text,
    },
    /// A condition that time, chance or history decides, with what it is.
    Depends {
        why: Text,
    },
    /// A counter, a log line, a trace: changes nothing.
    Nothing,
    /// A queue to a program. `bypass`: without one listening, it passes.
    Queue {
        bypass: bool,
    },
    /// The firewall completes the handshake itself.
    Synproxy,
    /// The packet leaves by another device at once.
    Forwarded,
    /// A match of iptables.
    Match(Box<Match>),
    /// A target of iptables.
    Target(Box<Target>),
    /// One the evaluator does not know, by its name.
    Unknown(Text),
}

/// What a `socket` expression looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum SocketKey {
    /// Whether it has `IP_TRANSPARENT`.
    Transparent,
    /// Whether it is bound to the wildcard address.
    Wildcard,
    /// Its mark.
    Mark,
    /// Another one.
    Other,
}

impl Expr {
    /// Whether it does anything beyond looking: without such a one, a rule has no effect.
    pub fn has_effect(&self) -> bool {
        match self {
            Expr::Verdict(verdict) => *verdict != Verdict::Continue,
            Expr::MetaSet { key, .. } => {
                !matches!(key, Meta::NfTrace | Meta::Priority | Meta::SecMark | Meta::RtClassId)
            }
            Expr::Lookup { verdicts, .. } => *verdicts,
            Expr::PayloadSet { .. }
            | Expr::CtSet { .. }
            | Expr::Dynset { .. }
            | Expr::Reject(_)
            | Expr::Nat { .. }
            | Expr::Masquerade
            | Expr::Redirect { .. }
            | Expr::Tproxy { .. }
            | Expr::Notrack
            | Expr::Queue { .. }
            | Expr::Synproxy
            | Expr::Forwarded
            | Expr::Unknown(_) => true,
            Expr::Target(target) => target.has_effect(),
            _ => false,
        }
    }
}
