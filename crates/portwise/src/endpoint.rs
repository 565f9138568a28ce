//! Endpoints as people type them, which is as `ss` prints them.

use std::{
    fmt,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use portwise_model::{Family, Protocol};

use crate::render::clean;

/// An address and a port, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The text that was typed, without the protocol.
    pub text: String,
    /// The address part.
    pub address: Address,
    /// The port, 0 for one of the kernel's choice.
    pub port: u16,
    /// The protocol; TCP if none was typed.
    pub protocol: Protocol,
}

/// The address part of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Only a port was typed: the question is about the port.
    Bare,
    /// `*` or nothing before the colon: every address of both families.
    Every,
    /// One address, with the zone that was typed after `%`.
    Ip(IpAddr, Option<String>),
    /// A name to resolve.
    Name(String),
}

/// One address to ask about: an endpoint names one, a name may stand for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address, as `ss` prints it.
    pub shown: String,
    /// The address.
    pub ip: IpAddr,
    /// The zone, a name or number of an interface.
    pub zone: Option<String>,
    /// Whether the socket serves both families; `None` if that is the kernel's default to say.
    pub dual_stack: Option<bool>,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether the question is about the port, whatever the address.
    pub about_port: bool,
}

impl Target {
    fn new(endpoint: &Endpoint, ip: IpAddr, zone: Option<String>) -> Target {
        Target {
            shown: shown(ip, zone.as_deref(), endpoint.port),
            ip,
            zone,
            dual_stack: None,
            port: endpoint.port,
            protocol: endpoint.protocol,
            about_port: false,
        }
    }
}

/// Writes an address and port as `ss` does.
pub fn shown(ip: IpAddr, zone: Option<&str>, port: u16) -> String {
    let mut text = String::with_capacity(24);
    let zone = |text: &mut String| {
        if let Some(zone) = zone {
            text.push('%');
            text.push_str(zone);
        }
    };
    // Writing to a string does not fail.
    match ip {
        IpAddr::V4(ip) => {
            let _ = write!(text, "{ip}");
            zone(&mut text);
        }
        IpAddr::V6(ip) => {
            let _ = write!(text, "[{ip}");
            zone(&mut text);
            text.push(']');
        }
    }
    let _ = write!(text, ":{port}");
    text
}

/// An endpoint that cannot be understood: one line, with what is wrong and an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEndpoint {
    text: String,
    what: String,
    example: String,
}

impl fmt::Display for BadEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = clean(&self.text);
        write!(f, "bad endpoint `{text}`: {}, such as {}", clean(&self.what), clean(&self.example))
    }
}

impl std::error::Error for BadEndpoint {}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(typed: &str) -> Result<Endpoint, BadEndpoint> {
        parse(typed).map_err(|(what, example)| BadEndpoint {
            text: shortened(typed),
            what: shortened(&what),
            // What was typed may be odd in more than one place.
            example: match example.split(" or ").all(|one| parse(one).is_ok()) {
                true if example == shortened(&example) => example,
                _ => "127.0.0.1:80".into(),
            },
        })
    }
}

/// What is wrong, and an example of what is right.
type Wrong = (String, String);

fn wrong<T>(what: impl Into<String>, example: impl Into<String>) -> Result<T, Wrong> {
    Err((what.into(), example.into()))
}

fn parse(typed: &str) -> Result<Endpoint, Wrong> {
    if typed.is_empty() {
        return wrong("it is empty", "127.0.0.1:80");
    }
    if typed.starts_with("unix:") {
        return wrong(
            "a Unix socket has a path and no port; `why` and `check` take it",
            "[::1]:80",
        );
    }
    if let Some((scheme, rest)) = typed.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        let example = if host.is_empty() { "localhost:3000" } else { host };
        return wrong(format!("`{scheme}://` starts a URL, an endpoint has none"), example);
    }
    let (text, protocol) = split_protocol(typed)?;
    let (address, port) = split_port(text)?;
    Ok(Endpoint { text: text.into(), address, port, protocol })
}

fn split_protocol(typed: &str) -> Result<(&str, Protocol), Wrong> {
    let Some((text, protocol)) = typed.rsplit_once('/') else { return Ok((typed, Protocol::Tcp)) };
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok((text, Protocol::Tcp)),
        "udp" => Ok((text, Protocol::Udp)),
        "mptcp" | "sctp" => {
            wrong(format!("the protocol {protocol} is not supported yet"), format!("{text}/tcp"))
        }
        _ => {
            wrong(format!("`/{protocol}` is no protocol here"), format!("{text}/tcp or {text}/udp"))
        }
    }
}

fn split_port(text: &str) -> Result<(Address, u16), Wrong> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return wrong("`[` without `]`", "[::1]:80");
        };
        let (ip, zone) = ipv6(inside)?;
        let Some(port) = after.strip_prefix(':') else {
            return wrong("the port is missing after `]`", format!("[{inside}]:80"));
        };
        return Ok((Address::Ip(IpAddr::V6(ip), zone), number(port, &format!("[{inside}]"))?));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok((Address::Bare, number(text, "127.0.0.1")?));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        let example = match unbracketed(text) {
            Some((address, port)) if port > 9 => format!("[{address}]:{port} or [{ip}]:80"),
            _ => format!("[{ip}]:80"),
        };
        return wrong("an IPv6 address stands in brackets before its port", example);
    }
    let Some((address, port)) = text.rsplit_once(':') else {
        return wrong("the port is missing", format!("{text}:80"));
    };
    let address = match address {
        "" | "*" => Address::Every,
        _ if address.contains(':') => {
            let (ip, zone) = ipv6(address)?;
            Address::Ip(IpAddr::V6(ip), zone)
        }
        _ => ipv4_or_name(address)?,
    };
    Ok((address, number(port, text.rsplit_once(':').map_or("", |(a, _)| a))?))
}

/// Splits `::1:80`, which is an IPv6 address as a whole, the way it was probably meant.
fn unbracketed(text: &str) -> Option<(Ipv6Addr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = if address.ends_with(':') { format!("{address}:") } else { address.into() };
    Some((address.parse().ok()?, port.parse().ok()?))
}

fn ipv6(text: &str) -> Result<(Ipv6Addr, Option<String>), Wrong> {
    let (address, zone) = match text.split_once('%') {
        Some((_, "")) => return wrong("the zone after `%` is empty", "[fe80::1%eth0]:80"),
        Some((address, zone)) => (address, Some(zone.to_string())),
        None => (text, None),
    };
    match address.parse() {
        Ok(ip) => Ok((ip, zone)),
        Err(_) if address.parse::<Ipv4Addr>().is_ok() => {
            wrong("brackets are for IPv6", format!("{address}:80"))
        }
        Err(_) => wrong(format!("`{address}` is no IPv6 address"), "[::1]:80"),
    }
}

fn ipv4_or_name(text: &str) -> Result<Address, Wrong> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Address::Ip(IpAddr::V4(ip), None));
    }
    if text.contains('%') {
        return wrong("a zone belongs to an IPv6 address", "[fe80::1%eth0]:80");
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let what = format!("`{text}` is no IPv4 address, it has four numbers of 0 to 255");
        return wrong(what, "127.0.0.1:80");
    }
    if text.len() > 253 {
        return wrong("a host name has at most 253 characters", "localhost:3000");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if let Some(odd) = text.chars().find(|&c| !fits(c)) {
        return wrong(format!("`{odd}` is not part of a host name"), "localhost:3000");
    }
    Ok(Address::Name(text.into()))
}

fn number(port: &str, address: &str) -> Result<u16, Wrong> {
    let example = format!("{address}:8080");
    if port.is_empty() {
        return wrong("the port after `:` is missing", example);
    }
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(format!("the port `{port}` is no number"), example);
    }
    match port.parse() {
        Ok(port) => Ok(port),
        Err(_) => wrong(format!("the port {port} is above 65535"), example),
    }
}

/// A long text, cut so that the complaint stays one line.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(90) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

impl Endpoint {
    /// Whether it stands for every address of one family or both.
    pub fn is_about_every_address(&self) -> bool {
        match &self.address {
            Address::Bare | Address::Every => true,
            Address::Ip(ip, _) => portwise_model::is_unspecified(*ip),
            Address::Name(_) => false,
        }
    }

    /// The addresses to ask about. `only` keeps one family of a name and chooses the one of a
    /// bare port; `resolve` turns a name into addresses.
    pub fn targets(
        &self,
        only: Option<Family>,
        resolve: impl FnOnce(&str) -> Result<Vec<IpAddr>, String>,
    ) -> Result<Vec<Target>, String> {
        match &self.address {
            Address::Ip(ip, zone) => Ok(vec![Target::new(self, *ip, zone.clone())]),
            Address::Bare | Address::Every => {
                let family = only.unwrap_or(Family::Inet6);
                let mut target = Target::new(self, family.unspecified(), None);
                target.about_port = self.address == Address::Bare;
                if only.is_none() {
                    target.shown = format!("*:{}", self.port);
                    target.dual_stack = Some(true);
                }
                Ok(vec![target])
            }
            Address::Name(name) => {
                let ips = resolve(name)?;
                let wanted = |ip: &IpAddr| only.is_none_or(|family| Family::of(*ip) == family);
                let targets: Vec<_> =
                    ips.into_iter().filter(wanted).map(|ip| Target::new(self, ip, None)).collect();
                if targets.is_empty() {
                    return Err(format!("`{name}` has no address of the family asked for"));
                }
                Ok(targets)
            }
        }
    }
}
