//! The way by sockets that are made beforehand: the program gets them from descriptor 3 on, and
//! finds how many in `LISTEN_FDS`, as sd_listen_fds(3) has it.

use std::os::fd::OwnedFd;

use portwise_model::Protocol;
use portwise_sys::{
    caps,
    process::{hand_on, is_handed_on},
    sock::{Address, Socket, SocketOption},
};

use super::{Plan, exact};
use crate::{Trouble, endpoint::Target};

/// The descriptor from which on they are.
const FIRST: i32 = 3;

/// Why this way cannot be gone.
pub(super) fn reason_against(plan: &Plan) -> Option<String> {
    if plan.targets.is_empty() {
        return Some("no endpoint is named".into());
    }
    if std::env::var_os("LISTEN_FDS").is_some() {
        return Some("sockets were handed to this process already (LISTEN_FDS is set)".into());
    }
    let last = FIRST + plan.targets.len() as i32 - 1;
    let taken = (FIRST..=last).find(|fd| is_handed_on(*fd))?;
    Some(format!("descriptor {taken} is in use, where the program would look for its sockets"))
}

/// Binds a socket for each endpoint, those of TCP listen, and puts them where the program finds
/// them. Returns the variables that tell it.
///
/// # Errors
/// If one cannot be bound.
pub(super) fn make(plan: &Plan, scopes: &[u32]) -> Result<Vec<(&'static str, String)>, Trouble> {
    let mut own = caps::get(0).map_err(|errno| Trouble::new(format!("capget: {errno}")))?;
    own.effective |= own.permitted & caps::bit(caps::NET_BIND_SERVICE);
    caps::set(&own).map_err(|errno| Trouble::new(format!("capset: {errno}")))?;
    let mut made: Vec<OwnedFd> = Vec::new();
    for (target, scope) in plan.targets.iter().zip(scopes) {
        let socket = one(plan, target, *scope).map_err(|(call, errno)| {
            Trouble::new(format!(
                "{call} of {}/{}: {} ({errno}); portwise why {} says more",
                target.shown,
                target.protocol.name(),
                errno.text(),
                target.shown
            ))
        })?;
        made.push(socket.into());
    }
    let names: Vec<String> =
        plan.targets.iter().map(|t| format!("{}-{}", t.protocol.name(), t.port)).collect();
    let variables = vec![
        ("LISTEN_FDS", made.len().to_string()),
        ("LISTEN_FDNAMES", names.join(":")),
        // It becomes the program.
        ("LISTEN_PID", std::process::id().to_string()),
    ];
    hand_on(made, FIRST).map_err(|errno| Trouble::new(format!("dup2: {errno}")))?;
    Ok(variables)
}

type Failed = (&'static str, portwise_sys::Errno);

fn one(plan: &Plan, target: &Target, scope: u32) -> Result<Socket, Failed> {
    const BACKLOG: i32 = 4096;
    let family = if target.ip.is_ipv4() { 2 } else { 10 };
    let (kind, protocol) = exact::kind(target.protocol);
    let socket = Socket::new(family, kind, protocol).map_err(|errno| ("socket", errno))?;
    let set = |option, value: bool| {
        socket.set(option, value.into()).map_err(|errno| ("setsockopt", errno))
    };
    let settings = &plan.settings;
    if target.protocol == Protocol::Tcp || settings.reuseaddr {
        // So that a restart need not wait for old connections.
        set(SocketOption::SO_REUSEADDR, true)?;
    }
    if settings.reuseport {
        set(SocketOption::SO_REUSEPORT, true)?;
    }
    if settings.freebind {
        set(SocketOption::IP_FREEBIND, true)?;
    }
    if settings.v6only || target.dual_stack.is_some() {
        set(SocketOption::IPV6_V6ONLY, settings.v6only || target.dual_stack == Some(false))?;
    }
    if let Some(device) = &settings.device {
        socket.bind_to_device(device.as_bytes()).map_err(|errno| ("setsockopt", errno))?;
    }
    let address = match target.ip {
        std::net::IpAddr::V4(ip) => (ip, target.port).into(),
        std::net::IpAddr::V6(ip) => {
            std::net::SocketAddr::V6(std::net::SocketAddrV6::new(ip, target.port, 0, scope))
        }
    };
    socket.bind(&Address::new(address)).map_err(|errno| ("bind", errno))?;
    if target.protocol == Protocol::Tcp {
        socket.listen(BACKLOG).map_err(|errno| ("listen", errno))?;
    }
    Ok(socket)
}
