//! `doctor`: what can be seen of this machine and what not, and settings that surprise. Only reads.

use serde::Serialize;

use crate::{
    Trouble,
    cli::{Global, Output},
    health::{self, Finding, State},
    render::{doctor as render, json},
};

/// Examples for the help.
pub(crate) const EXAMPLES: &str = "\
Nothing is changed. Each line that is not fine has the command that settles it.

Examples:
  portwise doctor
  sudo portwise doctor                      what root sees
  portwise doctor --netns web               settings of another network namespace
  portwise doctor -v                        what is fine, too, in full

Exit status: 0 all can be seen and nothing is odd, 1 something is hidden or odd, 2 usage or trouble";

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    findings: &'a [Finding],
}

/// Runs the verb and returns its exit status.
pub fn run(global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() || global.who.is_some() {
        return Err(Trouble::new(
            "doctor looks at this machine as you see it: --on, --facts and --as do not go with it",
        ));
    }
    let mut setting = global.setting()?;
    let findings = health::of(&mut setting);
    if global.json {
        let schema = "portwise.doctor/1";
        output.data(&json::write(&Document { schema, findings: &findings }));
    } else {
        output.data(&render::page(&findings, global.detail(), output.style()));
    }
    Ok(u8::from(findings.iter().any(|finding| finding.state != State::Fine)))
}
