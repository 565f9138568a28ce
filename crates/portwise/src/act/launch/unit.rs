//! The same as systemd units.

use std::fmt::Write;

use super::{Asker, File, Plan};
use crate::endpoint::Target;

/// A service, and a socket for a program that takes sockets which were made for it.
pub(super) fn text(plan: &Plan, asker: &Asker, file: &File) -> String {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = std::fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let mut start = escaped(&path.to_string_lossy());
    for word in plan.command.iter().skip(1) {
        start += &format!(" {}", escaped(&word.to_string_lossy()));
    }
    let endpoints: Vec<String> =
        plan.targets.iter().map(|t| format!("{}/{}", t.shown, t.protocol.name())).collect();
    let endpoints = endpoints.join(" ");
    let mut unit = String::new();
    let _ = writeln!(unit, "# /etc/systemd/system/{name}.service");
    let _ = writeln!(unit, "[Unit]\nDescription={name} on {endpoints}");
    let _ = writeln!(unit, "Wants=network-online.target\nAfter=network-online.target\n");
    let _ = writeln!(unit, "[Service]\nExecStart={start}");
    if let Some(user) = &asker.user {
        let _ = writeln!(unit, "User={user}");
    }
    let _ = writeln!(unit, "NoNewPrivileges=yes");
    if !asker.lacks.is_empty() {
        unit += &rights(asker);
    }
    let _ = writeln!(unit, "\n[Install]\nWantedBy=multi-user.target");
    if !file.takes_sockets() {
        let _ = writeln!(
            unit,
            "\n# Only for a program that takes sockets from LISTEN_FDS; the service"
        );
        let _ = writeln!(unit, "# then needs neither the capability nor the three lines after it.");
    } else {
        unit.push('\n');
    }
    let _ = writeln!(unit, "# /etc/systemd/system/{name}.socket");
    let _ = writeln!(unit, "[Unit]\nDescription=sockets of {name}\n\n[Socket]");
    for target in &plan.targets {
        let _ = writeln!(unit, "{}", listen(target));
    }
    if plan.targets.iter().any(|t| t.ip.is_ipv6() && t.dual_stack.is_some()) {
        let _ = writeln!(unit, "BindIPv6Only=both");
    }
    let _ = writeln!(unit, "\n[Install]\nWantedBy=sockets.target");
    unit
}

/// The capability, and what keeps it to these ports. systemd knows no addresses here.
fn rights(asker: &Asker) -> String {
    let mut text = String::from(
        "AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n\
         # systemd restricts ports, not addresses: those of each port are all allowed.\n",
    );
    for target in &asker.lacks {
        let family = match (target.ip.is_ipv4(), target.dual_stack) {
            (_, Some(true)) => "",
            (true, _) => "ipv4:",
            (false, _) => "ipv6:",
        };
        let line = format!("SocketBindAllow={family}{}:{}\n", target.protocol.name(), target.port);
        if !text.contains(&line) {
            text += &line;
        }
    }
    text + &format!("SocketBindDeny=1-{}\n", asker.limit - 1)
}

fn listen(target: &Target) -> String {
    let what = match target.protocol {
        portwise_model::Protocol::Tcp => "ListenStream",
        portwise_model::Protocol::Udp => "ListenDatagram",
    };
    match target.dual_stack {
        Some(true) => format!("{what}={}", target.port),
        _ => format!("{what}={}", target.shown),
    }
}

/// A word of a command line as systemd.service(5) takes it.
fn escaped(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@,[]".contains(c);
    let text = word.replace('%', "%%").replace('$', "$$");
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => {
            let text = text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            format!("\"{text}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line() {
        assert_eq!(escaped("127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(escaped("100%"), "\"100%%\"");
        assert_eq!(escaped("a \"b\" $c"), r#""a \"b\" $$c""#);
        assert_eq!(escaped(""), "\"\"");
    }
}
