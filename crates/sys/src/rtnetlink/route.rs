//! `RTM_GETROUTE`: routing tables, and the kernel's choice for one destination.

use std::net::IpAddr;

use crate::netlink::{Attribute, Malformed, Request, attributes, u32_at};

use super::{RTM_GETROUTE, family_of, ip, ip_bytes, octets};

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// The destination network; `None` for the default route.
    pub destination: Option<IpAddr>,
    /// The length of its prefix, in bits.
    pub prefix: u8,
    /// The source network of a source-specific route, and its prefix (IPv6).
    pub source: Option<(IpAddr, u8)>,
    /// `rtm_type`: [`Route::UNICAST`], [`Route::LOCAL`] and so on.
    pub kind: u8,
    /// The table.
    pub table: u32,
    /// `rtm_scope`: 0 everywhere, 253 link, 254 host. IPv6 has 0 throughout.
    pub scope: u8,
    /// `rtm_protocol`: who made it; 2 is the kernel.
    pub protocol: u8,
    /// The outgoing interface.
    pub interface: Option<u32>,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// The source address the kernel prefers with this route.
    pub preferred_source: Option<IpAddr>,
    /// `RTA_PRIORITY`: the metric, lower wins.
    pub metric: Option<u32>,
    /// The ways of a multipath route; then `interface` and `gateway` are `None`.
    pub next_hops: Vec<NextHop>,
    /// `rtm_flags`, such as `RTNH_F_LINKDOWN`.
    pub flags: u32,
    /// `rtm_tos`: only for packets of this class, 0 for any.
    pub tos: u8,
}

impl Route {
    /// Through a router or on a link.
    pub const UNICAST: u8 = 1;
    /// To this host.
    pub const LOCAL: u8 = 2;
    /// A broadcast address.
    pub const BROADCAST: u8 = 3;
    /// An anycast address of this host (IPv6).
    pub const ANYCAST: u8 = 4;
    /// Multicast.
    pub const MULTICAST: u8 = 5;
    /// Drops in silence; local senders get `EINVAL`.
    pub const BLACKHOLE: u8 = 6;
    /// Answers that the host is unreachable.
    pub const UNREACHABLE: u8 = 7;
    /// Answers that it is prohibited; local senders get `EACCES`.
    pub const PROHIBIT: u8 = 8;
    /// Go on with the next rule.
    pub const THROW: u8 = 9;
}

/// One way of a multipath route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The outgoing interface.
    pub interface: u32,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// Its weight, from 1.
    pub weight: u16,
    /// `rtnh_flags`: bit 0 says that it is dead.
    pub flags: u8,
}

/// What to ask [`super::RtNetlink::route_to`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    /// The destination.
    pub destination: IpAddr,
    /// The source address, of the same family.
    pub source: Option<IpAddr>,
    /// The outgoing interface (`SO_BINDTODEVICE`).
    pub output: Option<u32>,
    /// The incoming interface: asks how a packet that arrives there is routed.
    pub input: Option<u32>,
    /// `SO_MARK`, for rules that look at it.
    pub mark: Option<u32>,
    /// The sender's uid, for rules that look at it. The kernel takes the caller's if absent.
    pub uid: Option<u32>,
}

impl RouteQuery {
    /// Asks as a local sender that has set nothing.
    pub fn to(destination: IpAddr) -> RouteQuery {
        RouteQuery { destination, source: None, output: None, input: None, mark: None, uid: None }
    }
}

/// Reads the payload of `RTM_NEWROUTE`, an `rtmsg` and its attributes.
///
/// # Errors
/// [`Malformed`] if it is too short.
pub fn parse_route(payload: &[u8]) -> Result<Route, Malformed> {
    let fixed: &[u8; 12] = payload.first_chunk().ok_or(Malformed)?;
    let mut route = Route {
        family: fixed[0],
        destination: None,
        prefix: fixed[1],
        source: None,
        kind: fixed[7],
        table: u32::from(fixed[4]),
        scope: fixed[6],
        protocol: fixed[5],
        interface: None,
        gateway: None,
        preferred_source: None,
        metric: None,
        next_hops: Vec::new(),
        flags: u32_at(fixed, 8).ok_or(Malformed)?,
        tos: fixed[3],
    };
    for attribute in attributes(&payload[fixed.len()..]) {
        match attribute.kind {
            libc::RTA_DST => route.destination = ip(&attribute),
            libc::RTA_SRC => route.source = ip(&attribute).map(|source| (source, fixed[2])),
            libc::RTA_OIF => route.interface = attribute.u32(),
            libc::RTA_GATEWAY => route.gateway = ip(&attribute),
            libc::RTA_VIA => route.gateway = via(&attribute),
            libc::RTA_PRIORITY => route.metric = attribute.u32(),
            libc::RTA_PREFSRC => route.preferred_source = ip(&attribute),
            libc::RTA_TABLE => route.table = attribute.u32().unwrap_or(route.table),
            libc::RTA_MULTIPATH => route.next_hops = next_hops(attribute.payload),
            _ => {}
        }
    }
    Ok(route)
}

/// A gateway of another family than the route's: a family, then the address.
fn via(attribute: &Attribute<'_>) -> Option<IpAddr> {
    ip_bytes(attribute.payload.get(2..)?)
}

/// Reads a sequence of `rtnexthop`, each with its own attributes.
fn next_hops(mut bytes: &[u8]) -> Vec<NextHop> {
    let mut hops = Vec::new();
    while let Some(hop) = next_hop(&mut bytes) {
        hops.push(hop);
    }
    hops
}

fn next_hop(bytes: &mut &[u8]) -> Option<NextHop> {
    let fixed: &[u8; 8] = bytes.first_chunk()?;
    let length = usize::from(u16::from_ne_bytes([fixed[0], fixed[1]]));
    let gateway =
        attributes(bytes.get(fixed.len()..length)?).find_map(|attribute| match attribute.kind {
            libc::RTA_GATEWAY => ip(&attribute),
            libc::RTA_VIA => via(&attribute),
            _ => None,
        });
    let hop = NextHop {
        interface: u32_at(fixed, 4)?,
        gateway,
        weight: u16::from(fixed[3]) + 1,
        flags: fixed[2],
    };
    *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(hop)
}

pub(super) fn routes_request(family: u8, table: Option<u32>, filter: bool) -> Request {
    let mut fixed = [0; 12];
    fixed[0] = family;
    let request = Request::new(RTM_GETROUTE, &fixed);
    match table {
        Some(table) if filter => request.with(libc::RTA_TABLE, &table.to_ne_bytes()),
        _ => request,
    }
}

pub(super) fn route_request(query: &RouteQuery) -> Request {
    let bits = |address| octets(address).len() as u8 * 8;
    let mut fixed = [0; 12];
    fixed[0] = family_of(query.destination);
    fixed[1] = bits(query.destination);
    fixed[2] = query.source.map_or(0, bits);
    let mut request =
        Request::new(RTM_GETROUTE, &fixed).with(libc::RTA_DST, &octets(query.destination));
    if let Some(source) = query.source {
        request = request.with(libc::RTA_SRC, &octets(source));
    }
    let numbers = [
        (libc::RTA_OIF, query.output),
        (libc::RTA_IIF, query.input),
        (libc::RTA_MARK, query.mark),
        (libc::RTA_UID, query.uid),
    ];
    for (kind, number) in numbers {
        if let Some(number) = number {
            request = request.with(kind, &number.to_ne_bytes());
        }
    }
    request
}
