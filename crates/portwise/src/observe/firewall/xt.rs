//! The matches of iptables, in the binary form that nf_tables and the legacy tables share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{
    Text,
    linux::netfilter::{Cmp, Conntrack, DeviceName, End, Expr, Match},
};

/// The fields of a structure of the kernel. Multi-byte numbers are in the host's order.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    pub(super) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn u16(self, at: usize) -> Option<u16> {
        self.0.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
    }

    pub(super) fn be16(self, at: usize) -> Option<u16> {
        self.0.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
    }

    pub(super) fn u32(self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
    }

    /// An address in a field that has room for both families.
    pub(super) fn ip(self, at: usize, is_v6: bool) -> Option<IpAddr> {
        let field = self.0.get(at..)?;
        match is_v6 {
            true => field.first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into()),
            false => field.first_chunk::<4>().map(|b| Ipv4Addr::from(*b).into()),
        }
    }

    pub(super) fn text(self, at: usize, len: usize) -> Option<String> {
        let field = self.0.get(at..at + len)?;
        let text = field.split(|&b| b == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// A device and the mask that says how much of its name counts. `None` if any will do.
pub(super) fn device(name: &[u8], mask: &[u8]) -> Option<DeviceName> {
    let counts = mask.iter().take_while(|&&b| b == 0xff).count();
    if counts == 0 {
        return None;
    }
    let text: Vec<u8> = name.iter().take(counts).copied().take_while(|&b| b != 0).collect();
    // With the name's end the whole name counts.
    let prefix = text.len() == counts;
    Some(DeviceName { name: Text::Owned(String::from_utf8_lossy(&text).into_owned()), prefix })
}

/// What the matches of iptables are read as, for the table in the documentation.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("tcp", "yes; TCP options are open"),
    ("udp", "yes"),
    ("icmp, icmp6", "yes"),
    ("conntrack, state", "yes; how long a connection is remembered is open"),
    ("addrtype", "yes"),
    ("multiport", "yes"),
    ("mark, connmark", "yes"),
    ("owner", "yes, users and groups"),
    ("set", "yes; packet and byte counters are open"),
    ("iprange", "yes"),
    ("physdev", "yes, where the port of the bridge is known"),
    ("pkttype", "yes"),
    ("ttl, hl", "yes; the hop limit of a packet off the wire is open"),
    ("dscp, tos", "yes, for a client that sets none"),
    ("socket", "yes"),
    ("rpfilter", "yes"),
    ("policy", "yes, for packets without IPsec"),
    ("devgroup", "yes"),
    ("mac", "yes, where the neighbour is known"),
    ("rt, frag, hbh, dst, ah, esp, mh, sctp, dccp, ipcomp", "never: no plain packet has it"),
    ("comment", "always matches"),
    ("limit, hashlimit, statistic, recent, connlimit, quota, time, …", "both ways"),
    ("string, u32, bpf, length, tcpmss, …", "both ways"),
];

/// Reads a match. What is not understood is a condition with both outcomes, never none.
pub(super) fn read(is_v6: bool, name: &str, revision: u8, info: &[u8]) -> Expr {
    if name == "comment" {
        return Expr::Nothing;
    }
    let known = known(is_v6, name, revision, Fields(info));
    let read = known.unwrap_or_else(|| Match::Depends(open(name)));
    Expr::Match(Box::new(read))
}

/// What decides a match that is not modelled.
fn open(name: &str) -> Text {
    Text::Borrowed(match name {
        "limit" | "hashlimit" | "rateest" => "a rate limit",
        "statistic" | "cluster" => "chance",
        "recent" => "what the client did before",
        "connlimit" => "the number of connections",
        "connbytes" | "quota" | "nfacct" => "how much was sent before",
        "time" => "the time",
        "string" | "u32" | "bpf" | "length" | "ecn" | "tcpmss" => "the packet's content",
        "cgroup" => "the sender's cgroup",
        "osf" => "what the client's system is",
        "cpu" => "which processor takes it",
        "helper" => "a helper of connection tracking",
        "realm" => "the realm of the route",
        "connlabel" => "a label of the connection",
        other => return Text::Owned(format!("the match `{other}`, which is not known here")),
    })
}

fn known(is_v6: bool, name: &str, revision: u8, f: Fields<'_>) -> Option<Match> {
    Some(match name {
        "tcp" => {
            let inverted = f.u8(11)?;
            let mask = f.u8(9)?;
            Match::Ports {
                tcp: true,
                src: (f.u16(0)?, f.u16(2)?, inverted & 1 != 0),
                dst: (f.u16(4)?, f.u16(6)?, inverted & 2 != 0),
                flags: (mask != 0).then_some((mask, f.u8(10)?, inverted & 4 != 0)),
                option: f.u8(8)? != 0,
            }
        }
        "udp" => Match::Ports {
            tcp: false,
            src: (f.u16(0)?, f.u16(2)?, f.u8(8)? & 1 != 0),
            dst: (f.u16(4)?, f.u16(6)?, f.u8(8)? & 2 != 0),
            flags: None,
            option: false,
        },
        "icmp" | "icmp6" => {
            Match::Icmp { kind: f.u8(0)?, code: (f.u8(1)?, f.u8(2)?), negated: f.u8(3)? & 1 != 0 }
        }
        "conntrack" => Match::Conntrack(conntrack(is_v6, revision, f)?),
        "state" => Match::State(f.u32(0)?),
        "addrtype" => addrtype(revision, f)?,
        "multiport" => multiport(revision, f)?,
        "mark" => Match::Mark { mark: f.u32(0)?, mask: f.u32(4)?, negated: f.u8(8)? != 0 },
        "connmark" => Match::Connmark { mark: f.u32(0)?, mask: f.u32(4)?, negated: f.u8(8)? != 0 },
        "owner" if revision >= 1 => {
            let (wanted, inverted) = (f.u8(16)?, f.u8(17)?);
            // Supplementary groups are not modelled.
            if wanted & 8 != 0 {
                return None;
            }
            let id = |bit: u8, at: usize| {
                let range = (f.u32(at)?, f.u32(at + 4)?, inverted & bit != 0);
                Some((wanted & bit != 0).then_some(range))
            };
            Match::Owner {
                uid: id(1, 0)?,
                gid: id(2, 8)?,
                exists: (wanted & 4 != 0).then_some(inverted & 4 == 0),
            }
        }
        "set" if revision >= 1 => {
            let (dimensions, flags) = (f.u8(2)?, f.u8(3)?);
            if counts(revision, f)? {
                return Some(Match::Depends(Text::Borrowed("the counters of a set")));
            }
            Match::Set {
                set: f.u16(0)?,
                src: (1..=dimensions).map(|d| flags >> d & 1 != 0).collect(),
                negated: flags & 1 != 0,
            }
        }
        "iprange" if revision >= 1 => {
            let flags = f.u8(64)?;
            let range = |bit: u8, inverted: u8, at: usize| {
                let range = (f.ip(at, is_v6)?, f.ip(at + 16, is_v6)?, flags & inverted != 0);
                Some((flags & bit != 0).then_some(range))
            };
            Match::IpRange { src: range(1, 16, 0)?, dst: range(2, 32, 32)? }
        }
        "physdev" => physdev(f)?,
        "pkttype" => Match::PktType { kind: f.u32(0)? as u8, negated: f.u32(4)? != 0 },
        "ttl" | "hl" => {
            let op = match f.u8(0)? {
                0 => Cmp::Eq,
                1 => Cmp::Ne,
                2 => Cmp::Lt,
                3 => Cmp::Gt,
                _ => return None,
            };
            Match::Ttl { op, value: f.u8(1)? }
        }
        "dscp" => Match::Tos { mask: 0xfc, value: f.u8(0)? << 2, negated: f.u8(1)? != 0 },
        "tos" if revision >= 1 => {
            Match::Tos { mask: f.u8(0)?, value: f.u8(1)?, negated: f.u8(2)? != 0 }
        }
        "socket" => {
            let flags = if revision == 0 { 0 } else { f.u8(0)? };
            Match::Socket {
                transparent: flags & 1 != 0,
                nowildcard: flags & 2 != 0,
                restore_mark: flags & 4 != 0,
            }
        }
        "rpfilter" => {
            let flags = f.u8(0)?;
            Match::RpFilter {
                loose: flags & 1 != 0,
                mark: flags & 2 != 0,
                accept_local: flags & 4 != 0,
                inverted: flags & 8 != 0,
            }
        }
        "policy" => {
            const NONE: u16 = 4;
            // Behind four elements of 76 bytes.
            let flags = f.u16(304)?;
            Match::Policy { ipsec: flags & NONE == 0 }
        }
        "devgroup" => {
            let flags = f.u32(0)?;
            let group = |bit: u32, inverted: u32, at: usize| {
                let group = (f.u32(at)?, f.u32(at + 4)?, flags & inverted != 0);
                Some((flags & bit != 0).then_some(group))
            };
            Match::DevGroup { iif: group(1, 2, 4)?, oif: group(4, 8, 12)? }
        }
        "mac" => {
            let addr = *f.0.first_chunk::<6>()?;
            Match::Mac { addr, negated: f.u32(8)? != 0 }
        }
        "rt" | "frag" | "hbh" | "dst" | "ah" | "esp" | "mh" | "sctp" | "dccp" | "ipcomp" => {
            Match::Never
        }
        _ => return None,
    })
}

/// Whether a match of a set asks for its counters: then it says how they compare.
fn counts(revision: u8, f: Fields<'_>) -> Option<bool> {
    match revision {
        // Two of an operation in a byte and a 64-bit value, aligned.
        3 => Some(f.u8(8)? != 0 || f.u8(24)? != 0),
        4.. => Some(f.u8(8 + 8)? != 0 || f.u8(24 + 8)? != 0),
        _ => Some(false),
    }
}

fn addrtype(revision: u8, f: Fields<'_>) -> Option<Match> {
    let (src, dst) = (f.u16(0)?, f.u16(2)?);
    let kind = |mask: u16, negated: bool| (mask != 0).then_some((mask, negated));
    Some(if revision == 0 {
        Match::AddrType {
            src: kind(src, f.u32(4)? != 0),
            dst: kind(dst, f.u32(8)? != 0),
            iif: false,
            oif: false,
        }
    } else {
        let flags = f.u32(4)?;
        Match::AddrType {
            src: kind(src, flags & 1 != 0),
            dst: kind(dst, flags & 2 != 0),
            iif: flags & 4 != 0,
            oif: flags & 8 != 0,
        }
    })
}

fn multiport(revision: u8, f: Fields<'_>) -> Option<Match> {
    const MOST: usize = 15;
    let end = match f.u8(0)? {
        0 => End::Src,
        1 => End::Dst,
        2 => End::Either,
        _ => return None,
    };
    let count = usize::from(f.u8(1)?);
    if count > MOST {
        return None;
    }
    let port = |i: usize| f.u16(2 + 2 * i);
    let mut ranges = Vec::new();
    let mut i = 0;
    while i < count {
        let low = port(i)?;
        // A port that starts a range is marked; the next one ends it.
        if revision > 0 && f.u8(32 + i)? != 0 && i + 1 < count {
            i += 1;
            ranges.push((low, port(i)?));
        } else {
            ranges.push((low, low));
        }
        i += 1;
    }
    Some(Match::Multiport { end, ranges, negated: revision > 0 && f.u8(47)? != 0 })
}

fn physdev(f: Fields<'_>) -> Option<Match> {
    const NAME: usize = 16;
    let name = |at: usize| Some((f.0.get(at..at + NAME)?, f.0.get(at + NAME..at + 2 * NAME)?));
    let (inverted, asked) = (f.u8(4 * NAME)?, f.u8(4 * NAME + 1)?);
    let named = |bit: u8, at: usize| {
        let (name, mask) = name(at)?;
        // An empty prefix is any device.
        let any = || DeviceName { name: Text::Borrowed(""), prefix: true };
        let device = (device(name, mask).unwrap_or_else(any), inverted & bit != 0);
        Some((asked & bit != 0).then_some(device))
    };
    let flag = |bit: u8| (asked & bit != 0).then_some(inverted & bit == 0);
    Some(Match::Physdev {
        iif: named(1, 0)?,
        oif: named(2, 2 * NAME)?,
        is_in: flag(8),
        is_out: flag(16),
        is_bridged: flag(4),
    })
}

fn conntrack(is_v6: bool, revision: u8, f: Fields<'_>) -> Option<Conntrack> {
    if revision == 0 {
        return None;
    }
    let (wanted, inverted) = (f.u16(146)?, f.u16(148)?);
    let has = |bit: u16| wanted & 1 << bit != 0;
    let not = |bit: u16| inverted & 1 << bit != 0;
    let (state, status) = match revision {
        1 => (u32::from(f.u8(150)?), u32::from(f.u8(151)?)),
        _ => (u32::from(f.u16(150)?), u32::from(f.u16(152)?)),
    };
    let mut read = Conntrack {
        state: has(0).then_some((state, not(0))),
        protocol: has(1).then_some((f.u16(136)? as u8, not(1))),
        status: has(6).then_some((status, not(6))),
        expires: has(7),
        reply: has(12).then_some(not(12)),
        ..Conntrack::default()
    };
    // Original source and destination, reply source and destination.
    for (nth, (reply, is_src)) in
        [(false, true), (false, false), (true, true), (true, false)].into_iter().enumerate()
    {
        let (bit, at) = (2 + nth as u16, 32 * nth);
        if has(bit) {
            read.addrs.push((reply, is_src, f.ip(at, is_v6)?, f.ip(at + 16, is_v6)?, not(bit)));
        }
        let (bit, at) = (8 + nth as u16, 138 + 2 * nth);
        if has(bit) {
            let (low, high) = match revision {
                3.. => (f.u16(at)?, f.u16(154 + 2 * nth)?),
                _ => (f.be16(at)?, f.be16(at)?),
            };
            read.ports.push((reply, is_src, low, high, not(bit)));
        }
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(name: &str, revision: u8, info: &[u8]) -> Match {
        match read(false, name, revision, info) {
            Expr::Match(read) => *read,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ports_of_tcp() {
        let mut info = [0; 12];
        info[2..4].copy_from_slice(&u16::MAX.to_ne_bytes());
        info[4..6].copy_from_slice(&80u16.to_ne_bytes());
        info[6..8].copy_from_slice(&90u16.to_ne_bytes());
        info[11] = 2;
        let Match::Ports { tcp, src, dst, flags, option } = matched("tcp", 0, &info) else {
            panic!()
        };
        assert_eq!((tcp, src, dst), (true, (0, u16::MAX, false), (80, 90, true)));
        assert_eq!((flags, option), (None, false));
    }

    #[test]
    fn ranges_of_multiport() {
        let mut info = [0; 48];
        (info[0], info[1]) = (1, 3);
        for (i, port) in [22u16, 80, 90].iter().enumerate() {
            info[2 + 2 * i..4 + 2 * i].copy_from_slice(&port.to_ne_bytes());
        }
        info[33] = 1;
        let Match::Multiport { ranges, negated, .. } = matched("multiport", 1, &info) else {
            panic!()
        };
        assert_eq!((ranges, negated), (vec![(22, 22), (80, 90)], false));
    }

    #[test]
    fn what_is_short_or_strange_is_open() {
        for (name, info) in [("tcp", &[0; 3][..]), ("multiport", &[1, 99]), ("nonsense", &[])] {
            assert!(matches!(matched(name, 1, info), Match::Depends(_)), "{name}");
        }
        assert_eq!(read(false, "comment", 0, b"hello"), Expr::Nothing);
    }

    #[test]
    fn how_much_of_a_devices_name_counts() {
        let name = |text: &str| {
            let mut bytes = [0; 16];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            bytes
        };
        let mask = |n: usize| std::array::from_fn::<u8, 16, _>(|i| if i < n { 0xff } else { 0 });
        let exact = device(&name("eth0"), &mask(5)).unwrap();
        assert!(exact.is("eth0") && !exact.is("eth01"));
        let prefix = device(&name("eth"), &mask(3)).unwrap();
        assert!(prefix.is("eth0") && !prefix.is("br0"));
        assert_eq!(device(&name(""), &mask(0)), None);
    }
}
