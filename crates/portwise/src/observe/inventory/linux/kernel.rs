//! Sockets of the kernel itself, and what it has them for.

use std::collections::HashMap;

use portwise_sys::bpf::kernel::{self, Protocol};

use super::{is_lost, within};
use crate::observe::inventory::{Inventory, KernelUse, NoHolder, Socket, Transport};

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

/// Tells which of the sockets that nobody holds are the kernel's, where that can be seen: by the
/// rights that a BPF program needs.
pub(super) fn tell(inventory: &mut Inventory) {
    for namespace in &inventory.namespaces {
        for (transport, protocol) in
            [(Transport::Tcp, Protocol::Tcp), (Transport::Udp, Protocol::Udp)]
        {
            let inode = namespace.inode;
            let is_meant =
                |s: &&mut Socket| s.netns == inode && s.transport == transport && is_lost(s);
            let lost: Vec<&mut Socket> = inventory.sockets.iter_mut().filter(is_meant).collect();
            if lost.is_empty() {
                continue;
            }
            let cookies: Vec<u64> = lost.iter().map(|socket| socket.cookie).collect();
            let look = || kernel::sockets(protocol, &cookies);
            let found = if namespace.own { look() } else { within(namespace, look).flatten() };
            let found: HashMap<u64, KernelUse> = found
                .unwrap_or_default()
                .iter()
                .map(|socket| (socket.cookie, what_for(&socket.function)))
                .collect();
            for socket in lost {
                if let Some(known) = found.get(&socket.cookie) {
                    socket.no_holder = Some(NoHolder::Kernel(*known));
                }
            }
        }
    }
}

fn what_for(function: &str) -> KernelUse {
    let known = FUNCTIONS.iter().find(|(start, _)| function.starts_with(start));
    known.map_or(KernelUse::Other, |(_, known)| *known)
}
