//! Sockets of the kernel itself, and what it has them for.

use std::collections::HashMap;

use portwise_sys::bpf::kernel::{self, Protocol};

use crate::observe::inventory::{KernelUse, Socket, Transport};

/// The function that gets what a socket receives, by the beginning of its name, and what it is for.
const FUNCTIONS: [(&str, KernelUse); 18] = [
    ("vxlan_", KernelUse::Vxlan),
    ("wg_", KernelUse::WireGuard),
    ("ovpn_", KernelUse::OpenVpn),
    ("geneve_", KernelUse::Geneve),
    ("l2tp_", KernelUse::L2tp),
    ("fou_", KernelUse::Fou),
    ("gue_", KernelUse::Fou),
    ("gtp", KernelUse::Gtp),
    ("bareudp_", KernelUse::Bareudp),
    ("rxrpc_", KernelUse::Rxrpc),
    ("rxe_", KernelUse::Rdma),
    ("tipc_", KernelUse::Tipc),
    ("svc_", KernelUse::Nfsd),
    ("subflow_", KernelUse::Mptcp),
    ("lowcomms_", KernelUse::Dlm),
    ("o2net_", KernelUse::Ocfs2),
    ("nvmet_", KernelUse::Nvme),
    ("rds_", KernelUse::Rds),
];

/// What the kernel has those of these sockets for that it made itself, by cookie: as far as it
/// shows, which takes the rights that a BPF program needs. They are of the thread's namespace.
pub(super) fn uses(sockets: &[&Socket]) -> HashMap<u64, KernelUse> {
    let mut uses = HashMap::new();
    for (transport, protocol) in [(Transport::Tcp, Protocol::Tcp), (Transport::Udp, Protocol::Udp)]
    {
        let of_protocol = sockets.iter().filter(|socket| socket.transport == transport);
        let cookies: Vec<u64> = of_protocol.map(|socket| socket.cookie).collect();
        if !cookies.is_empty() {
            let found = kernel::sockets(protocol, &cookies).unwrap_or_default();
            uses.extend(found.iter().map(|found| (found.cookie, what_for(&found.function))));
        }
    }
    uses
}

fn what_for(function: &str) -> KernelUse {
    let known = FUNCTIONS.iter().find(|(start, _)| function.starts_with(start));
    known.map_or(KernelUse::Other, |(_, known)| *known)
}
