//! Makes the namespaces in which scenarios play.

use portwise_model::{CapSet, scenario::Who};
use portwise_sys::{
    Errno, Error, caps,
    ns::{self, IdMap, Kind},
    proc::Proc,
    rtnetlink::RtNetlink,
};

use super::{Trouble, world};

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
    furnish().map_err(|e| Trouble(format!("the namespace could not be set up: {e}")))
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
