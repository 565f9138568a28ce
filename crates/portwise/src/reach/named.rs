//! Senders that rules treat in another way than the one that stands for the place they are at.

use portwise_model::{ReachOutcome, linux::route::Address};

use super::{From, Kind, Reaching, View, question};

/// A list of blocked addresses may have thousands; so many are gone through.
const MOST: usize = 32;
/// So many are told by name.
const TOLD: usize = 3;

/// Those at one place that fare alike.
struct Alike {
    outcome: ReachOutcome,
    view: View,
    written: Vec<String>,
}

impl Reaching<'_> {
    /// Further vantages: the senders that rules name whose packets end in another way than those
    /// of `views` at the same place.
    pub fn named(&mut self, views: &[View]) -> Vec<View> {
        self.named_or_more(views).0
    }

    /// The same, and whether every sender that a rule names was asked about.
    pub(super) fn named_or_more(&mut self, views: &[View]) -> (Vec<View>, bool) {
        let far: Vec<&View> = views.iter().filter(|view| !view.kind.is_here()).collect();
        let (sources, all) = match &self.traffic.rules {
            Ok(rules) if !far.is_empty() => rules.sources(MOST),
            _ => return (Vec::new(), true),
        };
        if sources.is_empty() {
            return (Vec::new(), all);
        }
        let usual: Vec<Option<ReachOutcome>> = far.iter().map(|view| self.outcome(view)).collect();
        let mut found: Vec<Alike> = Vec::new();
        for source in sources {
            let network = &self.traffic.network;
            let from = From { ip: source.ip, device: None };
            let Ok((_, device)) = question::vantage(network, &from, source.ip) else { continue };
            let near = |a: &Address| a.device == device.index && a.is_neighbour(source.ip);
            let is_near = network.addresses.iter().any(near);
            let from = From { device: Some(device.name.to_string()), ..from };
            if device.loopback {
                continue;
            }
            let of_family = |view: &View| view.target.ip.is_ipv4() == source.ip.is_ipv4();
            let alike = |view: &View| {
                of_family(view)
                    && view.from.device == from.device
                    && (view.kind != Kind::Beyond) == is_near
            };
            let base = far.iter().position(|view| alike(view));
            let to = base.or_else(|| far.iter().position(|view| of_family(view)));
            let Some(to) = to else { continue };
            let kind = Kind::Named(source.written.to_string());
            let view = View { kind, from, target: far[to].target.clone() };
            let Some(outcome) = self.outcome(&view) else { continue };
            let is_usual = match base {
                Some(base) => usual[base] == Some(outcome) || far[base].from.ip == source.ip,
                None => outcome != ReachOutcome::Accepted,
            };
            if is_usual {
                continue;
            }
            let written = source.written.to_string();
            let same = |a: &&mut Alike| {
                let other = &a.view;
                (a.outcome, &other.target, &other.from.device)
                    == (outcome, &view.target, &view.from.device)
            };
            match found.iter_mut().find(same) {
                Some(there) => there.written.push(written),
                None => found.push(Alike { outcome, view, written: vec![written] }),
            }
        }
        (found.into_iter().map(Alike::view).collect(), all)
    }

    /// How packets from there end; `None` if that is not known.
    fn outcome(&mut self, view: &View) -> Option<ReachOutcome> {
        let (_, found) = self.find(&view.target, &view.from).ok()?;
        found.ok().map(|found| found.outcome).filter(|outcome| *outcome != ReachOutcome::Unknown)
    }
}

impl Alike {
    fn view(self) -> View {
        let more = self.written.len().saturating_sub(TOLD);
        let mut who = self.written[..self.written.len() - more].join(", ");
        if more > 0 {
            who += &format!(" and {more} more");
        }
        View { kind: Kind::Named(who), ..self.view }
    }
}
