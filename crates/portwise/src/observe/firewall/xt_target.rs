//! The targets of iptables, in the binary form that nf_tables and the legacy tables share.

use portwise_model::{
    Text,
    linux::netfilter::{Expr, MarkMode, NatKind, NatRange, RejectWith, Target},
};

use super::xt::Fields;

const NO_SET: u16 = u16::MAX;
const MAP_IPS: u32 = 1;
const PROTO_SPECIFIED: u32 = 2;

/// What the targets of iptables are read as, for the table in the documentation.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("ACCEPT, DROP, RETURN, chains", "yes"),
    ("REJECT", "yes"),
    ("DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP", "yes; ranges of up to 32 are tried one by one"),
    ("MARK, CONNMARK", "yes; CONNMARK's shifts are not known"),
    ("DSCP, TOS", "yes; a client's first packet is taken to have neither"),
    (
        "SET",
        "leaves open whether the set has the packet's address from then on; its maps end in unknown",
    ),
    ("CT, NOTRACK", "yes; helpers and timeouts change nothing"),
    ("TPROXY", "yes"),
    ("SYNPROXY", "yes, before a socket of this host"),
    ("NFQUEUE, QUEUE", "ends in unknown: a program decides"),
    (
        "LOG, NFLOG, TRACE, AUDIT, TCPMSS, TCPOPTSTRIP, CHECKSUM, CLASSIFY, TTL, HL, \
         TEE, SECMARK, CONNSECMARK, LED, IDLETIMER, RATEEST, ECN, HMARK, ULOG",
        "changes nothing that decides",
    ),
];

/// Reads a target. What is not understood becomes [`Target::Unknown`].
pub(super) fn read(is_v6: bool, name: &str, revision: u8, info: &[u8]) -> Expr {
    let known = known(is_v6, name, revision, Fields(info));
    let read = known.unwrap_or_else(|| Target::Unknown(Text::Owned(name.to_owned())));
    Expr::Target(Box::new(read))
}

fn known(is_v6: bool, name: &str, revision: u8, f: Fields<'_>) -> Option<Target> {
    Some(match name {
        "REJECT" => Target::Reject(reject(is_v6, f.u32(0)?)?),
        "DNAT" => Target::Nat { kind: NatKind::Dnat, range: range(is_v6, revision, f)? },
        "SNAT" => Target::Nat { kind: NatKind::Snat, range: range(is_v6, revision, f)? },
        "MASQUERADE" => Target::Masquerade,
        "REDIRECT" => {
            let range = if is_v6 { new_range(true, f)? } else { old_range(f)? };
            Target::Redirect { port: range.port }
        }
        "NETMAP" => {
            let range = if is_v6 { new_range(true, f)? } else { old_range(f)? };
            Target::Netmap { addr: range.addr? }
        }
        "MARK" => match revision {
            2.. => Target::Mark { clear: f.u32(4)?, set: f.u32(0)? },
            _ => return None,
        },
        "CONNMARK" => {
            // The later revision can shift.
            let mode = match revision {
                1 => f.u8(12)?,
                2 if f.u8(13)? == 0 => f.u8(14)?,
                _ => return None,
            };
            let mode = match mode {
                0 => MarkMode::Set,
                1 => MarkMode::Save,
                2 => MarkMode::Restore,
                _ => return None,
            };
            Target::Connmark { mode, mark: f.u32(0)?, ct_mask: f.u32(4)?, nf_mask: f.u32(8)? }
        }
        "CT" => {
            let (flags, zone) = (f.u16(0)?, f.u16(2)?);
            const ZONE_MARK: u16 = 16;
            if flags & ZONE_MARK != 0 {
                return None;
            }
            Target::Ct { notrack: flags & 3 != 0, zone: (zone != 0).then_some(zone) }
        }
        "NOTRACK" => Target::Ct { notrack: true, zone: None },
        "TPROXY" => {
            let port_at = if revision == 0 { 12 } else { 24 };
            let addr = f.ip(8, is_v6 && revision > 0)?;
            Target::Tproxy {
                addr: (!addr.is_unspecified()).then_some(addr),
                port: f.be16(port_at)?,
                mark: f.u32(4)?,
                mask: f.u32(0)?,
            }
        }
        "DSCP" => Target::Tos { clear: 0xfc, set: f.u8(0)? << 2 },
        "TOS" if revision >= 1 => Target::Tos { clear: f.u8(1)?, set: f.u8(0)? },
        "SET" if revision >= 1 => {
            let one = |at| f.u16(at).map(|set| (set != NO_SET).then_some(set));
            // A mark, priority or queue out of the set.
            if revision >= 3 && one(8)?.is_some() {
                return None;
            }
            Target::ChangeSets { sets: [one(0)?, one(4)?].into_iter().flatten().collect() }
        }
        "NFQUEUE" => Target::Queue { bypass: revision >= 2 && f.u16(4)? & 1 != 0 },
        "QUEUE" => Target::Queue { bypass: false },
        "SYNPROXY" => Target::Synproxy,
        "LOG" | "NFLOG" | "ULOG" | "TRACE" | "AUDIT" | "TCPMSS" | "TCPOPTSTRIP" | "CHECKSUM"
        | "CLASSIFY" | "TTL" | "HL" | "TEE" | "SECMARK" | "CONNSECMARK" | "LED" | "IDLETIMER"
        | "RATEEST" | "ECN" | "HMARK" => Target::Nothing,
        _ => return None,
    })
}

/// The kinds of refusal, which each family numbers in its own way, as codes of ICMP.
fn reject(is_v6: bool, with: u32) -> Option<RejectWith> {
    Some(match (is_v6, with) {
        (false, code @ 0..=3) => RejectWith::Icmp(code as u8),
        (false, 5) => RejectWith::Icmp(9),
        (false, 6) => RejectWith::Icmp(10),
        (false, 7) | (true, 6) => RejectWith::Reset,
        (false, 8) => RejectWith::Icmp(13),
        (true, code @ 0..=4) => RejectWith::Icmp(code as u8),
        (true, 7) => RejectWith::Icmp(5),
        (true, 8) => RejectWith::Icmp(6),
        _ => return None,
    })
}

fn range(is_v6: bool, revision: u8, f: Fields<'_>) -> Option<NatRange> {
    if revision == 0 && !is_v6 { old_range(f) } else { new_range(is_v6, f) }
}

/// `struct nf_nat_range`, and `nf_nat_range2`, which begins alike.
fn new_range(is_v6: bool, f: Fields<'_>) -> Option<NatRange> {
    let flags = f.u32(0)?;
    Some(NatRange {
        addr: (flags & MAP_IPS != 0).then_some((f.ip(4, is_v6)?, f.ip(20, is_v6)?)),
        port: (flags & PROTO_SPECIFIED != 0).then_some((f.be16(36)?, f.be16(38)?)),
    })
}

/// `struct nf_nat_ipv4_multi_range_compat`, always with one range.
fn old_range(f: Fields<'_>) -> Option<NatRange> {
    let flags = f.u32(4)?;
    Some(NatRange {
        addr: (flags & MAP_IPS != 0).then_some((f.ip(8, false)?, f.ip(12, false)?)),
        port: (flags & PROTO_SPECIFIED != 0).then_some((f.be16(16)?, f.be16(18)?)),
    })
}
