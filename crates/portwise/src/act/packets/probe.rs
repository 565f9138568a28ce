//! One packet, and where it ends.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use portwise_model::Protocol;
use portwise_sys::sock::{Address, Socket};

use super::{
    random::Random,
    world::{Open, World},
};
use crate::{
    Trouble,
    endpoint::{Target, shown},
    reach::From,
};

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    from: IpAddr,
    place: Place,
    to: SocketAddr,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Far,
    Near,
    Here,
}

/// Where it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    /// At the socket with this inode.
    Accepted(u64),
    /// At another host.
    Forwarded,
    /// The client was told.
    Refused,
    /// Nowhere that could be seen.
    Silent,
}

const FROM4: &[(&str, Place)] = &[
    ("192.0.2.9", Place::Far),
    ("198.51.100.7", Place::Far),
    ("198.51.100.7", Place::Far),
    ("10.77.1.2", Place::Near),
    ("10.77.1.2", Place::Near),
    ("127.0.0.1", Place::Here),
    ("192.0.2.10", Place::Here),
    ("10.77.1.1", Place::Here),
];
const FROM6: &[(&str, Place)] = &[
    ("2001:db8:1::9", Place::Far),
    ("2001:db8:99::7", Place::Far),
    ("fd77:1::2", Place::Near),
    ("::1", Place::Here),
    ("fd77:1::1", Place::Here),
];
const PORTS: &[u16] = &[22, 80, 80, 6379, 8080, 53, 53, 123, 5353, 1000, 2000, 9999];

impl Probe {
    /// A packet that could occur.
    pub(super) fn random(random: &mut Random) -> Probe {
        let list = if random.chance(2, 3) { FROM4 } else { FROM6 };
        let (from, place) = list[random.below(list.len())];
        let v4 = std::ptr::eq(list, FROM4);
        let own = if v4 { ["192.0.2.10", "10.77.1.1"] } else { ["2001:db8:1::10", "fd77:1::1"] };
        let near = if v4 { "10.77.1.2" } else { "fd77:1::2" };
        let far = if v4 { "192.0.2.9" } else { "2001:db8:1::9" };
        let to = match (place, random.below(4)) {
            (Place::Far, 0) => near,
            (Place::Near, 0) => far,
            (Place::Here, 0) => near,
            (Place::Here, 1) if v4 => "127.0.0.1",
            (Place::Here, 1) => "::1",
            _ => own[random.below(2)],
        };
        let to: IpAddr = to.parse().expect("an address written here");
        let port = PORTS[random.below(PORTS.len())];
        let protocol = if random.chance(2, 3) { Protocol::Tcp } else { Protocol::Udp };
        let from = from.parse().expect("an address written here");
        Probe { from, place, to: (to, port).into(), protocol }
    }

    fn device(&self) -> &'static str {
        match self.place {
            Place::Far => "wan",
            Place::Near => "lan",
            Place::Here => "lo",
        }
    }

    /// The vantage, as it is asked for.
    pub(super) fn from(&self) -> From {
        From { ip: self.from, device: Some(self.device().into()) }
    }

    /// The endpoint, as it is asked for.
    pub(super) fn target(&self) -> Target {
        Target {
            shown: shown(self.to.ip(), None, self.to.port()),
            ip: self.to.ip(),
            zone: None,
            dual_stack: None,
            port: self.to.port(),
            protocol: self.protocol,
            about_port: false,
        }
    }

    /// Sends it and looks where it ends, for as long as it takes or `patience` lasts.
    ///
    /// # Errors
    /// If it cannot be sent for a reason that is not the network's.
    pub(super) fn send(&self, world: &World, patience: Duration) -> Result<Observed, Trouble> {
        let trouble = |e: portwise_sys::Errno| Trouble::new(format!("{self}: {e}"));
        for sniffer in &world.sniffers {
            drain(sniffer, |_| ());
        }
        for open in &world.open {
            while took(open) {}
        }
        let make = || -> Result<(Socket, bool), portwise_sys::Errno> {
            const NONBLOCK: i32 = 0o4000;
            let family = if self.from.is_ipv4() { 2 } else { 10 };
            let kind = if self.protocol == Protocol::Tcp { 1 } else { 2 };
            let socket = Socket::new(family, kind | NONBLOCK, 0)?;
            socket.bind(&Address::new((self.from, 0).into()))?;
            // Every ICMP error counts, also while `connect` is under way.
            let (level, option) = if self.from.is_ipv4() { (0, 11) } else { (41, 25) };
            socket.set_raw(level, option, &1i32.to_ne_bytes())?;
            let connected = socket.connect(&Address::new(self.to));
            let failed = match (self.protocol, connected) {
                (Protocol::Udp, Ok(())) => socket.send(b"portwise").is_err(),
                (Protocol::Tcp, Err(portwise_sys::Errno::EINPROGRESS)) => false,
                (_, result) => result.is_err(),
            };
            Ok((socket, failed))
        };
        let there = match self.place {
            Place::Far => Some(&world.far),
            Place::Near => Some(&world.near),
            Place::Here => None,
        };
        let (client, failed) = match there {
            Some(there) => world.at(there, make)?,
            None => make(),
        }
        .map_err(trouble)?;
        let observed = self.watch(world, &client, failed, patience);
        // A reset ends what is left of the connection at once.
        let _ = client.set_linger(Some(0));
        Ok(observed)
    }

    fn watch(&self, world: &World, client: &Socket, failed: bool, patience: Duration) -> Observed {
        let end = Instant::now() + patience;
        let mut forwarded = false;
        loop {
            for open in &world.open {
                if open.wanted.is_tcp() == (self.protocol == Protocol::Tcp) && took(open) {
                    return Observed::Accepted(open.inode);
                }
            }
            for (at, sniffer) in world.sniffers.iter().enumerate() {
                drain(sniffer, |bytes| {
                    // The client's own copy has not been forwarded yet.
                    let left = if self.place == Place::Here { 64 } else { 63 };
                    forwarded |= first(bytes) == Some((self.protocol, left)) && at < 2;
                });
            }
            if forwarded {
                return Observed::Forwarded;
            }
            // A packet that did not leave its sender is not refused by anybody, whatever it hears.
            if failed && self.place == Place::Here && self.protocol == Protocol::Udp {
                return Observed::Silent;
            }
            // Without events asked for, only errors are told of.
            if client.wait(0, Duration::ZERO).unwrap_or(false) {
                return Observed::Refused;
            }
            if failed || Instant::now() >= end {
                return Observed::Silent;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = shown(self.to.ip(), None, self.to.port());
        write!(f, "{}%{} to {to}/{}", self.from, self.device(), self.protocol.name())
    }
}

/// Takes what a socket got; whether it got anything.
fn took(open: &Open) -> bool {
    if open.wanted.is_tcp() {
        return open.socket.accept().map(|(socket, _)| socket.set_linger(Some(0))).is_ok();
    }
    open.socket.recv(&mut [0; 64]).is_ok()
}

fn drain(sniffer: &Socket, mut each: impl FnMut(&[u8])) {
    let mut buffer = [0; 256];
    while let Ok(length) = sniffer.recv(&mut buffer) {
        each(&buffer[..length.min(buffer.len())]);
    }
}

/// The protocol and the hops left of a first packet, if it is one of this probe.
fn first(bytes: &[u8]) -> Option<(Protocol, u8)> {
    let (protocol, hops, rest) = match bytes.first()? >> 4 {
        4 => (*bytes.get(9)?, *bytes.get(8)?, bytes.get(20..)?),
        6 => (*bytes.get(6)?, *bytes.get(7)?, bytes.get(40..)?),
        _ => return None,
    };
    match protocol {
        6 if rest.get(13)? & 0x17 == 0x02 => Some((Protocol::Tcp, hops)),
        17 if rest.get(8..16)? == b"portwise" => Some((Protocol::Udp, hops)),
        _ => None,
    }
}
