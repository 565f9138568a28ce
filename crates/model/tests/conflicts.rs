//! Which sockets are in whose way: one socket of every kind on the port, and every kind of bind to it,
//! on the kernels beside Linux. The answers to all binds beside one socket are kept as one number in a
//! table of the model's own, as in [`crate::other_kernels`].

use std::{fmt::Write as _, net::IpAddr};

use portwise_model::{
    Call, Family, Finding, Host, Kernel, Options, Outcome, Protocol, Request, SockAddr, Socket,
    SocketId, State, Subject, freebsd, illumos, netbsd, openbsd, outcomes,
    scenario::{Scenario, host_of},
    settle, windows, xnu,
};

use crate::other_kernels::held_against;

const PORT: u16 = 8080;
const USER: u32 = 501;

const ADDRESSES: [&str; 9] = [
    "0.0.0.0",
    "127.0.0.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0",
    "224.0.0.251",
    "ff02::fb",
    "127.0.0.2",
];

/// The options that let sockets share a port, on one kernel or another.
const OPTIONS: [fn(&mut Options); 9] = [
    |_| {},
    |o| o.reuseaddr = Some(true),
    |o| o.reuseport = Some(true),
    |o| (o.reuseaddr, o.reuseport) = (Some(true), Some(true)),
    |o| o.reuseport_lb = true,
    |o| (o.reuseport_lb, o.reuseport) = (true, Some(true)),
    |o| o.exclusive = true,
    |o| (o.exclusive, o.reuseaddr) = (true, Some(true)),
    |o| (o.shareuid, o.reuseaddr) = (true, Some(true)),
];

/// What else a socket may have that is there already.
const STATES: [fn(&mut Socket); 9] = [
    |_| {},
    |s| s.state = State::Listen,
    |s| s.uid = Some(7),
    |s| s.uid = Some(0),
    |s| s.uid = None,
    |s| s.v6only = true,
    |s| {
        s.state = State::Established;
        s.remote = Some("127.0.0.1:50000".parse().unwrap());
    },
    |s| {
        s.state = State::TimeWait;
        s.remote = Some("127.0.0.1:50000".parse().unwrap());
    },
    |s| (s.options.reuseaddr, s.options.reuseport) = (None, None),
];

fn socket(id: SocketId, ip: &str, protocol: Protocol, options: fn(&mut Options)) -> Socket {
    let ip: IpAddr = ip.parse().unwrap();
    let mut socket = Socket::new(id, Family::of(ip), protocol, USER);
    options(&mut socket.options);
    socket
}

/// Every kind of bind: of each family and address, with each of the options, v6only or not.
fn binds(protocol: Protocol) -> Vec<Request> {
    let mut requests = Vec::new();
    for ip in ADDRESSES {
        for options in OPTIONS {
            for v6only in [false, true] {
                let mut socket = socket(SocketId::ASKING, ip, protocol, options);
                if v6only && socket.family == Family::Inet {
                    continue;
                }
                socket.v6only = v6only;
                let call = Call::Bind(SockAddr::new(ip.parse().unwrap(), PORT, 0));
                requests.push(Request { call, socket });
            }
        }
    }
    requests
}

fn kernels() -> Vec<Kernel> {
    let freebsd = ["11.0", "15.0"].map(|v| freebsd::from_version(v).unwrap());
    let openbsd = ["2013", "2014", "7.8"].map(|v| openbsd::from_version(v).unwrap());
    let netbsd = ["4.0", "10.1"].map(|v| netbsd::from_version(v).unwrap());
    let windows = ["7", "11"].map(|v| windows::from_version(v).unwrap());
    let xnu = [xnu::from_tag("11417.121.6").unwrap()];
    let bsd = freebsd.into_iter().chain(openbsd).chain(netbsd);
    bsd.chain(windows).chain(xnu).chain([illumos::kernel()]).collect()
}

/// What is answered to all binds, in one number (FNV-1a).
fn answers(host: &Host, requests: &[Request]) -> u32 {
    let mut sum = 0x811c_9dc5u32;
    let mut take = |text: &str| {
        for byte in text.bytes() {
            sum = (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    };
    // Root differs in little: every seventh is enough.
    for (uid, each) in [(USER, 1), (0, 7)] {
        let subject = Subject::plain(uid, "the test");
        for request in requests.iter().step_by(each) {
            let possible = outcomes(host, &subject, request, |rule, finding| {
                if *finding != Finding::Passes {
                    take(&format!("{} {finding:?}", rule.id));
                }
            });
            for outcome in &possible {
                take(outcome.name());
            }
            if possible.contains(&Outcome::Ok) {
                let mut after = host.clone();
                let done = settle(&mut after, &request.socket, &request.call, Outcome::Ok, None);
                take(&format!("{done:?}"));
            }
        }
    }
    sum
}

#[test]
fn no_answer_changed() {
    let mut text = String::new();
    for kernel in kernels() {
        let release = kernel.release.clone();
        let _ = writeln!(text, "{release} {:?}", kernel.version);
        let (empty, _) = host_of(kernel, &Scenario::default().setup).expect("such a host");
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let requests = binds(protocol);
            for (ip, nth) in
                ADDRESSES.iter().flat_map(|ip| (0..OPTIONS.len()).map(move |n| (ip, n)))
            {
                let _ = write!(text, "{release} {} {ip} {nth}:", protocol.name());
                for state in STATES {
                    let mut there = socket(SocketId(1), ip, protocol, OPTIONS[nth]);
                    (there.ip, there.port) = (ip.parse().unwrap(), PORT);
                    state(&mut there);
                    let mut host = empty.clone();
                    host.sockets.push_back(there);
                    let _ = write!(text, " {:08x}", answers(&host, &requests));
                }
                text.push('\n');
            }
        }
    }
    held_against("conflicts-table.gz", &text);
}
