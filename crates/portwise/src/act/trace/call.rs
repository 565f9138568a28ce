//! What a call was given, read from the memory of whoever makes it.

use std::net::SocketAddr;

use portwise_sys::{memory, seccomp::Call};

use super::tracee;
use crate::unix::{LONGEST, Name};

/// An address that was given to a call.
pub(super) enum Address {
    Ip(SocketAddr),
    /// It cannot be read: the program's file is not readable for this user.
    Unreadable,
    /// The name of a Unix socket.
    Unix(Name),
    /// Of another family, such as AF_NETLINK; or none.
    Other,
}

/// Reads an address.
pub(super) fn address(tid: u32, pointer: u64, length: u32) -> Address {
    // As large as the largest of them, that of a Unix socket.
    let mut bytes = [0; 2 + LONGEST];
    let length = usize::try_from(length).unwrap_or(0).min(bytes.len());
    match memory::read(tid, pointer, &mut bytes[..length]) {
        Ok(read) => of_bytes(&bytes[..read]),
        Err(error) if error == portwise_sys::Errno::EPERM => Address::Unreadable,
        Err(_) => Address::Other,
    }
}

fn of_bytes(bytes: &[u8]) -> Address {
    const AF_UNIX: u16 = 1;
    let family = bytes.first_chunk().map(|family| u16::from_ne_bytes(*family));
    match (tracee::parse(bytes), family) {
        (Some(address), _) => Address::Ip(address),
        (None, Some(AF_UNIX)) => {
            let name = bytes.get(2..).and_then(Name::of_bytes);
            name.map_or(Address::Other, Address::Unix)
        }
        (None, _) => Address::Other,
    }
}

/// The call within a socketcall(2).
pub(super) fn unpack(tid: u32, call: Call) -> Option<Call> {
    let Call::Packed(_, pointer) = call else { return Some(call) };
    let mut bytes = [0; 20];
    let read = memory::read(tid, pointer, &mut bytes).ok()?;
    let (words, _) = bytes[..read].as_chunks::<4>();
    let mut arguments = [0; 5];
    for (to, word) in arguments.iter_mut().zip(words) {
        *to = u32::from_ne_bytes(*word);
    }
    call.unpacked(&arguments)
}

/// How much of what a program says is looked at.
const MOST: usize = 4096;

/// Reads what is about to be written.
pub(super) fn text(tid: u32, from: u64, length: u64) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(length).ok()?.min(MOST)];
    let read = memory::read(tid, from, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// The same from several places, as writev(2) has it.
pub(super) fn texts(tid: u32, list: u64, length: u64) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(length).ok()?.min(64) * 16];
    let read = memory::read(tid, list, &mut bytes).ok()?;
    let (entries, _) = bytes[..read].as_chunks::<16>();
    let mut all = String::new();
    for entry in entries {
        let (base, length) = entry.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        all += &text(tid, number(base), number(length)).unwrap_or_default();
    }
    Some(all)
}
