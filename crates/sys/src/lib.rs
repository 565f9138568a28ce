//! Every system call portwise makes, one file per kernel interface, named as its man page.
//!
//! This crate decides nothing: it reads (or does) and returns plain owned values. It is the only
//! one with `unsafe`. What a caller may not see comes back as an error that says so, never as an
//! empty answer.
//!
//! Everything but [`Errno`], [`Error`] and [`allocator`] exists on Linux only.
#![allow(unsafe_code)]

/// Says why a test cannot run here: past the test harness, which keeps what passing tests print.
#[doc(hidden)]
#[macro_export]
macro_rules! not_run {
    ($($why:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "not run: {}", format_args!($($why)*));
    }};
}

mod errno;

pub use errno::{Errno, Error};

pub mod allocator;
#[cfg(target_os = "linux")]
pub mod bpf;
#[cfg(target_os = "linux")]
pub mod btf;
#[cfg(target_os = "linux")]
pub mod caps;
#[cfg(target_os = "linux")]
pub mod cgroup;
#[cfg(target_os = "linux")]
pub mod elf;
#[cfg(target_os = "linux")]
pub mod exec;
#[cfg(target_os = "linux")]
pub mod filecap;
#[cfg(target_os = "linux")]
pub mod handover;
#[cfg(target_os = "linux")]
pub mod ipset;
#[cfg(target_os = "linux")]
pub mod landlock;
#[cfg(target_os = "linux")]
pub mod ldso;
#[cfg(target_os = "linux")]
pub mod lsm;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod mount;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod nftables;
#[cfg(target_os = "linux")]
pub mod ns;
#[cfg(target_os = "linux")]
pub mod passwd;
#[cfg(target_os = "linux")]
pub mod path;
#[cfg(target_os = "linux")]
pub mod pidfd;
#[cfg(target_os = "linux")]
pub mod proc;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod ptrace;
#[cfg(target_os = "linux")]
pub mod rtnetlink;
#[cfg(target_os = "linux")]
pub mod seccomp;
#[cfg(target_os = "linux")]
pub mod signal;
#[cfg(target_os = "linux")]
pub mod sock;
#[cfg(target_os = "linux")]
pub mod sockdiag;
#[cfg(target_os = "linux")]
pub mod uname;
#[cfg(target_os = "linux")]
pub mod unix;
#[cfg(target_os = "linux")]
pub mod xtables;
