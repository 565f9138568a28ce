//! `RTM_GETNEIGH`: hardware addresses of neighbours, and the ports of bridges they are behind.

use std::net::IpAddr;

use super::ip;
use crate::netlink::{Malformed, attributes, u32_at};

/// A neighbour, or an entry of a bridge's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// `AF_INET`, `AF_INET6`, or `AF_BRIDGE` for an entry of a bridge's table.
    pub family: u8,
    /// The interface; of a bridge's table the port.
    pub interface: u32,
    /// `ndm_state`, see [`Neighbour::PERMANENT`].
    pub state: u16,
    /// The address; bridges know none.
    pub ip: Option<IpAddr>,
    /// The hardware address, if it is known and has 6 bytes.
    pub address: Option<[u8; 6]>,
}

impl Neighbour {
    /// Set by the administrator.
    pub const PERMANENT: u16 = 0x80;
    /// Needs no address.
    pub const NOARP: u16 = 0x40;
}

/// Reads the payload of `RTM_NEWNEIGH`, an `ndmsg` and its attributes.
///
/// # Errors
/// [`Malformed`] if it is too short.
pub fn parse_neighbour(payload: &[u8]) -> Result<Neighbour, Malformed> {
    const NDA_DST: u16 = 1;
    const NDA_LLADDR: u16 = 2;
    let fixed: &[u8; 12] = payload.first_chunk().ok_or(Malformed)?;
    let mut neighbour = Neighbour {
        family: fixed[0],
        interface: u32_at(fixed, 4).ok_or(Malformed)?,
        state: u16::from_ne_bytes([fixed[8], fixed[9]]),
        ip: None,
        address: None,
    };
    for attribute in attributes(&payload[fixed.len()..]) {
        match attribute.kind {
            NDA_DST => neighbour.ip = ip(&attribute),
            NDA_LLADDR => neighbour.address = <[u8; 6]>::try_from(attribute.payload).ok(),
            _ => {}
        }
    }
    Ok(neighbour)
}
