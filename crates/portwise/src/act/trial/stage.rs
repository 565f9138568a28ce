//! A private copy of a network: the host, a neighbour on every link, and somebody far behind it.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use portwise_model::{IfAddr, LocalRoute, RouteKind};
use portwise_sys::{
    Errno, Error,
    ns::{self, Namespace},
    proc::Proc,
    rtnetlink::{Address, RT_TABLE_LOCAL, Route, RtNetlink},
};

use super::{
    blueprint::{Blueprint, Device, in_subnet},
    room::Room,
};
use crate::Trouble;

/// Networks that are set apart for tests of networks, for the link beyond the neighbour: RFC 2544
/// and RFC 5180. The first one that the host has nothing of is taken.
const FAR4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 18, 0, 0), Ipv4Addr::new(198, 18, 128, 0), Ipv4Addr::new(198, 19, 0, 0)];
const FAR6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), Ipv6Addr::new(0x2001, 2, 0, 1, 0, 0, 0, 0)];
const FAR4_PREFIX: u8 = 30;
const FAR6_PREFIX: u8 = 64;

/// How long links may take to carry packets, and how often they are looked at.
const LINK_UP: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(5);

/// The copy. It vanishes when this is dropped, and with the process however that ends.
pub(super) struct Stage {
    /// Where the endpoints are tried.
    pub(super) host: Room,
    /// The other end of each link; the end that belongs to the device with index N is `nN`.
    pub(super) neighbour: Option<Room>,
    /// Behind the neighbour, on a network of its own.
    pub(super) far: Option<Room>,
    /// What could not be made, in words.
    pub(super) left_out: Vec<String>,
}

impl Stage {
    /// Builds it.
    ///
    /// # Errors
    /// If namespaces cannot be made. What is missing within is noted instead.
    pub(super) fn build(blueprint: &Blueprint) -> Result<Stage, Trouble> {
        let host = Room::fresh()?;
        let has_neighbour = blueprint.devices.iter().any(|d| !d.neighbours.is_empty());
        let neighbour = if has_neighbour { Some(Room::fresh()?) } else { None };
        let there = neighbour.as_ref().map(Room::namespace).transpose()?;
        let plan = blueprint.clone();
        let mut left_out = host.run(move || {
            let mut builder = Builder::new()?;
            builder.host(&plan, there.as_ref());
            Ok::<_, Trouble>(builder.left_out)
        })?;
        if let Some(neighbour) = &neighbour {
            let devices = blueprint.devices.clone();
            left_out.extend(neighbour.run(move || {
                let mut builder = Builder::new()?;
                builder.neighbour(&devices);
                Ok::<_, Trouble>(builder.left_out)
            })?);
        }
        let mut stage = Stage { host, neighbour, far: None, left_out };
        stage.add_far(blueprint)?;
        stage.wait_for_links()?;
        Ok(stage)
    }

    /// A link carries packets a moment after both of its ends are up, and IPv6 takes note of it
    /// later still: until then an address answers nobody.
    fn wait_for_links(&mut self) -> Result<(), Trouble> {
        let end = Instant::now() + LINK_UP;
        for room in [Some(&self.host), self.neighbour.as_ref(), self.far.as_ref()] {
            let Some(room) = room else { continue };
            self.left_out.extend(room.run(move || {
                let mut builder = Builder::new()?;
                builder.wait_for_links(end);
                Ok::<_, Trouble>(builder.left_out)
            })?);
        }
        Ok(())
    }

    fn add_far(&mut self, blueprint: &Blueprint) -> Result<(), Trouble> {
        let Some(neighbour) = self.neighbour.as_ref().filter(|_| !blueprint.uplinks.is_empty())
        else {
            return Ok(());
        };
        let room = Room::fresh()?;
        let there = room.namespace()?;
        let networks = far_networks(blueprint);
        let near = networks.clone();
        self.left_out.extend(neighbour.run(move || {
            let mut builder = Builder::new()?;
            builder.towards_far(&near, &there);
            Ok::<_, Trouble>(builder.left_out)
        })?);
        let here = networks.clone();
        self.left_out.extend(room.run(move || {
            let mut builder = Builder::new()?;
            builder.far(&here);
            Ok::<_, Trouble>(builder.left_out)
        })?);
        let uplinks = blueprint.uplinks.clone();
        self.left_out.extend(self.host.run(move || {
            let mut builder = Builder::new()?;
            for (device, router) in uplinks {
                builder.default_route(router, device);
            }
            Ok::<_, Trouble>(builder.left_out)
        })?);
        self.far = Some(room);
        Ok(())
    }
}

/// The addresses of whoever is far, one for each family that has an uplink.
pub(super) fn far_addresses(blueprint: &Blueprint) -> Vec<IpAddr> {
    far_networks(blueprint).iter().map(|(network, _)| step(*network, 2)).collect()
}

/// The networks of the link beyond the neighbour, one for each family that has an uplink.
fn far_networks(blueprint: &Blueprint) -> Vec<(IpAddr, u8)> {
    let own: Vec<&IfAddr> = blueprint.devices.iter().flat_map(|d| &d.addresses).collect();
    let is_free = |(network, prefix): &(IpAddr, u8)| {
        !own.iter()
            .any(|a| in_subnet(*network, a.ip, a.prefix) || in_subnet(a.ip, *network, *prefix))
    };
    let has = |v4: bool| blueprint.uplinks.iter().any(|(_, router)| router.is_ipv4() == v4);
    let v4 = FAR4.iter().map(|ip| (IpAddr::V4(*ip), FAR4_PREFIX)).find(is_free);
    let v6 = FAR6.iter().map(|ip| (IpAddr::V6(*ip), FAR6_PREFIX)).find(is_free);
    v4.filter(|_| has(true)).into_iter().chain(v6.filter(|_| has(false))).collect()
}

/// The `n`th address of a network.
fn step(network: IpAddr, n: u8) -> IpAddr {
    match network {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + u32::from(n)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() + u128::from(n)).into(),
    }
}

/// Changes the network namespace of this thread.
struct Builder {
    net: RtNetlink,
    left_out: Vec<String>,
}

impl Builder {
    fn new() -> Result<Builder, Trouble> {
        let net = RtNetlink::open().map_err(|e| Trouble::new(e.to_string()))?;
        Ok(Builder { net, left_out: Vec::new() })
    }

    /// Notes what could not be made.
    fn check<E: ToString>(&mut self, what: impl FnOnce() -> String, done: Result<(), E>) {
        if let Err(error) = done {
            self.left_out.push(format!("{}: {}", what(), error.to_string()));
        }
    }

    fn host(&mut self, plan: &Blueprint, neighbour: Option<&Namespace>) {
        // Refusals must not be held back because there were several.
        for name in ["net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"] {
            let _ = write_sysctl(name, "0");
        }
        for device in &plan.devices {
            self.device(device, neighbour);
        }
        self.loopback(plan.loopback.0, &plan.loopback.1);
        for (name, value) in &plan.sysctls {
            self.sysctl(name, value);
        }
        self.local_routes(&plan.local_routes);
    }

    fn device(&mut self, device: &Device, neighbour: Option<&Namespace>) {
        let Device { index, name, .. } = device;
        let made = match neighbour {
            Some(there) => self.net.add_veth_to(name, *index, &peer(*index), there),
            None => self.net.add_dummy(name),
        };
        if let Err(error) = made {
            self.left_out.push(format!("interface {name}: {error}"));
            return;
        }
        let Some(at) = self.index(name) else { return };
        if at != *index {
            self.left_out.push(format!("the number of interface {name}: {at} instead of {index}"));
        }
        silence(name);
        let up = self.net.set_up(at);
        self.check(|| format!("interface {name} up"), up);
        for address in &device.addresses {
            self.address(at, name, address);
        }
        if !device.up {
            let down = self.net.set_down(at);
            self.check(|| format!("interface {name} down"), down);
        }
    }

    fn index(&mut self, name: &str) -> Option<u32> {
        let links = self.net.links().unwrap_or_default();
        links.into_iter().find(|link| link.name == name).map(|link| link.index)
    }

    fn address(&mut self, at: u32, device: &str, address: &IfAddr) {
        let IfAddr { ip, prefix, broadcast, .. } = *address;
        let added = match (ip, broadcast) {
            (IpAddr::V4(ip), Some(broadcast)) => {
                self.net.add_broadcast_address(at, ip, prefix, broadcast)
            }
            _ => self.net.add_address(at, ip, prefix, true),
        };
        let added = match added {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            added => added,
        };
        self.check(|| format!("{ip}/{prefix} on {device}"), added);
    }

    /// Gives `lo` the state and the addresses it has on the host. Those of 127.0.0.0/8 and ::1
    /// come by themselves when it goes up, so what is too much is taken away.
    fn loopback(&mut self, up: bool, addresses: &[IfAddr]) {
        if up {
            let done = ns::lo_up();
            self.check(|| "interface lo up".into(), done);
        }
        let Some(at) = self.index("lo") else { return };
        for address in addresses {
            self.address(at, "lo", address);
        }
        for there in self.net.addresses().unwrap_or_default() {
            let wanted = addresses.iter().any(|a| a.ip == there.local);
            if there.interface == at && !wanted {
                let gone = self.net.delete_address(at, there.local, there.prefix);
                self.check(|| format!("lo without {}", there.local), gone);
            }
        }
    }

    fn sysctl(&mut self, name: &str, value: &str) {
        let proc = Proc::default();
        let same = |text: &str| text.split_whitespace().eq(value.split_whitespace());
        if proc.sysctl(name).is_ok_and(|there| same(&there)) {
            return;
        }
        let written = write_sysctl(name, value);
        self.check(|| format!("{name}={value}"), written);
    }

    /// Adds the routes of the table `local` that the addresses did not bring with them.
    fn local_routes(&mut self, wanted: &[LocalRoute]) {
        let there = self.net.routes(Some(RT_TABLE_LOCAL)).unwrap_or_default();
        let there: BTreeSet<(IpAddr, u8)> =
            there.iter().filter_map(|r| Some((r.destination?, r.prefix))).collect();
        for route in wanted {
            let kind = match route.kind {
                RouteKind::Local => Route::LOCAL,
                RouteKind::Broadcast => Route::BROADCAST,
                RouteKind::Other => continue,
            };
            let dst = IpAddr::V4(route.dst);
            if there.contains(&(dst, route.prefix)) {
                continue;
            }
            let device = Some(route.device).filter(|d| *d != 0);
            let added = self.net.add_route(kind, dst, route.prefix, device, RT_TABLE_LOCAL);
            self.check(|| format!("the local route to {dst}/{}", route.prefix), added);
        }
    }

    fn neighbour(&mut self, devices: &[Device]) {
        let _ = ns::lo_up();
        for name in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            let written = write_sysctl(name, "1");
            self.check(|| format!("{name} of the neighbour"), written);
        }
        for device in devices {
            let name = peer(device.index);
            let Some(at) = self.index(&name) else { continue };
            silence(&name);
            let up = self.net.set_up(at);
            self.check(|| format!("the other end of {}", device.name), up);
            for (ip, prefix) in &device.neighbours {
                let added = self.net.add_address(at, *ip, *prefix, true);
                self.check(|| format!("{ip} of the neighbour"), added);
            }
        }
    }

    fn towards_far(&mut self, networks: &[(IpAddr, u8)], there: &Namespace) {
        let made = self.net.add_veth_to("far", 0, "near", there);
        self.check(|| "a link behind the neighbour".into(), made);
        self.furnish("far", networks, 1);
    }

    fn far(&mut self, networks: &[(IpAddr, u8)]) {
        let _ = ns::lo_up();
        if let Some(at) = self.furnish("near", networks, 2) {
            for (network, _) in networks {
                self.default_route(step(*network, 1), at);
            }
        }
    }

    /// Sets an interface up with the `n`th address of each network.
    fn furnish(&mut self, name: &str, networks: &[(IpAddr, u8)], n: u8) -> Option<u32> {
        let at = self.index(name)?;
        silence(name);
        let up = self.net.set_up(at);
        self.check(|| format!("interface {name} up"), up);
        for (network, prefix) in networks {
            let ip = step(*network, n);
            let added = self.net.add_address(at, ip, *prefix, true);
            self.check(|| format!("{ip} behind the neighbour"), added);
        }
        Some(at)
    }

    /// Waits until every interface that is up is running, and every address is ready.
    fn wait_for_links(&mut self, end: Instant) {
        loop {
            let mut waiting: Vec<String> = self
                .net
                .links()
                .unwrap_or_default()
                .into_iter()
                .filter(|link| link.is_up() && !link.is_loopback() && !link.is_running())
                .map(|link| format!("interface {} carries no packets", link.name))
                .collect();
            let addresses = self.net.addresses().unwrap_or_default();
            let is_tentative = |a: &&Address| a.flags & Address::IFA_F_TENTATIVE != 0;
            let tentative = addresses.iter().filter(is_tentative);
            waiting.extend(tentative.map(|address| format!("{} is not ready", address.local)));
            if waiting.is_empty() {
                return;
            }
            if Instant::now() > end {
                return self.left_out.extend(waiting);
            }
            thread::sleep(STEP);
        }
    }

    fn default_route(&mut self, router: IpAddr, device: u32) {
        let everywhere: IpAddr = match router {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let added = self.net.add_gateway_route(everywhere, 0, router, device);
        self.check(|| format!("the default route over {router}"), added);
    }
}

/// The name of the other end of a device.
pub(super) fn peer(index: u32) -> String {
    format!("n{index}")
}

/// Keeps an interface from getting addresses that the host does not have, and from testing those
/// that it gets. Without IPv6 there is nothing to be silenced.
fn silence(device: &str) {
    // A dot in a name is written as a slash.
    let device = device.replace('.', "/");
    for (name, value) in [("addr_gen_mode", "1"), ("accept_ra", "0"), ("accept_dad", "0")] {
        let _ = write_sysctl(&format!("net.ipv6.conf.{device}.{name}"), value);
    }
}

/// Writes a sysctl of this thread's network namespace.
fn write_sysctl(name: &str, value: &str) -> Result<(), Error> {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = name.chars().map(swapped).collect();
    // One write(2), as these files want it.
    fs::write(format!("/proc/sys/{path}"), value)
        .map_err(|error| Error::about("write", Errno::from(error), name))
}
