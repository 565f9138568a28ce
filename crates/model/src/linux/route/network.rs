//! What routing knows: devices, addresses, tables, policy rules, neighbours.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::net::IpAddr;

use super::{PolicyRule, Routes};
use crate::{Family, Text};

/// A network device, with the switches that decide about packets it receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Device {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: Text,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it is a loopback device.
    pub loopback: bool,
    /// `ARPHRD_*`: 1 Ethernet, 772 loopback.
    pub hardware: u16,
    /// Its group.
    pub group: u32,
    /// Its kind, such as `veth` or `bridge`; empty for hardware and `lo`.
    pub kind: Text,
    /// The bridge, bond or VRF it belongs to; 0 if none.
    pub master: u32,
    /// The routing table, if it is a VRF.
    pub vrf_table: Option<u32>,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// The other end's namespace, if it is one end of a pair that leads there.
    pub peer_netns: Option<u32>,
    /// Whether it is a port of a bridge that sends frames back where they came from.
    pub hairpin: bool,
    /// Whether IPv4 packets it receives may be forwarded.
    pub forwarding: bool,
    /// `rp_filter`, without that of `all`.
    pub rp_filter: u8,
    /// `accept_local`, with that of `all`.
    pub accept_local: bool,
    /// `route_localnet`, with that of `all`.
    pub route_localnet: bool,
    /// `src_valid_mark`, with that of `all`.
    pub src_valid_mark: bool,
    /// Programs on it that see packets and cannot be read, in words.
    pub opaque: Vec<Text>,
}

/// An address of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix, in bits.
    pub prefix: u8,
    /// The index of its device.
    pub device: u32,
}

impl Address {
    /// Whether `ip` is in the same network.
    pub fn is_neighbour(&self, ip: IpAddr) -> bool {
        covers(self.ip, self.prefix, ip)
    }
}

/// Switches of the namespace as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Switches {
    /// `net.ipv4.conf.all.rp_filter`.
    pub rp_filter: u8,
    /// `net.ipv6.conf.all.forwarding`.
    pub forwarding6: bool,
    /// `net.ipv4.ip_nonlocal_bind` and its like decide nothing here; this is
    /// `net.ipv4.fwmark_reflect` or `tcp_fwmark_accept`: answers carry the mark of what they answer.
    pub mark_answers: bool,
    /// `net.bridge.bridge-nf-call-iptables`; `false` too where the module is not loaded.
    pub bridge_calls_ip: bool,
    /// `net.bridge.bridge-nf-call-ip6tables`.
    pub bridge_calls_ip6: bool,
    /// `net.ipv4.tcp_l3mdev_accept`.
    pub tcp_l3mdev_accept: bool,
    /// `net.ipv4.udp_l3mdev_accept`.
    pub udp_l3mdev_accept: bool,
    /// Whether processes are in cgroups of `net_cls`; elsewhere their sockets are of class 0.
    pub classes: bool,
}

/// Everything about the network of a namespace that decides where packets go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Network {
    /// The devices.
    pub devices: Vec<Device>,
    /// The addresses.
    pub addresses: Vec<Address>,
    /// The routing tables.
    pub routes: Routes,
    /// The policy rules of IPv4, first consulted first.
    pub rules4: Vec<PolicyRule>,
    /// The policy rules of IPv6.
    pub rules6: Vec<PolicyRule>,
    /// Which hardware address a neighbour has.
    pub neighbours: Vec<(IpAddr, u32, [u8; 6])>,
    /// Neighbours whose hardware addresses are fixed by the administrator, with the device.
    pub fixed: BTreeSet<(IpAddr, u32)>,
    /// Behind which port of a bridge a hardware address was seen.
    pub ports: BTreeMap<[u8; 6], u32>,
    /// Switches.
    pub switches: Switches,
}

impl Network {
    /// The device with this index.
    pub fn device(&self, index: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.index == index)
    }

    /// The device with this name.
    pub fn named(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The loopback device.
    pub fn loopback(&self) -> Option<&Device> {
        self.devices.iter().find(|device| device.loopback)
    }

    /// Whether `ip` stands on a device of the host.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }

    /// The policy rules of a family.
    pub fn rules(&self, family: Family) -> &[PolicyRule] {
        match family {
            Family::Inet => &self.rules4,
            Family::Inet6 => &self.rules6,
        }
    }

    /// The VRF that a device belongs to, or is.
    pub fn vrf_of(&self, index: u32) -> Option<&Device> {
        let device = self.device(index)?;
        if device.vrf_table.is_some() {
            return Some(device);
        }
        self.device(device.master).filter(|master| master.vrf_table.is_some())
    }

    /// The port of bridge `bridge` behind which `ip` was seen.
    pub fn port_of(&self, ip: IpAddr, bridge: u32) -> Option<&Device> {
        let mac = self.neighbours.iter().find(|n| n.0 == ip && n.1 == bridge)?.2;
        self.device(*self.ports.get(&mac)?).filter(|port| port.master == bridge)
    }
}

/// Whether the network of `net` with `prefix` bits contains `ip`.
pub fn covers(net: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    match (net, ip) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(prefix.min(32));
            (net.to_bits() ^ ip.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            let shift = 128 - u32::from(prefix.min(128));
            (net.to_bits() ^ ip.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}
