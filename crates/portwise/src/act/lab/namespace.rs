//! Makes the namespaces in which scenarios play.

use portwise_model::{CapSet, scenario::Who};
use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::{Duration, Instant},
};

use portwise_sys::{
    Errno, Error, caps,
    ns::{self, IdMap, Kind},
    proc::Proc,
    rtnetlink::RtNetlink,
    sock::{Address, Socket},
    sockdiag::{AF_INET, AF_INET6},
};

use super::{
    Trouble,
    live::{SOCK_NONBLOCK, SOCK_STREAM},
    world,
};

/// Makes sure that this process may make network namespaces, and returns who it is: a process
/// without the right for it moves into a user namespace of its own, where it has one uid and
/// every capability. That uid is `inside`, or by default the same as outside. Must be called
/// before any thread is started.
pub(super) fn enter(inside: Option<u32>) -> Result<Who, Trouble> {
    let me = Proc::default().thread_status().map_err(|e| Trouble(e.to_string()))?;
    let (uid, gid) = (me.uids.effective, me.gids.effective);
    if uid == 0 && me.capabilities.effective & caps::bit(caps::SYS_ADMIN) != 0 {
        return Ok(Who::ROOT);
    }
    ns::unshare(&[Kind::User]).map_err(|errno| {
        Trouble(format!(
            "no user namespace can be made here ({}: {}); run as root, or see \
             /proc/sys/user/max_user_namespaces",
            errno,
            errno.text()
        ))
    })?;
    let one = |id| [IdMap { inside: inside.unwrap_or(id), outside: id, count: 1 }];
    ns::map_ids(&one(uid), &one(gid), true).map_err(|e| Trouble(e.to_string()))?;
    Ok(Who { uid: inside.unwrap_or(uid), caps: Some(CapSet::ALL) })
}

/// Gives this thread a fresh network namespace with the devices and addresses of [`world`].
pub(super) fn build() -> Result<(), Trouble> {
    fresh()?;
    furnish().map_err(|e| Trouble(format!("the namespace could not be set up: {e}")))?;
    answering()
}

/// Waits until every address answers: one of IPv6 is made ready some milliseconds after it is
/// there.
fn answering() -> Result<(), Trouble> {
    let linked = world::ADDRESSES.iter().filter(|a| world::LINKED.contains(&a.0));
    for (device, ip, ..) in linked {
        let trouble = |why: String| Trouble(format!("{ip} on {device} does not answer: {why}"));
        let ip: IpAddr = ip.parse().expect("an address written here");
        let mut net = RtNetlink::open().map_err(|e| Trouble(e.to_string()))?;
        let zone = index(&mut net, device).map_err(|e| Trouble(e.to_string()))?;
        let to = match ip {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), 1),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, 1, 0, zone).into()
            }
            ip => SocketAddr::new(ip, 1),
        };
        answers(to, Duration::from_secs(10)).map_err(|errno| trouble(errno.to_string()))?;
    }
    Ok(())
}

/// Waits until a connection to an address of this host is refused, and not lost.
pub(super) fn answers(to: SocketAddr, limit: Duration) -> Result<(), Errno> {
    let end = Instant::now() + limit;
    let family = if to.is_ipv4() { AF_INET } else { AF_INET6 };
    loop {
        let client = Socket::new(family.into(), SOCK_STREAM | SOCK_NONBLOCK, 0)?;
        match client.connect_within(&Address::new(to), Duration::from_millis(50)) {
            Ok(()) | Err(Errno::ECONNREFUSED) => return Ok(()),
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Err(errno) => return Err(errno),
        }
    }
}

/// Gives this thread a fresh network namespace.
pub(super) fn fresh() -> Result<(), Trouble> {
    ns::unshare(&[Kind::Net])
        .map_err(|errno| Trouble(format!("no network namespace can be made here: {errno}")))
}

fn furnish() -> Result<(), Error> {
    ns::lo_up().map_err(|errno| Error::new("SIOCSIFFLAGS", errno))?;
    let mut net = RtNetlink::open()?;
    for (device, peer) in world::PAIRS {
        net.add_veth(device, peer)?;
        let linked = world::LINKED.contains(device).then_some(peer);
        for end in [Some(device), linked].into_iter().flatten() {
            let index = index(&mut net, end)?;
            net.set_up(index)?;
        }
    }
    for (device, ip, prefix, nodad) in world::ADDRESSES {
        let at = index(&mut net, device)?;
        let ip = ip.parse().expect("an address written here");
        net.add_address(at, ip, *prefix, *nodad)?;
    }
    Ok(())
}

/// The index of the interface with this name, or `ENODEV`.
pub(super) fn index(net: &mut RtNetlink, name: &str) -> Result<u32, Error> {
    let found = net.links()?.into_iter().find(|link| link.name == name);
    found.map(|link| link.index).ok_or_else(|| Error::about("links", Errno::ENODEV, name))
}
