//! Hosts and questions for the bench.

use portwise_model::{
    Call, Family, Host, Kernel, KernelFamily, Machine, Outcome, Protocol, Request, SockAddr,
    SockOption, Socket, SocketId, Subject, Version,
    scenario::{format::Setup, host_of},
};

/// A port that nobody has.
pub const FREE: u16 = 8080;

/// The uid that asks.
pub const UID: u32 = 1000;

/// A kernel as a fresh network namespace shows it: `lo` up, no sockets.
pub fn host(family: KernelFamily, version: Version, release: &str) -> Host {
    let kernel = Kernel { family, version, release: release.to_string().into() };
    match host_of(kernel, &Setup::default()) {
        Ok((host, _)) => host,
        Err(why) => panic!("no such host: {}", why.0),
    }
}

/// The host with `count` TCP listeners of `UID`, each on `127.x.y.z`: on one port each, from 10000 on,
/// or all on `FREE`.
pub fn with_listeners(host: Host, count: u32, on_one_port: bool) -> Host {
    let mut machine = Machine::new(host);
    for n in 0..count {
        let id = SocketId(u64::from(n) + 1);
        machine.socket(id, Family::Inet, Protocol::Tcp, UID);
        let own = [127, (n >> 16) as u8 + 1, (n >> 8) as u8, n as u8];
        let port = if on_one_port { FREE } else { 10000 + (n % 50000) as u16 };
        let bind = Call::Bind(SockAddr::v4(own.into(), port));
        for call in [Call::SetOption(SockOption::ReuseAddr(true)), bind, Call::Listen(1)] {
            machine.settle(id, call, Outcome::Ok, None);
        }
    }
    machine.host
}

/// `bind` of a fresh TCP socket.
pub fn bind(family: Family, addr: SockAddr) -> Request {
    let socket = Socket::new(SocketId::ASKING, family, Protocol::Tcp, UID);
    Request { call: Call::Bind(addr), socket }
}

/// A user without capabilities.
pub fn user() -> Subject {
    Subject::plain(UID, "given")
}
