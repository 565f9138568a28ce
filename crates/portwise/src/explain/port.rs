//! Who is on a port, here and in other network namespaces: what a client may be looking for.

use portwise_model::Protocol;
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

fn socket(owners: &Owners, socket: &Socket, netns: Option<&Namespace>) -> PortSocket {
    let listens = socket.state == State::Listen;
    let holders = owner::of(owners, socket);
    let none = socket.no_holder.filter(|_| holders.is_empty());
    PortSocket {
        protocol: socket.transport.name(),
        state: socket.state.name(),
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
    /// Whether it is of this protocol.
    pub fn is_of(&self, protocol: Protocol) -> bool {
        self.protocol == protocol.name()
    }
}
