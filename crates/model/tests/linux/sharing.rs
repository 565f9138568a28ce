//! When two TCP sockets may have one port: addresses, devices, options, owners, and what the kernel
//! remembers.

use portwise_model::{
    Call, Case, Evidence, Fact, FactKey, Host, Machine, Missing, Outcome, Protocol::Tcp, Socket,
    SocketId, Sockets, State, decide,
};

use super::{USER, answer, case, holder, host, outcomes};

/// A socket on port 8080 at `ip`, with options given by their first letters: `a` is
/// `SO_REUSEADDR`, `p` is `SO_REUSEPORT`; `l` listens; `r` is of root.
fn socket(ip: &str, how: &str) -> Socket {
    let mut socket = holder(Tcp, ip, 8080);
    let has = |letter| how.contains(letter);
    (socket.options.reuseaddr, socket.options.reuseport) = (Some(has('a')), Some(has('p')));
    if has('l') {
        socket.state = State::Listen;
    }
    if has('r') {
        socket.uid = Some(0);
    }
    socket
}

fn asking(mine: Socket) -> Case {
    let mut asked = case(Tcp, &mine.ip.to_string(), 8080);
    let v6only = mine.v6only && mine.ip.to_string() == "::";
    asked.request.socket = Socket {
        v6only,
        options: mine.options,
        uid: mine.uid,
        device: mine.device,
        ..asked.request.socket
    };
    asked
}

/// What the second socket is told.
fn second(mine: Socket, others: &[Socket]) -> String {
    answer(asking(mine), |c| others.iter().rev().for_each(|s| _ = c.host.sockets.push_front(*s)))
}

/// Which addresses meet, from the kernel's table of `inet_rcv_saddr_equal`; the order of the two
/// does not matter.
#[test]
fn addresses_that_meet() {
    const ADDRESSES: [&str; 9] = [
        "0.0.0.0",
        "127.0.0.1",
        "192.0.2.10",
        "::",
        "::!",
        "::1",
        "2001:db8::10",
        "::ffff:0.0.0.0",
        "::ffff:127.0.0.1",
    ];
    const MEET: [&str; 9] = [
        "xxxx...xx", // 0.0.0.0
        "xx.x...xx", // 127.0.0.1
        "x.xx...x.", // 192.0.2.10
        "xxxxxxxxx", // ::
        "...xxxx..", // :: with IPV6_V6ONLY
        "...xxx...", // ::1
        "...xx.x..", // 2001:db8::10
        "xxxx...xx", // ::ffff:0.0.0.0
        "xx.x...xx", // ::ffff:127.0.0.1
    ];
    for (mine, row) in ADDRESSES.iter().zip(MEET) {
        for (theirs, meets) in ADDRESSES.iter().zip(row.chars()) {
            let expected = if meets == 'x' { "EADDRINUSE" } else { "ok" };
            let told = second(socket(mine, ""), &[socket(theirs, "l")]);
            assert_eq!(told, expected, "{mine} beside {theirs}");
        }
    }
}

#[test]
fn devices_that_meet() {
    let on = |mine, theirs| {
        let mine = Socket { device: mine, ..socket("0.0.0.0", "") };
        second(mine, &[Socket { device: theirs, ..socket("0.0.0.0", "l") }])
    };
    for (mine, theirs, expected) in [
        (0, 0, "EADDRINUSE"),
        (1, 0, "EADDRINUSE"),
        (0, 2, "EADDRINUSE"),
        (2, 2, "EADDRINUSE"),
        (1, 2, "ok"),
    ] {
        assert_eq!(on(mine, theirs), expected, "{mine} beside {theirs}");
    }
}

/// `SO_REUSEADDR` on both passes by what does not listen, whoever made it; `SO_REUSEPORT` on both
/// passes by all that the same user made.
#[test]
fn options_that_agree() {
    for (mine, theirs, expected) in [
        ("", "", "EADDRINUSE"),
        ("a", "", "EADDRINUSE"),
        ("", "a", "EADDRINUSE"),
        ("a", "a", "ok"),
        ("a", "al", "EADDRINUSE"),
        ("a", "ar", "ok"),
        ("p", "", "EADDRINUSE"),
        ("", "p", "EADDRINUSE"),
        ("p", "p", "ok"),
        ("p", "pl", "ok"),
        ("p", "pr", "EADDRINUSE"),
        ("pr", "p", "EADDRINUSE"),
        ("pr", "pr", "ok"),
        ("p", "plr", "EADDRINUSE"),
        ("a", "p", "EADDRINUSE"),
        ("ap", "al", "EADDRINUSE"),
        ("ap", "apl", "ok"),
        ("ap", "aplr", "EADDRINUSE"),
        ("ap", "apr", "ok"),
    ] {
        let told = second(socket("127.0.0.1", mine), &[socket("127.0.0.1", theirs)]);
        assert_eq!(told, expected, "{mine} beside {theirs}");
    }
}

/// Whose a socket in TIME_WAIT was is not asked.
#[test]
fn what_a_stopped_server_leaves_behind() {
    let left = |mine, theirs| {
        let there = Socket { state: State::TimeWait, ..socket("127.0.0.1", theirs) };
        second(socket("127.0.0.1", mine), &[there])
    };
    assert_eq!((left("", "").as_str(), left("a", "").as_str()), ("EADDRINUSE", "EADDRINUSE"));
    assert_eq!((left("a", "a").as_str(), left("a", "ar").as_str()), ("ok", "ok"));
    assert_eq!((left("p", "p").as_str(), left("p", "pr").as_str()), ("ok", "ok"));
    for state in [State::Established, State::Closing, State::CloseWait] {
        let there = |how| Socket { state, ..socket("127.0.0.1", how) };
        assert_eq!(second(socket("127.0.0.1", "a"), &[there("a")]), "ok", "{state:?}");
        assert_eq!(second(socket("127.0.0.1", "p"), &[there("pr")]), "EADDRINUSE", "{state:?}");
    }
}

#[test]
fn every_owner_is_asked() {
    let (free, taken) = (socket("127.0.0.2", "l"), socket("127.0.0.1", "l"));
    let taken = Socket { id: SocketId(2), ..taken };
    let mine = || socket("127.0.0.1", "");
    assert_eq!(second(mine(), &[free, taken]), "EADDRINUSE");
    assert_eq!(second(mine(), &[taken, free]), "EADDRINUSE");
    assert_eq!(second(mine(), &[free]), "ok");
    assert_eq!(second(mine(), &[]), "ok");
    // The asking socket is not in its own way.
    assert_eq!(second(mine(), &[Socket { id: SocketId::ASKING, ..taken }]), "ok");
    let udp = Socket { protocol: portwise_model::Protocol::Udp, ..taken };
    assert_eq!(second(mine(), &[udp]), "ok");
}

#[test]
fn who_is_in_the_way_and_who_is_beside() {
    let mut asked = asking(socket("127.0.0.1", ""));
    let beside = socket("127.0.0.2", "l");
    let there = Socket { id: SocketId(2), ..socket("0.0.0.0", "l") };
    let there = asked.host.sockets.push_front(there);
    let beside = asked.host.sockets.push_front(beside);
    let verdict = decide(&asked);
    let shown = &verdict.trace.last().unwrap().evidence;
    assert!(shown.contains(&Evidence::Beside(beside)), "{shown:?}");
    assert!(shown.contains(&Evidence::InTheWay(there)), "{shown:?}");
    assert!(!shown.contains(&Evidence::InTheWay(beside)), "{shown:?}");
}

#[test]
fn options_that_nobody_read_leave_the_answer_open() {
    let unread = |mine: &str, theirs: &str, forget: fn(&mut Socket)| {
        let mut there = socket("127.0.0.1", theirs);
        forget(&mut there);
        let mut asked = asking(socket("127.0.0.1", mine));
        asked.host.sockets.push_front(there);
        let verdict = decide(&asked);
        for missing in verdict.missing() {
            assert_eq!(missing.key, FactKey::SocketOptions(there.id));
        }
        outcomes(&verdict)
    };
    let open = "EADDRINUSE|ok";
    let reuseaddr: fn(&mut Socket) = |s| s.options.reuseaddr = None;
    let reuseport: fn(&mut Socket) = |s| s.options.reuseport = None;
    let owner: fn(&mut Socket) = |s| s.uid = None;
    for (mine, theirs, forget, expected) in [
        ("a", "", reuseaddr, open),
        ("a", "l", reuseaddr, "EADDRINUSE"),
        ("", "", reuseaddr, "EADDRINUSE"),
        ("p", "", reuseaddr, "EADDRINUSE"),
        ("p", "p", reuseaddr, "ok"),
        ("p", "l", reuseport, open),
        ("p", "lr", reuseport, "EADDRINUSE"),
        ("a", "a", reuseport, "ok"),
        ("a", "", reuseport, "EADDRINUSE"),
        ("p", "p", owner, open),
        ("p", "", owner, "EADDRINUSE"),
        ("", "", owner, "EADDRINUSE"),
        ("a", "a", owner, "ok"),
    ] {
        assert_eq!(unread(mine, theirs, forget), expected, "{mine} beside {theirs}");
    }
}

#[test]
fn hidden_sockets_leave_the_answer_open() {
    let hide = |c: &mut Case| {
        c.host.sockets.hidden = Some(Missing::new(FactKey::AllSockets, "some are hidden", ""));
    };
    assert_eq!(answer(asking(socket("127.0.0.1", "")), hide), "EADDRINUSE|ok");
    let taken = |c: &mut Case| {
        hide(c);
        c.host.sockets.push_front(socket("127.0.0.1", "l"));
    };
    assert_eq!(answer(asking(socket("127.0.0.1", "")), taken), "EADDRINUSE");
    let unasked = |c: &mut Case| c.host.sockets = Sockets::not_asked();
    assert_eq!(answer(asking(socket("127.0.0.1", "")), unasked), "EADDRINUSE|ok");
    let other_port = |c: &mut Case| {
        c.host.sockets = Sockets::not_asked();
        c.host.sockets.set_port(80, Vec::new());
    };
    assert_eq!(answer(asking(socket("127.0.0.1", "")), other_port), "EADDRINUSE|ok");
    let this_port = |c: &mut Case| {
        c.host.sockets = Sockets::not_asked();
        c.host.sockets.set_port(8080, Vec::new());
    };
    assert_eq!(answer(asking(socket("127.0.0.1", "")), this_port), "ok");
}

/// A listener is asked for again, now that it listens.
#[test]
fn listen_asks_again() {
    let listen = |how: &str, others: &[Socket]| {
        answer(asking(socket("127.0.0.1", how)), |c| {
            others.iter().for_each(|s| _ = c.host.sockets.push_front(*s));
            let ip = "127.0.0.1".parse().unwrap();
            c.request.socket = Socket { port: 8080, ip, ..c.request.socket };
            c.request.call = Call::Listen(1);
        })
    };
    assert_eq!(listen("a", &[socket("127.0.0.1", "a")]), "ok");
    assert_eq!(listen("a", &[socket("127.0.0.1", "al")]), "EADDRINUSE");
    assert_eq!(listen("p", &[socket("127.0.0.1", "pl")]), "ok");
    assert_eq!(listen("", &[]), "ok");
    assert_eq!(listen("", &[socket("127.0.0.2", "l")]), "ok");
}

/// The kernel accepts whoever is like the last `SO_REUSEPORT` socket that it accepted, and does not
/// look at the others: what was bound between them is overlooked.
#[test]
fn the_last_socket_that_shared_is_remembered() {
    let after = |steps: &[(&str, &str)], ip: &str, how: &str| {
        let mut machine = Machine::new(host());
        for (n, (ip, how)) in steps.iter().enumerate() {
            let id = SocketId(n as u64 + 1);
            bind(&mut machine, id, socket(ip, how));
        }
        second_on(&machine.host, socket(ip, how))
    };
    // A shares addresses, B shares both ways: C, which shares the port only, is let pass by A.
    let crowd = [("127.0.0.1", "a"), ("127.0.0.1", "ap")];
    assert_eq!(after(&crowd[..1], "127.0.0.1", "p"), "EADDRINUSE");
    assert_eq!(after(&crowd, "127.0.0.1", "p"), "ok");
    assert_eq!(after(&crowd, "127.0.0.1", "pr"), "EADDRINUSE", "of another user");
    assert_eq!(after(&crowd, "127.0.0.1", ""), "EADDRINUSE", "without the option");
    assert_eq!(after(&crowd, "0.0.0.0", "p"), "EADDRINUSE", "wider than what is remembered");
    // A wildcard that is remembered covers every address of its kind.
    let wide = [("0.0.0.0", "a"), ("0.0.0.0", "ap")];
    assert_eq!(after(&wide, "127.0.0.1", "p"), "ok");
    assert_eq!(after(&wide, "0.0.0.0", "p"), "ok");
    assert_eq!(after(&wide, "::1", "p"), "ok", "nobody is in its way");
    // What does not share clears the memory.
    let cleared = [crowd[0], crowd[1], ("127.0.0.1", "a")];
    assert_eq!(after(&cleared, "127.0.0.1", "p"), "EADDRINUSE");
}

/// Binds `socket`, which has to succeed.
fn bind(machine: &mut Machine, id: SocketId, socket: Socket) {
    let mut asked = asking(socket);
    asked.host = machine.host.clone();
    assert_eq!(outcomes(&decide(&asked)), "ok", "{socket:?}");
    let uid = socket.uid.unwrap_or(USER);
    machine.socket(id, socket.family, Tcp, uid);
    for option in [
        portwise_model::SockOption::ReuseAddr(socket.options.reuseaddr == Some(true)),
        portwise_model::SockOption::ReusePort(socket.options.reuseport == Some(true)),
    ] {
        machine.settle(id, Call::SetOption(option), Outcome::Ok, None);
    }
    machine.settle(id, asked.request.call, Outcome::Ok, None);
}

fn second_on(host: &Host, mine: Socket) -> String {
    answer(asking(mine), |c| c.host = host.clone())
}

#[test]
fn a_memory_that_nobody_can_read_leaves_the_answer_open() {
    let unread = |mine: &str, theirs: Socket| {
        let mut asked = asking(socket("127.0.0.1", mine));
        asked.host.buckets = Fact::not_asked(FactKey::BindBucket(0));
        asked.host.sockets.push_front(theirs);
        let verdict = decide(&asked);
        for missing in verdict.missing() {
            assert_eq!(missing.key, FactKey::BindBucket(8080));
        }
        outcomes(&verdict)
    };
    let open = "EADDRINUSE|ok";
    assert_eq!(unread("p", socket("127.0.0.1", "a")), open);
    assert_eq!(unread("a", socket("127.0.0.1", "")), "EADDRINUSE");
    assert_eq!(unread("p", socket("127.0.0.1", "p")), "ok");
    // A listener would have been in the way of whatever could be remembered.
    assert_eq!(unread("p", socket("127.0.0.1", "l")), "EADDRINUSE");
    assert_eq!(unread("p", Socket { device: 1, ..socket("127.0.0.1", "l") }), open);
}
