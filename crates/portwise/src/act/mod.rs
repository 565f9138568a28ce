//! What acts: everything else only reads.

#[cfg(target_os = "linux")]
mod confirm;
#[cfg(target_os = "linux")]
pub mod fix;
#[cfg(target_os = "linux")]
pub mod lab;
#[cfg(target_os = "linux")]
pub mod launch;
#[cfg(target_os = "linux")]
pub mod packets;
#[cfg(target_os = "linux")]
pub mod trace;
#[cfg(target_os = "linux")]
pub mod trial;

#[cfg(target_os = "linux")]
pub use confirm::bind_once;
