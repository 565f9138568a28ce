//! Which of the sockets on a port gets what arrives: Linux's lookup, for destinations that are the
//! host's own and where no filter is in the way. Measured by `try` itself, which makes each
//! connection that is predicted here.

use std::net::IpAddr;

use portwise_model::{Family, Protocol, Socket, SocketId, State, v4_mapped};

/// A packet that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The protocol.
    pub(super) protocol: Protocol,
    /// The destination.
    pub(super) ip: IpAddr,
    /// The interface over which it arrives, as the lookup sees it.
    pub(super) device: u32,
}

/// The sockets of a port that may get it: none, one, or several if they share.
pub(super) fn receivers(sockets: &[Socket], arrival: Arrival) -> Vec<SocketId> {
    let ranked: Vec<(u32, SocketId)> =
        sockets.iter().filter_map(|socket| Some((rank(socket, arrival)?, socket.id))).collect();
    let best = ranked.iter().map(|(rank, _)| *rank).max();
    ranked.iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, id)| *id).collect()
}

/// How much a socket is preferred; `None` if it does not get the packet.
///
/// The address itself comes before a wildcard; then, a device counts for as much as the family in
/// TCP and for more in UDP.
fn rank(socket: &Socket, arrival: Arrival) -> Option<u32> {
    let ready = match socket.protocol {
        Protocol::Tcp => State::Listen,
        Protocol::Udp => State::Closed,
    };
    if socket.protocol != arrival.protocol || socket.state != ready {
        return None;
    }
    if socket.device != 0 && socket.device != arrival.device {
        return None;
    }
    let bound = match socket.ip {
        IpAddr::V6(ip) => v4_mapped(ip).map_or(socket.ip, IpAddr::V4),
        ip => ip,
    };
    let exact = match (bound, arrival.ip) {
        (a, b) if a == b => true,
        (IpAddr::V4(a), IpAddr::V4(_)) if a.is_unspecified() => false,
        (IpAddr::V6(a), IpAddr::V4(_)) if a.is_unspecified() && !socket.v6only => false,
        (IpAddr::V6(a), IpAddr::V6(_)) if a.is_unspecified() => false,
        _ => return None,
    };
    let device = u32::from(socket.device != 0);
    let family = u32::from(socket.family == Family::Inet && arrival.ip.is_ipv4());
    let within = match arrival.protocol {
        Protocol::Tcp => device + family,
        Protocol::Udp => 2 * device + family,
    };
    Some(within + if exact { 10 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(id: u64, ip: &str) -> Socket {
        let ip: IpAddr = ip.parse().unwrap();
        let new = Socket::new(SocketId(id), Family::of(ip), Protocol::Tcp, 0);
        let one_v6 = matches!(ip, IpAddr::V6(ip) if !ip.is_unspecified());
        Socket { ip, port: 80, state: State::Listen, v6only: one_v6, ..new }
    }

    fn who(sockets: &[Socket], ip: &str, device: u32) -> Vec<u64> {
        let arrival = Arrival { protocol: Protocol::Tcp, ip: ip.parse().unwrap(), device };
        receivers(sockets, arrival).into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn the_address_itself_comes_first() {
        let all = [socket(1, "0.0.0.0"), socket(2, "192.0.2.1"), socket(3, "::")];
        assert_eq!(who(&all, "192.0.2.1", 2), [2]);
        assert_eq!(who(&all, "127.0.0.1", 1), [1]);
        assert_eq!(who(&all, "::1", 1), [3]);
        assert_eq!(who(&all[2..], "127.0.0.1", 1), [3]);
        let only = [Socket { v6only: true, ..socket(3, "::") }];
        assert!(who(&only, "127.0.0.1", 1).is_empty());
        assert_eq!(who(&[socket(4, "::1")], "::1", 1), [4]);
        assert!(who(&[socket(4, "::1")], "127.0.0.1", 1).is_empty());
    }

    #[test]
    fn a_device_and_a_state_keep_packets_out() {
        let on_two = [Socket { device: 2, ..socket(1, "0.0.0.0") }];
        assert_eq!(who(&on_two, "192.0.2.1", 2), [1]);
        assert!(who(&on_two, "192.0.2.1", 1).is_empty());
        let bound = [Socket { state: State::Closed, ..socket(1, "0.0.0.0") }];
        assert!(who(&bound, "192.0.2.1", 2).is_empty());
        let mapped = [Socket { v6only: false, ..socket(1, "::ffff:192.0.2.1") }];
        assert_eq!(who(&mapped, "192.0.2.1", 2), [1]);
    }

    #[test]
    fn those_that_share_are_all_named() {
        let share = [socket(1, "0.0.0.0"), socket(2, "0.0.0.0")];
        assert_eq!(who(&share, "192.0.2.1", 2), [1, 2]);
    }
}
