//! `RTM_GETLINK`: the network interfaces.

use crate::netlink::{Malformed, Request, attributes, u32_at};

use super::RTM_GETLINK;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface's number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `ifi_flags`, see netdevice(7); the questions below read them.
    pub flags: u32,
    /// `IFLA_OPERSTATE`: 0 unknown, 2 down, 3 lower layer down, 5 dormant, 6 up.
    pub operstate: Option<u8>,
    /// The bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// `IFLA_INFO_KIND`, such as `veth`, `vrf`, `bridge`; absent for hardware and `lo`.
    pub kind: Option<String>,
    /// The routing table of a VRF.
    pub vrf_table: Option<u32>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
}

impl Link {
    /// Switched on (`IFF_UP`).
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// Operational (`IFF_RUNNING`).
    pub fn is_running(&self) -> bool {
        self.flags & libc::IFF_RUNNING as u32 != 0
    }

    /// Has a carrier (`IFF_LOWER_UP`).
    pub fn is_lower_up(&self) -> bool {
        self.flags & libc::IFF_LOWER_UP as u32 != 0
    }

    /// The loopback interface (`IFF_LOOPBACK`).
    pub fn is_loopback(&self) -> bool {
        self.flags & libc::IFF_LOOPBACK as u32 != 0
    }
}

const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

pub(super) fn links_request() -> Request {
    Request::new(RTM_GETLINK, &[0; 16])
        .with(libc::IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes())
}

/// Reads the payload of `RTM_NEWLINK`, an `ifinfomsg` and its attributes.
///
/// # Errors
/// [`Malformed`] if it is too short or has no name.
pub fn parse_link(payload: &[u8]) -> Result<Link, Malformed> {
    let fixed: &[u8; 16] = payload.first_chunk().ok_or(Malformed)?;
    let mut link = Link {
        index: u32_at(fixed, 4).ok_or(Malformed)?,
        name: String::new(),
        flags: u32_at(fixed, 8).ok_or(Malformed)?,
        operstate: None,
        master: None,
        kind: None,
        vrf_table: None,
        mtu: None,
    };
    for attribute in attributes(&payload[fixed.len()..]) {
        match attribute.kind {
            libc::IFLA_IFNAME => link.name = attribute.text(),
            libc::IFLA_OPERSTATE => link.operstate = attribute.u8(),
            libc::IFLA_MASTER => link.master = attribute.u32(),
            libc::IFLA_MTU => link.mtu = attribute.u32(),
            libc::IFLA_LINKINFO => read_info(&mut link, attribute.payload),
            _ => {}
        }
    }
    if link.name.is_empty() { Err(Malformed) } else { Ok(link) }
}

fn read_info(link: &mut Link, info: &[u8]) {
    const IFLA_VRF_TABLE: u16 = 1;
    let mut data: &[u8] = &[];
    for attribute in attributes(info) {
        match attribute.kind {
            libc::IFLA_INFO_KIND => link.kind = Some(attribute.text()),
            libc::IFLA_INFO_DATA => data = attribute.payload,
            _ => {}
        }
    }
    if link.kind.as_deref() == Some("vrf") {
        link.vrf_table = attributes(data).find(|a| a.kind == IFLA_VRF_TABLE).and_then(|a| a.u32());
    }
}
