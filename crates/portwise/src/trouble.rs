//! What keeps a question from being answered at all.

use std::fmt;

use crate::render::clean;

/// One line for the user: the question was wrong, or the machine could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(String);

impl Trouble {
    /// Trouble described by one line.
    pub fn new(line: impl Into<String>) -> Trouble {
        Trouble(line.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(&self.0))
    }
}

impl std::error::Error for Trouble {}

impl From<crate::endpoint::BadEndpoint> for Trouble {
    fn from(bad: crate::endpoint::BadEndpoint) -> Trouble {
        Trouble(bad.to_string())
    }
}

impl From<String> for Trouble {
    fn from(line: String) -> Trouble {
        Trouble(line)
    }
}
