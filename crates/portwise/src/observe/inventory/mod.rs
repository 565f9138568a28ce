//! Every socket of this machine that may be seen, who holds it, and what is known of the holders.
//!
//! [`take`] answers one [`Query`] with an [`Inventory`]. It lists the sockets of each network
//! namespace asked for (sock_diag(7)), finds the processes that hold them, and says how it found
//! them and what it could not see. Who the processes are is read only for those that will be
//! shown: drop the sockets that are not, then call [`Inventory::describe`].
//!
//! ```no_run
//! use portwise::observe::inventory::{self, Namespaces, Query};
//!
//! let query = Query { port: Some(8080), namespaces: Namespaces::All, ..Query::default() };
//! let mut inventory = inventory::take(&query)?;
//! inventory.sockets.retain(|socket| socket.uid == Some(1000));
//! inventory.describe();
//! for socket in &inventory.sockets {
//!     for holder in &socket.holders {
//!         println!("{:?} {:?}", socket.local(), inventory.processes.get(&holder.pid));
//!     }
//! }
//! # Ok::<(), portwise::Trouble>(())
//! ```
//!
//! Nothing on the machine is changed. Text of processes (names, arguments, paths) is as the
//! machine gives it: it is not to be trusted and has to be escaped before it is printed.

use std::collections::BTreeMap;

use portwise_model::Family;

use crate::Trouble;

#[cfg(target_os = "linux")]
pub(super) mod linux;
mod namespace;
mod process;
mod socket;

pub use namespace::{Found, Namespace};
pub use process::{
    Container, Forward, Identity, Link, ParentProcess, Process, Run, Supervisor, Units,
};
pub use socket::{Holder, How, KernelUse, NoHolder, Socket, State, Transport};

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Only sockets of these protocols.
    pub transports: Vec<Transport>,
    /// Only sockets of this family; `None` for both. A dual-stack socket is one of IPv6.
    pub family: Option<Family>,
    /// Only sockets with this local port. Raw sockets have none and are then left out.
    pub port: Option<u16>,
    /// In which states.
    pub states: States,
    /// In which network namespaces.
    pub namespaces: Namespaces,
    /// Whether to look for the processes that hold them.
    pub holders: bool,
    /// Whether to look also for what only a BPF program sees: options, and the groups of UDP. If
    /// not, holders are looked for in the way that is the fastest on this machine.
    pub options: bool,
    /// Look for holders in `/proc` only, also where a BPF program could do it.
    pub no_bpf: bool,
}

impl Default for Query {
    /// All sockets of the thread's own network namespace that are bound and not connected, with
    /// their holders and options.
    fn default() -> Query {
        Query {
            transports: Transport::ALL.to_vec(),
            family: None,
            port: None,
            states: States::Bound,
            namespaces: Namespaces::Own,
            holders: true,
            options: true,
            no_bpf: false,
        }
    }
}

/// The states that sockets are asked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// Listening, or bound without a connection ([`State::Listen`] and [`State::Bound`]).
    Bound,
    /// All: connections, those being closed, and those the kernel remembers too.
    All,
}

/// The network namespaces that are looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// That of the calling thread.
    Own,
    /// One, by its name as ip-netns(8) knows it, by a path such as `/proc/7/ns/net`, or by the
    /// pid of a process in it.
    One(String),
    /// Every one that can be found: of processes, with names, held by mounts. Those that may not
    /// be entered are in [`Inventory::namespaces`] with the reason.
    All,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The sockets: by namespace, in the order of [`Inventory::namespaces`], then by protocol
    /// as asked for, IPv4 before IPv6, then in the kernel's order.
    pub sockets: Vec<Socket>,
    /// The network namespaces looked into, and those that could not be; the own one first.
    pub namespaces: Vec<Namespace>,
    /// The processes that hold [`Inventory::sockets`], by pid: empty until
    /// [`Inventory::describe`]. A holder that is not in here afterwards has ended.
    pub processes: BTreeMap<u32, Process>,
    /// What could not be seen.
    pub unseen: Unseen,
    /// How the holders were found.
    pub path: Path,
    /// Why not in a faster way, in words; `None` if there is none.
    pub why_not_faster: Option<String>,
}

/// How the holders of sockets were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Nobody looked for any: it was not asked for, or there is no socket that could have one.
    #[default]
    None,
    /// By a BPF program that walks over all open files within the kernel.
    Bpf,
    /// By reading `/proc/PID/fd` of each process.
    Proc,
}

impl Path {
    /// One word for it: `none`, `bpf` or `proc`.
    pub const fn name(self) -> &'static str {
        match self {
            Path::None => "none",
            Path::Bpf => "bpf",
            Path::Proc => "proc",
        }
    }
}

/// What could not be seen. All zero and empty means: nothing was hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Processes whose open files this user may not see. Each may hold any socket.
    pub processes: u32,
    /// `/proc` hides processes of others (`hidepid`): there may be some that were not counted.
    pub hidepid: bool,
    /// This is not the initial pid namespace: what runs outside of it is not seen.
    pub outside: bool,
    /// Processes whose network namespace this user may not see. Only counted if all namespaces
    /// were asked for.
    pub namespaces: u32,
    /// This kernel (before Linux 6.8) does not show TCP sockets that are bound and neither listen
    /// nor connect.
    pub bound_tcp: bool,
    /// Protocols that could not be listed, and why, in words.
    pub transports: Vec<(Transport, String)>,
}

impl Unseen {
    /// Whether a socket may have holders that were not seen.
    pub fn hides_holders(&self) -> bool {
        self.processes > 0 || self.hidepid || self.outside
    }

    /// Whether there may be sockets that were not seen.
    pub fn hides_sockets(&self) -> bool {
        self.namespaces > 0 || self.bound_tcp || !self.transports.is_empty()
    }
}

impl Inventory {
    /// Reads who the processes are that hold the sockets still in [`Inventory::sockets`]. Each is
    /// read once; call it again after adding sockets.
    ///
    /// A process that has ended meanwhile is left out, and so is another one that got its number.
    pub fn describe(&mut self) {
        #[cfg(target_os = "linux")]
        linux::describe(self);
    }

    /// The namespace of a socket.
    pub fn namespace(&self, socket: &Socket) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.inode == socket.netns)
    }
}

/// Looks for sockets and their holders.
///
/// # Errors
/// If the sockets of the own namespace, or of the one asked for, cannot be listed at all, or if
/// there is no such namespace. Whatever else is not seen is told in the [`Inventory`].
#[cfg(target_os = "linux")]
pub fn take(query: &Query) -> Result<Inventory, Trouble> {
    linux::take(query)
}

/// Does something in a network namespace of an inventory.
///
/// # Errors
/// Those of setns(2); `ENOENT` if the namespace is gone.
#[cfg(target_os = "linux")]
pub(crate) fn within<T: Send>(
    namespace: &Namespace,
    look: impl FnOnce() -> T + Send,
) -> Result<T, portwise_sys::Error> {
    if namespace.own { Ok(look()) } else { linux::within(namespace, look) }
}

/// The number by which the thread's namespace knows another, as devices that lead there name it.
#[cfg(target_os = "linux")]
pub(crate) fn number(namespace: &Namespace) -> Option<u32> {
    linux::number(namespace)
}

/// Does something in each of several namespaces of an inventory.
///
/// # Errors
/// Those of [`within`], for each.
#[cfg(target_os = "linux")]
pub(crate) fn within_each<T: Send>(
    namespaces: &[&Namespace],
    look: impl Fn(&Namespace) -> T + Sync,
) -> Vec<Result<T, portwise_sys::Error>> {
    let is_own = |namespace: &&&Namespace| namespace.own;
    let (own, others): (Vec<_>, Vec<_>) = namespaces.iter().partition(is_own);
    let mut own: Vec<_> = own.into_iter().map(|namespace| Ok(look(namespace))).collect();
    let mut others = linux::within_each(&others, look).into_iter();
    let mut own = own.drain(..);
    let next = |namespace: &&Namespace| if namespace.own { own.next() } else { others.next() };
    namespaces.iter().filter_map(next).collect()
}

/// The network namespaces beside that of the calling thread, and the number of processes that do
/// not show theirs.
#[cfg(target_os = "linux")]
pub(crate) fn other_namespaces() -> (Vec<Namespace>, u32) {
    linux::other_namespaces()
}

/// Looks for sockets and their holders.
///
/// # Errors
/// Always, on this system.
#[cfg(not(target_os = "linux"))]
pub fn take(_: &Query) -> Result<Inventory, Trouble> {
    Err(Trouble::new("the sockets of this system cannot be listed yet, only those of Linux can"))
}
