//! `listen`.

use super::{CODES, cite};
use crate::{Basis, Errno, Outcome, Rule, pcb::unread};

/// What it answers was not read.
pub static DATAGRAM: Rule = Rule {
    id: "windows.listen.datagram",
    title: "the socket is a stream socket",
    fault: "the socket is no stream socket",
    outcome: Outcome::Errno(Errno::EOPNOTSUPP),
    cites: &[cite(CODES, "-", "WSAEOPNOTSUPP")],
    basis: Basis::Documented,
    page: include_str!("../../pages/windows.listen.datagram.md"),
    stops: |_| unread("listen on a datagram socket"),
    fixes: &[],
};
