//! Who is on a port, here and in other network namespaces: what a client may be looking for.

use std::net::IpAddr;

use portwise_model::{Family, Protocol};
use serde::Serialize;

use super::{
    listed,
    owner::{self, Owner},
};
use crate::{
    Setting,
    endpoint::shown,
    observe::{
        inventory::{Namespace, NoHolder, Socket, State},
        owners::Owners,
    },
};

/// The bound and listening sockets of a port.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OnPort {
    /// The port.
    pub port: u16,
    /// Those of the network namespace in question.
    pub here: Vec<PortSocket>,
    /// Those of others.
    pub elsewhere: Vec<PortSocket>,
    /// Processes that do not show their network namespace.
    pub hidden_namespaces: u32,
}

/// One socket.
#[derive(Clone, Debug, Serialize)]
pub struct PortSocket {
    /// Its protocol.
    pub protocol: &'static str,
    /// Its state as the kernel calls it.
    pub state: &'static str,
    /// Its address and port as `ss` prints them.
    pub local: String,
    /// Its address.
    #[serde(skip)]
    pub ip: IpAddr,
    /// Its family.
    #[serde(skip)]
    pub family: Family,
    /// Whether a socket of IPv6 leaves IPv4 alone.
    #[serde(skip)]
    pub v6only: bool,
    /// Why it does not take what was sent to the address in question; null if that is not asked.
    pub misses: Option<String>,
    /// The interface it is bound to.
    pub device: Option<String>,
    /// The number of the group that shares the port.
    pub group: Option<u32>,
    /// Of a TCP listener: how many connections wait to be accepted.
    pub waiting: Option<u32>,
    /// Of a TCP listener: how many may wait.
    pub backlog: Option<u32>,
    /// The processes that hold it.
    pub holders: Vec<Owner>,
    /// Why none is named, in words.
    pub no_holder: Option<String>,
    /// What `--netns` takes to ask in its network namespace, if that is another.
    pub netns: Option<String>,
    /// Whether that namespace has no other address than loopback ones; null if not known.
    pub only_loopback: Option<bool>,
}

/// Looks who is on a port; nothing if the facts are from elsewhere.
pub fn on_port(setting: &mut Setting, port: u16) -> Option<OnPort> {
    let owners = setting.owners(port).filter(|_| port != 0)?;
    let own = owners.own().filter(|socket| socket.is_bound());
    let here = own.map(|found| socket(&owners, found, None)).collect();
    let elsewhere =
        owners.others().map(|(found, netns)| socket(&owners, found, Some(netns))).collect();
    let hidden_namespaces = owners.unseen().namespaces;
    Some(OnPort { port, here, elsewhere, hidden_namespaces })
}

/// A socket of another namespace, described.
pub(crate) fn described(owners: &Owners, socket: &Socket, netns: &Namespace) -> PortSocket {
    self::socket(owners, socket, Some(netns))
}

fn socket(owners: &Owners, socket: &Socket, netns: Option<&Namespace>) -> PortSocket {
    let listens = socket.state == State::Listen;
    let holders = owner::of(owners, socket);
    let none = socket.no_holder.filter(|_| holders.is_empty());
    PortSocket {
        protocol: socket.transport.name(),
        state: socket.state.name(),
        ip: socket.ip,
        family: socket.family,
        v6only: socket.v6only == Some(true),
        misses: None,
        local: shown(socket.ip, socket.device_name.as_deref(), socket.port),
        device: socket.device_name.clone(),
        group: socket.group,
        waiting: listens.then_some(socket.rqueue),
        backlog: listens.then_some(socket.wqueue),
        no_holder: none.map(|reason: NoHolder| listed::words(reason)),
        holders,
        netns: netns.map(Namespace::argument),
        only_loopback: netns.and_then(only_loopback),
    }
}

#[cfg(target_os = "linux")]
fn only_loopback(namespace: &Namespace) -> Option<bool> {
    use crate::observe::{exposure, inventory};
    let networks = inventory::within(namespace, exposure::networks).ok()?.ok()?;
    Some(networks.addresses.iter().all(|address| address.loopback))
}

#[cfg(not(target_os = "linux"))]
fn only_loopback(_: &Namespace) -> Option<bool> {
    None
}

impl PortSocket {
    /// Why it does not take what is sent to this address over loopback; nothing if it does, or is
    /// not bound for that protocol.
    pub fn misses(&self, protocol: Protocol, ip: IpAddr) -> Option<String> {
        let port = self.local.rsplit_once(':').map_or("", |(_, port)| port);
        if !self.is_of(protocol) {
            return Some(format!("it is of {}, which has ports of its own", self.protocol));
        }
        if self.state == "BOUND" && protocol == Protocol::Tcp {
            return Some("it does not listen".into());
        }
        if let Some(device) = &self.device {
            return Some(format!(
                "bound to {device}, it takes only what arrives there: what this host sends to \
                 itself arrives by lo"
            ));
        }
        let other = match (self.family, ip) {
            (Family::Inet6, IpAddr::V4(_)) if self.ip.is_unspecified() && self.v6only => {
                return Some(format!(
                    "it is IPv6 only (IPV6_V6ONLY), and {ip} is IPv4; [::1]:{port} reaches it"
                ));
            }
            (Family::Inet, IpAddr::V6(_)) => "IPv4 only",
            _ if self.ip.is_unspecified() || self.ip.to_canonical() == ip => return None,
            _ => "",
        };
        let reach = match self.ip {
            IpAddr::V4(ip) if ip.is_unspecified() => format!("127.0.0.1:{port}"),
            _ => self.local.clone(),
        };
        Some(match other {
            "" => format!(
                "it takes only what is sent to {}, not to {ip}; {reach} reaches it",
                self.ip
            ),
            only => format!("it is {only}, and {ip} is IPv6; {reach} reaches it"),
        })
    }

    /// Whether it is of this protocol.
    pub fn is_of(&self, protocol: Protocol) -> bool {
        self.protocol == protocol.name()
    }
}
