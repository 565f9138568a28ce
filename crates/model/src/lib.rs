//! What a kernel answers to bind and listen, and why: pure rules, no I/O.
//!
//! One line through the crate: a [`Case`] (a [`Host`], a [`Subject`], a [`Request`]) goes into
//! [`decide`]; a [`Verdict`] comes out, the set of outcomes that the known facts allow with a
//! trace of the rules tried; [`fix::fixes`] asks again with one thing changed; a [`Machine`]
//! carries a host through a sequence of calls.
//!
//! Read `linux/` or `xnu/` next: each is one kernel, each list of rules stands in the order in
//! which that kernel checks.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod addr;
mod credentials;
mod decide;
mod errno;
mod fact;
pub mod fix;
pub mod freebsd;
mod host;
pub mod illumos;
mod kernel;
pub mod linux;
mod lookup;
mod machine;
pub mod netbsd;
pub mod openbsd;
mod pcb;
mod program;
mod reach;
mod request;
mod rule;
#[cfg(feature = "serde")]
pub mod scenario;
mod socket;
pub mod sort;
mod subject;
mod topic;
mod view;
pub mod windows;
pub mod xnu;

pub use addr::*;
pub use credentials::{Credentials, IdMap, Ids};
pub use decide::{
    Case, Finding, Step, Verdict, after_programs, asked_alone, assumed_host, decide, decide_parts,
    exec_path, outcomes, outcomes_along, path, settle, v6only_by_default,
};
pub use errno::{Errno, Outcome};
pub use fact::{Fact, FactKey, Missing, Text};
pub use host::{
    AddrState, Host, IfAddr, Interface, Interfaces, LocalPorts, LocalRoute, LocalRoutes, Probed,
    RouteKind,
};
pub use kernel::{Exception, Feature, Kernel, KernelFamily, Version};
pub use lookup::{Choice, Found, Packet, Receivers, lookup};
pub use machine::{Answered, Machine};
pub use program::{Executable, FileCapabilities, FileKind, Format, Inode, Mount, Program};
pub use reach::{Reach, ReachOutcome, ReachQuestion, Station, Stopper, Vantage, WayEnd};
pub use request::{Call, Request, SockOption};
pub use rule::{Basis, Cite, Rule};
pub use socket::{Coverage, Membership, Options, Protocol, Socket, SocketId, Sockets, State};
pub use subject::{
    CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Cap,
    CapSet, Gate, Gates, Subject, UserNs,
};
pub use topic::{TOPICS, Topic};
pub use view::{Evidence, View};

/// Every list of rules of every kernel.
pub fn paths() -> impl Iterator<Item = &'static [&'static Rule]> {
    let of = [
        linux::PATHS,
        xnu::PATHS,
        freebsd::PATHS,
        openbsd::PATHS,
        netbsd::PATHS,
        illumos::PATHS,
        windows::PATHS,
    ];
    of.into_iter().flatten().copied()
}

/// Every rule of every kernel, each once.
pub fn rules() -> alloc::vec::Vec<&'static Rule> {
    let mut all: alloc::vec::Vec<&'static Rule> = alloc::vec::Vec::new();
    for &rule in paths().flatten() {
        if !all.iter().any(|r| r.id == rule.id) {
            all.push(rule);
        }
    }
    all
}

/// Every step of every kernel's lookup.
pub fn choices() -> impl Iterator<Item = &'static Choice> {
    linux::LOOKUP.iter().chain(xnu::LOOKUP).chain(freebsd::LOOKUP).copied()
}

/// Every feature of every kernel.
pub fn features() -> impl Iterator<Item = &'static Feature> {
    let of = [linux::FEATURES, xnu::FEATURES, freebsd::FEATURES, openbsd::FEATURES];
    of.into_iter().flatten().copied()
}
