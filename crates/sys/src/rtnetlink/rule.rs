//! `RTM_GETRULE`: policy rules, which say what routing tables are consulted in what order.

use std::net::IpAddr;

use crate::netlink::{Malformed, attributes, u32_at};

use super::{RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN, ip};

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// `FRA_PRIORITY`: lower is consulted first.
    pub priority: u32,
    /// `FR_ACT_`: 1 look into the table, 2 go to another rule, 6 drop, 7 unreachable,
    /// 8 prohibited.
    pub action: u8,
    /// The table to look into.
    pub table: u32,
    /// Only packets from this network.
    pub source: Option<(IpAddr, u8)>,
    /// Only packets to this network.
    pub destination: Option<(IpAddr, u8)>,
    /// Only packets from this interface, `lo` for those of this host.
    pub input: Option<String>,
    /// Only packets of sockets bound to this interface.
    pub output: Option<String>,
    /// Only packets with this mark under this mask.
    pub mark: Option<(u32, u32)>,
    /// Only packets of these uids, first and last.
    pub uids: Option<(u32, u32)>,
    /// The table is that of the interface's VRF (`FRA_L3MDEV`).
    pub l3mdev: bool,
    /// Only packets of this protocol.
    pub protocol: Option<u8>,
    /// Only packets from these ports, first and last.
    pub source_ports: Option<(u16, u16)>,
    /// Only packets to these ports, first and last.
    pub destination_ports: Option<(u16, u16)>,
    /// `FRA_SUPPRESS_PREFIXLEN`: routes with a prefix of at most so many bits do not count.
    pub suppress: Option<u32>,
    /// `FRA_GOTO`: the priority of the rule to go on with.
    pub goto: Option<u32>,
    /// `FIB_RULE_INVERT`: it is for what does not meet the conditions.
    pub inverted: bool,
    /// Further conditions are set: the numbers of attributes not told above.
    pub other_conditions: Vec<u16>,
}

impl PolicyRule {
    /// Says whether every namespace starts with this rule: consult the table local at priority
    /// 0, main at 32766, default at 32767 (IPv4), on no condition.
    pub fn is_initial(&self) -> bool {
        let place = match self.table {
            RT_TABLE_LOCAL => 0,
            RT_TABLE_MAIN => 32766,
            RT_TABLE_DEFAULT => 32767,
            _ => return false,
        };
        self.priority == place && self.action == FR_ACT_TO_TBL && self.is_unconditional()
    }

    fn is_unconditional(&self) -> bool {
        self.source.is_none()
            && self.destination.is_none()
            && self.input.is_none()
            && self.output.is_none()
            && self.mark.is_none()
            && self.uids.is_none()
            && !self.l3mdev
            && !self.inverted
            && self.protocol.is_none()
            && self.source_ports.is_none()
            && self.destination_ports.is_none()
            && self.suppress.is_none()
            && self.other_conditions.is_empty()
    }
}

const FR_ACT_TO_TBL: u8 = 1;
const FIB_RULE_INVERT: u32 = 2;
const NO_SUPPRESSION: u32 = u32::MAX;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_GOTO: u16 = 4;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PAD: u16 = 18;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FRA_SPORT_MASK: u16 = 28;
const FRA_DPORT_MASK: u16 = 29;

/// Reads the payload of `RTM_NEWRULE`, a `fib_rule_hdr` and its attributes.
///
/// # Errors
/// [`Malformed`] if it is too short.
pub fn parse_rule(payload: &[u8]) -> Result<PolicyRule, Malformed> {
    let fixed: &[u8; 12] = payload.first_chunk().ok_or(Malformed)?;
    let mut rule = PolicyRule {
        family: fixed[0],
        priority: 0,
        action: fixed[7],
        table: u32::from(fixed[4]),
        source: None,
        destination: None,
        input: None,
        output: None,
        mark: None,
        uids: None,
        l3mdev: false,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        suppress: None,
        goto: None,
        inverted: false,
        other_conditions: Vec::new(),
    };
    if u32_at(fixed, 8).ok_or(Malformed)? & FIB_RULE_INVERT != 0 {
        rule.inverted = true;
    }
    let (mut mark, mut mask) = (None, None);
    for attribute in attributes(&payload[fixed.len()..]) {
        match attribute.kind {
            FRA_DST => rule.destination = ip(&attribute).map(|address| (address, fixed[1])),
            FRA_SRC => rule.source = ip(&attribute).map(|address| (address, fixed[2])),
            FRA_IIFNAME => rule.input = Some(attribute.text()),
            FRA_OIFNAME => rule.output = Some(attribute.text()),
            FRA_PRIORITY => rule.priority = attribute.u32().ok_or(Malformed)?,
            FRA_TABLE => rule.table = attribute.u32().ok_or(Malformed)?,
            FRA_FWMARK => mark = attribute.u32(),
            FRA_FWMASK => mask = attribute.u32(),
            FRA_UID_RANGE => {
                rule.uids = attribute.u32().zip(u32_at(attribute.payload, 4));
            }
            FRA_L3MDEV => rule.l3mdev = attribute.u8() != Some(0),
            FRA_GOTO => rule.goto = attribute.u32(),
            FRA_IP_PROTO => rule.protocol = attribute.u8(),
            FRA_SPORT_RANGE => rule.source_ports = ports(attribute.payload),
            FRA_DPORT_RANGE => rule.destination_ports = ports(attribute.payload),
            FRA_SPORT_MASK | FRA_DPORT_MASK if attribute.u16() == Some(u16::MAX) => {}
            FRA_PROTOCOL | FRA_PAD => {}
            FRA_SUPPRESS_IFGROUP | FRA_SUPPRESS_PREFIXLEN
                if attribute.u32() == Some(NO_SUPPRESSION) => {}
            FRA_SUPPRESS_PREFIXLEN => rule.suppress = attribute.u32(),
            other => rule.other_conditions.push(other),
        }
    }
    // The kernel sends the mask of a rule only if that rule looks at marks.
    if mark.is_some() || mask.is_some() {
        rule.mark = Some((mark.unwrap_or(0), mask.unwrap_or(u32::MAX)));
    }
    Ok(rule)
}

/// `struct fib_rule_port_range`, in the host's order.
fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *bytes.first_chunk()?;
    Some((u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])))
}
