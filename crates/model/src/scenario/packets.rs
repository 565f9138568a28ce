//! Steps about packets: data over sockets, and who gets what is sent to an address.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::net::{IpAddr, SocketAddr};

use super::{
    Unsupported, Who,
    backend::{Probe, Reached},
    format::{Step, Value},
    replay::{Done, Replay},
};
use crate::{Errno, Family, Outcome, Protocol, SocketId};

/// How long a probe waits unless it says so, in milliseconds.
const TIMEOUT: u64 = 1500;

impl Replay<'_> {
    /// `send`, `recv` and `shutdown`.
    pub(super) fn data(&mut self, step: &Step, who: Who) -> Result<Done, Unsupported> {
        let id = match self.create(step, who)? {
            (_, Some(failed)) => return Ok(Done::Answer(vec![failed])),
            (id, None) => id,
        };
        let possible = match step.op.as_str() {
            "send" => {
                let to = step.addr.is_some() || step.rawaddr.is_some() || step.port.is_some();
                let addr = if to { Some(self.address(step)?) } else { None };
                self.backend.send(id, addr, who)?
            }
            "recv" => self.backend.receive(id, who)?,
            _ => {
                let (read, write) = match &step.how {
                    None => (true, true),
                    Some(Value::Int(0)) => (true, false),
                    Some(Value::Int(1)) => (false, true),
                    Some(Value::Int(2)) => (true, true),
                    Some(Value::Text(word)) => match word.as_str() {
                        "rd" | "r" => (true, false),
                        "wr" | "w" => (false, true),
                        "rdwr" | "rw" => (true, true),
                        other => return Err(Unsupported(format!("shutdown {other}"))),
                    },
                    Some(_) => return Err(Unsupported("shutdown of what cannot be read".into())),
                };
                self.backend.shutdown(id, read, write, who)?
            }
        };
        self.save_port(id, step)?;
        Ok(Done::Answer(possible))
    }

    pub(super) fn getpeername(&mut self, step: &Step) -> Result<Done, Unsupported> {
        let id = self.named(step)?;
        match self.backend.peer(id)? {
            None => Ok(Done::Answer(vec![Outcome::Errno(Errno::ENOTCONN)])),
            Some(_) if step.expect.is_some() => Ok(Done::Answer(vec![Outcome::Ok])),
            Some((ip, port)) => self.is_named(step, ip, port),
        }
    }

    /// Sends a packet from a fresh client and compares who got it.
    pub(super) fn probe(&mut self, step: &Step, who: Who) -> Result<Done, Unsupported> {
        let mut addr = self.address(step)?;
        let ip: IpAddr = step
            .addr
            .as_deref()
            .unwrap_or("0.0.0.0")
            .split('%')
            .next()
            .and_then(|ip| ip.parse().ok())
            .ok_or_else(|| Unsupported("an address that cannot be read".into()))?;
        let family = match step.family.as_deref() {
            Some("inet") => Family::Inet,
            Some("inet6") => Family::Inet6,
            None => Family::of(ip),
            Some(other) => return Err(Unsupported(format!("family {other}"))),
        };
        if let (Family::Inet6, IpAddr::V4(ip)) = (family, ip) {
            addr = crate::SockAddr::v6(ip.to_ipv6_mapped(), addr.port, 0);
        }
        let src = match step.src.as_deref().map(str::parse) {
            None => None,
            Some(Ok(ip)) => Some(ip),
            Some(Err(_)) => return Err(Unsupported("a source that cannot be read".into())),
        };
        let from_peer = match step.from.as_deref() {
            None | Some("self" | "host") => false,
            Some("peer") => true,
            Some(other) => return Err(Unsupported(format!("a probe from {other}"))),
        };
        let timeout = match step.timeout {
            Some(Value::Float(seconds)) => (seconds * 1000.0) as u64,
            Some(Value::Int(seconds)) => seconds as u64 * 1000,
            _ => TIMEOUT,
        };
        let src_port = match &step.src_port {
            Some(port) => self.port(port)?,
            None => 0,
        };
        let probe = Probe {
            family,
            protocol: protocol(step)?,
            addr,
            src: (src, src_port),
            from_peer,
            timeout,
        };
        if let Some(Value::Map(shares)) = &step.expect_dist {
            let mut wanted = Vec::new();
            for (name, share) in shares {
                let share = match share {
                    Value::Float(share) => *share,
                    other => other.int().unwrap_or(0) as f64,
                };
                wanted.push((self.socket_id(name)?, share));
            }
            return self.distributed(&probe, who, &wanted, step.count.unwrap_or(1));
        }
        let reached = self.backend.probe(&probe, who)?;
        let answered = self.words(&reached);
        let wanted = match (&step.expect_socket, &step.expect) {
            (Some(Value::Text(name)), _) => vec![name.clone()],
            (Some(Value::List(names)), _) => {
                names.iter().filter_map(Value::text).map(ToString::to_string).collect()
            }
            (_, Some(Value::Text(word))) => vec![word.clone()],
            (_, Some(Value::List(words))) => {
                words.iter().filter_map(Value::text).map(ToString::to_string).collect()
            }
            _ => vec!["ok".to_string()],
        };
        self.reaches(&reached, &wanted).map(|agrees| Done::Is(agrees, wanted.join("|"), answered))
    }

    /// Whether that is what was wanted; an error if it is by chance.
    fn reaches(&self, reached: &Reached, wanted: &[String]) -> Result<bool, Unsupported> {
        let is = |id: &SocketId| {
            let name = self.name_of(*id);
            wanted.iter().any(|w| w == "ok" || Some(w.as_str()) == name.as_deref())
        };
        match reached {
            Reached::OneOf(ids) if ids.iter().all(is) => Ok(true),
            Reached::OneOf(ids) if ids.iter().any(is) => {
                Err(Unsupported(format!("undetermined: {}", self.words(reached))))
            }
            Reached::OneOf(_) => Ok(false),
            Reached::All(ids) if wanted.len() > 1 => {
                Ok(ids.len() == wanted.len() && ids.iter().all(is))
            }
            Reached::All(ids) => Ok(ids.iter().any(is)),
            Reached::Nobody(outcome) => {
                let word = |w: &String| match w.as_str() {
                    "none" => true,
                    "timeout" => *outcome == Outcome::Errno(Errno::ETIMEDOUT),
                    name => *outcome != Outcome::Ok && outcome.name() == name,
                };
                Ok(wanted.iter().any(word))
            }
        }
    }

    /// Sends `count` packets and compares the shares, as far as chance allows.
    fn distributed(
        &mut self,
        probe: &Probe,
        who: Who,
        wanted: &[(SocketId, f64)],
        count: i64,
    ) -> Result<Done, Unsupported> {
        let mut got: Vec<(SocketId, f64)> = Vec::new();
        for _ in 0..count.max(1) {
            let ids = match self.backend.probe(probe, who)? {
                Reached::OneOf(ids) | Reached::All(ids) => ids,
                Reached::Nobody(_) => Vec::new(),
            };
            for id in &ids {
                let share = 1.0 / (ids.len() as f64 * count.max(1) as f64);
                match got.iter_mut().find(|(there, _)| there == id) {
                    Some((_, all)) => *all += share,
                    None => got.push((*id, share)),
                }
            }
        }
        let of = |id: SocketId| got.iter().find(|(there, _)| *there == id).map_or(0.0, |g| g.1);
        // All or nothing is exact; what a hash spreads is about right.
        let near = |(id, share): &(SocketId, f64)| match *share {
            share if share <= 0.0 => of(*id) <= 0.0,
            share if share >= 1.0 => of(*id) > 0.999,
            share => (of(*id) - share).abs() < 0.25,
        };
        let shares = |list: &[(SocketId, f64)]| {
            let each = |(id, share): &(SocketId, f64)| {
                format!("{} {share:.2}", self.name_of(*id).unwrap_or_default())
            };
            list.iter().map(each).collect::<Vec<_>>().join(", ")
        };
        Ok(Done::Is(wanted.iter().all(near), shares(wanted), shares(&got)))
    }

    /// The pure question.
    pub(super) fn lookup(&mut self, step: &Step) -> Result<Done, Unsupported> {
        let ip = step.addr.as_deref().unwrap_or_default().parse::<IpAddr>();
        let ip = ip.map_err(|_| Unsupported("an address that cannot be read".into()))?;
        let port = self.port(step.port.as_ref().unwrap_or(&Value::Int(0)))?;
        let (reached, listens) = self.backend.lookup(protocol(step)?, SocketAddr::new(ip, port))?;
        let state = match (&step.state, &reached) {
            (Some(state), Reached::OneOf(_)) => state == if listens { "listen" } else { "closed" },
            _ => true,
        };
        let wanted = match &step.expect {
            Some(Value::Text(name)) => vec![name.clone()],
            Some(Value::List(names)) => {
                names.iter().filter_map(Value::text).map(ToString::to_string).collect()
            }
            _ => return Err(Unsupported("a lookup without an answer".into())),
        };
        let answered =
            format!("{}{}", self.words(&reached), if listens { ", listening" } else { "" });
        let agrees = self.reaches(&reached, &wanted)? && state;
        Ok(Done::Is(agrees, wanted.join("|"), answered))
    }

    fn words(&self, reached: &Reached) -> String {
        let names = |ids: &[SocketId]| {
            let names = ids.iter().map(|id| self.name_of(*id).unwrap_or_else(|| "?".into()));
            names.collect::<Vec<_>>()
        };
        match reached {
            Reached::OneOf(ids) => names(ids).join("|"),
            Reached::All(ids) => names(ids).join("+"),
            Reached::Nobody(Outcome::Ok) => "none".into(),
            Reached::Nobody(outcome) => outcome.name().into(),
        }
    }

    fn name_of(&self, id: SocketId) -> Option<String> {
        self.names.iter().find(|(_, (there, _))| *there == id).map(|(name, _)| name.clone())
    }

    fn socket_id(&self, name: &str) -> Result<SocketId, Unsupported> {
        let known = self.names.get(name).map(|(id, _)| *id);
        known.ok_or_else(|| Unsupported(format!("no socket {name}")))
    }
}

fn protocol(step: &Step) -> Result<Protocol, Unsupported> {
    match (step.kind.as_deref(), step.proto.as_deref()) {
        (Some("stream") | None, None | Some("tcp")) => Ok(Protocol::Tcp),
        (Some("dgram"), None | Some("udp")) => Ok(Protocol::Udp),
        (kind, proto) => {
            let words = [kind.unwrap_or_default(), proto.unwrap_or_default()];
            Err(Unsupported(format!("packets of {}", words.join(" ").trim())))
        }
    }
}
