//! The router that packets are sent to, its neighbours, and its sockets.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

use portwise_sys::{
    ns::{self, Kind, Namespace},
    rtnetlink::RtNetlink,
    sock::{Address, Socket, SocketOption},
};

use super::{grammar::Rules, probe::Observed, random::Random};
use crate::Trouble;

/// What a neighbour answers to is fixed, so that no rule can keep one from being found.
const HOST: &str = "
ip link set lo up
for f in all default wan lan; do
  echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/$f/accept_ra
  echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/$f/send_redirects
done
echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit
for k in icmp_msgs_per_sec icmp_msgs_burst; do echo 100000 >/proc/sys/net/ipv4/$k || true; done
ip link set wan address 02:00:00:00:01:01 up; ip link set lan address 02:00:00:00:02:01 up
ip addr add 192.0.2.10/24 dev wan; ip addr add 2001:db8:1::10/64 dev wan nodad
ip addr add 10.77.1.1/24 dev lan; ip addr add fd77:1::1/64 dev lan nodad
for a in 192.0.2.9 2001:db8:1::9; do ip neigh add $a lladdr 02:00:00:00:01:02 dev wan nud permanent; done
for a in 10.77.1.2 fd77:1::2; do ip neigh add $a lladdr 02:00:00:00:02:02 dev lan nud permanent; done
ip route add default via 192.0.2.9; ip route add default via 2001:db8:1::9
ip rule add pref 500 fwmark 0x9 lookup 900; ip route add local 0.0.0.0/0 dev lo table 900
ip -6 rule add pref 500 fwmark 0x9 lookup 900; ip -6 route add local ::/0 dev lo table 900
ip rule add pref 501 fwmark 0x7 prohibit
if command -v ipset >/dev/null; then
  ipset create nets hash:net; ipset add nets 198.51.100.0/24; ipset add nets 10.77.1.1
  ipset create nets6 hash:net family inet6; ipset add nets6 fd77:1::/64
fi
";

const FAR: &str = "
ip link set lo up
for f in all default wan; do
  echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/$f/accept_ra
  echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter
done
ip link set wan address 02:00:00:00:01:02 up
ip addr add 192.0.2.9/24 dev wan; ip addr add 2001:db8:1::9/64 dev wan nodad
ip addr add 198.51.100.7/32 dev lo; ip addr add 2001:db8:99::7/128 dev lo nodad
for a in 192.0.2.10 2001:db8:1::10; do ip neigh add $a lladdr 02:00:00:00:01:01 dev wan nud permanent; done
ip route add default via 192.0.2.10; ip route add default via 2001:db8:1::10
";

const NEAR: &str = "
ip link set lo up
for f in all default lan; do
  echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/$f/accept_ra
  echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter
done
ip link set lan address 02:00:00:00:02:02 up
ip addr add 10.77.1.2/24 dev lan; ip addr add fd77:1::2/64 dev lan nodad
for a in 10.77.1.1 fd77:1::1; do ip neigh add $a lladdr 02:00:00:00:02:01 dev lan nud permanent; done
ip route add default via 10.77.1.1; ip route add default via fd77:1::1
";

/// Takes away whatever a scenario loaded.
const CLEAR: &str = "nft flush ruleset 2>/dev/null || true";

/// A socket that a scenario has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    tcp: bool,
    at: &'static str,
    dual: bool,
    transparent: bool,
}

const fn tcp(at: &'static str) -> Wanted {
    Wanted { tcp: true, at, dual: false, transparent: false }
}

const fn udp(at: &'static str) -> Wanted {
    Wanted { tcp: false, ..tcp(at) }
}

const SOCKETS: &[Wanted] = &[
    Wanted { dual: true, ..tcp("[::]:22") },
    tcp("0.0.0.0:80"),
    tcp("[::]:80"),
    tcp("127.0.0.1:6379"),
    tcp("[::1]:6379"),
    tcp("10.77.1.1:8080"),
    tcp("192.0.2.10:80"),
    Wanted { dual: true, ..tcp("[::]:8080") },
    Wanted { transparent: true, ..tcp("0.0.0.0:50080") },
    Wanted { dual: true, ..udp("[::]:53") },
    udp("0.0.0.0:123"),
    udp("127.0.0.1:5353"),
    udp("192.0.2.10:53"),
    Wanted { transparent: true, ..udp("0.0.0.0:50053") },
];

/// The sockets of a scenario.
pub(super) fn sockets(random: &mut Random) -> Vec<Wanted> {
    SOCKETS.iter().copied().filter(|_| random.chance(3, 4)).collect()
}

/// Sockets in words.
pub(super) fn shown(sockets: &[Wanted]) -> String {
    let one = |s: &Wanted| format!("{}/{}", s.at, if s.tcp { "tcp" } else { "udp" });
    sockets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// An open socket of the router.
pub(super) struct Open {
    pub socket: Socket,
    pub inode: u64,
    pub wanted: Wanted,
}

impl Wanted {
    pub(super) fn is_tcp(&self) -> bool {
        self.tcp
    }
}

/// The namespaces, and what is open in them. The thread stands in the router's.
pub(super) struct World {
    host: Namespace,
    pub far: Namespace,
    pub near: Namespace,
    pub open: Vec<Open>,
    /// Sees what passes: of the far and the near neighbour, and of the router's own loopback.
    pub sniffers: [Socket; 3],
    /// Whether `iptables-legacy` works here.
    pub has_legacy: bool,
}

fn trouble(what: &str) -> impl Fn(portwise_sys::Errno) -> Trouble + '_ {
    move |errno| Trouble::new(format!("{what}: {errno}: {}", errno.text()))
}

impl World {
    /// Builds it around this thread.
    ///
    /// # Errors
    /// If namespaces cannot be made or tools are missing.
    pub(super) fn build() -> Result<World, Trouble> {
        for tool in ["ip", "nft", "iptables-nft", "ip6tables-nft"] {
            let mut there = Command::new(tool);
            there.arg("-V").stdout(Stdio::null()).stderr(Stdio::null());
            if there_with_path(&mut there).status().is_err() {
                return Err(Trouble::new(format!(
                    "--random-rules needs {tool}, which is not here"
                )));
            }
        }
        let fresh = || -> Result<Namespace, Trouble> {
            ns::unshare(&[Kind::Net]).map_err(trouble("no network namespace can be made here"))?;
            Namespace::of_thread(Kind::Net).map_err(|e| Trouble::new(e.to_string()))
        };
        let (far, near, host) = (fresh()?, fresh()?, fresh()?);
        let mut net = RtNetlink::open().map_err(|e| Trouble::new(e.to_string()))?;
        for (name, there) in [("wan", &far), ("lan", &near)] {
            net.add_veth_to(name, 0, name, there).map_err(|e| Trouble::new(e.to_string()))?;
        }
        shell(HOST)?;
        let sniffer = || {
            const ALL: u16 = 3;
            let kind = 2 | 0o4000; // SOCK_DGRAM, SOCK_NONBLOCK
            Socket::new(17, kind, i32::from(ALL.to_be())).map_err(trouble("a packet socket"))
        };
        let inside = |there: &Namespace, script: &str| -> Result<Socket, Trouble> {
            there.enter(Kind::Net).map_err(trouble("setns"))?;
            let made = shell(script).and_then(|()| sniffer());
            host.enter(Kind::Net).map_err(trouble("setns"))?;
            made
        };
        let sniffers = [inside(&far, FAR)?, inside(&near, NEAR)?, sniffer()?];
        let legacy = "iptables-legacy -w -S >/dev/null && ip6tables-legacy -w -S >/dev/null";
        let has_legacy = shell(legacy).is_ok();
        Ok(World { host, far, near, open: Vec::new(), sniffers, has_legacy })
    }

    /// Does something in the namespace of a neighbour.
    pub(super) fn at<T>(&self, there: &Namespace, work: impl FnOnce() -> T) -> Result<T, Trouble> {
        there.enter(Kind::Net).map_err(trouble("setns"))?;
        let done = work();
        self.host.enter(Kind::Net).map_err(trouble("setns"))?;
        Ok(done)
    }

    /// Loads rules in the place of those of before. `Err` if the tool does not take them, with the
    /// line it complains about.
    pub(super) fn load(&mut self, rules: &Rules) -> Result<(), (Option<usize>, String)> {
        let said = |e: String| (None, e.lines().next().unwrap_or_default().to_owned());
        feed("sh", &["-c", &self.clear()], "").map_err(said)?;
        for (tool, text) in rules.files() {
            // The tools for legacy tables have one lock for all namespaces.
            let args: &[&str] = if tool == "nft" { &["-f", "-"] } else { &["-w"] };
            feed(tool, args, &text).map_err(|e| {
                let line = complaint(&e).and_then(|number| rules.line_at(tool, number));
                (line, said(e).1)
            })?;
        }
        Ok(())
    }

    fn clear(&self) -> String {
        if !self.has_legacy {
            return CLEAR.into();
        }
        let tables = "for x in iptables-legacy-restore ip6tables-legacy-restore; do \
             for t in raw mangle nat filter; do printf '*%s\\nCOMMIT\\n' $t; done | $x -w; done";
        let chains = "for x in iptables-legacy ip6tables-legacy; do for c in INPUT FORWARD OUTPUT; do \
             $x -w -P $c ACCEPT; done; done";
        format!("{CLEAR}; {tables}; {chains}")
    }

    /// Opens the sockets of a scenario in the place of those of before.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(super) fn open(&mut self, wanted: &[Wanted]) -> Result<(), Trouble> {
        self.open.clear();
        for &wanted in wanted {
            let socket = open(wanted).map_err(trouble(wanted.at))?;
            let inode = socket.inode().map_err(trouble("fstat"))?;
            self.open.push(Open { socket, inode, wanted });
        }
        Ok(())
    }

    /// What was observed, in words.
    pub(super) fn shown(&self, observed: &Observed) -> String {
        match observed {
            Observed::Accepted(inode) => {
                let found = self.open.iter().find(|open| open.inode == *inode);
                format!("accepted by {}", found.map_or("?", |open| open.wanted.at))
            }
            Observed::Forwarded => "forwarded".into(),
            Observed::Refused => "refused".into(),
            Observed::Silent => "silent".into(),
        }
    }
}

fn open(wanted: Wanted) -> Result<Socket, portwise_sys::Errno> {
    const NONBLOCK: i32 = 0o4000;
    let at: SocketAddr = wanted.at.parse().expect("an address written here");
    let family = if at.is_ipv4() { 2 } else { 10 };
    let kind = if wanted.tcp { 1 } else { 2 };
    let socket = Socket::new(family, kind | NONBLOCK, 0)?;
    socket.set(SocketOption::SO_REUSEPORT, 1)?;
    if wanted.transparent {
        socket.set(SocketOption::IP_TRANSPARENT, 1)?;
    }
    if at.is_ipv6() {
        socket.set(SocketOption::IPV6_V6ONLY, i32::from(!wanted.dual))?;
    }
    socket.bind(&Address::new(at))?;
    if wanted.tcp {
        socket.listen(64)?;
    }
    Ok(socket)
}

fn there_with_path(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/bin:/bin"))
}

fn shell(script: &str) -> Result<(), Trouble> {
    feed("sh", &["-euc", script], "").map_err(|why| {
        Trouble::new(format!(
            "the namespaces cannot be set up: {}",
            why.lines().next().unwrap_or("")
        ))
    })
}

/// Runs a tool with a text on its standard input. `Err` with what it says.
fn feed(tool: &str, args: &[&str], text: &str) -> Result<(), String> {
    let mut command = Command::new(tool);
    there_with_path(&mut command);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{tool}: {e}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A tool that ends early says why.
        let _ = input.write_all(text.as_bytes());
    }
    let done = child.wait_with_output().map_err(|e| format!("{tool}: {e}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

/// The number of the line that a tool complains about: `/dev/stdin:12:…`, `line 12 failed`,
/// `occurred at line: 12`.
fn complaint(said: &str) -> Option<usize> {
    let behind = |mark: &str| {
        let rest = &said[said.find(mark)? + mark.len()..];
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    behind("/dev/stdin:").or_else(|| behind("line:")).or_else(|| behind("line "))
}
