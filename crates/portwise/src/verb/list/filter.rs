//! What `list` is to show: ports, addresses and states.

use std::net::IpAddr;

use crate::{Endpoint, Trouble, endpoint::Address, observe::inventory::State};

/// A port or range, an address, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where {
    /// The lowest and the highest port.
    pub ports: Option<(u16, u16)>,
    /// The address.
    pub ip: Option<IpAddr>,
}

/// What was typed: a socket fits if it fits one place and one state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    places: Vec<Where>,
    states: Vec<State>,
}

const STATES: [(&str, &[State]); 14] = [
    ("listen", &[State::Listen]),
    ("bound", &[State::Bound]),
    ("established", &[State::Established]),
    ("estab", &[State::Established]),
    ("connected", &[State::Established]),
    ("syn-sent", &[State::SynSent]),
    ("syn-recv", &[State::SynRecv]),
    ("fin-wait", &[State::FinWait1, State::FinWait2]),
    ("fin-wait-1", &[State::FinWait1]),
    ("fin-wait-2", &[State::FinWait2]),
    ("time-wait", &[State::TimeWait]),
    ("close-wait", &[State::CloseWait]),
    ("last-ack", &[State::LastAck]),
    ("closing", &[State::Closing]),
];

impl Filters {
    /// Reads filters.
    ///
    /// # Errors
    /// If a word is none.
    pub fn read(typed: &[String]) -> Result<Filters, Trouble> {
        let mut filters = Filters::default();
        for word in typed {
            let state = word.to_ascii_lowercase().replace('_', "-");
            if let Some((_, states)) = STATES.iter().find(|(name, _)| *name == state) {
                filters.states.extend(*states);
            } else {
                filters.places.push(place(word)?);
            }
        }
        Ok(filters)
    }

    /// Whether a state was asked for that is neither listening nor bound.
    pub fn asks_for_connections(&self) -> bool {
        self.states.iter().any(|state| !matches!(state, State::Listen | State::Bound))
    }

    /// The port, if nothing else can fit.
    pub fn only_port(&self) -> Option<u16> {
        match self.places.as_slice() {
            [Where { ports: Some((low, high)), .. }] if low == high => Some(*low),
            _ => None,
        }
    }

    /// Whether a socket in this state fits, if `here` says whether it fits a place.
    pub fn fits(&self, state: State, here: impl Fn(&Where) -> bool) -> bool {
        (self.states.is_empty() || self.states.contains(&state))
            && (self.places.is_empty() || self.places.iter().any(here))
    }
}

fn place(word: &str) -> Result<Where, Trouble> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
    if let Some((low, high)) = word.split_once('-')
        && let (Some(Some(low)), Some(Some(high))) = (number(low), number(high))
        && low <= high
    {
        return Ok(Where { ports: Some((low, high)), ip: None });
    }
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Ok(Where { ports: None, ip: Some(ip) });
    }
    let unknown =
        |why: String| Trouble::new(format!("`{word}` is no port, address or state to list: {why}"));
    let endpoint: Endpoint = word.parse().map_err(|e| unknown(format!("{e}")))?;
    let ports = Some((endpoint.port, endpoint.port));
    match endpoint.address {
        Address::Bare | Address::Every => Ok(Where { ports, ip: None }),
        Address::Ip(ip, _) => Ok(Where { ports, ip: Some(ip) }),
        Address::Name(_) => Err(unknown("a name may stand for several, give its address".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Filters, Trouble> {
        let words: Vec<String> = words.split(' ').map(Into::into).collect();
        Filters::read(&words)
    }

    #[test]
    fn words_are_ports_addresses_or_states() {
        let here = "127.0.0.1".parse().ok();
        for (word, ports, ip) in [
            ("80", Some((80, 80)), None),
            (":80", Some((80, 80)), None),
            ("*:80", Some((80, 80)), None),
            ("80-90", Some((80, 90)), None),
            ("127.0.0.1", None, here),
            ("127.0.0.1:80", Some((80, 80)), here),
            ("[::1]", None, "::1".parse().ok()),
            ("::1", None, "::1".parse().ok()),
            ("[::1]:80", Some((80, 80)), "::1".parse().ok()),
        ] {
            assert_eq!(read(word).unwrap().places, [Where { ports, ip }], "{word}");
        }
        let states = read("listen TIME_WAIT fin-wait").unwrap();
        assert!(states.asks_for_connections() && states.places.is_empty());
        assert_eq!(states.states.len(), 4);
        assert!(!read("listen bound 80").unwrap().asks_for_connections());
        for bad in ["x", "80-70", "70000", "localhost:80", "", "80-"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_of_each_kind_has_to_fit() {
        let filters = read("80 90 listen").unwrap();
        let port = |port| move |w: &Where| w.ports == Some((port, port));
        assert!(filters.fits(State::Listen, port(80)) && filters.fits(State::Listen, port(90)));
        assert!(!filters.fits(State::Bound, port(80)) && !filters.fits(State::Listen, port(70)));
        assert_eq!((filters.only_port(), read("80").unwrap().only_port()), (None, Some(80)));
    }
}
