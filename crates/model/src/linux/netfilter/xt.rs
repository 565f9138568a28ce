//! Matches and targets of iptables, both of its legacy tables and of those that its nftables variant
//! leaves as they were.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::{NatKind, RejectWith, Verdict};
use crate::Text;

/// A range of addresses and ports to choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NatRange {
    /// Lowest and highest address.
    pub addr: Option<(IpAddr, IpAddr)>,
    /// Lowest and highest port.
    pub port: Option<(u16, u16)>,
}

/// What the head of a legacy rule asks of the IP header and the devices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IpHeader {
    /// Source and mask, and whether it is negated.
    pub src: Option<(IpAddr, IpAddr, bool)>,
    /// Destination and mask, and whether it is negated.
    pub dst: Option<(IpAddr, IpAddr, bool)>,
    /// Device of arrival, and whether it is negated.
    pub iif: Option<(DeviceName, bool)>,
    /// Device of departure, and whether it is negated.
    pub oif: Option<(DeviceName, bool)>,
    /// Protocol, and whether it is negated.
    pub protocol: Option<(u8, bool)>,
    /// `-f`: second and further fragments, and whether it is negated.
    pub fragment: Option<bool>,
}

/// A device's name, or how it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DeviceName {
    /// The name, or its start.
    pub name: Text,
    /// Whether it is only the start (`eth+`).
    pub prefix: bool,
}

impl DeviceName {
    /// Whether a device of this name is meant. No device has an empty name.
    pub fn is(&self, name: &str) -> bool {
        if self.prefix { name.starts_with(self.name.as_ref()) } else { name == self.name }
    }
}

/// Which end a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum End {
    /// The source.
    Src,
    /// The destination.
    Dst,
    /// One of them.
    Either,
}

/// `-m conntrack`. Each condition with whether it is negated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Conntrack {
    /// The states, as bits of `XT_CONNTRACK_STATE_*`.
    pub state: Option<(u32, bool)>,
    /// The status bits.
    pub status: Option<(u32, bool)>,
    /// The protocol.
    pub protocol: Option<(u8, bool)>,
    /// Addresses of the connection: of the reply direction or not, of the source or not, the
    /// address, its mask.
    pub addrs: Vec<(bool, bool, IpAddr, IpAddr, bool)>,
    /// Ports: of the reply direction or not, of the source or not, lowest, highest.
    pub ports: Vec<(bool, bool, u16, u16, bool)>,
    /// Whether the packet goes in the reply's direction.
    pub reply: Option<bool>,
    /// Whether how long the connection is remembered is asked.
    pub expires: bool,
}

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[allow(missing_docs)] // The fields are those of iptables-extensions(8).
pub enum Match {
    /// The head of a legacy rule.
    Ip(IpHeader),
    /// `-m tcp` and `-m udp`.
    Ports {
        tcp: bool,
        src: (u16, u16, bool),
        dst: (u16, u16, bool),
        /// Mask, wanted flags, negated.
        flags: Option<(u8, u8, bool)>,
        /// A TCP option, which only the client knows.
        option: bool,
    },
    /// `-m icmp` and `-m icmp6`; type 255 is any.
    Icmp {
        kind: u8,
        code: (u8, u8),
        negated: bool,
    },
    Conntrack(Conntrack),
    /// `-m state`.
    State(u32),
    /// `-m addrtype`: bits of route types, whether negated.
    AddrType {
        src: Option<(u16, bool)>,
        dst: Option<(u16, bool)>,
        iif: bool,
        oif: bool,
    },
    Multiport {
        end: End,
        ranges: Vec<(u16, u16)>,
        negated: bool,
    },
    Mark {
        mark: u32,
        mask: u32,
        negated: bool,
    },
    Connmark {
        mark: u32,
        mask: u32,
        negated: bool,
    },
    Owner {
        uid: Option<(u32, u32, bool)>,
        gid: Option<(u32, u32, bool)>,
        exists: Option<bool>,
    },
    /// `-m set`: for each dimension whether it is the source's.
    Set {
        set: u16,
        src: Vec<bool>,
        negated: bool,
    },
    IpRange {
        src: Option<(IpAddr, IpAddr, bool)>,
        dst: Option<(IpAddr, IpAddr, bool)>,
    },
    Physdev {
        iif: Option<(DeviceName, bool)>,
        oif: Option<(DeviceName, bool)>,
        is_in: Option<bool>,
        is_out: Option<bool>,
        is_bridged: Option<bool>,
    },
    PktType {
        kind: u8,
        negated: bool,
    },
    Ttl {
        op: super::Cmp,
        value: u8,
    },
    /// `-m dscp` and `-m tos`: the type of service under the mask.
    Tos {
        mask: u8,
        value: u8,
        negated: bool,
    },
    /// `-m socket`.
    Socket {
        transparent: bool,
        nowildcard: bool,
        restore_mark: bool,
    },
    /// `-m rpfilter`.
    RpFilter {
        loose: bool,
        mark: bool,
        accept_local: bool,
        inverted: bool,
    },
    /// `-m policy`: whether IPsec is asked for.
    Policy {
        ipsec: bool,
    },
    DevGroup {
        iif: Option<(u32, u32, bool)>,
        oif: Option<(u32, u32, bool)>,
    },
    /// `-m mac`.
    Mac {
        addr: [u8; 6],
        negated: bool,
    },
    /// Time, chance, history or the packet's content decides.
    Depends(Text),
    /// Asks for what no plain packet has, such as an IPv6 extension header.
    Never,
    /// Looks, and always matches.
    Nothing,
}

/// What `CONNMARK` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum MarkMode {
    /// A constant into the connection's mark.
    Set,
    /// The packet's mark into the connection's.
    Save,
    /// The connection's mark into the packet's.
    Restore,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[allow(missing_docs)] // The fields are those of iptables-extensions(8).
pub enum Target {
    Verdict(Verdict),
    Reject(RejectWith),
    Nat {
        kind: NatKind,
        range: NatRange,
    },
    Masquerade,
    Redirect {
        port: Option<(u16, u16)>,
    },
    /// `NETMAP`: the network part is replaced.
    Netmap {
        addr: (IpAddr, IpAddr),
    },
    /// The mark becomes `(mark & !clear) ^ set`.
    Mark {
        clear: u32,
        set: u32,
    },
    /// `SET`: adds the packet to these sets, or takes it out.
    ChangeSets {
        sets: Vec<u16>,
    },
    /// `DSCP` and `TOS`: the type of service becomes `(tos & !clear) ^ set`.
    Tos {
        clear: u8,
        set: u8,
    },
    Connmark {
        mode: MarkMode,
        mark: u32,
        ct_mask: u32,
        nf_mask: u32,
    },
    /// `CT`: without tracking, or with what does not decide.
    Ct {
        notrack: bool,
        zone: Option<u16>,
    },
    Tproxy {
        addr: Option<IpAddr>,
        port: u16,
        mark: u32,
        mask: u32,
    },
    Queue {
        bypass: bool,
    },
    Synproxy,
    /// Changes nothing that decides, such as `LOG`.
    Nothing,
    /// One the evaluator does not know, by its name.
    Unknown(Text),
}

impl Target {
    /// Whether it does anything.
    pub fn has_effect(&self) -> bool {
        !matches!(self, Target::Nothing | Target::Verdict(Verdict::Continue))
    }
}
