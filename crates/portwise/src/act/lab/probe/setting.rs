//! What probes have in common: short calls that say in words what went wrong.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use portwise_model::scenario::Who;
use portwise_sys::{
    Errno,
    caps::{self, Sets},
    sock::{Address, Socket, SocketOption},
    sockdiag::{AF_INET, AF_INET6},
};

use crate::act::lab::live::{SOCK_DGRAM, SOCK_STREAM};

/// How long a connection may take to arrive.
const ARRIVES: Duration = Duration::from_secs(2);

/// A probe's thread, alone in its network namespace.
pub(super) struct Setting {
    /// Who it is.
    pub(super) home: Who,
}

/// Says which call it was that failed.
pub(super) fn said<T>(call: &str, answer: Result<T, Errno>) -> Result<T, String> {
    answer.map_err(|errno| format!("{call}: {errno}"))
}

/// The feature is there if the call failed with `errno`, and not if it succeeded.
pub(super) fn refused(
    call: &str,
    answer: Result<(), Errno>,
    expected: Errno,
) -> Result<bool, String> {
    match answer {
        Ok(()) => Ok(false),
        Err(errno) if errno == expected => Ok(true),
        Err(errno) => Err(format!("{call}: {errno}")),
    }
}

/// The feature is there if the call succeeded, and not if it failed with `errno`.
pub(super) fn allowed(
    call: &str,
    answer: Result<(), Errno>,
    expected: Errno,
) -> Result<bool, String> {
    refused(call, answer, expected).map(|refused| !refused)
}

/// A TCP socket with these options set.
pub(super) fn tcp(six: bool, options: &[SocketOption]) -> Result<Socket, String> {
    socket(SOCK_STREAM, six, options)
}

/// A UDP socket with these options set.
pub(super) fn udp(six: bool, options: &[SocketOption]) -> Result<Socket, String> {
    socket(SOCK_DGRAM, six, options)
}

fn socket(kind: i32, six: bool, options: &[SocketOption]) -> Result<Socket, String> {
    let family = if six { AF_INET6 } else { AF_INET };
    let socket = said("socket", Socket::new(family.into(), kind, 0))?;
    for option in options {
        said(option.name, socket.set(*option, 1))?;
    }
    Ok(socket)
}

pub(super) fn address(ip: &str, port: u16) -> Address {
    let ip: IpAddr = ip.parse().expect("an address written here");
    Address::new(SocketAddr::new(ip, port))
}

/// A TCP socket with these options that holds this address.
pub(super) fn bound(ip: &str, port: u16, options: &[SocketOption]) -> Result<Socket, String> {
    let socket = tcp(ip.contains(':'), options)?;
    said("bind", socket.bind(&address(ip, port)))?;
    Ok(socket)
}

/// Binds a new TCP socket with these options, and says what came of it.
pub(super) fn bind(
    ip: &str,
    port: u16,
    options: &[SocketOption],
) -> Result<Result<(), Errno>, String> {
    Ok(tcp(ip.contains(':'), options)?.bind(&address(ip, port)))
}

pub(super) fn listen(socket: Socket) -> Result<Socket, String> {
    said("listen", socket.listen(8)).map(|()| socket)
}

/// Connects to `ip` and `port`, and says which of the listeners has the connection.
pub(super) fn who_gets(ip: &str, port: u16, listeners: &[&Socket]) -> Result<usize, String> {
    let client = tcp(ip.contains(':'), &[])?;
    said("connect", client.connect(&address(ip, port)))?;
    let tries = 20 * listeners.len();
    for attempt in 0..tries {
        let at = attempt % listeners.len();
        match listeners[at].accept_within(ARRIVES / tries as u32) {
            Ok(_) => return Ok(at),
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(format!("accept: {errno}")),
        }
    }
    Err("nobody got the connection".into())
}

/// Takes every capability from this thread.
pub(super) fn become_powerless() -> Result<(), String> {
    said("capset", caps::set(&Sets { effective: 0, permitted: 0, inheritable: 0 }))
}
