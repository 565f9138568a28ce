//! Sets of `ipset(8)`.

use alloc::{collections::BTreeMap, vec::Vec};
use core::net::IpAddr;

use super::Tri;
use crate::{Text, linux::route::covers};

/// One dimension of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Dimension {
    /// An address or network.
    Net,
    /// A port, with its protocol.
    Port,
    /// A device.
    Iface,
    /// The packet's mark.
    Mark,
    /// A hardware address.
    Mac,
}

/// What an entry has in one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Part {
    /// A network, with the length of its prefix.
    Net(IpAddr, u8),
    /// Addresses from one to another.
    Range(IpAddr, IpAddr),
    /// Ports of a protocol (0 for any) from one to another.
    Port(u8, u16, u16),
    /// A device.
    Iface(Text),
    /// A mark under a mask.
    Mark(u32),
    /// Something that cannot be compared here.
    Other,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// What it has in each dimension.
    pub parts: Vec<Part>,
    /// Whether what it covers is *not* in the set.
    pub nomatch: bool,
}

/// A set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IpSet {
    /// Its name.
    pub name: Text,
    /// Whether its addresses are IPv6.
    pub is_v6: bool,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// The indexes of its members, of a set of sets.
    pub members: Vec<u16>,
    /// Whether it is a set of sets.
    pub is_list: bool,
    /// The mask put on marks.
    pub mark_mask: u32,
}

/// What a packet shows in one dimension of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown<'a> {
    /// Its address at that end.
    pub ip: IpAddr,
    /// Its port at that end.
    pub port: super::Port,
    /// Its protocol.
    pub protocol: u8,
    /// The device at that end.
    pub device: &'a str,
    /// Its mark.
    pub mark: u32,
}

/// Whether a packet is in the set `index`. `shown` has what it shows in each dimension asked.
pub(super) fn contains(
    sets: &BTreeMap<u16, IpSet>,
    index: u16,
    shown: &[Shown<'_>],
    depth: u8,
) -> Tri {
    let Some(set) = sets.get(&index) else {
        return Tri::Depends("a set that could not be read".into());
    };
    if set.is_list {
        let mut any = Tri::No;
        for &member in set.members.iter().filter(|_| depth < 8) {
            any = any.or(|| contains(sets, member, shown, depth + 1));
        }
        return any;
    }
    // A look-up with fewer dimensions than the set has finds nothing.
    if shown.len() < set.dimensions.len()
        || shown.first().is_some_and(|s| set.has_ips() && s.ip.is_ipv6() != set.is_v6)
    {
        return Tri::No;
    }
    // Of networks the narrowest decides.
    let mut best: Option<(u16, bool)> = None;
    let mut open = None;
    for entry in &set.entries {
        match holds(set, entry, shown) {
            Tri::Yes => {
                let narrow = entry.parts.iter().map(width).sum();
                if best.is_none_or(|(n, _)| narrow > n) {
                    best = Some((narrow, !entry.nomatch));
                }
            }
            Tri::No => {}
            Tri::Depends(why) => open = Some(why),
        }
    }
    match (best, open) {
        (Some((_, is_in)), None) => Tri::from(is_in),
        (Some((_, true)), Some(_)) => Tri::Yes,
        (None, None) => Tri::No,
        (_, Some(why)) => Tri::Depends(why),
    }
}

impl IpSet {
    fn has_ips(&self) -> bool {
        self.dimensions.contains(&Dimension::Net)
    }
}

fn width(part: &Part) -> u16 {
    match part {
        Part::Net(_, prefix) => u16::from(*prefix),
        _ => 128,
    }
}

fn holds(set: &IpSet, entry: &Entry, shown: &[Shown<'_>]) -> Tri {
    let mut all = Tri::Yes;
    for (part, shown) in entry.parts.iter().zip(shown) {
        let one = || match part {
            Part::Net(net, prefix) => Tri::from(covers(*net, *prefix, shown.ip)),
            Part::Range(low, high) => Tri::from((low..=high).contains(&&shown.ip)),
            Part::Port(protocol, low, high) => {
                Tri::from(*protocol == 0 || *protocol == shown.protocol)
                    .and(|| shown.port.within(*low, *high))
            }
            Part::Iface(name) => Tri::from(name == shown.device),
            Part::Mark(mark) => Tri::from(shown.mark & set.mark_mask == *mark),
            Part::Other => Tri::Depends("a hardware address".into()),
        };
        all = all.and(one);
    }
    all
}
