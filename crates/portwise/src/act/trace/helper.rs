//! What keeps a program from a socket or an answer without any bind, listen or connect that fails.

use std::net::SocketAddr;

use portwise_model::Protocol;
use portwise_sys::{Errno, proc::Proc};

use super::{firewall, tracee};
use crate::endpoint::shown;

/// What is to be said if a program that was just started refuses to bind for another: the helper of
/// authbind(1), whose arguments are address and port in hexadecimal digits.
pub(super) fn refusal(tid: u32) -> Option<String> {
    let proc = Proc::default();
    let exe = proc.exe(tid).ok()?.path;
    if !exe.ends_with("authbind/helper") {
        return None;
    }
    let words = proc.cmdline(tid).ok()?;
    let port = words.iter().skip(1).find(|word| word.len() <= 4)?.to_str()?;
    let port = u16::from_be(u16::from_str_radix(port, 16).ok()?);
    let uid = proc.status(tid).ok()?.uids.real;
    Some(format!(
        "the helper of authbind refuses port {port} (the program gets EPERM): the user may not \
         execute /etc/authbind/byport/{port}, and no file of /etc/authbind/byaddr or byuid allows \
         it; `sudo install -m 500 -o {uid} /dev/null /etc/authbind/byport/{port}` does"
    ))
}

/// That somebody gave up on a connection, or did not look.
pub(super) fn unanswered(address: SocketAddr) -> String {
    let to = shown(address.ip(), None, address.port());
    let Some(stopped) = firewall::stopped(Protocol::Tcp, address) else {
        return format!(
            "connect {to}/tcp went on in the background, and nobody asked how it ended: most \
             likely no answer came and the program gave up, as if packets were dropped on the way"
        );
    };
    let fixes = stopped.fixes.iter().filter_map(|fix| fix.command.as_ref());
    let fix: Vec<String> = fixes.map(|command| format!("; `{command}` lets it pass")).collect();
    format!(
        "connect {to}/tcp went on in the background, no answer came, and the program gave up: {}{}",
        stopped.because,
        fix.first().map_or("", String::as_str)
    )
}

/// That a filter lets no socket of a family be made.
pub(super) fn no_socket(tid: u32, family: i32, errno: Errno) -> Option<String> {
    const REFUSALS: [Errno; 4] = [Errno::EPERM, Errno::EACCES, Errno::EAFNOSUPPORT, Errno::ENOSYS];
    let name = match family {
        2 => "AF_INET",
        10 => "AF_INET6",
        _ => return None,
    };
    // Without IPv6 the kernel itself says so.
    let has = family == 2 || Proc::default().path("proc/net/if_inet6").exists();
    (has && REFUSALS.contains(&errno)).then(|| {
        format!(
            "{}: socket of {name}: {errno}: a seccomp filter of the process forbids it, \
             before any port is named; in a unit of systemd that is RestrictAddressFamilies= or \
             SystemCallFilter=",
            tracee::name(tid)
        )
    })
}
