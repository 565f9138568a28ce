//! What `meta`, `ct` and `fib` expressions look at.

use core::net::IpAddr;

use super::{Bytes, Ct, Fib, FibResult, Hook, Meta, Packet, Tracking, Walk};
use crate::linux::route::{self, Device, Flow, RouteType, Routed};

/// `IFNAMSIZ`: names are compared with their padding.
const NAME: usize = 16;

fn name(text: &str) -> Bytes {
    let mut bytes = [0; NAME];
    let len = text.len().min(NAME - 1);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    Bytes::exact(&bytes)
}

fn word(value: u32) -> Bytes {
    Bytes::exact(&value.to_ne_bytes())
}

impl Walk<'_, '_> {
    fn device_of(&self, index: u32) -> Option<&Device> {
        self.env.network.device(index)
    }

    /// The value of a `meta` expression; `None` where it does not match whatever it is compared with.
    pub(super) fn meta(&self, key: Meta, packet: &Packet) -> Option<Bytes> {
        let named = |index: u32| self.device_of(index).map_or("", |device| &device.name);
        Some(match key {
            Meta::Len => Bytes::unknown(4, "the packet's length"),
            Meta::Protocol => {
                let protocol: u16 = if packet.is_v6() { 0x86dd } else { 0x0800 };
                Bytes::exact(&protocol.to_be_bytes())
            }
            Meta::Mark => word(packet.mark),
            Meta::Iif => word(packet.iif),
            Meta::Oif => word(packet.oif),
            Meta::IifName => name(named(packet.iif)),
            Meta::OifName => name(named(packet.oif)),
            Meta::IifType => Bytes::exact(&self.device_of(packet.iif)?.hardware.to_ne_bytes()),
            Meta::OifType => Bytes::exact(&self.device_of(packet.oif)?.hardware.to_ne_bytes()),
            Meta::IifGroup => word(self.device_of(packet.iif)?.group),
            Meta::OifGroup => word(self.device_of(packet.oif)?.group),
            Meta::IifKind => kind(self.device_of(packet.iif)?)?,
            Meta::OifKind => kind(self.device_of(packet.oif)?)?,
            Meta::SkUid => match packet.owner?.uid {
                Some(uid) => word(uid),
                None => Bytes::unknown(4, "the user who sends"),
            },
            Meta::SkGid => match packet.owner?.gid {
                Some(gid) => word(gid),
                None => Bytes::unknown(4, "the group of who sends"),
            },
            Meta::NfProto => Bytes::exact(&[if packet.is_v6() { 10 } else { 2 }]),
            Meta::L4Proto => Bytes::exact(&[packet.protocol_number()]),
            Meta::PktType => Bytes::exact(&[packet.kind]),
            Meta::Priority | Meta::RtClassId | Meta::NfTrace => word(0),
            Meta::SecPath => Bytes::exact(&[0]),
            Meta::SecMark => Bytes::unknown(4, "a security mark"),
            Meta::Cpu => Bytes::unknown(4, "which processor takes it"),
            Meta::Random => Bytes::unknown(4, "chance"),
            Meta::Time => Bytes::unknown(8, "the time"),
            Meta::Cgroup => {
                packet.owner?;
                match self.env.network.switches.classes {
                    true => Bytes::unknown(4, "the sender's cgroup"),
                    false => word(0),
                }
            }
            Meta::BriIifName => name(named(self.device_of(packet.phys_in)?.master)),
            Meta::BriOifName => name(named(self.device_of(packet.phys_out)?.master)),
            Meta::Sdif => word(self.env.network.vrf_of(packet.iif).map_or(0, |vrf| vrf.index)),
            Meta::SdifName => name(self.env.network.vrf_of(packet.iif).map_or("", |vrf| &vrf.name)),
            Meta::Other(_) => Bytes::unknown(16, "something of the packet that is not known here"),
        })
    }

    /// What the routing tables say; `None` where the expression does not match.
    pub(super) fn fib(&self, fib: &Fib, packet: &Packet, hook: Hook) -> Option<Bytes> {
        let network = self.env.network;
        let asked = if fib.daddr { packet.tuple.dst } else { packet.tuple.src };
        let device = match (fib.iif, fib.oif) {
            (true, _) => packet.iif,
            (_, true) => packet.oif,
            _ => 0,
        };
        if fib.result == FibResult::Type {
            return Some(word(type_number(address_type(network, asked, device))));
        }
        let found = match self.reverse(fib, packet, hook, device) {
            Ok(index) => index,
            Err(why) => return Some(Bytes::unknown(NAME, why)),
        };
        Some(match fib.result {
            _ if fib.present => Bytes::exact(&[u8::from(found != 0)]),
            FibResult::OifName => name(self.device_of(found).map_or("", |device| &device.name)),
            _ => word(found),
        })
    }

    /// The device by which an address is reached; 0 if by none that counts.
    fn reverse(
        &self,
        fib: &Fib,
        packet: &Packet,
        hook: Hook,
        device: u32,
    ) -> Result<u32, crate::Text> {
        let network = self.env.network;
        let lo = network.loopback().map_or(1, |lo| lo.index);
        if matches!(hook, Hook::Ingress | Hook::Prerouting | Hook::Input) && packet.iif == lo {
            return Ok(lo);
        }
        let tuple = packet.tuple;
        let (dst, src) = if fib.daddr { (tuple.dst, tuple.src) } else { (tuple.src, tuple.dst) };
        let is_v6 = packet.is_v6();
        let iif = if !fib.daddr && hook == Hook::Forward && fib.iif { packet.oif } else { lo };
        let flow = Flow {
            dst,
            src: Some(src),
            iif,
            // IPv4 compares the device with the route found; IPv6 looks for a route by the device.
            oif: if is_v6 { device } else { 0 },
            mark: if fib.mark { packet.mark } else { 0 },
            protocol: packet.protocol_number(),
            ports: None,
            uid: Some(0),
        };
        let route = match route::lookup(network, &flow) {
            Routed::By(route) => route,
            Routed::Depends(why) => return Err(why),
            _ => return Ok(0),
        };
        match route.kind {
            RouteType::Local | RouteType::Anycast => return Ok(0),
            _ if device == 0 => {}
            _ if route.ways(0).any(|hop| hop.device == device) => return Ok(device),
            _ => return Ok(0),
        }
        Ok(route::first_way(route, 0).map_or(0, |hop| hop.device))
    }
}

fn kind(device: &Device) -> Option<Bytes> {
    (!device.kind.is_empty()).then(|| name(&device.kind))
}

/// What an address is to this host, as `fib … type` and `addrtype` see it.
pub(super) fn address_type(network: &route::Network, ip: IpAddr, device: u32) -> RouteType {
    let kind = route::local_type(network, ip, device);
    if ip.is_ipv4() || kind != RouteType::Unicast {
        return kind;
    }
    // IPv6 asks for a route.
    let lo = network.loopback().map_or(1, |lo| lo.index);
    let flow = Flow {
        dst: ip,
        src: None,
        iif: lo,
        oif: device,
        mark: 0,
        protocol: 0,
        ports: None,
        uid: Some(0),
    };
    match route::lookup(network, &flow) {
        Routed::By(route) if device != 0 && route.kind == RouteType::Local => RouteType::Unicast,
        Routed::By(route) => route.kind,
        Routed::Stopped(kind) => kind,
        _ => RouteType::Unreachable,
    }
}

/// `RTN_*`.
pub(super) const fn type_number(kind: RouteType) -> u32 {
    match kind {
        RouteType::Unicast => 1,
        RouteType::Local => 2,
        RouteType::Broadcast => 3,
        RouteType::Anycast => 4,
        RouteType::Multicast => 5,
        RouteType::Blackhole => 6,
        RouteType::Unreachable => 7,
        RouteType::Prohibit => 8,
        RouteType::Throw => 9,
        RouteType::Other => 0,
    }
}

/// The value of a `ct` expression; `None` where it does not match whatever it is compared with.
pub(super) fn ct(key: Ct, reply: Option<bool>, len: u8, packet: &Packet) -> Option<Bytes> {
    if key == Ct::State {
        return Some(word(state_bit(packet.tracking)));
    }
    if !packet.is_tracked() {
        return None;
    }
    let connection = &packet.connection;
    let tuple = if reply == Some(true) { connection.reply } else { connection.original };
    Some(match key {
        Ct::State => word(state_bit(packet.tracking)),
        Ct::Direction => Bytes::exact(&[u8::from(packet.is_reply())]),
        Ct::Status => Bytes { why: "how far the connection is".into(), ..status(packet) },
        Ct::Mark => word(connection.mark),
        Ct::L3Proto => Bytes::exact(&[if packet.is_v6() { 10 } else { 2 }]),
        Ct::Protocol => Bytes::exact(&[packet.protocol_number()]),
        Ct::Src => ip(tuple.src, len)?,
        Ct::Dst => ip(tuple.dst, len)?,
        Ct::ProtoSrc => Bytes::port(tuple.sport),
        Ct::ProtoDst => Bytes::port(tuple.dport),
        Ct::Labels => Bytes::exact(&[0; 16]),
        Ct::Zone => Bytes::exact(&connection.zone.to_ne_bytes()),
        Ct::Volume => Bytes::unknown(8, "how much was sent before"),
        Ct::SecMark => Bytes::unknown(4, "a security mark"),
        // A connection of its own was announced by no helper.
        Ct::Helper => return None,
        Ct::Other(_) => Bytes::unknown(16, "something of the connection that is not known here"),
    })
}

fn ip(ip: IpAddr, len: u8) -> Option<Bytes> {
    match ip {
        IpAddr::V4(ip) if len <= 4 => Some(Bytes::exact(&ip.octets())),
        IpAddr::V4(ip) => {
            let mut wide = [0; 16];
            wide[..4].copy_from_slice(&ip.octets());
            Some(Bytes::exact(&wide))
        }
        IpAddr::V6(_) if len <= 4 => None,
        IpAddr::V6(ip) => Some(Bytes::exact(&ip.octets())),
    }
}

/// `NF_CT_STATE_BIT`.
pub(super) const fn state_bit(tracking: Tracking) -> u32 {
    match tracking {
        Tracking::Unseen => 1,
        Tracking::Established { .. } => 2,
        Tracking::Related { .. } => 4,
        Tracking::New => 8,
        Tracking::Untracked => 64,
    }
}

/// `IPS_*`, as far as they are known.
fn status(packet: &Packet) -> Bytes {
    let connection = &packet.connection;
    let established = matches!(packet.tracking, Tracking::Established { .. });
    let bits = [
        (1u32, false),
        (2, established),
        (8, established),
        (16, connection.snat),
        (32, connection.dnat),
        (128, connection.snat_done),
        (256, connection.dnat_done),
    ];
    let mut value = 0;
    let mut known = 4 * u32::from(!established);
    for (bit, is_set) in bits {
        known |= bit;
        value |= if is_set { bit } else { 0 };
    }
    let mut bytes = word(value);
    bytes.known = known.to_ne_bytes().to_vec();
    bytes
}
