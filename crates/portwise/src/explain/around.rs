//! What surrounds a process and has a say in its sockets: its unit, and libraries between it and
//! the kernel.

use portwise_model::{Call, Family, Request};

use super::report::Note;
use crate::{
    Setting,
    observe::{Line, Shim, Unit},
};

/// The notes on the surroundings of whoever asks.
pub(super) fn notes(setting: &mut Setting, request: &Request) -> Vec<Note> {
    let process = setting.asking_process().cloned();
    let shims = process.as_ref().map_or(&setting.shims, |process| &process.shims);
    let mut notes: Vec<Note> = shims.iter().map(preloaded).collect();
    if let Some(unit) = process.as_ref().and_then(|process| process.settings.as_ref()) {
        notes.extend(of_unit(unit, request));
    }
    notes
}

fn note(id: &'static str, text: String) -> Note {
    Note { id, text, cites: Vec::new() }
}

fn preloaded(shim: &Shim) -> Note {
    let Shim { name, does, .. } = shim;
    note("preloaded", format!("{name} is loaded into it (LD_PRELOAD), which {does}"))
}

/// What the files of the unit say about this call.
fn of_unit(unit: &Unit, request: &Request) -> Vec<Note> {
    let (family, protocol) = (request.socket.family, request.socket.protocol);
    let mut notes = Vec::new();
    let name = &unit.name;
    let restart = format!("`systemctl daemon-reload` and `systemctl restart {name}`");
    if let Some(line) = unit.excludes(family) {
        let family = match family {
            Family::Inet => "AF_INET",
            Family::Inet6 => "AF_INET6",
        };
        notes.push(note(
            "unit-families",
            format!(
                "{} leaves out {family}: socket() fails with EAFNOSUPPORT before any bind; add it \
                 there, then {restart}",
                said(line)
            ),
        ));
    }
    if let Call::Bind(addr) = request.call
        && let Some(line) = unit.refuses(family, protocol, addr.port)
    {
        let port = addr.port;
        notes.push(note(
            "unit-refuses",
            format!(
                "{} keeps {name} from this port (EPERM), root too, by a BPF program of its cgroup; \
                 SocketBindAllow={}:{port} in the unit lets it, then {restart}",
                said(line),
                protocol.name(),
            ),
        ));
    }
    let alone = unit.is_on("PrivateNetwork").or(unit.all("NetworkNamespacePath").last());
    notes.extend(alone.map(|line| {
        note(
            "unit-network",
            format!(
                "{} gives {name} a network namespace of its own: its ports are other ones than \
                 those of the host{}",
                said(line),
                match line.name {
                    "PrivateNetwork" => ", and with only lo there nobody else reaches them",
                    _ => "",
                }
            ),
        )
    }));
    notes.extend(filtered(unit));
    notes.extend(unit.all("SystemCallFilter").filter(|line| is_about_sockets(line)).map(|line| {
        note(
            "unit-calls",
            format!(
                "{} forbids calls on sockets by a seccomp filter (EPERM), root too",
                said(line)
            ),
        )
    }));
    notes
}

/// Which packets the unit lets through.
fn filtered(unit: &Unit) -> Option<Note> {
    let deny = unit.all("IPAddressDeny").last()?;
    let allow: Vec<&str> = unit.all("IPAddressAllow").map(|line| line.value.as_str()).collect();
    let but = match allow.is_empty() {
        true => String::new(),
        false => format!(", except for IPAddressAllow={}", allow.join(" ")),
    };
    Some(note(
        "unit-addresses",
        format!(
            "{} drops the packets of these addresses{but}, by BPF programs of the cgroup of {}: \
             bind succeeds all the same, and clients there time out",
            said(deny),
            unit.name
        ),
    ))
}

/// Whether a list of calls that are forbidden has some of sockets in it.
fn is_about_sockets(line: &Line) -> bool {
    const CALLS: [&str; 5] = ["bind", "socket", "listen", "@network-io", "connect"];
    let list = line.value.strip_prefix('~').unwrap_or_default();
    list.split_whitespace().any(|call| CALLS.contains(&call.split(':').next().unwrap_or(call)))
}

fn said(line: &Line) -> String {
    format!("{}={} in {}", line.name, line.value, line.file)
}
