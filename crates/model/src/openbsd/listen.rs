//! `listen`.

use super::{IN_PCB, cite};
use crate::{Basis, Errno, Outcome, Rule, pcb::unread};

/// What it answers was not read.
pub static DATAGRAM: Rule = Rule {
    id: "openbsd.listen.datagram",
    title: "the socket is a stream socket",
    fault: "the socket is no stream socket",
    outcome: Outcome::Errno(Errno::EOPNOTSUPP),
    cites: &[cite(IN_PCB, "in_pcballoc", "so_pcb")],
    basis: Basis::Source,
    page: include_str!("../../pages/openbsd.listen.datagram.md"),
    stops: |_| unread("listen on a datagram socket"),
    fixes: &[],
};
