//! Facts about one machine and one of its network namespaces.

use alloc::{collections::BTreeMap, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

use crate::{Fact, FactKey, Feature, Kernel, Missing, Sockets, Text, linux::Buckets};

/// The facts. Nothing here is a guess: what was not read is [`Fact::Missing`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Host {
    /// The kernel that answers.
    pub kernel: Kernel,
    /// Features that a probe decided; a probe outranks the version.
    pub probed: Vec<Probed>,
    /// The interfaces and their addresses.
    pub interfaces: Fact<Interfaces>,
    /// The routes of the table `local` (Linux).
    pub local_routes: Fact<LocalRoutes>,
    /// Numeric sysctls by name.
    pub sysctls: BTreeMap<Text, Fact<i64>>,
    /// Where automatic ports come from.
    pub local_ports: Fact<LocalPorts>,
    /// The sockets.
    pub sockets: Sockets,
    /// What the kernel remembers about sharing TCP ports (Linux).
    pub buckets: Fact<Buckets>,
    /// The gates that answer by rules nobody can read from here, such as a sandbox or a third
    /// party's socket filter, by the names the kernel's rules give them.
    pub policies: Fact<Vec<Text>>,
}

impl Host {
    /// A host of which nothing but the kernel is known yet.
    pub fn not_asked(kernel: Kernel) -> Host {
        Host {
            kernel,
            probed: Vec::new(),
            interfaces: Fact::not_asked(FactKey::Interfaces),
            local_routes: Fact::not_asked(FactKey::LocalRoutes),
            sysctls: BTreeMap::new(),
            local_ports: Fact::not_asked(FactKey::LocalPorts),
            sockets: Sockets::not_asked(),
            buckets: Fact::not_asked(FactKey::BindBucket(0)),
            policies: Fact::not_asked(FactKey::Policies),
        }
    }

    /// Returns the sysctl called `name`.
    pub fn sysctl(&self, name: &'static str) -> Result<i64, Missing> {
        match self.sysctls.get(name) {
            Some(fact) => fact.get().copied(),
            None => Err(Missing::not_asked(FactKey::Sysctl(Text::Borrowed(name)))),
        }
    }

    /// Returns whether the kernel has `feature`: as probed, else by its version. `None` if neither
    /// is known.
    pub fn has(&self, feature: &Feature) -> Option<bool> {
        let probed = self.probed.iter().find(|p| p.feature == feature.id);
        probed.map_or_else(|| self.kernel.has(feature), |p| Some(p.has))
    }

    /// Sets the sysctl called `name`, read from `from`.
    pub fn set_sysctl(&mut self, name: impl Into<Text>, value: i64, from: impl Into<Text>) {
        self.sysctls.insert(name.into(), Fact::known(value, from));
    }
}

/// A feature as a probe found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Probed {
    /// The id of the feature.
    pub feature: Text,
    /// Whether the kernel has it.
    pub has: bool,
    /// How it was found out.
    pub from: Text,
}

/// The interfaces of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interfaces {
    /// Those that are known.
    pub list: Vec<Interface>,
    /// Whether there are no others and they have no other address.
    pub complete: bool,
}

impl Interfaces {
    /// Returns the interface with this index.
    pub fn by_index(&self, index: u32) -> Option<&Interface> {
        self.list.iter().find(|i| i.index == index)
    }

    /// Returns the interface with this name.
    pub fn by_name(&self, name: &str) -> Option<&Interface> {
        self.list.iter().find(|i| i.name == name)
    }

    /// Returns every address with its interface.
    pub fn addresses(&self) -> impl Iterator<Item = (&Interface, &IfAddr)> {
        self.list.iter().flat_map(|i| i.addresses.iter().map(move |a| (i, a)))
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interface {
    /// Its index, the number in a zone.
    pub index: u32,
    /// Its name.
    pub name: Text,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// Whether it is administratively up.
    pub up: bool,
    /// The index of the VRF it belongs to, 0 for none (Linux).
    pub vrf: u32,
    /// Its addresses.
    pub addresses: Vec<IfAddr>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IfAddr {
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix, in bits.
    pub prefix: u8,
    /// The broadcast address, if it has one.
    pub broadcast: Option<Ipv4Addr>,
    /// Why it may not be used yet or any more.
    pub state: AddrState,
}

/// Whether an address may be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum AddrState {
    /// It may.
    #[default]
    Usable,
    /// Duplicate address detection runs, or found a duplicate.
    Tentative,
    /// An IPv6 anycast address.
    Anycast,
    /// The link it belongs to is gone (XNU).
    Detached,
    /// Reserved for translation (XNU's CLAT46).
    Clat46,
}

/// The routes of Linux's table `local`, one family, IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalRoutes {
    /// Those that are known.
    pub list: Vec<LocalRoute>,
    /// Whether there are no others.
    pub complete: bool,
    /// Whether the table exists: it does not before the first address comes.
    pub exists: bool,
}

impl LocalRoutes {
    /// Returns the route with the longest prefix that covers `ip`.
    pub fn lookup(&self, ip: Ipv4Addr) -> Option<&LocalRoute> {
        self.list.iter().filter(|r| r.covers(ip)).max_by_key(|r| r.prefix)
    }
}

/// One route of the table `local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalRoute {
    /// What it makes of an address.
    pub kind: RouteKind,
    /// Network.
    pub dst: Ipv4Addr,
    /// Length of its prefix, in bits.
    pub prefix: u8,
    /// The interface index it leads to.
    pub device: u32,
}

impl LocalRoute {
    /// Returns whether the route covers `ip`.
    pub fn covers(&self, ip: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        ip.to_bits() & mask == self.dst.to_bits() & mask
    }
}

/// What a route makes of an address, as `rtnetlink(7)` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum RouteKind {
    /// `RTN_LOCAL`: the host's own.
    Local,
    /// `RTN_BROADCAST`.
    Broadcast,
    /// Any other: not the host's.
    Other,
}

/// Where automatic ports come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalPorts {
    /// The lowest port of the range.
    pub low: u16,
    /// The highest port of the range.
    pub high: u16,
    /// Ranges, both ends included, that are never chosen (Linux: `ip_local_reserved_ports`).
    pub reserved: Vec<(u16, u16)>,
}
