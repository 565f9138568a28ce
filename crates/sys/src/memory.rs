//! process_vm_readv(2): bytes of another process.

use crate::Errno;

/// Reads bytes of a thread's memory, at most as many as fit. Returns how many could be read: less
/// if the memory ends. Needs the right to attach a debugger to it.
///
/// # Errors
/// `EFAULT` if there is nothing; `EPERM`, also where its program file may not be read; `ESRCH`.
pub fn read(thread: u32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the local part describes `into`; the remote one is checked by the kernel.
    let read = unsafe {
        libc::process_vm_readv(thread.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(read).map_err(|_| Errno::last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read() {
        let text = b"some bytes";
        let mut read_back = [0; 4];
        match read(std::process::id(), text.as_ptr() as u64, &mut read_back) {
            Ok(4) => assert_eq!(&read_back, b"some"),
            other => println!("not run: {other:?}"),
        }
        assert_eq!(read(std::process::id(), 8, &mut read_back), Err(Errno::EFAULT));
    }
}
