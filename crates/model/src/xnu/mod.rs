//! XNU, the kernel of macOS.

use crate::{Call, Feature, Host, Outcome, Rule, SockAddr, Socket};

/// `listen`.
pub static LISTEN: &[&Rule] = &[];
/// Every list.
pub static PATHS: &[&[&Rule]] = &[];
/// Every feature.
pub static FEATURES: &[&Feature] = &[];

/// The rules of `bind`, in the kernel's order.
pub fn bind_path(_: &Socket, _: &SockAddr) -> &'static [&'static Rule] {
    &[]
}

/// Makes the effects of a call.
pub fn settle(_: &mut Host, socket: &Socket, _: &Call, _: Outcome, _: Option<u16>) -> Socket {
    *socket
}
