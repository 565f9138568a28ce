//! Messages and attributes as they arrive: framing only.

use crate::Errno;

const HEADER: usize = 16;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The bytes do not have the layout the kernel documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Says whether this message ends an answer (`NLMSG_DONE`, `NLMSG_ERROR`).
    pub fn is_last(&self) -> bool {
        matches!(i32::from(self.kind), libc::NLMSG_DONE | libc::NLMSG_ERROR)
    }

    /// Reads a message that ends an answer: `None` for success, or the errno and the kernel's
    /// explanation, which may be empty.
    ///
    /// # Errors
    /// [`Malformed`] if there is no errno.
    pub fn failure(&self) -> Result<Option<(Errno, String)>, Malformed> {
        let is_done = i32::from(self.kind) == libc::NLMSG_DONE;
        let code = match self.payload.first_chunk() {
            Some(bytes) => i32::from_ne_bytes(*bytes),
            // Some kernels end a dump with a bare NLMSG_DONE.
            None if is_done => 0,
            None => return Err(Malformed),
        };
        if code >= 0 {
            return Ok(None);
        }
        // The explanation follows the code, in NLMSG_ERROR after a copy of the request as well.
        let request = if is_done { 0 } else { u32_at(self.payload, 4).unwrap_or(0) as usize };
        let text = (self.flags & NLM_F_ACK_TLVS != 0)
            .then(|| self.payload.get(4usize.saturating_add(align(request))..))
            .flatten()
            .and_then(|rest| attributes(rest).find(|a| a.kind == NLMSGERR_ATTR_MSG))
            .map(|attribute| attribute.text());
        Ok(Some((Errno(code.saturating_neg()), text.unwrap_or_default())))
    }
}

/// Splits what one recv(2) returned into messages. Ends after the first malformed one.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = split_message(rest);
        rest = match message {
            Ok(m) => rest.get(align(HEADER + m.payload.len())..).unwrap_or_default(),
            Err(Malformed) => &[],
        };
        Some(message)
    })
}

fn split_message(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let length = u32_at(bytes, 0).ok_or(Malformed)? as usize;
    let payload = bytes.get(HEADER..length).ok_or(Malformed)?;
    Ok(Message {
        kind: u16_at(bytes, 4).ok_or(Malformed)?,
        flags: u16_at(bytes, 6).ok_or(Malformed)?,
        sequence: u32_at(bytes, 8).ok_or(Malformed)?,
        payload,
    })
}

/// One attribute of a message, see netlink(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// `nla_type` without the flags for nesting and byte order.
    pub kind: u16,
    /// What follows the attribute's header.
    pub payload: &'a [u8],
}

impl Attribute<'_> {
    /// The first byte.
    pub fn u8(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// The first two bytes, in the host's order.
    pub fn u16(&self) -> Option<u16> {
        u16_at(self.payload, 0)
    }

    /// The first four bytes, in the host's order.
    pub fn u32(&self) -> Option<u32> {
        u32_at(self.payload, 0)
    }

    /// The first eight bytes, in the host's order.
    pub fn u64(&self) -> Option<u64> {
        self.payload.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }

    /// The bytes before the first NUL; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        let text = self.payload.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

/// Iterates over attributes. Stops silently where the bytes no longer hold a whole one.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & !(libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;
        let payload = rest.get(4..length)?;
        rest = rest.get(align(length)..).unwrap_or_default();
        Some(Attribute { kind, payload })
    })
}

/// Whether the bytes are attributes to their very end, so that [`attributes`] leaves none out.
pub fn is_whole(bytes: &[u8]) -> bool {
    let lengths = attributes(bytes).map(|attribute| align(4 + attribute.payload.len()));
    // The last one may lack its padding.
    lengths.sum::<usize>() >= bytes.len()
}

pub(super) fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}
