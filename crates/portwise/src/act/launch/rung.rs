//! The ways to the right, in the order in which they are tried, and what speaks against each.

use clap::ValueEnum;
use portwise_sys::{
    caps::{self, Sets},
    process::Credentials,
};
use serde::Serialize;

use super::{Asker, File, Plan, broker, cgroup, sockets};
use crate::Trouble;

/// A way to give a program the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// It has the right already.
    Already,
    /// A BPF program of a fresh cgroup sets the limit aside for exactly the endpoints.
    Cgroup,
    /// CAP_NET_BIND_SERVICE as an ambient capability: wider, only if asked for.
    Ambient,
    /// The sockets are made beforehand and handed over (LISTEN_FDS).
    Activation,
    /// portwise stays beside the program and binds for it (seccomp user notification).
    Broker,
}

impl Rung {
    /// All, the best first.
    pub const ALL: [Rung; 5] =
        [Rung::Already, Rung::Cgroup, Rung::Ambient, Rung::Activation, Rung::Broker];

    /// Its name, as `--how` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Rung::Already => "already",
            Rung::Cgroup => "cgroup",
            Rung::Ambient => "ambient",
            Rung::Activation => "activation",
            Rung::Broker => "broker",
        }
    }

    /// What it is.
    pub const fn what(self) -> &'static str {
        match self {
            Rung::Already => "started as it is",
            Rung::Cgroup => "by a BPF program of a fresh cgroup",
            Rung::Ambient => "by an ambient capability",
            Rung::Activation => "by sockets made beforehand (LISTEN_FDS)",
            Rung::Broker => "by portwise, which binds for it",
        }
    }

    /// What speaks against it.
    fn reason_against(self, plan: &Plan, asker: &Asker, file: &File) -> Option<String> {
        let by_name = plan.how == Some(self);
        let is_able = |what: &str| {
            (!asker.can_bind)
                .then(|| format!("{what} needs CAP_NET_BIND_SERVICE here, such as root"))
        };
        match self {
            Rung::Already => asker.lacks.first().map(|target| {
                format!(
                    "{} is without CAP_NET_BIND_SERVICE, and port {} is below {}",
                    asker.name, target.port, asker.limit
                )
            }),
            Rung::Cgroup => cgroup::reason_against(plan, asker.own),
            Rung::Ambient if !by_name => Some(format!(
                "it would be wider: every port below {}, for whatever the program starts",
                asker.limit
            )),
            Rung::Ambient => is_able("giving the capability"),
            Rung::Activation => is_able("making the sockets")
                .or_else(|| sockets::reason_against(plan))
                .or_else(|| {
                    (!by_name && !file.takes_sockets())
                        .then(|| "the program does not mention LISTEN_FDS".into())
                }),
            Rung::Broker => {
                is_able("binding for the program").or_else(|| broker::reason_against(asker.own))
            }
        }
    }
}

/// The ways that were looked at, the best first: the last one is taken if nothing speaks against
/// it.
pub(super) struct Ladder {
    pub(super) steps: Vec<(Rung, Option<String>)>,
}

impl Ladder {
    /// Looks for the first way that is open, or at the one that is asked for.
    pub(super) fn climb(plan: &Plan, asker: &Asker, file: &File) -> Ladder {
        let mut ladder = Ladder { steps: Vec::new() };
        ladder.climb_on(plan, asker, file);
        ladder
    }

    fn climb_on(&mut self, plan: &Plan, asker: &Asker, file: &File) {
        let is_asked_for = |rung: &Rung| plan.how.is_none_or(|how| how == *rung);
        let looked_at = self.steps.len();
        for rung in Rung::ALL.into_iter().filter(is_asked_for).skip(looked_at) {
            let against = rung.reason_against(plan, asker, file);
            let is_open = against.is_none();
            self.steps.push((rung, against));
            if is_open {
                break;
            }
        }
    }

    /// The way to take.
    pub(super) fn chosen(&self) -> Option<Rung> {
        self.steps.last().filter(|(_, against)| against.is_none()).map(|(rung, _)| *rung)
    }

    /// The chosen way turned out to be closed: looks on.
    pub(super) fn rule_out(&mut self, why: String, plan: &Plan, asker: &Asker, file: &File) {
        if let Some((_, against)) = self.steps.last_mut() {
            *against = Some(why);
        }
        self.climb_on(plan, asker, file);
    }
}

/// The credentials with the capability as an ambient one.
pub(super) fn with_ambient(credentials: &mut Credentials) -> Result<(), Trouble> {
    let bind = caps::bit(caps::NET_BIND_SERVICE);
    let own = caps::get(0).map_err(|errno| Trouble::new(format!("capget: {errno}")))?;
    let kept = if credentials.uid.is_some() { Sets::default() } else { own };
    credentials.sets = Some(Sets {
        effective: kept.effective | bind,
        permitted: kept.permitted | bind,
        inheritable: kept.inheritable | bind,
    });
    credentials.ambient = Some(bind | credentials.ambient.unwrap_or(0));
    Ok(())
}
