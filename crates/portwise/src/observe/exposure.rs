//! Whom a socket is exposed to by its address: by the addresses and routes of its network
//! namespace, whatever a firewall says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwise_model::{Family, is_unspecified, v4_mapped};
use serde::Serialize;

/// Who can send to a socket, as far as addresses and routes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// Programs in the same network namespace.
    Loopback,
    /// Also addresses that rules of the firewall let through, and no others of their networks.
    Named,
    /// Also the networks the host is attached to: the address is private or of one link, or there
    /// is no way back to others.
    Lan,
    /// Also whoever can route to the host.
    EveryNetwork,
    /// The addresses could not be read.
    Unknown,
}

impl Exposure {
    /// One word for it, for columns.
    pub const fn name(self) -> &'static str {
        match self {
            Exposure::Loopback => "loopback",
            Exposure::Named => "named",
            Exposure::Lan => "LAN",
            Exposure::EveryNetwork => "every-network",
            Exposure::Unknown => "unknown",
        }
    }

    /// A few words for it.
    pub const fn words(self) -> &'static str {
        match self {
            Exposure::Loopback => "this host only",
            Exposure::Named => "addresses that rules name",
            Exposure::Lan => "LAN",
            Exposure::EveryNetwork => "every network",
            Exposure::Unknown => "unknown",
        }
    }
}

/// An address of an interface that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The address.
    pub ip: IpAddr,
    /// The interface index.
    pub device: u32,
    /// Whether that is a loopback interface.
    pub loopback: bool,
}

/// The addresses of a network namespace, and whether it knows a way to everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// The addresses.
    pub addresses: Vec<Attached>,
    /// Whether IPv4 has a default route.
    pub default4: bool,
    /// Whether IPv6 has one.
    pub default6: bool,
}

/// What a socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundTo {
    /// The address.
    pub ip: IpAddr,
    /// The family of the socket.
    pub family: Family,
    /// Whether it serves IPv6 only.
    pub v6only: bool,
    /// The interface index, 0 for none.
    pub device: u32,
}

impl Networks {
    /// Whom a socket is exposed to.
    pub fn exposure(&self, socket: BoundTo) -> Exposure {
        let wild = is_unspecified(socket.ip);
        if !wild && socket.ip.to_canonical().is_loopback() {
            return Exposure::Loopback;
        }
        let reached = || self.reached(socket).map(|attached| attached.ip);
        if wild && reached().next().is_none() {
            return Exposure::Loopback;
        }
        // A specific address that is not there now, with IP_FREEBIND, may come.
        let specific = (!wild).then_some(socket.ip.to_canonical());
        let ips = || reached().chain(specific);
        if ips().any(|ip| !is_private(ip)) {
            return Exposure::EveryNetwork;
        }
        let routed = ips().any(|ip| if ip.is_ipv4() { self.default4 } else { self.default6 });
        if wild && routed { Exposure::EveryNetwork } else { Exposure::Lan }
    }

    /// The addresses at which others reach the socket.
    fn reached(&self, socket: BoundTo) -> impl Iterator<Item = &Attached> {
        self.addresses.iter().filter(move |attached| {
            let by_device = socket.device == 0 || socket.device == attached.device;
            !attached.loopback
                && !attached.ip.is_loopback()
                && by_device
                && covers(socket, attached.ip)
        })
    }
}

/// Whether a socket bound like that gets what is sent to `ip`.
pub fn covers(socket: BoundTo, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    match socket.ip {
        IpAddr::V4(own) => ip.is_ipv4() && (own.is_unspecified() || IpAddr::V4(own) == ip),
        IpAddr::V6(own) if own.is_unspecified() => ip.is_ipv6() || !socket.v6only,
        IpAddr::V6(own) => match v4_mapped(own) {
            Some(own) => ip.is_ipv4() && (own.is_unspecified() || IpAddr::V4(own) == ip),
            None => IpAddr::V6(own) == ip,
        },
    }
}

/// Whether an address is one that the internet does not route.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = Ipv4Addr::new(100, 64, 0, 0).to_bits() >> 22 == ip.to_bits() >> 22;
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || shared
        }
        IpAddr::V6(ip) => {
            ip.is_unique_local() || ip.is_unicast_link_local() || ip == Ipv6Addr::LOCALHOST
        }
    }
}

/// The networks of the namespace the thread is in.
///
/// # Errors
/// Those of rtnetlink(7).
#[cfg(target_os = "linux")]
pub fn networks() -> Result<Networks, portwise_sys::Error> {
    use portwise_sys::rtnetlink::{Route, RtNetlink};
    const RT_TABLE_MAIN: u32 = 254;
    let mut rtnetlink = RtNetlink::open()?;
    let links = rtnetlink.links()?;
    let mut networks = Networks::default();
    for address in rtnetlink.addresses()? {
        let Some(link) = links.iter().find(|link| link.index == address.interface) else {
            continue;
        };
        if link.is_up() {
            let (ip, device) = (address.local, address.interface);
            networks.addresses.push(Attached { ip, device, loopback: link.is_loopback() });
        }
    }
    // Without another address than those of the host itself no route matters.
    if networks.addresses.iter().all(|a| a.loopback) {
        return Ok(networks);
    }
    let leads_away = |route: &Route| route.prefix == 0 && route.kind == Route::UNICAST;
    networks.default4 = rtnetlink.routes_of(2, Some(RT_TABLE_MAIN))?.iter().any(leads_away);
    networks.default6 = rtnetlink.routes_of(10, Some(RT_TABLE_MAIN))?.iter().any(leads_away);
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(ip: &str, v6only: bool, device: u32) -> BoundTo {
        let ip: IpAddr = ip.parse().unwrap();
        BoundTo { ip, family: Family::of(ip), v6only, device }
    }

    fn networks(ips: &[&str], default4: bool) -> Networks {
        let attached = |(i, ip): (usize, &&str)| {
            let ip: IpAddr = ip.parse().unwrap();
            Attached { ip, device: i as u32 + 1, loopback: ip.is_loopback() }
        };
        let addresses = ips.iter().enumerate().map(attached).collect();
        Networks { addresses, default4, default6: false }
    }

    #[test]
    fn addresses_and_routes_decide() {
        use Exposure::{EveryNetwork, Lan, Loopback};
        let home = networks(&["127.0.0.1", "::1", "192.168.1.5", "fe80::1"], true);
        let closed = networks(&["127.0.0.1", "10.77.1.1"], false);
        let server = networks(&["127.0.0.1", "203.0.113.5", "2001:db8::5"], true);
        let alone = networks(&["127.0.0.1", "::1"], false);
        for (networks, ip, v6only, device, exposure) in [
            (&home, "127.0.0.1", false, 0, Loopback),
            (&home, "127.0.0.2", false, 0, Loopback),
            (&home, "::1", true, 0, Loopback),
            (&home, "::ffff:127.0.0.1", false, 0, Loopback),
            (&home, "192.168.1.5", false, 0, Lan),
            (&home, "0.0.0.0", false, 0, EveryNetwork),
            (&home, "::", false, 0, EveryNetwork),
            (&home, "::", true, 0, Lan),
            (&home, "0.0.0.0", false, 1, Loopback),
            (&home, "0.0.0.0", false, 3, EveryNetwork),
            (&closed, "0.0.0.0", false, 0, Lan),
            (&closed, "::", false, 0, Lan),
            (&closed, "::", true, 0, Loopback),
            (&server, "203.0.113.5", false, 0, EveryNetwork),
            (&server, "::", true, 0, EveryNetwork),
            (&alone, "0.0.0.0", false, 0, Loopback),
            (&alone, "203.0.113.9", false, 0, EveryNetwork),
        ] {
            let socket = bound(ip, v6only, device);
            assert_eq!(networks.exposure(socket), exposure, "{ip} v6only {v6only} on {device}");
        }
    }

    #[test]
    fn what_a_wildcard_covers() {
        let four = "192.0.2.1".parse().unwrap();
        let six = "2001:db8::1".parse().unwrap();
        for (ip, v6only, covers4, covers6) in [
            ("0.0.0.0", false, true, false),
            ("::", false, true, true),
            ("::", true, false, true),
            ("::ffff:0.0.0.0", false, true, false),
            ("192.0.2.1", false, true, false),
            ("2001:db8::1", true, false, true),
            ("192.0.2.2", false, false, false),
        ] {
            let socket = bound(ip, v6only, 0);
            assert_eq!((covers(socket, four), covers(socket, six)), (covers4, covers6), "{ip}");
        }
    }
}
