//! What an experiment found: everything a rendering says.

use std::net::IpAddr;

use portwise_model::{Errno, Outcome, Protocol};
use serde::{Serialize, Serializer};

use crate::explain::{Decision, SubjectReport};

/// Everything that was tried, and what was not.
#[derive(Clone, Debug, Serialize)]
pub struct Experiment {
    /// Where it took place.
    pub place: Place,
    /// Whether the process moved into a user namespace for it.
    pub user_namespace: bool,
    /// Who asked.
    pub subject: SubjectReport,
    /// The server that was started for each endpoint, before its addresses were put in.
    pub command: Option<Vec<String>>,
    /// The client that was started for each endpoint that listened, likewise.
    pub client: Option<Vec<String>>,
    /// From where each endpoint was connected to.
    pub vantages: Vec<Vantage>,
    /// The endpoints.
    #[serde(rename = "answers")]
    pub trials: Vec<Trial>,
    /// What of this machine's network is not in the copy, in words.
    pub not_copied: Vec<String>,
    /// How prediction and observation agreed.
    pub summary: Summary,
}

/// Where an experiment takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In a private copy of the network.
    Copy,
    /// On the network of this machine.
    Here,
}

/// How often prediction and observation agreed: each bind and each connection is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All.
    pub all: usize,
    /// As predicted.
    pub agree: usize,
    /// Otherwise.
    pub disagree: usize,
    /// Those of `agree` where the prediction was not certain.
    pub open: usize,
}

/// From where, and to which address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vantage {
    /// Its name in the table.
    pub name: String,
    /// From where.
    pub from: From,
    /// The address that is connected to.
    pub ip: IpAddr,
    /// The interface that has it.
    pub device: Option<String>,
    /// The address that is connected from, where it is known beforehand.
    pub source: Option<IpAddr>,
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// A program on the host itself.
    Host,
    /// A program on a host at the same link.
    Neighbour,
    /// A program on a host behind a router.
    Far,
}

/// One endpoint, tried.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The endpoint as it was typed.
    pub asked: String,
    /// The address and port as `ss` prints them.
    pub endpoint: String,
    /// The protocol.
    pub protocol: Protocol,
    /// What the model said of bind and listen.
    pub predicted: Decision,
    /// What the kernel answered.
    pub observed: Answered,
    /// Whether that was predicted.
    pub agrees: bool,
    /// What the model says of the network itself, where that is something else.
    pub real: Option<Decision>,
    /// The server that was started.
    pub server: Option<Server>,
    /// The client that was started.
    pub client: Option<Ended>,
    /// One for each vantage, in their order; none if nothing was there to connect to.
    pub cells: Vec<Cell>,
    /// What explains this row beyond the table, in words.
    pub notes: Vec<String>,
    /// The scenario that repeats a disagreement, where one was written.
    pub repeat: Option<String>,
}

/// What the kernel answered to the call that failed, or to the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// The call: `socket`, `setsockopt`, `bind` or `listen`.
    pub call: &'static str,
    /// `ok` or the name of an errno.
    pub outcome: String,
    /// The text that goes with the errno.
    pub text: Option<String>,
}

impl Answered {
    /// Returns whether it succeeded.
    pub fn is_ok(&self) -> bool {
        self.outcome == "ok"
    }
}

/// A server, started for one endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The sockets on which it listens, as `ss` prints their addresses.
    pub listens: Vec<String>,
    /// Whether that is as what the kernel answered to the bind alone lets expect.
    pub agrees: bool,
    /// Why it does not listen, in words.
    pub trouble: Option<String>,
    /// How it ended by itself.
    pub ended: Option<Ended>,
    /// What it said until it listened or ended, its beginning. Untrusted text.
    pub said: String,
    /// What it said while it was connected to. Untrusted text.
    pub said_later: String,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// Its exit status, if it exited.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// In words.
    pub words: String,
    /// The first line it said. Untrusted text.
    pub first_line: String,
}

/// One connection, predicted and made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The name of the vantage.
    pub vantage: String,
    /// Everything that the model allows.
    pub predicted: Vec<Reached>,
    /// What happened.
    pub observed: Reached,
    /// Whether that was predicted.
    pub agrees: bool,
}

/// Where a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// At the socket or the server of the trial; a datagram arrived there.
    Connected,
    /// At another socket, which stands for this one.
    Other(String),
    /// At some socket, and there are several.
    Somebody,
    /// It was refused.
    Refused,
    /// Nobody answered.
    TimedOut,
    /// The client's own kernel refused.
    Errno(String),
}

impl Reached {
    /// The word for it.
    pub fn word(&self) -> &str {
        match self {
            Reached::Connected | Reached::Somebody => "connected",
            Reached::Other(_) => "other",
            Reached::Refused => "refused",
            Reached::TimedOut => "timeout",
            Reached::Errno(name) => name,
        }
    }

    /// Returns whether an observation is what was predicted.
    pub(super) fn fits(&self, predicted: &[Reached]) -> bool {
        let somebody = |r: &Reached| matches!(r, Reached::Connected | Reached::Other(_));
        predicted.contains(self) || *self == Reached::Somebody && predicted.iter().any(somebody)
    }
}

impl Serialize for Reached {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            outcome: &'a str,
            socket: Option<&'a str>,
        }
        let socket = match self {
            Reached::Other(socket) => Some(socket.as_str()),
            _ => None,
        };
        Written { outcome: self.word(), socket }.serialize(serializer)
    }
}

impl Answered {
    /// What a call of the kernel answered.
    pub(super) fn new(call: &'static str, result: Result<(), portwise_sys::Errno>) -> Answered {
        match result {
            Ok(()) => Answered { call, outcome: Outcome::Ok.name().into(), text: None },
            Err(errno) => Answered { call, outcome: errno.to_string(), text: Some(errno.text()) },
        }
    }

    /// The same as the model writes it; `None` for an errno it has no name for.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.outcome.as_str() {
            "ok" => Some(Outcome::Ok),
            name => Errno::from_name(name).map(Outcome::Errno),
        }
    }
}
