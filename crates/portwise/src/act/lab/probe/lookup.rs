//! Probes of who gets a connection. Of two listeners that are equally good, the kernel finds the
//! one made last first; so the one that the feature prefers is made first.

use portwise_model::linux::{LOOKUP_ADDRESS_FIRST, LOOKUP_PREFERS_DEVICE};
use portwise_sys::sock::{Socket, SocketOption};

use super::{
    Probe,
    setting::{bound, listen, said, tcp, who_gets},
};

pub(super) static PROBES: &[Probe] = &[
    Probe {
        feature: &LOOKUP_ADDRESS_FIRST,
        how: "a listener on 127.0.0.1 gets the connection, not one on 0.0.0.0 that is bound to lo",
        ask: |_| {
            let specific = listen(bound("127.0.0.1", 8080, &[SHARE])?)?;
            let wildcard = on_lo("0.0.0.0")?;
            Ok(who_gets("127.0.0.1", 8080, &[&specific, &wildcard])? == 0)
        },
    },
    Probe {
        feature: &LOOKUP_PREFERS_DEVICE,
        how: "of two listeners on 127.0.0.1, the one that is bound to lo gets the connection",
        ask: |_| {
            let bound_to_lo = on_lo("127.0.0.1")?;
            let other = listen(bound("127.0.0.1", 8080, &[SHARE])?)?;
            // Of sockets that still share, the first that fits would do.
            for socket in [&bound_to_lo, &other] {
                said("SO_REUSEPORT", socket.set(SHARE, 0))?;
            }
            Ok(who_gets("127.0.0.1", 8080, &[&bound_to_lo, &other])? == 0)
        },
    },
];

const SHARE: SocketOption = SocketOption::SO_REUSEPORT;

/// A listener that is bound to the loopback device.
fn on_lo(ip: &str) -> Result<Socket, String> {
    let socket = tcp(false, &[SHARE])?;
    said("SO_BINDTODEVICE", socket.bind_to_device(b"lo"))?;
    said("bind", socket.bind(&super::setting::address(ip, 8080)))?;
    listen(socket)
}
