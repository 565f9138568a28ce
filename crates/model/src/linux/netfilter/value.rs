//! Values of which some bits may be unknown, and answers that may be both.

use alloc::{borrow::Cow, vec::Vec};

use super::Cmp;
use crate::Text;

/// Yes, no, or both: then with what decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tri {
    /// It is so.
    Yes,
    /// It is not.
    No,
    /// That depends on something.
    Depends(Text),
}

impl Tri {
    /// The answer of something known.
    pub const fn from(yes: bool) -> Tri {
        if yes { Tri::Yes } else { Tri::No }
    }

    /// Negated if `negated`.
    pub fn negated(self, negated: bool) -> Tri {
        if negated { !self } else { self }
    }

    /// Both.
    pub fn and(self, other: impl FnOnce() -> Tri) -> Tri {
        match self {
            Tri::No => Tri::No,
            Tri::Yes => other(),
            depends => match other() {
                Tri::No => Tri::No,
                _ => depends,
            },
        }
    }

    /// At least one.
    pub fn or(self, other: impl FnOnce() -> Tri) -> Tri {
        !(!self).and(|| !other())
    }
}

/// A port: one, or one that a client's kernel chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// This one.
    Exact(u16),
    /// One from 32768 on that nobody can tell in advance.
    Ephemeral,
}

/// The lowest port that a client's kernel chooses by itself on today's systems, if nobody told it
/// otherwise: Linux from 32768, Windows, macOS and the BSDs from 49152.
const EPHEMERAL_FROM: u16 = 32768;

/// Why an ephemeral port leaves an answer open.
pub(super) const CLIENT_PORT: Text = Cow::Borrowed("the client's port");

impl Port {
    /// The one port, if it is known.
    pub const fn exact(self) -> Option<u16> {
        match self {
            Port::Exact(port) => Some(port),
            Port::Ephemeral => None,
        }
    }

    /// Whether it is from `low` to `high`.
    pub fn within(self, low: u16, high: u16) -> Tri {
        match self {
            Port::Exact(port) => Tri::from((low..=high).contains(&port)),
            Port::Ephemeral if low > high || high < EPHEMERAL_FROM => Tri::No,
            Port::Ephemeral if low <= EPHEMERAL_FROM && high == u16::MAX => Tri::Yes,
            Port::Ephemeral => Tri::Depends(CLIENT_PORT),
        }
    }
}

impl core::ops::Not for Tri {
    type Output = Tri;

    fn not(self) -> Tri {
        match self {
            Tri::Yes => Tri::No,
            Tri::No => Tri::Yes,
            depends => depends,
        }
    }
}

/// Some bytes, with which of their bits are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// The bytes; unknown bits are 0.
    pub value: Vec<u8>,
    /// The bits that are known.
    pub known: Vec<u8>,
    /// Where the two bytes of a client's port stand, if they do.
    pub port_at: Option<usize>,
    /// Why bits are unknown.
    pub why: Text,
}

impl Bytes {
    /// Known bytes.
    pub fn exact(value: &[u8]) -> Bytes {
        let known = alloc::vec![0xff; value.len()];
        Bytes { value: value.to_vec(), known, port_at: None, why: Cow::Borrowed("") }
    }

    /// Unknown bytes, because of `why`.
    pub fn unknown(len: usize, why: impl Into<Text>) -> Bytes {
        let zero = alloc::vec![0; len];
        Bytes { value: zero.clone(), known: zero, port_at: None, why: why.into() }
    }

    /// A port in network order.
    pub fn port(port: Port) -> Bytes {
        match port {
            Port::Exact(port) => Bytes::exact(&port.to_be_bytes()),
            Port::Ephemeral => Bytes { port_at: Some(0), ..Bytes::unknown(2, CLIENT_PORT) },
        }
    }

    /// The bytes, if all bits are known.
    pub fn all(&self) -> Option<&[u8]> {
        self.known.iter().all(|&k| k == 0xff).then_some(&self.value)
    }

    /// The part of `len` bytes from `at`; what lies outside is unknown.
    pub fn part(&self, at: usize, len: usize) -> Bytes {
        let get = |from: &[u8], i: usize| from.get(at + i).copied().unwrap_or(0);
        let port_at = self.port_at.filter(|&p| p >= at && p + 2 <= at + len).map(|p| p - at);
        Bytes {
            value: (0..len).map(|i| get(&self.value, i)).collect(),
            known: (0..len).map(|i| get(&self.known, i)).collect(),
            port_at,
            why: if port_at.is_some() { CLIENT_PORT } else { self.why.clone() },
        }
    }

    /// Appends `other`.
    pub fn push(&mut self, other: &Bytes) {
        if let Some(at) = other.port_at {
            self.port_at = Some(self.value.len() + at);
        }
        if other.all().is_none() {
            self.why = other.why.clone();
        }
        self.value.extend_from_slice(&other.value);
        self.known.extend_from_slice(&other.known);
    }

    /// Whether they are those of `other`.
    pub fn equals(&self, other: &[u8]) -> Tri {
        let pairs = self.value.iter().zip(&self.known).zip(other);
        if pairs.clone().any(|((v, k), o)| (v ^ o) & k != 0) {
            return Tri::No;
        }
        if let Some(port) = self.port_at.and_then(|at| other.get(at..at + 2)) {
            let port = u16::from_be_bytes([port[0], port[1]]);
            if Port::Ephemeral.within(port, port) == Tri::No {
                return Tri::No;
            }
        }
        let open = self.known.iter().take(other.len()).any(|&k| k != 0xff);
        if open { Tri::Depends(self.why.clone()) } else { Tri::Yes }
    }

    /// Whether, as one big-endian number, they are from `low` to `high`.
    pub fn within(&self, low: &[u8], high: &[u8]) -> Tri {
        self.compare(Cmp::Ge, low).and(|| self.compare(Cmp::Le, high))
    }

    /// The least and the greatest number they may stand for, big-endian.
    fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        if self.port_at == Some(0) && self.value.len() == 2 {
            return (EPHEMERAL_FROM.to_be_bytes().to_vec(), u16::MAX.to_be_bytes().to_vec());
        }
        let most = self.value.iter().zip(&self.known).map(|(v, k)| v | !k).collect();
        (self.value.clone(), most)
    }

    /// Whether, as a big-endian number, they compare like that with `other`.
    pub fn compare(&self, op: Cmp, other: &[u8]) -> Tri {
        let (least, most) = self.bounds();
        let is_less = |strictly: bool| {
            let below = |bound: &[u8]| if strictly { bound < other } else { bound <= other };
            match (below(&least), below(&most)) {
                (_, true) => Tri::Yes,
                (false, false) => Tri::No,
                (true, false) => Tri::Depends(self.why.clone()),
            }
        };
        match op {
            Cmp::Eq => self.equals(other),
            Cmp::Ne => !self.equals(other),
            Cmp::Lt => is_less(true),
            Cmp::Le => is_less(false),
            Cmp::Gt => !is_less(false),
            Cmp::Ge => !is_less(true),
        }
    }

    /// `(bytes & mask) ^ xor`.
    pub fn masked(&self, mask: &[u8], xor: &[u8]) -> Bytes {
        let at = |from: &[u8], i: usize| from.get(i).copied().unwrap_or(0);
        let is_whole = mask.iter().all(|&m| m == 0xff) && xor.iter().all(|&x| x == 0);
        Bytes {
            value: (0..self.value.len())
                .map(|i| {
                    ((self.value[i] & at(mask, i)) ^ at(xor, i)) & (self.known[i] | !at(mask, i))
                })
                .collect(),
            known: (0..self.value.len()).map(|i| self.known[i] | !at(mask, i)).collect(),
            port_at: self.port_at.filter(|_| is_whole),
            why: self.why.clone(),
        }
    }
}

/// The registers of a rule.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    bytes: Bytes,
}

impl Registers {
    const SIZE: usize = 64;

    pub(super) fn new() -> Registers {
        Registers { bytes: Bytes::unknown(Registers::SIZE, "a register that was not set") }
    }

    /// Writes bytes, filled up with zeros to a whole register.
    pub(super) fn store(&mut self, at: u8, bytes: &Bytes) {
        let start = usize::from(at);
        let words = bytes.value.len().next_multiple_of(4);
        for i in 0..words {
            let Some(slot) = self.bytes.value.get_mut(start + i) else { return };
            *slot = bytes.value.get(i).copied().unwrap_or(0);
            self.bytes.known[start + i] = bytes.known.get(i).copied().unwrap_or(0xff);
        }
        if self.bytes.port_at.is_some_and(|p| p + 2 > start && p < start + words) {
            self.bytes.port_at = None;
        }
        if let Some(port) = bytes.port_at {
            self.bytes.port_at = Some(start + port);
        }
        if bytes.all().is_none() {
            self.bytes.why = bytes.why.clone();
        }
    }

    pub(super) fn load(&self, at: u8, len: usize) -> Bytes {
        self.bytes.part(usize::from(at), len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ephemeral_port_is_above_the_well_known_ones() {
        assert_eq!(Port::Ephemeral.within(67, 67), Tri::No);
        assert_eq!(Port::Ephemeral.within(1024, 65535), Tri::Yes);
        assert!(matches!(Port::Ephemeral.within(32768, 60999), Tri::Depends(_)));
        assert_eq!(Port::Ephemeral.within(8080, 8080), Tri::No);
        assert_eq!(Bytes::port(Port::Ephemeral).equals(&53u16.to_be_bytes()), Tri::No);
    }

    #[test]
    fn known_bits_of_unknown_bytes_decide() {
        let mut bytes = Bytes::unknown(2, "the client");
        (bytes.value[0], bytes.known[0]) = (0x00, 0xbf);
        assert_eq!(bytes.masked(&[0x1f, 0x00], &[0, 0]).equals(&[0, 0]), Tri::Yes);
        assert_eq!(bytes.equals(&[0x80, 0]), Tri::No);
        assert!(matches!(bytes.equals(&[0x40, 0]), Tri::Depends(_)));
        assert_eq!(bytes.within(&[0x41, 0], &[0xff, 0xff]), Tri::No);
    }

    #[test]
    fn three_values_combine() {
        let open = || Tri::Depends("x".into());
        assert_eq!(open().and(|| Tri::No), Tri::No);
        assert_eq!(open().or(|| Tri::Yes), Tri::Yes);
        assert_eq!(Tri::No.or(open), open());
        assert_eq!(!open(), open());
    }
}
