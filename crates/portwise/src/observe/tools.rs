//! Which program of a kind this machine has.

use std::{env, fs, path::PathBuf};

/// The iptables(8) whose rules are of nf_tables, or of the kind before.
pub(crate) fn iptables(is_v6: bool, legacy: bool) -> String {
    let name = if is_v6 { "ip6tables" } else { "iptables" };
    let word = if legacy { "legacy" } else { "nft" };
    let is_it = |name: &str| {
        // A link to the program of many names.
        let file = find(name)?;
        let real = fs::canonicalize(file).ok()?;
        real.file_name().map(|file| file.to_string_lossy().contains(word))
    };
    let exact = format!("{name}-{word}");
    match is_it(name) {
        Some(false) if find(&exact).is_some() => exact,
        _ => name.into(),
    }
}

/// The file of a command, also where only the administrator looks for commands.
fn find(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let dirs = env::split_paths(&paths).chain(more);
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}
