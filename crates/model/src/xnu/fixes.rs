//! Changes that lift a refusal on macOS. There is no capability and no sysctl to lower the limit
//! of reserved ports.

use core::net::IpAddr;

use super::pcb;
use crate::{
    AddrState, Call, Case, Fact, Family, IfAddr, SockAddr, State,
    fix::{Breadth, Fix, suggested_port},
    v4_mapped,
};

/// Take a port that is free for everyone.
pub static ANOTHER_PORT: Fix = Fix {
    id: "xnu.another-port",
    title: "another port",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 20,
    apply: |case, n| change_address(case, |addr| next_port(addr, n)),
};

/// Take the address that needs no privilege, and keep to this host.
pub static EVERY_ADDRESS_DROP_PEERS: Fix = Fix {
    id: "xnu.every-address-drop-peers",
    title: "bind the unspecified address (0.0.0.0 or ::) and close every accepted connection whose peer is not this host",
    breadth: Breadth::Request,
    side_effects: "others can still connect before they are dropped, and see that the port is open",
    command: "",
    tries: 1,
    apply: |case, _| is_loopback(case) && change_address(case, to_unspecified),
};

/// Listen on all addresses.
pub static EVERY_ADDRESS: Fix = Fix {
    id: "xnu.every-address",
    title: "the unspecified address (0.0.0.0 or ::)",
    breadth: Breadth::Request,
    side_effects: "it is reachable over every address of the host",
    command: "",
    tries: 1,
    apply: |case, _| !is_loopback(case) && change_address(case, to_unspecified),
};

/// Leave IPv4 to the socket that has it.
pub static V6ONLY: Fix = Fix {
    id: "xnu.v6only",
    title: "set IPV6_V6ONLY on the socket before bind",
    breadth: Breadth::Request,
    side_effects: "it then serves IPv6 only",
    command: "",
    tries: 1,
    apply: |case, _| {
        let socket = &mut case.request.socket;
        socket.family == Family::Inet6 && !core::mem::replace(&mut socket.v6only, true)
    },
};

/// Say which link is meant.
pub static ADD_ZONE: Fix = Fix {
    id: "xnu.add-zone",
    title: "name the interface, as in fe80::1%en0",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 1,
    apply: |case, _| {
        let Call::Bind(addr) = &mut case.request.call else { return false };
        let ip = addr.ipv6();
        let Some(interfaces) = case.host.interfaces.value() else { return false };
        let found = interfaces.addresses().find(|(_, a)| a.ip == IpAddr::V6(ip));
        let Some((interface, _)) = found else { return false };
        addr.scope = interface.index;
        true
    },
};

/// Ask for one address beside sockets on others, or on one that a stopped server left.
pub static REUSEADDR: Fix = Fix {
    id: "xnu.reuseaddr",
    title: "set SO_REUSEADDR on the socket before bind",
    breadth: Breadth::Request,
    side_effects: "connections to this address then go to it, those to others stay where they are",
    command: "",
    tries: 1,
    apply: |case, _| case.request.socket.options.reuseaddr.replace(true) == Some(false),
};

/// Any automatic port will do.
pub static CLEAR_LOW_RANGE: Fix = Fix {
    id: "xnu.clear-low-range",
    title: "leave IP_PORTRANGE at its default",
    breadth: Breadth::Request,
    side_effects: "the port comes from 49152 to 65535",
    command: "",
    tries: 1,
    apply: |case, _| core::mem::replace(&mut case.request.socket.options.portrange_low, false),
};

/// Become root.
pub static THIS_RUN: Fix = Fix {
    id: "xnu.this-run",
    title: "this run only, as root",
    breadth: Breadth::Process,
    side_effects: "the program and whatever it starts may do anything",
    command: "sudo {command}",
    tries: 1,
    apply: |case, _| become_root(case),
};

/// Both sides must agree.
pub static REUSEPORT_ON_BOTH: Fix = Fix {
    id: "xnu.reuseport-on-both",
    title: "set SO_REUSEPORT on this socket and on the one that holds the port, both before bind",
    breadth: Breadth::Holder,
    side_effects: "connections are not spread: of equal addresses the newest socket gets all, of the unspecified ones the oldest",
    command: "",
    tries: 1,
    apply: |case, _| {
        let Call::Bind(addr) = case.request.call else { return false };
        let socket = &mut case.request.socket;
        let Ok(list) = case.host.sockets.on(addr.port) else { return false };
        let mut list = list.to_vec();
        for t in list.iter_mut().filter(|t| t.protocol == socket.protocol) {
            t.options.reuseport = Some(true);
        }
        socket.options.reuseport = Some(true);
        case.host.sockets.set_port(addr.port, list);
        true
    },
};

/// Wait until those who hold the port are gone.
pub static STOP_HOLDER: Fix = Fix {
    id: "xnu.stop-holder",
    title: "stop the program that holds the port",
    breadth: Breadth::Holder,
    side_effects: "its clients lose it",
    command: "",
    tries: 1,
    apply: |case, _| {
        let Call::Bind(addr) = case.request.call else { return false };
        let Ok(all) = case.host.sockets.on(addr.port) else { return false };
        let kept = all.iter().filter(|s| s.state == State::TimeWait).copied().collect();
        case.host.sockets.set_port(addr.port, kept);
        true
    },
};

/// Let launchd, which is root, bind and pass the socket on.
pub static LAUNCHD_SOCKETS: Fix = Fix {
    id: "xnu.launchd-sockets",
    title: "a launchd daemon with Sockets (SockNodeName {ip}, SockServiceName {port}); the program takes them with launch_activate_socket(3)",
    breadth: Breadth::Program,
    side_effects: "a property list in /Library/LaunchDaemons, which root must write; the program must know launchd",
    command: "",
    tries: 1,
    apply: |case, _| become_root(case),
};

/// Let the packet filter translate the port.
pub static PF_REDIRECT: Fix = Fix {
    id: "xnu.pf-redirect",
    title: "another port, and a pf rule on lo0 that redirects {port} to it",
    breadth: Breadth::Host,
    side_effects: "every client on this host is redirected; the rule must stand in an anchor of its own that /etc/pf.conf names, and pf must be enabled",
    command: "",
    tries: 20,
    apply: |case, n| is_loopback(case) && change_address(case, |addr| next_port(addr, n)),
};

/// Give the host the IPv4 address.
pub static ADD_ADDRESS4: Fix = Fix {
    id: "xnu.add-address4",
    title: "add the address to lo0",
    breadth: Breadth::Host,
    side_effects: "only this host reaches it there; lost at reboot",
    command: "sudo ifconfig lo0 alias {ip}",
    tries: 1,
    apply: |case, _| add_address(case, Family::Inet, 32),
};

/// Give the host the IPv6 address.
pub static ADD_ADDRESS6: Fix = Fix {
    id: "xnu.add-address6",
    title: "add the address to lo0",
    breadth: Breadth::Host,
    side_effects: "only this host reaches it there; lost at reboot",
    command: "sudo ifconfig lo0 inet6 {ip} alias",
    tries: 1,
    apply: |case, _| add_address(case, Family::Inet6, 128),
};

fn next_port(addr: &mut SockAddr, n: u16) {
    addr.port = suggested_port(addr.port).saturating_add(n);
}

/// The unspecified address of the family that would be bound: `::ffff:0.0.0.0` stays IPv4.
fn to_unspecified(addr: &mut SockAddr) {
    let prefix = if v4_mapped(addr.ipv6()).is_some() { addr.wide } else { [0; 16] };
    addr.wide = [0; 16];
    addr.wide[..12].copy_from_slice(&prefix[..12]);
    (addr.word, addr.scope) = ([0; 4], 0);
}

fn is_loopback(case: &Case) -> bool {
    let Call::Bind(addr) = &case.request.call else { return false };
    pcb::read(&case.request.socket, addr).is_loopback()
}

fn become_root(case: &mut Case) -> bool {
    case.request.socket.uid = Some(0);
    core::mem::replace(&mut case.subject.uid, 0) != 0
}

/// Gives `lo0` the address asked for, if it can be an interface's.
fn add_address(case: &mut Case, family: Family, prefix: u8) -> bool {
    let Call::Bind(addr) = &case.request.call else { return false };
    let ip = addr.ip(family);
    let nobodys = match ip {
        IpAddr::V4(ip) => ip.is_broadcast(),
        IpAddr::V6(ip) => v4_mapped(ip).is_some(),
    };
    let Fact::Known { value, .. } = &mut case.host.interfaces else { return false };
    let lo0 = value.list.iter_mut().find(|interface| interface.loopback);
    match lo0 {
        Some(lo0) if !nobodys && case.request.socket.family == family => {
            lo0.addresses.push(IfAddr { ip, prefix, broadcast: None, state: AddrState::Usable });
            true
        }
        _ => false,
    }
}

fn change_address(case: &mut Case, change: impl FnOnce(&mut SockAddr)) -> bool {
    let Call::Bind(addr) = &mut case.request.call else { return false };
    let before = *addr;
    change(addr);
    *addr != before
}
