//! The rules of the packet filter, as the kernel has them: nf_tables by netlink, the tables of
//! iptables-legacy by getsockopt, the sets of ipset.
//!
//! No tool is run, and nothing is loaded: what is not there is not asked for. Every parser takes
//! bytes and says what it did not understand in a line.

mod instruction;
mod ipsets;
mod legacy;
mod nftables;
mod sets;
mod xt;
mod xt_target;

use std::{fmt, time::Instant};

use portwise_model::linux::netfilter::Ruleset;
use portwise_sys::{Errno, Error, nftables::NfTables, proc::Proc, xtables};

/// What is understood of rules, for the documentation: sections of names with how they are read.
pub(super) fn support() -> [(&'static str, &'static [(&'static str, &'static str)]); 3] {
    [
        ("Expressions of nf_tables", instruction::KNOWN),
        ("Matches of iptables", xt::KNOWN),
        ("Targets of iptables", xt_target::KNOWN),
    ]
}

/// Why the rules are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// The kernel tells them to the administrator only.
    Denied(Error),
    /// The kernel did not answer as expected.
    Failed(Error),
    /// What it answered could not be understood.
    Malformed(String),
    /// There is so much of them that reading takes longer than it may.
    Long,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Denied(_) => f.write_str("the firewall's rules are told to root only"),
            Unread::Failed(error) => write!(f, "the firewall's rules cannot be read: {error}"),
            Unread::Long => f.write_str("the firewall has too many rules to read them here"),
            Unread::Malformed(what) => {
                write!(f, "the firewall's rules cannot be understood: {what}")
            }
        }
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Unread {
        if error.is_denied() { Unread::Denied(error) } else { Unread::Failed(error) }
    }
}

/// A change of the rules under the reading is tried again this often.
const ATTEMPTS: usize = 8;

/// Reads everything that is loaded in the thread's network namespace.
///
/// # Errors
/// Without `CAP_NET_ADMIN` over the namespace, or if the kernel answers what cannot be understood,
/// or not until `deadline`.
pub(super) fn read(proc: &Proc, deadline: Option<Instant>) -> Result<Ruleset, Unread> {
    let mut tables = NfTables::open()?;
    tables.until(deadline);
    let read = read_all(proc, &mut tables, deadline);
    match &read {
        Err(_) if tables.is_late() => Err(Unread::Long),
        _ => read,
    }
}

fn read_all(
    proc: &Proc,
    tables: &mut NfTables,
    deadline: Option<Instant>,
) -> Result<Ruleset, Unread> {
    let mut rules = Ruleset::default();
    for attempt in 1.. {
        let before = match tables.generation() {
            // Without nf_tables there may still be legacy tables.
            Err(error) if is_absent(&error) => break,
            other => other?,
        };
        rules = nftables::read(tables)?;
        if tables.generation()? == before {
            break;
        }
        if attempt == ATTEMPTS {
            return Err(Unread::Malformed("they change all the time".into()));
        }
    }
    for is_v6 in [false, true] {
        for name in legacy_names(proc, is_v6)? {
            let table = xtables::legacy_table(is_v6, &name)?;
            legacy::add(&mut rules, is_v6, &table).map_err(Unread::Malformed)?;
        }
    }
    if ipsets::are_used(&rules) {
        rules.ipsets = ipsets::read(deadline)?;
    }
    Ok(rules)
}

fn is_absent(error: &Error) -> bool {
    [Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT].contains(&error.errno)
}

/// The legacy tables that exist, oldest first: asking for others would create them.
fn legacy_names(proc: &Proc, is_v6: bool) -> Result<Vec<String>, Unread> {
    let file = if is_v6 { "ip6_tables_names" } else { "ip_tables_names" };
    // Of the thread, which may have entered another namespace.
    match proc.read(format!("proc/thread-self/net/{file}")) {
        // The newest is listed first.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().rev().map(str::to_owned).collect()),
        Err(error) if error.errno == Errno::ENOENT => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a dispatcher has arms for: quoted, at the beginning of a line or behind `|`,
    /// as far in as the first one.
    fn arms(source: &str) -> Vec<String> {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let is_arm = |line: &&str| {
            let line = line.trim_start();
            line.starts_with('"') || line.starts_with("| \"")
        };
        let mut lines = source.lines().filter(is_arm).peekable();
        let depth = lines.peek().map_or(0, |line| indent(line));
        let arms = lines.filter(|line| indent(line) == depth);
        arms.flat_map(|line| quoted(line.split("=>").next().unwrap_or_default())).collect()
    }

    fn quoted(text: &str) -> Vec<String> {
        text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_documentation_lists_what_is_read() {
        let sources = [
            (include_str!("instruction.rs"), "    fn read(", "    fn is_v6"),
            (include_str!("xt.rs"), "fn known(", "/// Whether a match of a set"),
            (include_str!("xt_target.rs"), "fn known(", "/// The kinds of refusal"),
        ];
        for ((source, from, to), (section, known)) in sources.into_iter().zip(support()) {
            let start = source.find(from).expect("the dispatcher is there");
            let end = source[start..].find(to).expect("its end is there") + start;
            let listed: Vec<&str> = known
                .iter()
                .flat_map(|(names, _)| {
                    names.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                })
                .collect();
            let arms = arms(&source[start..end]);
            assert!(arms.len() > 10, "{section}: {arms:?}");
            for name in arms {
                assert!(listed.contains(&name.as_str()), "{section} does not list {name}");
            }
        }
    }
}
