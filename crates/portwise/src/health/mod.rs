//! What can be seen of this machine and what not, and settings that surprise: each a finding, with
//! the command that settles it.

use serde::Serialize;

use crate::Setting;

mod names;
mod ports;
mod sight;

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name.
    pub id: &'static str,
    /// How it is.
    pub state: State,
    /// What is so.
    pub what: String,
    /// What follows from it, or where it was read; empty if nothing.
    pub because: String,
    /// The command that settles it, or that shows more.
    pub settle: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It can be seen, or is as usual.
    Fine,
    /// It cannot be seen.
    Hidden,
    /// It is unusual, and may surprise.
    Odd,
}

impl Finding {
    fn fine(id: &'static str, what: impl Into<String>) -> Finding {
        let (because, settle) = (String::new(), None);
        Finding { id, state: State::Fine, what: what.into(), because, settle }
    }

    fn odd(id: &'static str, what: impl Into<String>) -> Finding {
        Finding { state: State::Odd, ..Finding::fine(id, what) }
    }

    fn hidden(id: &'static str, what: impl Into<String>) -> Finding {
        Finding { state: State::Hidden, ..Finding::fine(id, what) }
    }

    fn because(self, because: impl Into<String>) -> Finding {
        Finding { because: because.into(), ..self }
    }

    fn settled(self, command: impl Into<String>) -> Finding {
        Finding { settle: Some(command.into()), ..self }
    }
}

/// Looks at everything.
pub fn of(setting: &mut Setting) -> Vec<Finding> {
    let sudo = if setting.runner == Some(0) { "" } else { "sudo " };
    let mut all = sight::of(setting, sudo);
    all.extend(ports::of(setting, sudo));
    all.extend(names::of());
    all
}
