//! Changes that lift a refusal. Each is a command for the reader and the same change made to a
//! case; it is offered only if deciding the changed case says yes.

use alloc::vec::Vec;
use core::fmt;

use crate::{Case, FactKey, Missing, Verdict, decide};

/// One change.
pub struct Fix {
    /// Stable name.
    pub id: &'static str,
    /// What to do, one line.
    pub title: &'static str,
    /// Who else gains by it.
    pub breadth: Breadth,
    /// What else it does, and how long it lasts; empty if nothing.
    pub side_effects: &'static str,
    /// The command, with `{port}`, `{ip}`, `{endpoint}`, `{pid}`, `{program}` (a file) and
    /// `{command}` (with its arguments) to fill in. Empty if there is none that would work as
    /// typed.
    pub command: &'static str,
    /// How many variants there are to try, such as one port after the other.
    pub tries: u16,
    /// Makes variant n of the change. Returns false if it does not apply to this case.
    pub apply: fn(&mut Case, u16) -> bool,
}

impl fmt::Debug for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// How far a fix reaches, the smallest first: the order in which fixes are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breadth {
    /// Only this request changes.
    Request,
    /// One run of one program gains.
    Process,
    /// Another program has to give something up.
    Holder,
    /// Every run of one program gains.
    Program,
    /// Every process in the network namespace gains.
    Netns,
    /// Every process on the host gains.
    Host,
}

/// A fix that was tried on a case and found to lift the refusal.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The fix.
    pub fix: &'static Fix,
    /// The case with the change made.
    pub case: Case,
}

/// Returns the changes that make a case surely allowed, smallest first, each proven by deciding
/// the changed case. `observe` is asked for facts that only a changed case needs, such as the
/// sockets of another port; it returns whether it learned something.
pub fn fixes(
    case: &Case,
    verdict: &Verdict,
    mut observe: impl FnMut(&mut Case, &Missing) -> bool,
) -> Vec<Proven> {
    let mut proven: Vec<Proven> = Vec::new();
    for fix in verdict.obstacles().flat_map(|step| step.rule.fixes) {
        if proven.iter().any(|p| p.fix.id == fix.id) {
            continue;
        }
        for n in 0..fix.tries {
            let mut changed = case.clone();
            if !(fix.apply)(&mut changed, n) {
                break;
            }
            if allowed(&mut changed, &mut observe) {
                proven.push(Proven { fix, case: changed });
                break;
            }
        }
    }
    crate::sort::sort_by_key(&mut proven, |p| p.fix.breadth);
    proven
}

/// Decides, asking for missing facts as long as that helps.
fn allowed(case: &mut Case, observe: &mut impl FnMut(&mut Case, &Missing) -> bool) -> bool {
    let mut asked: Vec<FactKey> = Vec::new();
    loop {
        let verdict = decide(case);
        if verdict.is_allowed() || verdict.is_refused() {
            return verdict.is_allowed();
        }
        let Some(missing) = verdict.missing().find(|m| !asked.contains(&m.key)).cloned() else {
            return false;
        };
        observe(case, &missing);
        asked.push(missing.key);
    }
}

/// A port to offer instead of `port`: for a low one that at its distance above 8000, such as 8080
/// and 8443, else the next.
pub fn suggested_port(port: u16) -> u16 {
    match port {
        0..1024 => 8000 + port,
        _ => port.saturating_add(1),
    }
}
