//! The unit files of systemd, read as text: systemd itself is not asked.

use std::{fs, path::PathBuf};

/// Where unit files are, those that outrank others first, of the system and of users.
const SYSTEM: [&str; 7] = [
    "/etc/systemd/system",
    "/run/systemd/transient",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const USER: [&str; 4] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];

/// What `Restart=` of a service says; `None` if it has no file here or nothing restarts it.
pub(super) fn restart(unit: &str, of_user: bool) -> Option<String> {
    if !unit.ends_with(".service") {
        return None;
    }
    let mut value = None;
    for text in files(unit, of_user) {
        value = setting(&text, "Restart").last().map(str::to_owned).or(value);
    }
    value.filter(|value| value != "no")
}

/// The socket unit that starts a service, if it has a file.
pub(super) fn socket_of(unit: &str, of_user: bool) -> Option<String> {
    let name = unit.strip_suffix(".service")?;
    // An instance for each connection belongs to a socket without the part behind the @.
    let instance = name.split_once('@').map(|(template, _)| template);
    let names = [Some(name), instance].into_iter().flatten().map(|name| format!("{name}.socket"));
    names.into_iter().find(|socket| place(socket, of_user).is_some())
}

fn place(unit: &str, of_user: bool) -> Option<PathBuf> {
    // What is not a plain name is no file's.
    let is_name = !unit.contains('/') && !unit.starts_with('.');
    let places: &[&str] = if of_user { &USER } else { &SYSTEM };
    let mut files = places.iter().map(|place| PathBuf::from(place).join(unit));
    files.find(|file| is_name && file.exists())
}

/// The text of the unit's file, or of its template's, then of the files that change it.
fn files(unit: &str, of_user: bool) -> Vec<String> {
    let template = unit.split_once('@').and_then(|(name, rest)| {
        let (_, kind) = rest.rsplit_once('.')?;
        Some(format!("{name}@.{kind}"))
    });
    let names: Vec<&str> = [Some(unit), template.as_deref()].into_iter().flatten().collect();
    let file = names.iter().find_map(|name| place(name, of_user));
    let mut texts: Vec<String> =
        file.and_then(|file| fs::read_to_string(file).ok()).into_iter().collect();
    let mut changes: Vec<(std::ffi::OsString, PathBuf)> = Vec::new();
    for place in if of_user { &USER[..] } else { &SYSTEM[..] } {
        for name in &names {
            let Ok(entries) = fs::read_dir(format!("{place}/{name}.d")) else { continue };
            for entry in entries.flatten() {
                // One outranks those of the same name in later places.
                if !changes.iter().any(|(known, _)| *known == entry.file_name()) {
                    changes.push((entry.file_name(), entry.path()));
                }
            }
        }
    }
    changes.retain(|(name, _)| name.as_encoded_bytes().ends_with(b".conf"));
    changes.sort();
    texts.extend(changes.into_iter().filter_map(|(_, path)| fs::read_to_string(path).ok()));
    texts
}

/// The values of a setting, in order.
fn setting<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found() {
        let text = "[Service]\n# Restart=never\nRestart=no\nRestartSec=3\n Restart = always \n";
        assert_eq!(setting(text, "Restart").collect::<Vec<_>>(), ["no", "always"]);
        assert_eq!(restart("no-such-unit-here.service", false), None);
        assert_eq!(restart("../../passwd.service", false), None);
        assert_eq!(socket_of("no-such-unit-here@3.service", false), None);
    }
}
