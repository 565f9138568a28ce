//! A program that runs in a room, what it says, and its end.

use std::{
    io::{self, BufRead, BufReader, Read},
    os::unix::{
        net::UnixStream,
        process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use portwise_sys::{
    Errno,
    caps::{self, Sets},
    ns::{self, Kind},
    process::{Credentials, Start},
};

use super::{
    init::{self, Event, Order},
    report::Ended,
    room::Room,
};
use crate::Trouble;

/// How much of what a program says is kept.
const KEPT: usize = 16 * 1024;

/// A program, with everything that it started.
pub(super) struct Running {
    /// Closed to end it.
    control: Option<UnixStream>,
    events: Receiver<Event>,
    said: Arc<Mutex<Vec<u8>>>,
    /// The parent of the process in between: it has to live as long as that, and waits for it.
    keeper: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    /// How it ended by itself, or why it could not be started.
    pub(super) ended: Option<Result<ExitStatus, Errno>>,
    /// Whether the kernel ends all of it, not only what can be found.
    pub(super) is_contained: bool,
}

/// What to start.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    pub(super) who: Credentials,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Running {
    /// Starts a program in the network namespace of `room`.
    ///
    /// # Errors
    /// If this program cannot start itself again.
    pub(super) fn start(room: &Room, program: &Program) -> Result<Running, Trouble> {
        let failed = |e: io::Error| Trouble::new(format!("cannot start a program: {e}"));
        let (control, theirs) = UnixStream::pair().map_err(failed)?;
        let (says, tells) = io::pipe().map_err(failed)?;
        let (started, is_started) = channel();
        let program = program.clone();
        let keeper = room.run(move || {
            std::thread::spawn(move || {
                let is_first = ns::unshare(&[Kind::Pid]).is_ok();
                let child = spawn_init(program, is_first, theirs, tells);
                match child {
                    Ok(mut child) => {
                        let _ = started.send(Ok(is_first));
                        let _ = child.wait();
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            })
        });
        let outcome = is_started.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        let is_contained = outcome.map_err(failed)?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&said);
        let reader = std::thread::spawn(move || keep(says, &listener));
        let events = events(control.try_clone().map_err(failed)?);
        Ok(Running {
            control: Some(control),
            events,
            said,
            keeper: Some(keeper),
            reader: Some(reader),
            ended: None,
            is_contained,
        })
    }

    /// Returns whether the program itself still runs; what it started may in any case.
    pub(super) fn is_running(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            self.note(event);
        }
        self.ended.is_none()
    }

    /// Waits until the program itself has ended; false if it has not in time.
    pub(super) fn wait(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.ended.is_none() {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => self.note(event),
                Err(_) => return false,
            }
        }
        true
    }

    /// How much of what was said so far is kept, in bytes.
    pub(super) fn said(&self) -> usize {
        self.said.lock().map(|said| said.len()).unwrap_or(0)
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Started => {}
            Event::Failed(errno) => self.ended = Some(Err(Errno(errno))),
            Event::Ended(status) => self.ended = Some(Ok(ExitStatus::from_raw(status))),
        }
    }

    /// Ends it with everything that it started, and returns what it said: the first `length`
    /// bytes, and the rest.
    pub(super) fn stop(mut self, length: usize) -> (String, String) {
        self.end();
        // What got away from the end may still hold the pipe.
        let end = Instant::now() + Duration::from_secs(1);
        while self.reader.as_ref().is_some_and(|r| !r.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let said = self.said.lock().map(|said| said.clone()).unwrap_or_default();
        let (first, later) = said.split_at(length.min(said.len()));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(first), text(later))
    }

    fn end(&mut self) {
        if let Some(control) = self.control.take() {
            let _ = control.shutdown(std::net::Shutdown::Both);
        }
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts this program again as the process in between.
fn spawn_init(
    program: Program,
    is_first: bool,
    control: UnixStream,
    tells: io::PipeWriter,
) -> io::Result<std::process::Child> {
    let order = Order {
        command: program.command,
        environment: program.environment.into_iter().map(|(k, v)| (k.into(), v)).collect(),
        is_first,
        who: init::Who::from(&program.who),
    };
    let order = serde_json::to_string(&order)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(init::NAME).arg(order);
    command.stdin(std::os::fd::OwnedFd::from(control)).stdout(Stdio::null()).stderr(tells);
    let own = caps::get(0).map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    // A user who is not root keeps capabilities over execve(2) only as ambient ones; it needs
    // them to make the program what it is to be.
    let all = Sets { inheritable: own.permitted, effective: own.permitted, ..own };
    let credentials =
        Credentials { sets: Some(all), ambient: Some(own.permitted), ..Credentials::default() };
    // Killed at once it could not end the others, unless the kernel does.
    Start { credentials, new_session: true, dies_with_parent: is_first }.spawn(&mut command)
}

/// Keeps the beginning of what is said, and lets the rest pass.
fn keep(mut says: io::PipeReader, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = says.read(&mut buffer) {
        let Ok(mut said) = said.lock() else { return };
        let room = KEPT.saturating_sub(said.len());
        said.extend_from_slice(&buffer[..length.min(room)]);
    }
}

/// Reads what the process in between reports.
fn events(control: UnixStream) -> Receiver<Event> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(control).lines().map_while(Result::ok);
        for event in lines.filter_map(|line| Event::parse(&line)) {
            if tell.send(event).is_err() {
                return;
            }
        }
    });
    told
}

/// How a program ended, in words; `None` if it could not be started.
pub(super) fn ended(status: &Result<ExitStatus, Errno>, said: &str) -> Ended {
    let first_line = said.lines().next().unwrap_or_default().to_string();
    match status {
        Ok(status) => Ended {
            status: status.code(),
            signal: status.signal(),
            words: match (status.code(), status.signal()) {
                (Some(code), _) => format!("exited with status {code}"),
                (None, Some(signal)) => format!("ended by signal {signal}"),
                (None, None) => "ended".into(),
            },
            first_line,
        },
        Err(errno) => Ended {
            status: None,
            signal: None,
            words: format!("could not be started: {} ({errno})", errno.text()),
            first_line,
        },
    }
}
