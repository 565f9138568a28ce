//! Facts written down: what `facts -o FILE` wrote and `--facts FILE` reads.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use portwise_model::{FactKey, Host, Missing, Socket, Subject};
use serde::{Deserialize, Serialize};

use super::{AskingProcess, Holders, Observer, Setting, assumed::unanswered, user::Directory};
use crate::Trouble;

/// The `schema` of a facts file.
pub const SCHEMA: &str = "portwise.facts/1";

/// Everything that is known about a machine and about who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine.
    pub host: Host,
    /// Who asks.
    pub subject: Subject,
    /// The group of who asks, if known.
    #[serde(default)]
    pub gid: Option<u32>,
    /// The process in whose place the question is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<AskingProcess>,
    /// The program that is to make the call, with its arguments if they were wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The file of the network namespace, if it is not that of who looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// What is not observed but taken for granted, in words.
    #[serde(default)]
    pub assumed: Vec<String>,
    /// Who holds the sockets.
    #[serde(default)]
    pub holders: Holders,
    /// The login names of the users that occur.
    #[serde(default)]
    pub users: BTreeMap<u32, String>,
    /// What could not be observed, why, and what would reveal it.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

impl Facts {
    /// Reads a facts file.
    pub fn read(file: &Path) -> Result<Facts, Trouble> {
        let name = file.display();
        let text = fs::read(file).map_err(|e| Trouble::new(format!("cannot read {name}: {e}")))?;
        let facts: Facts = serde_json::from_slice(&text)
            .map_err(|e| Trouble::new(format!("{name} is no facts file: {e}")))?;
        if facts.schema != SCHEMA {
            let found = &facts.schema;
            return Err(Trouble::new(format!("{name} says `{found}`, not `{SCHEMA}`")));
        }
        Ok(facts)
    }

    /// The users of that machine, as far as they occur.
    pub fn directory(&self) -> Directory {
        let users = self.users.iter().map(|(uid, name)| (name.clone(), *uid, None));
        Directory { users: users.collect(), ..Directory::default() }
    }

    /// The setting that these facts describe.
    pub fn setting(self) -> Setting {
        let Facts { host, subject, gid, assumed, holders, users, missing, process, .. } = self;
        let named = process.as_ref().map(|process| (process.pid, process.command.clone()));
        let recorded = Recorded { holders, users, missing, process };
        let mut setting = Setting::new(host, subject, Box::new(recorded));
        (setting.process, setting.command, setting.netns) = (named, self.command, self.netns);
        setting.gid = gid;
        setting.assumed = assumed;
        setting
    }
}

/// Knows what was written down, and why the rest was not.
struct Recorded {
    holders: Holders,
    users: BTreeMap<u32, String>,
    missing: Vec<Missing>,
    process: Option<AskingProcess>,
}

impl Observer for Recorded {
    fn observe(&mut self, key: &FactKey, _: &mut Host, _: &mut Subject) -> Result<(), Missing> {
        let recorded = self.missing.iter().find(|missing| missing.key == *key).cloned();
        Err(recorded.unwrap_or_else(|| unanswered(key)))
    }

    fn holders(&mut self, _: &[Socket]) -> Holders {
        self.holders.clone()
    }

    fn user(&mut self, uid: u32) -> Option<String> {
        self.users.get(&uid).cloned()
    }

    fn asking_process(&mut self) -> Option<AskingProcess> {
        self.process.clone()
    }
}
