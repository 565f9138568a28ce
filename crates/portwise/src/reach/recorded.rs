//! Questions with all that their answers depend on, to be asked again elsewhere.

use std::{collections::BTreeSet, net::IpAddr};

use portwise_model::{
    Host, ReachQuestion, SocketId,
    linux::{netfilter::Ruleset, route::Network},
};
use serde::Serialize;

use super::{From, Reaching};
use crate::{Trouble, endpoint::Target};

#[derive(Serialize)]
struct Recorded<'a> {
    host: &'a Host,
    network: &'a Network,
    rules: &'a Ruleset,
    full: &'a BTreeSet<SocketId>,
    asks: Vec<Ask>,
}

#[derive(Serialize)]
struct Ask {
    from: IpAddr,
    device: u32,
    /// User and group of who sends, if it is this host.
    owner: Option<(Option<u32>, Option<u32>)>,
    to: std::net::SocketAddr,
    protocol: &'static str,
    /// The whole answer, as the model writes it for who programs.
    answer: String,
}

impl Ask {
    fn new(question: &ReachQuestion, answer: String) -> Ask {
        let vantage = &question.vantage;
        Ask {
            from: vantage.from,
            device: vantage.device,
            owner: vantage.owner.map(|owner| (owner.uid, owner.gid)),
            to: question.to,
            protocol: question.protocol.name(),
            answer,
        }
    }
}

impl Reaching<'_> {
    /// The host as it was seen, and where packets of these questions end there: one line of JSON.
    ///
    /// # Errors
    /// If the rules or a fact about sockets cannot be read.
    pub(crate) fn recorded(&mut self, asks: &[(Target, From)]) -> Result<String, Trouble> {
        let mut answered = Vec::new();
        for (target, from) in asks {
            let (question, found) = self.find(target, from)?;
            let found = found.map_err(Trouble::new)?;
            answered.push(Ask::new(&question, format!("{found:?}")));
        }
        let rules = self.traffic.rules.as_ref().map_err(|why| Trouble::new(why.clone()))?;
        let recorded = Recorded {
            host: &self.setting.host,
            network: &self.traffic.network,
            rules,
            full: &self.full,
            asks: answered,
        };
        serde_json::to_string(&recorded).map_err(|error| Trouble::new(error.to_string()))
    }
}
