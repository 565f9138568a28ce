//! The program that makes calls in the ways that programs make them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Builds it once, where every user may execute it. `None` without a compiler.
pub(crate) fn built() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let directory = tempfile::Builder::new().prefix("portwise").tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let program = directory.path().join("calls");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/calls.c");
        let mut command = Command::new("cc");
        command.args(["-O1", "-pthread", "-w", "-o"]).arg(&program).arg(source);
        match command.output() {
            Ok(output) if output.status.success() => Some((directory, program)),
            Ok(output) => {
                portwise_sys::not_run!("cc: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                portwise_sys::not_run!("cc: {error}");
                None
            }
        }
    });
    built.as_ref().map(|(_, program)| program.as_path())
}
