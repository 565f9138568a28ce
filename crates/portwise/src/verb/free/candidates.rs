//! Which ports are looked at, in which order, and which are left to others.

use std::{ops::RangeInclusive, str::FromStr};

use portwise_model::FactKey;

use crate::Setting;

/// Where the search begins if nothing is said.
const FIRST: u16 = 8000;

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    low: u16,
    high: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Ports, String> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
            _ => Err(format!("`{text}` is no port, such as 3000-3999")),
        };
        let (low, high) = (port(low)?, port(high)?);
        match low <= high {
            true => Ok(Ports { low, high }),
            false => Err(format!("{low} is above {high}, such as {high}-{low}")),
        }
    }
}

/// The ports to look at.
#[derive(Clone, Debug)]
pub struct Candidates {
    ports: RangeInclusive<u16>,
    start: u16,
    near: bool,
    /// Whether the range was given.
    given: bool,
}

impl Candidates {
    /// The ports of `range`, or all, from `from` on (0: from the beginning), or nearest to `near`.
    pub fn new(range: Option<Ports>, near: Option<u16>, from: u16) -> Result<Candidates, String> {
        let ports = range.map_or(1..=u16::MAX, |r| r.low..=r.high);
        let start = match (near, from) {
            (Some(near), _) => near,
            (None, 0) if range.is_some() => *ports.start(),
            (None, 0) => FIRST,
            (None, from) => from,
        };
        if !ports.contains(&start) {
            let (low, high) = (ports.start(), ports.end());
            return Err(format!("port {start} is not in the range {low}-{high}"));
        }
        Ok(Candidates { ports, start, near: near.is_some(), given: range.is_some() })
    }

    /// Each port once.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u16> + '_> {
        let (low, high) = (*self.ports.start(), *self.ports.end());
        if !self.near {
            return Box::new(self.start..=high);
        }
        let far = (high - self.start).max(self.start - low);
        Box::new((0..=far).flat_map(move |d| {
            let above = self.start.checked_add(d).filter(|p| *p <= high);
            let below = self.start.checked_sub(d).filter(|p| *p >= low && d > 0);
            above.into_iter().chain(below)
        }))
    }
}

/// Ports that are better left to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Those of well-known services, for which a capability is needed as a rule.
    Below1024,
    /// The kernel may give the port to any connection at any time.
    Automatic,
    /// The administrator keeps the port for a program.
    Reserved,
}

/// The ports that are kept for somebody on a machine.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    automatic: Option<RangeInclusive<u16>>,
    reserved: Vec<(u16, u16)>,
}

impl Kept {
    /// Those of this machine; if they cannot be read, none.
    pub fn of(setting: &mut Setting) -> Kept {
        if setting.host.local_ports.value().is_none() {
            let _ = setting.observe(&FactKey::LocalPorts);
        }
        let ports = setting.host.local_ports.value();
        ports.map_or_else(Kept::default, |ports| Kept {
            automatic: Some(ports.low..=ports.high),
            reserved: ports.reserved.clone(),
        })
    }

    /// Whether the port is passed over: it is kept for somebody, and neither a range was given
    /// nor a port of that kind asked for.
    pub fn passes_over(&self, port: u16, candidates: &Candidates) -> Option<Class> {
        let class = self.class(port)?;
        (!candidates.given && self.class(candidates.start) != Some(class)).then_some(class)
    }

    fn class(&self, port: u16) -> Option<Class> {
        if self.reserved.iter().any(|(low, high)| (*low..=*high).contains(&port)) {
            return Some(Class::Reserved);
        }
        match port {
            ..1024 => Some(Class::Below1024),
            _ if self.automatic.as_ref().is_some_and(|r| r.contains(&port)) => {
                Some(Class::Automatic)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(range: Option<&str>, near: Option<u16>, from: u16) -> Candidates {
        Candidates::new(range.map(|r| r.parse().unwrap()), near, from).unwrap()
    }

    #[test]
    fn ports_come_in_order() {
        let all = |c: Candidates| c.iter().collect::<Vec<_>>();
        assert_eq!(all(ports(Some("5-8"), None, 0)), [5, 6, 7, 8]);
        assert_eq!(all(ports(Some("5-8"), None, 7)), [7, 8]);
        assert_eq!(all(ports(Some("5-9"), Some(6), 0)), [6, 7, 5, 8, 9]);
        assert_eq!(all(ports(Some("7"), None, 0)), [7]);
        assert_eq!(ports(None, None, 0).iter().next(), Some(8000));
        assert_eq!(ports(None, None, 65534).iter().count(), 2);
        assert_eq!(ports(None, Some(3), 0).iter().count(), 65535);
        assert!(Candidates::new(Some("5-8".parse().unwrap()), None, 9).is_err());
        for bad in ["", "5-", "-5", "8-5", "0-5", "5-70000", "+5", "5-8-9"] {
            assert!(bad.parse::<Ports>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kept_ports_are_passed_over_unless_asked_for() {
        let kept = Kept { automatic: Some(32768..=60999), reserved: vec![(5000, 5001)] };
        let start = ports(None, None, 3000);
        assert_eq!(kept.passes_over(3001, &start), None);
        assert_eq!(kept.passes_over(5000, &start), Some(Class::Reserved));
        assert_eq!(kept.passes_over(32768, &start), Some(Class::Automatic));
        assert_eq!(kept.passes_over(80, &start), Some(Class::Below1024));
        assert_eq!(kept.passes_over(40001, &ports(None, None, 40000)), None);
        assert_eq!(kept.passes_over(81, &ports(None, Some(80), 0)), None);
        assert_eq!(kept.passes_over(5000, &ports(Some("1-65535"), None, 0)), None);
    }
}
