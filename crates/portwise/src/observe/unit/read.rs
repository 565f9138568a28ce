//! The files of a unit, read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use portwise_sys::proc::Proc;

use super::{Line, Unit};

/// Where units are looked for: what stands in an earlier place hides what a later one has.
const PLACES: [&str; 10] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The settings of interest. Each may be given several times, and empty takes back those before.
const NAMES: [&str; 9] = [
    "SocketBindAllow",
    "SocketBindDeny",
    "RestrictAddressFamilies",
    "PrivateNetwork",
    "NetworkNamespacePath",
    "IPAddressAllow",
    "IPAddressDeny",
    "SystemCallFilter",
    "RestrictNetworkInterfaces",
];

/// What the files of the service of a process say.
pub(in crate::observe) fn of_process(proc: &Proc, pid: u32) -> Option<Unit> {
    let cgroups = proc.cgroups(pid).ok()?;
    read(proc, &cgroups.iter().find_map(crate::observe::asking::unit)?)
}

/// Reads the files of a service. `None` if there are none, as for one of a user's own manager.
pub(in crate::observe) fn read(proc: &Proc, name: &str) -> Option<Unit> {
    let names = names(name);
    let places: Vec<PathBuf> = PLACES.iter().map(|place| proc.path(place)).collect();
    let files = names.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    let mut found: Vec<PathBuf> = files.filter(|file| file.is_file()).take(1).collect();
    found.extend(drop_ins(&places, name));
    let mut unit = Unit { name: name.into(), lines: Vec::new() };
    for file in &found {
        let text = fs::read_to_string(file).unwrap_or_default();
        let shown = file.strip_prefix(proc.path("")).unwrap_or(file);
        parse(&text, &format!("/{}", shown.display()), &mut unit.lines);
    }
    (!found.is_empty()).then_some(unit)
}

/// The names a unit's files may have: its own, and that of the template it was made from.
fn names(name: &str) -> Vec<String> {
    let mut names = vec![name.to_string()];
    if let (Some((stem, _)), Some((_, kind))) = (name.split_once('@'), name.rsplit_once('.')) {
        names.push(format!("{stem}@.{kind}"));
    }
    names
}

/// The drop-ins, in the order of their file names; one of an earlier place hides the same name in
/// a later one, and one of the unit itself that of its template or kind.
fn drop_ins(places: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let mut folders: Vec<String> = names(name).iter().map(|name| format!("{name}.d")).collect();
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "service"));
    // web-front.service: also web-.service.d, those of all that begin alike.
    folders.extend(stem.rmatch_indices('-').map(|(at, _)| format!("{}-.{kind}.d", &stem[..at])));
    folders.push(format!("{kind}.d"));
    let mut found: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in &folders {
        for place in places {
            let inside = fs::read_dir(place.join(folder)).into_iter().flatten().flatten();
            for entry in inside.filter(|entry| is_conf(&entry.path())) {
                found.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    found.into_values().collect()
}

fn is_conf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "conf")
}

/// Adds what a file says in its section `[Service]`.
pub(super) fn parse(text: &str, file: &str, lines: &mut Vec<Line>) {
    let joined = text.replace("\\\n", " ");
    let mut inside = false;
    for line in joined.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            inside = line == "[Service]";
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let Some(&name) = NAMES.iter().find(|known| **known == name.trim()) else { continue };
        match value.trim() {
            "" => lines.retain(|line| line.name != name),
            value => lines.push(Line { name, value: value.into(), file: file.into() }),
        }
    }
}
