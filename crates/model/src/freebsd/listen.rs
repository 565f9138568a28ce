//! `listen`.

use super::cite;
use crate::{Basis, Errno, Outcome, Rule, pcb::unread};

/// What it answers was not read.
pub static DATAGRAM: Rule = Rule {
    id: "freebsd.listen.datagram",
    title: "the socket is a stream socket",
    fault: "the socket is no stream socket",
    outcome: Outcome::Errno(Errno::EOPNOTSUPP),
    cites: &[cite("freebsd/sys/netinet/tcp_usrreq.c", "tcp_usr_listen", "solisten_proto")],
    basis: Basis::Source,
    page: include_str!("../../pages/freebsd.listen.datagram.md"),
    stops: |_| unread("listen on a datagram socket"),
    fixes: &[],
};
