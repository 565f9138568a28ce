//! Runs the command line in this process.
#![allow(dead_code, reason = "not every test that shares this file needs all of it")]

pub(crate) mod schema;

/// What a run printed, and its exit status.
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: u8,
}

/// Runs `portwise` with these arguments.
pub(crate) fn portwise(args: &[&str]) -> Run {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = std::iter::once("portwise").chain(args.iter().copied()).map(Into::into);
    let status = portwise::cli::run(all, &mut out, &mut err, &|| false);
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Run { out: text(out), err: text(err), status }
}

/// Runs `portwise` with arguments separated by blanks.
pub(crate) fn line(args: &str) -> Run {
    portwise(&args.split_whitespace().collect::<Vec<_>>())
}

/// Whether the test runs as root, who sees everything.
#[cfg(target_os = "linux")]
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
