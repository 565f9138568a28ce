//! Addresses and ports rewritten.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    At, Bytes, Doubt, Hook, NatKind, NatRange, NatRegs, Packet, Port, Tracking, Walk,
    eval::{How, Met, Next},
    ip_of,
    value::Registers,
};
use crate::{Text, linux::route::Network};

/// Up to so many addresses or ports of a range are tried one by one.
const MOST_CHOICES: u32 = 32;

/// What an address and a port become.
#[derive(Clone, Debug, Default)]
pub(super) struct To {
    addr: Option<(IpAddr, IpAddr)>,
    port: Option<(u16, u16)>,
    /// The host part of the address stays.
    netmap: bool,
    /// Why it cannot be told.
    open: Option<Text>,
}

impl To {
    /// What registers say.
    pub(super) fn registers(regs: &NatRegs, is_v6: bool, registers: &Registers) -> To {
        let width = if is_v6 { 16 } else { 4 };
        let mut to = To { netmap: regs.netmap, ..To::default() };
        let mut get = |reg: u8, len: usize| {
            let bytes: Bytes = registers.load(reg, len);
            let exact = bytes.all().map(<[u8]>::to_vec);
            if exact.is_none() {
                to.open = Some(bytes.why);
            }
            exact
        };
        let addr = regs.addr.map(|(low, high)| (get(low, width), get(high, width)));
        let port = regs.port.map(|(low, high)| (get(low, 2), get(high, 2)));
        if let Some((Some(low), Some(high))) = addr {
            to.addr = ip_of(&low).zip(ip_of(&high));
        }
        if let Some((Some(low), Some(high))) = port {
            let number = |b: &[u8]| u16::from_be_bytes([b[0], b[1]]);
            to.port = Some((number(&low), number(&high)));
        }
        to
    }

    /// What a range of iptables says.
    pub(super) fn range(range: &NatRange) -> To {
        To { addr: range.addr, port: range.port, ..To::default() }
    }

    /// That the network part becomes that of `low`, as far as it is the same in `high`.
    pub(super) fn netmap(addr: (IpAddr, IpAddr)) -> To {
        To { addr: Some(addr), netmap: true, ..To::default() }
    }
}

impl Walk<'_, '_> {
    /// Rewrites the first packet of a connection and remembers it for the others.
    pub(super) fn rewrite(
        &mut self,
        kind: NatKind,
        to: To,
        at: At,
        packet: &mut Packet,
        hook: Hook,
    ) -> Next {
        let _ = hook;
        if let Some(why) = to.open {
            let why = alloc::format!("where it is sent on to depends on {why}");
            return Next::Stop(How::Unknown(why.into()));
        }
        let (old, old_port) = match kind {
            NatKind::Dnat => (packet.tuple.dst, packet.tuple.dport),
            NatKind::Snat => (packet.tuple.src, packet.tuple.sport),
        };
        let ip = match to.addr {
            None => old,
            Some((low, high)) if to.netmap => netmapped(low, high, old),
            Some((low, high)) => match self.one_address(low, high, at) {
                Ok(ip) => ip,
                Err(why) => return Next::Stop(How::Unknown(why)),
            },
        };
        let port = match to.port {
            None => old_port,
            Some((low, high)) if low == high => Port::Exact(low),
            Some((low, high)) if old_port.exact().is_some_and(|p| (low..=high).contains(&p)) => {
                old_port
            }
            Some((low, high)) => match self.one_port(low, high, kind, at) {
                Ok(port) => port,
                Err(why) => return Next::Stop(How::Unknown(why)),
            },
        };
        let connection = &mut packet.connection;
        match kind {
            NatKind::Dnat => {
                (packet.tuple.dst, packet.tuple.dport) = (ip, port);
                (connection.reply.src, connection.reply.sport) = (ip, port);
                connection.dnat |= (ip, port) != (old, old_port);
                connection.dnat_done = true;
            }
            NatKind::Snat => {
                (packet.tuple.src, packet.tuple.sport) = (ip, port);
                (connection.reply.dst, connection.reply.dport) = (ip, port);
                connection.snat |= (ip, port) != (old, old_port);
                connection.snat_done = true;
            }
        }
        self.met.push((at, Met::Rewrote));
        Next::Verdict(super::Verdict::Accept)
    }

    fn one_address(&mut self, low: IpAddr, high: IpAddr, at: At) -> Result<IpAddr, Text> {
        const WHY: &str = "which address of the range the kernel takes";
        let (IpAddr::V4(first), IpAddr::V4(last)) = (low, high) else {
            return if low == high { Ok(low) } else { Err(WHY.into()) };
        };
        let count = last.to_bits().saturating_sub(first.to_bits()).saturating_add(1);
        if count == 1 {
            return Ok(low);
        }
        if count > MOST_CHOICES {
            return Err(WHY.into());
        }
        let doubt = Doubt { at: Some(at), why: WHY.into() };
        let chosen = u32::from(self.choices.choose(count as u16, doubt));
        Ok(Ipv4Addr::from_bits(first.to_bits() + chosen).into())
    }

    fn one_port(&mut self, low: u16, high: u16, kind: NatKind, at: At) -> Result<Port, Text> {
        const WHY: &str = "which port of the range the kernel takes";
        // Which source port an answer goes to decides nothing here.
        if kind == NatKind::Snat && low >= 1024 {
            return Ok(Port::Ephemeral);
        }
        let count = u32::from(high.saturating_sub(low)) + 1;
        if count > MOST_CHOICES {
            return Err(WHY.into());
        }
        let doubt = Doubt { at: Some(at), why: WHY.into() };
        Ok(Port::Exact(low + self.choices.choose(count as u16, doubt)))
    }

    /// Sends the packet to this host: to the device's own address, or to loopback for local ones.
    pub(super) fn redirect(&mut self, to: To, at: At, packet: &mut Packet, hook: Hook) -> Next {
        let is_v6 = packet.is_v6();
        let ip = match hook {
            Hook::Output if is_v6 => Some(Ipv6Addr::LOCALHOST.into()),
            Hook::Output => Some(Ipv4Addr::LOCALHOST.into()),
            _ => address_on(self.env.network, packet.iif, packet.tuple.dst)
                .or_else(|| first_of(self.env.network, packet.iif, is_v6)),
        };
        match ip {
            Some(ip) => {
                let to = To { addr: Some((ip, ip)), ..to };
                self.rewrite(NatKind::Dnat, to, at, packet, hook)
            }
            None => Next::Stop(How::Drop),
        }
    }

    /// Takes the address of the device it leaves by as source.
    pub(super) fn masquerade(&mut self, at: At, packet: &mut Packet, hook: Hook) -> Next {
        match source_for(self.env.network, packet.oif, packet.tuple.dst) {
            Some(ip) => {
                let to = To { addr: Some((ip, ip)), ..To::default() };
                self.rewrite(NatKind::Snat, to, at, packet, hook)
            }
            None => Next::Stop(How::Drop),
        }
    }

    /// Gives the packet to a transparent proxy. `false` if there is none.
    pub(super) fn tproxy(&mut self, ip: Option<IpAddr>, port: u16, packet: &mut Packet) -> bool {
        let tuple = packet.tuple;
        // An answer to a client of this host: it is the client's socket that is found.
        if packet.icmp.is_none() && tuple == packet.connection.original.turned() {
            return false;
        }
        let established = (self.env.find)(packet, tuple.dst, tuple.dport);
        let seen = match established.filter(|seen| seen.connected) {
            Some(seen) => Some(seen),
            None => {
                let named = ip.filter(|ip| !crate::is_unspecified(*ip));
                let own = || first_of(self.env.network, packet.iif, packet.is_v6());
                let ip = named.or_else(own).unwrap_or(tuple.dst);
                let port = if port == 0 { tuple.dport } else { Port::Exact(port) };
                (self.env.find)(packet, ip, port).filter(|seen| !seen.connected)
            }
        };
        let Some(seen) = seen.filter(|seen| seen.transparent) else { return false };
        packet.given_to = Some(seen);
        if seen.full {
            // A listener knows nothing of the handshake that the packet would complete.
            packet.half_open = None;
        }
        true
    }

    /// What NAT does at a hook with a packet of a connection it knows already.
    pub(super) fn translate(packet: &mut Packet, hook: Hook) {
        let connection = packet.connection;
        // Messages about it are changed only where its own packets were.
        if let Tracking::Related { reply } = packet.tracking {
            let is_dst = matches!(hook, Hook::Prerouting | Hook::Output);
            let was = if is_dst == reply { connection.snat } else { connection.dnat };
            if !was {
                return;
            }
        }
        let target = match packet.tracking {
            Tracking::Established { reply: true } | Tracking::Related { reply: true } => {
                connection.original.turned()
            }
            Tracking::Established { reply: false } | Tracking::New => connection.reply.turned(),
            _ => return,
        };
        match hook {
            Hook::Prerouting | Hook::Output => {
                (packet.tuple.dst, packet.tuple.dport) = (target.dst, target.dport);
            }
            Hook::Input | Hook::Postrouting => {
                (packet.tuple.src, packet.tuple.sport) = (target.src, target.sport);
            }
            _ => {}
        }
    }
}

/// The first address of a device.
fn first_of(network: &Network, device: u32, is_v6: bool) -> Option<IpAddr> {
    let mut own = network.addresses.iter().filter(|a| a.device == device);
    own.find(|a| a.ip.is_ipv6() == is_v6).map(|a| a.ip)
}

/// The address that the host has on a device, one that reaches as far as `near`.
pub(super) fn address_on(network: &Network, device: u32, near: IpAddr) -> Option<IpAddr> {
    let is_link = |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let on = network.addresses.iter().filter(|a| a.device == device);
    let mut on = on.filter(|a| a.ip.is_ipv6() == near.is_ipv6());
    on.find(|a| is_link(a.ip) == is_link(near)).map(|a| a.ip)
}

/// The source address that the kernel chooses for a packet to `to` by a device.
pub(in crate::linux) fn source_for(network: &Network, device: u32, to: IpAddr) -> Option<IpAddr> {
    match to {
        IpAddr::V4(_) => {
            let wide =
                || network.addresses.iter().filter(|a| a.ip.is_ipv4() && !a.ip.is_loopback());
            let on = || wide().filter(|a| a.device == device);
            on().find(|a| a.is_neighbour(to)).or_else(|| on().next()).or_else(|| wide().next())
        }
        IpAddr::V6(to) => {
            // RFC 6724: the same, the same scope, the same device, the same kind, most bits.
            let rank = |ip: Ipv6Addr, on: u32| {
                let scope = scope(ip) == scope(to);
                let same = (ip.to_bits() ^ to.to_bits()).leading_zeros();
                (ip == to, scope, on == device, label(ip) == label(to), same)
            };
            let rank = |a: &&crate::linux::route::Address| match a.ip {
                IpAddr::V6(ip) => Some(rank(ip, a.device)),
                IpAddr::V4(_) => None,
            };
            network.addresses.iter().filter(|a| a.ip.is_ipv6()).max_by_key(rank)
        }
    }
    .map(|a| a.ip)
}

const fn scope(ip: Ipv6Addr) -> u8 {
    if ip.is_loopback() {
        1
    } else if ip.is_unicast_link_local() {
        2
    } else {
        14
    }
}

/// The labels of the kernel's default table, as far as addresses of hosts go.
const fn label(ip: Ipv6Addr) -> u8 {
    if ip.is_loopback() {
        0
    } else if ip.is_unique_local() {
        5
    } else {
        1
    }
}

/// The address with its network part taken from `low`; where `low` and `high` differ, it stays.
fn netmapped(low: IpAddr, high: IpAddr, old: IpAddr) -> IpAddr {
    match (low, high, old) {
        (IpAddr::V4(low), IpAddr::V4(high), IpAddr::V4(old)) => {
            let mask = !(low.to_bits() ^ high.to_bits());
            Ipv4Addr::from_bits((low.to_bits() & mask) | (old.to_bits() & !mask)).into()
        }
        (IpAddr::V6(low), IpAddr::V6(high), IpAddr::V6(old)) => {
            let mask = !(low.to_bits() ^ high.to_bits());
            Ipv6Addr::from_bits((low.to_bits() & mask) | (old.to_bits() & !mask)).into()
        }
        _ => old,
    }
}
