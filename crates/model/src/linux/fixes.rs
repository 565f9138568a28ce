//! Changes that lift a refusal on Linux.

use core::net::IpAddr;

use crate::{
    CAP_NET_BIND_SERVICE, Call, CapSet, Case, Credentials, Fact, Family, FileCapabilities,
    SockAddr, Socket, State, Subject,
    fix::{Breadth, Fix, suggested_port},
};

/// Take a port that is free for everyone.
pub static ANOTHER_PORT: Fix = Fix {
    id: "linux.another-port",
    title: "another port",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 20,
    apply: |case, n| {
        // Below a limit that is higher than usual there is none for everyone.
        let limit = case.host.sysctl("net.ipv4.ip_unprivileged_port_start").unwrap_or(0);
        let limit = u16::try_from(limit).unwrap_or(u16::MAX);
        change_address(case, |addr| {
            let next = suggested_port(addr.port);
            let next = if addr.port < limit { next.max(limit) } else { next };
            addr.port = next.saturating_add(n);
        })
    },
};

/// Listen on all addresses.
pub static EVERY_ADDRESS: Fix = Fix {
    id: "linux.every-address",
    title: "every address of the host",
    breadth: Breadth::Request,
    side_effects: "it is reachable over every other address too",
    command: "",
    tries: 1,
    apply: |case, _| {
        change_address(case, |addr| {
            (addr.word, addr.wide, addr.scope) = ([0; 4], [0; 16], 0);
        })
    },
};

/// Bind an address that may come later.
pub static FREEBIND: Fix = Fix {
    id: "linux.freebind",
    title: "set IP_FREEBIND on the socket before bind",
    breadth: Breadth::Request,
    side_effects: "no packet arrives before the host has the address",
    command: "",
    tries: 1,
    apply: |case, _| !core::mem::replace(&mut case.request.socket.options.freebind, true),
};

/// Let the socket carry IPv4.
pub static CLEAR_V6ONLY: Fix = Fix {
    id: "linux.clear-v6only",
    title: "clear IPV6_V6ONLY on the socket before bind, or use an IPv4 socket",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 1,
    apply: |case, _| core::mem::replace(&mut case.request.socket.v6only, false),
};

/// Leave IPv4 to the socket that has it.
pub static V6ONLY: Fix = Fix {
    id: "linux.v6only",
    title: "set IPV6_V6ONLY on the socket before bind",
    breadth: Breadth::Request,
    side_effects: "it then serves IPv6 only",
    command: "",
    tries: 1,
    apply: |case, _| {
        let socket = &mut case.request.socket;
        socket.family == Family::Inet6 && !core::mem::replace(&mut socket.v6only, true)
    },
};

/// Say which link is meant.
pub static ADD_ZONE: Fix = Fix {
    id: "linux.add-zone",
    title: "name the interface",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 1,
    apply: |case, _| {
        let Call::Bind(addr) = &mut case.request.call else { return false };
        let ip = IpAddr::V6(addr.ipv6());
        let Some(interfaces) = case.host.interfaces.value() else { return false };
        let found = interfaces.addresses().find(|(_, a)| a.ip == ip);
        addr.scope = found.map_or(0, |(interface, _)| interface.index);
        addr.scope != 0
    },
};

/// Share with sockets that do not listen, such as what a stopped server leaves behind.
pub static REUSEADDR: Fix = Fix {
    id: "linux.reuseaddr",
    title: "set SO_REUSEADDR on the socket before bind",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 1,
    apply: |case, _| case.request.socket.options.reuseaddr.replace(true) == Some(false),
};

/// Wait until those who hold the port are gone.
pub static STOP_HOLDER: Fix = Fix {
    id: "linux.stop-holder",
    title: "stop the program that holds the port",
    breadth: Breadth::Holder,
    side_effects: "its clients lose it",
    command: "",
    tries: 2,
    apply: |case, n| {
        // What the kernel remembers of closed connections outlives the program for a while.
        let held = |s: &Socket| s.state != State::TimeWait;
        leave(case, held) && (n == 0 || leave(case, |_| true))
    },
};

/// Wait until the kernel has forgotten closed connections, where nothing else is in the way.
pub static WAIT: Fix = Fix {
    id: "linux.wait",
    title: "wait a minute, until the kernel forgets the closed connections",
    breadth: Breadth::Request,
    side_effects: "",
    command: "",
    tries: 1,
    apply: |case, _| leave(case, |s| s.state == State::TimeWait),
};

/// Takes the sockets that leave off the port in question. Returns whether there were any.
fn leave(case: &mut Case, leaves: impl Fn(&Socket) -> bool) -> bool {
    let port = match case.request.call {
        Call::Bind(addr) => addr.port,
        _ => case.request.socket.port,
    };
    let asking = case.request.socket.id;
    let Ok(all) = case.host.sockets.on(port) else { return false };
    let kept = all.iter().filter(|s| s.id == asking || !leaves(s));
    let kept: alloc::vec::Vec<_> = kept.copied().collect();
    let left = kept.len() < all.len();
    case.host.sockets.set_port(port, kept);
    left
}

/// Give one run of the program the capability.
pub static THIS_RUN: Fix = Fix {
    id: "linux.this-run",
    title: "this run only",
    breadth: Breadth::Process,
    side_effects: "whatever the program starts has the right too",
    command: "sudo setpriv --reuid={uid} --regid={gid} --init-groups --inh-caps=+net_bind_service --ambient-caps=+net_bind_service {command}",
    tries: 1,
    apply: |case, _| grant_process(case),
};

/// Start the program where its file's rights count.
pub static WITHOUT_NO_NEW_PRIVS: Fix = Fix {
    id: "linux.without-no-new-privs",
    title: "start it without no_new_privs",
    breadth: Breadth::Process,
    side_effects: "what it starts may gain rights by file capabilities and set-id bits too",
    command: "",
    tries: 1,
    apply: |case, _| {
        let starts = !case.subject.programs.is_empty();
        let credentials = credentials(case).filter(|_| starts);
        credentials.is_some_and(|c| core::mem::replace(&mut c.no_new_privs, false))
    },
};

/// Let the program have the capability at all.
pub static BOUNDING_SET: Fix = Fix {
    id: "linux.bounding-set",
    title: "start it with its capabilities in the bounding set",
    breadth: Breadth::Process,
    side_effects: "whatever the program starts may have them too",
    command: "",
    tries: 1,
    apply: |case, _| widen_bounding(case),
};

/// Let the program start without the capabilities of its file.
pub static NO_FILE_CAPABILITIES: Fix = Fix {
    id: "linux.no-file-capabilities",
    title: "remove the capabilities of the file",
    breadth: Breadth::Program,
    side_effects: "the program then starts without them everywhere",
    command: "sudo setcap -r {program}",
    tries: 1,
    apply: |case, _| {
        let program = case.subject.programs.last_mut();
        let file = program.and_then(|program| program.files.last_mut());
        file.is_some_and(|file| {
            let before = core::mem::replace(&mut file.capabilities, Fact::known(None, "the fix"));
            before.value() != Some(&None)
        })
    },
};

/// Let everybody start the program.
pub static EXECUTABLE: Fix = Fix {
    id: "linux.executable",
    title: "let everybody execute the file",
    breadth: Breadth::Program,
    side_effects: "",
    command: "sudo chmod a+rx {file}",
    tries: 1,
    apply: |case, _| {
        let mut changed = false;
        for file in case.subject.programs.iter_mut().flat_map(|p| &mut p.files) {
            if let Fact::Known { value: Some(inode), .. } = &mut file.inode {
                changed |= inode.mode & 0o111 != 0o111;
                inode.mode |= 0o555;
            }
        }
        changed
    },
};

/// Give the program the capability.
pub static THIS_PROGRAM: Fix = Fix {
    id: "linux.this-program",
    title: "this program",
    breadth: Breadth::Program,
    side_effects: "whoever may run it gets the right; lost when the file is replaced; an interpreter passes it to every script",
    command: "sudo setcap cap_net_bind_service=+ep {program}",
    tries: 1,
    apply: |case, _| grant_file(case),
};

/// Lower the limit.
pub static LOWER_LIMIT: Fix = Fix {
    id: "linux.lower-limit",
    title: "every user of this network",
    breadth: Breadth::Netns,
    side_effects: "every user may then take this port and those above; lost at reboot unless written to /etc/sysctl.d",
    command: "sudo sysctl net.ipv4.ip_unprivileged_port_start={port}",
    tries: 1,
    apply: |case, _| {
        let Call::Bind(addr) = case.request.call else { return false };
        case.host.set_sysctl(
            "net.ipv4.ip_unprivileged_port_start",
            i64::from(addr.port),
            "the fix",
        );
        true
    },
};

/// Let everyone bind addresses the host does not have, IPv4.
pub static NONLOCAL_BIND4: Fix = Fix {
    id: "linux.nonlocal-bind4",
    title: "every program of this network, for any IPv4 address",
    breadth: Breadth::Netns,
    side_effects: "no packet arrives before the host has the address; lost at reboot unless written to /etc/sysctl.d",
    command: "sudo sysctl net.ipv4.ip_nonlocal_bind=1",
    tries: 1,
    apply: |case, _| {
        case.host.set_sysctl("net.ipv4.ip_nonlocal_bind", 1, "the fix");
        true
    },
};

/// Let everyone bind addresses the host does not have, IPv6.
pub static NONLOCAL_BIND6: Fix = Fix {
    id: "linux.nonlocal-bind6",
    title: "every program of this network, for any IPv6 address",
    breadth: Breadth::Netns,
    side_effects: "no packet arrives before the host has the address; lost at reboot unless written to /etc/sysctl.d",
    command: "sudo sysctl net.ipv6.ip_nonlocal_bind=1",
    tries: 1,
    apply: |case, _| {
        case.host.set_sysctl("net.ipv6.ip_nonlocal_bind", 1, "the fix");
        true
    },
};

fn change_address(case: &mut Case, change: impl FnOnce(&mut SockAddr)) -> bool {
    let Call::Bind(addr) = &mut case.request.call else { return false };
    let before = *addr;
    change(addr);
    *addr != before
}

/// Gives the process the capability, so that the programs it executes keep it; it counts only
/// where the subject's user namespace does.
fn grant_process(case: &mut Case) -> bool {
    let granted = grant(&mut case.subject);
    if let Fact::Known { value, .. } = &mut case.subject.credentials {
        for set in [&mut value.permitted, &mut value.inheritable, &mut value.ambient] {
            *set = set.with(CAP_NET_BIND_SERVICE);
        }
    }
    granted
}

/// Gives the capability to the file of the program that makes the call. Without a program it is
/// some file whose capabilities count, which under `no_new_privs` none do.
fn grant_file(case: &mut Case) -> bool {
    let Some(program) = case.subject.programs.last_mut() else {
        let credentials = case.subject.credentials.value();
        return !credentials.is_some_and(|c| c.no_new_privs) && grant(&mut case.subject);
    };
    // In secure mode its loader would not find these.
    if !program.elsewhere.is_empty() {
        return false;
    }
    let Some(file) = program.files.last_mut() else { return false };
    let held = file.capabilities.value().copied().flatten().unwrap_or_default();
    let capabilities = FileCapabilities {
        permitted: held.permitted.with(CAP_NET_BIND_SERVICE),
        effective: true,
        rootid: 0,
        ..held
    };
    file.capabilities = Fact::known(Some(capabilities), "the fix");
    true
}

fn credentials(case: &mut Case) -> Option<&mut Credentials> {
    match &mut case.subject.credentials {
        Fact::Known { value, .. } => Some(value),
        Fact::Missing(_) => None,
    }
}

/// Puts into the bounding set what the binary is to get, and the capability in any case. Root
/// then has it.
fn widen_bounding(case: &mut Case) -> bool {
    let files = case.subject.programs.iter().filter_map(|program| program.binary());
    let held = files.filter_map(|file| file.capabilities.value().copied().flatten());
    let wanted =
        held.fold(CapSet::NONE.with(CAP_NET_BIND_SERVICE), |set, file| set.or(file.permitted));
    let Some(value) = credentials(case) else { return false };
    if wanted.is_within(value.bounding) {
        return false;
    }
    value.bounding = value.bounding.or(wanted);
    let is_root = value.uids.effective == 0;
    if is_root && case.subject.programs.is_empty() {
        grant_process(case);
    }
    true
}

fn grant(subject: &mut Subject) -> bool {
    let Fact::Known { value, .. } = &mut subject.capabilities else { return false };
    let before: CapSet = *value;
    *value = before.with(CAP_NET_BIND_SERVICE);
    *value != before
}
