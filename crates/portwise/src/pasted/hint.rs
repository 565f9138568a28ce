//! What a message advises or suspects, beside the error itself.

use serde::Serialize;

/// What a message takes for the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Another program holds the port.
    Busy,
    /// A right is missing.
    Privilege,
    /// The address is not one of the host's.
    Address,
}

/// A message's own explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// What it says. Untrusted text.
    pub text: String,
    /// What that comes to.
    pub claim: Claim,
}

/// What programs say, in lower case.
const SAYINGS: &[(&str, Claim)] = {
    use Claim::*;
    &[
        ("already running", Busy),
        ("already have another", Busy),
        ("another process", Busy),
        ("another program", Busy),
        ("another instance", Busy),
        ("another fpm instance", Busy),
        ("another service", Busy),
        ("another server", Busy),
        ("another application", Busy),
        ("another daemon", Busy),
        ("another copy", Busy),
        ("unknown process", Busy),
        ("may already be in use", Busy),
        ("might already be in use", Busy),
        ("in use?", Busy),
        ("in use by", Busy),
        ("stop the process", Busy),
        ("port is already allocated", Busy),
        ("sudo", Privilege),
        ("as root", Privilege),
        ("by root", Privilege),
        ("root privileges", Privilege),
        ("superuser", Privilege),
        ("administrator", Privilege),
        ("elevated", Privilege),
        ("privileged port", Privilege),
        ("cap_net_bind_service", Privilege),
        ("ip_unprivileged_port_start", Privilege),
        ("permission to access that port", Privilege),
        ("interface you can bind to", Address),
        ("listen_address", Address),
        ("not a local address", Address),
    ]
};

/// Finds the first explanation of a message.
pub(super) fn find(text: &str) -> Option<Hint> {
    let lower = text.to_ascii_lowercase();
    let first = SAYINGS.iter().filter_map(|&(said, claim)| Some((lower.find(said)?, said, claim)));
    let (at, said, claim) = first.min_by_key(|(at, ..)| *at)?;
    Some(Hint { text: sentence(text, at, at + said.len()), claim })
}

/// The sentence around a part of the text, without the label of its line, and not too long.
fn sentence(text: &str, from: usize, to: usize) -> String {
    const LONGEST: usize = 160;
    let ends = ["\n", ". ", "! ", "? ", "; "];
    let start =
        ends.iter().filter_map(|end| text[..from].rfind(end).map(|at| at + end.len())).max();
    let mut start = start.unwrap_or(0);
    let end = ends.iter().filter_map(|end| text[to..].find(end).map(|at| to + at + 1)).min();
    let end = end.unwrap_or(text.len());
    // A label such as `HINT:` or `[ERROR]` in front.
    let labels = [": ", "] "].iter().filter_map(|label| text[start..from].rfind(label));
    if let Some(label) = labels.max() {
        start += label + 2;
    }
    let said = text[start..end].trim().trim_end_matches([';', '.']).trim_end();
    match said.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", said[..cut].trim_end()),
        None => said.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_without_its_label() {
        for (text, said, claim) in [
            (
                "LOG:  could not bind IPv4 address \"127.0.0.1\": Permission denied\n\
                 HINT:  Is another postmaster already running on port 666? If not, wait a few seconds and retry.",
                "Is another postmaster already running on port 666?",
                Claim::Busy,
            ),
            (
                "[ERROR] Can't start server: Bind on TCP/IP port: Permission denied\n\
                 [ERROR] Do you already have another mysqld server running on port: 80 ?",
                "Do you already have another mysqld server running on port: 80 ?",
                Claim::Busy,
            ),
            (
                "Privileged ports can only be forwarded by root.",
                "Privileged ports can only be forwarded by root",
                Claim::Privilege,
            ),
            ("EACCES. Try again with sudo", "Try again with sudo", Claim::Privilege),
        ] {
            assert_eq!(find(text), Some(Hint { text: said.into(), claim }), "{text}");
        }
        assert_eq!(find("listen tcp :80: bind: permission denied"), None);
    }
}
