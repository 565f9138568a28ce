//! Sockets of other families and protocols on the model, and Landlock domains.

use alloc::{format, vec};

use super::{Answer, Backend as _, Special, Unsupported, Who, modelled::Modelled};
use crate::{
    AF_INET, AF_INET6, AF_UNSPEC, CAP_NET_RAW, Call, Errno, Family, Outcome, Protocol, Request,
    SOCKADDR_IN_LEN, SOCKADDR_STORAGE_LEN, SockAddr, SockOption, Socket, SocketId,
    linux::{RAW4, RAW6},
    outcomes_along, v4_mapped,
};

/// `AF_UNIX` of Linux.
const AF_UNIX: u16 = 1;
const SOCK_STREAM: u8 = 1;
const SOCK_DGRAM: u8 = 2;
const SOCK_RAW: u8 = 3;
const SOCK_SEQPACKET: u8 = 5;
const IPPROTO_SCTP: u16 = 132;
const IPPROTO_UDPLITE: u16 = 136;
const IPPROTO_MPTCP: u16 = 262;
/// What of a `sockaddr_in6` has to be there.
const SIN6_LEN_RFC2133: u32 = 24;

impl Modelled {
    /// `socket(2)`, read beside `__sock_create`, `inet_create` and `inet6_create`.
    pub(super) fn make_special(&mut self, id: SocketId, special: Special, who: Who) -> Answer {
        let errno = |errno| Ok(vec![Outcome::Errno(errno)]);
        let family = match special.domain {
            AF_INET => Family::Inet,
            AF_INET6 => Family::Inet6,
            AF_UNIX if special.protocol == 0 => Family::Inet,
            AF_UNIX => return errno(Errno::EPROTONOSUPPORT),
            _ => return errno(Errno::EAFNOSUPPORT),
        };
        let inet = special.domain != AF_UNIX;
        let protocol = match (special.kind, special.protocol) {
            _ if !inet => Protocol::Udp,
            (SOCK_STREAM | SOCK_SEQPACKET, IPPROTO_SCTP) => {
                return Err(Unsupported("SCTP".into()));
            }
            (SOCK_STREAM, IPPROTO_MPTCP) => Protocol::Tcp,
            (SOCK_DGRAM, IPPROTO_UDPLITE) => Protocol::Udp,
            (SOCK_RAW, 0) => return errno(Errno::EPROTONOSUPPORT),
            (SOCK_RAW, _) if !who.capabilities().has(CAP_NET_RAW) => return errno(Errno::EPERM),
            (SOCK_RAW, _) => Protocol::Udp,
            (SOCK_DGRAM, 1 | 58) => {
                return Err(Unsupported("ICMP sockets (net.ipv4.ping_group_range)".into()));
            }
            (SOCK_STREAM | SOCK_DGRAM, _) => return errno(Errno::EPROTONOSUPPORT),
            _ => return errno(Errno::ESOCKTNOSUPPORT),
        };
        if (special.kind, special.protocol) == (SOCK_DGRAM, IPPROTO_UDPLITE) && inet {
            // The same rules, and ports of its own.
            self.specials.push((id, special));
            return self.lite().socket(id, family, Protocol::Udp, who);
        }
        self.specials.push((id, special));
        let made = self.socket(id, family, protocol, who);
        if inet && special.kind == SOCK_RAW {
            // The protocol stands where others have their port.
            self.machine.renamed(id, family.unspecified(), special.protocol);
        }
        made
    }

    fn kind_of(&self, id: SocketId) -> Option<Special> {
        self.specials.iter().find(|(special, _)| *special == id).map(|(_, special)| *special)
    }

    /// Whether `id` is a UDP-Lite socket, which another table holds.
    pub(super) fn is_lite(&self, id: SocketId) -> bool {
        self.kind_of(id).is_some_and(|s| s.kind == SOCK_DGRAM && s.domain != AF_UNIX)
    }

    /// The same host as UDP-Lite sees it: with none but its own sockets.
    pub(super) fn lite(&mut self) -> &mut Modelled {
        let (host, world) = (&self.machine.host, &self.world);
        self.lite.get_or_insert_with(|| {
            let mut host = host.clone();
            host.sockets.clear();
            alloc::boxed::Box::new(Modelled::new(host, world.clone()))
        })
    }

    /// What a call on a socket answers that has no ports; `None` if it is answered as usual.
    pub(super) fn special_call(&self, id: SocketId, call: Call, who: Who) -> Option<Answer> {
        let special = self.kind_of(id)?;
        if special.domain == AF_UNIX {
            return Some(unix_call(special, call));
        }
        if special.kind != SOCK_RAW {
            return None;
        }
        let addr = match call {
            Call::Bind(addr) => addr,
            Call::Connect(_) => return Some(Err(Unsupported("connect of a raw socket".into()))),
            Call::Listen(_) | Call::SetOption(_) => return None,
        };
        let socket = *self.machine.get(id)?;
        Some(Ok(self.bind_raw(&socket, &addr, who)))
    }

    /// `raw_bind` and `rawv6_bind`: an address and no port, and it may be bound again.
    fn bind_raw(&self, socket: &Socket, addr: &SockAddr, who: Who) -> alloc::vec::Vec<Outcome> {
        let errno = |errno| vec![Outcome::Errno(errno)];
        let right_length = (SIN6_LEN_RFC2133..=SOCKADDR_STORAGE_LEN).contains(&addr.len);
        if socket.family == Family::Inet6 && right_length {
            if addr.family != AF_INET6 {
                return errno(Errno::EINVAL);
            }
            if v4_mapped(addr.ipv6()).is_some() {
                return errno(Errno::EADDRNOTAVAIL);
            }
        }
        let rules = match socket.family {
            Family::Inet => RAW4,
            Family::Inet6 => RAW6,
        };
        let request = Request { call: Call::Bind(*addr), socket: *socket };
        outcomes_along(rules, &self.machine.host, &Modelled::subject(who), &request)
    }

    /// Makes the effects of a call on a socket that has no ports; whether it is one.
    pub(super) fn settle_special(&mut self, id: SocketId, call: Call, outcome: Outcome) -> bool {
        let Some(special) = self.kind_of(id) else { return false };
        let raw = special.kind == SOCK_RAW && special.domain != AF_UNIX;
        if let (true, Call::Bind(addr), Outcome::Ok, Some(&socket)) =
            (raw, call, outcome, self.machine.get(id))
        {
            self.machine.renamed(id, addr.ip(socket.family), special.protocol);
            return true;
        }
        special.domain == AF_UNIX
    }

    /// What a Landlock domain answers, read beside `current_check_access_socket`: it knows TCP
    /// sockets only, and no MPTCP.
    pub(super) fn locked(&self, id: SocketId, call: &Call) -> Option<Outcome> {
        let socket = self.machine.get(id)?;
        if socket.protocol != Protocol::Tcp || self.kind_of(id).is_some() {
            return None;
        }
        let (right, addr) = match call {
            Call::Bind(addr) => ("bind_tcp", addr),
            Call::Connect(addr) => ("connect_tcp", addr),
            _ => return None,
        };
        if addr.len > SOCKADDR_STORAGE_LEN {
            return None;
        }
        let handles = |handled: &[alloc::string::String]| handled.iter().any(|h| h == right);
        let domains = || self.domains.iter().filter(|domain| handles(&domain.handled));
        domains().next()?;
        let refused = |errno| Some(Outcome::Errno(errno));
        let least = match addr.family {
            _ if addr.len < 2 => return refused(Errno::EINVAL),
            AF_UNSPEC | AF_INET => SOCKADDR_IN_LEN,
            AF_INET6 => SIN6_LEN_RFC2133,
            _ => return None,
        };
        if addr.len < least {
            return refused(Errno::EINVAL);
        }
        let own = match socket.family {
            Family::Inet => AF_INET,
            Family::Inet6 => AF_INET6,
        };
        match addr.family {
            AF_UNSPEC if right == "connect_tcp" => return None,
            AF_UNSPEC if !addr.ipv4().is_unspecified() => return refused(Errno::EAFNOSUPPORT),
            AF_UNSPEC => {}
            family if family != own => return refused(Errno::EINVAL),
            _ => {}
        }
        let allows = |rules: &[(alloc::string::String, u16)]| {
            rules.iter().any(|(allowed, port)| allowed == right && *port == addr.port)
        };
        match domains().all(|domain| allows(&domain.rules)) {
            true => None,
            false => refused(Errno::EACCES),
        }
    }
}

/// Calls on a Unix socket that has no name, made with addresses and options of the internet.
fn unix_call(special: Special, call: Call) -> Answer {
    let errno = |errno| Ok(vec![Outcome::Errno(errno)]);
    match call {
        Call::Bind(addr) | Call::Connect(addr) if addr.family == AF_UNIX => {
            Err(Unsupported("names of Unix sockets".into()))
        }
        Call::Bind(_) => errno(Errno::EINVAL),
        Call::Connect(addr) if addr.family == AF_UNSPEC => {
            Err(Unsupported("connect of a Unix socket".into()))
        }
        Call::Connect(_) => errno(Errno::EINVAL),
        Call::Listen(_) if special.kind == SOCK_DGRAM => errno(Errno::EOPNOTSUPP),
        // It has no name yet.
        Call::Listen(_) => errno(Errno::EINVAL),
        Call::SetOption(option) => match option {
            SockOption::ReuseAddr(_) | SockOption::Broadcast(_) => Ok(vec![Outcome::Ok]),
            SockOption::ReusePort(on) if !on => Ok(vec![Outcome::Ok]),
            SockOption::ReusePort(_)
            | SockOption::V6Only(_)
            | SockOption::Freebind(_)
            | SockOption::Transparent(_)
            | SockOption::BindAddressNoPort(_)
            | SockOption::LocalPortRange(..) => errno(Errno::EOPNOTSUPP),
            option => Err(Unsupported(format!("option {} of a Unix socket", option.name()))),
        },
    }
}
