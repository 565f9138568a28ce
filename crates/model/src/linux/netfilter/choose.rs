//! Both ways of what is not certain: a walk is repeated until every choice was taken both ways.

use alloc::{collections::BTreeSet, vec::Vec};

use super::At;
use crate::Text;

/// What a choice was about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    /// The rule; `None` if no rule asked.
    pub at: Option<At>,
    /// What decides, in words: "a rate limit", "chance".
    pub why: Text,
}

/// Takes the choices of one walk after another.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    script: Vec<(u16, u16)>,
    next: usize,
    doubts: Vec<Doubt>,
    seen: BTreeSet<Doubt>,
}

/// What is so for a single packet, in the words of those who ask. All else, such as options that
/// few clients send, a source that was seen too often, or chance, is not.
const USUAL: [&str; 3] = ["a rate limit", "a quota", "a limit of connections"];

/// More walks than this are not tried.
const MOST_WALKS: usize = 2048;

impl Choices {
    /// Chooses one of `options`, the first at first.
    pub fn choose(&mut self, options: u16, doubt: Doubt) -> u16 {
        let at = self.next;
        self.next += 1;
        if let Some(&(taken, _)) = self.script.get(at) {
            self.doubts[at] = doubt;
            return taken;
        }
        self.script.push((0, options));
        self.doubts.push(doubt);
        0
    }

    /// Whether a condition holds: at first as it does for who asks once and plainly.
    pub fn holds(&mut self, doubt: Doubt) -> bool {
        let usual = USUAL.contains(&doubt.why.as_ref());
        (self.choose(2, doubt) == 0) == usual
    }

    /// Goes on to the next walk: changes the last choice that has another option.
    fn advance(&mut self) -> Option<Doubt> {
        self.script.truncate(self.next);
        self.doubts.truncate(self.next);
        while let Some((taken, options)) = self.script.pop() {
            let doubt = self.doubts.pop();
            if taken + 1 < options {
                self.script.push((taken + 1, options));
                self.doubts.extend(doubt.clone());
                self.next = 0;
                return doubt;
            }
        }
        None
    }
}

/// What all walks came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walks<T> {
    /// The different ends, in the order in which they were found.
    pub ends: Vec<T>,
    /// What made a difference between ends.
    pub doubts: Vec<Doubt>,
    /// Whether every choice was tried.
    pub complete: bool,
}

/// Walks until every choice was taken, or `enough` says that what was found will do.
pub fn every<T: PartialEq>(
    mut walk: impl FnMut(&mut Choices) -> T,
    enough: impl Fn(&[T]) -> bool,
) -> Walks<T> {
    let mut choices = Choices::default();
    let mut found = Walks { ends: Vec::new(), doubts: Vec::new(), complete: false };
    let mut turned = None;
    for _ in 0..MOST_WALKS {
        choices.next = 0;
        let end = walk(&mut choices);
        if !found.ends.contains(&end) {
            found.ends.push(end);
            if let Some(doubt) = turned.take().filter(|d| choices.seen.insert(Doubt::clone(d))) {
                found.doubts.push(doubt);
            }
        }
        if enough(&found.ends) {
            return found;
        }
        turned = choices.advance();
        if turned.is_none() {
            found.complete = true;
            return found;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(why: &'static str) -> Doubt {
        Doubt { at: None, why: why.into() }
    }

    #[test]
    fn every_choice_is_taken() {
        let walk = |c: &mut Choices| match (c.choose(3, doubt("a")), c.holds(doubt("b"))) {
            (0, _) => 0,
            (n, true) => n * 10,
            (n, false) => n,
        };
        let walks = every(walk, |_| false);
        assert_eq!(walks.ends, [0, 1, 10, 2, 20]);
        assert!(walks.complete);
        assert!(walks.doubts.contains(&doubt("a")) && walks.doubts.contains(&doubt("b")));
    }

    #[test]
    fn what_makes_no_difference_is_not_named() {
        let walk = |c: &mut Choices| {
            c.holds(doubt("a"));
            7
        };
        let walks = every(walk, |_| false);
        assert_eq!((walks.ends, walks.doubts.len()), (alloc::vec![7], 0));
    }

    #[test]
    fn too_many_choices_are_said_to_be() {
        let walk = |c: &mut Choices| (0..40).map(|_| u8::from(c.holds(doubt("a")))).max();
        assert!(!every(walk, |_| false).complete);
    }
}
