//! Who is on a port: its sockets in each network namespace, with their holders.

use std::collections::BTreeMap;

use portwise_model::SocketId;

use super::{
    inventory::{Inventory, Namespace, Process, Socket, Unseen},
    orphan,
};

/// The sockets of a port and who holds them.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// What was seen.
    pub inventory: Inventory,
    /// The sockets, by inode, that their holder did not make but inherited from a process that is
    /// gone.
    pub inherited: Vec<u64>,
    /// `SO_REUSEADDR` and `SO_REUSEPORT` of sockets, by inode, as far as they could be read.
    pub options: BTreeMap<u64, (bool, bool)>,
}

impl Owners {
    /// The socket that the rules know by this number, in the namespace in question.
    pub fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.own().find(|socket| self::id(socket) == id)
    }

    /// The sockets of the namespace in question.
    pub fn own(&self) -> impl Iterator<Item = &Socket> {
        let own = self.inventory.namespaces.iter().find(|n| n.own).map(|n| n.inode);
        self.inventory.sockets.iter().filter(move |socket| Some(socket.netns) == own)
    }

    /// The bound and listening sockets of other namespaces, with these.
    pub fn others(&self) -> impl Iterator<Item = (&Socket, &Namespace)> {
        let other = |socket: &Socket| {
            let namespace = self.inventory.namespaces.iter().find(|n| n.inode == socket.netns);
            namespace.filter(|namespace| !namespace.own)
        };
        let bound = self.inventory.sockets.iter().filter(|socket| socket.is_bound());
        bound.filter_map(move |socket| Some((socket, other(socket)?)))
    }

    /// The process with this number.
    pub fn process(&self, pid: u32) -> Option<&Process> {
        self.inventory.processes.get(&pid)
    }

    /// What could not be seen.
    pub fn unseen(&self) -> &Unseen {
        &self.inventory.unseen
    }
}

/// The number by which the rules know a socket.
pub fn id(socket: &Socket) -> SocketId {
    socket.inode.map_or_else(|| orphan(socket.cookie), SocketId)
}

/// Looks at a port of this machine, in the thread's namespace and all others that may be seen.
#[cfg(target_os = "linux")]
pub(super) fn of(proc: &portwise_sys::proc::Proc, port: u16) -> Option<Owners> {
    use super::inventory::{self, Namespaces, Query, States, Transport};
    let query = Query {
        transports: vec![Transport::Tcp, Transport::Udp, Transport::Mptcp],
        port: Some(port),
        states: States::All,
        namespaces: Namespaces::All,
        ..Query::default()
    };
    let mut inventory = inventory::take(&query).ok()?;
    inventory.describe();
    let mut owners = Owners { inventory, ..Owners::default() };
    let inventory = &owners.inventory;
    for socket in &inventory.sockets {
        let Some(inode) = socket.inode else { continue };
        let known = socket.reuseaddr.zip(socket.reuseport);
        let read = || super::sockets::of_descriptors(&socket.holders);
        if let Some(options) = known.or_else(|| socket.remote.is_none().then(read)?) {
            owners.options.insert(inode, options);
        }
        if let [holder] = socket.holders.as_slice()
            && let Some(process) = inventory.processes.get(&holder.pid)
            && super::origin::inherited(proc, socket, holder, process)
        {
            owners.inherited.push(inode);
        }
    }
    Some(owners)
}
