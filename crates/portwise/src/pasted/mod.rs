//! Error messages of runtimes and servers, read as they were pasted: which endpoint they are about,
//! which errno they tell, and what they advise.
//!
//! A message is not parsed program by program. It is split into words; every word that spells an
//! address or port in some program's way is a candidate, and the words around it say how likely
//! it is meant. So a message nobody has seen before is usually read too.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use portwise_model::{Errno, Protocol};

use crate::{
    Endpoint,
    endpoint::{Address, shown},
    render::clean,
};

mod errno;
mod hint;
mod places;
mod spelling;
mod words;

pub use errno::{How, System, given, numbered};
pub use hint::{Claim, Hint};

use places::Place;
use words::{Word, Words};

/// The longest message that is read, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// How many other endpoints of a message are kept.
const MOST_OTHERS: usize = 4;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pasted {
    /// The address and port it is about.
    pub endpoint: Endpoint,
    /// The errno, if it tells one.
    pub errno: Option<Told>,
    /// Its own explanation, if it gives one.
    pub hint: Option<Hint>,
    /// Other endpoints that it is about as well.
    pub also: Vec<Endpoint>,
}

/// An errno as a message tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The errno.
    pub errno: Errno,
    /// How it is told.
    pub how: How,
    /// The system whose message it is, if its text or number shows that.
    pub system: Option<System>,
}

/// A message that says too little: one line, with an example of what would be enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUnderstood {
    /// Neither an endpoint nor an error.
    Nothing,
    /// An error without the port it is about, perhaps with the address.
    NoPort(Option<Errno>, Option<String>),
    /// An endpoint without a failure.
    NoFailure(String),
    /// An error of another call than bind and listen.
    OtherCall(Errno),
    /// More than [`LONGEST`] bytes.
    TooLong,
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotUnderstood::Nothing => f.write_str(
                "neither an endpoint nor an error message that names one, such as \
                 127.0.0.1:80 or 'listen tcp 127.0.0.1:80: bind: permission denied'",
            ),
            NotUnderstood::NoPort(errno, address) => {
                let got = errno.map(|errno| format!(" --got {errno}")).unwrap_or_default();
                let tells = errno.map(|e| format!("tells {e}")).unwrap_or("tells a failure".into());
                let (lacks, example) = match address {
                    Some(address) => ("port", address.as_str()),
                    None => ("address or port", "127.0.0.1:8080"),
                };
                let example = clean(example);
                write!(f, "the message {tells} but no {lacks}; add it: portwise why {example}{got}")
            }
            NotUnderstood::NoFailure(endpoint) => {
                let endpoint = clean(endpoint);
                write!(f, "the text names {endpoint} but no failure; ask: portwise why {endpoint}")
            }
            NotUnderstood::OtherCall(errno) => write!(
                f,
                "{errno} is an answer to connect, not to bind or listen: portwise reads messages \
                 such as 'listen tcp 127.0.0.1:80: bind: permission denied'"
            ),
            NotUnderstood::TooLong => write!(
                f,
                "the message is longer than {} KiB; give the lines around the error",
                LONGEST / 1024
            ),
        }
    }
}

impl std::error::Error for NotUnderstood {}

/// Reads a message.
///
/// # Errors
/// If it names no port, no failure, or a failure of another call.
///
/// ```
/// use portwise::pasted;
///
/// let read = pasted::read("Failed to listen on ::1:80 (reason: Permission denied)")?;
/// assert_eq!(read.endpoint.text, "[::1]:80");
/// assert_eq!(read.errno.unwrap().errno.name(), "EACCES");
/// # Ok::<(), pasted::NotUnderstood>(())
/// ```
pub fn read(text: &str) -> Result<Pasted, NotUnderstood> {
    if text.len() > LONGEST {
        return Err(NotUnderstood::TooLong);
    }
    let text = words::plain(text);
    let words = Words::of(&text);
    let errnos = errno::find(&words);
    let places = places::find(&words, &errnos);
    let Some(best) = places.first() else { return Err(without_port(&words, &errnos)) };
    let (line, at) = (words.list[best.word].line, words.list[best.word].start);
    let told = errno::nearest(&errnos, line, at);
    let protocol = protocol(&words, best, told.map(|told| told.line));
    let endpoint = endpoint(&words, best, protocol);
    if let Some(told) = told.filter(|told| is_of_connect(told.errno)) {
        return Err(NotUnderstood::OtherCall(told.errno));
    }
    if told.is_none() && !tells_failure(&words) {
        return Err(NotUnderstood::NoFailure(endpoint.text));
    }
    let mut also: Vec<Endpoint> = Vec::new();
    for place in places.iter().take_while(|place| place.score == best.score) {
        let other = self::endpoint(&words, place, protocol);
        let is_new = other.text != endpoint.text && also.iter().all(|e| e.text != other.text);
        if is_new && also.len() < MOST_OTHERS {
            also.push(other);
        }
    }
    let errno = told.map(|f| Told { errno: f.errno, how: f.how, system: f.system });
    Ok(Pasted { endpoint, errno, hint: hint::find(&text), also })
}

/// Finds a message's own explanation, in a text that need not tell an error.
pub fn hint(text: &str) -> Option<Hint> {
    if text.len() > LONGEST { None } else { hint::find(&words::plain(text)) }
}

fn without_port(words: &Words<'_>, errnos: &[errno::Found]) -> NotUnderstood {
    let told = errno::nearest(errnos, 0, 0).map(|found| found.errno);
    if told.is_none() && !tells_failure(words) {
        return NotUnderstood::Nothing;
    }
    if let Some(errno) = told.filter(|&errno| is_of_connect(errno)) {
        return NotUnderstood::OtherCall(errno);
    }
    let address = places::address(words).and_then(|address| match address {
        Address::Ip(ip, zone) => Some(shown(ip, zone.as_deref(), 8080)),
        _ => None,
    });
    NotUnderstood::NoPort(told, address)
}

/// Errors that `bind` and `listen` never answer and `connect` does.
fn is_of_connect(errno: Errno) -> bool {
    use Errno::*;
    matches!(errno, ECONNREFUSED | ECONNRESET | ECONNABORTED | ETIMEDOUT | EHOSTUNREACH)
        || matches!(errno, ENETUNREACH | EISCONN | ENOTCONN | EINPROGRESS | EALREADY)
}

/// Whether words say that bind or listen failed, without an errno.
fn tells_failure(words: &Words<'_>) -> bool {
    const FAILS: [&str; 8] =
        ["cannot", "can", "couldn", "could", "unable", "error", "refused", "denied"];
    let fails = |word: &Word<'_>| word.is_any(&FAILS) || word.has("fail");
    words.list.iter().any(fails) && words.list.iter().any(places::is_about_bind)
}

/// The protocol: what the place says, else the word nearest to it on its line, else one on the
/// line of the errno.
fn protocol(words: &Words<'_>, place: &Place, told: Option<usize>) -> Protocol {
    let named = |word: &Word<'_>| spelling::protocol(word.plain());
    let near = || {
        let before = words.before(place.word).find_map(named);
        before.or_else(|| words.behind(place.word).find_map(named))
    };
    let with_errno = || {
        let mut there = words.list.iter().filter(|word| Some(word.line) == told);
        there.find_map(named)
    };
    let found = place.protocol.or_else(near).or_else(with_errno);
    let by_default = if is_node_datagram(words, place) { Protocol::Udp } else { Protocol::Tcp };
    found.unwrap_or(by_default)
}

/// Node says `bind EADDRINUSE` of its datagram sockets. Of a server it says `listen`, but for a
/// worker of a cluster, which knows no address.
fn is_node_datagram(words: &Words<'_>, place: &Place) -> bool {
    let says =
        |pair: &[Word<'_>]| pair[0].text == "bind" && Errno::from_name(pair[1].plain()).is_some();
    place.address != Address::Every && words.list.windows(2).any(says)
}

/// The endpoint at a place, as it would be typed.
fn endpoint(words: &Words<'_>, place: &Place, protocol: Protocol) -> Endpoint {
    let address = match &place.address {
        Address::Name(name) if name == "localhost" => loopback(words, place),
        address => address.clone(),
    };
    let port = place.port;
    let text = match &address {
        Address::Bare => port.to_string(),
        Address::Every => format!("*:{port}"),
        Address::Ip(ip, zone) => shown(*ip, zone.as_deref(), port),
        Address::Name(name) => format!("{name}:{port}"),
    };
    Endpoint { text, address, port, protocol }
}

/// What localhost means: .NET tries each family by itself and says which one.
fn loopback(words: &Words<'_>, place: &Place) -> Address {
    let says = |what: &str| words.behind(place.word).any(|word| word.is_any(&[what]));
    match () {
        () if says("loopback") && says("ipv6") => Address::Ip(Ipv6Addr::LOCALHOST.into(), None),
        () if says("loopback") && says("ipv4") => Address::Ip(Ipv4Addr::LOCALHOST.into(), None),
        () => place.address.clone(),
    }
}
