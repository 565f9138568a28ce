//! Makes the namespaces in which scenarios play.

use std::process::Command;

use portwise_model::scenario::Who;
use portwise_sys::thread;

use super::{Trouble, world};

/// Makes sure that this process may make network namespaces.
pub(super) fn enter() -> Result<Who, Trouble> {
    Ok(Who::ROOT)
}

/// Gives this thread a fresh network namespace with the devices and addresses of [`world`].
pub(super) fn build() -> Result<(), Trouble> {
    thread::new_network().map_err(|e| Trouble(format!("no new network namespace: {e}")))?;
    let mut script = String::from("ip link set lo up\n");
    for d in world::LINKED {
        script += &format!(
            "ip link add {d} type veth peer name {d}p\nip link set {d} up\nip link set {d}p up\n"
        );
    }
    for command in world::setup().cmds {
        script += &format!("{command}\n");
    }
    let done = Command::new("sh").arg("-ec").arg(&script).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        other => Err(Trouble(format!("the namespace could not be set up: {other:?}"))),
    }
}
