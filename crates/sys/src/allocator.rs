//! How the C library asks the kernel for memory, see `mallopt(3)`.

/// Asks for memory in steps of a megabyte and gives none back before the process ends: for a
/// process that does one thing and ends. Without it glibc moves the end of its heap, brk(2), up and
/// down with each large buffer.
///
/// Does nothing with a C library that has no `mallopt(3)`. What is not written to costs no memory.
pub fn ask_seldom() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes numbers and changes only when the allocator calls brk(2).
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
    }
}
