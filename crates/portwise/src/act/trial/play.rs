//! One endpoint: the stage, the calls, the server, the connections.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use portwise_model::{
    Fact, FactKey, Host, Machine, Outcome, Protocol, Request, Socket as Model, SocketId, Sockets,
    linux::Buckets, scenario::Scenario,
};
use portwise_sys::sock::Socket;

use super::{
    Plan,
    asker::Asker,
    bind,
    blueprint::{Blueprint, SYSCTLS},
    carried_over,
    placeholder::{self, Placeholder, Wanted, receives},
    predict::{self, OURS, Predicted},
    probe::{self, Candidate, Candidates, Destination},
    reach::{self, Arrival},
    repeat,
    report::{Cell, Ended, From, Reached, Server, Trial},
    room::Room,
    server::{self, Program, Running},
    stage::Stage,
    vantage::Point,
    words,
};
use crate::{
    Trouble,
    endpoint::{Target, shown},
    explain::{Answer, Decision},
    observe::live,
};

/// How long a server that ended well may take until what it left behind listens, and how long one
/// may go on trying where the bind alone was refused.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

/// What all trials share.
pub(super) struct Play<'a> {
    pub(super) plan: &'a Plan,
    pub(super) asker: &'a Asker,
    pub(super) blueprint: &'a Blueprint,
    pub(super) others: &'a [Wanted],
    pub(super) points: &'a [Point],
    /// The host, as it was observed.
    pub(super) known: &'a Host,
    /// What the copy lacks, in words.
    pub(super) left_out: Vec<String>,
    pub(super) scenarios: Vec<(usize, Scenario)>,
}

/// Where one trial takes place.
struct Scene {
    stage: Option<Stage>,
    here: Option<Room>,
    machine: Machine,
    placeholders: Vec<Placeholder>,
}

impl Scene {
    fn room(&self) -> &Room {
        match (&self.stage, &self.here) {
            (Some(stage), _) => &stage.host,
            (None, Some(room)) => room,
            (None, None) => unreachable!("a scene has a room"),
        }
    }

    /// The room from which a vantage looks.
    fn from(&self, from: From) -> &Room {
        let there = self.stage.as_ref().and_then(|stage| match from {
            From::Host => None,
            From::Neighbour => stage.neighbour.as_ref(),
            From::Far => stage.far.as_ref(),
        });
        there.unwrap_or_else(|| self.room())
    }
}

impl Play<'_> {
    /// Tries one endpoint. `real` is what the model says of the network itself.
    pub(super) fn trial(
        &mut self,
        at: usize,
        request: &Request,
        real: &Decision,
    ) -> Result<Trial, Trouble> {
        let scene = self.scene()?;
        let (asked, target) = &self.plan.targets[at];
        let mut predicted = predict::on(&scene.machine, &self.asker.subject, request);
        let decision = match self.plan.here {
            // Observed with all that this network can tell.
            true => real.clone(),
            false => Decision::new(&predicted.verdict, Clone::clone),
        };
        let before = self.listening(scene.room(), target, &BTreeSet::new());
        let before: BTreeSet<SocketId> = before.iter().map(|s| s.id).collect();
        let tried = bind::try_bind(scene.room(), &self.asker.direct, request);
        let answered = tried.answered.clone();
        let mut port = target.port;
        if let Some(local) = tried.local {
            port = local.port();
            predicted.choose(request, port);
        }
        let chosen = (target.port == 0 && port != 0 && self.plan.command.is_none())
            .then(|| format!("the port chosen was {port}"));
        let outcome = answered.outcome();
        let names: Vec<Outcome> = decision.outcomes.iter().map(|o| o.outcome).collect();
        let mut trial = Trial {
            asked: asked.clone(),
            endpoint: target.shown.clone(),
            protocol: target.protocol,
            agrees: outcome.is_some_and(|outcome| names.contains(&outcome)),
            real: (real.outcomes != decision.outcomes).then(|| real.clone()),
            predicted: decision,
            observed: answered.clone(),
            server: None,
            client: None,
            cells: Vec::new(),
            notes: chosen.into_iter().collect(),
            repeat: None,
        };
        if !trial.agrees && !self.plan.here {
            let case = (&self.asker.subject, request);
            let host = &scene.machine.host;
            let scenario =
                repeat::scenario(self.blueprint, host, &scene.placeholders, case, &answered);
            self.scenarios.push((at, scenario));
        }
        match &self.plan.command {
            Some(_) => {
                // The server needs the port.
                drop(tried.socket);
                self.with_server(&scene, target, (&predicted, real), &before, &mut trial)?;
            }
            None => {
                let sockets = predicted.sockets(port, answered.is_ok());
                let ours = tried.socket.as_ref();
                let others_here = self.plan.here && !answered.is_ok();
                if !others_here {
                    trial.cells = self.cells(&scene, (target.protocol, port), &sockets, ours, &[]);
                }
            }
        }
        if let Some(stage) = scene.stage {
            for missing in stage.left_out {
                if !self.left_out.contains(&missing) {
                    self.left_out.push(missing);
                }
            }
        }
        Ok(trial)
    }

    /// A fresh copy of the network, so that nothing of one trial is in the way of the next.
    fn scene(&mut self) -> Result<Scene, Trouble> {
        if self.plan.here {
            let machine = Machine::new(self.known.clone());
            let here = Some(Room::here());
            return Ok(Scene { stage: None, here, machine, placeholders: Vec::new() });
        }
        let mut stage = Stage::build(self.blueprint)?;
        let mut host = stage.host.run(observed)?;
        carried_over(self.known, &mut host);
        let mut machine = Machine::new(host);
        let placeholders =
            placeholder::make(&stage.host, self.others, &mut machine, &mut stage.left_out);
        Ok(Scene { stage: Some(stage), here: None, machine, placeholders })
    }

    /// Starts a server, waits until it listens, connects, and ends it.
    fn with_server(
        &self,
        scene: &Scene,
        target: &Target,
        (predicted, real): (&Predicted, &Decision),
        before: &BTreeSet<SocketId>,
        trial: &mut Trial,
    ) -> Result<(), Trouble> {
        let command = self.plan.command.as_deref().unwrap_or_default();
        let program = self.program(words::filled(command, target, target.port));
        let mut running = Running::start(scene.room(), &program)?;
        let listening = self.wait_until_listening(scene, &mut running, target, before, trial);
        if !running.is_contained {
            trial.notes.push(
                "no pid namespace can be made here: what the server started is found by its \
                 parents, and by nothing else"
                    .into(),
            );
        }
        let mut before_probes = usize::MAX;
        if let Some(first) = listening.first() {
            before_probes = running.said();
            let port = first.port;
            let mut sockets = predicted.sockets(port, false);
            sockets.extend(listening.iter().filter(|s| s.port == port));
            let ids: Vec<SocketId> = listening.iter().map(|s| s.id).collect();
            trial.cells = self.cells(scene, (target.protocol, port), &sockets, None, &ids);
            trial.client = self.client(scene, target, port)?;
        }
        running.is_running();
        let ended = running.ended.take();
        let (said, said_later) = running.stop(before_probes);
        let asked_for = listening.iter().any(|s| is_asked(s, target));
        let refused = self.asker.refused.as_ref().filter(
            |(_, errno)| matches!(&ended, Some(Err(found)) if found.name() == Some(errno.name())),
        );
        if let Some((rule, errno)) = refused {
            trial.notes.push(format!("it does not start, as predicted ({errno}): {rule}"));
        }
        // What this process cannot have, the program may.
        let expected = match self.asker.is_limited {
            true => real.answer != Answer::No,
            false => trial.observed.is_ok(),
        };
        let trouble = match (listening.is_empty(), expected) {
            (true, true) if refused.is_some() => None,
            (true, true) => Some(match &ended {
                None => format!("it did not listen within {} s", self.plan.wait.as_secs()),
                Some(_) => "it did not listen".into(),
            }),
            (false, false) => Some(
                "it listens although the bind alone was refused: it set other options, such as \
                 SO_REUSEPORT (--reuseport asks so)"
                    .into(),
            ),
            (false, true) if !asked_for => Some("it listens elsewhere than asked".into()),
            _ => None,
        };
        trial.server = Some(Server {
            command: program.command,
            listens: listening.iter().map(|s| shown(s.ip, None, s.port)).collect(),
            agrees: trouble.is_none(),
            trouble,
            ended: ended.map(|status| server::ended(&status, &said)),
            said,
            said_later,
        });
        Ok(())
    }

    fn program(&self, command: Vec<String>) -> Program {
        Program {
            command,
            who: self.asker.program.clone(),
            environment: self.asker.environment.clone(),
        }
    }

    /// The server's sockets, once there are any; none if it ended or time is over.
    fn wait_until_listening(
        &self,
        scene: &Scene,
        running: &mut Running,
        target: &Target,
        before: &BTreeSet<SocketId>,
        trial: &Trial,
    ) -> Vec<Model> {
        let limit = match trial.observed.is_ok() {
            true => self.plan.wait,
            false => self.plan.wait.min(PATIENCE),
        };
        let mut end = Instant::now() + limit;
        let mut was_running = true;
        loop {
            let is_running = running.is_running();
            let listening = self.listening(scene.room(), target, before);
            if !listening.is_empty() {
                // It may be about to take a second address.
                std::thread::sleep(4 * STEP);
                return self.listening(scene.room(), target, before);
            }
            if was_running && !is_running {
                was_running = false;
                let well = matches!(&running.ended, Some(Ok(status)) if status.success());
                end = end.min(Instant::now() + if well { PATIENCE } else { Duration::ZERO });
            }
            if Instant::now() >= end {
                return Vec::new();
            }
            std::thread::sleep(STEP);
        }
    }

    /// The sockets that take connections or datagrams on the port that is asked for, or on any
    /// if none is, and are not known.
    fn listening(&self, room: &Room, target: &Target, known: &BTreeSet<SocketId>) -> Vec<Model> {
        let (port, protocol) = (target.port, target.protocol);
        let found = room.run(move || {
            let mut there = live::setting()?;
            let key = if port == 0 { FactKey::AllSockets } else { FactKey::Sockets(port) };
            let _ = there.observe(&key);
            let list: Vec<Model> = there.host.sockets.observed().copied().collect();
            Ok::<_, Trouble>(list)
        });
        let mut found = found.unwrap_or_default();
        found.retain(|s| {
            s.protocol == protocol && receives(s) && s.remote.is_none() && !known.contains(&s.id)
        });
        found
    }

    fn client(&self, scene: &Scene, target: &Target, port: u16) -> Result<Option<Ended>, Trouble> {
        let Some(command) = &self.plan.client else { return Ok(None) };
        let command = words::filled(command, &words::to_connect(target), port);
        let mut running = Running::start(scene.room(), &self.program(command))?;
        running.wait(self.plan.wait);
        let ended = running.ended.take();
        let (said, _) = running.stop(usize::MAX);
        Ok(Some(match ended {
            Some(status) => server::ended(&status, &said),
            None => Ended {
                status: None,
                signal: None,
                words: format!("did not end within {} s", self.plan.wait.as_secs()),
                first_line: said.lines().next().unwrap_or_default().into(),
            },
        }))
    }

    /// Connects from every vantage. `sockets` are all on the port; `ours` is the one of the trial,
    /// or `servers` are.
    fn cells(
        &self,
        scene: &Scene,
        (protocol, port): (Protocol, u16),
        sockets: &[Model],
        ours: Option<&Socket>,
        servers: &[SocketId],
    ) -> Vec<Cell> {
        if !sockets.iter().any(|s| s.protocol == protocol && receives(s)) {
            return Vec::new();
        }
        let placeholder = |id: SocketId| scene.placeholders.iter().find(|p| p.model.id == id);
        let is = |id: SocketId| match placeholder(id) {
            Some(other) => Reached::Other(other.words.clone()),
            None if id == OURS || servers.contains(&id) => Reached::Connected,
            None => Reached::Other("another socket".into()),
        };
        let others = scene.placeholders.iter().filter(|p| p.model.protocol == protocol);
        let mut candidates: Vec<Candidate<'_>> =
            others.map(|p| Candidate { socket: &p.socket, is: is(p.model.id) }).collect();
        candidates.extend(ours.map(|socket| Candidate { socket, is: Reached::Connected }));
        // With other sockets on the real network it cannot be seen who of them it was.
        let unseen = sockets.iter().any(|s| is(s.id) == Reached::Other("another socket".into()));
        let else_ = match (servers.is_empty(), unseen) {
            (true, false) => None,
            (true, true) => Some(Reached::Other("another socket".into())),
            (false, true) => Some(Reached::Somebody),
            (false, false) => Some(Reached::Connected),
        };
        let candidates = Candidates { ours: candidates, else_ };
        let cell = |point: &Point| {
            let ip = point.vantage.ip;
            let arrival = Arrival { protocol, ip, device: point.arrives_on };
            let receivers = reach::receivers(sockets, arrival);
            let mut predicted: Vec<Reached> = receivers.into_iter().map(is).collect();
            if predicted.is_empty() {
                predicted.push(Reached::Refused);
            }
            predicted.sort();
            predicted.dedup();
            let is_others = predicted.iter().all(|r| matches!(r, Reached::Other(_)));
            if scene.stage.is_none() && is_others {
                // A service of somebody else is none of our business.
                return None;
            }
            let device = point.client_device(scene.stage.as_ref());
            let to = Destination { protocol, ip, port, device };
            let observed = probe::connect(scene.from(point.vantage.from), to, &candidates);
            Some(Cell {
                vantage: point.vantage.name.clone(),
                agrees: observed.fits(&predicted),
                predicted,
                observed,
            })
        };
        self.points.iter().filter_map(cell).collect()
    }
}

/// What rules read, in the network namespace of this thread, where nobody has a socket yet.
fn observed() -> Result<Host, Trouble> {
    let mut there = live::setting()?;
    let sysctls = SYSCTLS.iter().map(|name| FactKey::Sysctl((*name).into()));
    for key in
        [FactKey::Interfaces, FactKey::LocalRoutes, FactKey::LocalPorts].into_iter().chain(sysctls)
    {
        let _ = there.observe(&key);
    }
    let mut host = there.host;
    host.sockets = Sockets::none("the copy");
    host.buckets = Fact::known(Buckets::default(), "the copy");
    Ok(host)
}

/// Whether a server's socket is on the address that was asked for.
fn is_asked(socket: &Model, target: &Target) -> bool {
    let same = socket.ip.to_canonical() == target.ip.to_canonical();
    same && (target.port == 0 || socket.port == target.port)
}
