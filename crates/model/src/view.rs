//! The case as rules see it: every fact a rule looks at is recorded as evidence.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    Call, Cap, CapSet, Credentials, Fact, FactKey, Feature, FileCapabilities, Host, IfAddr, Inode,
    LocalPorts, LocalRoute, Missing, Mount, Program, Protocol, Request, SockAddr, SockOption,
    Socket, Subject, Text, UserNs,
};

/// A fact that a rule looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// The address asked for, as the socket's family reads it.
    Address(IpAddr),
    /// The port asked for.
    Port(u16),
    /// The length or family of the address asked for.
    SockAddr {
        /// `sa_family`.
        family: u16,
        /// Length in bytes.
        len: u32,
    },
    /// The asking socket, as it is.
    Asking(Socket),
    /// The user who asks.
    Uid(u32),
    /// A sysctl, its value, and where it was read.
    Sysctl(Text, i64, Text),
    /// Whether the subject's capability counts here.
    Capability(Cap, bool),
    /// How the subject's user namespace relates to the network's.
    UserNs(UserNs),
    /// The local route that decides what an address is; `None` without one.
    LocalRoute(Option<LocalRoute>),
    /// The interface address looked for, with the index of its interface; `None` if no
    /// interface has it.
    IfAddr(Option<(u32, IfAddr)>),
    /// Whether the interface with this index exists.
    Device(u32, bool),
    /// The host has no gate of this name.
    NoGate(&'static str),
    /// The subject has no gate of this name in its way.
    NoOwnGate(&'static str),
    /// The subject has this gate in its way, and it refuses.
    OwnGate(Text, Text),
    /// It could not be seen whether the subject has this gate in its way.
    UnseenGate(Text, Text),
    /// A file or directory that permission was asked for.
    Inode(Inode),
    /// No file has this path.
    NoFile(Text),
    /// How the file system of this path is mounted.
    Mount(Text, Mount),
    /// The capabilities of a file, by its path.
    FileCapabilities(Text, FileCapabilities),
    /// The capabilities a file may give the subject at most.
    Bounding(CapSet),
    /// Whether the kernel has a feature, and how that is known.
    Feature(&'static Feature, bool, Text),
    /// A socket that is in the way.
    InTheWay(Socket),
    /// A socket that holds the port and is not in the way.
    Beside(Socket),
    /// The range that automatic ports come from.
    LocalPorts(u16, u16),
    /// The kernel remembers that sharing this port was fine, and does not look at its owners.
    SharedBefore(u16),
}

/// A case under a rule's eyes.
pub struct View<'a> {
    host: &'a Host,
    subject: &'a Subject,
    call: Under<'a>,
    seen: Option<RefCell<Vec<Evidence>>>,
}

/// What the rules are asked about.
#[derive(Clone, Copy)]
enum Under<'a> {
    /// A call on a socket.
    Socket(&'a Request),
    /// The execution of a program.
    Exec(&'a Program),
}

impl<'a> View<'a> {
    /// Looks at a case, with or without recording evidence.
    pub(crate) fn new(
        host: &'a Host,
        subject: &'a Subject,
        request: &'a Request,
        record: bool,
    ) -> View<'a> {
        View { host, subject, call: Under::Socket(request), seen: record.then(RefCell::default) }
    }

    /// Looks at the execution of a program, with or without recording evidence.
    pub(crate) fn exec(
        host: &'a Host,
        subject: &'a Subject,
        program: &'a Program,
        record: bool,
    ) -> View<'a> {
        View { host, subject, call: Under::Exec(program), seen: record.then(RefCell::default) }
    }

    /// Takes the evidence recorded since the last call.
    pub(crate) fn take_evidence(&self) -> Vec<Evidence> {
        self.seen.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// Records what a rule looked at.
    pub fn note(&self, evidence: impl FnOnce() -> Evidence) {
        if let Some(seen) = &self.seen {
            seen.borrow_mut().push(evidence());
        }
    }

    /// The host, for walks that record their own evidence.
    pub fn host(&self) -> &'a Host {
        self.host
    }

    /// The request. Panics in a rule about `execve`.
    fn request(&self) -> &'a Request {
        match self.call {
            Under::Socket(request) => request,
            Under::Exec(program) => unreachable!("a socket rule was asked about {program:?}"),
        }
    }

    /// The program that is executed. Panics in a rule that is on no list of `execve`.
    pub fn program(&self) -> &'a Program {
        match self.call {
            Under::Exec(program) => program,
            Under::Socket(request) => unreachable!("an exec rule was asked about {request:?}"),
        }
    }

    /// The subject, for walks that record their own evidence.
    pub fn subject(&self) -> &'a Subject {
        self.subject
    }

    /// The credentials of the subject.
    pub fn credentials(&self) -> Result<&'a Credentials, Missing> {
        self.subject.credentials.get()
    }

    /// The socket of the call, as it is before the call.
    pub fn socket(&self) -> &'a Socket {
        let socket = &self.request().socket;
        self.note(|| Evidence::Asking(*socket));
        socket
    }

    /// The protocol of the socket. A list of rules is for one protocol, so this is no evidence.
    pub fn protocol(&self) -> Protocol {
        self.request().socket.protocol
    }

    /// The address given to `bind` or `connect`. Panics in a rule of any other call.
    pub fn sockaddr(&self) -> &'a SockAddr {
        match &self.request().call {
            Call::Bind(addr) | Call::Connect(addr) => addr,
            call => unreachable!("a bind rule was asked about {call:?}"),
        }
    }

    /// The option given to `setsockopt`. Panics in a rule that is on no list of `setsockopt`.
    pub fn option(&self) -> SockOption {
        match self.request().call {
            Call::SetOption(option) => option,
            call => unreachable!("a setsockopt rule was asked about {call:?}"),
        }
    }

    /// The address asked for, read as the socket's family reads it.
    pub fn ip(&self) -> IpAddr {
        let ip = self.sockaddr().ip(self.request().socket.family);
        self.note(|| Evidence::Address(ip));
        ip
    }

    /// The IPv4 address asked for.
    pub fn ipv4(&self) -> Ipv4Addr {
        let ip = self.sockaddr().ipv4();
        self.note(|| Evidence::Address(ip.into()));
        ip
    }

    /// The IPv6 address asked for.
    pub fn ipv6(&self) -> Ipv6Addr {
        let ip = self.sockaddr().ipv6();
        self.note(|| Evidence::Address(ip.into()));
        ip
    }

    /// The port asked for, 0 for any.
    pub fn port(&self) -> u16 {
        let port = self.sockaddr().port;
        self.note(|| Evidence::Port(port));
        port
    }

    /// The length in bytes of the address asked for.
    pub fn sockaddr_len(&self) -> u32 {
        let &SockAddr { family, len, .. } = self.sockaddr();
        self.note(|| Evidence::SockAddr { family, len });
        len
    }

    /// The family written in the address asked for.
    pub fn sa_family(&self) -> u16 {
        let &SockAddr { family, len, .. } = self.sockaddr();
        self.note(|| Evidence::SockAddr { family, len });
        family
    }

    /// The effective user id of the subject.
    pub fn uid(&self) -> u32 {
        self.note(|| Evidence::Uid(self.subject.uid));
        self.subject.uid
    }

    /// The sysctl called `name`.
    pub fn sysctl(&self, name: &'static str) -> Result<i64, Missing> {
        let value = self.host.sysctl(name)?;
        let from = || self.host.sysctls.get(name).map_or("", Fact::source);
        self.note(|| Evidence::Sysctl(name.into(), value, Text::Owned(from().into())));
        Ok(value)
    }

    /// Whether `cap` of the subject counts in the user namespace that owns this network.
    pub fn capable(&self, cap: Cap) -> Result<bool, Missing> {
        let held = match self.subject.userns.get() {
            Ok(UserNs::Creator) => true,
            Ok(UserNs::Foreign) => false,
            Ok(UserNs::Owner | UserNs::Ancestor) => self.effective(cap)?,
            Err(missing) => return Err(missing),
        };
        self.note(|| Evidence::Capability(cap, held));
        if let Some(&userns) = self.subject.userns.value() {
            self.note(|| Evidence::UserNs(userns));
        }
        Ok(held)
    }

    fn effective(&self, cap: Cap) -> Result<bool, Missing> {
        self.subject.capabilities.get().map(|caps: &CapSet| caps.has(cap))
    }

    /// The local route that decides what an IPv4 address is.
    pub fn local_route(&self, ip: Ipv4Addr) -> Result<Option<LocalRoute>, Missing> {
        let routes = self.host.local_routes.get()?;
        let route = routes.lookup(ip).copied();
        if route.is_none() && !routes.complete {
            return Err(address_unknown(ip.into()));
        }
        self.note(|| Evidence::LocalRoute(route));
        Ok(route)
    }

    /// Whether the table `local` exists: it does not before the first address comes.
    pub fn has_local_table(&self) -> Result<bool, Missing> {
        Ok(self.host.local_routes.get()?.exists)
    }

    /// The first interface address for which `wanted` holds, with its interface's index. `ip`
    /// is the address in question.
    pub fn interface_address(
        &self,
        ip: IpAddr,
        wanted: impl Fn(&crate::Interface, &IfAddr) -> bool,
    ) -> Result<Option<(u32, IfAddr)>, Missing> {
        let interfaces = self.host.interfaces.get()?;
        let found = interfaces.addresses().find(|(i, a)| wanted(i, a));
        let found = found.map(|(i, a)| (i.index, *a));
        if found.is_none() && !interfaces.complete {
            return Err(address_unknown(ip));
        }
        self.note(|| Evidence::IfAddr(found));
        Ok(found)
    }

    /// Whether the gate called `name` may answer by rules of its own: `Ok(false)` if the host has
    /// no such gate, else what is missing. `reveal` says what would show its rules.
    pub fn gate(&self, name: &'static str, reveal: &'static str) -> Result<bool, Missing> {
        let policies = self.host.policies.get()?;
        if policies.iter().any(|gate| gate == name) {
            let key = FactKey::Policy(Text::Borrowed(name));
            return Err(Missing::new(key, "this gate answers by rules of its own", reveal));
        }
        self.note(|| Evidence::NoGate(name));
        Ok(false)
    }

    /// Whether the gate called `name`, which is one of the subject's own, refuses: `Ok(false)` if
    /// it has no such gate in its way; what is missing if it has one that answers by rules of its
    /// own.
    pub fn own_gate(&self, name: &'static str) -> Result<bool, Missing> {
        let gates = self.subject.gates.get()?;
        if let Some(gate) = gates.present.iter().find(|gate| gate.name == name) {
            if gate.refuses {
                self.note(|| Evidence::OwnGate(gate.name.clone(), gate.what.clone()));
                return Ok(true);
            }
            let key = FactKey::Policy(Text::Borrowed(name));
            return Err(Missing::new(key, gate.what.clone(), gate.reveal.clone()));
        }
        let unseen = || gates.unseen.iter().find(|gate| gate.name == name);
        self.note(|| match unseen() {
            Some(gate) => Evidence::UnseenGate(gate.name.clone(), gate.what.clone()),
            None => Evidence::NoOwnGate(name),
        });
        Ok(false)
    }

    /// Whether an interface with this index exists.
    pub fn device_exists(&self, index: u32) -> Result<bool, Missing> {
        let interfaces = self.host.interfaces.get()?;
        let exists = interfaces.by_index(index).is_some();
        if !exists && !interfaces.complete {
            return Err(Missing::not_asked(FactKey::Interfaces));
        }
        self.note(|| Evidence::Device(index, exists));
        Ok(exists)
    }

    /// The sockets that hold `port`, in the kernel's order, without the asking one.
    pub fn others_on(&self, port: u16) -> Result<impl Iterator<Item = &'a Socket>, Missing> {
        let asking = self.request().socket.id;
        Ok(self.host.sockets.on(port)?.iter().filter(move |s| s.id != asking))
    }

    /// Where automatic ports come from.
    pub fn local_ports(&self) -> Result<&'a LocalPorts, Missing> {
        let ports = self.host.local_ports.get()?;
        self.note(|| Evidence::LocalPorts(ports.low, ports.high));
        Ok(ports)
    }

    /// Whether the kernel has `feature`: as probed, else by its version.
    pub fn has(&self, feature: &'static Feature) -> Result<bool, Missing> {
        let has = self.host.has(feature).ok_or_else(|| version_unread(feature))?;
        let probed = || self.host.probed.iter().find(|p| p.feature == feature.id);
        let from = || probed().map_or(Text::Borrowed("version"), |p| p.from.clone());
        self.note(|| Evidence::Feature(feature, has, from()));
        Ok(has)
    }
}

fn address_unknown(ip: IpAddr) -> Missing {
    Missing::new(
        FactKey::LocalAddress(ip),
        "whether this address is the host's is not known",
        "--has ADDRESS/LENGTH",
    )
}

fn version_unread(feature: &Feature) -> Missing {
    Missing::new(
        FactKey::Feature(feature.id.into()),
        "the sources of this version were not published or not read",
        "try it on that version",
    )
}
