//! The inventory of a machine on which processes come and go. In a program of its own, which can
//! count its descriptors.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use portwise::observe::inventory::{self, Namespaces, NoHolder, Query, Socket, State, States};

/// 50 families: each opens sockets, hands them to a child, closes them, and the child ends. What
/// family N opens is at 127.1.0.N, and its members are called `family-N`.
const TURMOIL: &str = r"
import ctypes, os, random, socket, sys, time
def end_with_parent():
    ctypes.CDLL(None).prctl(1, 9)
def family(number):
    end_with_parent()
    with open('/proc/self/comm', 'w') as name: name.write(f'family-{number}')
    random.seed(number)
    while True:
        held = []
        for _ in range(random.randrange(1, 6)):
            s = socket.socket(socket.AF_INET, random.choice([1, 2]))
            s.bind((f'127.1.0.{number}', 0))
            if s.type == 1: s.listen(1)
            held.append(s)
        child = os.fork()
        if child == 0:
            end_with_parent()
            time.sleep(random.random() / 5)
            os._exit(0)
        time.sleep(random.random() / 10)
        held.clear()
        os.waitpid(child, 0)
for number in range(1, 51):
    if os.fork() == 0:
        try: family(number)
        finally: os._exit(1)
print('ready', flush=True)
sys.stdin.read()
";

/// Kills what it started when it is dropped.
struct Turmoil(Child);

impl Drop for Turmoil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of the family that opened a socket.
fn family(socket: &Socket) -> Option<u8> {
    match socket.ip {
        IpAddr::V4(ip) if ip.octets()[..3] == [127, 1, 0] => Some(ip.octets()[3]),
        _ => None,
    }
}

#[test]
fn no_holder_is_mistaken_for_another() {
    let mut python = Command::new("python3");
    python.args(["-c", TURMOIL]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut turmoil = match python.spawn() {
        Ok(turmoil) => Turmoil(turmoil),
        Err(error) => return portwise_sys::not_run!("no python3: {error}"),
    };
    let mut said = String::new();
    let output = turmoil.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, me) = (listener.local_addr().unwrap(), std::process::id());
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    // CI asks for more.
    let rounds = std::env::var("PORTWISE_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let (mut held, mut described) = (0, 0);
    for round in 0..rounds {
        let no_bpf = round % 2 == 1;
        // As `list` asks, and as `why` does.
        let query = match round % 4 {
            0 | 1 => Query { no_bpf, namespaces: Namespaces::All, ..Query::default() },
            _ => Query { no_bpf, states: States::All, ..Query::default() },
        };
        let mut found = inventory::take(&query).unwrap();
        found.describe();
        for socket in &found.sockets {
            assert_eq!(socket.holders.is_empty(), socket.no_holder.is_some(), "{socket:?}");
            // Each is held from its beginning to its end.
            let is_lost = matches!(socket.no_holder, Some(NoHolder::NotFound));
            assert!(!is_lost || family(socket).is_none(), "round {round}: {socket:?}");
            let Some(family) = family(socket) else { continue };
            held += usize::from(!socket.holders.is_empty());
            for process in socket.pids().filter_map(|pid| found.processes.get(&pid)) {
                described += 1;
                assert_eq!(process.command, format!("family-{family}"), "{socket:?} {process:?}");
            }
        }
        // A family may have the same port at its own address.
        let is_mine = |s: &&Socket| s.local() == address && s.state == State::Listen;
        let mine = found.sockets.iter().find(is_mine);
        let mine = mine.unwrap_or_else(|| panic!("round {round}: our listener is missing"));
        assert_eq!(mine.pids().collect::<Vec<_>>(), [me]);
    }
    println!("{held} sockets were held, {described} of their holders described");
    assert!(held > 5 * rounds && described > 5 * rounds, "{held} {described}");
    assert_eq!(open(), before, "a descriptor was leaked");
}
