//! `listen`.

use super::{TCP_BIND, cite};
use crate::{Basis, Errno, Outcome, Rule, pcb::unread};

/// What it answers was not read.
pub static DATAGRAM: Rule = Rule {
    id: "illumos.listen.datagram",
    title: "the socket is a stream socket",
    fault: "the socket is no stream socket",
    outcome: Outcome::Errno(Errno::EOPNOTSUPP),
    cites: &[cite(TCP_BIND, "tcp_bind_check", "TCPS_BOUND")],
    basis: Basis::Source,
    page: include_str!("../../pages/illumos.listen.datagram.md"),
    stops: |_| unread("listen on a datagram socket"),
    fixes: &[],
};
