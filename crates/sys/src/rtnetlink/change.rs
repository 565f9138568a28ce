//! Changing a network namespace: links, addresses and routes, for experiments in namespaces of
//! one's own. Everything here needs `CAP_NET_ADMIN` over the network namespace.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use super::{
    Address, RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE, RtNetlink,
    family_of, octets,
};
use crate::netlink::Request;
use crate::{Error, ns::Namespace};

const VETH_INFO_PEER: u16 = 1;
const IFLA_VRF_TABLE: u16 = 1;
// The scopes of routes to this host and to a link, and `RTPROT_STATIC`.
const HOST: u8 = 254;
const LINK: u8 = 253;
const STATIC: u8 = 4;

impl RtNetlink {
    /// Makes a veth(4) pair, both ends down.
    ///
    /// # Errors
    /// `EEXIST` for a name that is taken; `EOPNOTSUPP` if the kernel has no veth; `EPERM`.
    pub fn add_veth(&mut self, name: &str, peer: &str) -> Result<(), Error> {
        self.add_link(name, "veth", |data| {
            data.with_nested(VETH_INFO_PEER, |other| {
                other.with_raw(&link(0, 0, 0)).with(libc::IFLA_IFNAME, &c_text(peer))
            })
        })
    }

    /// Makes a veth(4) pair across network namespaces, both ends down: this end has the index
    /// that is asked for (0: any), the other is in `there`, where `CAP_NET_ADMIN` is needed too.
    ///
    /// # Errors
    /// `EEXIST` for a name that is taken, `EBUSY` for such an index; those of
    /// [`RtNetlink::add_veth`].
    pub fn add_veth_to(
        &mut self,
        name: &str,
        index: u32,
        peer: &str,
        there: &Namespace,
    ) -> Result<(), Error> {
        let fd = there.as_fd().as_raw_fd();
        self.add_link_at(name, index, "veth", |data| {
            data.with_nested(VETH_INFO_PEER, |other| {
                other
                    .with_raw(&link(0, 0, 0))
                    .with(libc::IFLA_IFNAME, &c_text(peer))
                    .with(libc::IFLA_NET_NS_FD, &fd.to_ne_bytes())
            })
        })
    }

    /// Makes a dummy interface, which drops what is sent to it. It is down.
    ///
    /// # Errors
    /// `EEXIST` for a name that is taken; `EOPNOTSUPP` if the kernel has no dummy; `EPERM`.
    pub fn add_dummy(&mut self, name: &str) -> Result<(), Error> {
        self.add_link(name, "dummy", |data| data)
    }

    /// Makes a VRF with its routing table. It is down.
    ///
    /// # Errors
    /// `EEXIST` for a name that is taken; `EOPNOTSUPP` if the kernel has no VRF; `EPERM`.
    pub fn add_vrf(&mut self, name: &str, table: u32) -> Result<(), Error> {
        self.add_link(name, "vrf", |data| data.with(IFLA_VRF_TABLE, &table.to_ne_bytes()))
    }

    fn add_link(
        &mut self,
        name: &str,
        kind: &str,
        data: impl FnOnce(Request) -> Request,
    ) -> Result<(), Error> {
        self.add_link_at(name, 0, kind, data)
    }

    fn add_link_at(
        &mut self,
        name: &str,
        index: u32,
        kind: &str,
        data: impl FnOnce(Request) -> Request,
    ) -> Result<(), Error> {
        let request = Request::new(RTM_NEWLINK, &link(index, 0, 0))
            .with(libc::IFLA_IFNAME, &c_text(name))
            .with_nested(libc::IFLA_LINKINFO, |info| {
                info.with(libc::IFLA_INFO_KIND, kind.as_bytes())
                    .with_nested(libc::IFLA_INFO_DATA, data)
            });
        self.change(&request, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
    }

    /// Switches on the interface with this index.
    ///
    /// # Errors
    /// `ENODEV` if there is none; `EPERM`.
    pub fn set_up(&mut self, index: u32) -> Result<(), Error> {
        let up = libc::IFF_UP as u32;
        self.change(&Request::new(RTM_NEWLINK, &link(index, up, up)), 0)
    }

    /// Switches off the interface with this index.
    ///
    /// # Errors
    /// `ENODEV` if there is none; `EPERM`.
    pub fn set_down(&mut self, index: u32) -> Result<(), Error> {
        self.change(&Request::new(RTM_NEWLINK, &link(index, 0, libc::IFF_UP as u32)), 0)
    }

    /// Puts an interface into a bridge or VRF; master 0 takes it out.
    ///
    /// # Errors
    /// `ENODEV`; `EOPNOTSUPP` if the master takes none; `EPERM`.
    pub fn set_master(&mut self, index: u32, master: u32) -> Result<(), Error> {
        let request = Request::new(RTM_NEWLINK, &link(index, 0, 0))
            .with(libc::IFLA_MASTER, &master.to_ne_bytes());
        self.change(&request, 0)
    }

    /// Moves an interface to another network namespace, where `CAP_NET_ADMIN` is needed too.
    ///
    /// # Errors
    /// `ENODEV`; `EINVAL` if it cannot move, as `lo`; `EPERM`.
    pub fn move_link(&mut self, index: u32, namespace: &Namespace) -> Result<(), Error> {
        let fd = namespace.as_fd().as_raw_fd();
        let request = Request::new(RTM_NEWLINK, &link(index, 0, 0))
            .with(libc::IFLA_NET_NS_FD, &fd.to_ne_bytes());
        self.change(&request, 0)
    }

    /// Deletes an interface; of a veth pair both ends.
    ///
    /// # Errors
    /// `ENODEV`; `EOPNOTSUPP` if it cannot be deleted, as `lo`; `EPERM`.
    pub fn delete_link(&mut self, index: u32) -> Result<(), Error> {
        self.change(&Request::new(RTM_DELLINK, &link(index, 0, 0)), 0)
    }

    /// Gives an interface an address. `nodad` leaves out duplicate address detection (IPv6).
    ///
    /// # Errors
    /// `EEXIST` if it has it; `ENODEV`; `EPERM`.
    pub fn add_address(
        &mut self,
        index: u32,
        ip: IpAddr,
        prefix: u8,
        nodad: bool,
    ) -> Result<(), Error> {
        let flags = if nodad && ip.is_ipv6() { Address::IFA_F_NODAD } else { 0 };
        let request =
            address(RTM_NEWADDR, index, ip, prefix).with(libc::IFA_FLAGS, &flags.to_ne_bytes());
        self.change(&request, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
    }

    /// Gives an interface an IPv4 address and a broadcast address besides the one the prefix
    /// makes.
    ///
    /// # Errors
    /// `EEXIST` if it has it; `ENODEV`; `EPERM`.
    pub fn add_broadcast_address(
        &mut self,
        index: u32,
        ip: Ipv4Addr,
        prefix: u8,
        broadcast: Ipv4Addr,
    ) -> Result<(), Error> {
        let request = address(RTM_NEWADDR, index, ip.into(), prefix)
            .with(libc::IFA_BROADCAST, &broadcast.octets());
        self.change(&request, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
    }

    /// Takes an address from an interface.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if it has it not; `ENODEV`; `EPERM`.
    pub fn delete_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> Result<(), Error> {
        self.change(&address(RTM_DELADDR, index, ip, prefix), 0)
    }

    /// Adds a route of a kind such as [`super::Route::LOCAL`] to a table. `interface` `None` is for
    /// the kinds that refuse.
    ///
    /// # Errors
    /// `EEXIST`; `ENODEV`; `ENETDOWN` if the interface is down; `EPERM`.
    pub fn add_route(
        &mut self,
        kind: u8,
        destination: IpAddr,
        prefix: u8,
        interface: Option<u32>,
        table: u32,
    ) -> Result<(), Error> {
        let scope = match kind {
            super::Route::LOCAL => HOST,
            super::Route::UNICAST | super::Route::BROADCAST => LINK,
            _ => 0,
        };
        let mut fixed = [0; 12];
        // The field for the table is a byte; the attribute counts.
        fixed[..8].copy_from_slice(&[family_of(destination), prefix, 0, 0, 0, STATIC, scope, kind]);
        let mut request = Request::new(RTM_NEWROUTE, &fixed)
            .with(libc::RTA_DST, &octets(destination))
            .with(libc::RTA_TABLE, &table.to_ne_bytes());
        if let Some(index) = interface {
            request = request.with(libc::RTA_OIF, &index.to_ne_bytes());
        }
        self.change(&request, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
    }

    /// Adds a route through a router to the main table. The destination `0.0.0.0/0` or `::/0` is
    /// the default route.
    ///
    /// # Errors
    /// `EEXIST`; `ENODEV`; `ENETDOWN` if the interface is down; `ENETUNREACH`, `EHOSTUNREACH` or
    /// `EINVAL` if the gateway is no neighbour; `EPERM`.
    pub fn add_gateway_route(
        &mut self,
        destination: IpAddr,
        prefix: u8,
        gateway: IpAddr,
        interface: u32,
    ) -> Result<(), Error> {
        const EVERYWHERE: u8 = 0;
        let (table, kind) = (super::RT_TABLE_MAIN as u8, super::Route::UNICAST);
        let family = family_of(destination);
        let fixed = [family, prefix, 0, 0, table, STATIC, EVERYWHERE, kind, 0, 0, 0, 0];
        let mut request = Request::new(RTM_NEWROUTE, &fixed);
        if prefix > 0 {
            request = request.with(libc::RTA_DST, &octets(destination));
        }
        let request = request
            .with(libc::RTA_GATEWAY, &octets(gateway))
            .with(libc::RTA_OIF, &interface.to_ne_bytes());
        self.change(&request, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
    }

    fn change(&mut self, request: &Request, flags: i32) -> Result<(), Error> {
        self.netlink.request(request, flags as u16, |_| Ok(None::<()>)).map(drop)
    }
}

/// `ifinfomsg`, 16 bytes.
fn link(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&change.to_ne_bytes());
    fixed
}

/// `ifaddrmsg` and the address, twice: as the host's own and as the other end's.
fn address(kind: u16, index: u32, ip: IpAddr, prefix: u8) -> Request {
    let mut fixed = [family_of(ip), prefix, 0, 0, 0, 0, 0, 0];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    Request::new(kind, &fixed)
        .with(libc::IFA_LOCAL, &octets(ip))
        .with(libc::IFA_ADDRESS, &octets(ip))
}

fn c_text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
