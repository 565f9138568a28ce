//! A network namespace of the test's own.

use std::os::unix::process::CommandExt;
use std::process::Command;

use portwise_sys::Errno;
use portwise_sys::ns::{self, IdMap, Kind};

/// Runs the rest of the test `name` in new user and network namespaces, in a process of its own.
///
/// Returns true in that process. A plain user may do this too, unless the machine forbids it:
/// then the test says so and is not run.
pub(crate) fn in_private_network(name: &str) -> bool {
    const INSIDE: &str = "PORTWISE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        ns::lo_up().unwrap();
        return true;
    }
    // SAFETY: takes no pointer, cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1");
    let enter = move || {
        let failed = |errno: Errno| std::io::Error::from_raw_os_error(errno.0);
        ns::unshare(&[Kind::User, Kind::Net]).map_err(failed)?;
        let own = |outside| [IdMap { inside: 0, outside, count: 1 }];
        ns::map_ids(&own(uid), &own(gid), true).map_err(|error| failed(error.errno))
    };
    // SAFETY: the new process has one thread, and the locks of its memory allocator are taken
    // care of by fork(2) of the C library.
    unsafe { command.pre_exec(enter) };
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("{text}");
            for why in errors.lines().filter_map(|line| line.strip_prefix("not run: ")) {
                portwise_sys::not_run!("{why}");
            }
            assert!(output.status.success(), "{text}\n{errors}");
            assert!(text.contains("1 passed"), "{name} is not the name of one test: {text}");
        }
        Err(error) => portwise_sys::not_run!("no namespaces of one's own here: {error}"),
    }
    false
}
