//! Whether a call is one that is to be made for the program.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use portwise_sys::{
    bpf::{self, Allowed},
    lsm, memory,
    pidfd::PidFd,
    proc::Proc,
    seccomp::{Call, Listener, Notification},
    sock::{Socket, SocketOption},
};

use super::super::{Plan, exact};

/// What to do about a call.
pub(super) enum Judgement {
    /// The program makes it itself, with its own rights.
    ByItself,
    /// It is made for the program, on this socket.
    Bind(Socket, SocketAddr),
}

/// Who judges.
pub(super) struct Judge {
    allowed: Vec<(Allowed, u32)>,
    /// The network namespace, where the kernel numbers them; otherwise nothing is to be done for
    /// a program that could have come from another.
    netns: u64,
    /// The label of this process, where a security module goes by labels.
    label: Option<String>,
    /// A process of the program has put itself into a Landlock domain.
    restricted: bool,
    /// What was done lately, by socket: a call may be taken back after that.
    done: HashMap<u64, (SocketAddr, Instant)>,
}

/// How long after it was done a call may come again because a signal took it back.
const AGAIN: Duration = Duration::from_secs(1);

impl Judge {
    /// # Errors
    /// Why nobody could judge here, in words.
    pub(super) fn new(plan: &Plan, scopes: &[u32]) -> Result<Judge, String> {
        let netns = bpf::netns_cookie().map_err(|errno| {
            format!("the kernel does not number network namespaces ({errno}; Linux 5.14 does)")
        })?;
        let mut allowed = Vec::new();
        for (target, scope) in plan.targets.iter().zip(scopes) {
            let one = exact::allowed(std::slice::from_ref(target));
            allowed.extend(one.into_iter().map(|allowed| (allowed, *scope)));
        }
        let proc = Proc::default();
        let labels = has_labels(&proc)?;
        let label = if labels { own_label(&proc)? } else { None };
        Ok(Judge { allowed, netns, label, restricted: false, done: HashMap::new() })
    }

    /// Judges a call.
    pub(super) fn judge(&mut self, listener: &Listener, call: &Notification) -> Judgement {
        self.bind(listener, call).unwrap_or(Judgement::ByItself)
    }

    fn bind(&mut self, listener: &Listener, call: &Notification) -> Option<Judgement> {
        let (fd, pointer, length) = match unpacked(call)? {
            Call::Bind(fd, pointer, length) => (u32::try_from(fd).ok()?, pointer, length),
            Call::Landlock => {
                // From now on this process has rights that the program gave up.
                self.restricted = true;
                return None;
            }
            _ => return None,
        };
        if self.restricted {
            return None;
        }
        let address = address(call.tid, pointer, length)?;
        if !self.allowed.iter().any(|(allowed, scope)| is_meant(allowed, *scope, address)) {
            return None;
        }
        let process = PidFd::of_thread(call.tid).ok()?;
        let socket = Socket::from(process.get_fd(fd).ok()?);
        let is_same_label = self.label.is_none() || self.has_own_label(call.tid);
        // Only now is it sure that the number still meant the thread that waits.
        if !listener.is_waiting(call) || !is_same_label || !self.fits(&socket, address) {
            return None;
        }
        Some(Judgement::Bind(socket, address))
    }

    /// Whether the socket is one that may be bound so: of the family, type and protocol, and of
    /// this network namespace.
    fn fits(&self, socket: &Socket, address: SocketAddr) -> bool {
        const SO_NETNS_COOKIE: i32 = 71;
        const SOL_SOCKET: i32 = 1;
        let family = if address.is_ipv4() { 2 } else { 10 };
        let is = |option, value| socket.get(option) == Ok(value);
        let fits = |(allowed, scope): &(Allowed, u32)| {
            is_meant(allowed, *scope, address)
                && is(SocketOption::SO_TYPE, allowed.kind)
                && (is(SocketOption::SO_PROTOCOL, allowed.protocol)
                    || allowed.protocol == 6 && is(SocketOption::SO_PROTOCOL, 262))
        };
        is(SocketOption::SO_DOMAIN, family)
            && socket.number64(SOL_SOCKET, SO_NETNS_COOKIE) == Ok(self.netns)
            && self.allowed.iter().any(fits)
    }

    fn has_own_label(&self, tid: u32) -> bool {
        let label = Proc::default().security_label(tid).ok().flatten();
        label.is_some() && label == self.label
    }

    /// Whether what is asked was done a moment ago, for a call that was taken back.
    pub(super) fn is_done(&self, socket: &Socket, address: SocketAddr) -> bool {
        let lately = |at: &Instant| at.elapsed() < AGAIN;
        let done = socket.inode().ok().and_then(|inode| self.done.get(&inode));
        // The number may belong to another socket by now.
        let bound = || socket.local_address().ok().and_then(|bound| bound.to_socket_addr());
        done.is_some_and(|(done, at)| *done == address && lately(at)) && bound() == Some(address)
    }

    /// A call was done and answered; whether the answer arrived is not known.
    pub(super) fn remember(&mut self, socket: &Socket, address: SocketAddr) {
        const MANY: usize = 1000;
        if self.done.len() >= MANY {
            self.done.retain(|_, (_, at)| at.elapsed() < AGAIN);
        }
        if let Ok(inode) = socket.inode() {
            self.done.insert(inode, (address, Instant::now()));
        }
    }
}

/// Whether an address is one that is allowed; where it depends on its interface, that one.
fn is_meant(allowed: &Allowed, scope: u32, address: SocketAddr) -> bool {
    let given = match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        _ => scope,
    };
    (allowed.ip, allowed.port, scope) == (address.ip(), address.port(), given)
}

/// The call within a socketcall(2).
fn unpacked(call: &Notification) -> Option<Call> {
    let made = call.call?;
    let Call::Packed(_, pointer) = made else { return Some(made) };
    let mut bytes = [0; 20];
    let read = memory::read(call.tid, pointer, &mut bytes).ok()?;
    let (words, _) = bytes[..read].as_chunks::<4>();
    let mut arguments = [0; 5];
    for (to, word) in arguments.iter_mut().zip(words) {
        *to = u32::from_ne_bytes(*word);
    }
    made.unpacked(&arguments)
}

/// The address that was given: what the kernel looks at of it.
fn address(tid: u32, pointer: u64, length: u32) -> Option<SocketAddr> {
    let mut bytes = [0; 28];
    let length = usize::try_from(length).ok()?;
    let bytes = &mut bytes[..length.min(28)];
    if memory::read(tid, pointer, bytes) != Ok(bytes.len()) || length > 128 {
        return None;
    }
    let address = portwise_sys::sock::Address::from_bytes(bytes)?.to_socket_addr()?;
    // Below that the kernel refuses.
    let least = if address.is_ipv4() { 16 } else { 24 };
    (length >= least).then_some(address)
}

/// Whether a module is in force that goes by labels.
fn has_labels(proc: &Proc) -> Result<bool, String> {
    let modules = lsm::modules(proc).unwrap_or_else(|_| vec!["apparmor".into()]);
    let tomoyo = modules.iter().any(|module| module == "tomoyo");
    if tomoyo && proc.path("sbin/tomoyo-init").exists() {
        return Err("TOMOYO may decide about bind, and this process may be allowed more".into());
    }
    Ok(modules.iter().any(|module| matches!(module.as_str(), "apparmor" | "selinux" | "smack")))
}

fn own_label(proc: &Proc) -> Result<Option<String>, String> {
    proc.security_label(std::process::id()).map_err(|error| {
        format!("a security module may decide about bind, and the label is not known: {error}")
    })
}
