//! Sets and maps of nftables.

use alloc::{collections::BTreeSet, vec::Vec};

use super::{Bytes, Tri, Verdict};
use crate::Text;

/// What a map gives for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Data {
    /// Bytes.
    Value(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
}

/// An element: a key or a range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Element {
    /// The key, or the lowest.
    pub key: Vec<u8>,
    /// The highest key of a range. In concatenations it holds field by field.
    pub end: Option<Vec<u8>>,
    /// What it maps to.
    pub data: Option<Data>,
    /// What has to hold besides, such as a rate; empty if nothing has.
    pub depends: Text,
}

/// A set or map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Set {
    /// Its name; `__set0` and the like for one written into a rule.
    pub name: Text,
    /// The length of a key, in bytes.
    pub key_len: usize,
    /// The lengths of the fields of a concatenation, each filled up to four bytes.
    pub fields: Vec<usize>,
    /// Its elements, sorted by key.
    pub elements: Vec<Element>,
    /// What every other key maps to, or that it is in the set.
    pub catch_all: Option<Element>,
    /// Whether rules add elements while packets pass.
    pub dynamic: bool,
}

impl Set {
    /// Puts the elements into the order that look-ups need.
    pub fn sort(&mut self) {
        self.elements.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// The elements a key may be in, each with whether that is certain. A certain one is the last.
    /// `added` are keys that the packet itself put there.
    pub fn find(
        &self,
        key: &Bytes,
        index: usize,
        added: &BTreeSet<(usize, Vec<u8>)>,
    ) -> (Vec<(Option<&Element>, Tri)>, bool) {
        let mut found = Vec::new();
        let mut certain = false;
        if let Some(exact) = key.all() {
            if self.dynamic && added.contains(&(index, exact.to_vec())) {
                return (alloc::vec![(None, Tri::Yes)], true);
            }
            if let Some(element) = self.exact(exact) {
                let tri = condition(element);
                certain |= tri == Tri::Yes;
                found.push((Some(element), tri));
            }
        } else {
            for element in &self.elements {
                match self.holds(element, key).and(|| condition(element)) {
                    Tri::No => {}
                    tri => {
                        certain |= tri == Tri::Yes;
                        found.push((Some(element), tri));
                        if certain {
                            break;
                        }
                    }
                }
            }
        }
        if let Some(element) = self.catch_all.as_ref().filter(|_| !certain) {
            let tri = condition(element);
            certain |= tri == Tri::Yes;
            found.push((Some(element), tri));
        }
        (found, certain)
    }

    /// The element that holds a key of which every bit is known.
    fn exact(&self, key: &[u8]) -> Option<&Element> {
        if self.fields.len() > 1 {
            return self.elements.iter().find(|element| self.holds_exactly(element, key));
        }
        // In one dimension ranges do not overlap, so only the last one that starts before can.
        let behind = self.elements.partition_point(|e| e.key.as_slice() <= key);
        let last = self.elements.get(behind.checked_sub(1)?)?;
        self.holds_exactly(last, key).then_some(last)
    }

    fn holds_exactly(&self, element: &Element, key: &[u8]) -> bool {
        let Some(end) = &element.end else { return element.key == key };
        self.ranges().all(|(start, len)| {
            let bytes = |all: &[u8]| all.get(start..start + len).map(<[u8]>::to_vec);
            let at = bytes(key);
            bytes(&element.key) <= at && at <= bytes(end)
        })
    }

    fn holds(&self, element: &Element, key: &Bytes) -> Tri {
        let Some(end) = &element.end else { return key.equals(&element.key) };
        let mut all = Tri::Yes;
        for (start, len) in self.ranges() {
            let part = |bytes: &[u8]| bytes.get(start..start + len).unwrap_or_default().to_vec();
            let field = key.part(start, len);
            all = all.and(|| field.within(&part(&element.key), &part(end)));
        }
        all
    }

    /// Where the fields of a key stand.
    fn ranges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut start = 0;
        let whole = if self.fields.is_empty() { Some((0, self.key_len)) } else { None };
        let fields = self.fields.iter().map(move |&len| {
            let at = start;
            start += len.next_multiple_of(4);
            (at, len)
        });
        whole.into_iter().chain(fields)
    }
}

fn condition(element: &Element) -> Tri {
    match element.depends.as_ref() {
        "" => Tri::Yes,
        _ => Tri::Depends(element.depends.clone()),
    }
}
