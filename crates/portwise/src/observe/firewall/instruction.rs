//! The expressions of nf_tables.

use portwise_model::{
    Text,
    linux::netfilter::{
        Cmp, Ct, Expr, Fib, FibResult, Header, Meta, NatKind, NatRegs, RejectWith, SocketKey,
        Verdict,
    },
};
use portwise_sys::{
    netlink::{Attribute, attributes, is_whole},
    nftables::be32,
};

use super::{nftables::Names, xt, xt_target};

/// Where names are looked up.
pub(super) struct Scope<'a> {
    /// The family of the table.
    pub family: u8,
    /// The table.
    pub table: &'a str,
    /// What is there.
    pub names: &'a Names,
}

/// The attributes of one expression.
#[derive(Clone, Copy)]
struct Attrs<'a>(&'a [u8]);

impl<'a> Attrs<'a> {
    fn get(self, kind: u16) -> Option<Attribute<'a>> {
        attributes(self.0).find(|a| a.kind == kind)
    }

    fn number(self, kind: u16) -> Option<u32> {
        self.get(kind).and_then(|a| be32(&a))
    }

    /// A register, as the byte it begins at.
    fn register(self, kind: u16) -> Option<u8> {
        match self.number(kind)? {
            number @ 1..=4 => Some((number as u8 - 1) * 16),
            number @ 8..=23 => Some((number as u8 - 8) * 4),
            _ => None,
        }
    }

    fn bytes(self, kind: u16) -> Option<Vec<u8>> {
        value(self.get(kind)?.payload).map(<[u8]>::to_vec)
    }
}

/// The bytes of `NFTA_DATA_VALUE`.
pub(super) fn value(data: &[u8]) -> Option<&[u8]> {
    const NFTA_DATA_VALUE: u16 = 1;
    attributes(data).find(|a| a.kind == NFTA_DATA_VALUE).map(|a| a.payload)
}

/// The expressions with what they are read as, for the table in the documentation.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("immediate", "yes"),
    ("payload", "yes; the packet's length, checksums, sequence numbers and content are open"),
    ("meta", "yes; time, processor, random numbers and cgroups are open"),
    ("ct", "yes; what was sent before is open"),
    ("cmp", "yes"),
    ("range", "yes"),
    ("bitwise", "yes"),
    ("byteorder", "yes"),
    ("lookup", "yes, sets and maps, with ranges and concatenations"),
    ("dynset", "yes; what a rule adds is seen by later rules"),
    ("reject", "yes"),
    ("nat", "yes"),
    ("masq", "yes"),
    ("redir", "yes"),
    ("tproxy", "yes"),
    ("socket", "yes; marks and cgroups are open"),
    ("fib", "yes"),
    ("notrack", "yes"),
    ("exthdr", "IPv6 extension headers: none are there; TCP options are open"),
    ("synproxy", "yes, before a socket of this host"),
    ("counter", "changes nothing"),
    ("log", "changes nothing"),
    ("last", "changes nothing"),
    ("dup", "changes nothing"),
    ("flow_offload", "changes nothing"),
    ("limit", "both ways"),
    ("quota", "both ways"),
    ("connlimit", "both ways"),
    ("numgen", "every value, up to 64"),
    ("hash", "every value, up to 64"),
    ("rt", "open"),
    ("osf", "open"),
    ("xfrm", "open"),
    ("tunnel", "open"),
    (
        "objref",
        "as the object: counters and helpers change nothing, limits and quotas go both ways",
    ),
    ("queue", "ends in unknown: a program decides"),
    ("fwd", "forwarded"),
    ("match", "the matches of iptables, below"),
    ("target", "the targets of iptables, below"),
];

impl Scope<'_> {
    /// Reads a list of expressions.
    pub(super) fn list(&self, list: &[u8]) -> Vec<Expr> {
        let read = attributes(list).map(|element| self.one(element.payload));
        // What is cut short is no shorter rule.
        let rest = (!is_whole(list)).then(|| Expr::Unknown("a rule that is cut short".into()));
        read.chain(rest).collect()
    }

    /// Reads one. One that is not understood becomes [`Expr::Unknown`].
    pub(super) fn one(&self, expr: &[u8]) -> Expr {
        const NFTA_EXPR_NAME: u16 = 1;
        const NFTA_EXPR_DATA: u16 = 2;
        let all = Attrs(expr);
        let name = all.get(NFTA_EXPR_NAME).map(|a| a.text()).unwrap_or_default();
        let data = Attrs(all.get(NFTA_EXPR_DATA).map_or(&[], |a| a.payload));
        self.read(&name, data).unwrap_or(Expr::Unknown(Text::Owned(name)))
    }

    fn read(&self, name: &str, a: Attrs<'_>) -> Option<Expr> {
        let depends = |why: &'static str| Some(Expr::Depends { why: Text::Borrowed(why) });
        // `NFT_LIMIT_F_INV` and its like.
        let is_inverted = |kind: u16| a.number(kind).unwrap_or(0) & 1 != 0;
        match name {
            "immediate" => self.immediate(a),
            "payload" => payload(a),
            "meta" => meta(a),
            "ct" => ct(a),
            "cmp" => cmp(a),
            "range" => Some(Expr::Range {
                negated: a.number(2)? == 1,
                sreg: a.register(1)?,
                from: a.bytes(3)?,
                to: a.bytes(4)?,
            }),
            "bitwise" => bitwise(a),
            "byteorder" => Some(Expr::ByteOrder {
                sreg: a.register(1)?,
                dreg: a.register(2)?,
                len: a.number(4)? as u8,
                size: a.number(5)? as u8,
            }),
            "lookup" => self.lookup(a),
            "dynset" => self.dynset(a),
            "reject" => reject(a),
            "nat" => nat(a),
            "masq" => Some(Expr::Masquerade),
            "redir" => Some(Expr::Redirect {
                regs: NatRegs { addr: None, port: pair(a, 1, 2), netmap: false },
            }),
            "tproxy" => Some(Expr::Tproxy {
                family_v6: match a.number(1) {
                    Some(2) => Some(false),
                    Some(10) => Some(true),
                    _ => None,
                },
                addr: a.register(2),
                port: a.register(3),
            }),
            "socket" => Some(Expr::Socket {
                key: match a.number(1)? {
                    0 => SocketKey::Transparent,
                    1 => SocketKey::Mark,
                    2 => SocketKey::Wildcard,
                    _ => SocketKey::Other,
                },
                dreg: a.register(2)?,
            }),
            "fib" => fib(a),
            "notrack" => Some(Expr::Notrack),
            "exthdr" => exthdr(a),
            "synproxy" => Some(Expr::Synproxy),
            "counter" | "log" | "last" | "dup" | "flow_offload" => Some(Expr::Nothing),
            "limit" if is_inverted(5) => depends("whether a rate limit is exceeded"),
            "limit" => depends("a rate limit"),
            "quota" if is_inverted(2) => depends("whether a quota is exceeded"),
            "quota" => depends("a quota"),
            "connlimit" if is_inverted(2) => depends("whether there are too many connections"),
            "connlimit" => depends("a limit of connections"),
            "numgen" => Some(Expr::Number {
                dreg: a.register(1)?,
                modulus: a.number(2)?,
                offset: a.number(4).unwrap_or(0),
                why: Text::Borrowed(if a.number(3) == Some(1) {
                    "chance"
                } else {
                    "whose turn it is"
                }),
            }),
            "hash" => Some(Expr::Number {
                dreg: a.register(2)?,
                modulus: a.number(4)?,
                offset: a.number(6).unwrap_or(0),
                why: Text::Borrowed("a hash of the packet"),
            }),
            "rt" => obscure(a.register(1)?, "the route of the packet"),
            "osf" => obscure(a.register(1)?, "what the client's system is"),
            "xfrm" => obscure(a.register(1)?, "an IPsec policy"),
            "tunnel" => obscure(a.register(2)?, "a tunnel's key"),
            "objref" => objref(a),
            "queue" => Some(Expr::Queue { bypass: flags16(a, 3) & 1 != 0 }),
            "fwd" => Some(Expr::Forwarded),
            "match" => xt_expr(a)
                .map(|(name, revision, info)| xt::read(self.is_v6(), &name, revision, info)),
            "target" => xt_expr(a)
                .map(|(name, revision, info)| xt_target::read(self.is_v6(), &name, revision, info)),
            _ => None,
        }
    }

    fn is_v6(&self) -> bool {
        self.family == 10
    }

    fn immediate(&self, a: Attrs<'_>) -> Option<Expr> {
        const VERDICT_REGISTER: u32 = 0;
        let data = a.get(2)?.payload;
        if a.number(1)? == VERDICT_REGISTER {
            return self.verdict(data).map(Expr::Verdict);
        }
        Some(Expr::Immediate { dreg: a.register(1)?, data: value(data)?.to_vec() })
    }

    /// A verdict in `NFTA_DATA_VERDICT`.
    pub(super) fn verdict(&self, data: &[u8]) -> Option<Verdict> {
        const NFTA_DATA_VERDICT: u16 = 2;
        let verdict = Attrs(Attrs(data).get(NFTA_DATA_VERDICT)?.payload);
        let chain = || {
            let name = verdict.get(2)?.text();
            self.names.chains.get(&(self.family, self.table.to_owned(), name)).copied()
        };
        // What leads to a chain that was not read leads nowhere that is known.
        const NOWHERE: usize = usize::MAX;
        Some(match verdict.number(1)? as i32 {
            0 => Verdict::Drop,
            1 => Verdict::Accept,
            -1 | -2 => Verdict::Continue,
            -3 => Verdict::Jump(chain().unwrap_or(NOWHERE)),
            -4 => Verdict::Goto(chain().unwrap_or(NOWHERE)),
            -5 => Verdict::Return,
            code if code & 0xff == 3 => Verdict::Queue,
            _ => return None,
        })
    }

    fn set(&self, a: Attrs<'_>, kind: u16) -> Option<usize> {
        let name = a.get(kind)?.text();
        self.names.sets.get(&(self.family, self.table.to_owned(), name)).copied()
    }

    fn lookup(&self, a: Attrs<'_>) -> Option<Expr> {
        let verdicts = a.number(3) == Some(0);
        Some(Expr::Lookup {
            set: self.set(a, 1)?,
            sreg: a.register(2)?,
            negated: a.number(5).unwrap_or(0) & 1 != 0,
            dreg: a.register(3),
            verdicts,
        })
    }

    fn dynset(&self, a: Attrs<'_>) -> Option<Expr> {
        const DELETE: u32 = 2;
        let mut exprs = Vec::new();
        exprs.extend(a.get(7).map(|one| self.one(one.payload)));
        if let Some(more) = a.get(10) {
            exprs = self.list(more.payload);
        }
        Some(Expr::Dynset {
            set: self.set(a, 1)?,
            key: a.register(4)?,
            delete: a.number(3)? == DELETE,
            exprs,
            negated: a.number(9).unwrap_or(0) & 1 != 0,
        })
    }
}

fn payload(a: Attrs<'_>) -> Option<Expr> {
    let base = match a.number(2)? {
        0 => Header::Link,
        1 => Header::Network,
        2 => Header::Transport,
        3 => Header::Inner,
        _ => return None,
    };
    let (offset, len) = (a.number(3)? as u16, a.number(4)? as u8);
    Some(match a.register(1) {
        Some(dreg) => Expr::Payload { base, offset, len, dreg },
        None => Expr::PayloadSet { base, offset, len, sreg: a.register(5)? },
    })
}

fn meta(a: Attrs<'_>) -> Option<Expr> {
    let key = match a.number(2)? {
        0 => Meta::Len,
        1 => Meta::Protocol,
        2 => Meta::Priority,
        3 => Meta::Mark,
        4 => Meta::Iif,
        5 => Meta::Oif,
        6 => Meta::IifName,
        7 => Meta::OifName,
        8 | 36 => Meta::IifType,
        9 => Meta::OifType,
        10 => Meta::SkUid,
        11 => Meta::SkGid,
        12 => Meta::NfTrace,
        13 => Meta::RtClassId,
        14 => Meta::SecMark,
        15 => Meta::NfProto,
        16 => Meta::L4Proto,
        17 => Meta::BriIifName,
        18 => Meta::BriOifName,
        19 => Meta::PktType,
        20 => Meta::Cpu,
        21 => Meta::IifGroup,
        22 => Meta::OifGroup,
        23 => Meta::Cgroup,
        24 => Meta::Random,
        25 => Meta::SecPath,
        26 => Meta::IifKind,
        27 => Meta::OifKind,
        30..=32 => Meta::Time,
        33 => Meta::Sdif,
        34 => Meta::SdifName,
        other => Meta::Other(other as u8),
    };
    Some(match a.register(1) {
        Some(dreg) => Expr::Meta { key, dreg },
        None => Expr::MetaSet { key, sreg: a.register(3)? },
    })
}

fn ct(a: Attrs<'_>) -> Option<Expr> {
    let number = a.number(2)?;
    let (key, len) = match number {
        0 => (Ct::State, 4),
        1 => (Ct::Direction, 1),
        2 => (Ct::Status, 4),
        3 => (Ct::Mark, 4),
        4 => (Ct::SecMark, 4),
        6 => (Ct::Helper, 16),
        7 => (Ct::L3Proto, 1),
        8 => (Ct::Src, 16),
        9 => (Ct::Dst, 16),
        10 => (Ct::Protocol, 1),
        11 => (Ct::ProtoSrc, 2),
        12 => (Ct::ProtoDst, 2),
        13 => (Ct::Labels, 16),
        14..=16 => (Ct::Volume, 8),
        17 => (Ct::Zone, 2),
        19 => (Ct::Src, 4),
        20 => (Ct::Dst, 4),
        21 => (Ct::Src, 16),
        22 => (Ct::Dst, 16),
        other => (Ct::Other(other as u8), 4),
    };
    let reply = a.get(3).and_then(|d| d.u8()).map(|direction| direction == 1);
    Some(match a.register(1) {
        Some(dreg) => Expr::Ct { key, reply, len, dreg },
        None => Expr::CtSet { key, sreg: a.register(4)? },
    })
}

fn cmp(a: Attrs<'_>) -> Option<Expr> {
    let op = match a.number(2)? {
        0 => Cmp::Eq,
        1 => Cmp::Ne,
        2 => Cmp::Lt,
        3 => Cmp::Le,
        4 => Cmp::Gt,
        5 => Cmp::Ge,
        _ => return None,
    };
    Some(Expr::Cmp { op, sreg: a.register(1)?, data: a.bytes(3)? })
}

fn bitwise(a: Attrs<'_>) -> Option<Expr> {
    let (sreg, dreg) = (a.register(1)?, a.register(2)?);
    let len = a.number(3)? as u8;
    match a.number(6).unwrap_or(0) {
        0 => Some(Expr::Bitwise { sreg, dreg, mask: a.bytes(4)?, xor: a.bytes(5)? }),
        op @ (1 | 2) => {
            let by = <[u8; 4]>::try_from(a.bytes(7)?.as_slice()).ok()?;
            Some(Expr::Shift { sreg, dreg, len, left: op == 1, by: u32::from_ne_bytes(by) })
        }
        _ => None,
    }
}

fn reject(a: Attrs<'_>) -> Option<Expr> {
    let code = a.get(2).and_then(|code| code.u8()).unwrap_or(0);
    Some(Expr::Reject(match a.number(1)? {
        0 => RejectWith::Icmp(code),
        1 => RejectWith::Reset,
        2 => RejectWith::Icmpx(code),
        _ => return None,
    }))
}

/// A lowest and a highest value; the highest is the lowest if it is not given.
fn pair(a: Attrs<'_>, low: u16, high: u16) -> Option<(u8, u8)> {
    let low = a.register(low)?;
    Some((low, a.register(high).unwrap_or(low)))
}

fn nat(a: Attrs<'_>) -> Option<Expr> {
    const NETMAP: u32 = 1 << 6;
    let kind = match a.number(1)? {
        0 => NatKind::Snat,
        1 => NatKind::Dnat,
        _ => return None,
    };
    let netmap = a.number(7).unwrap_or(0) & NETMAP != 0;
    Some(Expr::Nat { kind, regs: NatRegs { addr: pair(a, 3, 4), port: pair(a, 5, 6), netmap } })
}

fn fib(a: Attrs<'_>) -> Option<Expr> {
    let flags = a.number(3)?;
    let result = match a.number(2)? {
        1 => FibResult::Oif,
        2 => FibResult::OifName,
        3 => FibResult::Type,
        _ => return None,
    };
    let has = |bit: u32| flags & 1 << bit != 0;
    let fib =
        Fib { result, daddr: has(1), mark: has(2), iif: has(3), oif: has(4), present: has(5) };
    Some(Expr::Fib { fib, dreg: a.register(1)? })
}

fn exthdr(a: Attrs<'_>) -> Option<Expr> {
    const TCPOPT: u32 = 1;
    let op = a.number(6).unwrap_or(0);
    let Some(dreg) = a.register(1) else {
        // It writes an option, such as the largest segment: that decides nothing.
        return Some(Expr::Nothing);
    };
    Some(Expr::ExtHdr {
        tcp: op == TCPOPT,
        kind: a.get(2)?.u8()?,
        offset: a.number(3)? as u16,
        len: a.number(4)? as u8,
        present: a.number(5).unwrap_or(0) & 1 != 0,
        dreg,
    })
}

fn obscure(dreg: u8, why: &'static str) -> Option<Expr> {
    Some(Expr::Obscure { dreg, len: 16, why: Text::Borrowed(why) })
}

/// A named object, or one that a map gives for a key.
fn objref(a: Attrs<'_>) -> Option<Expr> {
    let depends = |why: &'static str| Some(Expr::Depends { why: Text::Borrowed(why) });
    match a.number(1) {
        Some(1 | 3 | 7 | 8 | 9) => Some(Expr::Nothing),
        Some(2) => depends("a quota"),
        Some(4) => depends("a rate limit"),
        Some(5) => depends("the number of connections"),
        Some(10) => Some(Expr::Synproxy),
        Some(_) => None,
        None => depends("an object that a map gives"),
    }
}

fn flags16(a: Attrs<'_>, kind: u16) -> u16 {
    let bytes = a.get(kind).and_then(|f| f.payload.first_chunk().copied());
    bytes.map_or(0, u16::from_be_bytes)
}

/// Name, revision and binary part of a match or target of iptables.
fn xt_expr(a: Attrs<'_>) -> Option<(String, u8, &[u8])> {
    Some((a.get(1)?.text(), a.number(2)? as u8, a.get(3)?.payload))
}
