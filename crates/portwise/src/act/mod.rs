//! What acts: everything else only reads.

#[cfg(target_os = "linux")]
pub mod lab;
#[cfg(target_os = "linux")]
pub mod trial;
