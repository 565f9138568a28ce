//! Hosts and questions for the tests of macOS.

use std::net::IpAddr;

use portwise_model::{
    AddrState, Call, Case, Fact, Family, Host, IfAddr, Interface, Protocol, Request, SockAddr,
    Socket, SocketId, Subject, decide, xnu,
};

/// The addresses of `en0`.
pub(crate) const LAN: [&str; 2] = ["192.0.2.10", "2001:db8::20"];

/// A host on a network, with every address known.
pub(crate) fn known_lan(macos: &str) -> Host {
    let mut host = unknown_lan(macos);
    let Fact::Known { value, .. } = &mut host.interfaces else { unreachable!() };
    let address = |ip: &str, prefix| IfAddr {
        ip: ip.parse().unwrap(),
        prefix,
        broadcast: None,
        state: AddrState::Usable,
    };
    let addresses = LAN.iter().zip([24, 64]).map(|(ip, prefix)| address(ip, prefix)).collect();
    value.list.push(interface(4, "en0", addresses));
    value.complete = true;
    host
}

/// A host of which only lo0 is known.
pub(crate) fn unknown_lan(macos: &str) -> Host {
    xnu::assumed_host(xnu::from_macos(macos).expect("a version"))
}

/// A fresh socket of `uid` that asks for `ip` and `port`.
pub(crate) fn case(host: Host, protocol: Protocol, uid: u32, ip: &str, port: u16) -> Case {
    let ip: IpAddr = ip.parse().unwrap();
    let socket = Socket::new(SocketId::ASKING, Family::of(ip), protocol, uid);
    let request = Request { call: Call::Bind(SockAddr::new(ip, port, 0)), socket };
    Case { host, subject: Subject::plain(uid, "assumed"), request }
}

/// The outcomes, joined by `|`.
pub(crate) fn answer(case: &Case) -> String {
    let possible = decide(case).possible;
    possible.iter().map(|outcome| outcome.name()).collect::<Vec<_>>().join("|")
}

fn interface(index: u32, name: &'static str, addresses: Vec<IfAddr>) -> Interface {
    Interface { index, name: name.into(), loopback: false, up: true, vrf: 0, addresses }
}
