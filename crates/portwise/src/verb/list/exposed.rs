//! `list --exposed`: only what others than this host reach, by addresses and routes and past the
//! rules of the firewall.

use std::collections::BTreeMap;

use crate::{
    explain::listed::{Listing, bound_to},
    observe::{
        exposure::{Exposure, Networks},
        inventory::Inventory,
    },
};

/// Who reaches sockets.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Sockets by their cookies, as far as the firewall was reckoned with.
    pub sockets: BTreeMap<u64, Exposure>,
    /// Network namespaces where it was not, by inode, with why.
    pub not_reckoned: BTreeMap<u64, String>,
}

impl Reached {
    /// Puts it into a listing.
    pub(super) fn tell(&self, listing: &mut Listing) {
        if self.sockets.is_empty() && self.not_reckoned.is_empty() {
            return;
        }
        for socket in &mut listing.sockets {
            socket.reached = self.sockets.get(&socket.cookie).copied();
        }
        for namespace in &mut listing.namespaces {
            namespace.unread_firewall = self.not_reckoned.get(&namespace.inode).cloned();
        }
    }
}

/// Leaves only the sockets that others than this host reach, and says who does.
pub(super) fn only_exposed(
    inventory: &mut Inventory,
    networks: &BTreeMap<u64, Networks>,
) -> Reached {
    let by_address = |socket: &_| {
        let socket: &crate::observe::inventory::Socket = socket;
        let networks = networks.get(&socket.netns);
        networks.map(|networks| networks.exposure(bound_to(socket)))
    };
    inventory.sockets.retain(|socket| by_address(socket) != Some(Exposure::Loopback));
    let reached = reckon(inventory);
    inventory.sockets.retain(|s| reached.sockets.get(&s.cookie) != Some(&Exposure::Loopback));
    reached
}

#[cfg(not(target_os = "linux"))]
fn reckon(_: &Inventory) -> Reached {
    Reached::default()
}

/// Follows packets to every listener and UDP socket.
#[cfg(target_os = "linux")]
fn reckon(inventory: &Inventory) -> Reached {
    use portwise_model::{Protocol, is_unspecified};

    use crate::{
        observe::inventory::{self, State, Transport},
        reach::{Bound, exposed},
    };

    let mut reached = Reached::default();
    for namespace in &inventory.namespaces {
        let mut asked: Vec<(u64, Bound)> = Vec::new();
        for socket in inventory.sockets.iter().filter(|s| s.netns == namespace.inode) {
            let protocol = match socket.transport {
                Transport::Tcp if socket.state == State::Listen => Protocol::Tcp,
                Transport::Udp if socket.remote.is_none() => Protocol::Udp,
                _ => continue,
            };
            let Some(inode) = socket.inode else { continue };
            let bound = bound_to(socket);
            let dual_stack = is_unspecified(socket.ip) && socket.ip.is_ipv6() && !bound.v6only;
            let (ip, port) = (socket.ip, socket.port);
            asked.push((socket.cookie, Bound { inode, protocol, ip, port, dual_stack }));
        }
        if asked.is_empty() {
            continue;
        }
        let sockets: Vec<Bound> = asked.iter().map(|(_, bound)| *bound).collect();
        let found = inventory::within(namespace, || exposed(&sockets));
        match found.map_err(|error| error.to_string()).and_then(|found| found) {
            Ok(found) => {
                let cookies = asked.iter().map(|(cookie, _)| *cookie);
                reached.sockets.extend(cookies.zip(found));
            }
            Err(why) => drop(reached.not_reckoned.insert(namespace.inode, why)),
        }
    }
    reached
}
