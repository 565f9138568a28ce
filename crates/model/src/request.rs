//! What is asked of the kernel.

use crate::{SockAddr, Socket};

/// One call on one socket, as the socket is before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// The call.
    pub call: Call,
    /// The socket it is made on.
    pub socket: Socket,
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Call {
    /// `bind(2)` to this address.
    Bind(SockAddr),
    /// `listen(2)` with this backlog.
    Listen(i32),
    /// `connect(2)` to this address; with `AF_UNSPEC` it takes a connection apart.
    Connect(SockAddr),
    /// `setsockopt(2)`.
    SetOption(SockOption),
}

/// A socket option with the value to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum SockOption {
    /// `SO_REUSEADDR`.
    ReuseAddr(bool),
    /// `SO_REUSEPORT`.
    ReusePort(bool),
    /// `SO_REUSESHAREUID` (XNU).
    ShareUid(bool),
    /// `IPV6_V6ONLY`.
    V6Only(bool),
    /// `IP_FREEBIND` or `IPV6_FREEBIND` (Linux).
    Freebind(bool),
    /// `IP_TRANSPARENT` or `IPV6_TRANSPARENT` (Linux).
    Transparent(bool),
    /// `IP_BIND_ADDRESS_NO_PORT` (Linux).
    BindAddressNoPort(bool),
    /// `IP_LOCAL_PORT_RANGE` (Linux), lowest and highest port.
    LocalPortRange(u16, u16),
    /// `IP_PORTRANGE_LOW` (XNU and the BSDs).
    PortRangeLow(bool),
    /// `SO_BINDTODEVICE` (Linux), an interface index; 0 clears it. `None`: no such device.
    BindToDevice(Option<u32>),
    /// `SO_BROADCAST`.
    Broadcast(bool),
    /// `SO_REUSEPORT_LB` (FreeBSD).
    ReusePortLb(bool),
    /// `SO_EXCLUSIVEADDRUSE` (Windows) or `TCP_EXCLBIND` (illumos).
    Exclusive(bool),
}

impl SockOption {
    /// The name of the option in scenario files.
    pub const fn name(self) -> &'static str {
        match self {
            SockOption::ReuseAddr(_) => "reuseaddr",
            SockOption::ReusePort(_) => "reuseport",
            SockOption::ShareUid(_) => "shareuid",
            SockOption::V6Only(_) => "v6only",
            SockOption::Freebind(_) => "freebind",
            SockOption::Transparent(_) => "transparent",
            SockOption::BindAddressNoPort(_) => "bind_address_no_port",
            SockOption::LocalPortRange(..) => "local_port_range",
            SockOption::PortRangeLow(_) => "portrange",
            SockOption::BindToDevice(_) => "bindtodevice",
            SockOption::Broadcast(_) => "broadcast",
            SockOption::ReusePortLb(_) => "reuseport_lb",
            SockOption::Exclusive(_) => "exclusive",
        }
    }

    /// Returns `socket` with the option set.
    pub fn applied(self, mut socket: Socket) -> Socket {
        let options = &mut socket.options;
        match self {
            SockOption::ReuseAddr(on) => options.reuseaddr = Some(on),
            SockOption::ReusePort(on) => options.reuseport = Some(on),
            SockOption::ShareUid(on) => options.shareuid = on,
            SockOption::V6Only(on) => socket.v6only = on,
            SockOption::Freebind(on) => options.freebind = on,
            SockOption::Transparent(on) => options.transparent = on,
            SockOption::BindAddressNoPort(on) => options.bind_address_no_port = on,
            SockOption::LocalPortRange(low, high) => {
                options.local_port_range = (low != 0 || high != 0).then_some((low, high));
            }
            SockOption::PortRangeLow(on) => options.portrange_low = on,
            SockOption::Broadcast(on) => options.broadcast = on,
            SockOption::ReusePortLb(on) => options.reuseport_lb = on,
            SockOption::Exclusive(on) => options.exclusive = on,
            SockOption::BindToDevice(device) => socket.device = device.unwrap_or(socket.device),
        }
        socket
    }
}
