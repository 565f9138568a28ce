//! What the packet filter does with a packet, rule by rule.
//!
//! The rules of nftables are kept as the kernel executes them, small instructions on registers;
//! those of iptables as their matches and targets. A value of which something is unknown makes a
//! condition open, and then both ways are walked. A rule that is not understood is never passed
//! over: it ends the walk with its name.
//!
//! Read beside `net/netfilter/nf_tables_core.c`, the `nft_*.c` and `xt_*.c` files there, and
//! `nf_nat_core.c`.

mod choose;
mod eval;
mod expr;
mod hook;
mod instruction;
mod ipset;
mod matches;
mod meta;
mod nat;
mod packet;
mod ruleset;
mod set;
mod sources;
mod target;
mod text;
mod value;
mod xt;

pub use choose::{Choices, Doubt, Walks, every};
pub use eval::{Env, Find, How, Met, Seen, Stop, Walk};
pub use expr::{
    Cmp, Ct, Expr, Fib, FibResult, Header, Meta, NatKind, NatRegs, Reg, RejectWith, SocketKey,
    Verdict,
};
pub use ipset::{Dimension, Entry, IpSet, Part};
pub(in crate::linux) use nat::source_for;
pub use packet::{ACK, Connection, Owner, Packet, RST, SYN, Tracking, Tuple, ip_of};
pub use ruleset::{At, Base, Chain, ChainKind, Hook, Opaque, Place, Rule, Ruleset, TableFamily};
pub use set::{Data, Element, Set};
pub use sources::Source;
pub use text::rule_text;
pub use value::{Bytes, Port, Tri};
pub use xt::{Conntrack, DeviceName, End, IpHeader, MarkMode, Match, NatRange, Target};
