//! Plays a scenario on a backend and compares what it answers with what was recorded.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::net::IpAddr;

use super::{
    Backend, Special, Unsupported, Who,
    arguments::{expected, who},
    format::{Scenario, Step, Value},
};
use crate::{AF_INET, AF_INET6, AF_UNSPEC, Call, Family, Outcome, Protocol, SockAddr, SocketId};

/// `AF_UNIX` of Linux.
const AF_UNIX: u16 = 1;

/// How one step ended.
#[derive(Clone, Debug, PartialEq)]
pub enum StepResult {
    /// As recorded.
    Agree,
    /// Otherwise.
    Disagree {
        /// The step, as it stands in the file.
        op: String,
        /// What was recorded.
        expected: String,
        /// What the backend answered.
        answered: String,
    },
    /// More than one outcome is possible.
    Undetermined(String),
    /// The backend does not do this.
    Unsupported(String),
}

/// How a scenario ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Every step that was compared, by its place in the file, up to the first that was not.
    pub steps: Vec<(usize, StepResult)>,
}

impl Tally {
    /// The first step that did not agree.
    pub fn first_bad(&self) -> Option<&(usize, StepResult)> {
        self.steps.iter().find(|(_, result)| *result != StepResult::Agree)
    }
}

/// A scenario being played.
pub struct Replay<'a> {
    pub(super) backend: &'a mut dyn Backend,
    pub(super) names: BTreeMap<String, (SocketId, Family)>,
    pub(super) ports: BTreeMap<String, u16>,
    next_id: u64,
}

/// What a step is compared by.
pub(super) enum Done {
    /// An answer, against `expect`.
    Answer(Vec<Outcome>),
    /// A text, against what the step says it is.
    Is(bool, String, String),
    /// Nothing to compare.
    Nothing,
}

impl<'a> Replay<'a> {
    /// Starts on `backend`.
    pub fn new(backend: &'a mut dyn Backend) -> Replay<'a> {
        Replay { backend, names: BTreeMap::new(), ports: BTreeMap::new(), next_id: 1 }
    }

    /// Plays every step, up to the first that cannot be compared.
    pub fn run(mut self, scenario: &Scenario) -> Tally {
        let mut tally = Tally::default();
        for (at, step) in scenario.steps.iter().enumerate() {
            let result = match self.step(step) {
                Ok(Done::Nothing) => continue,
                Ok(Done::Answer(possible)) => compare(step, &possible),
                Ok(Done::Is(true, ..)) => StepResult::Agree,
                Ok(Done::Is(false, expected, answered)) => {
                    StepResult::Disagree { op: step.op.clone(), expected, answered }
                }
                Err(Unsupported(why)) => StepResult::Unsupported(why),
            };
            // A question changes nothing, so what follows can be compared without its answer.
            let question = step.op == "lookup";
            let stop = !question
                && matches!(result, StepResult::Unsupported(_) | StepResult::Undetermined(_));
            tally.steps.push((at, result));
            if stop {
                break;
            }
        }
        tally
    }

    fn step(&mut self, step: &Step) -> Result<Done, Unsupported> {
        let who = who(step)?;
        match step.op.as_str() {
            "socket" => self.create(step, who).map(|(_, failed)| match failed {
                Some(outcome) => Done::Answer(vec![outcome]),
                None => Done::Answer(vec![Outcome::Ok]),
            }),
            "bind" | "listen" | "setopt" => {
                let id = match self.create(step, who)? {
                    (_, Some(failed)) => return Ok(Done::Answer(vec![failed])),
                    (id, None) => id,
                };
                if step.op == "setopt" && step.name.as_deref() == Some("mark") {
                    let value = step.value.as_ref().and_then(Value::int).unwrap_or(0);
                    return self.backend.mark(id, value, who).map(Done::Answer);
                }
                let call = match step.op.as_str() {
                    "bind" => Call::Bind(self.address(step)?),
                    "listen" => Call::Listen(step.backlog.unwrap_or(1) as i32),
                    _ => Call::SetOption(self.sock_option(
                        step.name.as_deref().unwrap_or_default(),
                        step.value.as_ref().unwrap_or(&Value::Int(1)),
                    )?),
                };
                self.call(id, call, who, step)
            }
            "close" => {
                let id = self.named(step)?;
                self.backend.close(id);
                self.names.remove(step.socket.as_deref().unwrap_or_default());
                Ok(Done::Nothing)
            }
            "connect" => {
                let id = match self.create(step, who)? {
                    (_, Some(failed)) => return Ok(Done::Answer(vec![failed])),
                    (id, None) => id,
                };
                let addr = self.address(step)?;
                let possible = self.backend.connect(id, addr, who)?;
                self.save_port(id, step)?;
                Ok(Done::Answer(possible))
            }
            "accept" => {
                let listener = self.named(step)?;
                let family = self.names[step.socket.as_deref().unwrap_or_default()].1;
                let child = self.new_id();
                let name = step.accepted.clone().unwrap_or_else(|| format!("accepted{}", child.0));
                let possible = self.backend.accept(listener, child, who)?;
                self.names.insert(name, (child, family));
                Ok(Done::Answer(possible))
            }
            "disconnect" => {
                let id = self.named(step)?;
                let addr = SockAddr { family: AF_UNSPEC, ..SockAddr::v4([0; 4].into(), 0) };
                self.backend.connect(id, addr, who).map(Done::Answer)
            }
            "send" | "recv" | "shutdown" => self.data(step, who),
            "getpeername" => self.getpeername(step),
            "probe" => self.probe(step, who),
            "lookup" => self.lookup(step),
            "getsockname" => self.getsockname(step),
            "getopt" => {
                let id = self.named(step)?;
                let name = step.name.as_deref().unwrap_or_default();
                let value = self.backend.option(id, name)?;
                let wanted = match &step.expect_value {
                    Some(Value::Text(device)) => self.backend.device(device).map(i64::from),
                    Some(value) => value.int(),
                    None => None,
                };
                let wanted = wanted.ok_or_else(|| Unsupported(format!("getopt {name}")))?;
                Ok(Done::Is(value == wanted, wanted.to_string(), value.to_string()))
            }
            "sysctl" => {
                let value = match step.value.as_ref() {
                    Some(Value::Text(text)) => text.clone(),
                    Some(value) => value.int().unwrap_or_default().to_string(),
                    None => return Err(Unsupported("a sysctl without value".into())),
                };
                let key = step.key.as_deref().unwrap_or_default();
                self.backend.sysctl(key, &value).map(Done::Answer)
            }
            "cmd" => {
                self.backend.command(step.cmd.as_deref().unwrap_or_default())?;
                Ok(Done::Nothing)
            }
            "landlock" => {
                let domain = super::arguments::landlock(step)?;
                self.backend.landlock(domain).map(Done::Answer)
            }
            "sleep" => {
                let seconds = match step.seconds {
                    Some(Value::Float(seconds)) => seconds,
                    Some(Value::Int(seconds)) => seconds as f64,
                    _ => 1.0,
                };
                self.backend.sleep((seconds * 1000.0) as u64);
                Ok(Done::Nothing)
            }
            op => Err(Unsupported(format!("op {op}"))),
        }
    }

    /// Makes a call, settles it as recorded, and remembers a port that was chosen.
    fn call(
        &mut self,
        id: SocketId,
        call: Call,
        who: Who,
        step: &Step,
    ) -> Result<Done, Unsupported> {
        let possible = self.backend.call(id, call, who)?;
        let recorded = expected(step)?;
        let happened = match possible.as_slice() {
            [only] => *only,
            several => *several.iter().find(|o| recorded.contains(o)).unwrap_or(&several[0]),
        };
        self.backend.settle(id, call, happened, None);
        if happened == Outcome::Ok {
            self.save_port(id, step)?;
        }
        // Which port is left is chance; a set that holds what was recorded says all there is.
        let automatic = match call {
            Call::Bind(addr) => addr.port == 0,
            _ => false,
        };
        Ok(Done::Answer(if automatic { vec![happened] } else { possible }))
    }

    pub(super) fn save_port(&mut self, id: SocketId, step: &Step) -> Result<(), Unsupported> {
        if let Some(name) = &step.save_port {
            let (_, _, port) = self.backend.local(id)?;
            self.ports.insert(name.clone(), port);
        }
        Ok(())
    }

    /// Returns the socket a step names, made with its options if it is new; and the answer of
    /// the call that failed while making it.
    pub(super) fn create(
        &mut self,
        step: &Step,
        who: Who,
    ) -> Result<(SocketId, Option<Outcome>), Unsupported> {
        let name = step.socket.clone().unwrap_or_default();
        if let Some(&(id, _)) = self.names.get(&name) {
            return Ok((id, None));
        }
        let id = self.new_id();
        let (family, made) = match kind_of(step)? {
            Kind::Usual(family, protocol) => {
                (family, self.backend.socket(id, family, protocol, who)?)
            }
            Kind::Special(special) => {
                let family = match special.domain {
                    AF_INET6 => Family::Inet6,
                    _ => Family::Inet,
                };
                (family, self.backend.special(id, special, who)?)
            }
        };
        if let [failed @ Outcome::Errno(_)] = made.as_slice() {
            return Ok((id, Some(*failed)));
        }
        self.names.insert(name, (id, family));
        for (option, value) in &step.opts {
            if option == "mark" {
                match self.backend.mark(id, value.int().unwrap_or(0), who)?.as_slice() {
                    [failed @ Outcome::Errno(_)] => return Ok((id, Some(*failed))),
                    _ => continue,
                }
            }
            let call = Call::SetOption(self.sock_option(option, value)?);
            let possible = self.backend.call(id, call, who)?;
            let [only] = possible.as_slice() else {
                return Err(Unsupported(format!("option {option} is undetermined")));
            };
            self.backend.settle(id, call, *only, None);
            if let failed @ Outcome::Errno(_) = only {
                return Ok((id, Some(*failed)));
            }
        }
        Ok((id, None))
    }

    fn getsockname(&mut self, step: &Step) -> Result<Done, Unsupported> {
        let id = self.named(step)?;
        let (ip, _, port) = self.backend.local(id)?;
        if let Some(name) = &step.save_port {
            self.ports.insert(name.clone(), port);
        }
        self.is_named(step, ip, port)
    }

    /// Compares a name of a socket with what the step says.
    pub(super) fn is_named(
        &mut self,
        step: &Step,
        ip: IpAddr,
        port: u16,
    ) -> Result<Done, Unsupported> {
        let addr_ok = match step.expect_addr.as_deref().map(str::parse::<IpAddr>) {
            Some(Ok(wanted)) => wanted == ip,
            Some(Err(_)) => return Err(Unsupported("an address that cannot be read".into())),
            None => true,
        };
        let port_ok = match &step.expect_port {
            None => true,
            Some(Value::Int(wanted)) => i64::from(port) == *wanted,
            Some(Value::Text(word)) if word == "nonzero" => port != 0,
            Some(Value::Text(name)) => self.ports.get(name) == Some(&port),
            Some(Value::List(ends)) => {
                let end = |i: usize| ends.get(i).and_then(Value::int).unwrap_or(0);
                (end(0)..=end(1)).contains(&i64::from(port))
            }
            Some(_) => return Err(Unsupported("a port that cannot be read".into())),
        };
        let wanted = format!(
            "{} {:?}",
            step.expect_addr.as_deref().unwrap_or("*"),
            step.expect_port.as_ref().unwrap_or(&Value::Null(()))
        );
        Ok(Done::Is(addr_ok && port_ok, wanted, format!("{ip} {port}")))
    }

    pub(super) fn named(&self, step: &Step) -> Result<SocketId, Unsupported> {
        let name = step.socket.as_deref().unwrap_or_default();
        let known = self.names.get(name).map(|(id, _)| *id);
        known.ok_or_else(|| Unsupported(format!("no socket {name}")))
    }

    fn new_id(&mut self) -> SocketId {
        self.next_id += 1;
        SocketId(self.next_id)
    }
}

/// What kind of socket a step makes.
enum Kind {
    Usual(Family, Protocol),
    Special(Special),
}

fn kind_of(step: &Step) -> Result<Kind, Unsupported> {
    let family = match step.family.as_deref() {
        Some("inet") | None => Some(Family::Inet),
        Some("inet6") => Some(Family::Inet6),
        Some("unix" | "unspec") => None,
        Some(other) => return Err(Unsupported(format!("family {other}"))),
    };
    match (family, step.kind.as_deref(), step.proto.as_deref()) {
        (Some(family), Some("stream") | None, None | Some("tcp")) => {
            return Ok(Kind::Usual(family, Protocol::Tcp));
        }
        (Some(family), Some("dgram"), None | Some("udp")) => {
            return Ok(Kind::Usual(family, Protocol::Udp));
        }
        _ => {}
    }
    let (kind, proto) = (step.kind.as_deref().unwrap_or("stream"), step.proto.as_deref());
    let unsupported = || {
        let words = [kind, proto.unwrap_or_default()];
        Unsupported(format!("socket {}", words.join(" ").trim()))
    };
    let (_, kind) = Special::KINDS.iter().find(|k| k.0 == kind).ok_or_else(unsupported)?;
    let protocol = match proto {
        None => 0,
        // The same word for both families.
        Some("icmp") if family == Some(Family::Inet6) => 58,
        Some(name) => Special::PROTOCOLS.iter().find(|p| p.0 == name).ok_or_else(unsupported)?.1,
    };
    let domain = match (family, step.family.as_deref()) {
        (Some(Family::Inet), _) => AF_INET,
        (Some(Family::Inet6), _) => AF_INET6,
        (None, Some("unix")) => AF_UNIX,
        (None, _) => AF_UNSPEC,
    };
    Ok(Kind::Special(Special { domain, kind: *kind, protocol }))
}

fn compare(step: &Step, possible: &[Outcome]) -> StepResult {
    let recorded = match expected(step) {
        Ok(recorded) => recorded,
        Err(Unsupported(why)) => return StepResult::Unsupported(why),
    };
    let names = |list: &[Outcome]| list.iter().map(|o| o.name()).collect::<Vec<_>>().join("|");
    if possible.iter().all(|o| recorded.contains(o)) {
        StepResult::Agree
    } else if possible.iter().any(|o| recorded.contains(o)) {
        StepResult::Undetermined(names(possible))
    } else {
        StepResult::Disagree {
            op: step.op.clone(),
            expected: names(&recorded),
            answered: names(possible),
        }
    }
}
