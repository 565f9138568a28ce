//! `RTM_GETADDR`: the addresses of the interfaces.

use std::net::IpAddr;

use crate::netlink::{Malformed, attributes, u32_at};

use super::ip;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host's own address.
    pub local: IpAddr,
    /// The other end of a point-to-point link, if it has a different address.
    pub peer: Option<IpAddr>,
    /// The length of the network prefix, in bits.
    pub prefix: u8,
    /// The interface.
    pub interface: u32,
    /// `ifa_scope`: 0 everywhere, 253 this link, 254 this host; see [`Address::SCOPE_LINK`].
    pub scope: u8,
    /// `IFA_FLAGS`: see the `IFA_F_` constants.
    pub flags: u32,
    /// The IPv4 broadcast address, if one is set.
    pub broadcast: Option<IpAddr>,
    /// The IPv4 label, `eth0:1` for instance.
    pub label: Option<String>,
}

impl Address {
    /// Valid on this link only.
    pub const SCOPE_LINK: u8 = 253;
    /// Valid on this host only.
    pub const SCOPE_HOST: u8 = 254;

    /// Made by someone, not by autoconfiguration with a lifetime.
    pub const IFA_F_PERMANENT: u32 = 0x80;
    /// Not first of its network on the interface (IPv4); temporary (IPv6).
    pub const IFA_F_SECONDARY: u32 = 0x01;
    /// No duplicate address detection.
    pub const IFA_F_NODAD: u32 = 0x02;
    /// Usable while duplicate address detection runs.
    pub const IFA_F_OPTIMISTIC: u32 = 0x04;
    /// Duplicate address detection found a duplicate.
    pub const IFA_F_DADFAILED: u32 = 0x08;
    /// Not to be chosen as source address.
    pub const IFA_F_DEPRECATED: u32 = 0x20;
    /// Duplicate address detection has not finished: bind(2) refuses it.
    pub const IFA_F_TENTATIVE: u32 = 0x40;
}

/// Reads the payload of `RTM_NEWADDR`, an `ifaddrmsg` and its attributes.
///
/// # Errors
/// [`Malformed`] if it is too short or has no address.
pub fn parse_address(payload: &[u8]) -> Result<Address, Malformed> {
    let fixed: &[u8; 8] = payload.first_chunk().ok_or(Malformed)?;
    let (mut address, mut local, mut broadcast, mut label) = (None, None, None, None);
    let mut flags = u32::from(fixed[2]);
    for attribute in attributes(&payload[fixed.len()..]) {
        match attribute.kind {
            libc::IFA_ADDRESS => address = ip(&attribute),
            libc::IFA_LOCAL => local = ip(&attribute),
            libc::IFA_BROADCAST => broadcast = ip(&attribute),
            libc::IFA_LABEL => label = Some(attribute.text()),
            libc::IFA_FLAGS => flags = attribute.u32().unwrap_or(flags),
            _ => {}
        }
    }
    let own = local.or(address).ok_or(Malformed)?;
    Ok(Address {
        local: own,
        peer: address.filter(|address| *address != own),
        prefix: fixed[1],
        interface: u32_at(fixed, 4).ok_or(Malformed)?,
        scope: fixed[3],
        flags,
        broadcast,
        label,
    })
}
