//! UDP's answer may depend on the order in which sockets were bound, and sock_diag lists IPv4 and
//! IPv6 sockets apart: how the two lists interleave in the kernel is not known.

use portwise_model::{
    Call, FactKey, Finding, Host, Missing, Outcome, Protocol, Request, Socket, Subject, Verdict,
    decide_parts,
};

/// Returns `verdict`, opened if the other order would lead to another outcome. The first socket
/// met decides, so it is enough to put the other family first.
pub(super) fn settle(
    verdict: Verdict,
    host: &Host,
    subject: &Subject,
    request: &Request,
) -> Verdict {
    let Some(turned) = turned(host, request) else { return verdict };
    let other = decide_parts(&turned, subject, request);
    if other.possible == verdict.possible {
        return verdict;
    }
    // Of the two, the one that is refused has the rule that makes the difference.
    let mut open = if verdict.is_refused() { verdict } else { other };
    if let (Some(last), Call::Bind(addr)) = (open.trace.last_mut(), request.call) {
        last.finding = Finding::Unknown(Missing::new(
            FactKey::Sockets(addr.port),
            "it depends on which of the IPv4 and IPv6 sockets on this port was bound last, and \
             the kernel lists them apart",
            "try it",
        ));
    }
    if !open.possible.contains(&Outcome::Ok) {
        open.possible.push(Outcome::Ok);
    }
    open
}

/// The host with the other family first on the port, if there are UDP sockets of both.
fn turned(host: &Host, request: &Request) -> Option<Host> {
    let Call::Bind(addr) = request.call else { return None };
    if request.socket.protocol != Protocol::Udp {
        return None;
    }
    let list = host.sockets.on(addr.port).ok()?;
    let mut udp = list.iter().filter(|s| s.protocol == Protocol::Udp);
    let first = udp.next()?.family;
    if udp.all(|s| s.family == first) {
        return None;
    }
    let (mut turned, last): (Vec<Socket>, Vec<Socket>) =
        list.iter().partition(|s| s.family != first);
    turned.extend(last);
    let mut host = host.clone();
    host.sockets.set_port(addr.port, turned);
    Some(host)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use portwise_model::{Family, SockAddr, SocketId};

    use super::*;
    use crate::observe::assumed;

    /// On one port an IPv4 socket without options and an IPv6 one that shares: an IPv6 wildcard
    /// that shares may pass the second but not the first.
    #[test]
    fn an_order_that_matters_leaves_the_answer_open() {
        let mut setting = assumed::setting(assumed::kernel("linux-6.12").unwrap(), None, &[]);
        let udp = |id, family| Socket {
            port: 5353,
            ..Socket::new(SocketId(id), family, Protocol::Udp, 1000)
        };
        let four = Socket { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), ..udp(1, Family::Inet) };
        let mut six = Socket { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), ..udp(2, Family::Inet6) };
        six.options.reuseport = Some(true);
        let mut socket = Socket::new(SocketId::ASKING, Family::Inet6, Protocol::Udp, 1000);
        socket.options.reuseport = Some(true);
        let addr = SockAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 5353, 0);
        let request = Request { call: Call::Bind(addr), socket };
        for list in [vec![four, six], vec![six, four]] {
            setting.host.sockets.set_port(5353, list);
            let verdict = setting.decide(&request);
            assert!(!verdict.is_allowed() && !verdict.is_refused(), "{:?}", verdict.possible);
        }
        setting.host.sockets.set_port(5353, vec![six]);
        assert!(setting.decide(&request).is_allowed());
        setting.host.sockets.set_port(5353, vec![four]);
        assert!(setting.decide(&request).is_refused());
    }
}
