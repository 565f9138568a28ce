//! The libraries of a dynamic binary, as far as secure mode makes a difference: there its loader
//! ignores `$ORIGIN` in the run path, see ld.so(8).

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use portwise_model::Program;
use portwise_sys::{ldso, path::Place};

/// Notes which entries of the run path secure mode ignores, and which libraries are not where the
/// loader looks then.
pub(super) fn look(place: &Place, program: &mut Program, binary: &Path) {
    let Ok(dynamic) = ldso::dynamic(&place.outside(binary)) else { return };
    let has_origin =
        |entry: &&Vec<u8>| contains(entry, b"$ORIGIN") || contains(entry, b"${ORIGIN}");
    let (origin, other): (Vec<_>, Vec<_>) = dynamic.run_path.iter().partition(has_origin);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let other = other.iter().map(|entry| PathBuf::from(OsStr::from_bytes(entry)));
    let standard: Vec<PathBuf> = other.chain(standard(place)).collect();
    let is_in = |directories: &[PathBuf], name: &OsStr| {
        directories.iter().any(|directory| place.outside(directory).join(name).exists())
    };
    let is_elsewhere = |name: &&Vec<u8>| {
        let name = OsStr::from_bytes(name);
        !name.as_bytes().contains(&b'/') && !is_in(&standard, name)
    };
    program.elsewhere =
        dynamic.needed.iter().filter(is_elsewhere).map(|name| text(name).into()).collect();
    program.origin = origin.iter().map(|entry| text(entry).into()).collect();
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Where loaders look by themselves: the usual directories and those of `/etc/ld.so.conf`.
fn standard(place: &Place) -> BTreeSet<PathBuf> {
    const USUAL: [&str; 5] = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"];
    let mut directories: BTreeSet<PathBuf> = USUAL.iter().map(PathBuf::from).collect();
    let mut files = vec![PathBuf::from("/etc/ld.so.conf")];
    // An included file may include others; a loop of them ends here.
    for _ in 0..100 {
        let Some(file) = files.pop() else { break };
        let text = fs::read_to_string(place.outside(&file)).unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            match line.strip_prefix("include ") {
                Some(pattern) => files.extend(included(place, pattern.trim())),
                None if line.starts_with('/') => drop(directories.insert(line.into())),
                None => {}
            }
        }
    }
    directories
}

/// The files that an `include` names: `DIRECTORY/*SUFFIX` is all that is in use.
fn included(place: &Place, pattern: &str) -> Vec<PathBuf> {
    let pattern = Path::new(pattern);
    let (Some(parent), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let name = name.to_string_lossy();
    let Some(suffix) = name.strip_prefix('*') else { return vec![pattern.into()] };
    let entries = fs::read_dir(place.outside(parent)).into_iter().flatten();
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let fits = names.filter(|name| name.to_string_lossy().ends_with(suffix));
    fits.map(|name| parent.join(name)).collect()
}
