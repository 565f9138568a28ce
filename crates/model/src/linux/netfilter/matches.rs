//! The matches of iptables.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::{
    Conntrack, DeviceName, End, IpHeader, Match, Packet, Port, Tracking, Tri, Walk,
    ipset::{self, Shown},
    meta::{address_type, type_number},
    value::CLIENT_PORT,
};
use crate::linux::route::{self, Flow, RouteType, Routed};

impl Walk<'_, '_> {
    fn name(&self, index: u32) -> &str {
        self.env.network.device(index).map_or("", |device| &device.name)
    }

    /// Whether a match of iptables holds.
    pub(super) fn matches(&self, wanted: &Match, packet: &Packet) -> Tri {
        match wanted {
            Match::Nothing => Tri::Yes,
            Match::Never => Tri::No,
            Match::Depends(why) => Tri::Depends(why.clone()),
            Match::Ip(header) => self.header(header, packet),
            Match::Ports { tcp, src, dst, flags, option } => ports(packet, *tcp, *src, *dst)
                .and(|| match flags {
                    None => Tri::Yes,
                    Some((mask, wanted, negated)) => {
                        Tri::from(packet.flags & mask == *wanted).negated(*negated)
                    }
                })
                .and(|| match option {
                    false => Tri::Yes,
                    true => Tri::Depends("the client's TCP options".into()),
                }),
            Match::Icmp { kind, code, negated } => Tri::from(packet.icmp.is_some_and(|(k, c)| {
                let is = (*kind == 255 || k == *kind) && (code.0..=code.1).contains(&c);
                is != *negated
            })),
            Match::Conntrack(wanted) => conntrack(wanted, packet),
            Match::State(mask) => Tri::from(state_bit(packet.tracking, 64) & mask != 0),
            Match::AddrType { src, dst, iif, oif } => {
                self.address_types(*src, *dst, *iif, *oif, packet)
            }
            Match::Multiport { end, ranges, negated } => {
                multiport(*end, ranges, packet).negated(*negated)
            }
            Match::Mark { mark, mask, negated } => {
                Tri::from(packet.mark & mask == *mark).negated(*negated)
            }
            Match::Connmark { mark, mask, negated } => {
                let is = packet.is_tracked() && packet.connection.mark & mask == *mark;
                Tri::from(packet.is_tracked()).and(|| Tri::from(is).negated(*negated))
            }
            Match::Owner { uid, gid, exists } => owner(packet, *uid, *gid, *exists),
            Match::Set { set, src, negated } => self.in_set(*set, src, packet).negated(*negated),
            Match::IpRange { src, dst } => {
                Tri::from(in_range(*src, packet.tuple.src) && in_range(*dst, packet.tuple.dst))
            }
            Match::Physdev { .. } => self.physdev(wanted, packet),
            Match::PktType { kind, negated } => Tri::from(packet.kind == *kind).negated(*negated),
            Match::Ttl { op, value } => {
                let at = if packet.is_v6() { 7 } else { 8 };
                match packet.bytes(super::Header::Network, at, 1) {
                    Some(ttl) => ttl.compare(*op, &[*value]),
                    None => Tri::No,
                }
            }
            Match::Tos { mask, value, negated } => {
                Tri::from(packet.tos & mask == *value).negated(*negated)
            }
            Match::Socket { transparent, nowildcard, .. } => {
                let seen = self.socket_of(packet);
                Tri::from(seen.is_some_and(|seen| {
                    (*nowildcard || !seen.wildcard) && (!transparent || seen.transparent)
                }))
            }
            Match::RpFilter { loose, mark, accept_local, inverted } => {
                self.rpfilter(*loose, *mark, *accept_local, packet).negated(*inverted)
            }
            Match::Policy { ipsec } => Tri::from(!ipsec),
            Match::DevGroup { iif, oif } => {
                let group = |index| self.env.network.device(index).map_or(0, |d| d.group);
                let is = |wanted: &Option<(u32, u32, bool)>, index| match wanted {
                    None => true,
                    Some((value, mask, negated)) => ((group(index) & mask) == *value) != *negated,
                };
                Tri::from(is(iif, packet.iif) && is(oif, packet.oif))
            }
            Match::Mac { addr, negated } => self.mac(addr, packet).negated(*negated),
        }
    }

    /// `-m socket --restore-skmark`.
    pub(super) fn restore_mark(&mut self, wanted: &Match, packet: &mut Packet) {
        if let Match::Socket { restore_mark: true, .. } = wanted {
            let seen = self.socket_of(packet);
            if seen.is_some_and(|seen| !seen.full) {
                return;
            }
            // Few sockets have one, and it is told to the administrator only.
            packet.mark = 0;
        }
    }

    fn header(&self, header: &IpHeader, packet: &Packet) -> Tri {
        let tuple = packet.tuple;
        let ip = |wanted: &Option<(IpAddr, IpAddr, bool)>, ip: IpAddr| match wanted {
            None => true,
            Some((net, mask, negated)) => same_under(*net, *mask, ip) != *negated,
        };
        let device = |wanted: &Option<(DeviceName, bool)>, index: u32| match wanted {
            None => true,
            Some((name, negated)) => name.is(self.name(index)) != *negated,
        };
        let protocol = header
            .protocol
            .is_none_or(|(wanted, negated)| (wanted == packet.protocol_number()) != negated);
        Tri::from(
            ip(&header.src, tuple.src)
                && ip(&header.dst, tuple.dst)
                && device(&header.iif, packet.iif)
                && device(&header.oif, packet.oif)
                && protocol
                && header.fragment.is_none_or(|negated| negated),
        )
    }

    fn address_types(
        &self,
        src: Option<(u16, bool)>,
        dst: Option<(u16, bool)>,
        iif: bool,
        oif: bool,
        packet: &Packet,
    ) -> Tri {
        let device = match (iif, oif) {
            (true, _) => packet.iif,
            (_, true) => packet.oif,
            _ => 0,
        };
        let is = |wanted: Option<(u16, bool)>, ip: IpAddr| {
            let Some((mask, negated)) = wanted else { return true };
            let kind = match ip {
                IpAddr::V6(v6) if v6.is_multicast() => RouteType::Multicast,
                IpAddr::V6(v6) if v6.is_unspecified() => return (mask & 1 != 0) != negated,
                _ => address_type(self.env.network, ip, device),
            };
            let mut bits = 1u16 << type_number(kind);
            // IPv6 knows fewer types: what is reached is unicast.
            if ip.is_ipv6() && kind != RouteType::Multicast && kind != RouteType::Unreachable {
                bits |= 1 << 1;
            }
            (mask & bits != 0) != negated
        };
        Tri::from(is(src, packet.tuple.src) && is(dst, packet.tuple.dst))
    }

    fn in_set(&self, set: u16, src: &[bool], packet: &Packet) -> Tri {
        if packet.changed_ipsets.contains(&set) {
            return Tri::Depends("a set that a rule before changed".into());
        }
        let tuple = packet.tuple;
        let shown: Vec<Shown<'_>> = src
            .iter()
            .map(|&is_src| Shown {
                ip: if is_src { tuple.src } else { tuple.dst },
                port: if is_src { tuple.sport } else { tuple.dport },
                protocol: packet.protocol_number(),
                device: self.name(if is_src { packet.iif } else { packet.oif }),
                mark: packet.mark,
            })
            .collect();
        ipset::contains(&self.env.rules.ipsets, set, &shown, 0)
    }

    fn physdev(&self, wanted: &Match, packet: &Packet) -> Tri {
        let Match::Physdev { iif, oif, is_in, is_out, is_bridged } = wanted else { return Tri::No };
        let bridge = |index| self.env.network.device(index).is_some_and(|d| d.kind == "bridge");
        let calls = match packet.is_v6() {
            true => self.env.network.switches.bridge_calls_ip6,
            false => self.env.network.switches.bridge_calls_ip,
        };
        // Without the bridge module no packet has a physical device.
        let known_in = packet.phys_in != 0 || !calls || !bridge(packet.iif);
        let phys = |index: u32| if calls { index } else { 0 };
        let flag = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        let open = || Tri::Depends("the port of the bridge".into());
        let has_in = if known_in { phys(packet.phys_in) != 0 } else { true };
        let named = |wanted: &Option<(DeviceName, bool)>, index: u32| match wanted {
            None => Tri::Yes,
            Some((name, negated)) => Tri::from(name.is(self.name(phys(index)))).negated(*negated),
        };
        Tri::from(
            flag(*is_in, has_in)
                && flag(*is_out, phys(packet.phys_out) != 0)
                && flag(*is_bridged, phys(packet.phys_out) != 0 && has_in),
        )
        .and(|| if known_in || iif.is_none() { named(iif, packet.phys_in) } else { open() })
        .and(|| named(oif, packet.phys_out))
    }

    fn rpfilter(&self, loose: bool, mark: bool, accept_local: bool, packet: &Packet) -> Tri {
        let network = self.env.network;
        let Some(device) = network.device(packet.iif) else { return Tri::Yes };
        if device.loopback {
            return Tri::Yes;
        }
        let lo = network.loopback().map_or(1, |lo| lo.index);
        let is_v6 = packet.is_v6();
        let flow = Flow {
            dst: packet.tuple.src,
            src: Some(packet.tuple.dst),
            iif: lo,
            oif: if is_v6 && !loose { device.index } else { 0 },
            mark: if mark { packet.mark } else { 0 },
            protocol: packet.protocol_number(),
            ports: None,
            uid: Some(0),
        };
        let route = match route::lookup(network, &flow) {
            Routed::By(route) => route,
            Routed::Depends(why) => return Tri::Depends(why),
            _ => return Tri::No,
        };
        match route.kind {
            RouteType::Unicast => {}
            RouteType::Local if accept_local => {}
            _ => return Tri::No,
        }
        Tri::from(loose || route.ways(0).any(|hop| hop.device == device.index))
    }

    fn mac(&self, addr: &[u8; 6], packet: &Packet) -> Tri {
        let network = self.env.network;
        let Some(device) = network.device(packet.iif) else { return Tri::No };
        if device.loopback {
            return Tri::No;
        }
        let known =
            network.neighbours.iter().find(|n| n.0 == packet.tuple.src && n.1 == device.index);
        match known {
            Some((_, _, mac)) => Tri::from(mac == addr),
            None => Tri::Depends("the sender's hardware address".into()),
        }
    }
}

fn same_under(net: IpAddr, mask: IpAddr, ip: IpAddr) -> bool {
    match (net, mask, ip) {
        (IpAddr::V4(net), IpAddr::V4(mask), IpAddr::V4(ip)) => {
            (net.to_bits() ^ ip.to_bits()) & mask.to_bits() == 0
        }
        (IpAddr::V6(net), IpAddr::V6(mask), IpAddr::V6(ip)) => {
            (net.to_bits() ^ ip.to_bits()) & mask.to_bits() == 0
        }
        _ => false,
    }
}

fn in_range(range: Option<(IpAddr, IpAddr, bool)>, ip: IpAddr) -> bool {
    range.is_none_or(|(low, high, negated)| (low <= ip && ip <= high) != negated)
}

fn ports(packet: &Packet, tcp: bool, src: (u16, u16, bool), dst: (u16, u16, bool)) -> Tri {
    let is = Tri::from(packet.icmp.is_none() && packet.is_tcp() == tcp);
    let port = |(low, high, negated): (u16, u16, bool), port: Port| {
        port.within(low, high).negated(negated)
    };
    // Every port, port 0 too.
    let every =
        |(low, high, negated): (u16, u16, bool)| (low, high, negated) == (0, u16::MAX, false);
    is.and(|| if every(src) { Tri::Yes } else { port(src, packet.tuple.sport) })
        .and(|| if every(dst) { Tri::Yes } else { port(dst, packet.tuple.dport) })
}

fn multiport(end: End, ranges: &[(u16, u16)], packet: &Packet) -> Tri {
    if packet.icmp.is_some() {
        return Tri::No;
    }
    let mut any = Tri::No;
    for &(low, high) in ranges {
        let src = || packet.tuple.sport.within(low, high);
        let dst = || packet.tuple.dport.within(low, high);
        any = any.or(|| match end {
            End::Src => src(),
            End::Dst => dst(),
            End::Either => src().or(dst),
        });
    }
    match any {
        Tri::Depends(_) => Tri::Depends(CLIENT_PORT),
        any => any,
    }
}

/// The bit of a state in matches; they number "untracked" differently.
const fn state_bit(tracking: Tracking, untracked: u32) -> u32 {
    match tracking {
        Tracking::Unseen => 1,
        Tracking::Established { .. } => 2,
        Tracking::Related { .. } => 4,
        Tracking::New => 8,
        Tracking::Untracked => untracked,
    }
}

fn conntrack(wanted: &Conntrack, packet: &Packet) -> Tri {
    const UNTRACKED: u32 = 256;
    const SNAT: u32 = 64;
    const DNAT: u32 = 128;
    let connection = &packet.connection;
    if let Some((mask, negated)) = wanted.state {
        let mut bits = state_bit(packet.tracking, UNTRACKED);
        if packet.is_tracked() {
            bits |= if connection.snat { SNAT } else { 0 } | if connection.dnat { DNAT } else { 0 };
        }
        if (bits & mask != 0) == negated {
            return Tri::No;
        }
    }
    if !packet.is_tracked() {
        return Tri::from(wanted.state.is_some());
    }
    let plain = wanted
        .protocol
        .is_none_or(|(protocol, negated)| (protocol == packet.protocol_number()) != negated)
        && wanted.reply.is_none_or(|reply| reply == packet.is_reply());
    let mut all = Tri::from(plain);
    let tuple = |reply| if reply { connection.reply } else { connection.original };
    for &(reply, is_src, net, mask, negated) in &wanted.addrs {
        let ip = if is_src { tuple(reply).src } else { tuple(reply).dst };
        all = all.and(|| Tri::from(same_under(net, mask, ip)).negated(negated));
    }
    for &(reply, is_src, low, high, negated) in &wanted.ports {
        let port = if is_src { tuple(reply).sport } else { tuple(reply).dport };
        all = all.and(|| port.within(low, high).negated(negated));
    }
    if let Some((mask, negated)) = wanted.status {
        let bytes = super::meta::ct(super::Ct::Status, None, 4, packet);
        let under = bytes.map(|bytes| bytes.masked(&mask.to_ne_bytes(), &[0; 4]));
        let none = under.map_or(Tri::Yes, |bytes| bytes.equals(&[0; 4]));
        all = all.and(|| (!none).negated(negated));
    }
    if wanted.expires {
        all = all.and(|| Tri::Depends("how long the connection is remembered".into()));
    }
    all
}

fn owner(
    packet: &Packet,
    uid: Option<(u32, u32, bool)>,
    gid: Option<(u32, u32, bool)>,
    exists: Option<bool>,
) -> Tri {
    let Some(owner) = packet.owner else {
        // Without a socket only what is negated holds.
        let negated = |wanted: Option<(u32, u32, bool)>| wanted.is_none_or(|(_, _, n)| n);
        return Tri::from(negated(uid) && negated(gid) && exists != Some(true));
    };
    let id =
        |wanted: Option<(u32, u32, bool)>, is: Option<u32>, why: &'static str| match (wanted, is) {
            (None, _) => Tri::Yes,
            (Some((low, high, negated)), Some(id)) => {
                Tri::from((low..=high).contains(&id)).negated(negated)
            }
            (Some(_), None) => Tri::Depends(why.into()),
        };
    Tri::from(exists != Some(false))
        .and(|| id(uid, owner.uid, "the user who sends"))
        .and(|| id(gid, owner.gid, "the group of who sends"))
}
