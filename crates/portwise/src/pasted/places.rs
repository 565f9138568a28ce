//! Where a message names an address and port, and how likely each is the one it is about.

use std::net::Ipv4Addr;

use portwise_model::Protocol;

use super::{
    errno::{Found, How},
    spelling::{self, Spelling},
    words::{Word, Words},
};
use crate::endpoint::Address;

/// An address and port in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub address: Address,
    pub port: u16,
    pub protocol: Option<Protocol>,
    /// How much speaks for it.
    pub score: i32,
    /// The index of its word.
    pub word: usize,
}

/// What is less than this is not what the message is about.
const ENOUGH: i32 = 35;

/// Finds the addresses and ports of a message, the likeliest first.
pub(super) fn find(words: &Words<'_>, errnos: &[Found]) -> Vec<Place> {
    let spelled: Vec<Option<Spelling>> =
        words.list.iter().map(|word| spelling::read(word.text)).collect();
    let finder = Finder { words, spelled, errnos };
    let mut places: Vec<Place> = (0..words.list.len()).filter_map(|i| finder.at(i)).collect();
    for place in &mut places {
        place.score += finder.context(place.word);
    }
    places.retain(|place| place.score >= ENOUGH);
    portwise_model::sort::sort_by_key(&mut places, |place| -place.score);
    places
}

/// The address that stands alone, without port, if the message has one.
pub(super) fn address(words: &Words<'_>) -> Option<Address> {
    let spelled = |word: &Word<'_>| spelling::read(word.text)?.only_address().cloned();
    let linked = |index: &usize| is_linked(words, *index);
    (0..words.list.len()).filter(linked).find_map(|index| spelled(&words.list[index]))
}

struct Finder<'a> {
    words: &'a Words<'a>,
    spelled: Vec<Option<Spelling>>,
    errnos: &'a [Found],
}

impl Finder<'_> {
    /// The place that begins at the word at `index`.
    fn at(&self, index: usize) -> Option<Place> {
        let place = |address: &Address, port, protocol, score| {
            Some(Place { address: address.clone(), port, protocol, score, word: index })
        };
        let word = self.words.get(index)?;
        let spelled = self.spelled[index].as_ref();
        if let Some(address) = self.address_at(index)
            && let Some((port, protocol)) = self.port_behind(index)
        {
            return place(&address, port, protocol, 60);
        }
        if let Some(Spelling { address: Some(address), port: Some(port), protocol }) = spelled {
            let score = match address {
                Address::Name(name) if name != "localhost" => {
                    is_linked(self.words, index).then_some(35)?
                }
                _ => 60,
            };
            return place(address, *port, *protocol, score);
        }
        if let Some(Spelling { address: None, port: Some(port), protocol }) = spelled {
            // Python writes ('', 80) for the IPv4 wildcard.
            if self.words.gap(index).ends_with("('', ") {
                return place(&Address::Ip(Ipv4Addr::UNSPECIFIED.into(), None), *port, None, 55);
            }
            let own = protocol.is_some() || word.has("port");
            return own.then(|| place(&Address::Bare, *port, *protocol, 30)).flatten();
        }
        let (port, protocol, at) = self.port_named(index)?;
        if index > 0 && self.address_at(index - 1).is_some() {
            return None;
        }
        match self.address_near(at) {
            Some(address) => place(&address, port, protocol, 50),
            None => place(&Address::Bare, port, protocol, 40),
        }
    }

    /// The address without port at `index`. With "port" and a number behind it, `::1:80` is one.
    fn address_at(&self, index: usize) -> Option<Address> {
        let spelled = self.spelled.get(index)?.as_ref()?;
        if let Some(address) = spelled.only_address() {
            return Some(address.clone());
        }
        let literal = self.words.get(index)?.text.parse().ok()?;
        self.port_named(index + 1).map(|_| Address::Ip(std::net::IpAddr::V6(literal), None))
    }

    /// The port behind the address at `index`: `ADDRESS port 80`, `('ADDRESS', 80)`, `ADDRESS 80`.
    fn port_behind(&self, index: usize) -> Option<(u16, Option<Protocol>)> {
        if let Some((port, protocol, _)) = self.port_named(index + 1) {
            return Some((port, protocol));
        }
        let next = self.spelled.get(index + 1)?.as_ref()?;
        let gap = self.words.gap(index + 1);
        let listed = gap.contains(',') && gap.trim_matches([',', ' ', '\'', '"']).is_empty();
        let beside = gap == " " && self.words.before(index).any(is_about_bind);
        if listed || beside { Some((next.only_port()?, next.protocol)) } else { None }
    }

    /// The number behind a word for "port" at `index`, with the index of the number.
    fn port_named(&self, index: usize) -> Option<(u16, Option<Protocol>, usize)> {
        // The last is Python's `-m http.server 80`, whose traceback has no port.
        const NAMES: [&str; 6] = ["port", "ports", "htons", "sin_port", "sin6_port", "http.server"];
        let name = self.words.get(index)?;
        if !name.is_any(&NAMES) {
            return None;
        }
        let mut at = index + 1;
        if self.words.get(at)?.is_any(&["number", "no", "htons"]) {
            at += 1;
        }
        let gap = self.words.gap(at);
        let close = gap.len() <= 6 && gap.chars().all(|c| " =(\"'{`,#".contains(c));
        let spelled = self.spelled.get(at)?.as_ref().filter(|_| close)?;
        // `port :80` and `port 80`.
        let port = spelled.only_port().or(match spelled {
            Spelling { address: Some(Address::Every), port, .. } => *port,
            _ => None,
        })?;
        let before = index.checked_sub(1).and_then(|i| self.words.get(i));
        let said = before.and_then(|word| spelling::protocol(word.plain()));
        Some((port, spelled.protocol.or(said), at))
    }

    /// The address that belongs to the port at `index`: `port 22 on 0.0.0.0`, or one nearby that
    /// is said to be an address.
    fn address_near(&self, index: usize) -> Option<Address> {
        let line = self.words.get(index)?.line;
        let far = if self.words.before(index).any(|word| word.has("htons")) { 8 } else { 3 };
        let behind = (index + 1..self.words.list.len()).take(far);
        let same = |&i: &usize| self.words.list[i].line == line;
        if let Some(address) = behind.take_while(same).find_map(|i| self.address_at(i)) {
            return Some(address);
        }
        let near = |&i: &usize| self.words.list[i].line.abs_diff(line) <= 1;
        let near = (index.saturating_sub(60)..self.words.list.len()).take(120).filter(near);
        let linked = near.filter(|&i| is_linked(self.words, i));
        linked.filter_map(|i| self.address_at(i)).next()
    }

    /// What the words around a place say for it and against it.
    fn context(&self, index: usize) -> i32 {
        let line = self.words.list[index].line;
        let told = |f: &&Found| f.how != How::Words;
        let distance = |f: &Found| f.line.abs_diff(line);
        let nearest = match self.errnos.iter().filter(told).map(distance).min() {
            Some(nearest) => Some(nearest),
            None => self.errnos.iter().map(distance).min(),
        };
        let mut score = match nearest {
            Some(0) => 30,
            Some(1) => 12,
            _ => 0,
        };
        if self.words.before(index).take(6).any(is_about_bind) {
            score += 15;
        } else if is_linked(self.words, index) {
            score += 5;
        }
        score - self.against(index)
    }

    fn against(&self, index: usize) -> i32 {
        let arrow = self.words.gap(index).trim_end();
        if arrow.ends_with("->") || arrow.ends_with("=>") || arrow.ends_with('→') {
            return 50;
        }
        // Punctuation that is part of a word, such as the arrow of Docker.
        if self.words.before(index).next().is_some_and(|word| word.text == "-") {
            return 50;
        }
        let aside =
            ["port", "available", "another", "next", "free", "address", "to", "from", "with"];
        let before = self.words.before(index).find(|word| !word.is_any(&aside));
        let other = ["instead", "trying", "try", "using", "connect", "connecting", "connected"];
        let peer = ["client", "peer", "remote", "upstream", "dial", "dialing"];
        let is_other = before.is_some_and(|word| word.is_any(&other) || word.is_any(&peer));
        let instead = self.words.behind(index).take(3).any(|word| word.is_any(&["instead"]));
        if is_other || instead { 40 } else { 0 }
    }
}

/// Whether a word is about bind or listen.
pub(super) fn is_about_bind(word: &Word<'_>) -> bool {
    ["bind", "listen", "bound", "expos", "make_sock"].iter().any(|part| word.has(part))
}

/// Whether the word before says that an address follows.
fn is_linked(words: &Words<'_>, index: usize) -> bool {
    const LINKS: [&str; 24] = [
        "on",
        "for",
        "to",
        "at",
        "of",
        "in",
        "address",
        "addr",
        "host",
        "hostname",
        "interface",
        "ip",
        "ipv4",
        "ipv6",
        "server",
        "socket",
        "socket_addr",
        "local",
        "inet_addr",
        "inet_pton",
        "af_inet",
        "af_inet6",
        "http",
        "https",
    ];
    let before = index.checked_sub(1).and_then(|i| words.get(i));
    before.is_some_and(|word| {
        word.is_any(&LINKS) || is_about_bind(word) || spelling::protocol(word.plain()).is_some()
    })
}
