//! What a machine remembers of sockets beside the ports they hold.

use std::net::IpAddr;

use portwise_model::{
    Call, Errno, Family, Machine, Membership, Outcome, Protocol,
    Protocol::{Tcp, Udp},
    SockAddr, SockOption, SocketId, State,
};

use super::{USER, host};

const LISTENER: SocketId = SocketId(1);
const CLIENT: SocketId = SocketId(2);
const CHILD: SocketId = SocketId(3);
const OTHER: SocketId = SocketId(4);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bind(machine: &mut Machine, id: SocketId, at: &str, port: u16) {
    let call = Call::Bind(SockAddr::new(ip(at), port, 0));
    machine.settle(id, call, Outcome::Ok, None);
}

fn listen(machine: &mut Machine, id: SocketId, port: u16) {
    machine.socket(id, Family::Inet, Tcp, USER);
    bind(machine, id, "127.0.0.1", port);
    machine.settle(id, Call::Listen(1), Outcome::Ok, None);
}

fn connect(machine: &mut Machine, client: SocketId, listener: SocketId, child: SocketId) {
    machine.socket(client, Family::Inet, Tcp, USER);
    machine.autobind(client, 40000 + client.0 as u16);
    machine.connect(client, listener, child, (ip("127.0.0.1"), ip("127.0.0.1")));
}

/// A listener on 8080 and a connection that it has not accepted.
fn connected() -> Machine {
    let mut machine = Machine::new(host());
    listen(&mut machine, LISTENER, 8080);
    connect(&mut machine, CLIENT, LISTENER, CHILD);
    machine
}

#[test]
fn connections_that_wait() {
    let mut machine = connected();
    listen(&mut machine, OTHER, 8081);
    assert!(machine.any_waiting());
    let waiting = |m: &Machine| [LISTENER, CLIENT, CHILD].map(|id| m.is_waiting(id));
    assert_eq!(waiting(&machine), [false, false, true]);
    assert_eq!(machine.oldest_waiting(), Some(LISTENER));
    connect(&mut machine, SocketId(5), OTHER, SocketId(6));
    assert_eq!(machine.oldest_waiting(), Some(LISTENER));
    assert!(machine.accept(LISTENER, SocketId(7), USER));
    assert_eq!(machine.oldest_waiting(), Some(OTHER));
    assert_eq!(waiting(&machine), [false; 3]);
    assert!(machine.accept(OTHER, SocketId(8), USER));
    assert!(!machine.any_waiting());
    assert_eq!(machine.oldest_waiting(), None);
}

/// A queue takes one connection more than its length, and each listener has one of its own.
#[test]
fn a_queue_that_is_full() {
    let mut machine = connected();
    listen(&mut machine, OTHER, 8081);
    let answer = |m: &mut Machine, port| {
        m.socket(SocketId(90), Family::Inet, Tcp, USER);
        let answered = m.answers(SocketId(90), &SockAddr::new(ip("127.0.0.1"), port, 0));
        m.close(SocketId(90));
        format!("{:?}", answered.unwrap().unwrap().0)
    };
    assert_eq!(answer(&mut machine, 8080), "Accepted([SocketId(1)])");
    connect(&mut machine, SocketId(5), LISTENER, SocketId(6));
    assert_eq!(answer(&mut machine, 8080), "Silent");
    assert_eq!(answer(&mut machine, 8081), "Accepted([SocketId(4)])");
    // Another listener that listens again does not change this one's queue; this one does.
    machine.settle(OTHER, Call::Listen(9), Outcome::Ok, None);
    assert_eq!(answer(&mut machine, 8080), "Silent");
    machine.settle(LISTENER, Call::Listen(2), Outcome::Ok, None);
    assert_eq!(answer(&mut machine, 8080), "Accepted([SocketId(1)])");
    machine.settle(OTHER, Call::Listen(0), Outcome::Ok, None);
    assert_eq!(answer(&mut machine, 8080), "Accepted([SocketId(1)])");
    assert_eq!(answer(&mut machine, 8081), "Accepted([SocketId(4)])");
    connect(&mut machine, SocketId(7), OTHER, SocketId(8));
    assert_eq!(answer(&mut machine, 8081), "Silent");
    // A negative length is a very large one.
    machine.settle(OTHER, Call::Listen(-1), Outcome::Ok, None);
    assert_eq!(answer(&mut machine, 8081), "Accepted([SocketId(4)])");
}

/// The port that was given up is shown until the socket has one again, and only by that one.
#[test]
fn a_port_that_was_given_up() {
    let mut machine = connected();
    connect(&mut machine, OTHER, LISTENER, SocketId(6));
    machine.close(LISTENER);
    let shown = |m: &Machine| [CLIENT, OTHER].map(|id| m.shown_port(id));
    assert_eq!([CLIENT, OTHER].map(|id| machine.get(id).unwrap().port), [0, 0]);
    assert_eq!(shown(&machine), [40002, 40004]);
    bind(&mut machine, CLIENT, "127.0.0.1", 9000);
    assert_eq!(shown(&machine), [9000, 40004]);
    machine.close(OTHER);
    assert_eq!(machine.shown_port(OTHER), 0);
    // A call that fails changes nothing of it.
    let mut machine = connected();
    machine.close(LISTENER);
    let taken = Outcome::Errno(Errno::EADDRINUSE);
    machine.settle(CLIENT, Call::Listen(1), taken, None);
    assert_eq!(machine.shown_port(CLIENT), 40002);
    machine.settle(CLIENT, Call::Listen(1), Outcome::Ok, Some(40001));
    assert_eq!(machine.shown_port(CLIENT), 40001);
}

/// What was not read is lost, and the other end hears of it by a reset.
#[test]
fn an_end_that_closes_with_unread_data() {
    let accepted = || {
        let mut machine = connected();
        assert!(machine.accept(LISTENER, OTHER, USER));
        machine
    };
    let mut machine = accepted();
    assert_eq!(machine.send_tcp(CLIENT), Some(Outcome::Ok));
    machine.close(OTHER);
    let left = machine.get(CLIENT).unwrap();
    assert_eq!((left.state, left.port), (State::Closed, 0));
    assert_eq!(machine.pending_error(CLIENT), Some(Errno::ECONNRESET));
    // The end that sent it has nothing unread.
    let mut machine = accepted();
    assert_eq!(machine.send_tcp(CLIENT), Some(Outcome::Ok));
    machine.close(CLIENT);
    assert_eq!(machine.get(OTHER).map(|s| s.state), Some(State::CloseWait));
    assert_eq!(machine.pending_error(OTHER), None);
    // Nor has one that read it.
    let mut machine = accepted();
    assert_eq!(machine.send_tcp(CLIENT), Some(Outcome::Ok));
    assert_eq!(machine.receive(OTHER), Some(vec![Outcome::Ok]));
    machine.close(OTHER);
    assert_eq!(machine.get(CLIENT).map(|s| s.state), Some(State::CloseWait));
    assert_eq!(machine.pending_error(CLIENT), None);
}

/// IPv4 stays with an IPv6 socket that once was connected over it.
#[test]
fn sockets_that_spoke_ipv4() {
    let mut machine = Machine::new(host());
    machine.socket(CLIENT, Family::Inet6, Tcp, USER);
    assert!(!machine.spoke_v4(CLIENT));
    machine.speaks_v4(CLIENT);
    assert!(machine.spoke_v4(CLIENT) && !machine.spoke_v4(OTHER));
}

#[test]
fn sockets_without_ports_have_names() {
    let mut machine = Machine::new(host());
    for id in [CLIENT, OTHER] {
        machine.socket(id, Family::Inet, Udp, USER);
    }
    machine.renamed(OTHER, ip("127.0.0.1"), 58);
    let name = |m: &Machine, id| m.get(id).map(|s| (s.ip, s.port)).unwrap();
    assert_eq!(name(&machine, CLIENT), (ip("0.0.0.0"), 0));
    assert_eq!(name(&machine, OTHER), (ip("127.0.0.1"), 58));
}

/// Nothing of what was is left, but the host.
#[test]
fn a_machine_that_begins_again() {
    let mut machine = connected();
    connect(&mut machine, OTHER, LISTENER, SocketId(6));
    machine.speaks_v4(CLIENT);
    machine.close(LISTENER);
    assert_eq!(machine.shown_port(CLIENT), 40002);
    machine.host.set_sysctl("net.ipv4.ip_unprivileged_port_start", 80, "test");
    machine.restart(&host());
    assert!(machine.sockets().is_empty() && machine.host.sockets.on(8080).unwrap().is_empty());
    assert!(!machine.any_waiting() && !machine.spoke_v4(CLIENT));
    assert_eq!((machine.shown_port(CLIENT), machine.pending_error(CLIENT)), (0, None));
    assert_eq!(machine.host.sysctl("net.ipv4.ip_unprivileged_port_start").ok(), Some(80));
    // Not who waits, how long a queue is, nor who is connected.
    let mut machine = connected();
    machine.restart(&host());
    assert!(!machine.any_waiting());
    listen(&mut machine, LISTENER, 8080);
    assert_eq!(machine.peer(CLIENT), None);
}

/// Who joins a group may be the one that makes it one: the other hears of it, and no other socket
/// of another port does.
#[test]
fn groups_that_begin() {
    let shares = |machine: &mut Machine, id, family, protocol: Protocol, port| {
        machine.socket(id, family, protocol, USER);
        machine.settle(id, Call::SetOption(SockOption::ReusePort(true)), Outcome::Ok, None);
        bind(machine, id, if family == Family::Inet { "127.0.0.1" } else { "::1" }, port);
    };
    let mut machine = Machine::new(host());
    for (id, port) in [(LISTENER, 5353), (OTHER, 5354), (CLIENT, 5353)] {
        shares(&mut machine, id, Family::Inet, Udp, port);
    }
    let group = |m: &Machine, id| m.get(id).unwrap().group;
    assert_eq!(group(&machine, LISTENER), group(&machine, CLIENT));
    assert_ne!(group(&machine, LISTENER), group(&machine, OTHER));
    // A UDP socket leaves its group when it is bound to a device; no other option does that.
    let device = |on| Call::SetOption(SockOption::BindToDevice(Some(on)));
    machine.settle(LISTENER, Call::SetOption(SockOption::ReuseAddr(true)), Outcome::Ok, None);
    assert!(matches!(group(&machine, LISTENER), Membership::Group(_)));
    machine.settle(LISTENER, device(1), Outcome::Ok, None);
    assert!(!matches!(group(&machine, LISTENER), Membership::Group(_)));
    assert!(matches!(group(&machine, CLIENT), Membership::Group(_)));
    // A TCP socket stays.
    shares(&mut machine, SocketId(8), Family::Inet, Tcp, 8080);
    machine.settle(SocketId(8), Call::Listen(1), Outcome::Ok, None);
    machine.settle(SocketId(8), device(1), Outcome::Ok, None);
    assert!(matches!(group(&machine, SocketId(8)), Membership::Group(_)));
}
