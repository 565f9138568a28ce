//! What the kernel remembers of a TCP port, where that differs by version, and what is not known.

use std::net::IpAddr;

use portwise_model::{
    Call, Case, Fact, FactKey, Family, Machine, Missing, Outcome,
    Protocol::Tcp,
    SockAddr, SockOption, Socket, SocketId, State, Version, decide,
    linux::{Buckets, settle},
};

use super::{USER, answer, case, holder, host, kernel};

/// Before 6.8, between the two that were read, and after.
const OLD: Version = Version::new(6, 1, 0);
const BETWEEN: Version = Version::new(6, 7, 5);
const NEW: Version = Version::new(6, 18, 44);

fn machine(version: Version) -> Machine {
    let mut machine = Machine::new(host());
    machine.host.kernel = kernel(version);
    machine
}

fn bind(machine: &mut Machine, id: u64, ip: &str, options: &[SockOption]) {
    let ip: IpAddr = ip.parse().unwrap();
    machine.socket(SocketId(id), Family::of(ip), Tcp, USER);
    for option in options {
        set(machine, id, *option);
    }
    let call = Call::Bind(SockAddr::new(ip, 8080, 0));
    machine.settle(SocketId(id), call, Outcome::Ok, None);
}

fn set(machine: &mut Machine, id: u64, option: SockOption) {
    machine.settle(SocketId(id), Call::SetOption(option), Outcome::Ok, None);
}

fn listen(machine: &mut Machine, id: u64) {
    machine.settle(SocketId(id), Call::Listen(1), Outcome::Ok, None);
}

/// What one more socket, with `SO_REUSEPORT`, is told.
fn another(machine: &Machine, ip: &str) -> String {
    answer(case(Tcp, ip, 8080), |c| {
        c.host = machine.host.clone();
        c.request.socket.options.reuseport = Some(true);
    })
}

/// The first socket of a port lets in all that share it, on whatever address: until 6.8, when it
/// binds, and not when it listens later.
#[test]
fn the_first_socket_of_a_port() {
    let share = SockOption::ReusePort;
    for (version, everywhere) in [(OLD, "ok"), (NEW, "EADDRINUSE")] {
        let mut first = machine(version);
        bind(&mut first, 1, "127.0.0.1", &[share(true)]);
        set(&mut first, 1, share(false));
        assert_eq!(another(&first, "127.0.0.1"), "ok", "{version}");
        assert_eq!(another(&first, "0.0.0.0"), everywhere, "{version}");

        let mut later = machine(version);
        bind(&mut later, 1, "127.0.0.1", &[]);
        set(&mut later, 1, share(true));
        listen(&mut later, 1);
        set(&mut later, 1, share(false));
        assert_eq!(another(&later, "127.0.0.1"), "ok", "{version}");
        assert_eq!(another(&later, "0.0.0.0"), "EADDRINUSE", "{version}");

        let mut second = machine(version);
        bind(&mut second, 1, "127.0.0.2", &[]);
        bind(&mut second, 2, "127.0.0.1", &[share(true)]);
        set(&mut second, 2, share(false));
        assert_eq!(another(&second, "127.0.0.1"), "ok", "{version}");
        assert_eq!(another(&second, "0.0.0.0"), "EADDRINUSE", "{version}");
    }
}

/// Sockets that reuse the address are let in unasked until 6.8; a listener is none of them.
#[test]
fn a_listener_does_not_reuse() {
    let mut machine = machine(OLD);
    for id in [1, 2] {
        bind(&mut machine, id, "127.0.0.1", &[SockOption::ReuseAddr(true)]);
    }
    set(&mut machine, 2, SockOption::ReuseAddr(false));
    let told = |call| {
        let socket = *machine.get(SocketId(1)).unwrap();
        let mut asked = case(Tcp, "127.0.0.1", 8080);
        (asked.host, asked.request.call, asked.request.socket) =
            (machine.host.clone(), call, socket);
        answer(asked, |_| ())
    };
    assert_eq!(told(Call::Listen(1)), "EADDRINUSE");
    let mut third = case(Tcp, "127.0.0.1", 8080);
    third.host = machine.host.clone();
    third.request.socket.options.reuseaddr = Some(true);
    assert_eq!(answer(third, |_| ()), "ok");
}

/// Where nobody looked how the first socket is taken, the first makes the memory unknown, and any
/// further one does not.
#[test]
fn a_version_that_nobody_looked_at() {
    let known = |others: &[Socket]| {
        let mut host = host();
        host.kernel = kernel(BETWEEN);
        others.iter().for_each(|other| {
            host.sockets.push_front(*other);
        });
        let socket = Socket::new(SocketId(1), Family::Inet, Tcp, USER);
        let call = Call::Bind(SockAddr::new("127.0.0.1".parse().unwrap(), 8080, 0));
        settle(&mut host, &socket, &call, Outcome::Ok, None);
        matches!(host.buckets, Fact::Known { .. })
    };
    assert!(!known(&[]));
    assert!(known(&[holder(Tcp, "127.0.0.2", 8080)]));
}

/// `::ffff:0.0.0.0` may be filed as a wildcard of IPv6, where 6.1.168 does not find it any more
/// for an IPv4 address asked for in IPv6.
#[test]
fn wildcards_of_ipv4_in_ipv6() {
    let told = |version, asked: &str, there: &[&str]| {
        let mut machine = machine(version);
        for (id, ip) in (1..).zip(there) {
            bind(&mut machine, id, ip, &[]);
        }
        answer(case(Tcp, asked, 8080), |c| c.host = machine.host)
    };
    let without = Version::new(6, 1, 170);
    let (mapped, any) = ("::ffff:127.0.0.1", "::ffff:0.0.0.0");
    assert_eq!(told(NEW, mapped, &[any]), "EADDRINUSE");
    assert_eq!(told(without, mapped, &[any]), "ok");
    for (asked, there) in [
        // Filed as one of IPv4.
        (mapped, "0.0.0.0"),
        // Not asked for as an IPv4 address in IPv6.
        ("127.0.0.1", any),
        ("::", any),
        (any, any),
        // Not a wildcard.
        (mapped, mapped),
        (mapped, "127.0.0.1"),
    ] {
        assert_eq!(told(without, asked, &[there]), "EADDRINUSE", "{asked} beside {there}");
    }
    let missing = Missing::new(FactKey::Feature("memory".into()), "nobody saw it", "");
    let asked = |there: Socket| {
        let mut asked = case(Tcp, mapped, 8080);
        asked.host.kernel = kernel(without);
        asked.host.sockets.push_front(there);
        asked.host.buckets = Fact::Missing(missing.clone());
        asked
    };
    let keys = |asked: &Case| -> Vec<FactKey> {
        decide(asked).missing().map(|missing| missing.key.clone()).collect()
    };
    // Another listener would be in the way of what could be remembered.
    let listens = |ip| Socket { state: State::Listen, ..holder(Tcp, ip, 8080) };
    assert_eq!(keys(&asked(listens(any))), [FactKey::BindBucket(8080)]);
    assert_eq!(keys(&asked(listens("127.0.0.1"))), []);
}

/// Who is bound to another device or another address is not in the way, each for itself.
#[test]
fn sockets_that_do_not_meet() {
    let told = |ip, device| {
        answer(case(Tcp, "127.0.0.1", 8080), |c| {
            c.request.socket.device = 1;
            c.host.buckets = Fact::known(Buckets::default(), "test");
            c.host.sockets.push_front(Socket { device, ..holder(Tcp, ip, 8080) });
        })
    };
    assert_eq!(told("127.0.0.1", 1), "EADDRINUSE");
    assert_eq!(told("127.0.0.1", 2), "ok");
    assert_eq!(told("127.0.0.2", 1), "ok");
    assert_eq!(told("127.0.0.1", 0), "EADDRINUSE");
}
