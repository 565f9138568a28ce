//! What people ask for, one file per verb.

use portwise_model::Family;
use serde::Serialize;

use crate::{
    Endpoint, Setting, SocketSettings, Trouble,
    endpoint::{Target, shown},
    explain::{Answer, version_name},
    resolve,
};

mod ask;
pub mod check;
pub mod completions;
pub mod conform;
#[cfg(target_os = "linux")]
pub mod doctor;
mod everywhere;
pub mod explain;
pub mod facts;
#[cfg(target_os = "linux")]
pub mod fix;
pub mod free;
pub mod list;
pub mod reach;
#[cfg(target_os = "linux")]
pub mod run;
#[cfg(target_os = "linux")]
pub mod trace;
#[cfg(target_os = "linux")]
pub mod r#try;
#[cfg(target_os = "linux")]
mod unix;
pub mod why;

/// The kernel that answers, as JSON shows it.
#[derive(Clone, Debug, Serialize)]
pub struct KernelReport {
    /// Its family.
    pub family: &'static str,
    /// Its version as the kernel numbers it.
    pub version: String,
    /// Its name as it was read or given.
    pub release: String,
    /// Its name in words.
    pub name: String,
}

/// Describes the kernel of a setting.
pub fn kernel(setting: &Setting) -> KernelReport {
    let kernel = &setting.host.kernel;
    KernelReport {
        family: kernel.family.name(),
        version: kernel.version.to_string(),
        release: kernel.release.to_string(),
        name: version_name(kernel.family, kernel.version),
    }
}

/// The addresses an endpoint stands for: names are resolved by the machine asked about.
pub(crate) fn targets(
    setting: &Setting,
    endpoint: &Endpoint,
    only: Option<Family>,
    settings: &SocketSettings,
) -> Result<Vec<Target>, Trouble> {
    let resolve = if setting.runner.is_some() { resolve::here } else { resolve::elsewhere };
    let mut targets = endpoint.targets(only, resolve)?;
    if settings.v6only {
        // `*` is what `ss` calls a socket of both families.
        for target in targets.iter_mut().filter(|t| t.dual_stack == Some(true)) {
            target.shown = shown(target.ip, None, target.port);
        }
    }
    Ok(targets)
}

/// The exit status for several answers: any no 1, else any unknown 3, else 0.
pub fn status(answers: impl IntoIterator<Item = Answer>) -> u8 {
    let mut worst = 0;
    for answer in answers {
        worst = match (answer, worst) {
            (Answer::No, _) | (_, 1) => 1,
            (Answer::Unknown, _) => 3,
            (Answer::Yes, _) => worst,
        };
    }
    worst
}
