//! What `bind` asks, as far as Microsoft documents it. There are no reserved ports.

use super::{CODES, DUAL, EXCLUDED, REUSE, cite, table};
use crate::{
    AddrState, Basis, Errno, Evidence, Missing, Outcome, Rule, View,
    pcb::{asked, known, pcbs_on, unread},
};

/// The pages that were read do not say.
pub static UNBOUND_SOCKET: Rule = Rule {
    id: "windows.bind.unbound-socket",
    title: "the socket is not bound yet",
    fault: "the socket is bound already",
    outcome: Outcome::Errno(Errno::EINVAL),
    cites: &[cite(CODES, "-", "WSAEINVAL")],
    basis: Basis::Documented,
    page: include_str!("../../pages/windows.bind.unbound-socket.md"),
    stops: |v| if v.socket().port == 0 { Ok(false) } else { unread("a second bind") },
    fixes: &[],
};

/// Nobody has to hold it.
pub static EXCLUDED_PORT: Rule = Rule {
    id: "windows.bind.excluded-port",
    title: "the port is in no automatic excluded range",
    fault: "the port is in an automatic excluded range",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite(CODES, "-", "WSAEACCES")],
    basis: Basis::Documented,
    page: include_str!("../../pages/windows.bind.excluded-port.md"),
    stops: |v| Ok(v.port() != 0 && v.sysctl(EXCLUDED)? != 0),
    fixes: &[],
};

/// An address of the computer.
pub static LOCAL_ADDRESS: Rule = Rule {
    id: "windows.bind.local-address",
    title: "the address is one of the host",
    fault: "the address is not one of this host",
    outcome: Outcome::Errno(Errno::EADDRNOTAVAIL),
    cites: &[cite(CODES, "-", "WSAEADDRNOTAVAIL")],
    basis: Basis::Documented,
    page: include_str!("../../pages/windows.bind.local-address.md"),
    stops: |v| {
        let ip = asked(v);
        if ip.is_unspecified() {
            return Ok(false);
        }
        if ip.is_multicast() {
            return unread("a multicast address");
        }
        let found = v.interface_address(ip, |_, a| a.ip == ip)?;
        match found.map(|(_, a)| a.state) {
            None => Ok(true),
            Some(AddrState::Usable) => Ok(false),
            Some(_) => unread("an address that is not ready"),
        }
    },
    fixes: &[],
};

/// The table of the documentation, its cells with WSAEACCES.
pub static ACCESS: Rule = Rule {
    id: "windows.bind.exclusive",
    title: "no socket that shares with nobody, or of another user, is in the way",
    fault: "a socket in the way shares with nobody, or is of another user",
    outcome: Outcome::Errno(Errno::EACCES),
    cites: &[cite(REUSE, "-", "WSAEACCES"), cite(DUAL, "-", "dual-stack")],
    basis: Basis::Documented,
    page: include_str!("../../pages/windows.bind.exclusive.md"),
    stops: |v| table_says(v, Errno::EACCES),
    fixes: &[],
};

/// The table of the documentation, its cells with WSAEADDRINUSE.
pub static IN_USE: Rule = Rule {
    id: "windows.bind.in-use",
    title: "no socket of the same kind of address holds the port",
    fault: "another socket holds the port",
    outcome: Outcome::Errno(Errno::EADDRINUSE),
    cites: &[cite(REUSE, "-", "INUSE"), cite(CODES, "-", "WSAEADDRINUSE")],
    basis: Basis::Documented,
    page: include_str!("../../pages/windows.bind.in-use.md"),
    stops: |v| table_says(v, Errno::EADDRINUSE),
    fixes: &[],
};

/// Whether the table gives `errno` for the asking socket beside another. Which of two errors comes
/// first is not documented.
fn table_says(v: &View<'_>, errno: Errno) -> Result<bool, Missing> {
    if v.port() == 0 {
        return Ok(false);
    }
    let (socket, laddr) = (v.socket(), asked(v));
    let mut said: Option<Errno> = None;
    for t in pcbs_on(v, v.port())? {
        let same_user = known(socket.uid, socket)? == known(t.uid, t)?;
        let answer = table::answer(socket, laddr, t, same_user)?;
        v.note(|| match answer {
            Some(_) => Evidence::InTheWay(*t),
            None => Evidence::Beside(*t),
        });
        match (said, answer) {
            (Some(a), Some(b)) if a != b => return unread("two sockets in the way at once"),
            _ => said = said.or(answer),
        }
    }
    match &v.host().sockets.hidden {
        Some(missing) if said.is_none() => Err(missing.clone()),
        _ => Ok(said == Some(errno)),
    }
}
