//! Probes of what differs in `bind`.

use std::{fs, net::Ipv4Addr};

use portwise_model::linux::{
    BIND_FINDS_MAPPED_ANY, BUCKET_FORGETS_ON_CLOSE, BUCKET_STARTS_STRICT, LANDLOCK_TCP,
    LOWEST_ADDRESS_IS_UNICAST, UDP_WILDCARD_MEETS_ALL, UNPRIVILEGED_PORT_START,
    ZERONET_IS_NOT_BROADCAST,
};
use portwise_sys::{Errno, landlock, rtnetlink::RtNetlink, sock::SocketOption};

use super::{
    super::namespace,
    Probe,
    setting::{Setting, address, bind, bound, listen, refused, said, tcp, udp},
};

const ADDR: SocketOption = SocketOption::SO_REUSEADDR;
const PORT: SocketOption = SocketOption::SO_REUSEPORT;

pub(super) static PROBES: &[Probe] = &[
    Probe {
        feature: &UNPRIVILEGED_PORT_START,
        how: "with the sysctl at 80, port 80 is bound without a capability",
        ask: port_start,
    },
    Probe {
        feature: &ZERONET_IS_NOT_BROADCAST,
        how: "bind of 0.1.2.3 is refused with EADDRNOTAVAIL",
        ask: |_| refused("bind", bind("0.1.2.3", 8080, &[])?, Errno::EADDRNOTAVAIL),
    },
    Probe {
        feature: &BUCKET_FORGETS_ON_CLOSE,
        how: "on a port that only connect() holds, SO_REUSEPORT does not help any more when the \
              listener that had it is closed",
        ask: bucket_forgets,
    },
    Probe {
        feature: &BUCKET_STARTS_STRICT,
        how: "a socket that took SO_REUSEADDR back is in the way of one that has it",
        ask: |_| {
            let first = bound("0.0.0.0", 8080, &[ADDR])?;
            said("SO_REUSEADDR", first.set(ADDR, 0))?;
            refused("bind", bind("127.0.0.1", 8080, &[ADDR])?, Errno::EADDRINUSE)
        },
    },
    Probe {
        feature: &BIND_FINDS_MAPPED_ANY,
        how: "with ::ffff:0.0.0.0 held, bind of ::ffff:127.0.0.1 is refused with EADDRINUSE",
        ask: |_| {
            let _wildcard = bound("::ffff:0.0.0.0", 8080, &[])?;
            refused("bind", bind("::ffff:127.0.0.1", 8080, &[])?, Errno::EADDRINUSE)
        },
    },
    Probe {
        feature: &UDP_WILDCARD_MEETS_ALL,
        how: "with eleven UDP sockets on 127.0.0.1, bind of 0.0.0.0 is refused with EADDRINUSE, \
              and so for 127.0.0.2 and ::1",
        ask: udp_wildcard,
    },
    Probe {
        feature: &LOWEST_ADDRESS_IS_UNICAST,
        how: "with 192.0.2.1/24 on an interface, bind of 192.0.2.0 is refused with EADDRNOTAVAIL",
        ask: lowest_address,
    },
    Probe {
        feature: &LANDLOCK_TCP,
        how: "the version of Landlock's interface is 4 or above",
        ask: landlock_tcp,
    },
];

fn port_start(_: &Setting) -> Result<bool, String> {
    if let Err(error) = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "80") {
        return match Errno::from(error) {
            Errno::ENOENT => Ok(false),
            errno => Err(format!("ip_unprivileged_port_start: {errno}")),
        };
    }
    super::setting::become_powerless()?;
    let answer = bind("127.0.0.1", 80, &[])?;
    super::setting::allowed("bind", answer, Errno::EACCES)
}

/// A client that shares by address holds the port. A wildcard that shares both ways joins it and
/// leaves. What shares by port alone is then in the client's way, unless the port remembers.
fn bucket_forgets(_: &Setting) -> Result<bool, String> {
    const ONE: u16 = 40_000;
    // Connections of one namespace differ in their ports, here in one end only.
    let range = format!("{ONE} {ONE}");
    let written = fs::write("/proc/sys/net/ipv4/ip_local_port_range", range);
    said("ip_local_port_range", written.map_err(Errno::from))?;
    let _server = listen(bound("127.0.0.1", 8080, &[])?)?;
    let client = tcp(false, &[ADDR])?;
    said("connect", client.connect(&address("127.0.0.1", 8080)))?;
    drop(bound("0.0.0.0", ONE, &[ADDR, PORT])?);
    refused("bind", bind("127.0.0.1", ONE, &[PORT])?, Errno::EADDRINUSE)
}

/// Without the feature a wildcard looks at one slot of a hash table. An address may happen to be in
/// that one too, but hardly three.
fn udp_wildcard(_: &Setting) -> Result<bool, String> {
    let hold = |ip: &str, options: &[SocketOption]| {
        let socket = udp(ip.contains(':'), options)?;
        let answer = socket.bind(&address(ip, 8080));
        Ok::<_, String>((socket, answer))
    };
    for (ip, wildcard) in [("127.0.0.1", "0.0.0.0"), ("127.0.0.2", "0.0.0.0"), ("::1", "::")] {
        let held: Vec<_> = (0..11).map(|_| hold(ip, &[ADDR])).collect::<Result<_, _>>()?;
        for (_, answer) in &held {
            said("bind", *answer)?;
        }
        let (_, answer) = hold(wildcard, &[])?;
        if !refused("bind", answer, Errno::EADDRINUSE)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lowest_address(_: &Setting) -> Result<bool, String> {
    let added = || {
        let mut net = RtNetlink::open()?;
        net.add_veth("d0", "d1")?;
        for end in ["d0", "d1"] {
            let index = namespace::index(&mut net, end)?;
            net.set_up(index)?;
        }
        let index = namespace::index(&mut net, "d0")?;
        net.add_address(index, Ipv4Addr::new(192, 0, 2, 1).into(), 24, false)
    };
    added().map_err(|error| error.to_string())?;
    refused("bind", bind("192.0.2.0", 8080, &[])?, Errno::EADDRNOTAVAIL)
}

fn landlock_tcp(_: &Setting) -> Result<bool, String> {
    match landlock::abi() {
        Ok(version) => Ok(version >= 4),
        // Without Landlock there is nothing that could forbid a port.
        Err(Errno::ENOSYS) => Ok(false),
        Err(errno) => Err(format!("landlock_create_ruleset: {errno}")),
    }
}
