//! The network namespace the question is about: this process's, another's, or one with a name.

use std::path::PathBuf;

use portwise_model::{FactKey, Missing};
use portwise_sys::{
    Errno, Error,
    ns::{self, Kind, Namespace},
};

use super::live::Asked;
use crate::Trouble;

/// Where the thread looks at the network, until this is dropped.
#[derive(Debug)]
pub(super) struct Network {
    /// The namespace the thread came from, if it left that.
    home: Option<Namespace>,
    /// Why the namespace could not be entered.
    pub closed: Option<Closed>,
    /// The file of the namespace, if it is another than that of this process.
    pub file: Option<PathBuf>,
}

/// Why nothing is known of the network in question.
#[derive(Debug)]
pub(super) struct Closed {
    why: String,
    reveal: &'static str,
}

impl Closed {
    /// That this fact is missing for the same reason.
    pub(super) fn missing(&self, key: FactKey) -> Missing {
        Missing::new(key, self.why.clone(), self.reveal)
    }
}

impl Network {
    const HERE: Network = Network { home: None, closed: None, file: None };

    /// Which namespace the thread is in, if it left its own.
    pub(super) fn words(&self, asked: &Asked) -> Option<String> {
        self.home.as_ref()?;
        Some(match (&asked.netns, asked.pid) {
            (Some(name), _) => format!("the network namespace `{name}`"),
            (None, Some(pid)) => format!("the network namespace of pid {pid}"),
            (None, None) => "another network namespace".into(),
        })
    }

    /// Enters the namespace in question, if the thread is not in it.
    pub(super) fn enter(asked: &Asked) -> Result<Network, Trouble> {
        let file = match (&asked.netns, asked.pid) {
            (Some(name), _) => named(name)?,
            (None, Some(pid)) if ns::same_network(pid).unwrap_or(false) => {
                return Ok(Network::HERE);
            }
            (None, Some(pid)) => format!("/proc/{pid}/ns/net").into(),
            (None, None) => return Ok(Network::HERE),
        };
        let what = match asked.netns.as_deref() {
            Some(name) => format!("the network namespace `{name}`"),
            None => "the network namespace of the process, which is not mine,".into(),
        };
        match enter(&file) {
            Ok(home) => {
                let file = home.is_some().then_some(file);
                Ok(Network { home, closed: None, file })
            }
            Err(error) if error.is_denied() => {
                let why = format!("{what} may not be entered: {error}");
                let closed = Closed { why, reveal: "root can enter it" };
                Ok(Network { home: None, closed: Some(closed), file: Some(file) })
            }
            Err(error) => Err(Trouble::new(format!("{what} cannot be entered: {error}"))),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // It was entered by right, and that is still there.
            let _ = home.enter(Kind::Net);
        }
    }
}

/// Enters a namespace and returns the one left for it; `None` if it is the same.
fn enter(file: &std::path::Path) -> Result<Option<Namespace>, Error> {
    let there = Namespace::open(file)?;
    let home = Namespace::of_thread(Kind::Net)?;
    if there.id()? == home.id()? {
        return Ok(None);
    }
    there.enter(Kind::Net).map_err(|errno| match errno {
        Errno::EINVAL => Error::about("setns", errno, "it is no network namespace"),
        _ => Error::about("setns", errno, file.to_string_lossy()),
    })?;
    Ok(Some(home))
}

/// The file of a namespace that is named as ip-netns(8) names it, by a path, or by a pid.
pub(super) fn named(name: &str) -> Result<PathBuf, Trouble> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let by_name = ["/run/netns", "/var/run/netns"].map(|place| PathBuf::from(place).join(name));
    if let Some(found) = by_name.into_iter().find(|file| file.exists()) {
        return Ok(found);
    }
    if name.parse::<u32>().is_ok() {
        return Ok(format!("/proc/{name}/ns/net").into());
    }
    Err(Trouble::new(format!(
        "--netns: no network namespace `{name}`: `ip netns list` shows those with names; a path \
         such as /proc/PID/ns/net or a pid does as well"
    )))
}
