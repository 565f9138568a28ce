//! The kernel, the interfaces, the table `local` and the sysctls of the running Linux.

use std::net::IpAddr;

use portwise_model::{
    AddrState, Fact, FactKey, Host, IfAddr, Interface, Interfaces, Kernel, KernelFamily,
    LocalPorts, LocalRoute, LocalRoutes, Missing, RouteKind, Text, Version,
};
use portwise_sys::{
    Error,
    proc::Proc,
    rtnetlink::{Address, Link, RT_TABLE_LOCAL, Route, RtNetlink},
    sockdiag::AF_INET,
    uname::{Uname, uname},
};

/// Which kernel runs.
pub(super) fn kernel() -> Result<Kernel, String> {
    let name = uname().map_err(|error| format!("cannot read the kernel's version: {error}"))?;
    let version = version(&name, || Proc::default().read("proc/version_signature").ok())
        .ok_or_else(|| format!("the kernel's version `{}` starts with no number", name.release))?;
    Ok(Kernel { family: KernelFamily::Linux, version, release: name.release.into() })
}

/// The version of the sources it was built from. Debian and Ubuntu name a release after what modules
/// see of it, such as `6.1.0-56`, and say elsewhere that this is 6.1.192.
fn version(name: &Uname, signature: impl FnOnce() -> Option<Vec<u8>>) -> Option<Version> {
    let named = Version::parse(&name.release)?;
    if named.0[2] != 0 || !name.release.contains('-') {
        return Some(named);
    }
    let point = match name.version.split_once("Debian ") {
        Some((_, version)) => Version::parse(version),
        // Such as `Ubuntu 5.15.0-91.101-generic 5.15.131`.
        None => signature().and_then(|bytes| {
            Version::parse(String::from_utf8_lossy(&bytes).split_ascii_whitespace().nth(2)?)
        }),
    };
    Some(point.filter(|point| point.0[..2] == named.0[..2]).unwrap_or(named))
}

/// Why something could not be read, and whether root could.
pub(super) fn unread(key: &FactKey, error: &Error) -> Missing {
    let reveal = if error.is_denied() { "root can read it" } else { "" };
    Missing::new(key.clone(), format!("it cannot be read: {error}"), reveal)
}

/// The interfaces with their addresses.
pub(super) fn interfaces(rtnetlink: &mut RtNetlink) -> Result<Interfaces, Error> {
    let links = rtnetlink.links()?;
    let vrf = |link: &Link| {
        let is_vrf = |index| links.iter().any(|l| l.index == index && l.vrf_table.is_some());
        link.master.filter(|&index| is_vrf(index)).unwrap_or(0)
    };
    let mut list: Vec<Interface> = links
        .iter()
        .map(|link| Interface {
            index: link.index,
            name: link.name.clone().into(),
            loopback: link.is_loopback(),
            up: link.is_up(),
            vrf: vrf(link),
            addresses: Vec::new(),
        })
        .collect();
    for address in rtnetlink.addresses()? {
        if let Some(interface) = list.iter_mut().find(|i| i.index == address.interface) {
            interface.addresses.push(if_addr(&address));
        }
    }
    Ok(Interfaces { list, complete: true })
}

fn if_addr(address: &Address) -> IfAddr {
    // An optimistic address is used while it is tested.
    let tested = Address::IFA_F_TENTATIVE | Address::IFA_F_OPTIMISTIC;
    let is_tentative = address.flags & tested == Address::IFA_F_TENTATIVE;
    let broadcast = match address.broadcast {
        Some(IpAddr::V4(ip)) => Some(ip),
        _ => None,
    };
    IfAddr {
        ip: address.local,
        prefix: address.prefix,
        broadcast,
        state: if is_tentative { AddrState::Tentative } else { AddrState::Usable },
    }
}

/// The IPv4 routes of the table `local`.
pub(super) fn local_routes(rtnetlink: &mut RtNetlink) -> Result<LocalRoutes, Error> {
    let routes = rtnetlink.routes_of(AF_INET, Some(RT_TABLE_LOCAL))?;
    let list: Vec<LocalRoute> = routes.iter().filter_map(local_route).collect();
    // The table is made with the first address. It stays when the last one goes, which no
    // interface shows; then it is empty and so are the interfaces, and the answer for an address
    // that is not the host's differs. A namespace without even the loopback address is most
    // likely one where nothing was ever set up.
    let exists = !list.is_empty() || !rtnetlink.addresses()?.is_empty();
    Ok(LocalRoutes { list, complete: true, exists })
}

fn local_route(route: &Route) -> Option<LocalRoute> {
    let dst = match route.destination {
        Some(IpAddr::V4(ip)) => ip,
        Some(IpAddr::V6(_)) => return None,
        None => [0, 0, 0, 0].into(),
    };
    let kind = match route.kind {
        Route::LOCAL => RouteKind::Local,
        Route::BROADCAST => RouteKind::Broadcast,
        _ => RouteKind::Other,
    };
    Some(LocalRoute { kind, dst, prefix: route.prefix, device: route.interface.unwrap_or(0) })
}

/// Reads a numeric sysctl into the host.
pub(super) fn sysctl(proc: &Proc, name: &Text, host: &mut Host) -> Result<(), Missing> {
    let key = FactKey::Sysctl(name.clone());
    let read = proc.sysctl(name).map_err(|error| unread(&key, &error)).and_then(|text| {
        let value = text.trim().parse::<i64>();
        value.map_err(|_| Missing::new(key, format!("`{text}` is no number"), ""))
    });
    let (fact, result) = match read {
        Ok(value) => (Fact::known(value, "/proc/sys"), Ok(())),
        Err(missing) => (Fact::Missing(missing.clone()), Err(missing)),
    };
    host.sysctls.insert(name.clone(), fact);
    result
}

/// Reads where automatic ports come from.
pub(super) fn local_ports(proc: &Proc) -> Result<LocalPorts, Error> {
    let name = "net.ipv4.ip_local_port_range";
    let text = proc.sysctl(name)?;
    let mut ends = text.split_whitespace().map(str::parse);
    let (Some(Ok(low)), Some(Ok(high))) = (ends.next(), ends.next()) else {
        return Err(Error::about("sysctl", portwise_sys::Errno::EBADMSG, name));
    };
    let reserved = proc.sysctl("net.ipv4.ip_local_reserved_ports").unwrap_or_default();
    Ok(LocalPorts { low, high, reserved: ranges(&reserved) })
}

/// Reads `8080,9148-9150`.
fn ranges(text: &str) -> Vec<(u16, u16)> {
    let range = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
    };
    text.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports() {
        assert_eq!(ranges("8080,9148-9150\n"), [(8080, 8080), (9148, 9150)]);
        assert_eq!(ranges(""), []);
    }

    #[test]
    fn a_release_named_after_its_modules_tells_its_version_elsewhere() {
        let version = |release: &str, built: &str, signature: Option<&str>| {
            let name = Uname { release: release.into(), version: built.into() };
            version(&name, || signature.map(|text| text.as_bytes().to_vec())).unwrap().to_string()
        };
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-02)";
        assert_eq!(version("6.1.0-56-cloud-amd64", debian, None), "6.1.192");
        assert_eq!(version("6.12.118+deb13-amd64", "#1 SMP Debian 6.12.118-1", None), "6.12.118");
        let ubuntu = "Ubuntu 5.15.0-91.101-generic 5.15.131\n";
        assert_eq!(version("5.15.0-91-generic", "#101-Ubuntu SMP", Some(ubuntu)), "5.15.131");
        assert_eq!(version("5.15.0-91-generic", "#101 SMP", None), "5.15");
        // Of another series it cannot be.
        assert_eq!(version("6.1.0-1-custom", "#1 SMP Debian 5.10.4-1", None), "6.1");
        assert_eq!(version("6.18.0", "#1 SMP", Some("a b 6.18.9")), "6.18");
    }
}
