//! Who reaches sockets from beyond this host, once the rules of the firewall are reckoned with.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use portwise_model::{Protocol, ReachOutcome};

use super::{Kind, Reaching, View};
use crate::{
    endpoint::{Target, shown},
    observe::{exposure::Exposure, live},
};

/// So long the rules of a namespace may be read.
const LONGEST: Duration = Duration::from_secs(5);

/// A socket to ask about.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The number of its file.
    pub inode: u64,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it serves both families, if its address is the wildcard of IPv6.
    pub dual_stack: bool,
}

/// Says of each socket of the thread's network namespace who beyond this host reaches it.
///
/// # Errors
/// Why that cannot be said, in words.
pub fn exposed(sockets: &[Bound]) -> Result<Vec<Exposure>, String> {
    let mut setting = live::setting().map_err(|trouble| trouble.to_string())?;
    let traffic = setting.traffic(Some(Instant::now() + LONGEST))?;
    if let Err(why) = &traffic.rules {
        return Err(why.clone());
    }
    let mut reaching = Reaching::of(&mut setting, traffic);
    Ok(sockets.iter().map(|socket| reaching.exposure(socket)).collect())
}

/// What it says that packets from there get through.
fn reached(kind: &Kind) -> Exposure {
    match kind {
        Kind::Named(_) => Exposure::Named,
        _ => Exposure::Lan,
    }
}

impl Reaching<'_> {
    fn exposure(&mut self, socket: &Bound) -> Exposure {
        let target = Target {
            shown: shown(socket.ip, None, socket.port),
            ip: socket.ip,
            zone: None,
            dual_stack: Some(socket.dual_stack),
            port: socket.port,
            protocol: socket.protocol,
            about_port: false,
        };
        let views = self.views(&target);
        let found = self.widest(socket, &views);
        if found == Exposure::EveryNetwork {
            return found;
        }
        let (named, all) = self.named_or_more(&views);
        match found.max(self.widest(socket, &named)) {
            // One of those who were not asked about may be let in.
            Exposure::Loopback if !all => Exposure::Unknown,
            found => found,
        }
    }

    /// The widest that some packets get through from. What is not known is wider than what is.
    fn widest(&mut self, socket: &Bound, views: &[View]) -> Exposure {
        let mut found = Exposure::Loopback;
        for view in views.iter().filter(|view| !view.kind.is_here()) {
            match self.takes(socket, view) {
                Some(true) if view.kind == Kind::Beyond => return Exposure::EveryNetwork,
                Some(true) => found = found.max(reached(&view.kind)),
                Some(false) => {}
                None => found = Exposure::Unknown,
            }
        }
        found
    }

    /// Whether the socket gets what is sent from there; `None` if that is not known.
    fn takes(&mut self, socket: &Bound, view: &View) -> Option<bool> {
        let (_, found) = self.find(&view.target, &view.from).ok()?;
        let found = found.ok()?;
        match found.outcome {
            ReachOutcome::Unknown => None,
            ReachOutcome::Accepted => Some(found.sockets().iter().any(|id| id.0 == socket.inode)),
            _ => Some(false),
        }
    }
}
