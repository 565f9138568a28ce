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
    /// Whether it is a port of a bridge that sends frames back where they came from.
    pub hairpin: bool,
    /// The routing table of a VRF.
    pub vrf_table: Option<u32>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// `ifi_type`, an `ARPHRD_` number: 1 Ethernet, 772 loopback.
    pub hardware: u16,
    /// `IFLA_GROUP`.
    pub group: u32,
    /// The hardware address, if it has 6 bytes.
    pub address: Option<[u8; 6]>,
    /// `IFLA_LINK_NETNSID`: the number of the namespace the other end is in.
    pub peer_netns: Option<u32>,
    /// Whether an XDP program is attached.
    pub xdp: bool,
    /// The device's switches of IPv4 by number, as `IFLA_INET_CONF` lists them from 1.
    pub ipv4_conf: Vec<u32>,
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

const IFLA_XDP_ATTACHED: u16 = 2;
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
        hairpin: false,
        vrf_table: None,
        mtu: None,
        hardware: u16::from_ne_bytes([fixed[2], fixed[3]]),
        group: 0,
        address: None,
        peer_netns: None,
        xdp: false,
        ipv4_conf: Vec::new(),
    };
    for attribute in attributes(&payload[fixed.len()..]) {
        match attribute.kind {
            libc::IFLA_IFNAME => link.name = attribute.text(),
            libc::IFLA_OPERSTATE => link.operstate = attribute.u8(),
            libc::IFLA_MASTER => link.master = attribute.u32(),
            libc::IFLA_MTU => link.mtu = attribute.u32(),
            libc::IFLA_LINKINFO => read_info(&mut link, attribute.payload),
            libc::IFLA_GROUP => link.group = attribute.u32().unwrap_or(0),
            libc::IFLA_ADDRESS => link.address = <[u8; 6]>::try_from(attribute.payload).ok(),
            libc::IFLA_LINK_NETNSID => link.peer_netns = attribute.u32(),
            libc::IFLA_XDP => {
                link.xdp = attributes(attribute.payload)
                    .any(|a| a.kind == IFLA_XDP_ATTACHED && a.u8().is_some_and(|mode| mode != 0));
            }
            libc::IFLA_AF_SPEC => read_families(&mut link, attribute.payload),
            _ => {}
        }
    }
    if link.name.is_empty() { Err(Malformed) } else { Ok(link) }
}

fn read_info(link: &mut Link, info: &[u8]) {
    const IFLA_VRF_TABLE: u16 = 1;
    const IFLA_BRPORT_MODE: u16 = 4;
    let (mut data, mut port): (&[u8], &[u8]) = (&[], &[]);
    let mut master = String::new();
    for attribute in attributes(info) {
        match attribute.kind {
            libc::IFLA_INFO_KIND => link.kind = Some(attribute.text()),
            libc::IFLA_INFO_DATA => data = attribute.payload,
            libc::IFLA_INFO_SLAVE_KIND => master = attribute.text(),
            libc::IFLA_INFO_SLAVE_DATA => port = attribute.payload,
            _ => {}
        }
    }
    if master == "bridge" {
        let mode = attributes(port).find(|a| a.kind == IFLA_BRPORT_MODE).and_then(|a| a.u8());
        link.hairpin = mode.is_some_and(|mode| mode != 0);
    }
    if link.kind.as_deref() == Some("vrf") {
        link.vrf_table = attributes(data).find(|a| a.kind == IFLA_VRF_TABLE).and_then(|a| a.u32());
    }
}

/// What the families add: IPv4 its switches, as an array of numbers.
fn read_families(link: &mut Link, families: &[u8]) {
    const IFLA_INET_CONF: u16 = 1;
    let of_ipv4 = attributes(families).find(|a| i32::from(a.kind) == libc::AF_INET);
    let conf =
        of_ipv4.and_then(|family| attributes(family.payload).find(|a| a.kind == IFLA_INET_CONF));
    if let Some(conf) = conf {
        let words = conf.payload.chunks_exact(4);
        link.ipv4_conf = words.map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]])).collect();
    }
}
