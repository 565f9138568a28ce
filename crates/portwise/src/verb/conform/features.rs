//! `conform --features`: what live probes say of the running kernel, beside what its version says.

use std::fmt::Write as _;

use portwise_model::Kernel;
use serde::Serialize;

use super::{Args, Outcomes};
use crate::{
    Trouble,
    act::lab::{self, Probed},
    cli::{Global, Output},
    observe::live,
    render::{clean, json},
};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernel: &'a str,
    features: Vec<Feature<'a>>,
}

#[derive(Serialize)]
struct Feature<'a> {
    id: &'static str,
    title: &'static str,
    /// What was tried.
    how: Option<&'static str>,
    by_probe: Option<bool>,
    by_version: Option<bool>,
    /// Why no probe could tell.
    not_probed: Option<&'a str>,
}

/// Probes every feature, and says where kernel and version differ.
pub(super) fn run(_: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() {
        return Err(Trouble::new("--features asks the running kernel; leave out --on and --facts"));
    }
    let kernel = live::setting()?.host.kernel;
    let probed = lab::probe(kernel.version).map_err(|lab::Trouble(why)| Trouble::new(why))?;
    if global.json {
        output.data(&json::write(&Document {
            schema: "portwise.conform/1",
            kernel: &kernel.release,
            features: probed.iter().map(Feature::from).collect(),
        }));
    } else {
        output.data(&text(&kernel, &probed));
    }
    Ok(if probed.iter().any(Probed::disagrees) { 1 } else { 0 })
}

fn outcomes(probed: &[Probed]) -> Outcomes {
    let count = |wanted: &dyn Fn(&Probed) -> bool| probed.iter().filter(|p| wanted(p)).count();
    let all = count(&|_| true) as u64;
    let disagree = count(&Probed::disagrees) as u64;
    let unsupported = count(&|p| p.found.is_err() || p.by_version.is_none()) as u64;
    Outcomes { all, agree: all - disagree - unsupported, disagree, unsupported }
}

impl<'a> From<&'a Probed> for Feature<'a> {
    fn from(probed: &'a Probed) -> Feature<'a> {
        Feature {
            id: probed.feature.id,
            title: probed.feature.title,
            how: probed.how,
            by_probe: probed.found.as_ref().ok().copied(),
            by_version: probed.by_version,
            not_probed: probed.found.as_ref().err().map(String::as_str),
        }
    }
}

fn text(kernel: &Kernel, probed: &[Probed]) -> String {
    let (version, release) = (kernel.version, clean(&kernel.release));
    let mut text = format!("features of Linux {version} ({release})\n\nprobe  version\n");
    let word = |has| match has {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    for one in probed {
        let (found, said) = (word(one.found.as_ref().ok().copied()), word(one.by_version));
        let flag = if one.disagrees() { "  DISAGREE" } else { "" };
        let _ = writeln!(text, "{found:5}  {said:7}  {}{flag}", one.feature.id);
        match &one.found {
            Ok(_) => {
                let _ = writeln!(text, "                if {}", one.how.unwrap_or_default());
            }
            Err(why) => {
                let _ = writeln!(text, "                not probed: {}", clean(why));
            }
        }
    }
    let Outcomes { all, agree, disagree, unsupported } = outcomes(probed);
    let _ = writeln!(
        text,
        "features: {all} known, {agree} agree, {disagree} disagree, {unsupported} not compared"
    );
    text
}
