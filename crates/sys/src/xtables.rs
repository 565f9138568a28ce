//! The tables of `iptables-legacy` and `ip6tables-legacy`, by getsockopt(2) on a socket of the
//! family.
//!
//! Only tables that are there are read: asking for another one would make the kernel create it.

use crate::sock::Socket;
use crate::{Errno, Error};

const IPT_SO_GET_INFO: i32 = 64;
const IPT_SO_GET_ENTRIES: i32 = 65;
/// `NF_INET_NUMHOOKS`.
pub const HOOKS: usize = 5;
const NAME: usize = 32;
/// `struct ipt_getinfo`.
const INFO: usize = NAME + 4 + 4 * HOOKS + 4 * HOOKS + 4 + 4;
/// Where `entrytable` begins in `struct ipt_get_entries`: entries are aligned to 8 bytes.
const ENTRIES: usize = NAME + 8;
/// No table is larger.
const LARGEST: u32 = 1 << 30;

/// A table as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyTable {
    /// Its name.
    pub name: String,
    /// Which hooks it has chains at, as bits.
    pub valid_hooks: u32,
    /// Where the chain of each hook begins, in bytes.
    pub hook_entry: [u32; HOOKS],
    /// Where the policy of each hook's chain stands, in bytes.
    pub underflow: [u32; HOOKS],
    /// The rules, each a `struct ipt_entry` (or `ip6t_entry`).
    pub entries: Vec<u8>,
}

/// Reads a table that is there, of the thread's network namespace. Needs `CAP_NET_ADMIN` over it.
///
/// # Errors
/// `EPERM`; `ENOENT`, `ENOPROTOOPT` if it is not there after all; `EAGAIN` if it kept changing.
pub fn legacy_table(is_v6: bool, name: &str) -> Result<LegacyTable, Error> {
    let failed = |errno| Error::about("getsockopt", errno, format!("iptables-legacy {name}"));
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let level = if is_v6 { libc::IPPROTO_IPV6 } else { libc::IPPROTO_IP };
    let socket = Socket::new(family, libc::SOCK_DGRAM, 0).map_err(failed)?;
    for _ in 0..8 {
        let mut info = named(name, INFO);
        socket.get_bytes(level, IPT_SO_GET_INFO, &mut info).map_err(failed)?;
        let word =
            |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        let words = |at: usize| std::array::from_fn(|i| word(at + 4 * i));
        let (hook_entry, underflow) = (words(NAME + 4), words(NAME + 4 + 4 * HOOKS));
        let (valid_hooks, size) = (word(NAME), word(INFO - 4));
        if size > LARGEST {
            return Err(failed(Errno::EBADMSG));
        }
        let mut entries = named(name, ENTRIES + size as usize);
        entries[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
        match socket.get_bytes(level, IPT_SO_GET_ENTRIES, &mut entries) {
            Ok(()) => {
                entries.drain(..ENTRIES);
                let name = name.into();
                return Ok(LegacyTable { name, valid_hooks, hook_entry, underflow, entries });
            }
            // It grew or shrank in between.
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(failed(Errno::EAGAIN))
}

fn named(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let len = name.len().min(NAME - 1);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    bytes
}
