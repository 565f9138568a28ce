//! The table of "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE", Windows Server 2003 and later.

use core::net::IpAddr;

use crate::{
    Errno, Family, Missing, Socket,
    pcb::{known, unread},
};

/// How a socket says it shares.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Default,
    Reuse,
    Exclusive,
}

fn mode(socket: &Socket) -> Result<Mode, Missing> {
    Ok(match (socket.options.exclusive, known(socket.options.reuseaddr, socket)?) {
        (true, _) => Mode::Exclusive,
        (false, true) => Mode::Reuse,
        (false, false) => Mode::Default,
    })
}

/// What the second socket, which asks for `laddr`, gets beside the first.
pub(super) fn answer(
    second: &Socket,
    laddr: IpAddr,
    first: &Socket,
    same_user: bool,
) -> Result<Option<Errno>, Missing> {
    let there = first.ip.to_canonical();
    let (mine, theirs) = (mode(second)?, mode(first)?);
    if !share_a_stack(second, laddr, first, there) {
        return Ok(None);
    }
    let dual = laddr.is_ipv6() && laddr.is_unspecified() && first.family == Family::Inet;
    if dual && mine == Mode::Exclusive {
        return Ok(Some(Errno::EACCES));
    }
    let (wild, first_wild) = (laddr.is_unspecified(), there.is_unspecified());
    if !wild && !first_wild && laddr != there {
        return Ok(None);
    }
    let crosses = laddr.is_ipv4() != there.is_ipv4();
    if crosses && !(wild && first_wild) {
        return unread("a dual-stack socket beside one on a specific address").map(|_| None);
    }
    Ok(cell((theirs, first_wild), (mine, wild), same_user))
}

/// One cell. A wildcard is `true`.
fn cell(first: (Mode, bool), second: (Mode, bool), same_user: bool) -> Option<Errno> {
    use Mode::{Default, Exclusive, Reuse};
    let in_use = Some(Errno::EADDRINUSE);
    let access = Some(Errno::EACCES);
    match (first, second) {
        // Taking a port over takes two.
        ((Reuse, _), (Reuse, _)) => None,
        // The wildcard after a specific address covers the rest.
        ((_, false), (Default | Reuse, true)) => None,
        ((_, true), (Reuse, true)) | ((_, false), (Reuse, false)) => access,
        ((_, true), (_, true)) | ((_, false), (_, false)) => in_use,
        ((_, false), (Exclusive, true)) => in_use,
        ((Exclusive, true), (_, false)) => access,
        ((Default | Reuse, true), (_, false)) => {
            if same_user {
                None
            } else {
                access
            }
        }
    }
}

/// Whether both serve IPv4, or both IPv6.
fn share_a_stack(a: &Socket, a_ip: IpAddr, b: &Socket, b_ip: IpAddr) -> bool {
    let v4 = |s: &Socket, ip: IpAddr| ip.is_ipv4() || ip.is_unspecified() && !s.v6only;
    v4(a, a_ip) && v4(b, b_ip) || a_ip.is_ipv6() && b_ip.is_ipv6()
}
