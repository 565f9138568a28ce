//! Scenarios: short scripts of socket calls with what a kernel answered, as files and as replays.
//!
//! [`format`] is the file, [`Replay`] plays one on a [`Backend`]: the model ([`Modelled`]) or,
//! elsewhere, a running kernel.

mod arguments;
mod backend;
mod commands;
pub mod format;
mod modelled;
mod packets;
mod path;
mod replay;
mod special;
mod talk;
mod world;

pub use backend::{Answer, Backend, Domain, Probe, Reached, Special, Unsupported, Who};
pub use format::Scenario;
pub use modelled::Modelled;
pub use replay::{Replay, StepResult, Tally};
pub use talk::{Connected, Connects};
pub use world::{World, host_of};
