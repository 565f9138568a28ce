//! A thread that stands in a network namespace and does there what it is told.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
};

use portwise_sys::ns::{self, Kind, Namespace};

use crate::Trouble;

type Work = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace. A namespace of its own has no name and no mount, and vanishes
/// with the thread, however this process ends.
pub(super) struct Room {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Room {
    /// A room in a fresh network namespace, which has nothing but a loopback interface, down.
    ///
    /// # Errors
    /// If no network namespace can be made.
    pub(super) fn fresh() -> Result<Room, Trouble> {
        let room = Room::here();
        room.run(|| ns::unshare(&[Kind::Net])).map_err(|errno| {
            Trouble::new(format!("no network namespace can be made here: {}", errno.text()))
        })?;
        Ok(room)
    }

    /// A room in the network namespace of the calling thread.
    pub(super) fn here() -> Room {
        let (work, todo) = channel::<Work>();
        let thread = thread::spawn(move || todo.into_iter().for_each(|work| work()));
        Room { work: Some(work), thread: Some(thread) }
    }

    /// Does something there, and waits for it.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = channel::<Result<T, Box<dyn Any + Send>>>();
        let work: Work = Box::new(move || {
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
        });
        let sender = self.work.as_ref().expect("taken only when the room is dropped");
        sender.send(work).expect("the thread catches panics");
        match answered.recv().expect("the thread catches panics") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Does something there in a thread of its own, which may become somebody else for good.
    pub(super) fn run_apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.run(|| thread::spawn(work).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The network namespace.
    ///
    /// # Errors
    /// If `/proc` does not show it.
    pub(super) fn namespace(&self) -> Result<Namespace, Trouble> {
        self.run(|| Namespace::of_thread(Kind::Net)).map_err(|e| Trouble::new(e.to_string()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
