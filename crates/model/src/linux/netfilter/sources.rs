//! The senders that rules tell apart: whom one address stands for says nothing of those.

use alloc::{format, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Chain, Dimension, Expr, Header, Match, Part, Reg, Ruleset, TableFamily};
use crate::Text;

/// Addresses that a rule names as sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// One of them that a host may have.
    pub ip: IpAddr,
    /// All of them, as they are written: an address, a prefix, a range.
    pub written: Text,
}

/// Of a set or list, so many are looked at.
const MOST_OF_SET: usize = 16;

/// Where a register has bytes of the source address, under which mask.
struct Loaded {
    reg: Reg,
    is_v6: bool,
    mask: Option<Vec<u8>>,
}

impl Ruleset {
    /// The first sources that rules name, each once, in the order of the rules: so many at most.
    /// And whether these are all.
    pub fn sources(&self, most: usize) -> (Vec<Source>, bool) {
        let mut found: Vec<Source> = Vec::new();
        let mut all = true;
        for chain in &self.chains {
            for rule in &chain.rules {
                let here = self.of_rule(chain, &rule.exprs);
                // A set that is full to here may have more.
                all &= here.len() < MOST_OF_SET;
                for source in here.into_iter().flatten() {
                    if found.iter().any(|known| known.written == source.written) {
                        continue;
                    }
                    if found.len() == most {
                        return (found, false);
                    }
                    found.push(source);
                }
            }
        }
        (found, all)
    }

    fn of_rule(&self, chain: &Chain, exprs: &[Expr]) -> Vec<Option<Source>> {
        let mut found = Vec::new();
        let mut loaded: Vec<Loaded> = Vec::new();
        for expr in exprs {
            match expr {
                Expr::Payload { base, offset, dreg, .. } => {
                    loaded.retain(|l| l.reg != *dreg);
                    let is_v6 = match (*base, *offset) {
                        (Header::Network, 12) if chain.family != TableFamily::Ip6 => false,
                        (Header::Network, 8) if chain.family != TableFamily::Ip => true,
                        _ => continue,
                    };
                    loaded.push(Loaded { reg: *dreg, is_v6, mask: None });
                }
                Expr::Bitwise { sreg, dreg, mask, xor } => {
                    let from = loaded.iter().position(|l| l.reg == *sreg);
                    let Some(at) = from.filter(|_| xor.iter().all(|&b| b == 0)) else { continue };
                    loaded[at].reg = *dreg;
                    loaded[at].mask = Some(mask.clone());
                }
                Expr::Cmp { sreg, data, .. } => {
                    let from = loaded.iter().find(|l| l.reg == *sreg);
                    found.extend(from.map(|l| l.prefix(data)));
                }
                Expr::Range { sreg, from: low, to: high, .. } => {
                    let from = loaded.iter().find(|l| l.reg == *sreg);
                    found.extend(
                        from.map(|l| range(address(l.is_v6, low)?, address(l.is_v6, high)?)),
                    );
                }
                Expr::Lookup { set, sreg, .. } => {
                    for l in &loaded {
                        found.extend(self.of_set(*set, l, *sreg));
                    }
                }
                Expr::Match(wanted) => found.extend(self.of_match(wanted)),
                _ => {}
            }
        }
        found
    }

    /// What a set names where the bytes at `l` are a field of its key, which begins at `sreg`.
    fn of_set(&self, set: usize, l: &Loaded, sreg: Reg) -> Vec<Option<Source>> {
        let (Some(set), Some(start)) = (self.sets.get(set), l.reg.checked_sub(sreg)) else {
            return Vec::new();
        };
        let start = usize::from(start);
        let len = if l.is_v6 { 16 } else { 4 };
        if start + len > set.key_len.next_multiple_of(4) {
            return Vec::new();
        }
        let part = |bytes: &[u8]| address(l.is_v6, bytes.get(start..start + len)?);
        let elements = set.elements.iter().take(MOST_OF_SET);
        elements
            .map(|element| match &element.end {
                Some(end) => range(part(&element.key)?, part(end)?),
                None => part(&element.key).and_then(|ip| range(ip, ip)),
            })
            .collect()
    }

    fn of_match(&self, wanted: &Match) -> Vec<Option<Source>> {
        match wanted {
            Match::Ip(header) => header
                .src
                .iter()
                .map(|(net, mask, _)| match mask {
                    IpAddr::V4(mask) => source(*net, mask.to_bits().count_ones()),
                    IpAddr::V6(mask) => source(*net, mask.to_bits().count_ones()),
                })
                .collect(),
            Match::IpRange { src: Some((low, high, _)), .. } => Vec::from([range(*low, *high)]),
            Match::Set { set, src, .. } => {
                let Some(set) = self.ipsets.get(set) else { return Vec::new() };
                // The first address that is looked up at the source.
                let is_source = |(at, d): &(usize, &Dimension)| {
                    **d == Dimension::Net && src.get(*at).copied().unwrap_or(false)
                };
                let Some((at, _)) = set.dimensions.iter().enumerate().find(is_source) else {
                    return Vec::new();
                };
                let entries = set.entries.iter().take(MOST_OF_SET);
                entries
                    .map(|entry| match entry.parts.get(at)? {
                        Part::Net(ip, prefix) => source(*ip, u32::from(*prefix)),
                        Part::Range(low, high) => range(*low, *high),
                        _ => None,
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Loaded {
    /// What equals `data`: nft(8) loads only as many bytes as a prefix has.
    fn prefix(&self, data: &[u8]) -> Option<Source> {
        let bits = match &self.mask {
            Some(mask) => mask.iter().map(|byte| byte.count_ones()).sum(),
            None => 8 * u32::try_from(data.len()).ok()?,
        };
        source(address(self.is_v6, data)?, bits)
    }
}

/// An address of which the first bytes are known.
fn address(is_v6: bool, bytes: &[u8]) -> Option<IpAddr> {
    fn filled<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        let mut all = [0; N];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(all)
    }
    Some(match is_v6 {
        true => Ipv6Addr::from(filled::<16>(bytes)?).into(),
        false => Ipv4Addr::from(filled::<4>(bytes)?).into(),
    })
}

fn source(net: IpAddr, prefix: u32) -> Option<Source> {
    let length = if net.is_ipv4() { 32 } else { 128 };
    let written = match prefix == length {
        true => format!("{net}"),
        false => format!("{net}/{prefix}"),
    };
    // The address of the network itself is nobody's, where it has others.
    let ip = match net {
        _ if prefix + 1 >= length => net,
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() | 1).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() | 1).into(),
    };
    can_send(ip).then_some(Source { ip, written: written.into() })
}

/// From one address to another; a prefix, if that is what it is.
fn range(low: IpAddr, high: IpAddr) -> Option<Source> {
    let (bits, length) = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => (u128::from(low.to_bits() ^ high.to_bits()), 32),
        (IpAddr::V6(low), IpAddr::V6(high)) => (low.to_bits() ^ high.to_bits(), 128),
        _ => return None,
    };
    let last = match low {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    if (bits & (bits.wrapping_add(1))) == 0 && last & bits == 0 {
        return source(low, length - bits.count_ones());
    }
    can_send(low).then_some(Source { ip: low, written: format!("{low}-{high}").into() })
}

fn can_send(ip: IpAddr) -> bool {
    let first = match ip {
        IpAddr::V4(ip) => ip.octets()[0],
        IpAddr::V6(_) => 1,
    };
    first != 0 && first < 224 && !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified()
}
