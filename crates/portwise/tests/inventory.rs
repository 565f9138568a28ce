//! The inventory of the machine at hand: sockets of this test are in it, with this process.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};

use portwise::observe::inventory::{
    self, How, Inventory, KernelUse, Link, NoHolder, Query, Run, Socket, State, States, Transport,
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
    // A child that another test has just forked has them too, until it executes its program.
    let own: Vec<_> = seen.holders.iter().filter(|h| h.pid == std::process::id()).collect();
    assert_eq!(own.len(), 2, "{seen:?}");
    assert!(own.iter().all(|holder| holder.how == How::Open));
    assert!(seen.pids().count() < seen.holders.len(), "{seen:?}");
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

/// The lists of all namespaces leave out what is bound and does nothing, until the kernel's counts
/// say that there may be such sockets.
#[test]
fn a_socket_that_is_only_bound_is_seen_everywhere() {
    use portwise_sys::sock::{Address, Socket as Raw};
    let socket = Raw::new(2, 1, 0).unwrap();
    socket.bind(&Address::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = socket.local_address().unwrap().to_socket_addr().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for no_bpf in [false, true] {
        let namespaces = inventory::Namespaces::All;
        let query = Query { namespaces, no_bpf, ..Query::default() };
        let found = inventory::take(&query).unwrap();
        if found.unseen.bound_tcp {
            return portwise_sys::not_run!("this kernel does not show such sockets");
        }
        let bound = mine(&found, State::Bound);
        assert!(bound.iter().any(|socket| socket.local() == address), "{bound:?}");
        let listening = mine(&found, State::Listen);
        assert!(listening.iter().any(|s| s.local() == listener.local_addr().unwrap()));
        let place = |s: &Socket| found.namespaces.iter().position(|n| n.inode == s.netns);
        let transports = query.transports.iter();
        let rank = |s: &Socket| transports.clone().position(|t| *t == s.transport);
        assert!(found.sockets.is_sorted_by_key(|s| (place(s), rank(s), s.family)));
    }
}

/// A process that holds a descriptor and does nothing, until it is dropped.
struct Holding(Child);

impl Holding {
    fn this(socket: impl Into<Stdio>) -> Holding {
        let child = Command::new("sleep").arg("60").stdin(socket).spawn().unwrap();
        // It closes what it must not inherit before it gets its name, and that after this parent
        // goes on.
        let name = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        Holding(child)
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

/// Both ways to look for holders, where both can be gone.
fn both_ways(query: &Query) -> [Inventory; 2] {
    [false, true].map(|no_bpf| inventory::take(&Query { no_bpf, ..query.clone() }).unwrap())
}

#[test]
fn a_descriptor_under_way_is_found_where_it_waits() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::{AsFd, AsRawFd};
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = Some(listener.local_addr().unwrap().port());
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let fds = [listener.as_fd()];
    assert!(rights.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(&here, &[std::io::IoSlice::new(b"x")], &mut rights, SendFlags::empty()).unwrap();
    drop(listener);
    for found in both_ways(&Query { port, ..Query::default() }) {
        let [socket] = &found.sockets[..] else { panic!("{found:?}") };
        let mine = socket.holders.iter().find(|holder| holder.pid == std::process::id());
        let mine = mine.unwrap_or_else(|| panic!("{found:?}"));
        assert_eq!((mine.how, mine.fd), (How::InFlight, there.as_raw_fd() as u32));
    }
}

#[test]
fn an_mptcp_listener_and_its_part_have_one_holder() {
    use portwise_sys::sock::{Address, Socket as Raw};
    const MPTCP: i32 = 262;
    let socket = match Raw::new(2, 1, MPTCP) {
        Ok(socket) => socket,
        Err(errno) => return portwise_sys::not_run!("no MPTCP here: {errno}"),
    };
    socket.bind(&Address::new("127.0.0.1:0".parse().unwrap())).unwrap();
    socket.listen(3).unwrap();
    let port = socket.local_address().unwrap().to_socket_addr().map(|address| address.port());
    for found in both_ways(&Query { port, ..Query::default() }) {
        let transports: Vec<Transport> =
            mine(&found, State::Listen).iter().map(|socket| socket.transport).collect();
        assert_eq!(transports, [Transport::Tcp, Transport::Mptcp], "{found:?}");
    }
}

#[test]
fn sockets_that_share_a_port_are_a_group() {
    use portwise_sys::sock::{Address, Socket as Raw, SocketOption};
    let group = |kind: i32, address: &Address| {
        let socket = Raw::new(2, kind, 0).unwrap();
        socket.set(SocketOption::SO_REUSEPORT, 1).unwrap();
        socket.bind(address).unwrap();
        if kind == 1 {
            socket.listen(3).unwrap();
        }
        socket
    };
    let any = Address::new("127.0.0.1:0".parse().unwrap());
    for kind in [1, 2] {
        let one = group(kind, &any);
        let address = one.local_address().unwrap();
        let other = group(kind, &address);
        let port = address.to_socket_addr().map(|address| address.port());
        for found in both_ways(&Query { port, ..Query::default() }) {
            let seen: Vec<_> = found.sockets.iter().map(|s| (s.group, s.reuseport)).collect();
            // /proc shows no options; only listeners of TCP give it away.
            let is_told = kind == 1 || found.path == inventory::Path::Bpf;
            let expected = if is_told { (Some(1), Some(true)) } else { (None, None) };
            let seen = seen.into_iter().map(|(group, port)| (group.map(|_| 1), port));
            assert!(seen.eq([expected; 2]), "{found:?}");
            assert_eq!(found.sockets[0].group, found.sockets[1].group);
        }
        drop(other);
    }
}

#[test]
fn another_process_with_the_number_of_a_holder_is_not_taken_for_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut found = on(listener.local_addr().unwrap().port(), States::Bound);
    let me = std::process::id();
    let holder = found.sockets[0].holders.iter_mut().find(|holder| holder.pid == me).unwrap();
    holder.start += 1;
    found.describe();
    assert!(!found.processes.contains_key(&me));
}

/// The private network that the rest of a test runs in, as root: `None` says why there is none.
fn in_a_network(name: &str, setup: &str) -> bool {
    const INSIDE: &str = "PORTWISE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let exe = std::env::current_exe().unwrap();
    let script = format!(
        "{{ ip link set lo up && {setup}; }} >&2 || {{ echo no setup; exit 0; }}; exec \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]).arg(exe).args([name, "--exact", "--nocapture"]);
    match command.env(INSIDE, "1").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            if text.contains("no setup") || !text.contains("running 1 test") {
                portwise_sys::not_run!("{name}: {}", errors.lines().next().unwrap_or_default());
            } else {
                assert!(output.status.success(), "{text}{errors}");
            }
        }
        Err(error) => portwise_sys::not_run!("{name}: no unshare: {error}"),
    }
    false
}

#[test]
fn a_socket_of_the_kernel_is_told_with_its_use() {
    let name = "a_socket_of_the_kernel_is_told_with_its_use";
    let setup = "ip link add v type vxlan id 5 dstport 4789 && ip link set v up";
    if !in_a_network(name, setup) {
        return;
    }
    let [best, plain] = both_ways(&Query { port: Some(4789), ..Query::default() });
    let why = |found: &Inventory| found.sockets.iter().map(|s| s.no_holder).collect::<Vec<_>>();
    assert!(!plain.sockets.is_empty());
    for reason in why(&plain) {
        assert!(matches!(reason, Some(NoHolder::NotFound | NoHolder::Unseen)), "{plain:?}");
    }
    if best.path == inventory::Path::Bpf {
        let vxlan = Some(NoHolder::Kernel(KernelUse::Vxlan));
        assert_eq!(why(&best), vec![vxlan; plain.sockets.len()]);
    }
}
