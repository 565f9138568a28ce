//! The packet on its way, and the connection it belongs to.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::net::IpAddr;

use super::{Bytes, Header, Port, Seen};
use crate::{Family, Protocol, SocketId};

/// How connection tracking sees a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tracking {
    /// It has not seen it yet.
    Unseen,
    /// It was told to leave it alone.
    Untracked,
    /// The first packet of a connection.
    New,
    /// A later one, in the direction of the first one or the other.
    Established {
        /// Whether it goes the other way.
        reply: bool,
    },
    /// An error message about one.
    Related {
        /// Whether it goes the other way.
        reply: bool,
    },
}

/// A pair of addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Source port.
    pub sport: Port,
    /// Destination address.
    pub dst: IpAddr,
    /// Destination port.
    pub dport: Port,
}

impl Tuple {
    /// The other way round.
    pub const fn turned(self) -> Tuple {
        Tuple { src: self.dst, sport: self.dport, dst: self.src, dport: self.sport }
    }
}

/// What connection tracking remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connection {
    /// The addresses of the first packet as it came.
    pub original: Tuple,
    /// The addresses of answers, that is, those of the first packet as it left, turned.
    pub reply: Tuple,
    /// `ct mark`.
    pub mark: u32,
    /// `ct zone`.
    pub zone: u16,
    /// Whether it was decided if the destination is rewritten.
    pub dnat_done: bool,
    /// Whether it was decided if the source is rewritten.
    pub snat_done: bool,
    /// Whether the destination was rewritten.
    pub dnat: bool,
    /// Whether the source was rewritten.
    pub snat: bool,
}

/// The user and group of the socket that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The user; `None` if that is not known.
    pub uid: Option<u32>,
    /// The group; `None` if that is not known.
    pub gid: Option<u32>,
}

/// A TCP segment or UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Packet {
    /// The protocol.
    pub protocol: Protocol,
    /// Its addresses and ports, as they are now.
    pub tuple: Tuple,
    /// The flags of TCP.
    pub flags: u8,
    /// Type and code, if it is an ICMP or ICMPv6 message about such a packet.
    pub icmp: Option<(u8, u8)>,
    /// The device it came in by; 0 if it was made here.
    pub iif: u32,
    /// The device it leaves by; 0 if that is not decided.
    pub oif: u32,
    /// The port of a bridge it came in by; 0 if none.
    pub phys_in: u32,
    /// The port of a bridge it leaves by; 0 if none.
    pub phys_out: u32,
    /// Its mark.
    pub mark: u32,
    /// How connection tracking sees it.
    pub tracking: Tracking,
    /// How it will, once it has seen it. Untracked: what it answers was not tracked.
    pub becomes: Tracking,
    /// The zone it is looked up in.
    pub zone: u16,
    /// Whether a rule said so: then it is tracked.
    pub zoned: bool,
    /// Its connection.
    pub connection: Connection,
    /// Whose socket sends it, if it was made here.
    pub owner: Option<Owner>,
    /// Its type of service (IPv4) or traffic class (IPv6).
    pub tos: u8,
    /// Whether it was made on this host, so that its hop limit is known.
    pub local: bool,
    /// `PACKET_HOST` 0, `PACKET_BROADCAST` 1, `PACKET_MULTICAST` 2.
    pub kind: u8,
    /// Each time that a rule made the kernel route it again: with which mark and addresses.
    pub route_again: Vec<(u32, Tuple)>,
    /// The socket that a transparent proxy rule gave it to.
    pub given_to: Option<Seen>,
    /// The handshake that it completes: its listener, and the addresses it has there.
    pub half_open: Option<(SocketId, Tuple)>,
    /// What rules put into sets on the way, by set.
    pub added: BTreeSet<(usize, Vec<u8>)>,
    /// The sets of ipset that rules changed on the way.
    pub changed_ipsets: BTreeSet<u16>,
}

/// SYN.
pub const SYN: u8 = 0x02;
/// RST.
pub const RST: u8 = 0x04;
/// ACK.
pub const ACK: u8 = 0x10;

impl Packet {
    /// The first packet of a connection or exchange.
    pub fn first(protocol: Protocol, tuple: Tuple) -> Packet {
        let flags = if protocol == Protocol::Tcp { SYN } else { 0 };
        let connection = Connection {
            original: tuple,
            reply: tuple.turned(),
            mark: 0,
            zone: 0,
            dnat_done: false,
            snat_done: false,
            dnat: false,
            snat: false,
        };
        Packet {
            protocol,
            tuple,
            flags,
            icmp: None,
            iif: 0,
            oif: 0,
            phys_in: 0,
            phys_out: 0,
            mark: 0,
            tracking: Tracking::Unseen,
            becomes: Tracking::New,
            zone: 0,
            zoned: false,
            connection,
            owner: None,
            tos: 0,
            local: false,
            kind: 0,
            route_again: Vec::new(),
            given_to: None,
            half_open: None,
            added: BTreeSet::new(),
            changed_ipsets: BTreeSet::new(),
        }
    }

    /// Whether it is IPv6.
    pub fn is_v6(&self) -> bool {
        self.tuple.dst.is_ipv6()
    }

    /// Its family.
    pub fn family(&self) -> Family {
        Family::of(self.tuple.dst)
    }

    /// The number of its protocol.
    pub const fn protocol_number(&self) -> u8 {
        match (self.icmp, self.protocol) {
            (Some(_), _) if matches!(self.tuple.dst, IpAddr::V6(_)) => 58,
            (Some(_), _) => 1,
            (None, Protocol::Tcp) => 6,
            (None, Protocol::Udp) => 17,
        }
    }

    /// Whether it is a TCP segment.
    pub const fn is_tcp(&self) -> bool {
        matches!((self.icmp, self.protocol), (None, Protocol::Tcp))
    }

    /// Whether connection tracking knows its connection.
    pub const fn is_tracked(&self) -> bool {
        !matches!(self.tracking, Tracking::Unseen | Tracking::Untracked)
    }

    /// Whether it goes in the direction of answers.
    pub const fn is_reply(&self) -> bool {
        matches!(
            self.tracking,
            Tracking::Established { reply: true } | Tracking::Related { reply: true }
        )
    }

    /// Some bytes of a header. `None` where the packet has none.
    pub fn bytes(&self, base: Header, offset: u16, len: u8) -> Option<Bytes> {
        let header = match base {
            Header::Link => return Some(Bytes::unknown(len.into(), "the hardware addresses")),
            Header::Network => self.network_header(),
            Header::Transport => self.transport_header(),
            Header::Inner if self.is_tcp() && self.flags & SYN != 0 => {
                return None;
            }
            Header::Inner => return Some(Bytes::unknown(len.into(), "the packet's content")),
        };
        let (offset, len) = (usize::from(offset), usize::from(len));
        if offset + len <= header.value.len() {
            let part = header.part(offset, len);
            let field = if base == Header::Network { self.field(offset) } else { None };
            return Some(match field {
                Some(why) if part.all().is_none() => Bytes { why: why.into(), ..part },
                _ => part,
            });
        }
        Some(Bytes::unknown(len, "options of the client's packet"))
    }

    /// What is not known at an offset of the IP header.
    fn field(&self, offset: usize) -> Option<&'static str> {
        Some(match (self.is_v6(), offset) {
            (false, 2 | 3) | (true, 4 | 5) => "the packet's length",
            (false, 4 | 5) => "the packet's identification",
            (false, 6 | 7) => "whether the packet may be fragmented",
            (false, 8) | (true, 7) => "the packet's TTL",
            (true, 0..4) => "the packet's flow label",
            _ => return None,
        })
    }

    fn network_header(&self) -> Bytes {
        let hops =
            if self.local { Bytes::exact(&[64]) } else { Bytes::unknown(1, "the packet's TTL") };
        let next = Bytes::exact(&[self.protocol_number()]);
        let mut header;
        match (self.tuple.src, self.tuple.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                header = Bytes::exact(&[0x45, self.tos]);
                header.push(&Bytes::unknown(2, "the packet's length"));
                header.push(&Bytes::unknown(2, "the packet's identification"));
                // Whether it may be fragmented is the sender's choice; it is no fragment.
                header.push(&Bytes {
                    known: vec![0xbf, 0xff],
                    ..Bytes::unknown(2, "whether the packet may be fragmented")
                });
                header.push(&hops);
                header.push(&next);
                header.push(&Bytes::unknown(2, "the packet's checksum"));
                header.push(&Bytes::exact(&src.octets()));
                header.push(&Bytes::exact(&dst.octets()));
            }
            (src, dst) => {
                header = Bytes::exact(&[0x60 | self.tos >> 4]);
                header.push(&Bytes {
                    value: vec![self.tos << 4, 0, 0],
                    known: vec![0xf0, 0, 0],
                    ..Bytes::unknown(3, "the packet's flow label")
                });
                header.push(&Bytes::unknown(2, "the packet's length"));
                header.push(&next);
                header.push(&hops);
                header.push(&Bytes::exact(&v6(src)));
                header.push(&Bytes::exact(&v6(dst)));
            }
        }
        header
    }

    fn transport_header(&self) -> Bytes {
        if let Some((kind, code)) = self.icmp {
            let mut header = Bytes::exact(&[kind, code]);
            header.push(&Bytes::unknown(6, "the packet's checksum"));
            return header;
        }
        let mut header = Bytes::port(self.tuple.sport);
        let destination = Bytes::port(self.tuple.dport);
        header.push(&destination);
        if self.protocol == Protocol::Udp {
            header.push(&Bytes::unknown(4, "the packet's length"));
            return header;
        }
        header.push(&Bytes::unknown(4, "the packet's sequence number"));
        if self.flags & ACK == 0 {
            header.push(&Bytes::exact(&[0; 4]));
        } else {
            header.push(&Bytes::unknown(4, "the packet's acknowledgement number"));
        }
        header.push(&Bytes::unknown(1, "the client's TCP options"));
        header.push(&Bytes::exact(&[self.flags]));
        header.push(&Bytes::unknown(4, "the client's TCP window"));
        header.push(&Bytes::exact(&[0; 2]));
        header
    }

    /// Writes bytes into a header. `false` if they do not stand for anything that is modelled.
    pub fn set_bytes(&mut self, base: Header, offset: u16, bytes: &[u8]) -> bool {
        let v6 = self.is_v6();
        match (base, offset, bytes.len()) {
            (Header::Transport, 0, 2) => self.tuple.sport = port(bytes),
            (Header::Transport, 2, 2) => self.tuple.dport = port(bytes),
            (Header::Network, 12, 4) if !v6 => return address(&mut self.tuple.src, bytes),
            (Header::Network, 16, 4) if !v6 => return address(&mut self.tuple.dst, bytes),
            (Header::Network, 8, 16) if v6 => return address(&mut self.tuple.src, bytes),
            (Header::Network, 24, 16) if v6 => return address(&mut self.tuple.dst, bytes),
            (Header::Network, 0, 2) if v6 => self.tos = bytes[0] << 4 | bytes[1] >> 4,
            (Header::Network, 0, 2) => self.tos = bytes[1],
            (Header::Network, 1, 1) if !v6 => self.tos = bytes[0],
            // The identification, the hop limit: nothing here asks again.
            (Header::Network, 2..=11, _) if !v6 => {}
            (Header::Network, 2..=7, _) if v6 => {}
            (Header::Link, _, _) => {}
            _ => return false,
        }
        true
    }
}

fn port(bytes: &[u8]) -> Port {
    Port::Exact(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
    }
}

fn address(slot: &mut IpAddr, bytes: &[u8]) -> bool {
    match ip_of(bytes) {
        Some(ip) => *slot = ip,
        None => return false,
    }
    true
}

/// The address that 4 or 16 bytes in network order stand for.
pub fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
