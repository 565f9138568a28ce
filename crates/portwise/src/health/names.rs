//! What names come to.

use super::Finding;
use crate::observe::names;

/// The hosts file and proxy variables.
pub(super) fn of() -> Vec<Finding> {
    let hosts = names::hosts();
    let own = portwise_sys::proc::Proc::default().sysctl("kernel.hostname").unwrap_or_default();
    let mut all = Vec::new();
    for name in ["localhost", own.trim()] {
        for trap in names::traps(name, &hosts) {
            all.push(Finding::odd("hosts", trap).settled(format!("getent ahosts {name}")));
        }
    }
    if all.is_empty() {
        all.push(Finding::fine("hosts", "/etc/hosts: localhost is what it should be"));
    }
    match names::proxies().pop() {
        Some(text) => {
            all.push(
                Finding::odd("proxy", text).settled("export no_proxy=localhost,127.0.0.1,::1"),
            );
        }
        None => all.push(Finding::fine("proxy", "no proxy variable catches requests to localhost")),
    }
    all
}
