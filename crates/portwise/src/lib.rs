//! Whether a program may bind an address and port, which rule of the kernel stops it, who holds
//! the port, and what would help.
//!
//! [`why`] answers a [`Request`] with a [`Report`], which a program prints when it could not bind:
//!
//! ```
//! if let Err(error) = std::net::TcpListener::bind("127.0.0.1:80") {
//!     eprintln!("{error}");
//!     match portwise::why(&portwise::Request::bind("127.0.0.1:80")?) {
//!         Ok(report) => eprintln!("{report}"),
//!         Err(trouble) => eprintln!("{trouble}"),
//!     }
//! }
//! # Ok::<(), portwise::Trouble>(())
//! ```
//!
//! Below that stands a [`Setting`], a machine and who asks on it: the running one, one read from a
//! file, or the defaults of some kernel. [`verb::why::why`] answers one [`Endpoint`] in it, with a
//! report for each address it stands for; nothing is printed, [`render`] does that.
//!
//! ```
//! use portwise::{Answer, Endpoint, SocketSettings, observe::assumed, verb::why::why};
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
mod halves;
#[cfg(target_os = "linux")]
pub mod health;
pub mod observe;
pub mod pasted;
#[cfg(target_os = "linux")]
mod question;
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
pub use explain::Answer;
pub use observe::{Setting, SocketSettings};
#[cfg(target_os = "linux")]
pub use question::{Report, Request, why};
pub use trouble::Trouble;
pub use verb::{check::check, why::why_heard};
