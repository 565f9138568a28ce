//! Where facts come from: the running machine, a file, or a kernel's defaults.
//!
//! Nothing is read in advance. A question is decided with what is known; every fact that its
//! rules missed is then observed, one at a time, until nothing more can be learned. So a refused
//! low port costs one sysctl and one look at capabilities, and no socket is listed for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
    time::Instant,
};

use portwise_model::{
    CapSet, Case, Credentials, Fact, FactKey, Family, Gates, Host, Missing, Request, SockAddr,
    SockOption, Socket, SocketId, Subject, UserNs, Verdict, decide_parts,
    fix::{self, Proven},
    linux::{netfilter::Ruleset, route::Network},
};
use serde::{Deserialize, Serialize};

pub use self::asking::AskingProcess;
pub use self::shim::Shim;
pub use self::unit::{Line, Unit};
use crate::{Trouble, endpoint::Target};

use owners::Owners;

mod asking;
pub mod assumed;
pub mod exposure;
pub mod file;
pub mod inventory;
pub mod user;

#[cfg(target_os = "linux")]
pub(crate) mod cgroup;
#[cfg(target_os = "linux")]
mod firewall;
#[cfg(target_os = "linux")]
mod gates;
#[cfg(target_os = "linux")]
mod holders;
#[cfg(target_os = "linux")]
mod host;
pub mod live;
pub mod names;
#[cfg(target_os = "linux")]
mod network;
mod order;
#[cfg(target_os = "linux")]
mod origin;
pub mod owners;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod routing;
mod shim;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod subject;
pub(crate) mod tools;
mod unit;

/// What is understood of the rules of a firewall: sections of names with how they are read.
#[cfg(target_os = "linux")]
pub fn firewall_support() -> [(&'static str, &'static [(&'static str, &'static str)]); 3] {
    firewall::support()
}

/// Answers when a rule asks for a fact.
pub trait Observer {
    /// Puts the fact that `key` names into `host` or `subject`; if it cannot be observed, puts
    /// the reason there and returns it.
    fn observe(
        &mut self,
        key: &FactKey,
        host: &mut Host,
        subject: &mut Subject,
    ) -> Result<(), Missing>;

    /// Finds the processes that hold any of these sockets.
    fn holders(&mut self, sockets: &[Socket]) -> Holders;

    /// Looks for every socket on a port and who holds it, in each network namespace that may be
    /// seen; `None` if only [`Observer::holders`] are known.
    fn owners(&mut self, _port: u16) -> Option<Rc<Owners>> {
        None
    }

    /// The login name of a user.
    fn user(&mut self, uid: u32) -> Option<String>;

    /// Reads what decides where packets go, the rules of the firewall if that is done by
    /// `deadline`.
    ///
    /// # Errors
    /// Why that cannot be observed.
    fn traffic(&mut self, _deadline: Option<Instant>) -> Result<Traffic, String> {
        Err("how packets go is known of a running Linux only".into())
    }

    /// The TCP listeners of a port whose queue of connections is full.
    fn full(&mut self, _port: u16) -> BTreeSet<SocketId> {
        BTreeSet::new()
    }

    /// From now on looks for gates also where that costs more.
    fn look_closely(&mut self) {}

    /// From now on the question is asked as a login process, not as the one that was observed.
    fn ask_as_login(&mut self) {}

    /// What is told of the process in whose place the question is asked; `None` if it is asked
    /// in nobody's.
    fn asking_process(&mut self) -> Option<AskingProcess> {
        None
    }
}

/// What decides where packets go.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Devices, addresses and routes.
    pub network: Network,
    /// The rules of the packet filter, or why they are not known.
    pub rules: Result<Ruleset, String>,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id in the pid namespace of the asker.
    pub pid: u32,
    /// Its name, as the process or its program set it: not to be trusted.
    pub command: String,
    /// Its effective user.
    pub uid: u32,
    /// The login name of that user.
    pub user: Option<String>,
}

/// Who holds sockets, as far as could be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holders {
    /// The processes that hold a socket, by socket.
    pub of: BTreeMap<u64, Vec<Process>>,
    /// `SO_REUSEADDR` and `SO_REUSEPORT` of sockets without connection, read while at it.
    pub options: BTreeMap<u64, (bool, bool)>,
    /// How many processes could not be looked into.
    pub unseen: usize,
    /// Whether there may be processes that were not even counted.
    pub hidden: bool,
    /// Whether anybody looked.
    pub searched: bool,
}

impl Holders {
    /// The processes seen to hold this socket.
    pub fn of(&self, id: SocketId) -> &[Process] {
        self.of.get(&id.0).map_or(&[], Vec::as_slice)
    }

    /// Whether some processes could not be looked into.
    pub fn is_partial(&self) -> bool {
        self.unseen > 0 || self.hidden
    }
}

/// The number that stands for a socket of which the kernel shows no inode, because no program
/// has it open: its cookie, set apart from inode numbers.
pub fn orphan(cookie: u64) -> SocketId {
    SocketId(cookie | 1 << 63)
}

/// Returns whether no program has the socket open, as with the one that is asked about.
pub fn is_orphan(id: SocketId) -> bool {
    id.0 >> 63 == 1
}

/// What the asking program sets on its socket before `bind(2)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketSettings {
    /// `SO_REUSEADDR`.
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`.
    pub reuseport: bool,
    /// `IPV6_V6ONLY`.
    pub v6only: bool,
    /// `IP_FREEBIND`.
    pub freebind: bool,
    /// `SO_BINDTODEVICE`, a name or number of an interface.
    pub device: Option<String>,
}

/// A machine and who asks on it, with what is known so far and a way to learn more.
pub struct Setting {
    /// What is known about the machine.
    pub host: Host,
    /// Who asks.
    pub subject: Subject,
    /// The group of the asker, if known.
    pub gid: Option<u32>,
    /// Whether the asker is the user who runs this program, not one named by an option.
    pub is_self: bool,
    /// The process in whose place the question is asked, with the name of its program.
    pub process: Option<(u32, String)>,
    /// The program that the question is about, with its arguments as far as they are known.
    pub command: Vec<String>,
    /// The file of the network namespace in question, if it is another than that of this process.
    pub netns: Option<PathBuf>,
    /// The network namespace in question, if it is not the one this program was started in: in
    /// words.
    pub elsewhere: Option<String>,
    /// The effective user who runs this program and looks at its machine; `None` if the facts
    /// are from elsewhere.
    pub runner: Option<u32>,
    /// What is taken for granted because nothing was given or observed, in words.
    pub assumed: Vec<String>,
    /// How to call this program again: its name, or the path by which it was called.
    pub program: String,
    /// Libraries between this process and the kernel, if it is the one that asks.
    pub shims: Vec<Shim>,
    reasons: Vec<Missing>,
    asking: Option<Option<AskingProcess>>,
    observer: Box<dyn Observer>,
}

impl Setting {
    /// A machine with what is known about it; `observer` is asked for the rest.
    pub fn new(host: Host, subject: Subject, observer: Box<dyn Observer>) -> Setting {
        Setting {
            host,
            subject,
            gid: None,
            is_self: false,
            process: None,
            command: Vec::new(),
            netns: None,
            elsewhere: None,
            runner: None,
            assumed: Vec::new(),
            program: "portwise".into(),
            shims: Vec::new(),
            reasons: Vec::new(),
            asking: None,
            observer,
        }
    }

    /// Asks as a login process of `who`: without capabilities unless it is root.
    pub fn ask_as(&mut self, who: user::Named) {
        let from = "as a login process of that user";
        // What this process may not have, nobody who logs in where it is has either.
        let own = self.subject.credentials.value();
        let mut credentials = Credentials::login(who.uid, who.gid.unwrap_or(who.uid), who.groups);
        credentials.bounding = own.map_or(CapSet::ALL, |own| own.bounding);
        credentials.permitted = credentials.permitted.and(credentials.bounding);
        if let Some(own) = own {
            credentials.ids = own.ids.clone();
        }
        // A login leaves the user namespace as it is; who made one is another matter.
        let userns = match &self.subject.userns {
            known if known.value() != Some(&UserNs::Creator) => known.clone(),
            _ => Subject::not_asked(who.uid).userns,
        };
        self.subject = Subject {
            user: who.name.map(Into::into),
            capabilities: Fact::known(credentials.permitted, from),
            credentials: Fact::known(credentials, from),
            userns,
            programs: std::mem::take(&mut self.subject.programs),
            ..Subject::not_asked(who.uid)
        };
        self.observer.ask_as_login();
        if self.subject.programs.is_empty() {
            self.subject.gates = Fact::known(Gates::default(), from);
        }
        (self.gid, self.is_self) = (who.gid, false);
    }

    /// Who makes the call: the subject after executing its programs.
    pub fn asker(&self) -> Subject {
        portwise_model::after_programs(&self.host, &self.subject)
    }

    /// Observes what `execve` reckons with, if nobody asked for it yet.
    pub(crate) fn look_at_credentials(&mut self) {
        for key in [FactKey::IdMap, FactKey::Securebits] {
            let Some(known) = self.subject.credentials.value() else { return };
            let not_asked = Missing::not_asked(key.clone());
            let is_asked = match key {
                FactKey::IdMap => known.ids.get() != Err(not_asked),
                _ => known.securebits.get() != Err(not_asked),
            };
            if !is_asked {
                let _ = self.observe(&key);
            }
        }
    }

    /// Decides a request, observing what its rules miss.
    pub fn decide(&mut self, request: &Request) -> Verdict {
        let mut asked: Vec<FactKey> = Vec::new();
        loop {
            let verdict = decide_parts(&self.host, &self.subject, request);
            let next = verdict.missing().map(|m| &m.key).find(|key| !asked.contains(key)).cloned();
            let Some(key) = next else {
                return order::settle(verdict, &self.host, &self.subject, request);
            };
            let _ = self.observe(&key);
            asked.push(key);
        }
    }

    /// Observes one fact; if it cannot be observed, the reason is kept and returned.
    pub fn observe(&mut self, key: &FactKey) -> Result<(), Missing> {
        let seen = self.observer.observe(key, &mut self.host, &mut self.subject);
        if let Err(missing) = &seen {
            self.reasons.retain(|m| m.key != missing.key);
            self.reasons.push(missing.clone());
        }
        seen
    }

    /// Returns why a fact is missing. The observer knows better than a rule that only knows that
    /// nobody told it.
    pub fn reason(&self, missing: &Missing) -> Missing {
        let found = self.reasons.iter().find(|m| m.key == missing.key);
        let is_general = *missing == Missing::not_asked(missing.key.clone())
            || matches!(missing.key, FactKey::SocketOptions(_) | FactKey::LocalAddress(_));
        found.filter(|_| is_general).unwrap_or(missing).clone()
    }

    /// The case that a request makes with what is known now.
    pub fn case(&self, request: &Request) -> Case {
        Case { host: self.host.clone(), subject: self.subject.clone(), request: *request }
    }

    /// Decides a changed case, observing what its rules miss. What is learned stays in the case.
    pub fn decide_changed(&mut self, case: &mut Case) -> Verdict {
        let mut asked: Vec<FactKey> = Vec::new();
        loop {
            let verdict = portwise_model::decide(case);
            let next = verdict.missing().map(|m| &m.key).find(|key| !asked.contains(key)).cloned();
            let Some(key) = next else {
                return order::settle(verdict, &case.host, &case.subject, &case.request);
            };
            let _ = self.observer.observe(&key, &mut case.host, &mut case.subject);
            asked.push(key);
        }
    }

    /// Observes one fact for a changed case, which keeps it.
    pub(crate) fn observe_in(&mut self, key: &FactKey, case: &mut Case) -> Result<(), Missing> {
        self.observer.observe(key, &mut case.host, &mut case.subject)
    }

    /// The changes that make a request surely allowed, smallest first.
    pub fn fixes(&mut self, case: &Case, verdict: &Verdict) -> Vec<Proven> {
        fix::fixes(case, verdict, |case, missing| {
            self.observer.observe(&missing.key, &mut case.host, &mut case.subject).is_ok()
        })
    }

    /// What is told of the process in whose place the question is asked.
    pub fn asking_process(&mut self) -> Option<&AskingProcess> {
        let Setting { asking, observer, .. } = self;
        asking.get_or_insert_with(|| observer.asking_process()).as_ref()
    }

    /// Reads what decides where packets go.
    ///
    /// # Errors
    /// Why that cannot be observed.
    pub fn traffic(&mut self, deadline: Option<Instant>) -> Result<Traffic, String> {
        self.observer.traffic(deadline)
    }

    /// The TCP listeners of a port whose queue of connections is full.
    pub fn full(&mut self, port: u16) -> BTreeSet<SocketId> {
        self.observer.full(port)
    }

    /// From now on looks for gates also where that costs more.
    pub fn look_closely(&mut self) {
        self.observer.look_closely();
    }

    /// Finds the processes that hold any of these sockets.
    pub fn holders(&mut self, sockets: &[Socket]) -> Holders {
        self.observer.holders(sockets)
    }

    /// Looks for every socket on a port and who holds it, in each network namespace that may be
    /// seen; `None` if the facts are from elsewhere.
    pub fn owners(&mut self, port: u16) -> Option<Rc<Owners>> {
        self.observer.owners(port)
    }

    /// The login name of a user.
    pub fn user(&mut self, uid: u32) -> Option<String> {
        self.observer.user(uid)
    }

    /// The request that binds a fresh socket with these settings to `target`.
    pub fn request(
        &mut self,
        target: &Target,
        settings: &SocketSettings,
    ) -> Result<Request, Trouble> {
        let family = Family::of(target.ip);
        // A program may change the user, who then owns the socket.
        if !self.subject.programs.is_empty() {
            self.look_at_credentials();
        }
        let mut socket = Socket::new(SocketId::ASKING, family, target.protocol, self.asker().uid);
        socket.options.reuseaddr = Some(settings.reuseaddr);
        socket.options.reuseport = Some(settings.reuseport);
        socket.options.freebind = settings.freebind;
        // On OpenBSD no socket carries both.
        let never_both = self.host.kernel.family == portwise_model::KernelFamily::Openbsd;
        socket.v6only = settings.v6only
            || never_both && family == Family::Inet6
            || self.is_v6only_by_default(target);
        if let Some(device) = &settings.device {
            let index = self.device(device)?;
            socket = SockOption::BindToDevice(Some(index)).applied(socket);
        }
        let scope = match &target.zone {
            Some(zone) => self.device(zone)?,
            None => 0,
        };
        let addr = SockAddr::new(target.ip, target.port, scope);
        Ok(Request { call: portwise_model::Call::Bind(addr), socket })
    }

    /// Whether a fresh IPv6 socket serves IPv6 only. Asked where it makes a difference: for the
    /// unspecified address and for IPv4-mapped ones.
    fn is_v6only_by_default(&mut self, target: &Target) -> bool {
        let std::net::IpAddr::V6(ip) = target.ip else { return false };
        let matters = ip.is_unspecified() || ip.to_ipv4_mapped().is_some();
        if target.dual_stack.is_some() || !matters {
            return target.dual_stack == Some(false);
        }
        let (default, sysctl) = portwise_model::v6only_by_default(&self.host);
        let Some(name) = sysctl else { return default };
        if self.host.sysctl(name).is_err() {
            let _ = self.observe(&FactKey::Sysctl(name.into()));
        }
        match self.host.sysctl(name) {
            Ok(value) => value != 0,
            Err(_) => {
                let taken = format!("{name} is 0");
                if !self.assumed.contains(&taken) {
                    self.assumed.push(taken);
                }
                false
            }
        }
    }

    /// The index of an interface given by name or number.
    fn device(&mut self, device: &str) -> Result<u32, Trouble> {
        if let Ok(index) = device.parse() {
            return Ok(index);
        }
        if self.host.interfaces.value().is_none() {
            let _ = self.observe(&FactKey::Interfaces);
        }
        let interfaces = self.host.interfaces.get().map_err(|missing| {
            Trouble::new(format!("cannot look for the interface `{device}`: {}", missing.why))
        })?;
        if let Some(interface) = interfaces.by_name(device) {
            return Ok(interface.index);
        }
        let names: Vec<&str> = interfaces.list.iter().map(|i| i.name.as_ref()).collect();
        let hint = if interfaces.complete {
            String::new()
        } else {
            format!("; `--has ADDRESS/LENGTH%{device}` adds it")
        };
        let there = names.join(", ");
        Err(Trouble::new(format!("no interface `{device}`; there are: {there}{hint}")))
    }

    /// Returns the name of an interface, or its number if the name is not known.
    pub fn device_name(&mut self, index: u32) -> String {
        if self.host.interfaces.value().is_none() {
            let _ = self.observe(&FactKey::Interfaces);
        }
        let known = self.host.interfaces.value().and_then(|list| list.by_index(index));
        known.map_or_else(|| index.to_string(), |interface| interface.name.to_string())
    }
}
