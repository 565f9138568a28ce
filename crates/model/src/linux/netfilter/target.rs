//! The targets of iptables.

use super::{
    At, Hook, MarkMode, NatKind, Packet, Target, Tracking, Verdict, Walk,
    eval::{How, Met, Next},
    instruction::{queue, synproxy},
    nat::To,
};

impl Walk<'_, '_> {
    /// Does what a target of iptables does.
    pub(super) fn target(
        &mut self,
        target: &Target,
        at: At,
        packet: &mut Packet,
        hook: Hook,
    ) -> Next {
        match target {
            Target::Nothing => Next::Go,
            Target::Verdict(verdict) => Next::Verdict(*verdict),
            Target::Reject(with) => Next::Stop(How::Reject(*with)),
            Target::Nat { kind, range } => self.rewrite(*kind, To::range(range), at, packet, hook),
            Target::Netmap { addr } => {
                let kind = match hook {
                    Hook::Prerouting | Hook::Output => NatKind::Dnat,
                    _ => NatKind::Snat,
                };
                self.rewrite(kind, To::netmap(*addr), at, packet, hook)
            }
            Target::Masquerade => self.masquerade(at, packet, hook),
            Target::Redirect { port } => {
                let range = super::NatRange { addr: None, port: *port };
                self.redirect(To::range(&range), at, packet, hook)
            }
            Target::Mark { clear, set } => {
                packet.mark = (packet.mark & !clear) ^ set;
                self.met.push((at, Met::Marked));
                Next::Go
            }
            Target::Tos { clear, set } => {
                packet.tos = (packet.tos & !clear) ^ set;
                Next::Go
            }
            Target::ChangeSets { sets } => {
                packet.changed_ipsets.extend(sets);
                Next::Go
            }
            Target::Connmark { mode, mark, ct_mask, nf_mask } => {
                connmark(packet, *mode, *mark, *ct_mask, *nf_mask);
                Next::Go
            }
            Target::Ct { notrack, zone } => {
                if packet.tracking == Tracking::Unseen && !packet.zoned {
                    match notrack {
                        true => packet.tracking = Tracking::Untracked,
                        false => (packet.zone, packet.zoned) = (zone.unwrap_or(0), true),
                    }
                }
                Next::Go
            }
            Target::Tproxy { addr, port, mark, mask } => {
                if !self.tproxy(*addr, *port, packet) {
                    return Next::Stop(How::Drop);
                }
                packet.mark = (packet.mark & !mask) ^ mark;
                Next::Verdict(Verdict::Accept)
            }
            Target::Queue { bypass } => Next::Stop(How::Unknown(queue(*bypass).into())),
            Target::Synproxy => synproxy(packet),
            Target::Unknown(name) => {
                let why = alloc::format!("the target {name} is not known here");
                Next::Stop(How::Unknown(why.into()))
            }
        }
    }
}

fn connmark(packet: &mut Packet, mode: MarkMode, mark: u32, ct_mask: u32, nf_mask: u32) {
    if !packet.is_tracked() {
        return;
    }
    let connection = &mut packet.connection;
    match mode {
        MarkMode::Set => connection.mark = (connection.mark & !ct_mask) ^ mark,
        MarkMode::Save => {
            connection.mark = (connection.mark & !ct_mask) ^ (packet.mark & nf_mask);
        }
        MarkMode::Restore => {
            packet.mark = (packet.mark & !nf_mask) ^ (connection.mark & ct_mask);
        }
    }
}
