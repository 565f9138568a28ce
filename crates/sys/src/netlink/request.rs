//! Messages to send.

use super::message::align;

const HEADER: usize = 16;

/// A request being built: a type, a fixed part, attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    kind: u16,
    // The message with room for its header.
    bytes: Vec<u8>,
}

impl Request {
    /// A request of this type with its fixed part.
    pub fn new(kind: u16, fixed: &[u8]) -> Request {
        let mut bytes = vec![0; HEADER];
        bytes.extend_from_slice(fixed);
        pad(&mut bytes);
        Request { kind, bytes }
    }

    /// Appends an attribute.
    ///
    /// # Panics
    /// If the payload is longer than an attribute can be, 65,531 bytes.
    #[must_use]
    pub fn with(mut self, kind: u16, payload: &[u8]) -> Request {
        let length = u16::try_from(4 + payload.len()).expect("an attribute fits in 64 KiB");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        pad(&mut self.bytes);
        self
    }

    /// Appends an attribute that contains what `fill` adds to it.
    ///
    /// # Panics
    /// If the contents are longer than an attribute can be, 65,531 bytes.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, fill: impl FnOnce(Request) -> Request) -> Request {
        let start = self.bytes.len();
        self = self.with(kind | libc::NLA_F_NESTED as u16, &[]);
        self = fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("an attribute fits in 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Appends raw bytes, for attributes that begin with a structure.
    #[must_use]
    pub fn with_raw(mut self, raw: &[u8]) -> Request {
        self.bytes.extend_from_slice(raw);
        pad(&mut self.bytes);
        self
    }

    pub(super) fn with_header(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let length = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(align(bytes.len()), 0);
}
