//! What a scenario is played on.

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use crate::{Call, CapSet, Family, Outcome, Protocol, SockAddr, SocketId};

/// The effective user and capabilities under which a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Effective user id.
    pub uid: u32,
    /// Effective capabilities; `None`: all for uid 0, none for others.
    pub caps: Option<CapSet>,
}

impl Who {
    /// The superuser.
    pub const ROOT: Who = Who { uid: 0, caps: None };

    /// The effective capabilities.
    pub fn capabilities(self) -> CapSet {
        self.caps.unwrap_or(if self.uid == 0 { CapSet::ALL } else { CapSet::NONE })
    }
}

/// Something a backend does not do, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(pub String);

/// What a call answered, or may answer.
pub type Answer = Result<Vec<Outcome>, Unsupported>;

/// The model, or a kernel. Calls are made on sockets named by ids that the caller chooses.
pub trait Backend {
    /// `socket(2)`.
    fn socket(&mut self, id: SocketId, family: Family, protocol: Protocol, who: Who) -> Answer;

    /// `bind(2)`, `listen(2)` or `setsockopt(2)`. Where several outcomes are possible, or a port
    /// is chosen, [`Backend::settle`] says which it was.
    fn call(&mut self, id: SocketId, call: Call, who: Who) -> Answer;

    /// Says what the last call answered. `port` is the one that was chosen, if known.
    fn settle(&mut self, id: SocketId, call: Call, outcome: Outcome, port: Option<u16>);

    /// `getsockname(2)`: address, zone and port.
    fn local(&mut self, id: SocketId) -> Result<(IpAddr, u32, u16), Unsupported>;

    /// `getsockopt(2)`, by the name of the option in scenario files.
    fn option(&mut self, id: SocketId, name: &str) -> Result<i64, Unsupported>;

    /// `close(2)`.
    fn close(&mut self, id: SocketId);

    /// `connect(2)` of a TCP socket, waiting for the answer.
    fn connect(&mut self, id: SocketId, addr: SockAddr, who: Who) -> Answer;

    /// `accept(2)`; the new socket is `child`.
    fn accept(&mut self, listener: SocketId, child: SocketId, who: Who) -> Answer;

    /// The index of the interface with this name.
    fn device(&mut self, name: &str) -> Option<u32>;

    /// Writes a sysctl.
    fn sysctl(&mut self, key: &str, value: &str) -> Answer;

    /// Runs a shell command that changes the network.
    fn command(&mut self, command: &str) -> Result<(), Unsupported>;

    /// Waits, in milliseconds.
    fn sleep(&mut self, milliseconds: u64);

    /// A port that is free, for a variable that has none yet.
    fn free_port(&mut self) -> u16;
}
