//! What else is worth knowing. A note that says what would happen is the answer to a changed case.

use std::net::IpAddr;

use portwise_model::{
    AddrState, Call, Case, Errno, Evidence, FactKey, Family, Feature, Finding, KernelFamily,
    Outcome, Protocol, Request, SockAddr, SockOption, Socket, State, Step, Verdict, decide,
    decide_parts, settle, xnu,
};

use super::{
    report::{HeldSocket, NoHolder, Note, Role},
    trace::{CiteReport, cites, version_name},
    with_every_right,
};
use crate::{
    Setting,
    endpoint::{Target, shown},
};

/// The notes on a case.
pub(super) fn of(
    setting: &mut Setting,
    case: &Case,
    verdict: &Verdict,
    target: &Target,
    held: &[HeldSocket],
) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(step) = reserved_port(verdict) {
        let alone = verdict.obstacles().count() == 1;
        notes.extend(other_address(setting, case, step, alone));
    }
    if verdict.obstacles().any(|s| s.rule.outcome == Outcome::Errno(Errno::EADDRNOTAVAIL)) {
        notes.extend(own_addresses(case, target));
    }
    notes.extend(next_obstacle(setting, case, verdict));
    if held.iter().any(|h| h.role <= Role::Unclear && h.socket.state == State::TimeWait) {
        notes.push(time_wait(case, held));
    }
    notes.extend(only_bound(held));
    notes.extend(connection_alone(setting, case, target, held));
    notes.extend(other_network(setting));
    notes.extend(automatic_range(setting, case, verdict));
    notes.extend(reuseport(setting, case, held));
    notes.extend(shared(held));
    notes.extend(listen_fails(case, verdict));
    notes.extend(device_refused(setting, case));
    notes
}

fn note(id: &'static str, text: impl Into<String>) -> Note {
    Note { id, text: text.into(), cites: Vec::new() }
}

/// What stands behind the only obstacle: lifting that alone would not do.
fn next_obstacle(setting: &mut Setting, case: &Case, verdict: &Verdict) -> Option<Note> {
    let mut obstacles = verdict.obstacles();
    let (Some(step), None) = (obstacles.next(), obstacles.next()) else { return None };
    let mut changed = vec![with_every_right(case)];
    for fix in step.rule.fixes {
        let mut case = case.clone();
        if (fix.apply)(&mut case, 0) {
            changed.push(case);
        }
    }
    let mut next = None;
    for mut case in changed {
        let then = setting.decide_changed(&mut case);
        if then.is_allowed() {
            return None;
        }
        let last = then.trace.last()?;
        if last.finding == Finding::Stops && last.rule.id != step.rule.id {
            next.get_or_insert(last.rule);
        }
    }
    let rule = next?;
    let Outcome::Errno(errno) = rule.outcome else { return None };
    let text =
        format!("with that settled it would still fail ({errno}): {} [{}]", rule.fault, rule.id);
    Some(Note { id: "next-obstacle", text, cites: cites(rule.cites) })
}

/// The step of the rule on reserved ports, if it stops the call or may.
fn reserved_port(verdict: &Verdict) -> Option<&Step> {
    verdict.obstacles().find(|step| step.rule.id.ends_with(".bind.reserved-port"))
}

/// Whether the unspecified address would fare better. `alone`: nothing else is in the way.
fn other_address(setting: &mut Setting, case: &Case, step: &Step, alone: bool) -> Vec<Note> {
    let Call::Bind(addr) = case.request.call else { return Vec::new() };
    let Some(unspecified) = to_unspecified(&addr, case.request.socket.family) else {
        return Vec::new();
    };
    let ip = unspecified.ip(case.request.socket.family);
    let there = shown(ip, None, addr.port);
    let mut changed = case.clone();
    changed.request.call = Call::Bind(unspecified);
    let verdict = setting.decide_changed(&mut changed);
    if verdict.is_allowed() {
        return unspecified_allowed(case, &verdict, &there);
    }
    let stops_too = alone
        && verdict.is_refused()
        && verdict.trace.last().is_some_and(|last| last.rule.id == step.rule.id);
    if !stops_too {
        return Vec::new();
    }
    let mut text = format!("the address makes no difference here: {there} fails the same way");
    let mut sources = Vec::new();
    if let Some(feature) = missing_feature(&changed, &verdict) {
        let since = version_name(case.host.kernel.family, feature.first_with);
        text += &format!("; since {since} it would be allowed");
        sources = cites(feature.cites);
    } else if case.host.kernel.family == KernelFamily::Linux && would_pass_on_macos(&changed) {
        text += " (on macOS it would be allowed)";
    }
    vec![Note { id: "every-address-fails", text, cites: sources }]
}

/// The unspecified address of the same family, an IPv4-mapped one for a mapped one. `None` if it
/// is that already.
fn to_unspecified(addr: &SockAddr, family: Family) -> Option<SockAddr> {
    let ip = match addr.ip(family) {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            IpAddr::V6(std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
        }
        ip => Family::of(ip).unspecified(),
    };
    let changed = SockAddr::new(ip, addr.port, 0);
    (changed.ip(family) != addr.ip(family)).then_some(changed)
}

fn unspecified_allowed(case: &Case, verdict: &Verdict, there: &str) -> Vec<Note> {
    let reserved = verdict.trace.iter().find(|s| s.rule.id.ends_with(".bind.reserved-port"));
    let feature = reserved.into_iter().flat_map(|step| &step.evidence).find_map(|e| match e {
        Evidence::Feature(feature, true, _) => Some(*feature),
        _ => None,
    });
    let mut text = format!("{there} would be allowed");
    let mut sources: Vec<CiteReport> = Vec::new();
    if let Some(feature) = feature {
        let family = case.host.kernel.family;
        text += &format!(": {}, since {}", feature.title, version_name(family, feature.first_with));
        if let Some(without) = feature.last_without {
            text += &format!(", not yet in {}", version_name(family, without));
        }
        sources = cites(feature.cites);
    }
    let mut notes = vec![Note { id: "unspecified-allowed", text, cites: sources }];
    if case.host.kernel.family == KernelFamily::Xnu {
        notes.push(Note {
            id: "not-ipnoprivports",
            text: "IPNOPRIVPORTS is not the reason: in XNU the word stands in a comment of a \
                header and in no condition; it is an option of NetBSD, and a kernel built with it \
                would not refuse this address either"
                .into(),
            cites: vec![CiteReport {
                repo: "apple-oss-distributions/xnu",
                rev: "xnu-4903.231.4",
                path: "bsd/netinet6/in6.h",
                function: "",
                needle: "IPNOPRIVPORTS",
            }],
        });
    }
    notes
}

/// A feature that this version lacks and that would allow the call.
fn missing_feature(case: &Case, verdict: &Verdict) -> Option<&'static Feature> {
    let last = verdict.trace.last()?;
    last.evidence.iter().find_map(|evidence| {
        let Evidence::Feature(feature, false, _) = evidence else { return None };
        let mut newer = case.clone();
        newer.host.kernel.version = feature.first_with;
        decide(&newer).is_allowed().then_some(*feature)
    })
}

fn would_pass_on_macos(case: &Case) -> bool {
    let Some(kernel) = xnu::from_macos("15") else { return false };
    decide_parts(&xnu::assumed_host(kernel), &case.subject, &case.request).is_allowed()
}

/// The addresses there are instead of the one that is not.
fn own_addresses(case: &Case, target: &Target) -> Option<Note> {
    const SHOWN: usize = 8;
    let interfaces = case.host.interfaces.value()?;
    if let Some((interface, _)) =
        interfaces.addresses().find(|(_, a)| a.ip == target.ip && a.state == AddrState::Tentative)
    {
        let text = format!(
            "{} has the address, but it is tentative: wait until duplicate address detection \
             ends, a second or two, unless it found a duplicate; it never ends without a carrier",
            interface.name
        );
        return Some(note("tentative", text));
    }
    let is_ipv4 = target.ip.to_canonical().is_ipv4();
    let same_family = |ip: &IpAddr| ip.is_ipv4() == is_ipv4;
    let own: Vec<String> = interfaces
        .addresses()
        .filter(|(_, a)| same_family(&a.ip))
        .map(|(interface, a)| format!("{} ({})", a.ip, interface.name))
        .collect();
    let family = if is_ipv4 { "IPv4" } else { "IPv6" };
    let known = if interfaces.complete { "" } else { "known " };
    let text = match own.len() {
        0 => format!("this host has no {known}{family} address"),
        n if n > SHOWN => format!(
            "the {known}{family} addresses of this host: {} and {} more",
            own[..SHOWN].join(", "),
            n - SHOWN
        ),
        _ => format!("the {known}{family} addresses of this host: {}", own.join(", ")),
    };
    Some(note("own-addresses", text))
}

/// Nobody listens: the kernel keeps the port for what is left of connections.
fn time_wait(case: &Case, held: &[HeldSocket]) -> Note {
    let mut text =
        "TIME_WAIT: the kernel keeps the port for late packets of a closed connection".to_string();
    if case.host.kernel.family == KernelFamily::Linux {
        let left =
            held.iter().filter(|h| h.role <= Role::Unclear).filter_map(|h| h.remaining_seconds);
        text += &match left.max() {
            Some(seconds) => format!(", {seconds} seconds more"),
            None => ", 60 seconds at most".into(),
        };
        text += "; with SO_REUSEADDR on both the old listener and the new one there is no wait";
    }
    let listens = held.iter().any(|h| h.socket.state == State::Listen);
    if !listens {
        text.insert_str(0, "nobody listens on the port. ");
    }
    note("time-wait", text)
}

/// Bound and not listening, which most tools do not show.
fn only_bound(held: &[HeldSocket]) -> Option<Note> {
    let mut in_the_way = held.iter().filter(|h| h.role == Role::InTheWay).peekable();
    in_the_way.peek()?;
    let bound =
        |h: &HeldSocket| h.socket.state == State::Closed && h.socket.protocol == Protocol::Tcp;
    in_the_way.all(bound).then(|| {
        let text = "nobody listens on the port: the socket is bound and listen was not called on \
            it; ss, netstat and lsof do not show such a socket";
        note("only-bound", text)
    })
}

/// A connection that stands on the port where nobody listens took it as its source port, or its
/// listener is gone.
fn connection_alone(
    setting: &mut Setting,
    case: &Case,
    target: &Target,
    held: &[HeldSocket],
) -> Option<Note> {
    let listens = held.iter().any(|h| h.socket.state == State::Listen);
    let connected = |h: &&HeldSocket| {
        h.socket.remote.is_some()
            && h.socket.protocol == Protocol::Tcp
            && h.socket.state != State::TimeWait
    };
    let held = held.iter().filter(|h| h.role <= Role::Unclear).find(connected)?;
    if listens || target.port == 0 || case.host.kernel.family != KernelFamily::Linux {
        return None;
    }
    if setting.host.local_ports.value().is_none() {
        let _ = setting.observe(&FactKey::LocalPorts);
    }
    let ports = setting.host.local_ports.value()?;
    let reserved = |(low, high): &(u16, u16)| (*low..=*high).contains(&target.port);
    let given_out =
        (ports.low..=ports.high).contains(&target.port) && !ports.reserved.iter().any(reserved);
    let remote = held.socket.remote.as_deref()?;
    let remote_port = remote.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    // Services are on lower ports than their clients, as a rule.
    if !given_out || remote_port.is_some_and(|port| port > target.port) {
        return Some(accepted(held, remote, given_out));
    }
    // The sysctl takes the whole list.
    let mut ranges = ports.reserved.clone();
    ranges.push((target.port, target.port));
    let reserved = super::ranges(&ranges).join(",");
    let sudo = if setting.runner == Some(0) { "" } else { "sudo " };
    let text = format!(
        "nobody listens on the port: most likely the connection to {remote} is an outgoing one \
         and took it as its source port, from the automatic range {} to {}; \
         `{sudo}sysctl net.ipv4.ip_local_reserved_ports={reserved}` keeps it from that",
        ports.low, ports.high
    );
    Some(note("source-port", text))
}

/// A connection whose listener is gone.
fn accepted(held: &HeldSocket, remote: &str, given_out: bool) -> Note {
    if held.no_holder == Some(NoHolder::Kernel) {
        let left = held.remaining_seconds.map(|s| format!(", {s} seconds at most"));
        let state = held.kernel_state.unwrap_or("FIN_WAIT or LAST_ACK");
        let text = format!(
            "nobody listens on the port: a program that has ended left the connection with \
             {remote} ({state}), and the other side has not finished it; the kernel keeps the \
             port until it does{}; with SO_REUSEADDR on both the old listener and the new one \
             there is no wait",
            left.unwrap_or_default()
        );
        return note("connection-left", text);
    }
    let likely = if given_out { "most likely " } else { "" };
    let state = match held.socket.state {
        State::CloseWait => {
            "; the other side has closed it (CLOSE_WAIT), the program has not: a leak, as a rule"
        }
        _ => "",
    };
    let text = format!(
        "nobody listens on the port any more: {likely}the connection from {remote} was accepted \
         by a listener that is gone, and it keeps the port as long as it lasts{state}; with \
         SO_REUSEADDR on both that listener and the new one it would not"
    );
    note("accepted-before", text)
}

/// How to see who has the ports that the kernel gives out.
fn automatic_range(setting: &Setting, case: &Case, verdict: &Verdict) -> Option<Note> {
    let stops = verdict.obstacles().any(|step| step.rule.id == "linux.bind.automatic-port");
    let ports = case.host.local_ports.value().filter(|_| stops && setting.runner.is_some())?;
    let text = format!(
        "`{} list {}-{} --all` shows who has those ports",
        setting.program, ports.low, ports.high
    );
    Some(note("automatic-range", text))
}

/// Where the question is asked, if that is not where its asker is.
fn other_network(setting: &Setting) -> Option<Note> {
    let there = setting.elsewhere.as_ref()?;
    let text = format!(
        "this is about {there}, which is not the one you are in: the sockets there are others, \
         and `ss` or `portwise` without --pid or --netns shows those of your own"
    );
    Some(note("other-network", text))
}

/// What SO_REUSEPORT would need, if a socket in the way has it.
fn reuseport(setting: &mut Setting, case: &Case, held: &[HeldSocket]) -> Option<Note> {
    let in_the_way = held.iter().filter(|h| h.role == Role::InTheWay);
    let shares = in_the_way.map(|h| &h.socket).find(|s| s.reuseport == Some(true))?;
    let uid = shares.uid?;
    if case.host.kernel.family != KernelFamily::Linux {
        return None;
    }
    let mut changed = case.clone();
    changed.request.socket.options.reuseport = Some(true);
    if setting.decide_changed(&mut changed).is_allowed() {
        let text = "SO_REUSEPORT on this socket too would allow it: the holder has it and belongs \
            to the same user; the kernel then spreads connections over both";
        return Some(note("reuseport", text));
    }
    changed.request.socket.uid = Some(uid);
    setting.decide_changed(&mut changed).is_allowed().then(|| {
        let text = format!(
            "the holder has SO_REUSEPORT, which shares a port among sockets of the same user that \
             all set it: that would be uid {uid}, not uid {}",
            case.subject.uid
        );
        note("reuseport", text)
    })
}

/// A socket that several processes have open.
fn shared(held: &[HeldSocket]) -> Option<Note> {
    let several = |h: &&HeldSocket| h.role <= Role::Unclear && h.holders.len() > 1;
    let held = held.iter().find(several)?;
    let text = format!(
        "{} processes have the same socket open, by inheritance or because one passed it on, as \
         a service manager does: it stays taken until all have closed it",
        held.holders.len()
    );
    Some(note("shared-socket", text))
}

/// A socket that may be bound and still not listen.
fn listen_fails(case: &Case, verdict: &Verdict) -> Option<Note> {
    let stop = listen_stopped(case, verdict)?;
    let Outcome::Errno(errno) = stop.rule.outcome else { return None };
    let text = format!("bind succeeds, but listen will fail ({errno}): {}", stop.rule.fault);
    Some(Note { id: "listen-fails", text, cites: cites(stop.rule.cites) })
}

/// The step that stops `listen` on a TCP socket that `verdict` says may be bound.
pub(crate) fn listen_stopped(case: &Case, verdict: &Verdict) -> Option<Step> {
    let Call::Bind(addr) = case.request.call else { return None };
    if !verdict.is_allowed() || addr.port == 0 || case.request.socket.protocol != Protocol::Tcp {
        return None;
    }
    let mut host = case.host.clone();
    let socket = settle(&mut host, &case.request.socket, &case.request.call, Outcome::Ok, None);
    let request = Request { call: Call::Listen(128), socket };
    let mut listens = decide_parts(&host, &case.subject, &request);
    listens.trace.pop().filter(|step| step.finding == Finding::Stops)
}

/// A device that may not be chosen to begin with.
fn device_refused(setting: &mut Setting, case: &Case) -> Option<Note> {
    let device = case.request.socket.device;
    if device == 0 || case.host.kernel.family != KernelFamily::Linux {
        return None;
    }
    let socket = Socket { device: 0, ..case.request.socket };
    let call = Call::SetOption(SockOption::BindToDevice(Some(device)));
    let verdict = setting.decide(&Request { call, socket });
    let step = verdict.obstacles().next()?;
    let Outcome::Errno(errno) = step.rule.outcome else { return None };
    let (may, why) = match verdict.is_refused() {
        true => ("fails", step.rule.fault),
        false => ("may fail", step.rule.title),
    };
    let text = format!("SO_BINDTODEVICE before it {may} ({errno}): {why} [{}]", step.rule.id);
    Some(Note { id: "device-refused", text, cites: cites(step.rule.cites) })
}
