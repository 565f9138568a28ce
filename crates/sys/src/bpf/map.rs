//! An array that a program writes and this process reads.

use std::os::fd::{AsRawFd, OwnedFd};

use super::program::{bpf, failed};
use crate::{Errno, Error};

/// An array of one value, zero at first.
pub(super) struct Array {
    fd: OwnedFd,
    start: *mut libc::c_void,
    length: usize,
}

// SAFETY: a mapping is one of the whole process, and nothing else refers to this one.
unsafe impl Send for Array {}

/// The beginning of `union bpf_attr` for BPF_MAP_CREATE.
#[repr(C)]
#[derive(Default)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

impl Array {
    /// Makes one with a value of this many bytes.
    ///
    /// # Errors
    /// `EPERM`; `E2BIG`, `ENOMEM` if it is too long.
    pub(super) fn new(length: usize) -> Result<Array, Error> {
        const MAP_CREATE: libc::c_long = 0;
        const ARRAY: u32 = 2;
        const MMAPABLE: u32 = 1 << 10;
        let too_long = |_| failed(Errno(libc::E2BIG), "MAP_CREATE");
        let create = Create {
            map_type: ARRAY,
            key_size: 4,
            value_size: i32::try_from(length).map_err(too_long)?.cast_unsigned(),
            max_entries: 1,
            map_flags: MMAPABLE,
        };
        // SAFETY: the attributes have no pointer.
        let fd = unsafe { bpf(MAP_CREATE, &create) }.map_err(|e| failed(e, "MAP_CREATE"))?;
        // SAFETY: a new mapping, where the kernel likes.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(failed(Errno::last(), "mmap"));
        }
        Ok(Array { fd, start, length })
    }

    /// The number of its descriptor.
    pub(super) fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// The value. No program that writes it may be running.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has this length and lives as long as this value. The only program
        // that writes it ran within a call that has returned.
        unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length) }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference outlives this value.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
