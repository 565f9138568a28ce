//! rtnetlink(7): links, addresses, routes and policy rules of a network namespace.
//!
//! Reading needs no privilege; what changes a namespace stands in a file of its own.

mod address;
mod change;
mod link;
mod neighbour;
mod route;
mod rule;

pub use address::{Address, parse_address};
pub use link::{Link, parse_link};
pub use neighbour::{Neighbour, parse_neighbour};
pub use route::{NextHop, Route, RouteQuery, parse_route};
pub use rule::{PolicyRule, parse_rule};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use crate::Error;
use crate::netlink::{Attribute, Malformed, NETLINK_ROUTE, Netlink, Request, attributes, u32_at};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWRULE: u16 = 32;
const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;
const RTM_GETRULE: u16 = 34;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;

/// The table of routes to this host's own addresses.
pub const RT_TABLE_LOCAL: u32 = 255;
/// The table ip-route(8) shows by default.
pub const RT_TABLE_MAIN: u32 = 254;
/// The table for routes of last resort, empty unless someone uses it.
pub const RT_TABLE_DEFAULT: u32 = 253;

/// A socket that reads the network configuration of the namespace it was opened in.
#[derive(Debug)]
pub struct RtNetlink {
    netlink: Netlink,
}

impl RtNetlink {
    /// Opens it in the thread's network namespace. Needs no privilege.
    ///
    /// # Errors
    /// Those of [`Netlink::open`].
    pub fn open() -> Result<RtNetlink, Error> {
        Ok(RtNetlink { netlink: Netlink::open(NETLINK_ROUTE, "rtnetlink")? })
    }

    /// Lists the network interfaces.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.dump(&link::links_request(), RTM_NEWLINK, parse_link)
    }

    /// Lists the IPv4 and IPv6 addresses of every interface.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        // ifaddrmsg of family 0: both.
        self.dump(&Request::new(RTM_GETADDR, &[0; 8]), RTM_NEWADDR, parse_address)
    }

    /// Lists the routes of both families in one table, or in all with `None`.
    ///
    /// The kernel filters if it can (≥ 4.20). A table that does not exist has no routes.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn routes(&mut self, table: Option<u32>) -> Result<Vec<Route>, Error> {
        let mut routes = self.routes_of(libc::AF_INET as u8, table)?;
        routes.extend(self.routes_of(libc::AF_INET6 as u8, table)?);
        Ok(routes)
    }

    /// Lists the routes of one family, `AF_INET` or `AF_INET6`, as [`RtNetlink::routes`] does.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn routes_of(&mut self, family: u8, table: Option<u32>) -> Result<Vec<Route>, Error> {
        let request = route::routes_request(family, table, self.netlink.filters_dumps());
        let mut routes = match self.dump(&request, RTM_NEWROUTE, parse_route) {
            Ok(routes) => routes,
            Err(error) if error.errno == crate::Errno::ENOENT && table.is_some() => Vec::new(),
            Err(error) => return Err(error),
        };
        // Where IPv6 is switched off the kernel may answer with another family.
        let wanted = |r: &Route| r.family == family && table.is_none_or(|table| r.table == table);
        routes.retain(wanted);
        Ok(routes)
    }

    /// Asks which route the kernel would take.
    ///
    /// `None` if there is no answer but no error either, which no kernel is known to do.
    ///
    /// # Errors
    /// `ENETUNREACH`, `EHOSTUNREACH`, `EACCES`, `EINVAL`: what connect(2) would get from routing.
    pub fn route_to(&mut self, query: &RouteQuery) -> Result<Option<Route>, Error> {
        let rows = self.netlink.request(&route::route_request(query), 0, |message| {
            if message.kind != RTM_NEWROUTE {
                return Ok(None);
            }
            parse_route(message.payload).map(Some)
        })?;
        Ok(rows.into_iter().next())
    }

    /// Lists the policy rules of `AF_INET` or `AF_INET6`, first consulted first.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`, `EOPNOTSUPP` if the kernel has no policy routing for the family: then the
    /// default tables are consulted.
    pub fn rules(&mut self, family: u8) -> Result<Vec<PolicyRule>, Error> {
        let mut fixed = [0; 12];
        fixed[0] = family;
        self.dump(&Request::new(RTM_GETRULE, &fixed), RTM_NEWRULE, parse_rule)
    }

    /// Lists neighbours: of `AF_INET` and `AF_INET6` their hardware addresses, of `AF_BRIDGE` the
    /// tables of the bridges.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn neighbours(&mut self, family: u8) -> Result<Vec<Neighbour>, Error> {
        let mut fixed = [0; 12];
        fixed[0] = family;
        self.dump(&Request::new(RTM_GETNEIGH, &fixed), RTM_NEWNEIGH, parse_neighbour)
    }

    /// Lists the interfaces at which traffic control may have filters for what they receive.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn ingress_disciplines(&mut self) -> Result<Vec<u32>, Error> {
        const TCA_KIND: u16 = 1;
        let request = Request::new(RTM_GETQDISC, &[0; 20]);
        let rows = self.dump(&request, RTM_NEWQDISC, |payload| {
            let (fixed, rest) = payload.split_first_chunk::<20>().ok_or(Malformed)?;
            let kind = attributes(rest).find(|a| a.kind == TCA_KIND).map(|a| a.text());
            let is = kind.is_some_and(|kind| kind == "clsact" || kind == "ingress");
            Ok(is.then_some(u32_at(fixed, 4).ok_or(Malformed)?))
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Returns the number under which the socket's network namespace knows another one, which
    /// [`Link::peer_netns`] names; `None` if it has none.
    ///
    /// # Errors
    /// Those of [`Netlink::request`].
    pub fn number_of(&mut self, namespace: &crate::ns::Namespace) -> Result<Option<u32>, Error> {
        // `rtgenmsg`, padded, and the attributes of linux/net_namespace.h.
        const NETNSA_NSID: u16 = 1;
        const NETNSA_FD: u16 = 3;
        let fd = namespace.as_fd().as_raw_fd();
        let request = Request::new(RTM_GETNSID, &[0; 4]).with(NETNSA_FD, &fd.to_ne_bytes());
        let found = self.netlink.request(&request, 0, |message| {
            let rest = message.payload.get(4..).filter(|_| message.kind == RTM_NEWNSID);
            let number = |rest| attributes(rest).find(|a| a.kind == NETNSA_NSID)?.u32();
            Ok(rest.and_then(number))
        })?;
        // -1: none.
        Ok(found.into_iter().next().filter(|number| i32::try_from(*number).is_ok()))
    }

    /// Says whether traffic control has filters for what an interface receives.
    ///
    /// # Errors
    /// Those of [`Netlink::dump`].
    pub fn has_ingress_filters(&mut self, interface: u32) -> Result<bool, Error> {
        const INGRESS: u32 = 0xffff_fff2;
        let mut fixed = [0; 20];
        fixed[4..8].copy_from_slice(&interface.to_ne_bytes());
        fixed[12..16].copy_from_slice(&INGRESS.to_ne_bytes());
        let request = Request::new(RTM_GETTFILTER, &fixed);
        Ok(!self.dump(&request, RTM_NEWTFILTER, |_| Ok(()))?.is_empty())
    }

    fn dump<T>(
        &mut self,
        request: &Request,
        kind: u16,
        parse: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Error> {
        self.netlink.dump(request, |message| {
            if message.kind != kind {
                return Ok(None);
            }
            parse(message.payload).map(Some)
        })
    }
}

/// Reads an address of 4 or 16 bytes.
fn ip(attribute: &Attribute<'_>) -> Option<IpAddr> {
    ip_bytes(attribute.payload)
}

fn ip_bytes(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}
