//! ipset over nfnetlink: the sets of a network namespace.

use std::time::Instant;

use crate::Error;
use crate::netlink::{Malformed, Netlink, Request};

const SUBSYSTEM: u16 = 6;
const IPSET_CMD_LIST: u16 = 7;
const IPSET_ATTR_PROTOCOL: u16 = 1;
/// The version that tells the index of each set (≥ 5.0).
const PROTOCOL: u8 = 7;

/// Lists the sets as the kernel sends them, each with one part or several of its entries: the
/// attributes of `IPSET_CMD_LIST`. Needs `CAP_NET_ADMIN` over the namespace.
///
/// # Errors
/// `EPERM`; `EINVAL` or `EOPNOTSUPP` if the kernel has no ipset; `ETIMEDOUT` after `deadline`.
pub fn list(deadline: Option<Instant>) -> Result<Vec<Vec<u8>>, Error> {
    let mut netlink = Netlink::open(libc::NETLINK_NETFILTER, "ipset")?;
    netlink.until(deadline);
    let request = Request::new(SUBSYSTEM << 8 | IPSET_CMD_LIST, &[0, 0, 0, 0])
        .with(IPSET_ATTR_PROTOCOL, &[PROTOCOL]);
    netlink.dump(&request, |message| {
        if message.kind >> 8 != SUBSYSTEM {
            return Ok(None);
        }
        message.payload.get(4..).map(|rest| Some(rest.to_vec())).ok_or(Malformed)
    })
}
