//! The programs that rows of the table start: this one with rights of every kind on its file.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
};

use portwise_sys::{
    Error, caps,
    filecap::{self, FileCaps},
};

const BIT: u64 = caps::bit(caps::NET_BIND_SERVICE);
const RAW: u64 = caps::bit(caps::NET_RAW);

const EP: FileCaps = FileCaps { permitted: BIT, inheritable: 0, effective: true, rootid: 0 };

/// Makes them in a directory that everybody may search.
///
/// # Errors
/// If the file system keeps no file capabilities.
pub(crate) fn make(there: &Path) -> Result<(), Error> {
    fs::set_permissions(there, fs::Permissions::from_mode(0o755)).unwrap();
    let given = |name: &str, caps: FileCaps| {
        copy(there, name, 0o755);
        filecap::write(&there.join(name), &caps)
    };
    copy(there, "plain", 0o755);
    copy(there, "not-executable", 0o644);
    given("ep", EP)?;
    given("p", FileCaps { effective: false, ..EP })?;
    given("ei", FileCaps { permitted: 0, inheritable: BIT, ..EP })?;
    given("raw", FileCaps { permitted: RAW, ..EP })?;
    given("of-userns", FileCaps { rootid: 100_000, ..EP })?;
    copy(there, "set-uid", 0o4755);
    copy(there, "set-uid-1001", 0o755);
    chown(there.join("set-uid-1001"), Some(1001), Some(1001)).unwrap();
    fs::set_permissions(there.join("set-uid-1001"), fs::Permissions::from_mode(0o4755)).unwrap();
    copy(there, "portwise", 0o755);
    fs::copy(env!("CARGO_BIN_EXE_portwise"), there.join("portwise")).unwrap();
    for (name, interpreter) in [("script", "plain"), ("script-of-ep", "ep")] {
        write(there, name, &format!("#!{}\n", there.join(interpreter).display()));
    }
    write(there, "script-of-env", "#!/usr/bin/env ep\n");
    write(there, "script-with-ep", &format!("#!{}\n", there.join("plain").display()));
    filecap::write(&there.join("script-with-ep"), &EP)?;
    write(there, "script-of-nothing", "#!/nowhere/at/all\n");
    symlink("ep", there.join("link-to-ep")).unwrap();
    fs::write(there.join("no-program"), [0; 256]).unwrap();
    fs::set_permissions(there.join("no-program"), fs::Permissions::from_mode(0o755)).unwrap();
    // Each interpreted by the one before.
    write(there, "chain-1", &format!("#!{}\n", there.join("plain").display()));
    for n in 2..=6 {
        let interpreter = there.join(format!("chain-{}", n - 1));
        write(there, &format!("chain-{n}"), &format!("#!{}\n", interpreter.display()));
    }
    for option in ["nosuid", "noexec"] {
        let directory = there.join(option);
        fs::create_dir(&directory).unwrap();
        copy(&directory, "ep", 0o755);
        filecap::write(&directory.join("ep"), &EP)?;
        copy(&directory, "set-uid", 0o4755);
    }
    let shut = there.join("shut");
    fs::create_dir(&shut).unwrap();
    copy(&shut, "plain", 0o755);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
    Ok(())
}

fn copy(there: &Path, name: &str, mode: u32) {
    let file = there.join(name);
    fs::copy("/proc/self/exe", &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

fn write(there: &Path, name: &str, text: &str) {
    let file = there.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}
