//! The instructions of nftables.

use alloc::{format, vec::Vec};

use super::{
    At, Bytes, Ct, Data, Doubt, Expr, Header, Hook, Meta, Packet, SocketKey, Tracking, Tri, Walk,
    eval::{How, Met, Next},
    nat::To,
    value::Registers,
};

/// Up to so many values of a random number are tried one by one.
const MOST_NUMBERS: u32 = 64;

impl Walk<'_, '_> {
    /// Executes one instruction; `rest` are those behind it.
    pub(super) fn instruction(
        &mut self,
        expr: &Expr,
        rest: &[Expr],
        at: At,
        packet: &mut Packet,
        hook: Hook,
        registers: &mut Registers,
    ) -> Next {
        match expr {
            Expr::Nothing => Next::Go,
            Expr::Verdict(verdict) => Next::Verdict(*verdict),
            Expr::Depends { why } => self.go_if(Tri::Depends(why.clone()), at, rest),
            Expr::Unknown(name) => {
                Next::Stop(How::Unknown(format!("`{name}` is not known here").into()))
            }
            Expr::Immediate { dreg, data } => {
                registers.store(*dreg, &Bytes::exact(data));
                Next::Go
            }
            Expr::Obscure { dreg, len, why } => {
                registers.store(*dreg, &Bytes::unknown((*len).into(), why.clone()));
                Next::Go
            }
            Expr::Number { dreg, modulus, offset, why } => {
                let number = self.number(*modulus, *offset, why, at, rest);
                registers.store(*dreg, &number);
                Next::Go
            }
            Expr::Cmp { op, sreg, data } => {
                let tri = registers.load(*sreg, data.len()).compare(*op, data);
                self.go_if(tri, at, rest)
            }
            Expr::Range { negated, sreg, from, to } => {
                let tri = registers.load(*sreg, from.len()).within(from, to);
                self.go_if(tri.negated(*negated), at, rest)
            }
            Expr::Bitwise { sreg, dreg, mask, xor } => {
                let bytes = registers.load(*sreg, mask.len()).masked(mask, xor);
                registers.store(*dreg, &bytes);
                Next::Go
            }
            Expr::Shift { sreg, dreg, len, left, by } => {
                let bytes = registers.load(*sreg, (*len).into());
                registers.store(*dreg, &shifted(&bytes, *left, *by));
                Next::Go
            }
            Expr::ByteOrder { sreg, dreg, len, size } => {
                let bytes = registers.load(*sreg, (*len).into());
                registers.store(*dreg, &swapped(bytes, (*size).into()));
                Next::Go
            }
            Expr::Payload { base, offset, len, dreg } => match packet.bytes(*base, *offset, *len) {
                Some(bytes) => {
                    registers.store(*dreg, &bytes);
                    Next::Go
                }
                None => Next::Break,
            },
            Expr::PayloadSet { base, offset, len, sreg } => {
                write_payload(packet, *base, *offset, &registers.load(*sreg, (*len).into()))
            }
            Expr::Meta { key, dreg } => match self.meta(*key, packet) {
                Some(bytes) => {
                    registers.store(*dreg, &bytes);
                    Next::Go
                }
                None => Next::Break,
            },
            Expr::MetaSet { key, sreg } => self.set_meta(*key, *sreg, at, packet, registers),
            Expr::Ct { key, reply, len, dreg } => match super::meta::ct(*key, *reply, *len, packet)
            {
                Some(bytes) => {
                    registers.store(*dreg, &bytes);
                    Next::Go
                }
                None => Next::Break,
            },
            Expr::CtSet { key, sreg } => set_ct(*key, *sreg, packet, registers),
            Expr::Lookup { .. } | Expr::Dynset { .. } => {
                self.sets(expr, rest, at, packet, hook, registers)
            }
            Expr::Socket { key, dreg } => self.socket(*key, *dreg, packet, registers),
            Expr::Fib { fib, dreg } => match self.fib(fib, packet, hook) {
                Some(bytes) => {
                    registers.store(*dreg, &bytes);
                    Next::Go
                }
                None => Next::Break,
            },
            Expr::ExtHdr { tcp, len, present, dreg, .. } => {
                exthdr(packet, *tcp, *len, *present, *dreg, registers)
            }
            Expr::Notrack => {
                if packet.tracking == Tracking::Unseen && !packet.zoned {
                    packet.tracking = Tracking::Untracked;
                }
                Next::Go
            }
            Expr::Reject(with) => Next::Stop(How::Reject(*with)),
            Expr::Synproxy => synproxy(packet),
            Expr::Forwarded => Next::Stop(How::Forwarded),
            Expr::Queue { bypass } => Next::Stop(How::Unknown(queue(*bypass).into())),
            Expr::Nat { kind, regs } => {
                let to = To::registers(regs, packet.is_v6(), registers);
                self.rewrite(*kind, to, at, packet, hook)
            }
            Expr::Redirect { regs } => {
                let to = To::registers(regs, packet.is_v6(), registers);
                self.redirect(to, at, packet, hook)
            }
            Expr::Masquerade => self.masquerade(at, packet, hook),
            Expr::Tproxy { family_v6, addr, port } => {
                if family_v6.is_some_and(|v6| v6 != packet.is_v6()) {
                    return Next::Break;
                }
                let width = if packet.is_v6() { 16 } else { 4 };
                let ip =
                    addr.and_then(|reg| registers.load(reg, width).all().and_then(super::ip_of));
                let port = port.and_then(|reg| {
                    let bytes = registers.load(reg, 2);
                    bytes.all().map(|b| u16::from_be_bytes([b[0], b[1]]))
                });
                if self.tproxy(ip, port.unwrap_or(0), packet) { Next::Go } else { Next::Break }
            }
            Expr::Match(wanted) => {
                let tri = self.matches(wanted, packet);
                if self.holds(tri, at, rest) {
                    self.restore_mark(wanted, packet);
                    Next::Go
                } else {
                    Next::Break
                }
            }
            Expr::Target(target) => self.target(target, at, packet, hook),
        }
    }

    fn go_if(&mut self, tri: Tri, at: At, rest: &[Expr]) -> Next {
        if self.holds(tri, at, rest) { Next::Go } else { Next::Break }
    }

    fn number(
        &mut self,
        modulus: u32,
        offset: u32,
        why: &crate::Text,
        at: At,
        rest: &[Expr],
    ) -> Bytes {
        if modulus == 0 || modulus > MOST_NUMBERS || !rest.iter().any(Expr::has_effect) {
            return Bytes::unknown(4, why.clone());
        }
        let doubt = Doubt { at: Some(at), why: why.clone() };
        let chosen = u32::from(self.choices.choose(modulus as u16, doubt));
        Bytes::exact(&offset.wrapping_add(chosen).to_ne_bytes())
    }

    fn set_meta(
        &mut self,
        key: Meta,
        sreg: u8,
        at: At,
        packet: &mut Packet,
        registers: &Registers,
    ) -> Next {
        match key {
            Meta::Mark => {
                let value = registers.load(sreg, 4);
                let Some(bytes) = value.all() else {
                    let why = format!("the mark it sets depends on {}", value.why);
                    return Next::Stop(How::Unknown(why.into()));
                };
                packet.mark = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                self.met.push((at, Met::Marked));
            }
            Meta::PktType => {
                packet.kind = registers.load(sreg, 1).all().map_or(packet.kind, |b| b[0]);
            }
            _ => {}
        }
        Next::Go
    }

    fn sets(
        &mut self,
        expr: &Expr,
        rest: &[Expr],
        at: At,
        packet: &mut Packet,
        hook: Hook,
        registers: &mut Registers,
    ) -> Next {
        match expr {
            Expr::Lookup { set, sreg, negated, dreg, verdicts } => {
                let Some(found) = self.env.rules.sets.get(*set) else {
                    return Next::Stop(How::Unknown("its set was not read".into()));
                };
                let key = registers.load(*sreg, found.key_len);
                let (mut candidates, certain) = found.find(&key, *set, &packet.added);
                if !certain {
                    candidates.push((None, Tri::No));
                }
                let has_effect = *verdicts || rest.iter().any(Expr::has_effect);
                let chosen = match candidates.len() {
                    1 => 0,
                    _ if !has_effect => return Next::Break,
                    n => {
                        let why = candidates.iter().find_map(|(_, tri)| match tri {
                            Tri::Depends(why) => Some(why.clone()),
                            _ => None,
                        });
                        let why = why.unwrap_or_else(|| key.why.clone());
                        let most = u16::try_from(n).unwrap_or(u16::MAX);
                        self.choices.choose(most, Doubt { at: Some(at), why })
                    }
                };
                let (element, tri) = &candidates[usize::from(chosen)];
                let is_in = *tri != Tri::No;
                if is_in == *negated {
                    return Next::Break;
                }
                match (element.and_then(|e| e.data.as_ref()), dreg) {
                    (Some(Data::Verdict(verdict)), _) => Next::Verdict(*verdict),
                    (Some(Data::Value(data)), Some(dreg)) => {
                        registers.store(*dreg, &Bytes::exact(data));
                        Next::Go
                    }
                    _ => Next::Go,
                }
            }
            Expr::Dynset { set, key, delete, exprs, negated } => {
                let len = self.env.rules.sets.get(*set).map_or(0, |found| found.key_len);
                let key = registers.load(*key, len);
                if let (Some(key), false) = (key.all(), *delete) {
                    packet.added.insert((*set, key.to_vec()));
                }
                for (done, inner) in exprs.iter().enumerate() {
                    let behind: Vec<Expr> = exprs[done + 1..].iter().chain(rest).cloned().collect();
                    match self.instruction(inner, &behind, at, packet, hook, registers) {
                        Next::Go => {}
                        other => return other,
                    }
                }
                if *negated { Next::Break } else { Next::Go }
            }
            _ => Next::Go,
        }
    }

    fn socket(
        &mut self,
        key: SocketKey,
        dreg: u8,
        packet: &Packet,
        registers: &mut Registers,
    ) -> Next {
        let Some(seen) = self.socket_of(packet) else { return Next::Break };
        if !seen.full && key != SocketKey::Transparent {
            // That of a handshake under way has no more to show (nft_socket_eval).
            return Next::Break;
        }
        let bytes = match key {
            SocketKey::Transparent => Bytes::exact(&[u8::from(seen.transparent)]),
            SocketKey::Wildcard => Bytes::exact(&[u8::from(seen.wildcard)]),
            SocketKey::Mark => Bytes::unknown(4, "the socket's mark"),
            SocketKey::Other => Bytes::unknown(8, "the socket's cgroup"),
        };
        registers.store(dreg, &bytes);
        Next::Go
    }
}

/// Why a queue leaves the answer open.
pub(super) const fn queue(bypass: bool) -> &'static str {
    if bypass {
        "a program decides, if one listens to that queue (NFQUEUE)"
    } else {
        "a program decides (NFQUEUE)"
    }
}

/// SYN cookies are answered for everybody; only who completes the handshake gets further.
pub(super) fn synproxy(packet: &Packet) -> Next {
    if packet.is_tcp() { Next::Stop(How::Synproxy) } else { Next::Break }
}

fn write_payload(packet: &mut Packet, base: Header, offset: u16, bytes: &Bytes) -> Next {
    let Some(exact) = bytes.all() else {
        let why = format!("what it writes into the packet depends on {}", bytes.why);
        return Next::Stop(How::Unknown(why.into()));
    };
    match packet.set_bytes(base, offset, exact) {
        true => Next::Go,
        false => Next::Stop(How::Unknown("it writes into the packet".into())),
    }
}

fn set_ct(key: Ct, sreg: u8, packet: &mut Packet, registers: &Registers) -> Next {
    match key {
        Ct::Mark if packet.is_tracked() => {
            let value = registers.load(sreg, 4);
            let Some(bytes) = value.all() else {
                let why = format!("the mark it sets depends on {}", value.why);
                return Next::Stop(How::Unknown(why.into()));
            };
            packet.connection.mark = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        // A zone undoes what `notrack` did.
        Ct::Zone if !packet.is_tracked() => {
            if let Some(bytes) = registers.load(sreg, 2).all() {
                packet.zone = u16::from_ne_bytes([bytes[0], bytes[1]]);
                (packet.zoned, packet.tracking) = (true, Tracking::Unseen);
            }
        }
        _ => {}
    }
    Next::Go
}

/// TCP options are the client's own; a plain packet has no IPv6 extension headers.
fn exthdr(
    packet: &Packet,
    tcp: bool,
    len: u8,
    present: bool,
    dreg: u8,
    registers: &mut Registers,
) -> Next {
    if !tcp || !packet.is_tcp() {
        if present {
            registers.store(dreg, &Bytes::exact(&[0]));
            return Next::Go;
        }
        return Next::Break;
    }
    let len = if present { 1 } else { usize::from(len) };
    registers.store(dreg, &Bytes::unknown(len, "the client's TCP options"));
    Next::Go
}

fn shifted(bytes: &Bytes, left: bool, by: u32) -> Bytes {
    let Some(exact) = bytes.all() else {
        return Bytes::unknown(bytes.value.len(), bytes.why.clone());
    };
    // The kernel shifts word by word, in the host's order.
    let mut result = Vec::new();
    for word in exact.chunks(4) {
        let mut full = [0; 4];
        full[..word.len()].copy_from_slice(word);
        let value = u32::from_ne_bytes(full);
        let value = if left { value.checked_shl(by) } else { value.checked_shr(by) };
        result.extend_from_slice(&value.unwrap_or(0).to_ne_bytes()[..word.len()]);
    }
    Bytes::exact(&result)
}

/// Turns each number of `size` bytes round, where host and network order differ.
fn swapped(mut bytes: Bytes, size: usize) -> Bytes {
    if cfg!(target_endian = "little") && size > 0 {
        bytes.value.chunks_mut(size).for_each(<[u8]>::reverse);
        bytes.known.chunks_mut(size).for_each(<[u8]>::reverse);
        bytes.port_at = None;
    }
    bytes
}
