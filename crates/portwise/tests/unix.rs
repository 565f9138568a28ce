//! Unix sockets: what is predicted beside what really happens, in a directory of the test's own.
#![cfg(target_os = "linux")]

mod common;

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::{UnixDatagram, UnixListener, UnixStream},
    },
    path::Path,
};

use portwise::{
    Setting,
    observe::live,
    unix::{self, Call, Name},
};

/// What the call really answers.
fn real<T>(result: std::io::Result<T>) -> Option<&'static str> {
    result.err().map(|error| portwise_sys::Errno::from(error).name().unwrap_or("?"))
}

/// What is said before the call, or why that cannot be: whoever holds a socket may be in a network
/// namespace that only root can see, if there is one on this machine.
fn predicted(
    setting: &mut Setting,
    path: &Path,
    call: Call,
) -> Result<Option<&'static str>, String> {
    let report = unix::why(setting, &Name::Path(path.into()), call);
    match report.missing {
        None => Ok(report.errno),
        Some(missing) if missing.reveal == HIDDEN && !common::is_root() => Err(missing.why),
        Some(_) => panic!("{}: {report:?}", path.display()),
    }
}

const HIDDEN: &str = "root can see every namespace";

#[test]
fn predictions_come_true() {
    let there = tempfile::tempdir().unwrap();
    let at = |name: &str| there.path().join(name);
    for directory in ["shut", "closed", "open"] {
        fs::create_dir(at(directory)).unwrap();
    }
    fs::write(at("file"), "").unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let listener = UnixListener::bind(at("held")).unwrap();
    drop(UnixListener::bind(at("stale")).unwrap());
    let datagram = UnixDatagram::bind(at("datagram")).unwrap();
    drop(UnixListener::bind(at("open/readonly")).unwrap());
    fs::set_permissions(at("open/readonly"), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(at("shut"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut setting = live::setting().unwrap();
    let names = [
        "new",
        "open/new",
        "file",
        "held",
        "stale",
        "datagram",
        "dangling",
        "missing/new",
        "file/new",
        "loop/new",
        "shut/new",
        "closed/new",
        "open/../new2",
        "open/readonly",
        "open",
    ];
    for name in names {
        let path = at(name);
        let (bind, connect) = (
            predicted(&mut setting, &path, Call::Bind),
            predicted(&mut setting, &path, Call::Connect),
        );
        for (predicted, really) in
            [(connect, real_connect(&path)), (bind, real(UnixListener::bind(&path)))]
        {
            match predicted {
                Ok(predicted) => assert_eq!(predicted, really, "{name}"),
                Err(why) => println!("not run: {name}: {why}"),
            }
        }
    }
    drop((listener, datagram));
}

fn real_connect(path: &Path) -> Option<&'static str> {
    match real(UnixStream::connect(path)) {
        // Of a socket of another type, which is there.
        Some("EPROTOTYPE") => None,
        other => other,
    }
}

#[test]
fn the_holder_and_the_way_out() {
    let there = tempfile::tempdir().unwrap();
    let path = there.path().join("a b.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let typed = format!("unix:{}", path.display());
    let run = common::portwise(&["why", &typed]);
    assert_eq!(run.status, 1, "{}", run.err);
    assert!(run.out.contains("EADDRINUSE"), "{}", run.out);
    assert!(run.out.contains(&format!("held by pid {}", std::process::id())), "{}", run.out);
    drop(listener);
    let run = common::portwise(&["why", &typed]);
    if run.out.contains("is not known") && !common::is_root() {
        println!("not run: the way out: {}", run.out);
        return;
    }
    assert!(run.out.contains("stale") && run.out.contains("fix    remove the file"), "{}", run.out);
    assert!(run.out.contains(&format!("rm '{}'", path.display())), "{}", run.out);
    let run = common::portwise(&["check", &typed]);
    assert_eq!(run.out, format!("{typed}  no       EADDRINUSE  linux.unix.free\n"));
    fs::remove_file(&path).unwrap();
    let run = common::portwise(&["check", &typed]);
    assert_eq!((run.status, run.out), (0, format!("{typed}  yes      -  -\n")));
}

#[test]
fn what_cannot_be_asked() {
    for (args, wanted) in [
        (&["why", "unix:"][..], "the path is missing"),
        (&["why", "unix:/x", "127.0.0.1:80"], "apart from"),
        (&["why", "unix:/x", "--on", "macos-15"], "this machine only"),
        (&["reach", "unix:/x"], "has a path and no port"),
    ] {
        let run = common::portwise(args);
        assert_eq!(run.status, 2, "{args:?}: {}", run.out);
        assert!(run.err.contains(wanted), "{args:?}: {}", run.err);
    }
    let long = format!("unix:/tmp/{}", "x".repeat(120));
    let run = common::portwise(&["why", &long]);
    assert!(run.out.contains("EINVAL") && run.out.contains("too long"), "{}", run.out);
}
