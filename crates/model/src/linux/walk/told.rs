//! What a client is told, and what its program gets then.

use crate::{
    Errno, Protocol,
    linux::{netfilter::RejectWith, route::RouteType},
};

/// A message that tells a client of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A TCP reset of the stack.
    Reset,
    /// A TCP reset of a rule.
    ResetByRule,
    /// "Destination unreachable" with this code.
    Icmp(u8),
}

impl Told {
    /// What a rule sends. `None` for a reset of what is not TCP: the kernel sends nothing then.
    pub(super) fn by_rule(with: RejectWith, protocol: Protocol, is_v6: bool) -> Option<Told> {
        match with {
            RejectWith::Reset => (protocol == Protocol::Tcp).then_some(Told::ResetByRule),
            RejectWith::Icmp(code) => Some(Told::Icmp(code)),
            RejectWith::Icmpx(code) => Some(Told::Icmp(match (code, is_v6) {
                (0, false) => 0,
                (1, false) => 3,
                (2, false) => 1,
                (3, false) => 13,
                (0, true) => 0,
                (1, true) => 4,
                (2, true) => 3,
                (3, true) => 1,
                _ => return None,
            })),
        }
    }

    /// What the stack sends where no socket takes a packet.
    pub(super) const fn nobody(protocol: Protocol, is_v6: bool) -> Told {
        match (protocol, is_v6) {
            (Protocol::Tcp, _) => Told::Reset,
            (Protocol::Udp, false) => Told::Icmp(3),
            (Protocol::Udp, true) => Told::Icmp(4),
        }
    }

    /// What routing sends where there is no way on.
    pub(super) const fn no_route(kind: RouteType, is_v6: bool) -> Told {
        match (kind, is_v6) {
            (RouteType::Prohibit, false) => Told::Icmp(13),
            (RouteType::Unreachable, false) => Told::Icmp(1),
            (_, false) => Told::Icmp(0),
            (RouteType::Prohibit, true) => Told::Icmp(1),
            (RouteType::Unreachable, true) => Told::Icmp(3),
            (_, true) => Told::Icmp(0),
        }
    }

    /// What `connect` of a Linux client gets, or `send` with `IP_RECVERR`.
    pub(super) const fn errno(self, is_v6: bool) -> Option<Errno> {
        Some(match (self, is_v6) {
            (Told::Reset | Told::ResetByRule, _) => Errno::ECONNREFUSED,
            (Told::Icmp(0 | 6 | 9 | 11), false) => Errno::ENETUNREACH,
            (Told::Icmp(1 | 5 | 7 | 8 | 10 | 12..=15), false) => Errno::EHOSTUNREACH,
            (Told::Icmp(2), false) => Errno::ENOPROTOOPT,
            (Told::Icmp(3), false) => Errno::ECONNREFUSED,
            (Told::Icmp(0), true) => Errno::ENETUNREACH,
            (Told::Icmp(1 | 5 | 6), true) => Errno::EACCES,
            (Told::Icmp(2 | 3), true) => Errno::EHOSTUNREACH,
            (Told::Icmp(4), true) => Errno::ECONNREFUSED,
            _ => return None,
        })
    }
}
