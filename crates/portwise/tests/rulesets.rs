//! Rulesets in the shape that real software loads, and the examples that come with nftables: what
//! `reach` says of each connection is held against what becomes of it, in namespaces of their own.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

/// Where packagers put the examples of nftables.
const EXAMPLES: [&str; 2] = ["/usr/share/doc/nftables/examples", "/usr/share/nftables"];
/// So many at a time: they wait more than they work.
const AT_A_TIME: usize = 8;

fn say(text: &str) {
    // The test harness keeps what a passing test prints.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn rulesets(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ruleset = |path: &PathBuf| path.extension().is_some_and(|e| e == "nft" || e == "v4");
    let mut found: Vec<PathBuf> = files.filter(is_ruleset).collect();
    found.sort();
    found
}

/// Runs one and returns what is wrong with it; nothing if it cannot be loaded here.
fn run(rules: &Path, script: &Path, path: &str) -> Option<String> {
    let mut command = Command::new("bash");
    let output = command.arg(script).env("RULES", rules).env("PATH", path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let name = rules.file_name().unwrap_or_default().to_string_lossy();
    if output.status.code() == Some(77) {
        say(&format!("not run: {name}: {}", text.trim()));
        return None;
    }
    let tried = text.lines().last().is_some_and(|line| line.ends_with(" tried"));
    (!tried || text.contains("differs: ")).then(|| format!("{name}:\n{text}{errors}"))
}

#[test]
fn connections_end_where_it_is_said() {
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) != 0) {
        return say("not run: the rulesets need root, to make network namespaces");
    }
    let there = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_portwise"), there.path().join("portwise")).unwrap();
    let path = format!(
        "{}:{}:/usr/sbin:/sbin",
        there.path().display(),
        env::var("PATH").unwrap_or_default()
    );
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rulesets");
    let script = own.join("run.sh");
    let mut all = rulesets(&own);
    assert!(all.len() >= 6, "{all:?}");
    all.extend(EXAMPLES.iter().flat_map(|folder| rulesets(Path::new(folder))));
    if let Ok(wanted) = env::var("RULESETS") {
        all.retain(|file| file.to_string_lossy().contains(&wanted));
    }
    let (left, wrong) = (Mutex::new(all), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(rules) = left.lock().unwrap().pop() else { return };
                    let found = run(&rules, &script, &path);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
