//! Which way holders are looked for.

use portwise_sys::proc::{Load, Proc};

use super::{Query, holders::may_use_bpf};

/// The way, before anybody has looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::observe) enum Way {
    /// By a BPF program, if the kernel takes it.
    Bpf,
    /// In `/proc`, and why not by BPF; `None` if that would be slower here.
    Proc(Option<String>),
}

impl Way {
    /// The way that is the best on this machine.
    pub(super) fn of(proc: &Proc, query: &Query, load: Option<Load>) -> Way {
        if query.no_bpf {
            return Way::Proc(Some("--no-bpf was given".into()));
        }
        if let Err(why) = may_use_bpf() {
            return Way::Proc(Some(why));
        }
        let is_small = match query.holders {
            true => !query.options && is_small(proc, load),
            false => !has_many(load),
        };
        if is_small { Way::Proc(None) } else { Way::Bpf }
    }

    /// The way to the holders of a few sockets.
    pub(in crate::observe) fn to_few(proc: &Proc) -> Way {
        match may_use_bpf() {
            Ok(()) if is_small(proc, proc.load().ok()) => Way::Proc(None),
            Ok(()) => Way::Bpf,
            Err(why) => Way::Proc(Some(why)),
        }
    }

    /// Whether a BPF program may be loaded, as far as that is known.
    pub(super) fn may_use_bpf(&self) -> bool {
        matches!(self, Way::Bpf | Way::Proc(None))
    }
}

/// Whether it is faster to look at each process in `/proc` than to load BPF programs, which takes as
/// long for few as for many.
fn is_small(proc: &Proc, load: Option<Load>) -> bool {
    // Microseconds, measured: see lab/list-speed.md.
    const BPF: u64 = 6000;
    const PROCESS: u64 = 20;
    const OPEN_FILE: u64 = 2;
    let Some(load) = load else { return false };
    let processes = u64::from(load.threads) * PROCESS;
    // A count that is known costs less than one that has to be asked for.
    processes < BPF && proc.open_files().is_ok_and(|files| processes + files * OPEN_FILE < BPF)
}

/// Whether there are so many processes that a BPF program finds their namespaces faster.
pub(super) fn has_many(load: Option<Load>) -> bool {
    const MANY: u32 = 500;
    load.is_some_and(|load| load.threads > MANY)
}
