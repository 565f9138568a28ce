//! Recorded scenarios replayed on the running kernel.

use std::{
    panic::resume_unwind,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portwise_model::{
    Kernel,
    scenario::{Replay, Scenario, Tally, Unsupported, Who},
};
use portwise_sys::ns;

use super::{Trouble, kernel::Running, namespace};

/// How a scenario went, or what of it cannot be had here.
pub type Replayed = Result<Tally, Unsupported>;

/// Replays scenarios on `kernel`, the running one, each in a fresh network namespace, `jobs` at a
/// time, and returns how they went, in the same order. `progress` is called with the number done.
///
/// The shell commands of the scenarios are run, in that namespace but otherwise as this process.
/// Without the right to make network namespaces the process moves into a user namespace first,
/// where it has one uid. So it has to be called before any thread is started.
///
/// # Errors
///
/// If no network namespace can be made.
pub fn replay(
    scenarios: &[Scenario],
    kernel: &Kernel,
    jobs: usize,
    progress: &dyn Fn(u64),
) -> Result<Vec<Replayed>, Trouble> {
    // Root inside, so that the commands of scenarios keep its capabilities.
    let home = namespace::enter(Some(0))?;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Replayed, Trouble>>>> =
        Mutex::new(scenarios.iter().map(|_| None).collect());
    let done = || results.lock().expect("no worker panics").iter().flatten().count();
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(scenario) = scenarios.get(at) else { break };
                let result = in_own_thread(scenario, kernel, home);
                if result.is_err() {
                    next.store(scenarios.len(), Ordering::Relaxed);
                }
                results.lock().expect("no worker panics")[at] = Some(result);
            }
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            progress(done() as u64);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    // What was not begun follows on what failed.
    results.into_inner().expect("no worker panics").into_iter().flatten().collect()
}

/// A thread changes who it is and where; its namespaces vanish with it.
fn in_own_thread(scenario: &Scenario, kernel: &Kernel, home: Who) -> Result<Replayed, Trouble> {
    let work = || {
        // Else a command that another thread starts has this one's sockets for a moment, and a port
        // is still held when its socket is closed.
        ns::unshare_files().map_err(|e| Trouble(format!("unshare: {e}")))?;
        let mut running = Running::new(&scenario.setup, home)?;
        if let Err(why) = running.prepare(scenario, kernel) {
            return Ok(Err(why));
        }
        Ok(Ok(Replay::new(&mut running).run(scenario)))
    };
    let outcome = std::thread::scope(|scope| scope.spawn(work).join());
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}
