//! A network namespace as the `setup` of a scenario file asks for it, and commands run in it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use portwise_model::scenario::{
    Unsupported,
    format::{Setup, Value},
};
use portwise_sys::{
    Errno, Error,
    ns::{self, Kind, Namespace},
    rtnetlink::RtNetlink,
};

use super::{Trouble, namespace};

/// How long a command may run.
const LIMIT: Duration = Duration::from_secs(30);

/// The network namespace of this thread, made for one scenario. It vanishes with the thread.
pub(super) struct Room {
    net: RtNetlink,
    peer: Option<Peer>,
}

/// Another namespace, at the other end of `v0`.
struct Peer {
    namespace: Namespace,
    net: RtNetlink,
}

impl Room {
    /// Moves this thread into a fresh network namespace that has nothing but a loopback
    /// interface; the peer, if the setup has one, likewise.
    ///
    /// # Errors
    /// If no namespace can be made.
    pub(super) fn new(setup: &Setup) -> Result<Room, Trouble> {
        let opened = |result: Result<RtNetlink, Error>| result.map_err(|e| Trouble(e.to_string()));
        let mut peer = None;
        if setup.veth || !setup.peer_cmds.is_empty() {
            namespace::fresh()?;
            let namespace = Namespace::of_thread(Kind::Net).map_err(|e| Trouble(e.to_string()))?;
            ns::lo_up().map_err(|errno| Trouble(format!("lo of the peer: {errno}")))?;
            peer = Some(Peer { namespace, net: opened(RtNetlink::open())? });
        }
        namespace::fresh()?;
        Ok(Room { net: opened(RtNetlink::open())?, peer })
    }

    /// Makes what the setup asks for.
    ///
    /// # Errors
    /// What of it cannot be made here.
    pub(super) fn furnish(&mut self, setup: &Setup) -> Result<(), Unsupported> {
        if setup.excluded_port_range {
            return Err(Unsupported("setup excluded_port_range".into()));
        }
        let failed = |error: Error| Unsupported(format!("setup: {error}"));
        if !setup.lo_down {
            ns::lo_up().map_err(|errno| failed(Error::about("SIOCSIFFLAGS", errno, "lo")))?;
        }
        if setup.veth {
            self.link_peer().map_err(failed)?;
        }
        if setup.veth {
            let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            // Without IPv6 there is nothing to wait for.
            let _ = namespace::answers((own, 1).into(), Duration::from_secs(2));
        }
        for name in &setup.devs {
            self.add_pair(name).map_err(failed)?;
        }
        for (key, value) in &setup.sysctl {
            let written = write_sysctl(key, &text(value))?;
            written.map_err(|errno| {
                Unsupported(format!("setup: sysctl {key}={}: {errno}", text(value)))
            })?;
        }
        for command in &setup.cmds {
            self.run(command)?;
        }
        for command in &setup.peer_cmds {
            let peer = self.peer.as_ref().map(|peer| &peer.namespace);
            run(command, peer)?;
        }
        Ok(())
    }

    /// `v0` here and `v1` there. Made as a pair in one place, of which the second end comes
    /// first, so that `v0` has the index that it has in the recordings.
    fn link_peer(&mut self) -> Result<(), Error> {
        let Some(peer) = &mut self.peer else { return Ok(()) };
        self.net.add_veth("v0", "v1")?;
        let there = namespace::index(&mut self.net, "v1")?;
        self.net.move_link(there, &peer.namespace)?;
        let no_detection = |device: &str| {
            let key = format!("net.ipv6.conf.{device}.accept_dad");
            // Without IPv6 there is nothing to detect.
            let _ = write_sysctl(&key, "0");
        };
        no_detection("v0");
        in_namespace(&peer.namespace, || no_detection("v1"))?;
        let ends = [(&mut self.net, "v0", 1), (&mut peer.net, "v1", 2)];
        for (net, device, host) in ends {
            let index = namespace::index(net, device)?;
            net.set_up(index)?;
            net.add_address(index, Ipv4Addr::new(192, 0, 2, host).into(), 24, false)?;
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());
            net.add_address(index, IpAddr::V6(v6), 64, true)?;
        }
        Ok(())
    }

    fn add_pair(&mut self, name: &str) -> Result<(), Error> {
        let peer = format!("{name}p");
        self.net.add_veth(name, &peer)?;
        for end in [name, &peer] {
            let index = namespace::index(&mut self.net, end)?;
            self.net.set_up(index)?;
        }
        Ok(())
    }

    /// Runs a shell command in this thread's namespace.
    ///
    /// # Errors
    /// A tool that is missing, or any other failure: the surroundings are not as asked for.
    pub(super) fn run(&self, command: &str) -> Result<(), Unsupported> {
        run(command, None)
    }

    /// Does something in the peer namespace; `None` if there is none.
    pub(super) fn in_peer<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Option<T> {
        in_namespace(&self.peer.as_ref()?.namespace, work).ok()
    }

    /// The index of the interface with this name.
    pub(super) fn device(&mut self, name: &str) -> Option<u32> {
        namespace::index(&mut self.net, name).ok()
    }
}

/// What a sysctl is set to.
fn text(value: &Value) -> String {
    let number = value.int().map(|n| n.to_string());
    number.or(value.text().map(str::to_string)).unwrap_or_default()
}

/// Writes a sysctl of this thread's network namespace, and returns what the kernel answered.
///
/// # Errors
/// A sysctl of the whole machine, one that is not there, and one that may not be written.
pub(super) fn write_sysctl(key: &str, value: &str) -> Result<Result<(), Errno>, Unsupported> {
    let path = key.replace('.', "/");
    if !path.starts_with("net/") {
        return Err(Unsupported(format!("sysctl {key}: not one of a network namespace")));
    }
    let file = fs::OpenOptions::new().write(true).open(format!("/proc/sys/{path}"));
    let mut file = file
        .map_err(|e| Unsupported(format!("sysctl {key} cannot be written: {}", Errno::from(e))))?;
    Ok(file.write_all(value.as_bytes()).map_err(Errno::from))
}

/// Does something in another network namespace. A thread of its own does it, so that this one
/// cannot be left there.
fn in_namespace<T: Send>(there: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    in_thread(|| {
        there.enter(Kind::Net).map_err(|errno| Error::new("setns", errno))?;
        Ok(work())
    })
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let outcome = std::thread::scope(|scope| scope.spawn(work).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a shell command in a network namespace, by default this thread's. The first command in
/// it that fails ends it.
fn run(command: &str, there: Option<&Namespace>) -> Result<(), Unsupported> {
    let unsupported = |why: String| Unsupported(format!("command `{command}`: {why}"));
    let finished = in_thread(|| {
        if let Some(there) = there {
            there.enter(Kind::Net).map_err(|errno| format!("setns: {errno}"))?;
        }
        // The shell is the first process of a pid namespace: what it leaves running ends with it.
        ns::unshare(&[Kind::Pid]).map_err(|errno| format!("no pid namespace: {errno}"))?;
        finish(shell(command).spawn().map_err(|e| format!("sh: {e}"))?)
    });
    let (status, complaint) = finished.map_err(unsupported)?;
    if status.success() {
        return Ok(());
    }
    let first = complaint.lines().next().unwrap_or_default();
    // The shell's own line says which: `sh: 1: nft: not found`.
    Err(unsupported(match status.code() {
        Some(127) if !first.is_empty() => first.to_string(),
        _ if first.is_empty() => status.to_string(),
        _ => format!("{first} ({status})"),
    }))
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-ec", command]).env("LC_ALL", "C").env("PATH", path());
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    shell
}

/// Where tools are looked for: the way of a plain user does not lead to ip-link(8).
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

/// Waits for a command, and reads what it says on standard error.
fn finish(mut child: Child) -> Result<(ExitStatus, String), String> {
    let end = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", LIMIT.as_secs()));
            }
            Err(error) => return Err(format!("wait: {error}")),
        }
    };
    let mut complaint = Vec::new();
    if let Some(mut pipe) = child.stderr.take() {
        let _ = pipe.read_to_end(&mut complaint);
    }
    Ok((status, String::from_utf8_lossy(&complaint).into_owned()))
}
