//! Where packets go: routing tables, policy rules, and what is refused before a route is used.
//!
//! Read beside `net/ipv4/route.c`, `net/ipv4/fib_frontend.c` and `net/ipv6/route.c`.

mod input;
mod network;
mod rule;
mod table;

pub use input::{Arrival, Refused, arrival, local_type};
pub use network::{Address, Device, Network, Switches, covers};
pub use rule::{Action, Flow, PolicyRule, Routed, first_way, lookup};
pub use table::{Hop, Route, RouteType, Routes};
