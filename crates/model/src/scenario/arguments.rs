//! What the words of a step stand for: addresses, ports, options, users.

use alloc::{format, string::ToString, vec, vec::Vec};
use core::net::{IpAddr, Ipv6Addr};

use super::{
    Domain, Unsupported, Who,
    format::{Step, Value},
    replay::Replay,
};
use crate::{
    AF_INET, AF_INET6, AF_UNSPEC, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CapSet, Errno,
    Family, Outcome, SockAddr, SockOption,
};

impl Replay<'_> {
    /// The option that a name and value stand for.
    pub(super) fn sock_option(
        &mut self,
        name: &str,
        value: &Value,
    ) -> Result<SockOption, Unsupported> {
        let unsupported = || Unsupported(format!("option {name}"));
        let on = || value.int().map(|n| n != 0).ok_or_else(unsupported);
        Ok(match name {
            "reuseaddr" => SockOption::ReuseAddr(on()?),
            "reuseport" => SockOption::ReusePort(on()?),
            "shareuid" => SockOption::ShareUid(on()?),
            "v6only" => SockOption::V6Only(on()?),
            "freebind" | "v6freebind" => SockOption::Freebind(on()?),
            "transparent" | "v6transparent" => SockOption::Transparent(on()?),
            "bind_address_no_port" => SockOption::BindAddressNoPort(on()?),
            "reuseport_lb" => SockOption::ReusePortLb(on()?),
            "exclusive" => SockOption::Exclusive(on()?),
            "broadcast" => SockOption::Broadcast(on()?),
            "portrange" => SockOption::PortRangeLow(value.text() == Some("low")),
            "local_port_range" => match value {
                Value::List(ends) => {
                    let end = |i: usize| ends.get(i).and_then(Value::int).unwrap_or(0) as u16;
                    SockOption::LocalPortRange(end(0), end(1))
                }
                _ => return Err(unsupported()),
            },
            "bindtodevice" => match value.text() {
                Some("") => SockOption::BindToDevice(Some(0)),
                Some(name) => SockOption::BindToDevice(self.backend.device(name)),
                None => return Err(unsupported()),
            },
            _ => return Err(unsupported()),
        })
    }

    /// The address of a step, laid out as it says.
    pub(super) fn address(&mut self, step: &Step) -> Result<SockAddr, Unsupported> {
        if let Some(hex) = &step.rawaddr {
            let mut addr = raw(hex).ok_or_else(|| Unsupported(format!("rawaddr {hex}")))?;
            addr.len = step.addrlen.map_or(addr.len, |len| len as u32);
            return Ok(addr);
        }
        let text = step.addr.as_deref().unwrap_or("0.0.0.0");
        let (text, zone) = match text.split_once('%') {
            Some((ip, zone)) => (ip, Some(zone.to_string())),
            None => (text, None),
        };
        let ip: IpAddr =
            text.parse().map_err(|_| Unsupported(format!("address {text} cannot be read")))?;
        let zone = zone.map(Value::Text).or(step.scope.clone());
        let scope = match &zone {
            None => 0,
            Some(Value::Int(index)) => *index as u32,
            Some(Value::Text(name)) => match (self.backend.device(name), name.parse()) {
                (Some(index), _) | (None, Ok(index)) => index,
                (None, Err(_)) => return Err(Unsupported(format!("no interface {name}"))),
            },
            Some(_) => return Err(Unsupported("a zone that cannot be read".into())),
        };
        let port = self.port(step.port.as_ref().unwrap_or(&Value::Int(0)))?;
        let layout = match step.addr_layout.as_deref() {
            Some("inet") => Family::Inet,
            Some("inet6") => Family::Inet6,
            Some(other) => return Err(Unsupported(format!("layout {other}"))),
            None => Family::of(ip),
        };
        let mut addr = match (layout, ip) {
            (Family::Inet, IpAddr::V4(ip)) => SockAddr::v4(ip, port),
            (Family::Inet6, IpAddr::V6(ip)) => SockAddr::v6(ip, port, scope),
            (Family::Inet6, IpAddr::V4(ip)) if ip.is_unspecified() => {
                SockAddr::v6(Ipv6Addr::UNSPECIFIED, port, scope)
            }
            _ => return Err(Unsupported(format!("address {ip} laid out as {layout:?}"))),
        };
        if let Some(family) = &step.addr_family {
            addr.family = match family {
                Value::Int(number) => *number as u16,
                Value::Text(name) => match name.as_str() {
                    "unspec" => AF_UNSPEC,
                    "inet" => AF_INET,
                    "inet6" => AF_INET6,
                    other => return Err(Unsupported(format!("address family {other}"))),
                },
                _ => return Err(Unsupported("an address family that cannot be read".into())),
            };
        }
        if let Some(len) = step.addrlen {
            addr.len = len as u32;
        }
        Ok(addr)
    }

    /// A number, a variable, or a variable plus a number.
    pub(super) fn port(&mut self, value: &Value) -> Result<u16, Unsupported> {
        let text = match value {
            Value::Int(port) => return Ok(*port as u16),
            Value::Text(text) => text,
            _ => return Err(Unsupported("a port that cannot be read".into())),
        };
        let (name, plus) = match text.split_once('+') {
            Some((name, plus)) => (name, plus.parse().unwrap_or(0)),
            None => (text.as_str(), 0),
        };
        let base = match self.ports.get(name) {
            Some(&port) => port,
            None => {
                let port = self.backend.free_port();
                self.ports.insert(name.to_string(), port);
                port
            }
        };
        Ok(base.saturating_add(plus))
    }
}

/// A `sockaddr` byte for byte. What is missing is 0.
fn raw(hex: &str) -> Option<SockAddr> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let mut bytes = [0_u8; 28];
    for (at, pair) in digits.chunks(2).enumerate() {
        let byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
        if let Some(there) = bytes.get_mut(at) {
            *there = byte;
        }
    }
    Some(SockAddr {
        family: u16::from_ne_bytes([bytes[0], bytes[1]]),
        port: u16::from_be_bytes([bytes[2], bytes[3]]),
        word: bytes[4..8].try_into().ok()?,
        wide: bytes[8..24].try_into().ok()?,
        scope: u32::from_ne_bytes(bytes[24..28].try_into().ok()?),
        len: digits.len().div_ceil(2) as u32,
    })
}

/// The rights that a Landlock ruleset handles, and what it allows by port.
pub(super) fn landlock(step: &Step) -> Result<Domain, Unsupported> {
    let unreadable = || Unsupported("a Landlock ruleset that cannot be read".into());
    let words = |value: &Value| match value {
        Value::List(list) => {
            list.iter().map(|v| v.text().map(ToString::to_string)).collect::<Option<Vec<_>>>()
        }
        Value::Text(word) => Some(vec![word.clone()]),
        _ => None,
    };
    let handled = step.handled.as_ref().map_or(Some(Vec::new()), words).ok_or_else(unreadable)?;
    let mut rules = Vec::new();
    let listed: &[Value] = match &step.rules {
        None => &[],
        Some(Value::List(list)) => list,
        Some(_) => return Err(unreadable()),
    };
    for rule in listed {
        let Value::Map(rule) = rule else { return Err(unreadable()) };
        let port = rule.get("port").and_then(Value::int).ok_or_else(unreadable)?;
        let access = rule.get("access").and_then(words).ok_or_else(unreadable)?;
        rules.extend(access.into_iter().map(|right| (right, port as u16)));
    }
    Ok(Domain { handled, rules })
}

/// Who makes the call of a step.
pub(super) fn who(step: &Step) -> Result<Who, Unsupported> {
    let Some(names) = &step.caps else {
        return Ok(Who { uid: step.uid.unwrap_or(0), caps: None });
    };
    let mut caps = CapSet::NONE;
    for name in names {
        let known = [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW];
        let wanted = name.to_uppercase();
        let wanted = wanted.strip_prefix("CAP_").unwrap_or(&wanted);
        let cap = known.iter().find(|c| c.name.strip_prefix("CAP_") == Some(wanted));
        let cap = cap.ok_or_else(|| Unsupported(format!("capability {name}")))?;
        caps = caps.with(*cap);
    }
    Ok(Who { uid: step.uid.unwrap_or(0), caps: Some(caps) })
}

/// What a step says its call answered.
pub(super) fn expected(step: &Step) -> Result<Vec<Outcome>, Unsupported> {
    let one = |value: &Value| {
        let name = value.text().unwrap_or_default();
        if name == "timeout" {
            return Ok(Outcome::Errno(Errno::ETIMEDOUT));
        }
        // A failed setsockopt is written `setopt:NAME:ERRNO`.
        let errno = name.rsplit(':').next().unwrap_or_default();
        // Winsock has the same names with a prefix.
        let errno = errno.strip_prefix("WSA").unwrap_or(errno);
        Outcome::from_name(errno).ok_or_else(|| Unsupported(format!("outcome {name}")))
    };
    match &step.expect {
        None => Ok(vec![Outcome::Ok]),
        Some(Value::List(list)) => list.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}
