//! A fix applied: what is run, how it is undone, and running it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use portwise_model::{CapSet, FileCapabilities};
use portwise_sys::{filecap, proc::Proc};

use crate::{Trouble, capability, explain::FixReport, render::phrase::quoted};

/// A fix that can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What is run, for a shell.
    pub command: String,
    /// What undoes it.
    pub undo: Undo,
}

/// What undoes a fix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// The command that does, if one does.
    pub command: Option<String>,
    /// What is to be said of it, or why there is none.
    pub note: Option<String>,
}

impl Undo {
    fn by(command: impl Into<String>) -> Undo {
        Undo { command: Some(command.into()), note: None }
    }

    fn not(why: impl Into<String>) -> Undo {
        Undo { command: None, note: Some(why.into()) }
    }
}

impl Action {
    /// What applying a fix comes to. The machine is read as it is now, so that what undoes it leads
    /// back there.
    ///
    /// # Errors
    /// Why there is nothing to run.
    pub fn of(fix: &FixReport) -> Result<Action, String> {
        let Some(command) = &fix.command else {
            return Err(match &fix.endpoint {
                Some(endpoint) => format!(
                    "it is a change of the program's own: there is nothing to run; it would bind \
                     {endpoint}"
                ),
                None => "there is nothing to run for it: it says what to change".into(),
            });
        };
        let words = words(command);
        let tool = words
            .iter()
            .position(|word| TOOLS.contains(&word.as_str()) || word == "run" || word == "setpriv");
        let Some(at) = tool else {
            return Err("it is for you to run".into());
        };
        if words[at] == "install" && command.contains("systemctl restart") {
            return Err("it restarts the service, and with it the process in question: run it \
                        yourself"
                .into());
        }
        let arguments: Vec<&str> = words[at + 1..].iter().map(String::as_str).collect();
        let undo = match words[at].as_str() {
            "run" | "setpriv" => {
                return Err(
                    "it starts the program: run it yourself, in place of the usual start".into()
                );
            }
            tool => undo(tool, &arguments, command, &words[..at]),
        };
        Ok(Action { command: command.clone(), undo })
    }

    /// Runs it, with the terminal of this process.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn run(&self) -> Result<(), Trouble> {
        let status = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .stdout(Stdio::from(std::io::stderr()))
            .status()
            .map_err(|error| Trouble::new(format!("cannot run /bin/sh: {error}")))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(code) => {
                Err(Trouble::new(format!("it failed with status {code}: {}", self.command)))
            }
            None => Err(Trouble::new(format!("a signal ended it: {}", self.command))),
        }
    }
}

/// What fixes run.
const TOOLS: [&str; 13] = [
    "sysctl",
    "setcap",
    "chmod",
    "chown",
    "kill",
    "systemctl",
    "docker",
    "podman",
    "crictl",
    "machinectl",
    "rm",
    "install",
    "usermod",
];

fn undo(tool: &str, arguments: &[&str], command: &str, before: &[String]) -> Undo {
    let prefix: String = before.iter().map(|word| quoted(word) + " ").collect();
    let said = |text: String| Undo::by(format!("{prefix}{text}"));
    let last = arguments.last().copied().unwrap_or_default();
    match tool {
        "sysctl" => match last.split_once('=') {
            Some((name, _)) => sysctl(name, command),
            None => Undo::not("the setting is not understood"),
        },
        "setcap" => match filecap::read(Path::new(last)) {
            Ok(Some(before)) => {
                let filecap::FileCaps { permitted, inheritable, effective, rootid } = before;
                let text = capability::file(&FileCapabilities {
                    permitted: CapSet(permitted),
                    inheritable: CapSet(inheritable),
                    effective,
                    rootid,
                });
                said(format!("setcap {} {}", quoted(&text), quoted(last)))
            }
            Ok(None) => said(format!("setcap -r {}", quoted(last))),
            Err(error) => Undo::not(format!("its capabilities cannot be read: {error}")),
        },
        "chmod" | "chown" => owner_and_mode(tool, last, &prefix),
        "kill" => stopped(arguments),
        "systemctl" if arguments.contains(&"stop") => {
            Undo::by(command.replacen(" stop ", " start ", 1))
        }
        "systemctl" => Undo::not("a restart leaves nothing behind"),
        "docker" | "podman" if !command.contains("$(") => {
            Undo::by(command.replacen(" stop ", " start ", 1))
        }
        "rm" => Undo::not("nobody had the file any more"),
        "install" => said(format!("rmdir {}", quoted(last))),
        "usermod" => match arguments {
            [_, group, user] => said(format!("gpasswd -d {} {}", quoted(user), quoted(group))),
            _ => Undo::not("the group is not understood"),
        },
        _ => Undo::not("start it again the way it was started"),
    }
}

/// The command with the value that the setting has now.
fn sysctl(name: &str, command: &str) -> Undo {
    // In another namespace the same command reads it.
    let reads =
        command.split_once(&format!("{name}=")).map(|(start, _)| format!("{start}-n {name}"));
    let reads = reads.map(|reads| reads.replacen("sysctl -w ", "sysctl ", 1));
    let elsewhere = command.contains("nsenter ");
    let value = match (elsewhere, reads) {
        (true, Some(reads)) => {
            let output = Command::new("/bin/sh").args(["-c", &reads]).output();
            output.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string())
        }
        _ => Proc::default().sysctl(name).ok().map(|value| value.trim().to_string()),
    };
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Undo::not(format!("the value of {name} cannot be read"));
    };
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match command.split_once(&format!("{name}=")) {
        Some((start, _)) => Undo::by(format!("{start}{name}={}", quoted(&value))),
        None => Undo::not("the setting is not understood"),
    }
}

fn owner_and_mode(tool: &str, path: &str, prefix: &str) -> Undo {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        Ok(found) => {
            let before = match tool {
                "chmod" => format!("{:o}", found.mode() & 0o7777),
                _ => format!("{}", found.uid()),
            };
            Undo::by(format!("{prefix}{tool} {before} {}", quoted(path)))
        }
        Err(error) => Undo::not(format!("{path} cannot be looked at: {error}")),
    }
}

/// How what is stopped was started, as far as that can be told.
fn stopped(arguments: &[&str]) -> Undo {
    let proc = Proc::default();
    let mut commands = Vec::new();
    for pid in arguments.iter().filter_map(|word| word.trim_end_matches(';').parse().ok()) {
        let Ok(line) = proc.cmdline(pid) else { continue };
        let line: Vec<String> = line.iter().map(|word| quoted(&word.to_string_lossy())).collect();
        let place = proc.cwd(pid).map(|cwd| cwd.path.to_string_lossy().into_owned());
        let place = place.map(|at| format!("cd {} && ", quoted(&at))).unwrap_or_default();
        let text = format!("{place}{}", line.join(" "));
        if !line.is_empty() && !commands.contains(&text) {
            commands.push(text);
        }
    }
    if commands.is_empty() {
        return Undo::not("start it again the way it was started");
    }
    let note = "as it ran, in the foreground; its user and environment are not in there";
    Undo { command: Some(commands.join("; ")), note: Some(note.into()) }
}

/// The words of a command as this program writes them: only single quotes quote.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut open, mut inside) = (String::new(), false, false);
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => (inside, open) = (!inside, true),
            '\\' if !inside => {
                word.extend(letters.next());
                open = true;
            }
            ' ' if !inside => {
                if std::mem::take(&mut open) {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => {
                word.push(letter);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(command: Option<&str>) -> FixReport {
        FixReport {
            id: "x".into(),
            title: "x".into(),
            breadth: "request",
            detail: None,
            endpoint: command.is_none().then(|| "127.0.0.1:81".into()),
            command: command.map(Into::into),
            side_effects: String::new(),
        }
    }

    #[test]
    fn words_of_a_command() {
        assert_eq!(
            words("sudo  setcap a=ep '/a b/it'\\''s'"),
            ["sudo", "setcap", "a=ep", "/a b/it's"]
        );
        assert!(words("").is_empty());
    }

    #[test]
    fn what_is_not_applied_says_why() {
        for (command, why) in [
            (None, "127.0.0.1:81"),
            (Some("sudo portwise run -l :80 -- nginx"), "starts the program"),
            (Some("setpriv --reuid=1 nginx"), "starts the program"),
            (Some("printf x | sudo install /dev/stdin /x; sudo systemctl restart a"), "yourself"),
            (Some("reboot"), "for you"),
        ] {
            let error = Action::of(&fix(command)).unwrap_err();
            assert!(error.contains(why), "{command:?}: {error}");
        }
    }

    #[test]
    fn the_way_back() {
        let undo = |command: &str| Action::of(&fix(Some(command))).unwrap().undo;
        let said = |text: &str| Undo::by(text);
        let now = Proc::default().sysctl("net.ipv4.ip_unprivileged_port_start").unwrap();
        assert_eq!(
            undo("sudo sysctl net.ipv4.ip_unprivileged_port_start=80"),
            said(&format!("sudo sysctl net.ipv4.ip_unprivileged_port_start={}", now.trim()))
        );
        assert_eq!(undo("systemctl stop a.service"), said("systemctl start a.service"));
        assert_eq!(undo("sudo docker stop web"), said("sudo docker start web"));
        assert_eq!(undo("usermod -aG docker alice"), said("gpasswd -d alice docker"));
        assert_eq!(undo("install -d -o 1 -m 755 '/run/a b'"), said("rmdir '/run/a b'"));
        let there = tempfile::tempdir().unwrap();
        let file = there.path().join("file");
        std::fs::write(&file, "").unwrap();
        let path = file.display();
        let mode = undo(&format!("chmod a+rx {path}"));
        let mode = mode.command.unwrap();
        assert!(mode.ends_with(&format!("44 {path}")), "{mode}");
        assert_eq!(undo(&format!("setcap x=ep {path}")), said(&format!("setcap -r {path}")));
        let own = undo(&format!("kill {}", std::process::id()));
        assert!(own.command.as_ref().is_some_and(|text| text.starts_with("cd ")), "{own:?}");
    }
}
