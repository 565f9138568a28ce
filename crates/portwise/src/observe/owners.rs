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
    /// Where the sockets of the namespace in question are in the inventory.
    places: BTreeMap<SocketId, usize>,
}

impl Owners {
    /// The socket that the rules know by this number, in the namespace in question.
    pub fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.inventory.sockets.get(*self.places.get(&id)?)
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

/// Of so many sockets on a port, the options of those that are connected are read too.
#[cfg(target_os = "linux")]
const FEW: usize = 64;

/// Looks at a port of this machine, in the thread's namespace and all others that may be seen.
/// `known` is what was just listed of TCP and UDP in the own one, if that is known.
#[cfg(target_os = "linux")]
pub(super) fn of(
    proc: &portwise_sys::proc::Proc,
    port: u16,
    known: Option<&[portwise_sys::sockdiag::DiagSocket]>,
) -> Option<Owners> {
    use super::inventory::{
        Namespaces, Query, States, Transport,
        linux::{Known, take_with},
    };
    let query = Query {
        transports: vec![Transport::Tcp, Transport::Udp, Transport::Mptcp],
        port: Some(port),
        states: States::All,
        namespaces: Namespaces::All,
        // They are read through descriptors, where no BPF program sees them anyway.
        options: false,
        ..Query::default()
    };
    // Elsewhere, what is not bound concerns nobody.
    let known = Known { own: known, elsewhere: States::Bound };
    let mut inventory = take_with(&query, &known).ok()?;
    inventory.describe();
    let own = inventory.namespaces.iter().find(|n| n.own).map(|n| n.inode);
    let mut places = BTreeMap::new();
    for (at, socket) in inventory.sockets.iter().enumerate() {
        if Some(socket.netns) == own {
            places.entry(id(socket)).or_insert(at);
        }
    }
    let mut owners = Owners { inventory, places, ..Owners::default() };
    let inventory = &owners.inventory;
    let are_few = inventory.sockets.len() <= FEW;
    for socket in &inventory.sockets {
        let Some(inode) = socket.inode else { continue };
        let known = socket.reuseaddr.zip(socket.reuseport);
        let read = || super::sockets::of_descriptors(&socket.holders);
        if let Some(options) = known.or_else(|| (are_few || socket.remote.is_none()).then(read)?) {
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
