//! Live probes: for each feature of Linux a few calls whose answers tell whether the running kernel
//! has it.
//!
//! A probe acts, so only `conform --features` runs it, never `why`. Each has a thread and a network
//! namespace of its own, so that none is in the way of another.

mod bind;
mod exec;
mod lookup;
mod option;
mod setting;

use portwise_model::{Feature, KernelFamily, Version, features, scenario::Who};
use portwise_sys::ns;

use super::{Trouble, namespace};
use setting::Setting;

/// What tells whether a kernel has a feature.
struct Probe {
    feature: &'static Feature,
    /// What is tried, and what comes of it with the feature.
    how: &'static str,
    ask: fn(&Setting) -> Result<bool, String>,
}

/// Every probe.
static PROBES: &[&[Probe]] = &[bind::PROBES, option::PROBES, lookup::PROBES, exec::PROBES];

/// A feature, as a probe found it and as the version says.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Which one.
    pub feature: &'static Feature,
    /// What was tried, and what comes of it with the feature; `None` if there is no probe.
    pub how: Option<&'static str>,
    /// Whether the kernel has it, or why no probe could tell.
    pub found: Result<bool, String>,
    /// What the version says; `None` if nobody read its sources.
    pub by_version: Option<bool>,
}

impl Probed {
    /// Whether probe and version contradict each other.
    pub fn disagrees(&self) -> bool {
        matches!((&self.found, self.by_version), (Ok(found), Some(said)) if *found != said)
    }
}

/// Probes every feature of Linux on the running kernel, which has `version`.
///
/// # Errors
/// If no network namespace can be made.
pub fn probe(version: Version) -> Result<Vec<Probed>, Trouble> {
    let home = namespace::enter(None)?;
    let of_linux = |feature: &&Feature| feature.id.starts_with(KernelFamily::Linux.name());
    let probed = features().filter(of_linux).map(|feature| {
        let probe = PROBES.iter().copied().flatten().find(|probe| probe.feature == feature);
        Probed {
            feature,
            how: probe.map(|probe| probe.how),
            found: probe.map_or(Err("there is no probe for it".into()), |p| apart(p, home)),
            by_version: feature.in_version(version),
        }
    });
    Ok(probed.collect())
}

/// Runs a probe in a thread of its own, in a fresh namespace.
fn apart(probe: &Probe, home: Who) -> Result<bool, String> {
    let asked = || {
        namespace::fresh().map_err(|trouble| trouble.0)?;
        ns::lo_up().map_err(|errno| format!("lo does not go up: {errno}"))?;
        (probe.ask)(&Setting { home })
    };
    let joined = std::thread::scope(|scope| scope.spawn(asked).join());
    joined.unwrap_or_else(|_| Err("the probe failed".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_has_one_probe_at_most() {
        let mut ids: Vec<_> = PROBES.iter().copied().flatten().map(|p| p.feature.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
