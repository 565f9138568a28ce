//! Changes to how a program is started, filled in for the program or process in question.

use std::path::Path;

use portwise_model::{Case, Executable, Fact, KernelFamily, Version, fix::Breadth};

use super::{super::report::FixReport, breadth};
use crate::{Setting, capability, observe::AskingProcess, render::phrase::quoted};

/// What is known of the start that a fix changes.
pub(super) struct Start {
    process: Option<AskingProcess>,
    command: Vec<String>,
    /// Where the file system of the asker is, as this process sees it.
    root: String,
    no_new_privs: bool,
    is_elsewhere: bool,
    /// Whether the user has an entry among the accounts, and so groups.
    has_account: bool,
    /// How this program starts others with the right for one endpoint, as far as it can here.
    run: Option<String>,
}

impl Start {
    pub(super) fn of(setting: &mut Setting) -> Start {
        let process = setting.asking_process().cloned();
        let elsewhere = |process: &AskingProcess| {
            process.namespaces.iter().any(|ns| ns == "mnt") && !process.shares_file
        };
        let root = match &process {
            Some(process) if elsewhere(process) => format!("/proc/{}/root", process.pid),
            _ => String::new(),
        };
        let credentials = setting.subject.credentials.value();
        let no_new_privs = process.is_none() && credentials.is_some_and(|c| c.no_new_privs);
        Start {
            run: run(setting, process.is_some()),
            has_account: setting.user(setting.subject.uid).is_some() || setting.runner.is_none(),
            process,
            command: setting.command.clone(),
            root,
            no_new_privs,
            is_elsewhere: setting.netns.is_some(),
        }
    }

    /// The right for one endpoint and one run. It is no wider than the capability that was proven
    /// to help.
    pub(super) fn exactly(&self, endpoint: &str) -> Option<FixReport> {
        let run = self.run.as_ref()?;
        let command = self.command()?;
        let mut side_effects =
            "by a BPF program of a fresh cgroup: needs cgroups of version 2".into();
        self.say_of_a_shell(&mut side_effects);
        Some(FixReport {
            id: "linux.this-endpoint".into(),
            title: "this run, this address and port only".into(),
            breadth: breadth(Breadth::Process),
            detail: None,
            endpoint: None,
            command: Some(format!("{run} -l {} -- {command}", quoted(endpoint))),
            side_effects,
        })
    }

    /// The case in which the process in question is started anew: only then a change to its file
    /// or to how it is started has an effect.
    pub(super) fn again(&self, case: &Case) -> Option<Case> {
        let program = self.process.as_ref()?.program.clone()?;
        let known = program.binary()?.capabilities.value().is_some();
        if !case.subject.programs.is_empty() || !known {
            return None;
        }
        let mut case = case.clone();
        case.subject.programs = vec![program];
        Some(case)
    }

    /// The command that was asked about, with its arguments as far as they are known; that of the
    /// process; or a shell to type it into.
    pub(super) fn command(&self) -> Option<String> {
        let words = match (&self.process, self.command.is_empty()) {
            (Some(process), true) => &process.again,
            _ => &self.command,
        };
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        match (words.is_empty(), self.is_named()) {
            (false, _) => Some(words.join(" ")),
            (true, true) => None,
            (true, false) => Some("sh".into()),
        }
    }

    /// Whether a program or process was named.
    fn is_named(&self) -> bool {
        self.process.is_some() || !self.command.is_empty()
    }

    /// Says of a command that starts a shell what that is for.
    fn say_of_a_shell(&self, side_effects: &mut String) {
        if !self.is_named() {
            side_effects.insert_str(0, "for what is started from that shell; ");
        }
    }

    /// A command that starts the process again, where it was.
    pub(super) fn in_its_directory(&self, command: String) -> String {
        let at = self.process.as_ref().filter(|_| self.command.is_empty());
        match at.and_then(|process| process.directory.as_ref()) {
            Some(at) => format!("cd {} && {command}", quoted(at)),
            None => command,
        }
    }

    /// The file of the program whose capabilities count.
    pub(super) fn program(&self, case: &Case) -> Option<String> {
        let file = case.subject.programs.last()?.binary()?;
        Some(self.path(&file.path))
    }

    /// Whether a program was named that has no capabilities of its own and runs no scripts.
    pub(super) fn is_bare_program(&self, case: &Case) -> bool {
        let file = case.subject.programs.last().and_then(|program| {
            program.binary().filter(|_| program.files.len() == 1 && !self.command.is_empty())
        });
        file.is_some_and(|file| {
            file.capabilities.value() == Some(&None) && !is_interpreter(&file.path)
        })
    }

    fn path(&self, path: &str) -> String {
        quoted(&format!("{}{path}", self.root))
    }

    /// The first file that a fix let everybody execute.
    pub(super) fn opened(&self, before: &Case, after: &Case) -> Option<String> {
        let files = |case: &Case| -> Vec<Executable> {
            case.subject.programs.iter().flat_map(|program| program.files.clone()).collect()
        };
        let mode = |file: &Executable| match &file.inode {
            Fact::Known { value: Some(inode), .. } => inode.mode,
            _ => 0,
        };
        let (before, after) = (files(before), files(after));
        let mut both = before.iter().zip(&after);
        both.find(|(a, b)| mode(a) != mode(b)).map(|(file, _)| self.path(&file.path))
    }

    /// That a fresh start is all it takes, which was proven.
    pub(super) fn restart(&self) -> FixReport {
        let unit = self.process.as_ref().and_then(|process| process.unit.as_deref());
        FixReport {
            id: "linux.restart".into(),
            title: "start it anew: its file gives it the right by now".into(),
            breadth: breadth(Breadth::Process),
            detail: None,
            endpoint: None,
            command: unit.map(|unit| format!("sudo systemctl restart {}", quoted(unit))),
            side_effects: "its clients lose their connections".into(),
        }
    }

    /// Fills in what depends on how the program is started. `case` is the changed one.
    pub(super) fn fill(&self, fix: &mut FixReport, case: &Case) {
        match fix.id.as_str() {
            "linux.this-run" => self.this_run(fix),
            "linux.this-program" => self.this_program(fix, case),
            "linux.lower-limit" if self.is_elsewhere => {
                fix.side_effects =
                    "every user of it may then take this port and those above; lost \
                    with the namespace: Docker and Podman keep it by --sysctl, Kubernetes by \
                    securityContext.sysctls"
                        .into();
            }
            "linux.without-no-new-privs" => {
                fix.detail = Some(match self.unit() {
                    Some(unit) => format!("NoNewPrivileges=no in {unit}"),
                    None => "systemd: NoNewPrivileges=no; Kubernetes: \
                             allowPrivilegeEscalation: true; Docker: without --security-opt \
                             no-new-privileges"
                        .into(),
                });
            }
            "linux.bounding-set" => {
                fix.detail = Some(match self.unit() {
                    Some(unit) => {
                        format!("CAP_NET_BIND_SERVICE in CapabilityBoundingSet= of {unit}")
                    }
                    None => "systemd: CapabilityBoundingSet= with CAP_NET_BIND_SERVICE; \
                         containers: --cap-add=NET_BIND_SERVICE"
                        .into(),
                });
            }
            _ => {}
        }
    }

    fn unit(&self) -> Option<&str> {
        self.process.as_ref()?.unit.as_deref()
    }

    fn this_run(&self, fix: &mut FixReport) {
        let inside = self.process.as_ref().is_some_and(AskingProcess::is_container_shaped);
        if let Some(unit) = self.unit() {
            fix.title =
                "this service: AmbientCapabilities=CAP_NET_BIND_SERVICE below [Service]".into();
            fix.command = Some(drop_in(unit, "AmbientCapabilities=CAP_NET_BIND_SERVICE"));
            fix.side_effects = "survives upgrades; its clients lose their connections; whatever \
                the program starts has the right too"
                .into();
        } else if inside || self.command().is_none() {
            fix.title = "this run only: CAP_NET_BIND_SERVICE in its ambient set".into();
            fix.command = None;
        } else {
            match self.is_named() {
                true => {}
                false => {
                    fix.side_effects = "whatever is started from that shell has the right".into()
                }
            }
            if !self.has_account {
                let command = fix.command.take();
                fix.command = command.map(|c| c.replace("--init-groups", "--clear-groups"));
            }
            if self.no_new_privs {
                fix.side_effects += "; sudo needs a shell without no_new_privs";
            }
        }
    }

    fn this_program(&self, fix: &mut FixReport, case: &Case) {
        let file = case.subject.programs.last().and_then(|p| Some((p, p.binary()?)));
        let Some((program, file)) = file else {
            // Which file it is was not said.
            fix.command = None;
            fix.detail =
                Some("setcap on its file; asked with `-- COMMAND`, the line for it is told".into());
            return;
        };
        if let Some(capabilities) = file.capabilities.value().copied().flatten() {
            let (path, text) = (self.path(&file.path), capability::file(&capabilities));
            let text = if text.contains(' ') { quoted(&text) } else { text };
            fix.command = Some(format!("sudo setcap {text} {path}"));
        }
        if program.files.len() > 1 {
            fix.title = "this program, which is its interpreter: a script's capabilities do not \
                count"
                .into();
        }
        let mut effects = vec!["whoever may run it gets the right"];
        if self.process.is_some() && self.command.is_empty() {
            effects.insert(0, "counts once it is started anew");
        }
        effects.push(match self.root.is_empty() {
            true => "lost when the file is copied or replaced, as by an upgrade",
            false => "lost with the container, unless it is done in its image",
        });
        if program.files.len() > 1 || is_interpreter(&file.path) {
            effects.push("every script it runs has it too");
        }
        if program.loader.is_some() {
            effects.push("LD_LIBRARY_PATH and LD_PRELOAD are then ignored (AT_SECURE)");
        }
        fix.side_effects = effects.join("; ");
    }
}

/// What adds a line to a unit and starts it anew.
fn drop_in(unit: &str, line: &str) -> String {
    let (file, unit) = (format!("/etc/systemd/system/{unit}.d/low-port.conf"), quoted(unit));
    format!(
        "printf '[Service]\\n{line}\\n' | sudo install -D -m 644 /dev/stdin {}; sudo systemctl \
         daemon-reload; sudo systemctl restart {unit}",
        quoted(&file)
    )
}

fn run(setting: &mut Setting, is_process: bool) -> Option<String> {
    /// The first kernel whose cgroup programs lift the limit.
    const SINCE: Version = Version::new(5, 12, 0);
    let is_linux = setting.host.kernel.family == KernelFamily::Linux;
    if !is_linux
        || setting.netns.is_some()
        || is_process
        || setting.subject.uid == 0
        || setting.host.kernel.version < SINCE
    {
        return None;
    }
    let user = setting.user(setting.subject.uid);
    let user = user.unwrap_or_else(|| match setting.gid {
        Some(gid) => format!("{}:{gid}", setting.subject.uid),
        None => setting.subject.uid.to_string(),
    });
    Some(format!("sudo {} run --user {}", quoted(&setting.program), quoted(&user)))
}

/// Whether a program is there to run others that are no binaries.
fn is_interpreter(path: &str) -> bool {
    const KNOWN: [&str; 13] = [
        "python", "php", "node", "nodejs", "ruby", "perl", "java", "lua", "bash", "dash", "sh",
        "deno", "bun",
    ];
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || ".-".contains(c));
    KNOWN.contains(&bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_by_name() {
        for name in ["/usr/bin/python3.11", "/usr/bin/php8.2", "node", "/bin/dash"] {
            assert!(is_interpreter(name), "{name}");
        }
        for name in ["/usr/sbin/nginx", "/srv/server", "/usr/bin/nodemon", ""] {
            assert!(!is_interpreter(name), "{name}");
        }
    }
}
