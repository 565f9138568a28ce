//! When two UDP sockets may have one port. The first that is met decides, so the order counts.

use portwise_model::{
    Case, Evidence, FactKey,
    Protocol::{Tcp, Udp},
    Socket, SocketId, Version, decide,
};

use super::{answer, case, holder, kernel, outcomes};

/// A socket on port 5353 at `ip`: `a` is `SO_REUSEADDR`, `p` is `SO_REUSEPORT`, `r` is of root.
fn socket(ip: &str, how: &str) -> Socket {
    let mut socket = holder(Udp, ip, 5353);
    let has = |letter| how.contains(letter);
    (socket.options.reuseaddr, socket.options.reuseport) = (Some(has('a')), Some(has('p')));
    if has('r') {
        socket.uid = Some(0);
    }
    socket
}

fn asking(ip: &str, how: &str) -> Case {
    let mine = socket(ip, how);
    let mut asked = case(Udp, &mine.ip.to_string(), 5353);
    (asked.request.socket.options, asked.request.socket.uid) = (mine.options, mine.uid);
    asked.request.socket.v6only = ip == "::!";
    asked
}

/// What the last one is told, after `others` were bound in this order.
fn told(ip: &str, how: &str, others: &[Socket]) -> String {
    answer(asking(ip, how), |c| {
        for (n, other) in others.iter().enumerate() {
            c.host.sockets.push_front(Socket { id: SocketId(n as u64 + 1), ..*other });
        }
    })
}

#[test]
fn addresses_and_devices_that_meet() {
    for (mine, theirs, expected) in [
        ("0.0.0.0", "0.0.0.0", "EADDRINUSE"),
        ("0.0.0.0", "127.0.0.1", "EADDRINUSE"),
        ("127.0.0.1", "0.0.0.0", "EADDRINUSE"),
        ("127.0.0.1", "127.0.0.1", "EADDRINUSE"),
        ("127.0.0.1", "127.0.0.2", "ok"),
        ("127.0.0.1", "::", "EADDRINUSE"),
        ("127.0.0.1", "::!", "ok"),
        ("::", "127.0.0.1", "EADDRINUSE"),
        ("::!", "127.0.0.1", "ok"),
        ("::!", "::", "EADDRINUSE"),
        ("::", "::1", "EADDRINUSE"),
        ("::1", "::", "EADDRINUSE"),
        ("::1", "2001:db8::10", "ok"),
        ("::1", "0.0.0.0", "ok"),
        ("0.0.0.0", "::1", "ok"),
        ("::ffff:127.0.0.1", "127.0.0.1", "EADDRINUSE"),
        ("::ffff:127.0.0.1", "0.0.0.0", "EADDRINUSE"),
        ("::ffff:127.0.0.1", "::1", "ok"),
    ] {
        assert_eq!(told(mine, "", &[socket(theirs, "")]), expected, "{mine} beside {theirs}");
    }
    let on = |mine, theirs| {
        answer(asking("0.0.0.0", ""), |c| {
            c.request.socket.device = mine;
            c.host.sockets.push_front(Socket { device: theirs, ..socket("0.0.0.0", "") });
        })
    };
    assert_eq!((on(1, 2).as_str(), on(2, 2).as_str()), ("ok", "EADDRINUSE"));
    assert_eq!((on(0, 2).as_str(), on(1, 0).as_str()), ("EADDRINUSE", "EADDRINUSE"));
}

#[test]
fn options_that_agree() {
    for (mine, theirs, expected) in [
        ("", "", "EADDRINUSE"),
        ("a", "", "EADDRINUSE"),
        ("", "a", "EADDRINUSE"),
        ("a", "a", "ok"),
        ("a", "ar", "ok"),
        ("p", "p", "ok"),
        ("p", "", "EADDRINUSE"),
        ("", "p", "EADDRINUSE"),
        ("p", "pr", "EADDRINUSE"),
        ("pr", "pr", "ok"),
        ("a", "p", "EADDRINUSE"),
        ("p", "a", "EADDRINUSE"),
        ("ap", "p", "ok"),
        ("ap", "apr", "ok"),
    ] {
        let told = told("127.0.0.1", mine, &[socket("127.0.0.1", theirs)]);
        assert_eq!(told, expected, "{mine} beside {theirs}");
    }
}

/// One that shares hides those behind it, and one that does not is in the way of all.
#[test]
fn the_newest_that_is_met_decides() {
    let (plain, shares) = (socket("127.0.0.1", ""), socket("127.0.0.2", "p"));
    assert_eq!(told("0.0.0.0", "p", &[plain, shares]), "ok");
    assert_eq!(told("0.0.0.0", "p", &[shares, plain]), "EADDRINUSE");
    // Who is not met and who shares the address decides nothing.
    let elsewhere = socket("192.0.2.10", "");
    let reuses = socket("0.0.0.0", "a");
    assert_eq!(told("127.0.0.1", "ap", &[plain, elsewhere]), "EADDRINUSE");
    assert_eq!(told("127.0.0.1", "ap", &[elsewhere]), "ok");
    assert_eq!(told("127.0.0.1", "ap", &[plain, reuses]), "EADDRINUSE");
    assert_eq!(told("127.0.0.1", "ap", &[elsewhere, reuses]), "ok");
    assert_eq!(told("127.0.0.1", "", &[Socket { protocol: Tcp, ..plain }]), "ok");
    assert_eq!(told("127.0.0.1", "", &[]), "ok");
}

/// With more than ten sockets on a port the kernel looks at those of the address, and then at the
/// wildcards, each time up to the first that decides.
#[test]
fn many_sockets_on_a_port() {
    let crowd = |mine: &str, fillers: usize, wildcard: &str| {
        let filler = |n| socket(&format!("127.0.1.{n}"), "");
        let mut others: Vec<Socket> = (0..fillers).map(filler).collect();
        others.extend([socket(wildcard, ""), socket("127.0.0.1", "p")]);
        told(mine, "p", &others)
    };
    for wildcard in ["0.0.0.0", "::ffff:0.0.0.0", "::"] {
        assert_eq!(crowd("127.0.0.1", 0, wildcard), "ok", "{wildcard}");
        assert_eq!(crowd("127.0.0.1", 8, wildcard), "ok", "{wildcard}");
        assert_eq!(crowd("127.0.0.1", 9, wildcard), "EADDRINUSE", "{wildcard}");
        assert_eq!(crowd("::ffff:127.0.0.1", 9, wildcard), "EADDRINUSE", "{wildcard}");
    }
    // A wildcard is asked about all, one after the other, however many there are.
    assert_eq!(crowd("0.0.0.0", 9, "0.0.0.0"), "ok");
    assert_eq!(crowd("::ffff:0.0.0.0", 9, "0.0.0.0"), "ok");
    assert_eq!(crowd("::", 9, "0.0.0.0"), "ok");
    // Sockets of TCP are not counted.
    let tcp = |n: u8| Socket { protocol: Tcp, ..socket(&format!("127.0.1.{n}"), "") };
    let mut others: Vec<Socket> = (0..20).map(tcp).collect();
    others.extend([socket("0.0.0.0", ""), socket("127.0.0.1", "p")]);
    assert_eq!(told("127.0.0.1", "p", &others), "ok");
    // One of the address that does not share is in the way even before the wildcards.
    let filler = |n| socket(&format!("127.0.1.{n}"), "");
    let mut others: Vec<Socket> = (0..11).map(filler).collect();
    assert_eq!(told("127.0.0.1", "p", &others), "ok");
    others.insert(0, socket("127.0.0.1", ""));
    assert_eq!(told("127.0.0.1", "p", &others), "EADDRINUSE");
}

/// Older kernels compare a wildcard only with the wildcards, if there are more than ten sockets.
#[test]
fn a_wildcard_beside_many_sockets() {
    let without = [
        Version::new(5, 10, 262),
        Version::new(5, 15, 0),
        Version::new(6, 1, 167),
        Version::new(6, 6, 130),
        Version::new(6, 12, 79),
        Version::new(6, 17, 13),
        Version::new(6, 18, 15),
        Version::new(6, 19, 10),
    ];
    let with = [
        Version::new(6, 1, 168),
        Version::new(6, 6, 131),
        Version::new(6, 12, 80),
        Version::new(6, 18, 21),
        Version::new(6, 19, 11),
        Version::new(7, 0, 0),
    ];
    let asked = |version, mine: &str, how: &str, fillers: usize, others: &[Socket]| {
        let filler = |n| socket(&format!("127.0.1.{n}"), "p");
        let all: Vec<Socket> = (0..fillers).map(filler).chain(others.iter().copied()).collect();
        let mut asked = asking(mine, how);
        asked.host.kernel = kernel(version);
        for (n, other) in all.iter().enumerate() {
            asked.host.sockets.push_front(Socket { id: SocketId(n as u64 + 1), ..*other });
        }
        let relied = decide(&asked).trace.into_iter().flat_map(|step| step.evidence).any(
            |e| matches!(e, Evidence::Feature(f, ..) if f.id == "linux.udp-wildcard-meets-all"),
        );
        (outcomes(&decide(&asked)), relied)
    };
    for (versions, answer) in [(&without[..], "ok"), (&with[..], "EADDRINUSE")] {
        for &version in versions {
            for mine in ["0.0.0.0", "::ffff:0.0.0.0", "::"] {
                assert_eq!(asked(version, mine, "", 11, &[]), (answer.into(), true), "{version}");
                // Ten are few for every kernel.
                assert_eq!(asked(version, mine, "", 10, &[]), ("EADDRINUSE".into(), false));
                let wildcard = [socket("0.0.0.0", "")];
                assert_eq!(asked(version, mine, "", 11, &wildcard).0, "EADDRINUSE");
            }
            assert_eq!(asked(version, "127.0.0.1", "", 11, &[]), ("ok".into(), false));
            // It may also be the other way round: one that shares is not met first.
            let answer = if answer == "ok" { "EADDRINUSE" } else { "ok" };
            let others = [socket("0.0.0.0", ""), socket("127.0.0.1", "p")];
            assert_eq!(asked(version, "0.0.0.0", "p", 9, &others).0, answer, "{version}");
        }
    }
}

#[test]
fn who_is_in_the_way_and_who_is_beside() {
    let shown = |how: &str, other: Socket| {
        let mut asked = asking("127.0.0.1", how);
        let other = asked.host.sockets.push_front(other);
        let evidence = decide(&asked).trace.into_iter().flat_map(|step| step.evidence);
        evidence
            .filter_map(|e| match e {
                Evidence::InTheWay(socket) if socket == other => Some("in the way"),
                Evidence::Beside(socket) if socket == other => Some("beside"),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("", socket("127.0.0.1", "")), ["in the way"]);
    assert_eq!(shown("p", socket("127.0.0.1", "p")), ["beside"]);
    assert_eq!(shown("", socket("127.0.0.2", "")), ["beside"]);
    assert_eq!(shown("a", socket("127.0.0.1", "a")), ["beside"]);
}

#[test]
fn options_that_nobody_read_leave_the_answer_open() {
    let unread = |mine: &str, theirs: &str, forget: fn(&mut Socket)| {
        let mut there = socket("127.0.0.1", theirs);
        forget(&mut there);
        let mut asked = asking("127.0.0.1", mine);
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
        ("", "", reuseaddr, "EADDRINUSE"),
        ("p", "", reuseport, open),
        ("p", "r", reuseport, "EADDRINUSE"),
        ("a", "a", reuseport, "ok"),
        ("p", "p", owner, open),
        ("p", "", owner, "EADDRINUSE"),
        ("a", "a", owner, "ok"),
    ] {
        assert_eq!(unread(mine, theirs, forget), expected, "{mine} beside {theirs}");
    }
}
