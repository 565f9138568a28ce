//! The tests of the model, in one program: `cargo mutants` links and runs it for every change.
//!
//! `cargo test -p portwise-model FILE::` runs the tests of one file.

mod conflicts;
mod linux;
mod linux_exec;
mod linux_lookup;
mod linux_own;
mod linux_random;
mod linux_reach;
mod linux_versions;
mod lookups;
mod nouns;
mod other_kernels;
mod small_world;
mod tidy;
mod xnu;
mod xnu_binds;
mod xnu_edges;
mod xnu_lookup;
mod xnu_recorded;
