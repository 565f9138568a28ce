//! The inventory of the machine at hand: sockets of this test are in it, with this process.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};

use portwise::observe::inventory::{
    self, How, Inventory, Link, NoHolder, Query, Run, Socket, State, States, Transport,
};

fn on(port: u16, states: States) -> Inventory {
    inventory::take(&Query { port: Some(port), states, ..Query::default() }).unwrap()
}

/// The sockets of one state that this very process holds.
fn mine(inventory: &Inventory, state: State) -> Vec<&Socket> {
    let held = |s: &&Socket| s.pids().any(|pid| pid == std::process::id());
    inventory.sockets.iter().filter(|s| s.state == state).filter(held).collect()
}

#[test]
fn a_listener_has_its_holder() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut found = on(address.port(), States::Bound);
    let [socket] = mine(&found, State::Listen)[..] else { panic!("{found:?}") };
    assert_eq!((socket.transport, socket.local()), (Transport::Tcp, address));
    assert_eq!(socket.no_holder, None);
    assert_eq!((socket.wqueue, socket.rqueue), (128, 0));
    assert!(found.namespaces[0].own && found.namespace(socket).is_some());
    found.describe();
    let me = &found.processes[&std::process::id()];
    let exe = std::env::current_exe().unwrap();
    assert_eq!(me.exe.as_ref().map(|exe| &exe.path), Some(&exe));
    assert_eq!(me.arguments[0], std::env::args().next().unwrap());
    assert!(me.age.as_secs() < 3600, "{:?}", me.age);
}

#[test]
fn both_ends_of_a_connection_and_one_not_accepted() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let found = on(address.port(), States::All);
    let waiting: Vec<_> = found.sockets.iter().filter(|s| s.state == State::Established).collect();
    let [waiting] = waiting[..] else { panic!("{found:?}") };
    assert_eq!(waiting.no_holder, Some(NoHolder::NotAccepted));
    assert_eq!((waiting.inode, waiting.uid), (None, None));
    let accepted = listener.accept().unwrap();
    let found = on(address.port(), States::All);
    let [server] = mine(&found, State::Established)[..] else { panic!("{found:?}") };
    assert_eq!(server.remote, Some(client.local_addr().unwrap()));
    assert_eq!(server.cookie, waiting.cookie);
    let source = client.local_addr().unwrap().port();
    let found = on(source, States::All);
    let [own] = mine(&found, State::Established)[..] else { panic!("{found:?}") };
    assert_eq!(own.remote, Some(address));
    // Only what is bound is asked for: a source port is not.
    assert!(on(source, States::Bound).sockets.is_empty());
    drop(accepted);
}

#[test]
fn two_descriptors_of_one_socket() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let again = socket.try_clone().unwrap();
    let found = on(socket.local_addr().unwrap().port(), States::Bound);
    let [seen] = mine(&found, State::Bound)[..] else { panic!("{found:?}") };
    assert_eq!(seen.transport, Transport::Udp);
    assert_eq!(seen.holders.len(), 2, "{seen:?}");
    assert!(seen.holders.iter().all(|holder| holder.how == How::Open));
    assert_eq!(seen.pids().count(), 1);
    drop(again);
}

#[test]
fn nobody_looks_for_holders_unless_asked() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = Some(socket.local_addr().unwrap().port());
    let found = inventory::take(&Query { port, holders: false, ..Query::default() }).unwrap();
    assert_eq!(found.path, inventory::Path::None);
    assert!(found.sockets.iter().all(|s| s.no_holder == Some(NoHolder::NotAsked)));
    assert_eq!(found.sockets.len(), 1);
}

/// A process that holds a descriptor and does nothing, until it is dropped.
struct Holding(Child);

impl Holding {
    fn this(socket: impl Into<Stdio>) -> Holding {
        Holding(Command::new("sleep").arg("60").stdin(socket).spawn().unwrap())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn both_ways_find_the_same_holders() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let copy = |l: &TcpListener| std::os::fd::OwnedFd::from(l.try_clone().unwrap());
    let heirs = [(); 3].map(|()| Holding::this(copy(&listener)));
    let query = Query { port: Some(port), states: States::All, ..Query::default() };
    let mut best = inventory::take(&query).unwrap();
    let mut plain = inventory::take(&Query { no_bpf: true, ..query }).unwrap();
    if best.path != inventory::Path::Bpf {
        let why = best.why_not_faster.clone().unwrap_or_default();
        portwise_sys::not_run!("the comparison of BPF with /proc: {why}");
    }
    assert_eq!(plain.path, inventory::Path::Proc);
    assert_eq!(plain.why_not_faster.as_deref(), Some("--no-bpf was given"));
    let listening = mine(&best, State::Listen)[0];
    for heir in &heirs {
        let held = listening.holders.iter().filter(|holder| holder.pid == heir.0.id());
        assert_eq!(held.map(|holder| holder.fd).collect::<Vec<_>>(), [0]);
    }
    // The rest that BPF sees is beyond /proc.
    for socket in &mut best.sockets {
        (socket.reuseaddr, socket.reuseport, socket.v6only) = (None, None, None);
    }
    assert_eq!(best.sockets, plain.sockets);
    best.describe();
    plain.describe();
    let commands = |inventory: &Inventory| -> Vec<(u32, String)> {
        inventory.processes.iter().map(|(pid, p)| (*pid, p.command.clone())).collect()
    };
    assert_eq!(commands(&best), commands(&plain));
    assert_eq!(best.processes[&heirs[0].0.id()].command, "sleep");
    drop(client);
}

#[test]
fn what_is_told_of_a_holder() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let there = tempfile::tempdir().unwrap();
    let program = there.path().join("my server");
    std::fs::copy("/bin/sleep", &program).unwrap();
    // The shell ends at once and leaves the server behind.
    let script = "exec 3<&0; \"$0\" 60 <&3 >/dev/null 2>&1 & echo $!";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(&program)
        .stdin(std::os::fd::OwnedFd::from(listener))
        .current_dir(&there)
        .output()
        .unwrap();
    let pid: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let directory = there.path().canonicalize().unwrap();
    drop(there);
    let signal = |name: &str| {
        let done = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
        assert!(done.success());
    };
    signal("-STOP");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    let process = loop {
        let mut found = on(port, States::Bound);
        found.describe();
        let process = found.processes.remove(&pid).unwrap();
        if process.run == Run::Stopped || std::time::Instant::now() > deadline {
            break process;
        }
    };
    signal("-KILL");
    assert_eq!(process.run, Run::Stopped);
    assert_eq!(process.command, "my server");
    assert_eq!(process.arguments, [directory.join("my server").to_str().unwrap(), "60"]);
    let link = |path: std::path::PathBuf| Some(Link { path, deleted: true });
    assert_eq!(process.exe, link(directory.join("my server")));
    assert_eq!(process.cwd, link(directory));
    let parent = process.parent.unwrap();
    assert_ne!(parent.pid, std::process::id());
    assert!(!parent.zombie && process.age.as_secs() < 60);
    // A test that is a child of pid 1 itself shares its session with it.
    let session =
        |pid: &str| Some(portwise_sys::proc::Proc::default().stat(pid.parse().ok()?).ok()?.session);
    let is_told = session(&parent.pid.to_string()) != session(&std::process::id().to_string());
    assert_eq!(process.parent_gone, is_told);
}
