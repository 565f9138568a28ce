//! Which socket gets an arriving packet, read beside `__inet_lookup`, `inet6_lookup`,
//! `__udp4_lib_lookup` and `__udp6_lib_lookup`.

mod choices;
mod group;
mod scan;
mod tcp;
mod udp;

pub use choices::*;
pub(super) use group::{join, leave};

use super::LOOKUP_ADDRESS_FIRST;
use crate::{FactKey, Feature, Found, Host, Missing, Packet, Protocol, Socket};

/// A BPF program attached to the network namespace, which chooses listeners (`sk_lookup`).
pub const SK_LOOKUP: &str = "sk-lookup";

/// Returns who gets `packet`. The options of sockets matter only where several share the port.
///
/// # Errors
/// The fact that is missing.
pub fn lookup(host: &Host, packet: &Packet) -> Result<Found, Missing> {
    let sockets = host.sockets.on(packet.dst.port())?;
    if !has(host, &LOOKUP_ADDRESS_FIRST)? {
        return Err(before_5_0());
    }
    let listening = Listening { host, packet, sockets };
    match packet.protocol {
        Protocol::Tcp => tcp::lookup(&listening),
        Protocol::Udp => udp::lookup(&listening),
    }
}

/// The packet, and the sockets of its port.
struct Listening<'a> {
    host: &'a Host,
    packet: &'a Packet,
    sockets: &'a [Socket],
}

impl<'a> Listening<'a> {
    /// The sockets of the packet's protocol on its port.
    fn of_protocol(&self) -> impl Iterator<Item = &'a Socket> + use<'a> {
        let protocol = self.packet.protocol;
        self.sockets.iter().filter(move |s| s.protocol == protocol)
    }

    /// Whether the device a socket is bound to is that of the packet (`inet_sk_bound_dev_eq`).
    fn on_device(&self, socket: &Socket) -> Result<bool, Missing> {
        let Packet { device, vrf, .. } = *self.packet;
        if socket.device != 0 {
            return Ok(socket.device == device || socket.device == vrf);
        }
        let accept = match socket.protocol {
            Protocol::Tcp => "net.ipv4.tcp_l3mdev_accept",
            Protocol::Udp => "net.ipv4.udp_l3mdev_accept",
        };
        Ok(vrf == 0 || self.host.sysctl(accept)? != 0)
    }

    /// A program that chooses listeners comes before them.
    fn steered(&self) -> Result<(), Missing> {
        let steered = self.host.policies.value().is_some_and(|p| p.iter().any(|g| g == SK_LOOKUP));
        match steered {
            false => Ok(()),
            true => Err(Missing::new(
                FactKey::Policy(SK_LOOKUP.into()),
                "a BPF program of this network namespace chooses the socket",
                "sudo bpftool net",
            )),
        }
    }
}

/// Whether the kernel has a feature, as a fact that may be missing.
pub(super) fn has(host: &Host, feature: &'static Feature) -> Result<bool, Missing> {
    host.has(feature).ok_or_else(|| {
        Missing::new(
            FactKey::Feature(feature.id.into()),
            "the sources of this version were not read",
            "try it on that version",
        )
    })
}

fn before_5_0() -> Missing {
    Missing::new(
        FactKey::Feature(LOOKUP_ADDRESS_FIRST.id.into()),
        "how Linux before 5.0 chooses among several sockets is not written down here",
        "try it on that version",
    )
}
