//! What acts.
pub mod lab;
