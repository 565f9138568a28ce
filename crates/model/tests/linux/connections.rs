//! Connections carried through a machine: what each end holds while they live and when they end.

use std::net::IpAddr;

use portwise_model::{
    Call, Family, Machine, Membership, Outcome, Protocol::Tcp, SockAddr, SockOption, SocketId,
    State, Subject,
};

use super::{USER, host};

const LISTENER: SocketId = SocketId(1);
const CLIENT: SocketId = SocketId(2);
const CHILD: SocketId = SocketId(3);
const ACCEPTED: SocketId = SocketId(4);

fn local() -> (IpAddr, IpAddr) {
    ("127.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap())
}

fn bind(machine: &mut Machine, id: SocketId, port: u16) {
    let call = Call::Bind(SockAddr::new("127.0.0.1".parse().unwrap(), port, 0));
    machine.settle(id, call, Outcome::Ok, None);
}

/// A listener on 8080 and a client, which is bound to 9000 or has an automatic port, 40000.
fn connected(bound: bool) -> Machine {
    let mut machine = Machine::new(host());
    for id in [LISTENER, CLIENT] {
        machine.socket(id, Family::Inet, Tcp, USER);
    }
    let reuse = Call::SetOption(SockOption::ReuseAddr(true));
    machine.settle(LISTENER, reuse, Outcome::Ok, None);
    bind(&mut machine, LISTENER, 8080);
    machine.settle(LISTENER, Call::Listen(1), Outcome::Ok, None);
    if bound {
        bind(&mut machine, CLIENT, 9000);
    } else {
        machine.autobind(CLIENT, 40000);
    }
    machine.connect(CLIENT, LISTENER, CHILD, local());
    machine
}

/// The sockets on a port by number and state.
fn on(machine: &Machine, port: u16) -> Vec<(u64, State)> {
    machine.host.sockets.on(port).unwrap().iter().map(|s| (s.id.0, s.state)).collect()
}

#[test]
fn both_ends_hold_their_ports() {
    let mut machine = connected(false);
    assert_eq!(on(&machine, 40000), [(2, State::Established)]);
    assert_eq!(on(&machine, 8080), [(3, State::Established), (1, State::Listen)]);
    let client = machine.get(CLIENT).unwrap();
    assert_eq!((client.port, client.port_by_connect), (40000, Some(true)));
    assert_eq!(machine.sockets().len(), 3);
    assert_eq!((machine.peer(CLIENT), machine.peer(CHILD)), (Some(CHILD), Some(CLIENT)));
    assert_eq!((machine.peer(LISTENER), machine.peer(SocketId(9))), (None, None));
    // Whoever accepts it owns it.
    assert!(machine.accept(LISTENER, ACCEPTED, 0));
    assert!(machine.get(CHILD).is_none());
    assert_eq!((machine.peer(CLIENT), machine.peer(ACCEPTED)), (Some(ACCEPTED), Some(CLIENT)));
    let there = *machine.host.sockets.get(ACCEPTED).unwrap();
    assert_eq!((there.uid, there.options.reuseaddr), (Some(0), Some(true)));
    assert_eq!(machine.get(ACCEPTED), Some(&there));
    assert!(!machine.accept(LISTENER, SocketId(5), 0), "none is waiting any more");
    assert_eq!(on(&machine, 8080), [(4, State::Established), (1, State::Listen)]);
}

/// The oldest is accepted first, and only where it waits.
#[test]
fn the_queue_of_a_listener() {
    let mut machine = connected(false);
    let (other, second) = (SocketId(10), SocketId(11));
    machine.socket(other, Family::Inet, Tcp, USER);
    bind(&mut machine, other, 8081);
    machine.settle(other, Call::Listen(1), Outcome::Ok, None);
    machine.socket(second, Family::Inet, Tcp, USER);
    machine.autobind(second, 40001);
    machine.connect(second, LISTENER, SocketId(12), local());
    assert!(!machine.accept(other, SocketId(20), USER));
    assert!(machine.accept(LISTENER, SocketId(21), USER));
    assert_eq!(machine.peer(SocketId(21)), Some(CLIENT));
    assert!(machine.accept(LISTENER, SocketId(22), USER));
    assert_eq!(machine.peer(SocketId(22)), Some(second));
    assert_eq!(machine.peer(CLIENT), Some(SocketId(21)));
    let nobody = SocketId(99);
    machine.connect(nobody, LISTENER, SocketId(30), local());
    assert!(machine.get(SocketId(30)).is_none(), "a client that is not there does not connect");
}

/// The end that closes first is the one that stays.
#[test]
fn who_closes_first_waits() {
    for client_first in [true, false] {
        let mut machine = connected(false);
        assert!(machine.accept(LISTENER, ACCEPTED, USER));
        let ((first, port), (last, other)) = match client_first {
            true => ((CLIENT, 40000), (ACCEPTED, 8080)),
            false => ((ACCEPTED, 8080), (CLIENT, 40000)),
        };
        machine.close(first);
        assert!(machine.get(first).is_none());
        assert!(on(&machine, port).contains(&(first.0, State::Closing)), "{first:?}");
        assert!(on(&machine, other).contains(&(last.0, State::CloseWait)), "{first:?}");
        assert_eq!(machine.get(last).map(|s| s.state), Some(State::CloseWait));
        assert_eq!(machine.peer(last), None, "its peer has no number any more");
        machine.close(last);
        assert!(on(&machine, port).contains(&(first.0, State::TimeWait)), "{first:?}");
        assert!(machine.host.sockets.get(last).is_none() && machine.get(last).is_none());
        // The listener is as it was.
        assert!(on(&machine, 8080).contains(&(1, State::Listen)));
        machine.close(LISTENER);
        assert_eq!(on(&machine, 8080).len(), usize::from(!client_first));
        // A socket that is closed is not there to be closed again.
        machine.close(first);
        assert!(machine.host.sockets.get(first).is_some());
    }
}

/// A listener that goes takes with it what nobody accepted: the client keeps a port it was bound
/// to, and loses one that connect chose.
#[test]
fn connections_that_nobody_accepted_are_reset() {
    let mut machine = connected(false);
    machine.close(LISTENER);
    assert!(on(&machine, 8080).is_empty() && on(&machine, 40000).is_empty());
    let left = machine.get(CLIENT).unwrap();
    assert_eq!((left.state, left.port), (State::Closed, 0));
    assert!(machine.get(CHILD).is_none());
    assert_eq!(machine.peer(CLIENT), None);

    let mut machine = connected(true);
    machine.close(LISTENER);
    assert_eq!(on(&machine, 9000), [(2, State::Closed)]);
    let left = machine.get(CLIENT).unwrap();
    assert_eq!((left.state, left.port), (State::Closed, 9000));

    // What was accepted lives on, and so does what waits elsewhere.
    let mut machine = connected(true);
    assert!(machine.accept(LISTENER, ACCEPTED, USER));
    let (other, second) = (SocketId(10), SocketId(11));
    machine.socket(other, Family::Inet, Tcp, USER);
    bind(&mut machine, other, 8081);
    machine.settle(other, Call::Listen(1), Outcome::Ok, None);
    machine.socket(second, Family::Inet, Tcp, USER);
    machine.autobind(second, 40001);
    machine.connect(second, other, SocketId(12), local());
    machine.close(LISTENER);
    assert_eq!(on(&machine, 8080), [(4, State::Established)]);
    assert_eq!(on(&machine, 9000), [(2, State::Established)]);
    assert_eq!(on(&machine, 8081), [(12, State::Established), (10, State::Listen)]);
    machine.close(other);
    assert!(on(&machine, 8081).is_empty() && on(&machine, 40001).is_empty());
    assert_eq!(on(&machine, 9000), [(2, State::Established)]);
    assert_eq!(machine.peer(CLIENT), Some(ACCEPTED));
}

#[test]
fn calls_ask_for_the_socket_as_it_is() {
    let mut machine = connected(false);
    let asker = Subject::plain(USER, "test");
    let ask = |machine: &Machine, id, call| {
        let mut tried = Vec::new();
        let possible = machine.outcomes(&asker, id, call, |rule, _| tried.push(rule.id));
        (possible.iter().map(|o| o.name()).collect::<Vec<_>>().join("|"), tried)
    };
    let addr = SockAddr::new("127.0.0.1".parse().unwrap(), 8081, 0);
    let (told, tried) = ask(&machine, LISTENER, Call::Bind(addr));
    assert_eq!((told.as_str(), tried.last()), ("EINVAL", Some(&"linux.bind.unbound-socket")));
    machine.socket(SocketId(7), Family::Inet, Tcp, USER);
    assert_eq!(ask(&machine, SocketId(7), Call::Bind(addr)).0, "ok");
    assert_eq!(ask(&machine, CLIENT, Call::Listen(1)).0, "EINVAL", "it is connected");
    // Nobody settles a call of a socket that is not there, and of others nothing changes.
    let before = machine.host.clone();
    machine.settle(SocketId(77), Call::Bind(addr), Outcome::Ok, None);
    assert_eq!(machine.host, before);
    machine.autobind(SocketId(7), 40002);
    assert_eq!(machine.get(CLIENT).map(|s| s.port), Some(40000));
    assert_eq!(machine.get(SocketId(7)).map(|s| s.port), Some(40002));
}

/// A listener that is in the group of another stays there when it gives up `SO_REUSEPORT`: as
/// 6.18 does, which gave a connection to it.
#[test]
fn whoever_founded_a_group_later_stays_in_it() {
    let mut machine = Machine::new(host());
    let share = |on| Call::SetOption(SockOption::ReusePort(on));
    for id in [LISTENER, CLIENT] {
        machine.socket(id, Family::Inet, Tcp, USER);
        if id == CLIENT {
            machine.settle(id, share(true), Outcome::Ok, None);
        }
        bind(&mut machine, id, 8080);
        machine.settle(id, Call::Listen(1), Outcome::Ok, None);
        machine.settle(LISTENER, share(true), Outcome::Ok, None);
    }
    machine.settle(LISTENER, share(false), Outcome::Ok, None);
    let group = |id| machine.host.sockets.get(id).map(|s| s.group);
    assert!(matches!(group(LISTENER), Some(Membership::Group(_))));
    assert_eq!(group(LISTENER), group(CLIENT));
    assert_eq!(machine.get(LISTENER).map(|s| s.group), group(CLIENT));
}
