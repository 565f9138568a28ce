//! A kernel that is not the running one: everything not given is a stated default.

use std::{net::IpAddr, str::FromStr};

use portwise_model::{
    AddrState, CapSet, Fact, FactKey, Host, IfAddr, Interface, Interfaces, Kernel, KernelFamily,
    LocalPorts, LocalRoute, LocalRoutes, Missing, RouteKind, Socket, Sockets, Subject, Text,
    UserNs, Version, freebsd, illumos, linux::Buckets, netbsd, openbsd, windows, xnu,
};

use super::{Holders, Observer, Setting, user::Named};

const FROM: &str = "assumed";

/// An address that the machine in question has: `ADDR/LEN[%DEVICE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Has {
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix, in bits.
    pub prefix: u8,
    /// The interface it is on; `None`: the first one that is no loopback.
    pub device: Option<String>,
}

impl FromStr for Has {
    type Err = String;

    fn from_str(text: &str) -> Result<Has, String> {
        let example = "such as 192.0.2.10/24 or fe80::1/64%eth0";
        let (address, device) = match text.split_once('%') {
            Some((_, "")) => return Err(format!("the device after `%` is empty, {example}")),
            Some((address, device)) => (address, Some(device.to_string())),
            None => (text, None),
        };
        let Some((ip, prefix)) = address.split_once('/') else {
            return Err(format!("`/LENGTH` is missing, {example}"));
        };
        let ip: IpAddr = ip.parse().map_err(|_| format!("`{ip}` is no IP address, {example}"))?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        match prefix.parse() {
            Ok(prefix) if prefix <= bits => Ok(Has { ip, prefix, device }),
            _ => Err(format!("the length `{prefix}` is not one of 0 to {bits}, {example}")),
        }
    }
}

/// The kernels that `--on all` asks, one of each that has rules of its own.
pub const ALL: &[&str] = &[
    "linux-6.18",
    "linux-5.10",
    "macos-10.13.6",
    "macos-15",
    "freebsd-15.0",
    "openbsd-7",
    "netbsd-9",
    "netbsd-9-ipnoprivports",
    "illumos",
    "windows-11",
];

/// Reads the name of a kernel or of the system it belongs to.
pub fn kernel(name: &str) -> Result<Kernel, String> {
    const SUCH_AS: &str = "such as linux-6.12, macos-15, xnu-4903.231.4, freebsd-15.0, openbsd-7, netbsd-9, illumos or \
         windows-11";
    let (family, version) = name.split_once('-').unwrap_or((name, ""));
    let other = match (family, version) {
        ("freebsd", _) => Some(freebsd::from_version(version)),
        ("openbsd", _) => Some(openbsd::from_version(version)),
        ("netbsd", _) => Some(netbsd::from_version(version)),
        ("windows", _) => Some(windows::from_version(version)),
        ("illumos", "") => Some(Some(illumos::kernel())),
        _ => None,
    };
    if let Some(found) = other {
        return found.ok_or_else(|| format!("`{name}` is no version that was read, {SUCH_AS}"));
    }
    if !["linux", "macos", "xnu"].contains(&family) {
        return Err(format!("there are no rules for `{name}`, {SUCH_AS}"));
    }
    let Some(number) = dotted(version) else {
        return Err(format!("`{version}` is no version, {SUCH_AS}"));
    };
    let release = Text::Owned(name.into());
    let found = match family {
        "linux" => Some(Kernel { family: KernelFamily::Linux, version: number, release }),
        "macos" => xnu::from_macos(version),
        _ => xnu::from_tag(version),
    };
    found.ok_or_else(|| format!("`{name}` is before macOS 10.11 or was never there, {SUCH_AS}"))
}

/// Reads a version of nothing but numbers and dots.
fn dotted(text: &str) -> Option<Version> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let sound =
        plain && text.split('.').all(|part| !part.is_empty()) && text.split('.').count() <= 5;
    if sound { Version::parse(text) } else { None }
}

/// The setting for `kernel` where `who` asks: a plain user by default.
pub fn setting(kernel: Kernel, who: Option<Named>, has: &[Has]) -> Setting {
    let family = kernel.family;
    let default_uid = match family {
        KernelFamily::Linux => 1000,
        KernelFamily::Xnu => 501,
        _ => 1001,
    };
    let uid = who.as_ref().map_or(default_uid, |who| who.uid);
    let mut subject = Subject::plain(uid, if who.is_some() { "given" } else { FROM });
    subject.userns = Fact::known(UserNs::Owner, FROM);
    let mut setting = Setting::new(host(kernel, has), subject, Box::new(Defaults));
    setting.gid = who.as_ref().and_then(|who| who.gid);
    setting.assumed = assumptions(family, who.as_ref(), has);
    setting
}

fn assumptions(family: KernelFamily, who: Option<&Named>, has: &[Has]) -> Vec<String> {
    let mut assumed = vec!["no other sockets".to_string()];
    assumed.push(match family {
        KernelFamily::Linux => "default sysctls: net.ipv4.ip_unprivileged_port_start 1024, \
            ip_nonlocal_bind 0, net.ipv6.bindv6only 0, ip_local_port_range 32768 60999"
            .into(),
        KernelFamily::Xnu => {
            "default sysctls: net.inet6.ip6.v6only 0, net.inet.ip.portrange 49152 65535".into()
        }
        KernelFamily::Freebsd => "default sysctls: net.inet.ip.portrange.reservedhigh 1023, \
            reservedlow 0, net.inet6.ip6.v6only 1"
            .into(),
        KernelFamily::Openbsd => {
            "default sysctls: net.inet.tcp.rootonly and net.inet.udp.rootonly \
            2049"
                .into()
        }
        KernelFamily::Netbsd => "the security model bsd44, and IPV6_V6ONLY on for a fresh socket, \
            which was not read"
            .into(),
        KernelFamily::Illumos => "default properties: smallest_nonpriv_port 1024, \
            extra_priv_ports 2049 4045"
            .into(),
        KernelFamily::Windows => "the port is in no excluded range".into(),
    });
    assumed.push(match family {
        KernelFamily::Linux => {
            "no seccomp filter, Landlock domain, security module or cgroup program objects".into()
        }
        KernelFamily::Xnu => "no sandbox, security policy, socket filter or VPN objects".into(),
        KernelFamily::Freebsd => "no jail, and no mac_portacl".into(),
        _ => "nothing else stands in the way, such as a firewall with a say in bind".into(),
    });
    match who {
        None if family == KernelFamily::Linux => {
            assumed.push("a plain user (uid 1000) without capabilities".into());
        }
        None if family == KernelFamily::Xnu => assumed.push("a plain user (uid 501)".into()),
        None => assumed.push("a plain user".into()),
        Some(who) if family == KernelFamily::Linux => assumed.push(match who.uid {
            0 => "root has every capability, in the user namespace that owns the network".into(),
            uid => format!("uid {uid} has no capability"),
        }),
        Some(_) => {}
    }
    let local = match family {
        KernelFamily::Linux => "127.0.0.0/8 and ::1",
        _ => "127.0.0.1 and ::1",
    };
    assumed.push(match has {
        [] => format!("of the addresses only {local} are known to be the host's"),
        _ => format!("of the addresses {local} and those given are the host's, others may be"),
    });
    assumed
}

/// A host with every default of its kernel.
fn host(kernel: Kernel, has: &[Has]) -> Host {
    let mut host = match kernel.family {
        KernelFamily::Linux => linux_host(kernel),
        _ => portwise_model::assumed_host(kernel),
    };
    let first = match host.kernel.family {
        KernelFamily::Linux => "eth0",
        KernelFamily::Xnu => {
            host.set_sysctl("net.inet6.ip6.v6only", 0, FROM);
            "en0"
        }
        KernelFamily::Illumos => "net0",
        KernelFamily::Windows => "Ethernet",
        _ => "em0",
    };
    let Fact::Known { value: interfaces, .. } = &mut host.interfaces else { return host };
    for Has { ip, prefix, device } in has {
        give(interfaces, device.as_deref().unwrap_or(first), *ip, *prefix);
    }
    if host.kernel.family == KernelFamily::Linux {
        host.local_routes = Fact::known(local_routes(interfaces), FROM);
    }
    host
}

fn linux_host(kernel: Kernel) -> Host {
    let mut interfaces = Interfaces { list: vec![interface(1, "lo")], complete: false };
    give(&mut interfaces, "lo", [127, 0, 0, 1].into(), 8);
    give(&mut interfaces, "lo", [0, 0, 0, 0, 0, 0, 0, 1].into(), 128);
    let ports = LocalPorts { low: 32768, high: 60999, reserved: Vec::new() };
    let mut host = Host {
        interfaces: Fact::known(interfaces, FROM),
        local_ports: Fact::known(ports, FROM),
        sockets: Sockets::none(FROM),
        buckets: Fact::known(Buckets::default(), FROM),
        policies: Fact::known(Vec::new(), FROM),
        ..Host::not_asked(kernel)
    };
    for (name, value) in [
        ("net.ipv4.ip_unprivileged_port_start", 1024),
        ("net.ipv4.ip_nonlocal_bind", 0),
        ("net.ipv6.ip_nonlocal_bind", 0),
        ("net.ipv6.bindv6only", 0),
        ("net.ipv4.ip_autobind_reuse", 0),
    ] {
        host.set_sysctl(name, value, FROM);
    }
    host
}

/// Gives the host an address, and the interface if it is a new one.
fn give(interfaces: &mut Interfaces, device: &str, ip: IpAddr, prefix: u8) {
    let list = &mut interfaces.list;
    let at = list.iter().position(|i| i.name == device).unwrap_or_else(|| {
        list.push(interface(list.len() as u32 + 1, device));
        list.len() - 1
    });
    let broadcast = match ip {
        IpAddr::V4(ip) if prefix < 31 && at != 0 => Some(last_address(ip, prefix)),
        _ => None,
    };
    list[at].addresses.push(IfAddr { ip, prefix, broadcast, state: AddrState::Usable });
}

fn interface(index: u32, name: &str) -> Interface {
    let (loopback, up, vrf) = (index == 1, true, 0);
    Interface { index, name: name.to_string().into(), loopback, up, vrf, addresses: Vec::new() }
}

/// The routes that Linux puts into its table `local` for these addresses.
fn local_routes(interfaces: &Interfaces) -> LocalRoutes {
    let mut list = Vec::new();
    for (interface, address) in interfaces.addresses() {
        let IpAddr::V4(ip) = address.ip else { continue };
        let device = interface.index;
        let mut add = |kind, dst, prefix| list.push(LocalRoute { kind, dst, prefix, device });
        if interface.loopback {
            add(RouteKind::Local, ip, address.prefix);
        }
        add(RouteKind::Local, ip, 32);
        if address.prefix < 31 {
            add(RouteKind::Broadcast, last_address(ip, address.prefix), 32);
        }
    }
    LocalRoutes { list, complete: false, exists: true }
}

/// The last address of the network that `ip` belongs to, its broadcast address.
fn last_address(ip: std::net::Ipv4Addr, prefix: u8) -> std::net::Ipv4Addr {
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    (ip.to_bits() | host_bits).into()
}

/// What a login process of `who` has on Linux: every capability as root, none otherwise.
pub fn login_capabilities(uid: u32) -> CapSet {
    if uid == 0 { CapSet::ALL } else { CapSet::NONE }
}

/// Observes nothing: what is not assumed stays unknown.
struct Defaults;

impl Observer for Defaults {
    fn observe(&mut self, key: &FactKey, _: &mut Host, _: &mut Subject) -> Result<(), Missing> {
        Err(unanswered(key))
    }

    fn holders(&mut self, _: &[Socket]) -> Holders {
        Holders::default()
    }

    fn user(&mut self, _: u32) -> Option<String> {
        None
    }
}

/// Why a fact stays unknown without a machine to look at.
pub(super) fn unanswered(key: &FactKey) -> Missing {
    match key {
        FactKey::LocalAddress(ip) => Missing::new(
            key.clone(),
            format!("whether {ip} is an address of that host was not given"),
            format!("--has {ip}/LENGTH says that it is"),
        ),
        FactKey::Feature(_) => Missing::new(
            key.clone(),
            "the sources of this version were not published or not read",
            "try it on that version",
        ),
        _ => Missing::new(
            key.clone(),
            "the facts given do not say",
            "sudo portwise facts -o FILE, on that machine",
        ),
    }
}
