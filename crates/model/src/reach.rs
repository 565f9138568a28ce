//! Where packets from one vantage to one address end: the question and the answer.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::{
    Errno, Protocol, SocketId, Text,
    linux::netfilter::{At, Doubt, Hook, Owner},
};

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    /// The source address.
    pub from: IpAddr,
    /// The index of the device they arrive by; that of `lo` for packets of this host.
    pub device: u32,
    /// Who sends them, if it is this host.
    pub owner: Option<Owner>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachQuestion {
    /// Where packets come from.
    pub vantage: Vantage,
    /// Where they go.
    pub to: SocketAddr,
    /// Their protocol.
    pub protocol: Protocol,
}

/// Where packets end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum ReachOutcome {
    /// A socket of this host gets them; of TCP, the handshake ends.
    Accepted,
    /// The client is told that it may not or that nobody is there.
    Refused,
    /// Nothing comes back.
    Silent,
    /// They leave this host again.
    Forwarded,
    /// No route leads on.
    NoRoute,
    /// It cannot be told.
    Unknown,
}

impl ReachOutcome {
    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            ReachOutcome::Accepted => "accepted",
            ReachOutcome::Refused => "refused",
            ReachOutcome::Silent => "silent",
            ReachOutcome::Forwarded => "forwarded",
            ReachOutcome::NoRoute => "no-route",
            ReachOutcome::Unknown => "unknown",
        }
    }
}

/// What ended the packets' way, if no socket took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopper {
    /// A rule of the firewall, or the policy of a chain.
    Rule(At),
    /// A check of the kernel: `martian`, `rp_filter`, `route`, `no-listener`, `backlog`.
    Kernel(&'static str),
}

/// The end of one possible way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayEnd {
    /// Where it ends.
    pub outcome: ReachOutcome,
    /// What a client's `connect` or `send` gets, where that is known.
    pub errno: Option<Errno>,
    /// The sockets that get the packets, one of them or each.
    pub sockets: Vec<SocketId>,
    /// What ended it.
    pub stopper: Option<Stopper>,
    /// Why, in a line, of what no rule or socket says.
    pub note: Text,
    /// Where the packets went in the end, if they were rewritten.
    pub rewritten: Option<SocketAddr>,
    /// Whether they leave with another source address than they came with.
    pub masked: bool,
    /// The device they leave by, if they do.
    pub leaves_by: u32,
}

impl WayEnd {
    /// An end of which only the outcome is known.
    pub const fn new(outcome: ReachOutcome) -> WayEnd {
        WayEnd {
            outcome,
            errno: None,
            sockets: Vec::new(),
            stopper: None,
            note: Text::Borrowed(""),
            rewritten: None,
            masked: false,
            leaves_by: 0,
        }
    }

    /// It cannot be told, because of `why`.
    pub fn unknown(why: impl Into<Text>) -> WayEnd {
        WayEnd { note: why.into(), ..WayEnd::new(ReachOutcome::Unknown) }
    }

    /// The end with this stopper.
    #[must_use]
    pub fn stopped_by(self, stopper: Stopper) -> WayEnd {
        WayEnd { stopper: Some(stopper), ..self }
    }
}

/// One station of a packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Station {
    /// Something in words, such as a routing decision.
    Note(Text),
    /// A rule that did something, and what.
    Rule(At, Text),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Where packets end; unknown if there are several ways with different ends.
    pub outcome: ReachOutcome,
    /// The ends of the possible ways.
    pub ends: Vec<WayEnd>,
    /// What decides which way they take.
    pub doubts: Vec<Doubt>,
    /// The first way, station by station.
    pub path: Vec<Station>,
    /// The rules that rewrote addresses or ports on the first way, and at which hooks.
    pub rewrites: Vec<(Hook, At)>,
}

impl Reach {
    /// The end of the first way.
    pub fn first(&self) -> Option<&WayEnd> {
        self.ends.first()
    }

    /// What ended it, if all ways end alike: by the same rule, or by this one for most packets.
    pub fn stopper(&self) -> Option<&Stopper> {
        let first = self.first()?.stopper.as_ref()?;
        let alike = |end: &WayEnd| match self.outcome {
            ReachOutcome::Unknown => end.stopper.as_ref() == Some(first),
            outcome => end.outcome == outcome,
        };
        self.ends.iter().all(alike).then_some(first)
    }

    /// What the client gets, if that is the same on all ways.
    pub fn errno(&self) -> Option<Errno> {
        let first = self.first()?.errno?;
        self.ends.iter().all(|end| end.errno == Some(first)).then_some(first)
    }

    /// Every socket that may get the packets.
    pub fn sockets(&self) -> Vec<SocketId> {
        let mut all: Vec<SocketId> = Vec::new();
        for &id in self.ends.iter().flat_map(|end| &end.sockets) {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        all
    }
}
