//! Words for facts, sockets and those who hold them.

use portwise_model::{
    AddrState, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CapSet, FileKind, Protocol,
    RouteKind, State, UserNs,
};

use crate::{
    explain::{CiteReport, EvidenceReport, Report, SocketReport, SubjectReport},
    observe::Process,
};

/// `alice (uid 1000)`, or the number alone.
pub fn user(name: Option<&str>, uid: u32) -> String {
    match name {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

/// Who may or may not: the program or process, and the user.
pub fn subject(subject: &SubjectReport) -> String {
    let login = login(subject);
    let process = subject.process.as_ref().map(|p| format!("pid {} ({})", p.pid, p.command));
    match (&subject.program, process) {
        (Some(program), Some(process)) => format!("{program}, started by {process} as {login},"),
        (Some(program), None) => format!("{program} as {login}"),
        (None, Some(process)) => format!("{process}, {login},"),
        (None, None) => login,
    }
}

/// The name of a user, or the number.
fn login(subject: &SubjectReport) -> String {
    match subject.user.as_deref() {
        // A user of this name is a person to nobody, and "nobody may not" says the opposite.
        Some("nobody") => format!("user nobody (uid {})", subject.uid),
        Some(name) => name.into(),
        None => format!("uid {}", subject.uid),
    }
}

fn who(subject: &SubjectReport) -> String {
    let user = user(subject.user.as_deref(), subject.uid);
    if subject.is_self { format!("you are {user}") } else { user }
}

/// Where a fact was read, to be put behind it: unless everything is wanted only what one would
/// not think of, such as another user than the one who runs the program.
fn place(from: &str, all: bool) -> String {
    let plain = from.starts_with('/') || ["rtnetlink", "sock_diag", "assumed"].contains(&from);
    if plain && !all { String::new() } else { format!(" ({from})") }
}

/// A fact that a rule looked at; `None` for one that goes without saying unless `all` is wanted.
pub fn evidence(report: &Report, seen: &EvidenceReport, all: bool) -> Option<String> {
    use EvidenceReport::*;
    let place = |from: &str| place(from, all);
    let text = match seen {
        Address { ip } if all => format!("address {ip}"),
        Port { port } if all => format!("port {port}"),
        Sockaddr { family, len } if all => format!("address of family {family}, {len} bytes"),
        Asking { socket } if all => format!("the asking socket: {}", options(socket)),
        Uid { uid } => {
            let not = if *uid == 0 { "" } else { ", not root" };
            format!("{}{not}", who(&report.subject))
        }
        Sysctl { name, value, from } if name == "net.ipv4.ip_unprivileged_port_start" => {
            format!("limit of this namespace: {name} is {value}{}", place(from))
        }
        Sysctl { name, value, from } => format!("{name} is {value}{}", place(from)),
        Capability { name, counts: true, from, .. } => {
            format!("{}, with {name}{}", who(&report.subject), place(from))
        }
        Capability { name, held: Some(true), from, .. } => {
            let who = who(&report.subject);
            format!("{who}, with a {name} that does not count here{}", place(from))
        }
        Capability { name, from, .. } => {
            format!("{}, without {name}{}", who(&report.subject), place(from))
        }
        UserNamespace { relation: UserNs::Owner, .. } if !all => return None,
        UserNamespace { relation, from } => {
            format!("{}{}", user_namespace(*relation), place(from))
        }
        LocalRoute { route: Some(found), device, from } => {
            let device = device.as_deref().map(|d| format!(" dev {d}")).unwrap_or_default();
            format!("route {}{device}{}", route(found), place(from))
        }
        LocalRoute { route: None, from, .. } => {
            let ip = report.ip.to_canonical();
            format!("no route of the table `local` covers {ip}{}", place(from))
        }
        InterfaceAddress { address: Some(address), device, state, from } => {
            let device = device.as_deref().unwrap_or("?");
            let state = state.map(address_state).unwrap_or_default();
            format!("{device} has {address}{state}{}", place(from))
        }
        InterfaceAddress { address: None, from, .. } => {
            format!("no interface has {} ready for use{}", report.ip, place(from))
        }
        Device { name, exists: true, from, .. } => {
            format!("the interface {name} exists{}", place(from))
        }
        Device { name, exists: false, from, .. } => {
            format!("there is no interface {name}{}", place(from))
        }
        NoGate { gate, from } if all => format!("no {gate} in the way{}", place(from)),
        NoOwnGate { gate, from } if all => format!("no {gate} in the way{}", place(from)),
        UnseenGate { gate, what } if all => format!("{gate}: taken not to be there; {what}"),
        NoOwnGate { .. } | UnseenGate { .. } => return None,
        OwnGate { what, .. } => what.clone(),
        Inode { path, mode, uid, gid, user } => {
            let owner = self::user(user.as_deref(), *uid);
            format!("{path}: {mode}, of {owner} and group {gid}")
        }
        NoFile { path } => format!("there is no {path}"),
        Mount { path, at, nosuid, noexec } => mount(path, at.as_deref(), *nosuid, *noexec),
        FileCapabilities { path, capabilities } if capabilities == "none" => {
            format!("{path} has no capabilities that count here")
        }
        FileCapabilities { path, capabilities } => format!("{path} has {capabilities}"),
        Bounding { capabilities, from } => {
            format!("the bounding set: {capabilities}{}", place(from))
        }
        Feature { feature, has: true, from } if all => {
            format!("{}: so it is here (since {}; by {from})", feature.title, feature.since)
        }
        Feature { has: true, .. } => return None,
        Feature { feature, has: false, from } => {
            format!("{}: not so here (since {}; by {from})", feature.title, feature.since)
        }
        InTheWay { socket } if all => format!("in the way: {}", self::socket(socket)),
        Beside { socket } if all => format!("not in the way: {}", self::socket(socket)),
        LocalPorts { low, high, from } => {
            format!("automatic ports: {low} to {high}{}", place(from))
        }
        SharedBefore { port } => {
            format!("the kernel remembers that port {port} is shared, and looks no further")
        }
        Address { .. } | Port { .. } | Sockaddr { .. } | Asking { .. } | NoGate { .. } => {
            return None;
        }
        InTheWay { .. } | Beside { .. } => return None,
    };
    Some(text)
}

fn mount(path: &str, at: Option<&str>, nosuid: bool, noexec: bool) -> String {
    let options: Vec<&str> = [("nosuid", nosuid), ("noexec", noexec)]
        .iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| *name)
        .collect();
    let at = at.map(|at| format!(", mounted at {at}")).unwrap_or_default();
    let with = if options.is_empty() {
        "without nosuid and noexec".into()
    } else {
        format!("with {}", options.join(" and "))
    };
    format!("{path} is on a file system {with}{at}")
}

/// Kind and permissions of a file, as `ls -l` shows them.
pub fn mode(kind: FileKind, mode: u16) -> String {
    let kind = match kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Other => '?',
    };
    let bit = |shift: u16| mode >> shift & 1 != 0;
    let mut text = String::from(kind);
    for (class, special, letter) in [(6, 11, 's'), (3, 10, 's'), (0, 9, 't')] {
        text.push(if bit(class + 2) { 'r' } else { '-' });
        text.push(if bit(class + 1) { 'w' } else { '-' });
        text.push(match (bit(class), bit(special)) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// How a user namespace relates to the one that owns the network.
pub fn user_namespace(relation: UserNs) -> &'static str {
    match relation {
        UserNs::Owner => "in the user namespace that owns this network namespace",
        UserNs::Ancestor => "in a user namespace above the one that owns this network namespace",
        UserNs::Creator => {
            "the creator of the user namespace that owns this network namespace, \
             which gives every capability there"
        }
        UserNs::Foreign => {
            "in another user namespace than the one that owns this network namespace: \
             no capability held there counts"
        }
    }
}

/// Why an address may not be bound, to be put behind it; nothing if it may.
pub fn address_state(state: AddrState) -> &'static str {
    match state {
        AddrState::Usable => "",
        AddrState::Tentative => ", tentative",
        AddrState::Anycast => ", anycast",
        AddrState::Detached => ", detached",
        AddrState::Clat46 => ", for CLAT46",
    }
}

/// A route of the table `local`.
pub fn route(route: &portwise_model::LocalRoute) -> String {
    let kind = match route.kind {
        RouteKind::Local => "local",
        RouteKind::Broadcast => "broadcast",
        RouteKind::Other => "unusable",
    };
    format!("{kind} {}/{}", route.dst, route.prefix)
}

/// The capabilities that rules ask for, of those in the set.
pub fn capabilities(set: CapSet) -> String {
    let asked = [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW];
    let held: Vec<&str> = asked.iter().filter(|cap| set.has(**cap)).map(|cap| cap.name).collect();
    match held.as_slice() {
        [] if set == CapSet::NONE => "no capability".into(),
        [] => "no capability that counts for bind".into(),
        _ => held.join(", "),
    }
}

/// What is set on a socket.
pub fn options(socket: &SocketReport) -> String {
    let mut words = vec![socket.protocol.name().to_uppercase()];
    let mut add = |on: bool, word: &str| {
        if on {
            words.push(word.into());
        }
    };
    add(socket.reuseaddr == Some(true), "SO_REUSEADDR");
    add(socket.reuseport == Some(true), "SO_REUSEPORT");
    add(socket.v6only, "IPV6_V6ONLY");
    add(socket.freebind, "IP_FREEBIND");
    if let Some(device) = &socket.device {
        words.push(format!("SO_BINDTODEVICE {device}"));
    }
    words.join(", ")
}

/// A socket in a line: address, state, other end.
pub fn socket(socket: &SocketReport) -> String {
    socket_of(socket, socket.remote.as_deref(), 1)
}

/// `count` sockets that differ in nothing but the other end.
pub fn socket_of(socket: &SocketReport, remote: Option<&str>, count: usize) -> String {
    let mut text = format!("{}/{}", socket.local, socket.protocol.name());
    let other = match (count, remote) {
        (1, Some(remote)) => format!(" {remote}"),
        (1, None) => String::new(),
        _ => format!(" {count} others"),
    };
    text += &match (socket.state, socket.protocol) {
        (State::Listen, _) => " listening".into(),
        (State::Closed, Protocol::Tcp) => " bound, not listening".into(),
        (State::Closed, Protocol::Udp) => " bound".into(),
        (State::Established, _) => format!(" connected to{other}"),
        (State::Closing, _) => format!(" closing its connection to{other}"),
        (State::CloseWait, _) => format!(" still open (CLOSE_WAIT), closed by{other}"),
        (State::TimeWait, _) => format!(" TIME_WAIT, was connected to{other}"),
    };
    if socket.dual_stack {
        text += ", dual stack (IPv6 and IPv4)";
    } else if socket.v6only && socket.local.starts_with("[::]") {
        text += ", IPv6 only";
    }
    if let Some(device) = &socket.device {
        text += &format!(", bound to {device}");
    }
    let known: Vec<&str> = [("SO_REUSEADDR", socket.reuseaddr), ("SO_REUSEPORT", socket.reuseport)]
        .iter()
        .filter(|(_, on)| *on == Some(true))
        .map(|(name, _)| *name)
        .collect();
    if !known.is_empty() {
        text += &format!(", with {}", known.join(" and "));
    }
    text
}

/// A process that holds a socket.
pub fn holder(process: &Process) -> String {
    let user = user(process.user.as_deref(), process.uid);
    format!("held by pid {} ({}), {user}", process.pid, process.command)
}

/// The endpoint as it was typed, with its protocol if that is not the usual one.
pub(super) fn asked(report: &Report) -> String {
    match report.protocol {
        Protocol::Tcp => report.asked.clone(),
        Protocol::Udp => format!("{}/udp", report.asked),
    }
}

/// Quotes an argument for the shell if it needs it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":./-_%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A place in a source tree.
pub fn cite(cite: &CiteReport) -> String {
    let CiteReport { repo, rev, path, function, .. } = cite;
    let text = format!("{repo} {rev} {path} {function}");
    text.trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_somebody() {
        let called = |user: Option<&str>| {
            let user = user.map(str::to_string);
            let (process, program) = (None, None);
            subject(&SubjectReport {
                uid: 65534,
                user,
                gid: None,
                is_self: false,
                process,
                program,
            })
        };
        assert_eq!(called(Some("nobody")), "user nobody (uid 65534)");
        assert_eq!(called(Some("alice")), "alice");
        assert_eq!(called(None), "uid 65534");
    }
}
