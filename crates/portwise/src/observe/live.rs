//! The running machine, observed fact by fact.

use std::ffi::OsString;

use crate::{Setting, Trouble};

/// In whose place, and in which network namespace, the question is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A process; none for this one.
    pub pid: Option<u32>,
    /// A network namespace by its name, path, or the pid of a process in it; none for that of the
    /// process.
    pub netns: Option<String>,
    /// A program with its arguments that is to make the call; none if the process makes it
    /// itself.
    pub command: Vec<OsString>,
}

/// The setting of this machine, network namespace and user.
///
/// # Errors
/// If not even the kernel's version and the user's own credentials can be read.
#[cfg(not(target_os = "linux"))]
pub fn setting() -> Result<Setting, Trouble> {
    setting_of(&Asked::default())
}

/// The setting of this machine with another process as the one that asks, or in another network
/// namespace.
///
/// # Errors
/// Always, on this system.
#[cfg(not(target_os = "linux"))]
pub fn setting_of(_: &Asked) -> Result<Setting, Trouble> {
    Err(Trouble::new(
        "the running system cannot be observed yet, only Linux can; such as --on macos-15",
    ))
}

#[cfg(target_os = "linux")]
pub use linux::{setting, setting_of};

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::{BTreeMap, BTreeSet},
        path::PathBuf,
        rc::Rc,
        time::Instant,
    };

    use portwise_model::{Fact, FactKey, Host, Missing, Socket, SocketId, Subject};
    use portwise_sys::{
        Errno, Error,
        proc::Proc,
        rtnetlink::RtNetlink,
        sockdiag::{self, DiagSocket, SockDiag},
    };

    use super::{Asked, Setting, Trouble};
    use crate::observe::{
        AskingProcess, Holders, Observer, Traffic, asking, firewall, gates, holders, host,
        network::Network,
        owners::{self, Owners},
        program::Finder,
        routing, shim,
        sockets::{self, Near},
        subject::Asker,
    };

    /// The setting of this machine, network namespace and user.
    ///
    /// # Errors
    /// If not even the kernel's version and the user's own credentials can be read.
    pub fn setting() -> Result<Setting, Trouble> {
        setting_of(&Asked::default())
    }

    /// The setting of this machine with another process as the one that asks, or in another
    /// network namespace. The calling thread is there until the setting is dropped.
    ///
    /// # Errors
    /// If there is no such process or namespace, or not even the kernel's version and the user's
    /// own credentials can be read.
    pub fn setting_of(asked: &Asked) -> Result<Setting, Trouble> {
        let proc = Proc::default();
        let kernel = host::kernel().map_err(Trouble::new)?;
        let me = Asker::own(&proc);
        let me = me.map_err(|e| Trouble::new(format!("cannot read my own credentials: {e}")))?;
        let (runner, gid) = (me.status.uids.effective, me.status.gids.effective);
        let asker = match asked.pid {
            Some(pid) => process(&proc, pid)?,
            None => me,
        };
        let mut subject = asker.subject();
        if !asked.command.is_empty() {
            let finder = asked.pid.map_or_else(Finder::here, |pid| Ok(Finder::of(pid)))?;
            subject.programs = finder.programs(&asked.command)?;
        }
        let network = Network::enter(asked)?;
        let process = asked.pid.map(|pid| (pid, asker.status.name.clone()));
        let gid = if asked.pid.is_some() { asker.status.gids.effective } else { gid };
        if let Some(closed) = &network.closed {
            subject.userns = Fact::Missing(closed.missing(FactKey::UserNs));
        }
        let netns = network.file.clone();
        let machine = Machine {
            proc,
            asker,
            network,
            closely: asked.pid.is_some(),
            is_one_question: false,
            near: None,
            is_login: false,
            is_root: runner == 0,
            rtnetlink: None,
            sockdiag: None,
            users: None,
            owners: Vec::new(),
        };
        let elsewhere = machine.network.words(asked);
        let mut setting = Setting::new(Host::not_asked(kernel), subject, Box::new(machine));
        setting.elsewhere = elsewhere;
        setting.gid = Some(gid);
        setting.is_self = process.is_none();
        if setting.is_self {
            setting.shims = shim::named_in(&std::env::var("LD_PRELOAD").unwrap_or_default());
        }
        setting.netns = netns;
        setting.process = process;
        setting.command =
            asked.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        setting.runner = Some(runner);
        Ok(setting)
    }

    fn process(proc: &Proc, pid: u32) -> Result<Asker, Trouble> {
        Asker::process(proc, pid).map_err(|error| match error.errno {
            Errno::ENOENT | Errno::ESRCH => {
                Trouble::new(format!("--pid: there is no process {pid}, or none I may see"))
            }
            _ => Trouble::new(format!("--pid: {error}")),
        })
    }

    /// The running machine. Each kernel interface is opened when it is first needed.
    struct Machine {
        proc: Proc,
        asker: Asker,
        network: Network,
        closely: bool,
        /// What was seen of a port is not looked at again.
        is_one_question: bool,
        /// The first port that was asked for.
        near: Option<(u16, Near)>,
        is_login: bool,
        is_root: bool,
        rtnetlink: Option<RtNetlink>,
        sockdiag: Option<SockDiag>,
        users: Option<BTreeMap<u32, String>>,
        owners: Vec<(u16, Rc<Owners>)>,
    }

    impl Machine {
        fn rtnetlink(&mut self) -> Result<&mut RtNetlink, Error> {
            opened(&mut self.rtnetlink, RtNetlink::open)
        }

        fn sockdiag(&mut self) -> Result<&mut SockDiag, Error> {
            opened(&mut self.sockdiag, SockDiag::open)
        }
    }

    fn opened<T>(
        slot: &mut Option<T>,
        open: impl FnOnce() -> Result<T, Error>,
    ) -> Result<&mut T, Error> {
        if slot.is_none() {
            *slot = Some(open()?);
        }
        Ok(slot.as_mut().expect("it was opened just now"))
    }

    impl Observer for Machine {
        fn observe(
            &mut self,
            key: &FactKey,
            host: &mut Host,
            subject: &mut Subject,
        ) -> Result<(), Missing> {
            if let Some(closed) = self.network.closed.as_ref().filter(|_| of_network(key)) {
                return Err(closed.missing(key.clone()));
            }
            match key {
                FactKey::Interfaces => {
                    let read = self.rtnetlink().and_then(host::interfaces);
                    put(&mut host.interfaces, key, read, "rtnetlink")
                }
                FactKey::LocalRoutes => {
                    let read = self.rtnetlink().and_then(host::local_routes);
                    put(&mut host.local_routes, key, read, "rtnetlink")
                }
                FactKey::Sysctl(name) => host::sysctl(&self.proc, name, host),
                FactKey::LocalPorts => {
                    let read = host::local_ports(&self.proc);
                    put(&mut host.local_ports, key, read, "/proc/sys")
                }
                FactKey::Sockets(port) => {
                    let version = host.kernel.version;
                    if self.is_one_question {
                        if self.near.is_none() {
                            let near = self.sockdiag().and_then(|diag| Near::look(diag, *port));
                            self.near = near.ok().map(|near| (*port, near));
                        }
                        let near = self.near.as_ref();
                        if near.is_some_and(|(_, n)| n.put(&mut host.sockets, *port, version)) {
                            return Ok(());
                        }
                    }
                    let read = self.sockdiag().and_then(|diag| sockets::on(diag, *port));
                    sockets::put(&mut host.sockets, *port, read, version)
                }
                FactKey::AllSockets => {
                    let version = host.kernel.version;
                    let read = self.sockdiag().and_then(sockets::all);
                    sockets::put_all(&mut host.sockets, read, version)
                }
                FactKey::SocketOptions(id) => {
                    sockets::options(&self.proc, &mut host.sockets, *id, self.is_root)
                }
                FactKey::BindBucket(port) => {
                    // What the owners allow may make it irrelevant.
                    let unread = |s: &&Socket| s.options.reuseaddr.is_none();
                    let owners = host.sockets.on(*port).unwrap_or_default();
                    if let Some(id) = owners.iter().find(unread).map(|s| s.id) {
                        let _ = sockets::options(&self.proc, &mut host.sockets, id, self.is_root);
                    }
                    let missing = Missing::new(
                        key.clone(),
                        "no interface of the kernel shows what it remembers about sharing a port",
                        "try it",
                    );
                    host.buckets = Fact::Missing(missing.clone());
                    Err(missing)
                }
                FactKey::UserNs => self.asker.user_namespace(subject),
                FactKey::Securebits => self.asker.securebits(subject),
                FactKey::IdMap => self.asker.id_map(subject),
                FactKey::Gates => {
                    let binary = subject.programs.last().and_then(|program| program.binary());
                    let binary = binary.map(|file| PathBuf::from(file.path.as_ref()));
                    let gates = gates::of(&gates::Passer {
                        proc: &self.proc,
                        pid: self.asker.pid,
                        status: (!self.is_login).then_some(&self.asker.status),
                        closely: self.closely || binary.is_some(),
                        program: binary.as_deref(),
                    });
                    subject.gates = Fact::known(gates, gates::FROM);
                    Ok(())
                }
                FactKey::Capabilities
                | FactKey::Credentials
                | FactKey::File(_)
                | FactKey::LocalAddress(_)
                | FactKey::Feature(_)
                | FactKey::Policies
                | FactKey::Policy(_) => {
                    Err(Missing::new(key.clone(), "there is no way to observe it", ""))
                }
            }
        }

        fn traffic(&mut self, deadline: Option<Instant>) -> Result<Traffic, String> {
            if let Some(closed) = &self.network.closed {
                return Err(closed.missing(FactKey::Interfaces).why.into_owned());
            }
            let proc = self.proc.clone();
            let read = self.rtnetlink().and_then(|netlink| routing::read(&proc, netlink));
            let network = read.map_err(|error| format!("the routes cannot be read: {error}"))?;
            let rules = firewall::read(&self.proc, deadline).map_err(|unread| unread.to_string());
            Ok(Traffic { network, rules })
        }

        fn full(&mut self, port: u16) -> BTreeSet<SocketId> {
            let listeners = sockdiag::State::LISTEN.bit();
            let rows = self.sockdiag().and_then(|diag| diag.tcp(listeners, Some(port)));
            let is_full =
                |row: &&DiagSocket| row.state == sockdiag::State::LISTEN && row.rqueue > row.wqueue;
            let rows = rows.unwrap_or_default();
            rows.iter().filter(is_full).map(|row| SocketId(row.inode)).collect()
        }

        fn holders(&mut self, sockets: &[Socket]) -> Holders {
            holders::of(&self.proc, sockets, |uid| user(&mut self.users, uid))
        }

        fn owners(&mut self, port: u16) -> Option<Rc<Owners>> {
            if self.network.closed.is_some() {
                return None;
            }
            if let Some((_, known)) = self.owners.iter().find(|(known, _)| *known == port) {
                return Some(known.clone());
            }
            let near = self.near.as_ref().filter(|(near, _)| *near == port);
            let owners = owners::of(&self.proc, port, near.map(|(_, near)| near.rows.as_slice()));
            let owners = Rc::new(owners?);
            self.owners.push((port, owners.clone()));
            Some(owners)
        }

        fn user(&mut self, uid: u32) -> Option<String> {
            user(&mut self.users, uid)
        }

        fn look_closely(&mut self) {
            (self.closely, self.is_one_question) = (true, true);
        }

        fn ask_as_login(&mut self) {
            self.is_login = true;
        }

        fn asking_process(&mut self) -> Option<AskingProcess> {
            let pid = self.asker.pid?;
            Some(asking::of(&self.proc, pid, self.asker.status.name.clone()))
        }
    }

    /// Whether a fact is one of the network namespace.
    fn of_network(key: &FactKey) -> bool {
        match key {
            FactKey::Interfaces
            | FactKey::LocalRoutes
            | FactKey::LocalAddress(_)
            | FactKey::LocalPorts
            | FactKey::Sockets(_)
            | FactKey::AllSockets
            | FactKey::SocketOptions(_)
            | FactKey::BindBucket(_)
            | FactKey::UserNs => true,
            FactKey::Sysctl(name) => name.starts_with("net."),
            _ => false,
        }
    }

    fn user(known: &mut Option<BTreeMap<u32, String>>, uid: u32) -> Option<String> {
        let users = known.get_or_insert_with(|| {
            let mut users = BTreeMap::new();
            for (name, uid, _) in crate::observe::user::here().users {
                users.entry(uid).or_insert(name);
            }
            users
        });
        users.get(&uid).cloned()
    }

    /// Puts what was read into its place, or why it was not.
    fn put<T>(
        slot: &mut Fact<T>,
        key: &FactKey,
        read: Result<T, Error>,
        from: &'static str,
    ) -> Result<(), Missing> {
        match read {
            Ok(value) => {
                *slot = Fact::known(value, from);
                Ok(())
            }
            Err(error) => {
                let missing = host::unread(key, &error);
                *slot = Fact::Missing(missing.clone());
                Err(missing)
            }
        }
    }
}
