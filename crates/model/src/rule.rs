//! What a rule is: data, and one function that says whether it stops the call.

use core::fmt;

use crate::{Missing, Outcome, View, fix::Fix};

/// One check of one kernel.
pub struct Rule {
    /// Stable name, `kernel.call.what`. Never reused.
    pub id: &'static str,
    /// The requirement, one line that reads well whether the call passes or stops.
    pub title: &'static str,
    /// What is so when the rule stops the call, one line for whoever's call it was.
    pub fault: &'static str,
    /// What the caller sees when this rule stops the call.
    pub outcome: Outcome,
    /// Where it can be read.
    pub cites: &'static [Cite],
    /// How it is known.
    pub basis: Basis,
    /// The page: what, why, whom it concerns, how to see it, how to change it. Markdown.
    pub page: &'static str,
    /// Whether the rule stops the call. `?` on a fact that is not known makes the answer open.
    pub stops: fn(&View<'_>) -> Result<bool, Missing>,
    /// Changes that may lift the refusal; each is proven before it is offered.
    pub fixes: &'static [&'static Fix],
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// A place in a source tree or a document.
#[derive(Debug, PartialEq, Eq)]
pub struct Cite {
    /// Repository, `owner/name`.
    pub repo: &'static str,
    /// Tag that was read.
    pub rev: &'static str,
    /// File.
    pub path: &'static str,
    /// Function.
    pub function: &'static str,
    /// An identifier that occurs in the check, so that a script can find it at any revision.
    pub needle: &'static str,
}

/// How a rule is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Read in the source, not executed.
    Source,
    /// Read in the source and compared with the running kernel; the string names the lab note.
    Measured(&'static str),
    /// From the maker's documentation.
    Documented,
    /// Neither.
    Guess,
}

impl Basis {
    /// The word printed with an answer.
    pub const fn word(self) -> &'static str {
        match self {
            Basis::Source => "read in the source",
            Basis::Measured(_) => "measured",
            Basis::Documented => "documented",
            Basis::Guess => "a guess",
        }
    }
}
