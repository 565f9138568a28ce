//! Probes of what differs in `setsockopt`.

use portwise_model::linux::{LOCAL_PORT_RANGE_OPTION, UNPRIVILEGED_BINDTODEVICE};
use portwise_sys::{Errno, sock::SocketOption};

use super::{
    Probe,
    setting::{Setting, allowed, become_powerless, tcp},
};

pub(super) static PROBES: &[Probe] = &[
    Probe {
        feature: &UNPRIVILEGED_BINDTODEVICE,
        how: "SO_BINDTODEVICE of lo succeeds without a capability",
        ask: bind_to_device,
    },
    Probe {
        feature: &LOCAL_PORT_RANGE_OPTION,
        how: "IP_LOCAL_PORT_RANGE can be set",
        ask: |_| {
            let option = SocketOption::IP_LOCAL_PORT_RANGE;
            allowed(option.name, tcp(false, &[])?.set(option, 0), Errno::ENOPROTOOPT)
        },
    },
];

fn bind_to_device(_: &Setting) -> Result<bool, String> {
    become_powerless()?;
    allowed("SO_BINDTODEVICE", tcp(false, &[])?.bind_to_device(b"lo"), Errno::EPERM)
}
