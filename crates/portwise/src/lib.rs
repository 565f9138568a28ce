//! Whether a program may bind an address and port, which rule of the kernel stops it, who holds
//! the port, and what would help.
//!
//! A [`Setting`] is a machine and who asks on it: the running one, one read from a file, or the
//! defaults of some kernel. [`why`] answers one [`Endpoint`] with [`Report`]s, one for each
//! address it stands for; nothing is printed, [`render`] does that.
//!
//! ```
//! use portwise::{Answer, Endpoint, SocketSettings, observe::assumed, why};
//!
//! let kernel = assumed::kernel("linux-6.12")?;
//! let mut setting = assumed::setting(kernel, None, &[]);
//! let endpoint: Endpoint = "127.0.0.1:80".parse()?;
//! let reports = why(&mut setting, &endpoint, None, &SocketSettings::default())?;
//! assert_eq!(reports[0].decision.answer, Answer::No);
//! assert_eq!(reports[0].decision.refusals(), "EACCES");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod act;
pub mod capability;
pub mod cli;
pub mod endpoint;
pub mod explain;
#[cfg(target_os = "linux")]
pub mod health;
pub mod observe;
pub mod pasted;
pub mod reach;
pub mod render;
pub mod resolve;
pub mod special;
mod trouble;
#[cfg(target_os = "linux")]
pub mod unix;
mod usage;
pub mod verb;

pub use endpoint::Endpoint;
pub use explain::{Answer, Report};
pub use observe::{Setting, SocketSettings};
pub use trouble::Trouble;
pub use verb::{
    check::check,
    why::{why, why_heard, why_here},
};
