//! Probes of what differs in `execve`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use portwise_model::linux::EXEC_COMPARES_EFFECTIVE_IDS;
use portwise_sys::{
    caps::{self, NET_BIND_SERVICE, SETUID, Sets},
    proc::Proc,
};

use super::{
    Probe,
    setting::{Setting, said},
};

pub(super) static PROBES: &[Probe] = &[Probe {
    feature: &EXEC_COMPARES_EFFECTIVE_IDS,
    how: "an ambient capability outlasts execve of a program by a user with another effective uid",
    ask: compares_effective_ids,
}];

/// This very program, which waits for further lines, is executed with an ambient capability by a thread
/// whose real and effective uids differ.
fn compares_effective_ids(setting: &Setting) -> Result<bool, String> {
    if setting.home.caps.is_some() {
        return Err("needs two uids, so root".into());
    }
    let capability = caps::bit(NET_BIND_SERVICE);
    let permitted = capability | caps::bit(SETUID);
    said("PR_SET_KEEPCAPS", caps::keep_caps(true))?;
    said("setresuid", caps::set_uids(Some(1000), Some(1001), Some(1001)))?;
    let sets = Sets { effective: permitted, permitted, inheritable: capability };
    said("capset", caps::set(&sets))?;
    said("PR_CAP_AMBIENT_RAISE", caps::ambient_raise(NET_BIND_SERVICE))?;
    // The file itself: its directory may be closed to this user.
    let mut waiting = Command::new("/proc/self/exe");
    waiting.args(["conform", "/proc/self/fd/0"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = waiting
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("this program cannot be executed by another user: {error}"))?;
    // Its capabilities are final once it runs and reads, and more than a pipe holds is through
    // only then.
    let written = child.stdin.as_mut().map(|pipe| pipe.write_all(&[b'\n'; 1 << 18]));
    let status = Proc::default().status(child.id());
    drop(child.stdin.take());
    let _ = child.wait();
    written.unwrap_or(Ok(())).map_err(|error| format!("this program does not read: {error}"))?;
    let ambient = status.map_err(|error| error.to_string())?.capabilities.ambient;
    Ok(ambient & capability != 0)
}
